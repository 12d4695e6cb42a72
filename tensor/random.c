#include "tensor/front.h"
#include "tensor/rng.h"

/* Random kernels number elements in row-major order: they see one long row. */
static grdi_array flat(const grd_tensor *x)
{
    grdi_array row;
    const grd_shape length = { 1, { grdi_count(&x->array) } };
    grdi_array_init(&row, &length, x->array.dtype);
    row.data = x->array.data;
    return row;
}

/* A tensor of the scope's device for numbers of `rng`. */
static grd_tensor *fresh(const char *op, const grd_rng *rng, const grd_shape *shape,
                         grd_dtype dtype)
{
    if (!rng)
        return grdi_fail_null(op);
    if (!grdi_may_make(op))
        return NULL;
    const grdi_modes *modes = &grdi_self.scope->modes;
    return grdi_tensor_create(op, shape, dtype ? dtype : modes->dtype, modes->device);
}

/* y when it was drawn; a failure leaves the stream where it was. */
static grd_tensor *drawn(grd_tensor *y, grd_rng *rng, grd_status status)
{
    if (status != GRD_OK)
        return NULL;
    grdi_rng_advance(rng, grdi_count(&y->array));
    return y;
}

grd_tensor *grd_rand(grd_rng *rng, grd_shape shape)
{
    grd_tensor *y = fresh("rand", rng, &shape, GRD_DTYPE_UNSET);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(y);
    const grdi_array row = flat(y);
    return drawn(y, rng,
                 GRDI_LAUNCH(device, uniform, row.dtype, (device, &row, grdi_rng_next(rng))));
}

grd_tensor *grd_randn(grd_rng *rng, grd_shape shape)
{
    grd_tensor *y = fresh("randn", rng, &shape, GRD_DTYPE_UNSET);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(y);
    const grdi_array row = flat(y);
    return drawn(y, rng,
                 GRDI_LAUNCH(device, normal, row.dtype, (device, &row, grdi_rng_next(rng))));
}

grd_tensor *grdi_dropout(const grd_tensor *x, double p, grdi_draw at)
{
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    const grd_shape shape = grdi_array_shape(&x->array);
    if (!grdi_is_contiguous(&x->array) && !(x = grdi_copy(x)))
        return NULL;
    grd_tensor *y = grdi_tensor_create("dropout", &shape, dtype, device);
    if (!y)
        return NULL;
    const grdi_array to = flat(y), from = flat(x);
    return GRDI_LAUNCH(device, dropout, dtype, (device, &to, &from, p, at)) == GRD_OK ? y : NULL;
}
