#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/tensor.h"

#include <string.h>

/* Whether one of n elements is refused; then position is its place among them. */
static bool refuse_outside(const grdi_array *x, int64_t at, int64_t n, double low, double high,
                           grdi_refusal *refused)
{
    double values[GRDI_TILE];
    int64_t integers[GRDI_TILE];
    const int64_t stride = grdi_row_stride(x);
    if (x->dtype == GRD_I64) {
        const int64_t *from = grdi_load_i64(x, at, stride, n, integers);
        for (int64_t i = 0; i < n; i++)
            if (!((double)from[i] >= low && (double)from[i] <= high)) {
                refused->position = i;
                refused->integer = from[i];
                return true;
            }
    } else {
        const double *from = grdi_load_f64(x, at, stride, n, values);
        for (int64_t i = 0; i < n; i++)
            if (!(from[i] >= low && from[i] <= high)) { /* so for a NaN */
                refused->position = i;
                refused->real = from[i];
                refused->is_real = true;
                return true;
            }
    }
    return false;
}

grd_status grdi_cpu_check_range(grd_device *device, const grdi_array *x, double low, double high,
                                grdi_refusal *refused)
{
    (void)device;
    const int64_t length = grdi_row_length(x), stride = grdi_row_stride(x);
    int64_t index[GRD_MAX_RANK] = { 0 }, row = 0;
    if (grdi_is_empty(x))
        return GRD_OK;
    do {
        const int64_t at = grdi_offset(x, grdi_outer_rank(x), index);
        for (int64_t done = 0; done < length; done += GRDI_TILE) {
            const int64_t n = length - done < GRDI_TILE ? length - done : GRDI_TILE;
            if (refuse_outside(x, at + done * stride, n, low, high, refused)) {
                refused->position += row * length + done;
                return GRD_OK;
            }
        }
        row++;
    } while (grdi_next(x, grdi_outer_rank(x), index));
    return GRD_OK;
}

typedef struct arrays {
    const grdi_array *y, *x, *index;
    int64_t step;
} arrays;

/* A walk over a row: elements are `y`, `x` and `index` apart; an index moves by `step`. */
typedef struct strides {
    int64_t y, x, index, step;
} strides;

/* y[i] = x[i], moved by index[i]: elements move as what has their size. */
static void take(size_t size, int64_t n, void *y, const void *x, const int64_t *index, strides s)
{
    if (size == 8)
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)y)[i * s.y] = ((const uint64_t *)x)[i * s.x + index[i * s.index] * s.step];
    else if (size == 4)
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)y)[i * s.y] = ((const uint32_t *)x)[i * s.x + index[i * s.index] * s.step];
    else if (size == 2)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)y)[i * s.y] = ((const uint16_t *)x)[i * s.x + index[i * s.index] * s.step];
    else
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)y)[i * s.y] = ((const uint8_t *)x)[i * s.x + index[i * s.index] * s.step];
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
        take(bytes, n, grdi_element(in->y, i * n), grdi_element(in->x, i * size), in->index->data,
             (strides){ 1, 0, 1, 1 });
    return GRD_OK;
}

grd_status grdi_cpu_index_select(grd_device *device, const grdi_array *y, const grdi_array *x,
                                 const grdi_array *index)
{
    (void)device;
    arrays in = { .y = y, .x = x, .index = index };
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
    arrays in = { .y = y, .x = x, .index = index };
    if (y->dtype != GRD_F32 && y->dtype != GRD_F64 && y->dtype != GRD_I64)
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(x))
        return GRD_OK;
    const int64_t inner = y->dim[2].size, blocks = (inner + BLOCK - 1) / BLOCK;
    const double width = (double)(inner < BLOCK ? inner : BLOCK);
    return grdi_parallel(y->dim[0].size * blocks,
                         grdi_grain((5 + 0.3 * width) * (double)x->dim[1].size), add_columns, &in);
}

static grd_status gather_rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int outer = grdi_outer_rank(in->y);
    const strides s = { grdi_row_stride(in->y), grdi_row_stride(in->x), grdi_row_stride(in->index),
                        in->step };
    int64_t index[GRD_MAX_RANK];
    grdi_seek(in->y, outer, first, index);
    for (int64_t row = first; row < last; row++) {
        take(grdi_dtype_size(in->x->dtype), grdi_row_length(in->y),
             grdi_element(in->y, grdi_offset(in->y, outer, index)),
             grdi_element(in->x, grdi_offset(in->x, outer, index)),
             (const int64_t *)in->index->data + grdi_offset(in->index, outer, index), s);
        grdi_next(in->y, outer, index);
    }
    return GRD_OK;
}

