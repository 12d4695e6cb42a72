#include "tensor/front.h"

grd_tensor *grdi_unary(const char *op, grdi_unary_kernel *kernel, unsigned kinds,
                       const grd_tensor *x)
{
    grd_device *device = grdi_device(x);
    grdi_array arrays[2];
    grd_tensor *y = grdi_tensor_beside(op, x, kinds, x->array.dtype, arrays);
    if (!y)
        return NULL;
    const grd_status status =
        kernel ? kernel(device, &arrays[0], &arrays[1]) : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, x->array.dtype, device) == GRD_OK ? y : NULL;
}

grd_tensor *grdi_abs(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("abs");
    return grdi_unary("abs", grdi_device(x)->kernels->abs, GRDI_NUMBERS, x);
}

grd_tensor *grdi_sign(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("sign");
    return grdi_unary("sign", grdi_device(x)->kernels->sign, GRDI_NUMBERS, x);
}

grd_tensor *grdi_square(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("square");
    return grdi_unary("square", grdi_device(x)->kernels->square, GRDI_NUMBERS, x);
}

grd_tensor *grdi_exp(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("exp");
    return grdi_unary("exp", grdi_device(x)->kernels->exp, GRDI_FLOATS, x);
}

grd_tensor *grdi_log(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("log");
    return grdi_unary("log", grdi_device(x)->kernels->log, GRDI_FLOATS, x);
}

grd_tensor *grdi_sqrt(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("sqrt");
    return grdi_unary("sqrt", grdi_device(x)->kernels->sqrt, GRDI_FLOATS, x);
}

grd_tensor *grdi_rsqrt(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("rsqrt");
    return grdi_unary("rsqrt", grdi_device(x)->kernels->rsqrt, GRDI_FLOATS, x);
}

grd_tensor *grdi_sin(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("sin");
    return grdi_unary("sin", grdi_device(x)->kernels->sin, GRDI_FLOATS, x);
}

grd_tensor *grdi_cos(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("cos");
    return grdi_unary("cos", grdi_device(x)->kernels->cos, GRDI_FLOATS, x);
}
