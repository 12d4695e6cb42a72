/* A module's parameters are checked like inputs, and are the same bits afterwards. */
#include "tests/counter.h"

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
        cr_assert(strstr(wrong.text, "/ d bias"), "%s", wrong.text);
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
    cr_assert(strstr(grd_error_message(), "gradcheck: weight is f32"), "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_DTYPE);
}

typedef struct fragile {
    grd_module *linear;
    int calls;
} fragile;

static grd_tensor *breaks(const grd_tensor *const *in, void *user)
{
    fragile *f = user;
    if (--f->calls == 0)
        return grd_fail(GRD_ERROR_STATE, "breaks", "no more");
    return grd_forward(f->linear, in[0]);
}

/* Whenever the function fails, and for graphs of the parameters from before. */
Test(module_gradcheck, leaves_parameters_as_they_were)
{
    double before[12], after[12];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(1);
    fragile f = { .linear = grd_linear_create(rng, 4, 3, NULL) };
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(2, 4));
    const grd_tensor *weight = grd_module_parameter(f.linear, "weight");
    cr_assert_eq(grd_read_f64(weight, before, 12), GRD_OK);
    const grd_tensor *y = grd_sum(grd_matmul(weight, grd_transpose(weight, 0, 1)));
    const grd_gradcheck_options options = { .module = f.linear };
    bool passed = false;
    for (int n = 1; !passed; n++) {
        f.calls = n;
        passed = grd_gradcheck(breaks, &f, GRD_LIST(x), &options).passed;
        cr_assert_eq(grd_error_take(), passed ? GRD_OK : GRD_ERROR_STATE, "%d", n);
        cr_assert_eq(grd_read_f64(weight, after, 12), GRD_OK);
        cr_assert_eq(memcmp(before, after, sizeof before), 0, "%d", n);
    }
    cr_assert_eq(grd_backward(y), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *norm_of_weight(const grd_tensor *const *in, void *module)
{
    (void)in;
    return grd_sum(grd_square(grd_module_parameter(module, "weight")));
}

Test(module_gradcheck, inputs_may_be_none_and_frozen_ones_are_left_out)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_module *linear = grd_linear_create(grd_rng_create(1), 4, 3, NULL);
    const grd_gradcheck_options options = { .module = linear };
    grd_gradcheck_report report = grd_gradcheck(norm_of_weight, linear, (grd_list){ 0 }, &options);
    cr_assert(report.passed && report.compared == 12 + 3, "%s", report.text);
    report = grd_gradgradcheck(norm_of_weight, linear, (grd_list){ 0 }, &options);
    cr_assert(report.passed && report.compared == 12 + 3 + 1, "%s", report.text);
    cr_assert_eq(grd_module_freeze(linear), GRD_OK);
    report = grd_gradcheck(norm_of_weight, linear, (grd_list){ 0 }, &options);
    cr_assert(!report.passed && report.compared == 0);
    cr_assert_str_eq(report.text, "nothing to compare");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

typedef grd_gradcheck_report checker(grd_function, void *, grd_list, const grd_gradcheck_options *);

/* A check with memory running out at its nth allocation (0: never). Gives how many there were. */
static long check_failing(checker *check, long n)
{
    double before[6], after[6];
    counter memory = { 0 };
    count_with(&memory, true);
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(1);
    grd_module *linear = grd_linear_create(rng, 2, 3, NULL);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(1, 2));
    const grd_tensor *weight = grd_module_parameter(linear, "weight");
    const grd_gradcheck_options options = { .module = linear };
    cr_assert_eq(grd_read_f64(weight, before, 6), GRD_OK);
    const long others = memory.asked;
    memory.fail_at = n ? others + n : 0;
    cr_assert_eq(check(run, linear, GRD_LIST(x), &options).passed, n == 0, "%ld", n);
    const long needed = memory.asked - others;
    cr_assert_eq(grd_error_take(), n ? GRD_ERROR_MEMORY : GRD_OK, "%ld", n);
    memory.fail_at = 0;
    cr_assert_eq(grd_read_f64(weight, after, 6), GRD_OK);
    cr_assert_eq(memcmp(before, after, sizeof before), 0, "%ld", n);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
    cr_assert_eq(memory.live, 0, "allocation %ld: %ld blocks leaked", n, memory.live);
    return needed;
}

Test(module_gradcheck, fails_cleanly_at_every_allocation)
{
    checker *const checks[] = { grd_gradcheck, grd_gradgradcheck };
    for (int i = 0; i < 2; i++)
        for (long n = check_failing(checks[i], 0); n > 0; n--)
            check_failing(checks[i], n);
}
