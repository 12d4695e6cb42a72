#include "autograd/node.h"

/* y = condition ? a : b: da = dy where condition, db = dy elsewhere, 0 where not. */
static void where_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const grd_tensor *condition = grdi_saved(node, 0);
    if (grdi_wants(node, 1))
        dx[1] = grd_masked_fill(dy, grd_logical_not(condition), 0);
    if (grdi_wants(node, 2))
        dx[2] = grd_masked_fill(dy, condition, 0);
}

static const grdi_derivative where = {
    .op = "where",
    .rule = "y = c ? a : b: da = dy where c, else 0; db = dy where not c, else 0",
    .needs = { 0, GRDI_INPUT(0), GRDI_INPUT(0) },
    .backward = where_backward,
};

grd_tensor *grd_where(const grd_tensor *condition, const grd_tensor *a, const grd_tensor *b)
{
    return grdi_record(&where, grdi_where(condition, a, b),
                       (const grd_tensor *[]){ condition, a, b }, 3, NULL);
}

/* y = mask ? value : x: dx = 0 where mask, else dy. */
static void masked_fill_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_masked_fill(dy, grdi_saved(node, 1), 0);
}

static const grdi_derivative masked_fill = {
    .op = "masked_fill",
    .rule = "y = x, filled where masked: dx = 0 where masked, else dy",
    .needs = { GRDI_INPUT(1) },
    .backward = masked_fill_backward,
};

grd_tensor *grd_masked_fill(const grd_tensor *x, const grd_tensor *mask, double value)
{
    return grdi_record(&masked_fill, grdi_masked_fill(x, mask, value),
                       (const grd_tensor *[]){ x, mask }, 2, NULL);
}
