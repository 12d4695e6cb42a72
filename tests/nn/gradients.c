#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

/* Parameters of which the first two have the gradients 3 and (0, 4, ..., 0). */
static grd_module *model_create(double first, double second)
{
    grd_module *model = grd_module_create("Model", 0, NULL);
    grd_tensor *a = grd_module_add_parameter(model, "a", grd_ones(GRD_SCALAR));
    grd_tensor *b = grd_module_add_parameter(model, "b", grd_ones(GRD_SHAPE(40000)));
    grd_module_add_parameter(model, "c", grd_ones(GRD_SHAPE(3)));
    grd_backward(grd_mul_scalar(a, first));
    grd_backward(grd_mul_scalar(grd_select(b, 0, 39999), second));
    return model;
}

static double gradient_of(const grd_module *model, const char *name)
{
    return grd_item(grd_sum(grd_tensor_grad(grd_module_parameter(model, name))));
}

static void expect_clipped(grd_device *device, grd_dtype dtype)
{
    grd_scope *scope =
        grd_scope_begin_with(&(grd_scope_options){ .device = device, .dtype = dtype });
    grd_module *model = model_create(3, 4);
    cr_assert_eq(grd_clip_grad_norm(model, INFINITY), 5, "%s", grd_error_message());
    cr_assert_eq(grd_clip_grad_norm(model, 5.1), 5);
    cr_assert_eq(gradient_of(model, "a"), 3, "nothing to clip");
    cr_assert_eq(grd_clip_grad_norm(model, 1), 5);
    cr_assert_float_eq(gradient_of(model, "a"), 3 / (5 + 1e-6), 1e-7);
    cr_assert_float_eq(gradient_of(model, "b"), 4 / (5 + 1e-6), 1e-7);
    cr_assert_eq(grd_scale_grad(model, -10), GRD_OK);
    cr_assert_float_eq(gradient_of(model, "b"), -40 / (5 + 1e-6), 1e-6);
    cr_assert_null(grd_tensor_grad(grd_module_parameter(model, "c")));
    grd_module_zero_grad(model);
    cr_assert_eq(grd_clip_grad_norm(model, 1), 0, "there are none");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(gradients, are_clipped_and_scaled)
{
    expect_clipped(grd_cpu(), GRD_F32);
    expect_clipped(grd_cpu(), GRD_F64);
    expect_clipped(fake_device(), GRD_F32);
}

Test(gradients, norms_name_what_is_not_finite)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_module *model = model_create(3, NAN);
    cr_assert(isnan(grd_clip_grad_norm(model, 1)));
    expect_error(GRD_ERROR_NOT_FINITE,
                 "clip_grad_norm: the gradient of b [40000] is not finite; nothing was changed");
    cr_assert_eq(gradient_of(model, "a"), 3);
    model = model_create(INFINITY, 1);
    cr_assert(isnan(grd_clip_grad_norm(model, INFINITY)));
    expect_error(GRD_ERROR_NOT_FINITE, "clip_grad_norm: the gradient of a [] is not finite");
    model = model_create(1e300, 1);
    cr_assert(isnan(grd_clip_grad_norm(model, 1)));
    expect_error(GRD_ERROR_NOT_FINITE, "clip_grad_norm: the norm is too large for f64");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(gradients, refuse_bad_arguments)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(3, 4);
    static const double bad[] = { 0, -1, NAN };
    for (int i = 0; i < 3; i++) {
        cr_assert(isnan(grd_clip_grad_norm(model, bad[i])));
        expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norm: max_norm is ");
    }
    cr_assert(isnan(grd_clip_grad_norm(NULL, 1)));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norm: an argument is NULL");
    cr_assert_eq(grd_scale_grad(model, INFINITY), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "scale_grad: the factor is inf");
    cr_assert_eq(grd_scale_grad(NULL, 1), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "scale_grad: an argument is NULL");
    grd_fail(GRD_ERROR_STATE, "test", "latched");
    cr_assert(isnan(grd_clip_grad_norm(model, 1)));
    cr_assert_eq(grd_scale_grad(model, 2), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "test: latched");
    cr_assert_eq(gradient_of(model, "a"), 3);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
