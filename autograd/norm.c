#include "autograd/node.h"

static grd_tensor *row_mean(const grd_tensor *x)
{
    return grd_mean_dims(x, GRD_DIMS(-1), GRD_KEEP_DIMS);
}

/* With z = (x - mean) factor and g = dy weight: dx = factor (g - mean(g) - z mean(g z)), and
 * dweight = dy z and dbias = dy, which the walk sums over the rows. A root-mean-square norm has
 * mean = 0 in both places. */
static void compose(grdi_node *node, grd_tensor *dy, grd_tensor *dx[], bool centre)
{
    const grd_tensor *x = grdi_saved(node, 0), *weight = grdi_saved(node, 1);
    const double eps = *(const double *)grdi_attributes(node);
    const grd_tensor *away = centre ? grd_sub(x, row_mean(x)) : x;
    const grd_tensor *factor = grd_rsqrt(grd_add_scalar(row_mean(grd_square(away)), eps));
    const grd_tensor *z = grd_mul(away, factor);
    if (grdi_wants(node, 0)) {
        const grd_tensor *g = weight ? grd_mul(dy, weight) : dy;
        const grd_tensor *slope = grd_mul(z, row_mean(grd_mul(g, z)));
        dx[0] = grd_mul(factor, grd_sub(centre ? grd_sub(g, row_mean(g)) : g, slope));
    }
    if (grdi_wants(node, 1))
        dx[1] = grd_mul(dy, z);
}

/* y = (x - mean) factor weight + bias, factor = 1 / sqrt(var + eps): see compose. */
static void layer_norm_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const bool wanted[] = { grdi_wants(node, 0), grdi_wants(node, 1), grdi_wants(node, 2) };
    if (wanted[2])
        dx[2] = dy;
    if (!wanted[0] && !wanted[1])
        return;
    if (grdi_recording())
        compose(node, dy, dx, true);
    else
        grdi_layer_norm_backward(dy, grdi_saved(node, 0), grdi_saved_extra(node, 0),
                                 grdi_saved(node, 1), wanted, dx);
}

static const grdi_derivative layer_norm = {
    .op = "layer_norm",
    .rule =
        "y = z w + b, z = (x - mean) f: g = dy w, dx = f (g - mean(g) - z mean(g z)), dw = dy z",
    .needs = { GRDI_INPUT(0) | GRDI_INPUT(1), GRDI_INPUT(0) },
    .attributes = sizeof(double),
    .backward = layer_norm_backward,
};

grd_tensor *grd_layer_norm(const grd_tensor *x, const grd_tensor *weight, const grd_tensor *bias,
                           double eps)
{
    grd_tensor *stats = NULL;
    grd_tensor *y = grdi_layer_norm(x, weight, bias, eps, grdi_recording() ? &stats : NULL);
    return grdi_record_saving(&layer_norm, y, (const grd_tensor *[]){ x, weight, bias }, 3, &eps,
                              (const grd_tensor *[]){ stats }, 1);
}

/* y = x factor weight, factor = 1 / sqrt(mean(x^2) + eps): see compose. */
static void rms_norm_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const bool wanted[] = { grdi_wants(node, 0), grdi_wants(node, 1) };
    if (grdi_recording())
        compose(node, dy, dx, false);
    else
        grdi_rms_norm_backward(dy, grdi_saved(node, 0), grdi_saved_extra(node, 0),
                               grdi_saved(node, 1), wanted, dx);
}

static const grdi_derivative rms_norm = {
    .op = "rms_norm",
    .rule = "y = z w, z = x f: g = dy w, dx = f (g - z mean(g z)), dw = dy z",
    .needs = { GRDI_INPUT(0) | GRDI_INPUT(1), GRDI_INPUT(0) },
    .attributes = sizeof(double),
    .backward = rms_norm_backward,
};

grd_tensor *grd_rms_norm(const grd_tensor *x, const grd_tensor *weight, double eps)
{
    grd_tensor *stats = NULL;
    grd_tensor *y = grdi_rms_norm(x, weight, eps, grdi_recording() ? &stats : NULL);
    return grdi_record_saving(&rms_norm, y, (const grd_tensor *[]){ x, weight }, 2, &eps,
                              (const grd_tensor *[]){ stats }, 1);
}
