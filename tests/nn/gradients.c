#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

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

/* What grd_clip_grad_norms says of a part, in f64 from the gradients themselves. */
static double norm_below(const grd_module *model, const char *prefix)
{
    double sum = 0;
    for (int64_t i = 0; i < grd_module_num_parameters(model); i++) {
        const grd_named parameter = grd_module_parameter_at(model, i);
        const grd_tensor *gradient = grd_tensor_grad(parameter.tensor);
        if (gradient && strncmp(parameter.name, prefix, strlen(prefix)) == 0)
            sum += grd_item(grd_sum(grd_square(grd_cast(gradient, GRD_F64))));
    }
    return sqrt(sum);
}

/* A transformer with the gradients of one batch. */
static grd_module *transformer_create(bool tied)
{
    int64_t tokens[24];
    for (int i = 0; i < 24; i++)
        tokens[i] = i * 5 % 11;
    grd_module *model = grd_transformer_create(grd_rng_create(3),
                                               &(grd_transformer_options){ .vocab_size = 11,
                                                                           .context = 12,
                                                                           .embed_dim = 16,
                                                                           .num_heads = 2,
                                                                           .num_layers = 2,
                                                                           .direction = GRD_CAUSAL,
                                                                           .tied = tied });
    const grd_tensor *x = grd_from_i64(tokens, 24, GRD_SHAPE(2, 12));
    grd_backward(grd_cross_entropy(grd_forward(model, x), x, NULL));
    return model;
}

static void expect_parts(grd_dtype dtype, double allowed)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = dtype });
    grd_module *model = transformer_create(false);
    grd_grad_norm parts[] = { { "token_embedding" },
                              { "position_embedding" },
                              { "blocks.0" },
                              { "blocks.1" },
                              { "norm" },
                              { "head" },
                              { "blocks" },
                              { "blocks.1.linear1.weight" } };
    double expected[8], squares = 0;
    for (int i = 0; i < 8; i++)
        expected[i] = norm_below(model, parts[i].path);
    const double whole = grd_clip_grad_norms(model, 1e-3, parts, 8);
    for (int i = 0; i < 8; i++) {
        cr_assert_float_eq(parts[i].norm, expected[i], allowed * expected[i], "%s", parts[i].path);
        squares += i < 6 ? parts[i].norm * parts[i].norm : 0;
    }
    cr_assert_float_eq(sqrt(squares), whole, 1e-14 * whole, "the parts make up the whole");
    cr_assert_float_eq(norm_below(model, ""), 1e-3, 1e-6, "clipped after it was measured");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(gradients, norms_of_parts_are_sums_of_their_squares)
{
    expect_parts(GRD_F64, 1e-14);
    expect_parts(GRD_F32, 1e-6);
}

/* What measuring parts must not change: the norm, and the clipped gradients. */
static double last_gradient(bool in_parts, int threads, double *norm)
{
    grd_scope *scope = grd_scope_begin();
    cr_assert_eq(grd_device_set_threads(grd_cpu(), threads), GRD_OK);
    grd_module *model = transformer_create(true);
    grd_grad_norm parts[] = { { "blocks.0" }, { "token_embedding" } };
    *norm = in_parts ? grd_clip_grad_norms(model, 0.1, parts, 2) : grd_clip_grad_norm(model, 0.1);
    const double last = gradient_of(model, "token_embedding.weight");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    return last;
}

Test(gradients, norms_of_parts_change_no_bit)
{
    double norm, other;
    const double last = last_gradient(false, 1, &norm);
    for (int threads = 1; threads <= 3; threads++) {
        cr_assert_eq(last_gradient(true, threads, &other), last);
        cr_assert_eq(norm, other);
    }
}

Test(gradients, norms_of_parts_refuse_bad_paths)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = transformer_create(true);
    grd_grad_norm parts[] = { { "blocks.0" }, { "blocks.2", 7 } };
    cr_assert(isnan(grd_clip_grad_norms(model, 1, parts, 2)));
    cr_assert(isnan(parts[0].norm) && isnan(parts[1].norm));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norms: no parameter lies below \"blocks.2\"");
    static const char *const wrong[] = { "block", "blocks.", "", "head", "norm.weigh" };
    for (int i = 0; i < 5; i++) {
        parts[0].path = wrong[i];
        cr_assert(isnan(grd_clip_grad_norms(model, 1, parts, 1)));
        expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norms: no parameter lies below");
    }
    parts[0].path = "norm.weigh";
    cr_assert(isnan(grd_clip_grad_norms(model, 1, parts, 1)));
    expect_error(GRD_ERROR_ARGUMENT, "(did you mean \"norm.weight\"?)");
    parts[0].path = NULL;
    cr_assert(isnan(grd_clip_grad_norms(model, 1, parts, 1)));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norms: an argument is NULL");
    cr_assert(isnan(grd_clip_grad_norms(model, 1, NULL, 1)));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norms: an argument is NULL");
    cr_assert(isnan(grd_clip_grad_norms(NULL, 1, NULL, 0)));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norms: an argument is NULL");
    cr_assert(isnan(grd_clip_grad_norms(model, 1, parts, -1)));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad_norms: num_parts is -1");
    cr_assert_gt(grd_clip_grad_norms(model, INFINITY, NULL, 0), 0, "none is allowed");
    grd_module_zero_grad(model);
    parts[0] = (grd_grad_norm){ "norm", 7 };
    cr_assert_eq(grd_clip_grad_norms(model, 1, parts, 1), 0);
    cr_assert_eq(parts[0].norm, 0, "there are no gradients");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
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
