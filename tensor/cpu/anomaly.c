#include "tensor/cpu/rows.h"

#include <assert.h>

/* The position of the row's first NaN, or its length. */
static int64_t first_of_row(const grdi_array *x, int64_t at)
{
    double buffer[GRDI_TILE];
    const int64_t stride = grdi_row_stride(x), length = grdi_row_length(x);
    for (int64_t done = 0; done < length; done += GRDI_TILE) {
        const int64_t n = length - done < GRDI_TILE ? length - done : GRDI_TILE;
        const double *values = grdi_load_f64(x, at + done * stride, stride, n, buffer);
        for (int64_t i = 0; i < n; i++)
            if (values[i] != values[i])
                return done + i;
    }
    return length;
}

grd_status grdi_cpu_first_nan(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    (void)device;
    assert(y->dtype == GRD_I64 && y->rank == 0);
    const int outer = grdi_outer_rank(x);
    const int64_t length = grdi_row_length(x);
    int64_t index[GRD_MAX_RANK] = { 0 }, *position = y->data, row = 0;
    *position = -1;
    if (grdi_is_empty(x))
        return GRD_OK;
    do {
        const int64_t first = first_of_row(x, grdi_offset(x, outer, index));
        if (first < length)
            *position = row * length + first;
        row++;
    } while (*position < 0 && grdi_next(x, outer, index));
    return GRD_OK;
}
