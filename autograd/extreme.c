#include "autograd/reduce.h"

/* y = max(x) or min(x): dx = dy, in equal shares for all elements that are y. */
static void extreme_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const grd_dims *dims = grdi_attributes(node);
    const grd_tensor *x = grdi_saved(node, 0);
    const grd_shape shape = grd_tensor_shape(x);
    const grd_tensor *y = grdi_over_reduced(grdi_saved_output(node), dims, &shape);
    const grd_tensor *chosen = grd_cast(grd_eq(x, y), grd_tensor_dtype(dy));
    const grd_tensor *share = grd_div(chosen, grd_sum_dims(chosen, *dims, GRD_KEEP_DIMS));
    dx[0] = grd_mul(grdi_over_reduced(dy, dims, &shape), share);
}

static const grdi_derivative max = {
    .op = "max",
    .rule = "y = max(x): dx = dy where x = y, shared where several are, else 0",
    .needs = { GRDI_INPUT(0) | GRDI_OUTPUT },
    .attributes = sizeof(grd_dims),
    .backward = extreme_backward,
};

grd_tensor *grd_max_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_record(&max, grdi_max(x, &dims, keep), (const grd_tensor *[]){ x }, 1, &dims);
}

grd_tensor *grd_max(const grd_tensor *x)
{
    return grd_max_dims(x, (grd_dims){ 0 }, GRD_DROP_DIMS);
}

static const grdi_derivative min = {
    .op = "min",
    .rule = "y = min(x): dx = dy where x = y, shared where several are, else 0",
    .needs = { GRDI_INPUT(0) | GRDI_OUTPUT },
    .attributes = sizeof(grd_dims),
    .backward = extreme_backward,
};

grd_tensor *grd_min_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_record(&min, grdi_min(x, &dims, keep), (const grd_tensor *[]){ x }, 1, &dims);
}

grd_tensor *grd_min(const grd_tensor *x)
{
    return grd_min_dims(x, (grd_dims){ 0 }, GRD_DROP_DIMS);
}

/* Positions and truths have no gradient: nothing is recorded, whatever the input requires. */

grd_tensor *grd_argmax_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_argmax(x, &dims, keep);
}

grd_tensor *grd_argmax(const grd_tensor *x, int64_t dim)
{
    return grdi_argmax(x, &(grd_dims){ 1, { dim } }, GRD_DROP_DIMS);
}

grd_tensor *grd_all_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_all(x, &dims, keep);
}

grd_tensor *grd_any_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep)
{
    return grdi_any(x, &dims, keep);
}
