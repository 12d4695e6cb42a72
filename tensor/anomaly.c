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
