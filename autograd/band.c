#include "autograd/node.h"

/* y = tril(x), y = triu(x): dx = the same of dy. */
static void tril_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_tril(dy, *(const int64_t *)grdi_attributes(node));
}

static const grdi_derivative tril = {
    .op = "tril",
    .rule = "y = tril(x): dx = tril(dy)",
    .attributes = sizeof(int64_t),
    .backward = tril_backward,
};

grd_tensor *grd_tril(const grd_tensor *x, int64_t diagonal)
{
    return grdi_record(&tril, grdi_tril(x, diagonal), (const grd_tensor *[]){ x }, 1, &diagonal);
}

static void triu_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_triu(dy, *(const int64_t *)grdi_attributes(node));
}

static const grdi_derivative triu = {
    .op = "triu",
    .rule = "y = triu(x): dx = triu(dy)",
    .attributes = sizeof(int64_t),
    .backward = triu_backward,
};

grd_tensor *grd_triu(const grd_tensor *x, int64_t diagonal)
{
    return grdi_record(&triu, grdi_triu(x, diagonal), (const grd_tensor *[]){ x }, 1, &diagonal);
}
