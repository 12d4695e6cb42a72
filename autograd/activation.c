#include "autograd/node.h"

/* y = erf(x): dx = dy 2 / sqrt(pi) e^(-x^2). */
static void erf_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *bell = grd_exp(grd_neg(grd_square(grdi_saved(node, 0))));
    dx[0] = grd_mul(dy, grd_mul_scalar(bell, 1.1283791670955126));
}

static const grdi_derivative erf_of = {
    .op = "erf",
    .rule = "y = erf(x): dx = dy 2 / sqrt(pi) e^(-x^2)",
    .needs = { GRDI_INPUT(0) },
    .backward = erf_backward,
};

grd_tensor *grd_erf(const grd_tensor *x)
{
    return grdi_record(&erf_of, grdi_erf(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = tanh(x): dx = dy (1 - y^2). */
static void tanh_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *y = grdi_saved_output(node);
    if (!grdi_recording()) {
        dx[0] = y ? grdi_tanh_backward(dy, y) : NULL;
        return;
    }
    dx[0] = grd_sub(dy, grd_mul(dy, grd_square(y)));
}

static const grdi_derivative tanh_of = {
    .op = "tanh",
    .rule = "y = tanh(x): dx = dy (1 - y^2)",
    .needs = { GRDI_OUTPUT },
    .backward = tanh_backward,
};

grd_tensor *grd_tanh(const grd_tensor *x)
{
    return grdi_record(&tanh_of, grdi_tanh(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = 1 / (1 + e^-x): dx = dy y (1 - y). */
static void sigmoid_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *y = grdi_saved_output(node);
    if (!grdi_recording()) {
        dx[0] = y ? grdi_sigmoid_backward(dy, y) : NULL;
        return;
    }
    dx[0] = grd_mul(dy, grd_sub(y, grd_square(y)));
}

static const grdi_derivative sigmoid = {
    .op = "sigmoid",
    .rule = "y = 1 / (1 + e^-x): dx = dy y (1 - y)",
    .needs = { GRDI_OUTPUT },
    .backward = sigmoid_backward,
};

grd_tensor *grd_sigmoid(const grd_tensor *x)
{
    return grdi_record(&sigmoid, grdi_sigmoid(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = max(x, 0): dx = 0 where y <= 0, else dy. */
static void relu_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *y = grdi_saved_output(node);
    if (!grdi_recording()) {
        dx[0] = y ? grdi_relu_backward(dy, y) : NULL;
        return;
    }
    dx[0] = grd_masked_fill(dy, grd_le_scalar(y, 0), 0);
}

static const grdi_derivative relu = {
    .op = "relu",
    .rule = "y = max(x, 0): dx = dy where y > 0, else 0",
    .needs = { GRDI_OUTPUT },
    .backward = relu_backward,
};

grd_tensor *grd_relu(const grd_tensor *x)
{
    return grdi_record(&relu, grdi_relu(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = x Phi(x), Phi(x) = (1 + erf(x / sqrt(2))) / 2: dx = dy (Phi(x) + x phi(x)),
 * phi(x) = e^(-x^2 / 2) / sqrt(2 pi). */
static void gelu_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *x = grdi_saved(node, 0);
    if (!grdi_recording()) {
        dx[0] = x ? grdi_gelu_backward(dy, x) : NULL;
        return;
    }
    grd_tensor *erf_of = grd_erf(grd_mul_scalar(x, 0.70710678118654752));
    grd_tensor *bell = grd_exp(grd_mul_scalar(grd_square(x), -0.5));
    grd_tensor *density = grd_mul_scalar(bell, 0.39894228040143268);
    grd_tensor *sum = grd_mul_scalar(grd_add_scalar(erf_of, 1), 0.5);
    dx[0] = grd_mul(dy, grd_add(sum, grd_mul(x, density)));
}

static const grdi_derivative gelu = {
    .op = "gelu",
    .rule = "y = x Phi(x): dx = dy (Phi(x) + x phi(x))",
    .needs = { GRDI_INPUT(0) },
    .backward = gelu_backward,
};

grd_tensor *grd_gelu(const grd_tensor *x)
{
    return grdi_record(&gelu, grdi_gelu(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = x s, s = 1 / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3):
 * dx = dy s (1 + x (1 - s) d 2u / dx). */
static void gelu_tanh_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *x = grdi_saved(node, 0);
    if (!grdi_recording()) {
        dx[0] = x ? grdi_gelu_tanh_backward(dy, x) : NULL;
        return;
    }
    const double twice = 2 * 0.79788456080286536, cubic = 0.044715;
    grd_tensor *square = grd_square(x);
    grd_tensor *factor = grd_add_scalar(grd_mul_scalar(square, twice * cubic), twice);
    grd_tensor *slope = grd_add_scalar(grd_mul_scalar(square, 3 * twice * cubic), twice);
    grd_tensor *s = grd_sigmoid(grd_mul(x, factor));
    grd_tensor *rest = grd_mul(grd_mul(x, slope), grd_sub(s, grd_square(s)));
    dx[0] = grd_mul(dy, grd_add(s, rest));
}

static const grdi_derivative gelu_tanh = {
    .op = "gelu_tanh",
    .rule = "y = x s, s = sigmoid(2 u(x)): dx = dy s (1 + x (1 - s) 2 u'(x))",
    .needs = { GRDI_INPUT(0) },
    .backward = gelu_tanh_backward,
};

grd_tensor *grd_gelu_tanh(const grd_tensor *x)
{
    return grdi_record(&gelu_tanh, grdi_gelu_tanh(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = x s, s = 1 / (1 + e^-x): dx = dy s (1 + x (1 - s)). */
static void silu_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_tensor *x = grdi_saved(node, 0);
    if (!grdi_recording()) {
        dx[0] = x ? grdi_silu_backward(dy, x) : NULL;
        return;
    }
    grd_tensor *s = grd_sigmoid(x);
    dx[0] = grd_mul(dy, grd_add(s, grd_mul(x, grd_sub(s, grd_square(s)))));
}

static const grdi_derivative silu = {
    .op = "silu",
    .rule = "y = x s, s = sigmoid(x): dx = dy s (1 + x (1 - s))",
    .needs = { GRDI_INPUT(0) },
    .backward = silu_backward,
};

grd_tensor *grd_silu(const grd_tensor *x)
{
    return grdi_record(&silu, grdi_silu(x), (const grd_tensor *[]){ x }, 1, NULL);
}
