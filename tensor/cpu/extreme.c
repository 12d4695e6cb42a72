#include "tensor/cpu/reduce.h"

#include <math.h>

/* NaN is larger and smaller than all others. `position` is kept with the value, so that the first
 * of equals stays. */

static void max_f64(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    (void)context;
    const double *x = values;
    for (int64_t i = 0; i < n; i++)
        if (total->position < 0 || x[i] > total->real || (isnan(x[i]) && !isnan(total->real))) {
            total->real = x[i];
            total->position = position + i;
        }
}

static void min_f64(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    (void)context;
    const double *x = values;
    for (int64_t i = 0; i < n; i++)
        if (total->position < 0 || x[i] < total->real || (isnan(x[i]) && !isnan(total->real))) {
            total->real = x[i];
            total->position = position + i;
        }
}

static void max_i64(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    (void)context;
    const int64_t *x = values;
    for (int64_t i = 0; i < n; i++)
        if (total->position < 0 || x[i] > total->whole) {
            total->whole = x[i];
            total->position = position + i;
        }
}

static void min_i64(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    (void)context;
    const int64_t *x = values;
    for (int64_t i = 0; i < n; i++)
        if (total->position < 0 || x[i] < total->whole) {
            total->whole = x[i];
            total->position = position + i;
        }
}

grd_status grdi_cpu_max(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced)
{
    (void)device;
    return grdi_reduce(y, x, reduced,
                       &(grdi_reducer){ NULL, max_f64, max_i64, NULL, { 0, 0, -1 }, 1, false });
}

grd_status grdi_cpu_min(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced)
{
    (void)device;
    return grdi_reduce(y, x, reduced,
                       &(grdi_reducer){ NULL, min_f64, min_i64, NULL, { 0, 0, -1 }, 1, false });
}

grd_status grdi_cpu_argmax(grd_device *device, const grdi_array *y, const grdi_array *x,
                           int reduced)
{
    (void)device;
    return grdi_reduce(y, x, reduced,
                       &(grdi_reducer){ NULL, max_f64, max_i64, NULL, { 0, 0, -1 }, 1, true });
}
