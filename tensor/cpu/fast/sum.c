#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

/* Several sums of halves at a time, since one would wait for the one before. */
enum { SUMS = 4 };

/* By -0, which changes no sum: gcc would make a call or a slow instruction of zeros. */
static inline void clear(wide low[SUMS], wide high[SUMS])
{
    for (int k = 0; k < SUMS; k++)
        low[k] = high[k] = wide_all(-0.0);
}

static inline double sum_up(wide low[SUMS], wide high[SUMS])
{
    for (int k = 0; k < SUMS; k++)
        low[k] += high[k];
    return wide_sum_of((low[0] + low[1]) + (low[2] + low[3]));
}

double GRDI_LOOP(sum_f32)(int64_t n, const float *x)
{
    wide low[SUMS], high[SUMS];
    clear(low, high);
    int64_t i = 0;
    for (; i + SUMS * LANES <= n; i += SUMS * LANES)
        for (int k = 0; k < SUMS; k++) {
            const vec next = load(x + i + k * LANES);
            low[k] += low_half(next);
            high[k] += high_half(next);
        }
    for (; i < n; i += LANES) {
        const vec next = load_first(x + i, n - i);
        low[0] += low_half(next);
        high[0] += high_half(next);
    }
    return sum_up(low, high);
}

static inline wide distance(wide sum, wide x, wide mean)
{
    return wide_mul_add(x - mean, x - mean, sum);
}

double GRDI_LOOP(distance_f32)(int64_t n, const float *x, double mean)
{
    const wide middle = wide_all(mean);
    wide low[SUMS], high[SUMS];
    clear(low, high);
    int64_t i = 0;
    for (; i + SUMS * LANES <= n; i += SUMS * LANES)
        for (int k = 0; k < SUMS; k++) {
            const vec next = load(x + i + k * LANES);
            low[k] = distance(low[k], low_half(next), middle);
            high[k] = distance(high[k], high_half(next), middle);
        }
    for (; i + LANES <= n; i += LANES) {
        low[0] = distance(low[0], low_half(load(x + i)), middle);
        high[0] = distance(high[0], high_half(load(x + i)), middle);
    }
    double sum = sum_up(low, high);
    for (; i < n; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
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
