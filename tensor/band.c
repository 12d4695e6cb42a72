#include "tensor/front.h"

static int64_t clamped(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value < high ? value : high;
}

/* x, and 0 outside the diagonals low..high, of which 0 is the main one. */
static grd_tensor *band(const char *op, const grd_tensor *x, int64_t low, int64_t high)
{
    if (!x)
        return grdi_fail_null(op);
    const int rank = x->array.rank;
    if (rank < 2)
        return grdi_fail(GRD_ERROR_SHAPE, op, "%s has fewer than two dimensions",
                         grdi_size_text(x).chars);
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create(op, &shape, dtype, device);
    if (!y)
        return NULL;
    const int64_t lowest = -shape.size[rank - 2], highest = shape.size[rank - 1];
    low = clamped(low, lowest, highest);
    high = clamped(high, lowest, highest);
    const grd_status status =
        GRDI_LAUNCH(device, band, dtype, (device, &y->array, &x->array, low, high));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_tril(const grd_tensor *x, int64_t diagonal)
{
    return band("tril", x, INT64_MIN, diagonal);
}

grd_tensor *grdi_triu(const grd_tensor *x, int64_t diagonal)
{
    return band("triu", x, diagonal, INT64_MAX);
}
