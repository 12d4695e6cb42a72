#include "tensor/cpu/each_row.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <assert.h>

typedef struct arrays {
    const grdi_array *y, *a, *b;
    const grdi_row_loops *loops;
} arrays;

static void row_f32(const arrays *in, const int64_t index[], float *buffer)
{
    const int outer = grdi_outer_rank(in->y);
    const int64_t n = grdi_row_length(in->y), to = grdi_offset(in->y, outer, index);
    const int64_t stride = grdi_row_stride(in->y);
    float *y = grdi_target_f32(in->y, to, stride, buffer);
    const float *a = grdi_load_f32(in->a, grdi_offset(in->a, outer, index), grdi_row_stride(in->a),
                                   n, buffer + n);
    if (in->b)
        in->loops->two_f32(n, y, a,
                           grdi_load_f32(in->b, grdi_offset(in->b, outer, index),
                                         grdi_row_stride(in->b), n, buffer + 2 * n));
    else
        in->loops->one_f32(n, y, a);
    grdi_store_f32(in->y, to, stride, n, y);
}

static void row_f64(const arrays *in, const int64_t index[], double *buffer)
{
    const int outer = grdi_outer_rank(in->y);
    const int64_t n = grdi_row_length(in->y), to = grdi_offset(in->y, outer, index);
    const int64_t stride = grdi_row_stride(in->y);
    double *y = grdi_target_f64(in->y, to, stride, buffer);
    const double *a = grdi_load_f64(in->a, grdi_offset(in->a, outer, index), grdi_row_stride(in->a),
                                    n, buffer + n);
    if (in->b)
        in->loops->two_f64(n, y, a,
                           grdi_load_f64(in->b, grdi_offset(in->b, outer, index),
                                         grdi_row_stride(in->b), n, buffer + 2 * n));
    else
        in->loops->one_f64(n, y, a);
    grdi_store_f64(in->y, to, stride, n, y);
}

static grd_status rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int outer = grdi_outer_rank(in->y);
    const size_t bytes = 3 * (size_t)grdi_row_length(in->y) * sizeof(double);
    void *buffer = grdi_allocate(bytes);
    if (!buffer)
        return GRD_ERROR_MEMORY;

    int64_t index[GRD_MAX_RANK];
    grdi_seek(in->y, outer, first, index);
    for (int64_t i = first; i < last; i++) {
        if (in->y->dtype == GRD_F64)
            row_f64(in, index, buffer);
        else
            row_f32(in, index, buffer);
        grdi_next(in->y, outer, index);
    }
    grdi_free(buffer, bytes);
    return GRD_OK;
}

grd_status grdi_each_row(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                         const grdi_row_loops *loops)
{
    assert(y->rank >= 1 && y->rank == a->rank);
    if (grdi_is_empty(y))
        return GRD_OK;
    arrays in = { y, a, b, loops };
    return grdi_parallel(grdi_positions(y, grdi_outer_rank(y)),
                         grdi_grain(loops->ns * (double)grdi_row_length(y)), rows, &in);
}
