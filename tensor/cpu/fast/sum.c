#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

double GRDI_LOOP(sum_f32)(int64_t n, const float *x)
{
    wide low = wide_all(0), high = wide_all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        low += low_half(load(x + i));
        high += high_half(load(x + i));
    }
    if (i < n) {
        const vec rest = load_part(x + i, n - i, all(0));
        low += low_half(rest);
        high += high_half(rest);
    }
    return wide_sum_of(low + high);
}

/* The columns of one vector stay in registers. */
static void sum_vector(int64_t rows, double *totals, const float *x, int64_t stride)
{
    wide low = wide_load(totals), high = wide_load(totals + LANES / 2);
    for (int64_t i = 0; i < rows; i++) {
        const vec row = load(x + i * stride);
        low += low_half(row);
        high += high_half(row);
    }
    wide_store(totals, low);
    wide_store(totals + LANES / 2, high);
}

/* The same of two vectors, for more sums under way at a time. */
static void sum_two_vectors(int64_t rows, double *totals, const float *x, int64_t stride)
{
    enum { HALF = LANES / 2 };
    wide sum[4];
    for (int k = 0; k < 4; k++)
        sum[k] = wide_load(totals + k * HALF);
    for (int64_t i = 0; i < rows; i++) {
        const vec left = load(x + i * stride), right = load(x + i * stride + LANES);
        sum[0] += low_half(left);
        sum[1] += high_half(left);
        sum[2] += low_half(right);
        sum[3] += high_half(right);
    }
    for (int k = 0; k < 4; k++)
        wide_store(totals + k * HALF, sum[k]);
}

void GRDI_LOOP(sum_columns_f32)(int64_t rows, int64_t n, double *totals, const float *x,
                                int64_t stride)
{
    int64_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        sum_two_vectors(rows, totals + j, x + j, stride);
    for (; j + LANES <= n; j += LANES)
        sum_vector(rows, totals + j, x + j, stride);
    for (int64_t i = 0; j < n && i < rows; i++)
        for (int64_t k = j; k < n; k++)
            totals[k] += (double)x[i * stride + k];
}
