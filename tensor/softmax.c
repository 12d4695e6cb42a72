#include "tensor/front.h"

typedef grd_status one_kernel(grd_device *, const grdi_array *, const grdi_array *);
typedef grd_status two_kernel(grd_device *, const grdi_array *, const grdi_array *,
                              const grdi_array *);

/* A tensor like x, whose rows along dim a kernel computes from x's. */
static grd_tensor *row_by_row(const char *op, one_kernel *kernel, const grd_tensor *x, int64_t dim)
{
    int along = 0;
    if (!grdi_resolve_dim(op, x, dim, &along))
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create(op, &shape, x->array.dtype, device);
    if (!y)
        return NULL;
    grdi_array rows[] = { grdi_with_dim_last(&y->array, along),
                          grdi_with_dim_last(&x->array, along) };
    grdi_merge_rows(rows, 2);
    const grd_status status = kernel ? kernel(device, &rows[0], &rows[1]) : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, x->array.dtype, device) == GRD_OK ? y : NULL;
}

grd_tensor *grdi_softmax(const grd_tensor *x, int64_t dim)
{
    if (!x)
        return grdi_fail_null("softmax");
    return row_by_row("softmax", grdi_device(x)->kernels->softmax, x, dim);
}

grd_tensor *grdi_log_softmax(const grd_tensor *x, int64_t dim)
{
    if (!x)
        return grdi_fail_null("log_softmax");
    return row_by_row("log_softmax", grdi_device(x)->kernels->log_softmax, x, dim);
}

static grd_tensor *backward_by_row(const char *op, two_kernel *kernel, const grd_tensor *y,
                                   const grd_tensor *dy, int64_t dim)
{
    int along = 0;
    if (!grdi_resolve_dim(op, y, dim, &along))
        return NULL;
    grd_device *device = grdi_device(y);
    const grd_shape shape = grdi_array_shape(&y->array);
    grd_tensor *dx = grdi_tensor_create(op, &shape, y->array.dtype, device);
    if (!dx)
        return NULL;
    grdi_array rows[] = { grdi_with_dim_last(&dx->array, along),
                          grdi_with_dim_last(&y->array, along),
                          grdi_with_dim_last(&dy->array, along) };
    grdi_merge_rows(rows, 3);
    const grd_status status =
        kernel ? kernel(device, &rows[0], &rows[1], &rows[2]) : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, y->array.dtype, device) == GRD_OK ? dx : NULL;
}

grd_tensor *grdi_softmax_backward(const grd_tensor *y, const grd_tensor *dy, int64_t dim)
{
    if (!y || !dy)
        return grdi_fail_null("softmax");
    return backward_by_row("softmax", grdi_device(y)->kernels->softmax_backward, y, dy, dim);
}

grd_tensor *grdi_log_softmax_backward(const grd_tensor *y, const grd_tensor *dy, int64_t dim)
{
    if (!y || !dy)
        return grdi_fail_null("log_softmax");
    return backward_by_row("log_softmax", grdi_device(y)->kernels->log_softmax_backward, y, dy,
                           dim);
}

grd_tensor *grdi_logsumexp(const grd_tensor *x, int64_t dim, grd_keepdim keep)
{
    int along = 0;
    if (!x)
        return grdi_fail_null("logsumexp");
    if (!grdi_resolve_dim("logsumexp", x, dim, &along))
        return NULL;

    grd_shape shape = grdi_array_shape(&x->array);
    shape.size[along] = 1;
    for (int64_t d = along; keep == GRD_DROP_DIMS && d < shape.rank - 1; d++)
        shape.size[d] = shape.size[d + 1];
    shape.rank -= keep == GRD_DROP_DIMS;
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    grd_tensor *y = grdi_tensor_create("logsumexp", &shape, dtype, device);
    if (!y)
        return NULL;

    const grdi_array from = grdi_with_dim_last(&x->array, along);
    grd_shape rows = grdi_array_shape(&from);
    rows.rank--;
    grdi_array to;
    grdi_array_init(&to, &rows, dtype);
    to.data = y->array.data;
    return GRDI_LAUNCH(device, logsumexp, dtype, (device, &to, &from)) == GRD_OK ? y : NULL;
}
