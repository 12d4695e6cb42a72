#include "autograd/node.h"

static const grdi_derivative argmax = { .op = "argmax" };

grd_tensor *grd_argmax_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_record(&argmax, grdi_argmax(x, &dims, keep), (const grd_tensor *[]){ x }, 1, NULL);
}

grd_tensor *grd_argmax(const grd_tensor *x, int64_t dim)
{
    return grd_argmax_dims(x, GRD_DIMS(dim), GRD_DROP_DIMS);
}

static const grdi_derivative all = { .op = "all" };

grd_tensor *grd_all_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_record(&all, grdi_all(x, &dims, keep), (const grd_tensor *[]){ x }, 1, NULL);
}

static const grdi_derivative any = { .op = "any" };

grd_tensor *grd_any_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_record(&any, grdi_any(x, &dims, keep), (const grd_tensor *[]){ x }, 1, NULL);
}
