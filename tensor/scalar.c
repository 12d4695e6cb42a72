#include "tensor/front.h"

/* Room for the result of an op of x and of b, which x's dtype must be able to hold. */
static grd_tensor *begin(const char *op, const grd_tensor *x, double b, unsigned kinds,
                         grdi_array arrays[2])
{
    if (!x)
        return grdi_fail_null(op);
    return grdi_fits(op, b, x->array.dtype)
               ? grdi_tensor_beside(op, x, kinds, x->array.dtype, arrays)
               : NULL;
}

static grd_tensor *affine(const char *op, const grd_tensor *x, double scale, double offset)
{
    grdi_array arrays[2];
    grd_tensor *y = begin(op, x, scale != 1 && scale != -1 ? scale : offset, GRDI_NUMBERS, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_status status = GRDI_LAUNCH_FOR(op, device, affine, x->array.dtype,
                                              (device, &arrays[0], &arrays[1], scale, offset));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_add_scalar(const grd_tensor *x, double b)
{
    return affine("add_scalar", x, 1, b);
}

grd_tensor *grdi_sub_scalar(const grd_tensor *x, double b)
{
    return affine("sub_scalar", x, 1, -b);
}

/* Adding -0 changes no number. */
grd_tensor *grdi_mul_scalar(const grd_tensor *x, double b)
{
    return affine("mul_scalar", x, b, -0.0);
}

grd_tensor *grdi_neg(const grd_tensor *x)
{
    return affine("neg", x, -1, -0.0);
}

grd_tensor *grdi_div_scalar(const grd_tensor *x, double b)
{
    grdi_array arrays[2];
    grd_tensor *y = begin("div_scalar", x, b, GRDI_FLOATS, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_status status =
        GRDI_LAUNCH(device, div_scalar, x->array.dtype, (device, &arrays[0], &arrays[1], b));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_pow_scalar(const grd_tensor *x, double b)
{
    grdi_array arrays[2];
    grd_tensor *y = begin("pow_scalar", x, b, GRDI_FLOATS, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_status status =
        GRDI_LAUNCH(device, pow_scalar, x->array.dtype, (device, &arrays[0], &arrays[1], b));
    return status == GRD_OK ? y : NULL;
}

static bool is_bound(double bound, grd_dtype dtype)
{
    if (bound != bound)
        return grdi_fail(GRD_ERROR_ARGUMENT, "clamp", "a bound is NaN");
    return bound - bound != 0 || grdi_fits("clamp", bound, dtype);
}

grd_tensor *grdi_clamp(const grd_tensor *x, double low, double high)
{
    grdi_array arrays[2];
    if (!x)
        return grdi_fail_null("clamp");
    const grd_dtype dtype = x->array.dtype;
    if (!is_bound(low, dtype) || !is_bound(high, dtype))
        return NULL;
    grd_tensor *y = grdi_tensor_beside("clamp", x, GRDI_NUMBERS, dtype, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_status status =
        GRDI_LAUNCH(device, clamp, dtype, (device, &arrays[0], &arrays[1], low, high));
    return status == GRD_OK ? y : NULL;
}
