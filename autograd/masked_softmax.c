#include "autograd/attention.h"

typedef struct settings {
    double scale;
    bool masked; /* keep is saved */
} settings;

static grd_tensor *scaled(grd_tensor *x, double factor)
{
    return factor == 1 ? x : grd_mul_scalar(x, factor);
}

/* z = scale x + additive: dx = scale dz, dadditive = dz. */
static void to_inputs(const grdi_node *node, grd_tensor *dz, double scale, int x, grd_tensor *dx[])
{
    if (grdi_wants(node, x))
        dx[x] = scaled(dz, scale);
    if (grdi_wants(node, x + 1))
        dx[x + 1] = dz;
}

/* dz = y (dy - sum(y dy)) in public ops; dy may be anything where hidden. */
static grd_tensor *composed(grd_tensor *y, grd_tensor *dy, const grd_tensor *keep)
{
    if (keep)
        dy = grd_masked_fill(dy, grd_logical_not(keep), 0);
    grd_tensor *sum = grd_sum_dims(grd_mul(y, dy), GRD_DIMS(-1), GRD_KEEP_DIMS);
    return grd_mul(y, grd_sub(dy, sum));
}

/* y = softmax(z), z = scale x + additive: dz = y (dy - sum(y dy)) over what is kept, else 0. */
static void weights_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const settings *s = grdi_attributes(node);
    const grd_tensor *keep = s->masked ? grdi_saved_extra(node, 0) : NULL;
    grd_tensor *y = grdi_saved_output(node);
    if (grdi_recording())
        to_inputs(node, composed(y, dy, keep), s->scale, 0, dx);
    else if (grdi_wants(node, 1))
        to_inputs(node, grdi_masked_softmax_backward(y, dy, keep, 1), s->scale, 0, dx);
    else
        dx[0] = grdi_masked_softmax_backward(y, dy, keep, s->scale);
}

static const grdi_derivative weights = {
    .op = "attention_weights",
    .rule = "y = softmax(z), z = scale x + additive: dz = y (dy - sum(y dy)), dx = scale dz",
    .needs = { GRDI_OUTPUT, GRDI_OUTPUT },
    .attributes = sizeof(settings),
    .backward = weights_backward,
};

/* lse = log(sum(exp(z))): dz = softmax(z) dlse. The softmax is an input, so that the result can be
 * differentiated again; the path through it is none, and gets 0. */
static void logsumexp_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *y = grdi_saved(node, 0);
    grd_shape rows = grd_tensor_shape(y);
    rows.size[rows.rank - 1] = 1;
    if (grdi_wants(node, 0))
        dx[0] = grd_zeros_like(y);
    to_inputs(node, grd_mul(y, grd_reshape(dy, rows)), *(const double *)grdi_attributes(node), 1,
              dx);
}

static const grdi_derivative logsumexp = {
    .op = "attention_logsumexp",
    .rule = "y = log(sum(e^z)), z = scale x + additive: dz = dy softmax(z), dx = scale dz",
    .needs = { 0, GRDI_INPUT(0), GRDI_INPUT(0) },
    .attributes = sizeof(double),
    .backward = logsumexp_backward,
};

grd_tensor *grdi_weights(const grd_tensor *x, const grd_tensor *additive, const grd_tensor *keep,
                         double scale, grd_tensor **lse)
{
    const settings s = { scale, keep };
    grd_tensor *y = grdi_masked_softmax(x, additive, keep, scale, lse);
    y = grdi_record_saving(&weights, y, (const grd_tensor *[]){ x, additive }, 2, &s, &keep,
                           keep ? 1 : 0);
    if (lse)
        *lse =
            y ? grdi_record(&logsumexp, *lse, (const grd_tensor *[]){ y, x, additive }, 3, &scale)
              : NULL;
    return y;
}
