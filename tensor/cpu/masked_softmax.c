#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <assert.h>
#include <math.h>

/* y = softmax(scale x + additive) where kept, else 0; y may be x. */
static void softmax_f64(int64_t n, double *y, double *lse, const double *x, double scale,
                        const double *additive, const bool *keep)
{
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        y[i] = keep && !keep[i] ? -INFINITY : scale * x[i] + (additive ? additive[i] : 0);
        max = y[i] > max || isnan(y[i]) ? y[i] : max;
    }
    const bool seen = max != -INFINITY;
    for (int64_t i = 0; i < n; i++)
        sum += y[i] = !seen || (keep && !keep[i]) ? 0 : exp(y[i] - max);
    for (int64_t i = 0; i < n; i++)
        y[i] = !seen || (keep && !keep[i]) ? 0 : y[i] / sum;
    if (lse)
        *lse = seen ? max + log(sum) : -INFINITY;
}

/* dx = scale y (dy - sum y dy) where kept, else 0; dx may be dy. */
static void softmax_backward_f64(int64_t n, double *dx, const double *y, const double *dy,
                                 double scale, const bool *keep)
{
    double dot = 0;
    for (int64_t i = 0; i < n; i++)
        dot += keep && !keep[i] ? 0 : y[i] * dy[i];
    for (int64_t i = 0; i < n; i++)
        dx[i] = keep && !keep[i] ? 0 : scale * y[i] * (dy[i] - dot);
}

/* A row of bools side by side: in place, or copied to `buffer`. */
static const bool *load_bool(const grdi_array *x, const int64_t index[], void *buffer)
{
    if (!x)
        return NULL;
    const int64_t n = grdi_row_length(x), stride = grdi_row_stride(x);
    const bool *data = (const bool *)x->data + grdi_offset(x, grdi_outer_rank(x), index);
    if (stride == 1 || n == 1)
        return data;
    bool *row = buffer;
    for (int64_t i = 0; i < n; i++)
        row[i] = data[i * stride];
    return row;
}

static const float *row_f32(const grdi_array *x, const int64_t index[], void *buffer)
{
    return x ? grdi_load_f32(x, grdi_offset(x, grdi_outer_rank(x), index), grdi_row_stride(x),
                             grdi_row_length(x), buffer)
             : NULL;
}

static const double *row_f64(const grdi_array *x, const int64_t index[], void *buffer)
{
    return x ? grdi_load_f64(x, grdi_offset(x, grdi_outer_rank(x), index), grdi_row_stride(x),
                             grdi_row_length(x), buffer)
             : NULL;
}

/* Forward: result y, inputs x and additive. Backward: result dx, inputs y and dy. */
typedef struct arrays {
    const grdi_array *result, *lse, *first, *second, *keep;
    double scale;
    const grdi_loops *loops;
} arrays;

enum { BUFFERS = 4 };

static void forward_f64(const arrays *in, const int64_t index[], double *buffer[BUFFERS])
{
    const grdi_array *y = in->result, *lse = in->lse;
    const int64_t n = grdi_row_length(y), stride = grdi_row_stride(y);
    const int64_t to = grdi_offset(y, grdi_outer_rank(y), index);
    double sum, *result = grdi_target_f64(y, to, stride, buffer[0]);
    softmax_f64(n, result, lse ? &sum : NULL, row_f64(in->first, index, buffer[1]), in->scale,
                row_f64(in->second, index, buffer[2]), load_bool(in->keep, index, buffer[3]));
    grdi_store_f64(y, to, stride, n, result);
    if (lse)
        grdi_store_f64(lse, grdi_offset(lse, lse->rank, index), 1, 1, &sum);
}

static void forward_f32(const arrays *in, const int64_t index[], double *buffer[BUFFERS])
{
    const grdi_array *y = in->result, *lse = in->lse;
    const int64_t n = grdi_row_length(y), stride = grdi_row_stride(y);
    const int64_t to = grdi_offset(y, grdi_outer_rank(y), index);
    float sum, *result = grdi_target_f32(y, to, stride, (float *)buffer[0]);
    in->loops->masked_softmax_f32(
        n, result, lse ? &sum : NULL, row_f32(in->first, index, buffer[1]), (float)in->scale,
        row_f32(in->second, index, buffer[2]), load_bool(in->keep, index, buffer[3]));
    grdi_store_f32(y, to, stride, n, result);
    if (lse)
        grdi_store_f32(lse, grdi_offset(lse, lse->rank, index), 1, 1, &sum);
}