grd_status grdi_cpu_gather(grd_device *device, const grdi_array *y, const grdi_array *x,
                           grdi_dim along, const grdi_array *index)
{
    (void)device;
    arrays in = { y, x, index, along.stride };
    if (grdi_is_empty(y))
        return GRD_OK;
    return grdi_parallel(grdi_positions(y, grdi_outer_rank(y)),
                         grdi_grain(5 + (double)grdi_row_length(y)), gather_rows, &in);
}

/* y[i], moved by index[i], += x[i]; x is of y's type. */
static void scatter(grd_dtype dtype, int64_t n, void *y, const void *x, const int64_t *index,
                    strides s)
{
    if (dtype == GRD_F32)
        for (int64_t i = 0; i < n; i++)
            ((float *)y)[i * s.y + index[i * s.index] * s.step] += ((const float *)x)[i * s.x];
    else if (dtype == GRD_F64)
        for (int64_t i = 0; i < n; i++)
            ((double *)y)[i * s.y + index[i * s.index] * s.step] += ((const double *)x)[i * s.x];
    else
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)y)[i * s.y + index[i * s.index] * s.step] += ((const int64_t *)x)[i * s.x];
}

/* The same along dimension d of the last two, from offsets at[] on; x is converted in tiles. */
static void scatter_row(const arrays *in, int d, int64_t n, const int64_t at[3])
{
    int64_t buffer[GRDI_TILE];
    const int64_t sx = in->x->dim[d].stride, sy = in->y->dim[d].stride;
    const int64_t si = in->index->dim[d].stride;
    for (int64_t done = 0; done < n; done += GRDI_TILE) {
        const int64_t part = n - done < GRDI_TILE ? n - done : GRDI_TILE;
        const void *x = grdi_load(in->x, in->y->dtype, at[1] + done * sx, sx, part, buffer);
        scatter(in->y->dtype, part, grdi_element(in->y, at[0] + done * sy), x,
                (const int64_t *)in->index->data + at[2] + done * si,
                (strides){ sy, 1, si, in->step });
    }
}

/* One block of columns j..j + columns - 1: rows in their order, along whichever of the two lies
 * closer in x. */
static void scatter_block(const arrays *in, int64_t at[3], int64_t columns)
{
    const int rows = in->y->rank - 2;
    const grdi_array *const arrays[] = { in->y, in->x, in->index };
    const bool by_rows = in->x->dim[rows + 1].stride < in->x->dim[rows].stride;
    const int outer = by_rows ? rows : rows + 1, inner = by_rows ? rows + 1 : rows;
    const int64_t n = in->y->dim[rows].size;
    for (int64_t i = 0; i < (by_rows ? n : columns); i++) {
        scatter_row(in, inner, by_rows ? columns : n, at);
        for (int a = 0; a < 3; a++)
            at[a] += arrays[a]->dim[outer].stride;
    }
}

/* Items are blocks of columns of the matrices in the last two dimensions. */
static grd_status scatter_blocks(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const grdi_array *const arrays[] = { in->y, in->x, in->index };
    const int outer = in->y->rank - 2;
    const int64_t columns = in->y->dim[outer + 1].size, blocks = (columns + BLOCK - 1) / BLOCK;
    for (int64_t item = first; item < last; item++) {
        int64_t index[GRD_MAX_RANK], at[3];
        const int64_t column = item % blocks * BLOCK;
        grdi_seek(in->y, outer, item / blocks, index);
        for (int a = 0; a < 3; a++)
            at[a] =
                grdi_offset(arrays[a], outer, index) + column * arrays[a]->dim[outer + 1].stride;
        scatter_block(in, at, columns - column < BLOCK ? columns - column : BLOCK);
    }
    return GRD_OK;
}

grd_status grdi_cpu_scatter_add(grd_device *device, const grdi_array *y, const grdi_array *x,
                                grdi_dim along, const grdi_array *index)
{
    (void)device;
    arrays in = { y, x, index, along.stride };
    const int outer = y->rank - 2;
    if (y->dtype != GRD_F32 && y->dtype != GRD_F64 && y->dtype != GRD_I64)
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(index))
        return GRD_OK;
    const int64_t columns = y->dim[outer + 1].size, blocks = (columns + BLOCK - 1) / BLOCK;
    const double width = (double)(columns < BLOCK ? columns : BLOCK);
    return grdi_parallel(grdi_positions(y, outer) * blocks,
                         grdi_grain(2 * width * (double)y->dim[outer].size), scatter_blocks, &in);
}
