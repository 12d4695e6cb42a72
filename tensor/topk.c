#include "tensor/front.h"

static bool check(const grd_tensor *x, int64_t k, int64_t dim, int *along)
{
    if (!x)
        return grdi_fail_null("topk");
    if (!grdi_resolve_dim("topk", x, dim, along))
        return false;
    const int64_t n = x->array.dim[*along].size;
    if (k < 0 || k > n)
        return grdi_fail(GRD_ERROR_ARGUMENT, "topk", "k is %lld, but dimension %d of %s has %lld",
                         (long long)k, *along, grdi_size_text(x).chars, (long long)n);
    return true;
}

grd_values_indices grdi_topk(const grd_tensor *x, int64_t k, int64_t dim)
{
    const grd_values_indices none = { NULL, NULL };
    int along = 0;
    if (!check(x, k, dim, &along))
        return none;
    grd_device *device = grdi_device(x);
    grd_shape shape = grdi_array_shape(&x->array);
    shape.size[along] = k;
    grd_values_indices found = { grdi_tensor_create("topk", &shape, x->array.dtype, device),
                                 grdi_tensor_create("topk", &shape, GRD_I64, device) };
    if (!found.values || !found.indices)
        return none;
    const grdi_array values = grdi_with_dim_last(&found.values->array, along),
                     indices = grdi_with_dim_last(&found.indices->array, along),
                     from = grdi_with_dim_last(&x->array, along);
    const grd_status status =
        GRDI_LAUNCH(device, topk, x->array.dtype, (device, &values, &indices, &from));
    return status == GRD_OK ? found : none;
}
