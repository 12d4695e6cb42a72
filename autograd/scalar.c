#include "autograd/node.h"

/* y = x + b: dx = dy. */
static void add_scalar_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    (void)node;
    dx[0] = dy;
}

static const grdi_derivative add_scalar = {
    .op = "add_scalar",
    .rule = "y = x + b: dx = dy",
    .backward = add_scalar_backward,
};
static const grdi_derivative sub_scalar = {
    .op = "sub_scalar",
    .rule = "y = x - b: dx = dy",
    .backward = add_scalar_backward,
};

grd_tensor *grd_add_scalar(const grd_tensor *x, double b)
{
    return grdi_record(&add_scalar, grdi_add_scalar(x, b), (const grd_tensor *[]){ x }, 1, NULL);
}

grd_tensor *grd_sub_scalar(const grd_tensor *x, double b)
{
    return grdi_record(&sub_scalar, grdi_sub_scalar(x, b), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = x b: dx = dy b. */
static void mul_scalar_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_mul_scalar(dy, *(const double *)grdi_attributes(node));
}

static const grdi_derivative mul_scalar = {
    .op = "mul_scalar",
    .rule = "y = x b: dx = dy b",
    .attributes = sizeof(double),
    .backward = mul_scalar_backward,
};

grd_tensor *grd_mul_scalar(const grd_tensor *x, double b)
{
    return grdi_record(&mul_scalar, grdi_mul_scalar(x, b), (const grd_tensor *[]){ x }, 1, &b);
}

/* y = x / b: dx = dy / b. */
static void div_scalar_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_div_scalar(dy, *(const double *)grdi_attributes(node));
}

static const grdi_derivative div_scalar = {
    .op = "div_scalar",
    .rule = "y = x / b: dx = dy / b",
    .attributes = sizeof(double),
    .backward = div_scalar_backward,
};

grd_tensor *grd_div_scalar(const grd_tensor *x, double b)
{
    return grdi_record(&div_scalar, grdi_div_scalar(x, b), (const grd_tensor *[]){ x }, 1, &b);
}

/* y = x^b: dx = dy b x^(b - 1), and 0 for b = 0 whatever x. */
static void pow_scalar_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const double b = *(const double *)grdi_attributes(node);
    if (b == 0)
        dx[0] = grd_zeros_like(dy);
    else
        dx[0] = grd_mul(dy, grd_mul_scalar(grd_pow_scalar(grdi_saved(node, 0), b - 1), b));
}

static const grdi_derivative pow_scalar = {
    .op = "pow_scalar",
    .rule = "y = x^b: dx = dy b x^(b - 1)",
    .needs = { GRDI_INPUT(0) },
    .attributes = sizeof(double),
    .backward = pow_scalar_backward,
};

grd_tensor *grd_pow_scalar(const grd_tensor *x, double b)
{
    return grdi_record(&pow_scalar, grdi_pow_scalar(x, b), (const grd_tensor *[]){ x }, 1, &b);
}

/* y = -x: dx = -dy. */
static void neg_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    (void)node;
    dx[0] = grd_neg(dy);
}

static const grdi_derivative neg = {
    .op = "neg",
    .rule = "y = -x: dx = -dy",
    .backward = neg_backward,
};

grd_tensor *grd_neg(const grd_tensor *x)
{
    return grdi_record(&neg, grdi_neg(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = x within its bounds: dx = dy where x was within them, else 0. */
static void clamp_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const double *bounds = grdi_attributes(node);
    grd_tensor *x = grdi_saved(node, 0);
    grd_tensor *within = grd_logical_and(grd_ge_scalar(x, bounds[0]), grd_le_scalar(x, bounds[1]));
    dx[0] = grd_masked_fill(dy, grd_logical_not(within), 0);
}

static const grdi_derivative clamp = {
    .op = "clamp",
    .rule = "y = x within its bounds: dx = dy where x was within them, else 0",
    .needs = { GRDI_INPUT(0) },
    .attributes = 2 * sizeof(double),
    .backward = clamp_backward,
};

grd_tensor *grd_clamp(const grd_tensor *x, double low, double high)
{
    return grdi_record(&clamp, grdi_clamp(x, low, high), (const grd_tensor *[]){ x }, 1,
                       (double[]){ low, high });
}
