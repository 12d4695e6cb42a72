#include "tensor/front.h"

grd_tensor *grdi_first_nan(const char *op, const grd_tensor *x)
{
    grd_device *device = grdi_device(x);
    grd_tensor *y = grdi_tensor_create(op, &(grd_shape){ 0 }, GRD_I64, device);
    if (!y)
        return NULL;
    const grd_status status =
        GRDI_LAUNCH(device, first_nan, x->array.dtype, (device, &y->array, &x->array));
    return status == GRD_OK ? y : NULL;
}

bool grdi_check_values(const char *op, const char *what, const grd_tensor *x)
{
    if (!grdi_is_floating(x->array.dtype))
        return true;
    int64_t position;
    grd_scope scope;
    grdi_scope_open(&scope);
    const bool found = grd_read_i64(grdi_first_nan(op, x), &position, 1) == GRD_OK;
    grd_scope_end(&scope);
    if (!found || position < 0)
        return found;
    grd_shape index = grdi_array_shape(&x->array);
    for (int64_t d = index.rank - 1; d >= 0; d--) {
        const int64_t size = index.size[d];
        index.size[d] = position % size;
        position /= size;
    }
    return grdi_fail(GRD_ERROR_NOT_FINITE, op, "%s %s has its first NaN at %s", what,
                     grdi_size_text(x).chars, grdi_shape_text(&index).chars);
}
