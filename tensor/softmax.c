#include "tensor/front.h"

/* x with dimension `dim` moved to the end. */
static grdi_array with_dim_last(const grdi_array *x, int dim)
{
    grdi_array moved = *x;
    for (int d = dim; d < x->rank - 1; d++)
        moved.dim[d] = x->dim[d + 1];
    moved.dim[x->rank - 1] = x->dim[dim];
    return moved;
}

grd_tensor *grdi_softmax(const grd_tensor *x, int64_t dim)
{
    int along = 0;
    if (!x)
        return grdi_fail_null("softmax");
    if (!grdi_resolve_dim("softmax", x, dim, &along))
        return NULL;

    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create("softmax", &shape, dtype, device);
    if (!y)
        return NULL;
    const grdi_array from = with_dim_last(&x->array, along);
    const grdi_array to = with_dim_last(&y->array, along);
    return GRDI_LAUNCH(device, softmax, dtype, (device, &to, &from)) == GRD_OK ? y : NULL;
}