static void backward_f64(const arrays *in, const int64_t index[], double *buffer[BUFFERS])
{
    const grdi_array *dx = in->result;
    const int64_t n = grdi_row_length(dx), stride = grdi_row_stride(dx);
    const int64_t to = grdi_offset(dx, grdi_outer_rank(dx), index);
    double *result = grdi_target_f64(dx, to, stride, buffer[0]);
    softmax_backward_f64(n, result, row_f64(in->first, index, buffer[1]),
                         row_f64(in->second, index, buffer[2]), in->scale,
                         load_bool(in->keep, index, buffer[3]));
    grdi_store_f64(dx, to, stride, n, result);
}

static void backward_f32(const arrays *in, const int64_t index[], double *buffer[BUFFERS])
{
    const grdi_array *dx = in->result;
    const int64_t n = grdi_row_length(dx), stride = grdi_row_stride(dx);
    const int64_t to = grdi_offset(dx, grdi_outer_rank(dx), index);
    float *result = grdi_target_f32(dx, to, stride, (float *)buffer[0]);
    in->loops->masked_softmax_backward_f32(n, result, row_f32(in->first, index, buffer[1]),
                                           row_f32(in->second, index, buffer[2]), (float)in->scale,
                                           load_bool(in->keep, index, buffer[3]));
    grdi_store_f32(dx, to, stride, n, result);
}

typedef void row_function(const arrays *in, const int64_t index[], double *buffer[BUFFERS]);

static grd_status rows(const arrays *in, int64_t first, int64_t last, row_function *row)
{
    const int outer = grdi_outer_rank(in->result);
    const int64_t n = grdi_row_length(in->result);
    const size_t bytes = BUFFERS * (size_t)n * sizeof(double);
    double *block = grdi_allocate(bytes), *buffer[BUFFERS];
    if (!block)
        return GRD_ERROR_MEMORY;
    for (int i = 0; i < BUFFERS; i++)
        buffer[i] = block + i * n;

    int64_t index[GRD_MAX_RANK];
    grdi_seek(in->result, outer, first, index);
    for (int64_t i = first; i < last; i++) {
        row(in, index, buffer);
        grdi_next(in->result, outer, index);
    }
    grdi_free(block, bytes);
    return GRD_OK;
}

static grd_status forward_rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    return rows(in, first, last, in->result->dtype == GRD_F64 ? forward_f64 : forward_f32);
}

static grd_status backward_rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    return rows(in, first, last, in->result->dtype == GRD_F64 ? backward_f64 : backward_f32);
}

static int64_t count_of_rows(const grdi_array *x)
{
    return grdi_positions(x, grdi_outer_rank(x));
}

static int64_t grain_of(const grdi_array *x)
{
    return grdi_grain(20 + 0.3 * (double)grdi_row_length(x));
}

/* Rows without elements: no sum is taken. */
static grd_status empty(grd_device *device, const grdi_array *lse)
{
    return lse ? grdi_cpu_fill(device, lse, -INFINITY) : GRD_OK;
}

grd_status grdi_cpu_masked_softmax(grd_device *device, const grdi_array *y, const grdi_array *lse,
                                   const grdi_array *x, const grdi_array *additive,
                                   const grdi_array *keep, double scale)
{
    assert(x->rank >= 1);
    if (grdi_is_empty(x))
        return empty(device, lse);
    arrays in = { y, lse, x, additive, keep, scale, grdi_loops_of(device) };
    return grdi_parallel(count_of_rows(y), grain_of(y), forward_rows, &in);
}

grd_status grdi_cpu_masked_softmax_backward(grd_device *device, const grdi_array *dx,
                                            const grdi_array *y, const grdi_array *dy,
                                            const grdi_array *keep, double scale)
{
    assert(dx->rank >= 1);
    if (grdi_is_empty(dx))
        return GRD_OK;
    arrays in = { dx, NULL, y, dy, keep, scale, grdi_loops_of(device) };
    return grdi_parallel(count_of_rows(dx), grain_of(dx), backward_rows, &in);
}
