#include "tensor/cpu/each_row.h"

/* Sums in f64, so that a long row loses no digits on the way. */

static void forward_f32(int64_t n, float *y, const float *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(sum += (double)x[i]);
}

static void backward_f32(int64_t n, float *y, const float *x)
{
    double sum = 0;
    for (int64_t i = n - 1; i >= 0; i--)
        y[i] = (float)(sum += (double)x[i]);
}

static void forward_f64(int64_t n, double *y, const double *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        y[i] = sum += x[i];
}

static void backward_f64(int64_t n, double *y, const double *x)
{
    double sum = 0;
    for (int64_t i = n - 1; i >= 0; i--)
        y[i] = sum += x[i];
}

static void forward_i64(int64_t n, int64_t *y, const int64_t *x)
{
    uint64_t sum = 0; /* wraps around */
    for (int64_t i = 0; i < n; i++)
        y[i] = (int64_t)(sum += (uint64_t)x[i]);
}

static void backward_i64(int64_t n, int64_t *y, const int64_t *x)
{
    uint64_t sum = 0;
    for (int64_t i = n - 1; i >= 0; i--)
        y[i] = (int64_t)(sum += (uint64_t)x[i]);
}

grd_status grdi_cpu_cumsum(grd_device *device, const grdi_array *y, const grdi_array *x,
                           bool reverse)
{
    static const grdi_row_loops loops[] = {
        { .one_f32 = forward_f32, .one_f64 = forward_f64, .one_i64 = forward_i64, .ns = 1 },
        { .one_f32 = backward_f32, .one_f64 = backward_f64, .one_i64 = backward_i64, .ns = 1 },
    };
    (void)device;
    return grdi_each_row(y, x, NULL, &loops[reverse]);
}
