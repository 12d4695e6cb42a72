#include "tensor/reduce.h"

typedef grd_status reduce_kernel(grd_device *, const grdi_array *, const grdi_array *, int);

static grd_tensor *launch(const char *op, reduce_kernel *kernel, const grdi_reduction *r)
{
    grd_device *device = grdi_device(r->y);
    const grd_status status =
        kernel ? kernel(device, &r->to, &r->from, r->reduced) : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, r->from.dtype, device) == GRD_OK ? r->y : NULL;
}

static grd_tensor *extreme(const char *op, reduce_kernel *kernel, const grd_tensor *x,
                           const grd_dims *dims, grd_keepdim keep, grd_dtype dtype)
{
    grdi_reduction r;
    if (!grdi_reduction_has_elements(op, x, dims) ||
        !grdi_reduction_begin(op, x, dims, keep, dtype, &r))
        return NULL;
    return launch(op, kernel, &r);
}

grd_tensor *grdi_max(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    if (!x)
        return grdi_fail_null("max");
    return extreme("max", grdi_device(x)->kernels->max, x, dims, keep, x->array.dtype);
}

grd_tensor *grdi_min(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    if (!x)
        return grdi_fail_null("min");
    return extreme("min", grdi_device(x)->kernels->min, x, dims, keep, x->array.dtype);
}

grd_tensor *grdi_argmax(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    if (!x)
        return grdi_fail_null("argmax");
    return extreme("argmax", grdi_device(x)->kernels->argmax, x, dims, keep, GRD_I64);
}

/* Of truths: all is the smallest, any the largest; over nothing all is true and any is not. */
static grd_tensor *truth(const char *op, reduce_kernel *kernel, const grd_tensor *x,
                         const grd_dims *dims, grd_keepdim keep, bool of_none)
{
    grdi_reduction r;
    if (x->array.dtype != GRD_BOOL && !(x = grdi_cast(x, GRD_BOOL)))
        return NULL;
    if (!grdi_reduction_begin(op, x, dims, keep, GRD_BOOL, &r))
        return NULL;
    if (r.count)
        return launch(op, kernel, &r);
    grd_device *device = grdi_device(x);
    return GRDI_LAUNCH(device, fill, GRD_BOOL, (device, &r.to, of_none)) == GRD_OK ? r.y : NULL;
}

grd_tensor *grdi_all(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    if (!x)
        return grdi_fail_null("all");
    return truth("all", grdi_device(x)->kernels->min, x, dims, keep, true);
}

grd_tensor *grdi_any(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    if (!x)
        return grdi_fail_null("any");
    return truth("any", grdi_device(x)->kernels->max, x, dims, keep, false);
}
