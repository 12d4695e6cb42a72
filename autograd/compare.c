#include "tensor/front.h"

/* A truth has no gradient: nothing is recorded, whatever the inputs require. */

grd_tensor *grd_eq(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_eq(a, b);
}

grd_tensor *grd_ne(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_ne(a, b);
}

grd_tensor *grd_lt(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_lt(a, b);
}

grd_tensor *grd_le(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_le(a, b);
}

grd_tensor *grd_gt(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_gt(a, b);
}

grd_tensor *grd_ge(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_ge(a, b);
}

grd_tensor *grd_logical_and(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_logical_and(a, b);
}

grd_tensor *grd_logical_or(const grd_tensor *a, const grd_tensor *b)
{
    return grdi_logical_or(a, b);
}

grd_tensor *grd_eq_scalar(const grd_tensor *x, double b)
{
    return grdi_eq_scalar(x, b);
}

grd_tensor *grd_ne_scalar(const grd_tensor *x, double b)
{
    return grdi_ne_scalar(x, b);
}

grd_tensor *grd_lt_scalar(const grd_tensor *x, double b)
{
    return grdi_lt_scalar(x, b);
}

grd_tensor *grd_le_scalar(const grd_tensor *x, double b)
{
    return grdi_le_scalar(x, b);
}

grd_tensor *grd_gt_scalar(const grd_tensor *x, double b)
{
    return grdi_gt_scalar(x, b);
}

grd_tensor *grd_ge_scalar(const grd_tensor *x, double b)
{
    return grdi_ge_scalar(x, b);
}

grd_tensor *grd_logical_not(const grd_tensor *x)
{
    return grdi_logical_not(x);
}

grd_tensor *grd_isfinite(const grd_tensor *x)
{
    return grdi_isfinite(x);
}
