#include "tensor/cpu/each_row.h"

/* Sums in f64, so that a long row loses no digits on the way. */

/* Four at a time: only the sum of all four waits for those before. By -1 from the end. */
#define CUMSUM(name, type, step)                                                                   \
    static void name(int64_t n, type *y, const type *x)                                            \
    {                                                                                              \
        double sum = 0;                                                                            \
        int64_t at = (step) > 0 ? 0 : n - 1, left = n;                                             \
        for (; left >= 4; left -= 4, at += 4 * (step)) {                                           \
            const double a = (double)x[at], b = a + (double)x[at + (step)];                        \
            const double c = b + (double)x[at + 2 * (step)];                                       \
            const double d = c + (double)x[at + 3 * (step)];                                       \
            y[at] = (type)(sum + a);                                                               \
            y[at + (step)] = (type)(sum + b);                                                      \
            y[at + 2 * (step)] = (type)(sum + c);                                                  \
            y[at + 3 * (step)] = (type)(sum += d);                                                 \
        }                                                                                          \
        for (; left > 0; left--, at += (step))                                                     \
            y[at] = (type)(sum += (double)x[at]);                                                  \
    }
CUMSUM(forward_f32, float, 1)
CUMSUM(backward_f32, float, -1)
CUMSUM(forward_f64, double, 1)
CUMSUM(backward_f64, double, -1)

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
