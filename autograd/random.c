#include "autograd/attention.h"
#include "autograd/node.h"
#include "tensor/rng.h"

static const grdi_derivative bernoulli = { .op = "bernoulli" };

grd_tensor *grd_bernoulli(grd_rng *rng, const grd_tensor *p)
{
    return grdi_record(&bernoulli, grdi_bernoulli(rng, p), (const grd_tensor *[]){ p }, 1, NULL);
}

typedef struct dropping {
    double p;
    grdi_draw at;
} dropping;

static grd_tensor *drop(const grd_tensor *x, const dropping *how);

/* y = keep ? x / (1 - p) : 0: dx = keep ? dy / (1 - p) : 0, by the same numbers. */
static void dropout_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const dropping *how = grdi_attributes(node);
    dx[0] = drop(dy, how);
}

static const grdi_derivative dropout = {
    .op = "dropout",
    .rule = "y = keep ? x / (1 - p) : 0: dx = keep ? dy / (1 - p) : 0, by the same numbers",
    .attributes = sizeof(dropping),
    .backward = dropout_backward,
};

static grd_tensor *drop(const grd_tensor *x, const dropping *how)
{
    grd_tensor *y =
        how->p > 0 ? grdi_dropout(x, how->p, how->at) : grdi_tensor_view(dropout.op, x, &x->array);
    return grdi_record(&dropout, y, (const grd_tensor *[]){ x }, 1, how);
}

grd_tensor *grdi_dropout_at(const grd_tensor *x, double p, grdi_draw at)
{
    return x ? drop(x, &(dropping){ p, at }) : grdi_fail_null(dropout.op);
}

grd_tensor *grd_dropout(const grd_tensor *x, double p, grd_rng *rng)
{
    if (!x || !rng)
        return grdi_fail_null(dropout.op);
    if (!(p >= 0 && p < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, dropout.op, "p is %g, not in [0, 1)", p);
    grd_tensor *y = drop(x, &(dropping){ p, grdi_rng_next(rng) });
    if (y && p > 0)
        grdi_rng_advance(rng, grdi_count(&x->array));
    return y;
}
