#include "tensor/front.h"

/* x with the dimensions in `reduced` moved behind the others; returns how many those are. */
static int with_reduced_last(grdi_array *x, unsigned reduced)
{
    const grdi_array from = *x;
    x->rank = 0;
    for (int d = 0; d < from.rank; d++)
        if (!(reduced & 1u << d))
            x->dim[x->rank++] = from.dim[d];
    const int kept = x->rank;
    for (int d = 0; d < from.rank; d++)
        if (reduced & 1u << d)
            x->dim[x->rank++] = from.dim[d];
    return kept;
}

static grd_shape reduced_shape(const grdi_array *x, unsigned reduced, grd_keepdim keep)
{
    grd_shape shape = { 0 };
    for (int d = 0; d < x->rank; d++) {
        const bool gone = reduced & 1u << d;
        if (!gone || keep == GRD_KEEP_DIMS)
            shape.size[shape.rank++] = gone ? 1 : x->dim[d].size;
    }
    return shape;
}

static int64_t reduced_count(const grdi_array *x, unsigned reduced)
{
    int64_t count = 1;
    for (int d = 0; d < x->rank; d++)
        count *= reduced & 1u << d ? x->dim[d].size : 1;
    return count;
}

static grd_tensor *scaled_sum(const char *op, const grd_tensor *x, unsigned reduced,
                              grd_keepdim keep, double factor)
{
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    const grd_shape shape = reduced_shape(&x->array, reduced, keep);
    grd_tensor *y = grdi_tensor_create(op, &shape, dtype, device);
    if (!y)
        return NULL;

    grdi_array from = x->array;
    const int kept = with_reduced_last(&from, reduced);
    const grd_shape without = reduced_shape(&x->array, reduced, GRD_DROP_DIMS);
    grdi_array to;
    grdi_array_init(&to, &without, dtype);
    to.data = y->array.data;
    const int count = from.rank - kept;
    const grd_status status = device->kernels->sum
                                  ? device->kernels->sum(device, &to, &from, count, factor)
                                  : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, dtype, device) == GRD_OK ? y : NULL;
}

grd_tensor *grdi_sum(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    unsigned reduced;
    if (!x)
        return grdi_fail_null("sum");
    if (!grdi_dim_bits("sum", x, dims, &reduced))
        return NULL;
    return scaled_sum("sum", x, reduced, keep, 1);
}

grd_tensor *grdi_mean(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep)
{
    unsigned reduced;
    if (!x)
        return grdi_fail_null("mean");
    if (!grdi_dim_bits("mean", x, dims, &reduced))
        return NULL;
    if (x->array.dtype == GRD_I64 || x->array.dtype == GRD_BOOL)
        return grdi_fail(GRD_ERROR_DTYPE, "mean", "%s has no mean (grd_cast it to f32 or f64)",
                         grdi_dtype_name(x->array.dtype));
    return scaled_sum("mean", x, reduced, keep, 1 / (double)reduced_count(&x->array, reduced));
}
