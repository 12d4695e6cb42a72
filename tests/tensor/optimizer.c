/* Optimizers' kernels on arrays that are worth several threads. */
#include "tensor/front.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>

enum { COUNT = 100003 };

static grd_tensor *random_tensor(uint64_t seed, grd_dtype dtype)
{
    return grd_cast(grd_randn(grd_rng_create(seed), GRD_SHAPE(COUNT)), dtype);
}

static void square_sum(const grd_tensor *x, double found[2])
{
    const grd_shape shape = { 2, { 1, 2 } };
    grd_tensor *sums = grdi_full("test", &shape, 7, GRD_F64, grd_cpu());
    cr_assert(grdi_square_sum(sums, 0, x, NULL), "%s", grd_error_message());
    cr_assert_eq(grd_read_f64(sums, found, 2), GRD_OK);
}

static void expect_square_sum(grd_dtype dtype)
{
    static double values[COUNT];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    const grd_tensor *x = random_tensor(3, dtype);
    cr_assert_eq(grd_read_f64(x, values, COUNT), GRD_OK);
    double expected = 0, one[2], found[2];
    for (int i = 0; i < COUNT; i++)
        expected += values[i] * values[i];
    for (int threads = 1; threads <= 4; threads++) {
        grd_device_set_threads(grd_cpu(), threads);
        square_sum(x, threads == 1 ? one : found);
        cr_assert(threads == 1 || (found[0] == one[0] && found[1] == 0), "%d threads", threads);
    }
    cr_assert_float_eq(one[0], expected, 1e-12 * expected);
    grd_device_set_threads(grd_cpu(), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer_kernels, square_sum_is_right_on_any_number_of_threads)
{
    expect_square_sum(GRD_F32);
    expect_square_sum(GRD_F64);
    expect_square_sum(GRD_BF16);
}

Test(optimizer_kernels, square_sum_counts_what_is_not_finite)
{
    grd_scope *scope = grd_scope_begin();
    static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16 };
    for (int i = 0; i < 3; i++) {
        double found[2];
        grd_tensor *x = random_tensor(3, dtypes[i]);
        grd_fill_(grd_slice(x, 0, 70000, 70003, 1), NAN);
        grd_fill_(grd_slice(x, 0, COUNT - 1, GRD_END, 1), -INFINITY);
        square_sum(x, found);
        cr_assert_eq(found[1], 4, "%g", found[1]);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer_kernels, steps_have_the_same_bits_on_any_number_of_threads)
{
    static const grdi_adam numbers = { 0.99, 0.9, 0.99, 0.1, 1.5, 1e-8 };
    static const grdi_sgd simple = { 0.1, 0.9, 0.01, true };
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *dx = random_tensor(1, GRD_F32);
    grd_tensor *one = NULL;
    for (int threads = 1; threads <= 4; threads++) {
        grd_device_set_threads(grd_cpu(), threads);
        grd_tensor *x = random_tensor(2, GRD_F32), *m = random_tensor(3, GRD_F32);
        grd_tensor *v = grd_square(random_tensor(4, GRD_F32));
        cr_assert(grdi_adam_step(x, m, v, dx, &numbers) && grdi_sgd_step(x, m, dx, &simple));
        one = threads == 1 ? x : one;
        cr_assert(grd_equal(x, one), "%d threads", threads);
    }
    grd_device_set_threads(grd_cpu(), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer_kernels, refuse_what_does_not_fit)
{
    grd_scope *scope = grd_scope_begin();
    static const grdi_sgd simple = { .lr = 0.1 };
    grd_tensor *x = grd_ones(GRD_SHAPE(2, 3));
    const struct {
        grd_tensor *x, *b, *dx;
        const char *message;
    } cases[] = {
        { x, NULL, grd_ones(GRD_SHAPE(3, 2)), "sgd: the parameter is [2, 3], its gradient [3, 2]" },
        { x, grd_ones(GRD_SHAPE(6)), x, "sgd: the parameter is [2, 3], its momentum [6]" },
        { x, NULL, grd_cast(x, GRD_F64),
          "sgd: dtypes differ: a is f32, b is f64 (grd_cast one of them)" },
        { x, NULL, grd_transpose(grd_ones(GRD_SHAPE(3, 2)), 0, 1),
          "sgd: the parameter and its gradient must be contiguous" },
        { x, NULL, NULL, "sgd: an argument is NULL" },
        { grd_cast(x, GRD_BF16), NULL, grd_cast(x, GRD_BF16), "sgd: bf16 is not supported on cpu" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_not(grdi_sgd_step(cases[i].x, cases[i].b, cases[i].dx, &simple));
        cr_assert_str_eq(grd_error_message(), cases[i].message);
        cr_assert_neq(grd_error_take(), GRD_OK);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
