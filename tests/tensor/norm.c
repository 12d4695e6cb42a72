/* Norms and softmax where numbers are large, infinite or none. */
#include "tensor/cpu/loops.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>

static const char *const sets[] = { "baseline", "avx2", "avx512" };

/* Rows around 1e4 with deviations of about 1: what a naive variance gets wrong. */
static void fill_row(int n, float *x, float centre)
{
    for (int i = 0; i < n; i++)
        x[i] = centre + (float)((i * 37) % 101) / 32 - 1.5f;
}

static double mean_of(int n, const float *x)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / n;
}

static double factor_of(int n, const float *x, double mean, double eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return 1 / sqrt(sum / n + eps);
}

Test(norm, rows_far_from_zero_keep_their_digits)
{
    float x[130], y[130], ones[130], zeros[130] = { 0 };
    for (int i = 0; i < 130; i++)
        ones[i] = 1;
    for (int s = 0; s < 3; s++)
        for (int n = 1; n < 130; n++) {
            double stats[2];
            fill_row(n, x, 1e4f);
            grdi_choose_loops(sets[s])->norm_f32(n, y, x, ones, zeros, true, 1e-5, stats);
            const double mean = mean_of(n, x), factor = factor_of(n, x, mean, 1e-5);
            cr_assert(fabs(stats[0] - mean) < 1e-7 * 1e4, "%.17g, not %.17g", stats[0], mean);
            for (int i = 0; i < n; i++) {
                const double expected = ((double)x[i] - mean) * factor;
                cr_assert(fabs((double)y[i] - expected) < 4e-6, "%s, %d of %d: %.9g, not %.9g",
                          sets[s], i, n, (double)y[i], expected);
            }
        }
}

/* Gradients of rows far from zero are those of the same rows near it. */
Test(norm, gradients_far_from_zero_keep_their_digits)
{
    float near[64], far[64], dy[64], ones[64], dx[2][64], sums[4][64] = { { 0 } };
    for (int i = 0; i < 64; i++) {
        ones[i] = 1;
        dy[i] = (float)((i * 29) % 64) / 32 - 1;
    }
    fill_row(64, near, 0);
    fill_row(64, far, 8192); /* exact: both have the same deviations */
    for (int s = 0; s < 3; s++) {
        const grdi_loops *loops = grdi_choose_loops(sets[s]);
        float y[64], zeros[64] = { 0 };
        double stats[2];
        loops->norm_f32(64, y, near, ones, zeros, true, 1e-5, stats);
        loops->norm_backward_f32(64, dx[0], sums[0], sums[1], dy, near, ones, true, stats);
        loops->norm_f32(64, y, far, ones, zeros, true, 1e-5, stats);
        loops->norm_backward_f32(64, dx[1], sums[2], sums[3], dy, far, ones, true, stats);
        for (int i = 0; i < 64; i++) {
            cr_assert(fabsf(dx[0][i] - dx[1][i]) < 4e-6f, "%s: %.9g, not %.9g", sets[s],
                      (double)dx[1][i], (double)dx[0][i]);
            cr_assert(fabsf(sums[0][i] - sums[2][i]) < 1e-5f * (float)(s + 1));
        }
    }
}

Test(norm, log_softmax_of_large_numbers_is_exact)
{
    float x[40], y[40];
    for (int s = 0; s < 3; s++)
        for (int n = 1; n < 40; n++) {
            fill_row(n, x, 8192);
            grdi_choose_loops(sets[s])->log_softmax_f32(n, y, x);
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += exp((double)x[i] - 8192);
            for (int i = 0; i < n; i++) {
                const double expected = (double)x[i] - 8192 - log(sum);
                cr_assert(fabs((double)y[i] - expected) < 1e-6, "%s, %d of %d: %.9g, not %.9g",
                          sets[s], i, n, (double)y[i], expected);
            }
        }
}

static double logsumexp_of(float a, float b)
{
    const float x[] = { a, b };
    return grd_item(grd_logsumexp(grd_from_f32(x, 2, GRD_SHAPE(2)), 0, GRD_DROP_DIMS));
}

Test(norm, logsumexp_of_infinities_and_no_numbers)
{
    grd_scope *scope = grd_scope_begin();
    cr_assert_eq(logsumexp_of(-INFINITY, -INFINITY), -INFINITY);
    cr_assert_eq(logsumexp_of(INFINITY, 1), INFINITY);
    cr_assert_eq(logsumexp_of(-INFINITY, 3), 3);
    cr_assert(isnan(logsumexp_of(NAN, INFINITY)));
    cr_assert(isnan(logsumexp_of(NAN, 1)));
    cr_assert_eq(grd_item(grd_logsumexp(grd_zeros(GRD_SHAPE(0)), 0, GRD_DROP_DIMS)), -INFINITY);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* A NaN makes all of its row NaN, as the mean of squares has it; other rows are what they were. */
Test(norm, a_nan_fills_its_row)
{
    for (int columns = 3; columns < 40; columns += 9) {
        grd_scope *scope = grd_scope_begin();
        float values[2 * 40], y[2 * 40];
        for (int i = 0; i < 2 * columns; i++)
            values[i] = i == columns - 1 ? NAN : (float)i;
        const grd_tensor *x = grd_from_f32(values, 2 * columns, GRD_SHAPE(2, columns));
        const grd_tensor *ones = grd_ones(GRD_SHAPE(columns));
        for (int centred = 0; centred < 2; centred++) {
            const grd_tensor *normal =
                centred ? grd_layer_norm(x, ones, NULL, 1e-5) : grd_rms_norm(x, ones, 1e-5);
            cr_assert_eq(grd_read_f32(normal, y, 2 * columns), GRD_OK);
            for (int i = 0; i < 2 * columns; i++)
                cr_assert_eq(isnan(y[i]), i < columns, "%d columns, %d: %g", columns, i,
                             (double)y[i]);
        }
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}
