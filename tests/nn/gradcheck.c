/* A module's parameters are checked like inputs, and are the same bits afterwards. */
#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <string.h>

static grd_tensor *run(const grd_tensor *const *in, void *module)
{
    return grd_tanh(grd_forward(module, in[0]));
}

/* The bias is used behind the tape's back. */
static grd_tensor *forgets_bias(const grd_tensor *const *in, void *module)
{
    const grd_tensor *bias = grd_module_parameter(module, "bias");
    return grd_add(grd_linear(in[0], grd_module_parameter(module, "weight"), NULL),
                   grd_detach(bias));
}

Test(module_gradcheck, finds_right_and_wrong_parameters)
{
    double before[12], after[12];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(1);
    grd_module *linear = grd_linear_create(rng, 4, 3, NULL);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(2, 4));
    const grd_tensor *weight = grd_module_parameter(linear, "weight");
    cr_assert_eq(grd_read_f64(weight, before, 12), GRD_OK);
    for (int f = 0; f < 2; f++) {
        const grd_gradcheck_options options = { .module = linear, .fast = f };
        const grd_gradcheck_report right = grd_gradcheck(run, linear, GRD_LIST(x), &options);
        cr_assert(right.passed, "%s %s", right.text, grd_error_message());
        cr_assert_eq(right.compared, f ? 3 : 6 * (8 + 12 + 3));
        const grd_gradcheck_report second = grd_gradgradcheck(run, linear, GRD_LIST(x), &options);
        cr_assert(second.passed, "%s %s", second.text, grd_error_message());
        const grd_gradcheck_report wrong =
            grd_gradcheck(forgets_bias, linear, GRD_LIST(x), &options);
        cr_assert_not(wrong.passed);
        cr_assert_eq(wrong.input, 2);
        cr_assert(strstr(wrong.text, "d parameter 1"), "%s", wrong.text);
    }
    cr_assert_eq(grd_read_f64(weight, after, 12), GRD_OK);
    cr_assert_eq(memcmp(before, after, sizeof before), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(module_gradcheck, wants_f64)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *linear = grd_linear_create(grd_rng_create(1), 4, 3, NULL);
    const grd_tensor *x = grd_cast(grd_ones(GRD_SHAPE(2, 4)), GRD_F64);
    const grd_gradcheck_options options = { .module = linear };
    cr_assert_not(grd_gradcheck(run, linear, GRD_LIST(x), &options).passed);
    cr_assert(strstr(grd_error_message(), "gradcheck: parameter 0 is f32"), "%s",
              grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_DTYPE);
}
