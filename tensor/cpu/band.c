#include "tensor/cpu/convert.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/tensor.h"

#include <string.h>

typedef struct arrays {
    const grdi_array *y, *x;
    int64_t low, high;
} arrays;

static int64_t column(int64_t position, int64_t columns)
{
    return position < 0 ? 0 : position < columns ? position : columns;
}

/* All dtypes' zeros are zero bytes. y's rows are contiguous. */
static void row(const arrays *in, int64_t to, int64_t from, int64_t i)
{
    const int64_t n = grdi_row_length(in->y), stride = grdi_row_stride(in->x);
    const int64_t first = column(i + in->low, n), end = column(i + in->high + 1, n);
    memset(grdi_element(in->y, to), 0, (size_t)n * grdi_dtype_size(in->y->dtype));
    if (first < end)
        grdi_converters[in->y->dtype][in->x->dtype](end - first, grdi_element(in->y, to + first), 1,
                                                    grdi_element(in->x, from + first * stride),
                                                    stride);
}

static grd_status rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int outer = grdi_outer_rank(in->y);
    int64_t index[GRD_MAX_RANK];
    grdi_seek(in->y, outer, first, index);
    for (int64_t i = first; i < last; i++) {
        row(in, grdi_offset(in->y, outer, index), grdi_offset(in->x, outer, index),
            index[outer - 1]);
        grdi_next(in->y, outer, index);
    }
    return GRD_OK;
}

grd_status grdi_cpu_band(grd_device *device, const grdi_array *y, const grdi_array *x, int64_t low,
                         int64_t high)
{
    (void)device;
    arrays in = { y, x, low, high };
    if (grdi_is_empty(y))
        return GRD_OK;
    return grdi_parallel(grdi_positions(y, grdi_outer_rank(y)),
                         grdi_grain(10 + 0.3 * (double)grdi_row_length(y)), rows, &in);
}
