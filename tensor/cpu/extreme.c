#include "tensor/cpu/loops.h"
#include "tensor/cpu/reduce.h"

#include <math.h>

/* NaN is larger and smaller than all others. `position` is kept with the value, so that the first
 * of equals stays. */

/* Whether x takes the place of what was found so far. */
static bool is_larger(const grdi_total *total, double x)
{
    return total->position < 0 || x > total->real || (isnan(x) && !isnan(total->real));
}

static bool is_smaller(const grdi_total *total, double x)
{
    return total->position < 0 || x < total->real || (isnan(x) && !isnan(total->real));
}

static void found(grdi_total *total, double x, int64_t position)
{
    total->real = x;
    total->position = position;
}

/* Where the position is of no interest. */
static void max_f32(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    const double largest = (double)((const grdi_loops *)context)->largest_f32(n, values);
    if (is_larger(total, largest))
        found(total, largest, position);
}

static void min_f32(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    const double smallest = (double)((const grdi_loops *)context)->smallest_f32(n, values);
    if (is_smaller(total, smallest))
        found(total, smallest, position);
}

/* Looks for it once more only where it is larger than all before. */
static void argmax_f32(const void *context, grdi_total *total, int64_t n, const void *values,
                       int64_t position)
{
    const float *x = values, largest = ((const grdi_loops *)context)->largest_f32(n, x);
    int64_t i = 0;
    if (!is_larger(total, (double)largest))
        return;
    if (isnan(largest))
        while (i < n - 1 && !isnan(x[i]))
            i++;
    else
        while (i < n - 1 && x[i] != largest)
            i++;
    found(total, (double)largest, position + i);
}

static void max_f64(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    (void)context;
    const double *x = values;
    for (int64_t i = 0; i < n; i++)
        if (is_larger(total, x[i]))
            found(total, x[i], position + i);
}

static void min_f64(const void *context, grdi_total *total, int64_t n, const void *values,
                    int64_t position)
{
    (void)context;
    const double *x = values;
    for (int64_t i = 0; i < n; i++)
        if (is_smaller(total, x[i]))
            found(total, x[i], position + i);
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

static grd_status reduce(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced,
                         grdi_fold *f32, grdi_fold *f64, grdi_fold *i64, bool positions)
{
    const grdi_reducer reducer = { f32,          f64, i64,      NULL, grdi_loops_of(device),
                                   { 0, 0, -1 }, 1,   positions };
    return grdi_reduce(y, x, reduced, &reducer);
}

grd_status grdi_cpu_max(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced)
{
    return reduce(device, y, x, reduced, max_f32, max_f64, max_i64, false);
}

grd_status grdi_cpu_min(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced)
{
    return reduce(device, y, x, reduced, min_f32, min_f64, min_i64, false);
}

grd_status grdi_cpu_argmax(grd_device *device, const grdi_array *y, const grdi_array *x,
                           int reduced)
{
    return reduce(device, y, x, reduced, argmax_f32, max_f64, max_i64, true);
}
