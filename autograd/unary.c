#include "autograd/node.h"

/* y = |x|: dx = dy sign(x), which is 0 in 0. */
static void abs_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_mul(dy, grdi_sign(grdi_saved(node, 0)));
}

static const grdi_derivative abs_of = {
    .op = "abs",
    .rule = "y = |x|: dx = dy sign(x)",
    .needs = { GRDI_INPUT(0) },
    .backward = abs_backward,
};

grd_tensor *grd_abs(const grd_tensor *x)
{
    return grdi_record(&abs_of, grdi_abs(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = x^2: dx = 2 x dy. */
static void square_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_mul(dy, grd_mul_scalar(grdi_saved(node, 0), 2));
}

static const grdi_derivative square = {
    .op = "square",
    .rule = "y = x^2: dx = 2 x dy",
    .needs = { GRDI_INPUT(0) },
    .backward = square_backward,
};

grd_tensor *grd_square(const grd_tensor *x)
{
    return grdi_record(&square, grdi_square(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = e^x: dx = dy y. */
static void exp_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_mul(dy, grdi_saved_output(node));
}

static const grdi_derivative exp_of = {
    .op = "exp",
    .rule = "y = e^x: dx = dy y",
    .needs = { GRDI_OUTPUT },
    .backward = exp_backward,
};

grd_tensor *grd_exp(const grd_tensor *x)
{
    return grdi_record(&exp_of, grdi_exp(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = log(x): dx = dy / x. */
static void log_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_div(dy, grdi_saved(node, 0));
}

static const grdi_derivative log_of = {
    .op = "log",
    .rule = "y = log(x): dx = dy / x",
    .needs = { GRDI_INPUT(0) },
    .backward = log_backward,
};

grd_tensor *grd_log(const grd_tensor *x)
{
    return grdi_record(&log_of, grdi_log(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = sqrt(x): dx = dy / (2 y). */
static void sqrt_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_div(dy, grd_mul_scalar(grdi_saved_output(node), 2));
}

static const grdi_derivative sqrt_of = {
    .op = "sqrt",
    .rule = "y = sqrt(x): dx = dy / (2 y)",
    .needs = { GRDI_OUTPUT },
    .backward = sqrt_backward,
};

grd_tensor *grd_sqrt(const grd_tensor *x)
{
    return grdi_record(&sqrt_of, grdi_sqrt(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = 1 / sqrt(x): dx = -dy y^3 / 2. */
static void rsqrt_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *y = grdi_saved_output(node);
    dx[0] = grd_mul(grd_mul_scalar(dy, -0.5), grd_mul(grd_square(y), y));
}

static const grdi_derivative rsqrt = {
    .op = "rsqrt",
    .rule = "y = 1 / sqrt(x): dx = -dy y^3 / 2",
    .needs = { GRDI_OUTPUT },
    .backward = rsqrt_backward,
};

grd_tensor *grd_rsqrt(const grd_tensor *x)
{
    return grdi_record(&rsqrt, grdi_rsqrt(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = sin(x): dx = dy cos(x). */
static void sin_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_mul(dy, grd_cos(grdi_saved(node, 0)));
}

static const grdi_derivative sin_of = {
    .op = "sin",
    .rule = "y = sin(x): dx = dy cos(x)",
    .needs = { GRDI_INPUT(0) },
    .backward = sin_backward,
};

grd_tensor *grd_sin(const grd_tensor *x)
{
    return grdi_record(&sin_of, grdi_sin(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = cos(x): dx = -dy sin(x). */
static void cos_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_neg(grd_mul(dy, grd_sin(grdi_saved(node, 0))));
}

static const grdi_derivative cos_of = {
    .op = "cos",
    .rule = "y = cos(x): dx = -dy sin(x)",
    .needs = { GRDI_INPUT(0) },
    .backward = cos_backward,
};

grd_tensor *grd_cos(const grd_tensor *x)
{
    return grdi_record(&cos_of, grdi_cos(x), (const grd_tensor *[]){ x }, 1, NULL);
}
