#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/tensor.h"

#include <string.h>

static int64_t first_outside(const grdi_array *x, int64_t at, int64_t n, double low, double high)
{
    double values[GRDI_TILE];
    int64_t integers[GRDI_TILE];
    const int64_t stride = grdi_row_stride(x);
    if (x->dtype == GRD_I64) {
        const int64_t *from = grdi_load_i64(x, at, stride, n, integers);
        for (int64_t i = 0; i < n; i++)
            if (!((double)from[i] >= low && (double)from[i] <= high))
                return i;
    } else {
        const double *from = grdi_load_f64(x, at, stride, n, values);
        for (int64_t i = 0; i < n; i++)
            if (!(from[i] >= low && from[i] <= high)) /* so for a NaN */
                return i;
    }
    return -1;
}

grd_status grdi_cpu_check_range(grd_device *device, const grdi_array *x, double low, double high,
                                int64_t *position)
{
    (void)device;
    const int64_t length = grdi_row_length(x), stride = grdi_row_stride(x);
    int64_t index[GRD_MAX_RANK] = { 0 }, row = 0;
    *position = -1;
    if (grdi_is_empty(x))
        return GRD_OK;
    do {
        const int64_t at = grdi_offset(x, grdi_outer_rank(x), index);
        for (int64_t done = 0; done < length; done += GRDI_TILE) {
            const int64_t n = length - done < GRDI_TILE ? length - done : GRDI_TILE;
            const int64_t found = first_outside(x, at + done * stride, n, low, high);
            if (found >= 0) {
                *position = row * length + done + found;
                return GRD_OK;
            }
        }
        row++;
    } while (grdi_next(x, grdi_outer_rank(x), index));
    return GRD_OK;
}

typedef struct arrays {
    const grdi_array *y, *x, *index;
} arrays;

/* y[i] = x[index[i]], each a step apart: elements move as what has their size. */
static void take(size_t size, int64_t n, void *y, int64_t sy, const void *x, int64_t sx,
                 const int64_t *index, int64_t si)
{
    if (size == 8)
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)y)[i * sy] = ((const uint64_t *)x)[index[i * si] * sx];
    else if (size == 4)
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)y)[i * sy] = ((const uint32_t *)x)[index[i * si] * sx];
    else if (size == 2)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)y)[i * sy] = ((const uint16_t *)x)[index[i * si] * sx];
    else
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)y)[i * sy] = ((const uint8_t *)x)[index[i * si] * sx];
}

/* Rows of y: item i is row index[i % N] of x's matrix i / N. */
static grd_status select_rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int64_t n = in->y->dim[1].size, size = in->x->dim[1].size, inner = in->x->dim[2].size;
    const int64_t *index = in->index->data;
    const size_t bytes = (size_t)inner * grdi_dtype_size(in->x->dtype);
    for (int64_t i = first; i < last; i++) {
        const int64_t from = i / n * size + index[i % n];
        memcpy(grdi_element(in->y, i * inner), grdi_element(in->x, from * inner), bytes);
    }
    return GRD_OK;
}

/* The same where a row is one element; items are x's matrices. */
static grd_status select_elements(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int64_t n = in->y->dim[1].size, size = in->x->dim[1].size;
    const size_t bytes = grdi_dtype_size(in->x->dtype);
    for (int64_t i = first; i < last; i++)
        take(bytes, n, grdi_element(in->y, i * n), 1, grdi_element(in->x, i * size), 1,
             in->index->data, 1);
    return GRD_OK;
}

grd_status grdi_cpu_index_select(grd_device *device, const grdi_array *y, const grdi_array *x,
                                 const grdi_array *index)
{
    (void)device;
    arrays in = { y, x, index };
    const int64_t outer = y->dim[0].size, n = y->dim[1].size, inner = y->dim[2].size;
    if (grdi_is_empty(y))
        return GRD_OK;
    if (inner == 1)
        return grdi_parallel(outer, grdi_grain(2 + (double)n), select_elements, &in);
    return grdi_parallel(outer * n, grdi_grain(5 + 0.2 * (double)inner), select_rows, &in);
}

enum { BLOCK = 64 };

/* y[i] += x[i] of the type that is summed in. */
static void add_row(grd_dtype dtype, int64_t n, void *y, const void *x)
{
    if (dtype == GRD_F32)
        for (int64_t i = 0; i < n; i++)
            ((float *)y)[i] += ((const float *)x)[i];
    else if (dtype == GRD_F64)
        for (int64_t i = 0; i < n; i++)
            ((double *)y)[i] += ((const double *)x)[i];
    else
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)y)[i] += ((const int64_t *)x)[i];
}

/* Items are blocks of columns of y's matrices: each has its sums to itself, in the indices'
 * order. */
