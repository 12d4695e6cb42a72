#include "tensor/front.h"

grd_tensor *grdi_cumsum(const grd_tensor *x, int64_t dim, bool reverse)
{
    int along = 0;
    if (!x)
        return grdi_fail_null("cumsum");
    if (!grdi_resolve_dim("cumsum", x, dim, &along))
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = grdi_is_floating(x->array.dtype) ? x->array.dtype : GRD_I64;
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create("cumsum", &shape, dtype, device);
    if (!y)
        return NULL;
    grdi_array rows[] = { grdi_with_dim_last(&y->array, along),
                          grdi_with_dim_last(&x->array, along) };
    grdi_merge_rows(rows, 2);
    const grd_status status =
        GRDI_LAUNCH(device, cumsum, x->array.dtype, (device, &rows[0], &rows[1], reverse));
    return status == GRD_OK ? y : NULL;
}
