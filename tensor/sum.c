#include "tensor/reduce.h"

/* A kernel that scales what it sums. */
typedef grd_status sum_kernel(grd_device *, const grdi_array *, const grdi_array *, int, double);

static grd_tensor *launch(const char *op, sum_kernel *kernel, const grdi_reduction *r,
                          double factor)
{
    grd_device *device = grdi_device(r->y);
    const grd_status status =
        kernel ? kernel(device, &r->to, &r->from, r->reduced, factor) : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, r->from.dtype, device) == GRD_OK ? r->y : NULL;
}

grd_tensor *grdi_sum(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    grdi_reduction r;
    if (!x)
        return grdi_fail_null("sum");
    const grd_dtype dtype = grdi_is_floating(x->array.dtype) ? x->array.dtype : GRD_I64;
    if (!grdi_reduction_begin("sum", x, dims, keep, dtype, &r))
        return NULL;
    return launch("sum", grdi_device(x)->kernels->sum, &r, 1);
}

static bool check_floating(const char *op, const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null(op);
    if (!grdi_is_floating(x->array.dtype))
        return grdi_fail(GRD_ERROR_DTYPE, op, "%s has no %s (grd_cast it to f32 or f64)",
                         grdi_dtype_name(x->array.dtype), op);
    return true;
}

grd_tensor *grdi_mean(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    grdi_reduction r;
    if (!check_floating("mean", x) ||
        !grdi_reduction_begin("mean", x, dims, keep, x->array.dtype, &r))
        return NULL;
    return launch("mean", grdi_device(x)->kernels->sum, &r, 1 / (double)r.count);
}

grd_tensor *grdi_var(const grd_tensor *x, const grd_dims *dims, int64_t correction,
                     grd_keepdim keep)
{
    grdi_reduction r;
    if (!check_floating("var", x) ||
        !grdi_reduction_begin("var", x, dims, keep, x->array.dtype, &r))
        return NULL;
    const int64_t freedom = r.count > correction ? r.count - correction : 0;
    return launch("var", grdi_device(x)->kernels->var, &r, 1 / (double)freedom);
}