static grd_status add_columns(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int64_t n = in->x->dim[1].size, size = in->y->dim[1].size, inner = in->y->dim[2].size;
    const int64_t blocks = (inner + BLOCK - 1) / BLOCK, *index = in->index->data;
    int64_t buffer[BLOCK];
    for (int64_t item = first; item < last; item++) {
        const int64_t matrix = item / blocks, column = item % blocks * BLOCK;
        const int64_t width = inner - column < BLOCK ? inner - column : BLOCK;
        for (int64_t i = 0; i < n; i++) {
            const int64_t to = (matrix * size + index[i]) * inner + column;
            const int64_t from = (matrix * n + i) * inner + column;
            add_row(in->y->dtype, width, grdi_element(in->y, to),
                    grdi_load(in->x, in->y->dtype, from, 1, width, buffer));
        }
    }
    return GRD_OK;
}

grd_status grdi_cpu_index_add(grd_device *device, const grdi_array *y, const grdi_array *x,
                              const grdi_array *index)
{
    (void)device;
    arrays in = { y, x, index };
    if (y->dtype != GRD_F32 && y->dtype != GRD_F64 && y->dtype != GRD_I64)
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(x))
        return GRD_OK;
    const int64_t inner = y->dim[2].size, blocks = (inner + BLOCK - 1) / BLOCK;
    const double width = (double)(inner < BLOCK ? inner : BLOCK);
    return grdi_parallel(y->dim[0].size * blocks,
                         grdi_grain((5 + 0.3 * width) * (double)x->dim[1].size), add_columns, &in);
}

/* Has f done on rows first..last - 1 of arrays whose dimensions before the last are index's. */
static void rows_of(const arrays *in, int64_t first, int64_t last,
                    void (*f)(const arrays *in, const int64_t at[3]))
{
    const int outer = grdi_outer_rank(in->index);
    int64_t index[GRD_MAX_RANK];
    grdi_seek(in->index, outer, first, index);
    for (int64_t row = first; row < last; row++) {
        const int64_t at[3] = { grdi_offset(in->y, outer, index), grdi_offset(in->x, outer, index),
                                grdi_offset(in->index, outer, index) };
        f(in, at);
        grdi_next(in->index, outer, index);
    }
}

static void gather_row(const arrays *in, const int64_t at[3])
{
    take(grdi_dtype_size(in->x->dtype), grdi_row_length(in->index), grdi_element(in->y, at[0]),
         grdi_row_stride(in->y), grdi_element(in->x, at[1]), grdi_row_stride(in->x),
         (const int64_t *)in->index->data + at[2], grdi_row_stride(in->index));
}

static grd_status gather_rows(void *context, int64_t first, int64_t last)
{
    rows_of(context, first, last, gather_row);
    return GRD_OK;
}

grd_status grdi_cpu_gather(grd_device *device, const grdi_array *y, const grdi_array *x,
                           const grdi_array *index)
{
    (void)device;
    arrays in = { y, x, index };
    if (grdi_is_empty(index))
        return GRD_OK;
    return grdi_parallel(grdi_positions(index, grdi_outer_rank(index)),
                         grdi_grain(5 + (double)grdi_row_length(index)), gather_rows, &in);
}

/* y[index[i]] += x[i]; x in tiles of the type that is summed in. */
static void scatter_tile(grd_dtype dtype, int64_t n, void *y, int64_t sy, const void *x,
                         const int64_t *index, int64_t si)
{
    if (dtype == GRD_F32)
        for (int64_t i = 0; i < n; i++)
            ((float *)y)[index[i * si] * sy] += ((const float *)x)[i];
    else if (dtype == GRD_F64)
        for (int64_t i = 0; i < n; i++)
            ((double *)y)[index[i * si] * sy] += ((const double *)x)[i];
    else
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)y)[index[i * si] * sy] += ((const int64_t *)x)[i];
}

static void scatter_row(const arrays *in, const int64_t at[3])
{
    int64_t buffer[GRDI_TILE];
    const int64_t length = grdi_row_length(in->index), sx = grdi_row_stride(in->x),
                  si = grdi_row_stride(in->index);
    for (int64_t done = 0; done < length; done += GRDI_TILE) {
        const int64_t n = length - done < GRDI_TILE ? length - done : GRDI_TILE;
        scatter_tile(in->y->dtype, n, grdi_element(in->y, at[0]), grdi_row_stride(in->y),
                     grdi_load(in->x, in->y->dtype, at[1] + done * sx, sx, n, buffer),
                     (const int64_t *)in->index->data + at[2] + done * si, si);
    }
}

static grd_status scatter_rows(void *context, int64_t first, int64_t last)
{
    rows_of(context, first, last, scatter_row);
    return GRD_OK;
}

grd_status grdi_cpu_scatter_add(grd_device *device, const grdi_array *y, const grdi_array *x,
                                const grdi_array *index)
{
    (void)device;
    arrays in = { y, x, index };
    if (y->dtype != GRD_F32 && y->dtype != GRD_F64 && y->dtype != GRD_I64)
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(index))
        return GRD_OK;
    return grdi_parallel(grdi_positions(index, grdi_outer_rank(index)),
                         grdi_grain(5 + 2 * (double)grdi_row_length(index)), scatter_rows, &in);
}
