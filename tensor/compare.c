#include "tensor/front.h"

static grd_tensor *compare(const char *op, const grd_tensor *a, const grd_tensor *b,
                           grdi_comparison how)
{
    if (!a || !b)
        return grdi_fail_null(op);
    grdi_array arrays[3];
    grd_tensor *y = grdi_tensor_between(op, a, b, GRDI_ANY, GRD_BOOL, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(a);
    const grd_status status = GRDI_LAUNCH_FOR(op, device, compare, a->array.dtype,
                                              (device, &arrays[0], &arrays[1], &arrays[2], how));
    return status == GRD_OK ? y : NULL;
}

static grd_tensor *compare_scalar(const char *op, const grd_tensor *x, double b,
                                  grdi_comparison how)
{
    if (!x)
        return grdi_fail_null(op);
    grdi_array arrays[2];
    if (!grdi_fits(op, b, x->array.dtype))
        return NULL;
    grd_tensor *y = grdi_tensor_beside(op, x, GRDI_ANY, GRD_BOOL, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_status status = GRDI_LAUNCH_FOR(op, device, compare_scalar, x->array.dtype,
                                              (device, &arrays[0], &arrays[1], b, how));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_eq(const grd_tensor *a, const grd_tensor *b)
{
    return compare("eq", a, b, GRDI_EQ);
}

grd_tensor *grdi_ne(const grd_tensor *a, const grd_tensor *b)
{
    return compare("ne", a, b, GRDI_NE);
}

grd_tensor *grdi_lt(const grd_tensor *a, const grd_tensor *b)
{
    return compare("lt", a, b, GRDI_LT);
}

grd_tensor *grdi_le(const grd_tensor *a, const grd_tensor *b)
{
    return compare("le", a, b, GRDI_LE);
}

grd_tensor *grdi_gt(const grd_tensor *a, const grd_tensor *b)
{
    return compare("gt", a, b, GRDI_GT);
}

grd_tensor *grdi_ge(const grd_tensor *a, const grd_tensor *b)
{
    return compare("ge", a, b, GRDI_GE);
}

grd_tensor *grdi_eq_scalar(const grd_tensor *x, double b)
{
    return compare_scalar("eq_scalar", x, b, GRDI_EQ);
}

grd_tensor *grdi_ne_scalar(const grd_tensor *x, double b)
{
    return compare_scalar("ne_scalar", x, b, GRDI_NE);
}

grd_tensor *grdi_lt_scalar(const grd_tensor *x, double b)
{
    return compare_scalar("lt_scalar", x, b, GRDI_LT);
}

grd_tensor *grdi_le_scalar(const grd_tensor *x, double b)
{
    return compare_scalar("le_scalar", x, b, GRDI_LE);
}

grd_tensor *grdi_gt_scalar(const grd_tensor *x, double b)
{
    return compare_scalar("gt_scalar", x, b, GRDI_GT);
}

grd_tensor *grdi_ge_scalar(const grd_tensor *x, double b)
{
    return compare_scalar("ge_scalar", x, b, GRDI_GE);
}

grd_tensor *grdi_logical_and(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("logical_and");
    return grdi_binary("logical_and", grdi_device(a)->kernels->logical_and, GRDI_BOOLS, a, b);
}

grd_tensor *grdi_logical_or(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("logical_or");
    return grdi_binary("logical_or", grdi_device(a)->kernels->logical_or, GRDI_BOOLS, a, b);
}

grd_tensor *grdi_logical_not(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("logical_not");
    return grdi_unary("logical_not", grdi_device(x)->kernels->logical_not, GRDI_BOOLS, x);
}

grd_tensor *grdi_isfinite(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("isfinite");
    grdi_array arrays[2];
    grd_tensor *y = grdi_tensor_beside("isfinite", x, GRDI_ANY, GRD_BOOL, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_status status =
        GRDI_LAUNCH(device, isfinite, x->array.dtype, (device, &arrays[0], &arrays[1]));
    return status == GRD_OK ? y : NULL;
}
