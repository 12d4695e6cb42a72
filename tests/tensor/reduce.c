/* Reductions where numbers are many, odd or none. */
#include "tensor/cpu/loops.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <string.h>

Test(reduce, sums_of_f32_are_as_exact_as_f64)
{
    grd_scope *scope = grd_scope_begin();
    const double tenth = (double)0.1f;
    const grd_tensor *x = grd_full(GRD_SHAPE(1000, 1111), 0.1);
    cr_assert_eq(grd_item(grd_sum(x)), (double)(float)(tenth * 1111000));
    const grd_tensor *rows = grd_sum_dims(x, GRD_DIMS(1), GRD_DROP_DIMS);
    const grd_tensor *columns = grd_sum_dims(x, GRD_DIMS(0), GRD_DROP_DIMS);
    cr_assert_eq(grd_item(grd_select(rows, 0, 999)), (double)(float)(tenth * 1111));
    cr_assert_eq(grd_item(grd_select(columns, 0, 1110)), (double)(float)(tenth * 1000));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(reduce, nothing_has_a_sum_but_no_mean_and_no_largest)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_zeros(GRD_SHAPE(2, 0, 3));
    cr_assert_eq(grd_item(grd_sum(x)), 0);
    cr_assert(isnan(grd_item(grd_mean(x))));
    cr_assert(isnan(grd_item(grd_var_dims(grd_ones(GRD_SHAPE(1)), (grd_dims){ 0 }, 1, 0))));
    const grd_tensor *argmax = grd_argmax_dims(x, GRD_DIMS(0), GRD_KEEP_DIMS);
    cr_assert_eq(grd_tensor_count(argmax), 0);
    cr_assert_null(grd_argmax_dims(x, (grd_dims){ 0 }, GRD_DROP_DIMS));
    cr_assert(strstr(grd_error_message(),
                     "argmax: dimension 1 of [2, 0, 3] is empty: there is no argmax"));
    cr_assert_eq(grd_error_take(), GRD_ERROR_SHAPE);
    grd_scope_end(scope);
}

Test(reduce, integers_are_exact)
{
    grd_scope *scope = grd_scope_begin();
    const int64_t values[] = { INT64_MAX - 5, 3, 1, INT64_MAX - 6 };
    int64_t sum, best;
    const grd_tensor *x = grd_from_i64(values, 4, GRD_SHAPE(2, 2));
    cr_assert_eq(grd_read_i64(grd_sum_dims(grd_select(x, 0, 0), GRD_DIMS(0), 0), &sum, 1), GRD_OK);
    cr_assert_eq(sum, INT64_MAX - 2);
    cr_assert_eq(grd_read_i64(grd_argmax_dims(x, (grd_dims){ 0 }, 0), &best, 1), GRD_OK);
    cr_assert_eq(best, 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(reduce, no_number_is_the_largest_and_the_first_of_equals_wins)
{
    grd_scope *scope = grd_scope_begin();
    static float x[100000];
    x[70000] = x[90000] = 2;
    const grd_shape shape = GRD_SHAPE(100000);
    cr_assert_eq(grd_item(grd_cast(grd_argmax(grd_from_f32(x, 100000, shape), 0), GRD_F64)), 70000);
    x[80000] = x[95000] = NAN;
    cr_assert_eq(grd_item(grd_cast(grd_argmax(grd_from_f32(x, 100000, shape), 0), GRD_F64)), 80000);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(reduce, variance_far_from_zero)
{
    grd_scope *scope = grd_scope_begin();
    float x[600];
    for (int i = 0; i < 600; i++)
        x[i] = 1e4f + (float)(i % 2);
    const grd_tensor *var = grd_var_dims(grd_from_f32(x, 600, GRD_SHAPE(600)), GRD_DIMS(0), 0, 0);
    cr_assert_eq(grd_item(var), 0.25);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* The loops of every set against plain ones, at every length, NaN at every place. */
static const char *const sets[] = { "baseline", "avx2", "avx512" };

static void expect_extremes(const grdi_loops *loops, int n, const float *x)
{
    float largest = -INFINITY, smallest = INFINITY;
    for (int i = 0; i < n; i++) {
        largest = x[i] > largest ? x[i] : largest;
        smallest = x[i] < smallest ? x[i] : smallest;
    }
    cr_assert_eq(loops->largest_f32(n, x), largest, "%s, %d", loops->set, n);
    cr_assert_eq(loops->smallest_f32(n, x), smallest, "%s, %d", loops->set, n);
}

Test(reduce, extremes_of_every_length_with_nan_anywhere)
{
    enum { LENGTH = 140 };
    float x[LENGTH];
    for (int s = 0; s < 3; s++)
        for (int n = 0; n <= LENGTH; n++) {
            const grdi_loops *loops = grdi_choose_loops(sets[s]);
            for (int i = 0; i < n; i++)
                x[i] = (float)((i + 1) * 7919 % 1000) - (n % 2 ? 2000.0f : -2000.0f);
            expect_extremes(loops, n, x);
            for (int at = 0; at < n; at++) {
                const float kept = x[at];
                x[at] = NAN;
                cr_assert(isnan(loops->largest_f32(n, x)) && isnan(loops->smallest_f32(n, x)),
                          "%s: NaN at %d of %d", loops->set, at, n);
                x[at] = kept;
            }
        }
}

Test(reduce, sums_of_every_length_are_those_of_f64)
{
    enum { LENGTH = 140 };
    float x[LENGTH];
    for (int i = 0; i < LENGTH; i++)
        x[i] = (float)(i * 37 % 101) / 7 - 3;
    for (int s = 0; s < 3; s++) {
        double sum = 0, distance = 0;
        for (int n = 0; n <= LENGTH; n++) {
            const grdi_loops *loops = grdi_choose_loops(sets[s]);
            cr_assert_float_eq(loops->sum_f32(n, x), sum, 1e-12, "%s, %d", sets[s], n);
            cr_assert_float_eq(loops->distance_f32(n, x, 0.25), distance, 1e-11, "%s, %d", sets[s],
                               n);
            sum += n < LENGTH ? (double)x[n] : 0;
            distance += n < LENGTH ? ((double)x[n] - 0.25) * ((double)x[n] - 0.25) : 0;
        }
    }
}

/* The first of equals, and the first NaN, in rows that are longer than what is read at once. */
Test(reduce, argmax_is_the_first)
{
    grd_scope *scope = grd_scope_begin();
    for (int64_t at = 0; at < 1400; at += 93) {
        float values[3000] = { 0 };
        values[at] = values[at + 50] = values[1500 + at] = 1;
        values[1500 + at + 20] = values[1500 + at + 70] = NAN;
        const grd_tensor *x = grd_from_f32(values, 3000, GRD_SHAPE(2, 1500));
        const int64_t *found = grd_data_i64(grd_argmax(x, 1));
        cr_assert(found[0] == at && found[1] == at + 20);
        cr_assert(isnan(grd_item(grd_max(x))) && isnan(grd_item(grd_min(x))));
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
