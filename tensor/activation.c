#include "tensor/front.h"

grd_tensor *grdi_erf(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("erf");
    return grdi_unary("erf", grdi_device(x)->kernels->erf, GRDI_FLOATS, x);
}

grd_tensor *grdi_tanh(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("tanh");
    return grdi_unary("tanh", grdi_device(x)->kernels->tanh, GRDI_FLOATS, x);
}

grd_tensor *grdi_sigmoid(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("sigmoid");
    return grdi_unary("sigmoid", grdi_device(x)->kernels->sigmoid, GRDI_FLOATS, x);
}

grd_tensor *grdi_relu(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("relu");
    return grdi_unary("relu", grdi_device(x)->kernels->relu, GRDI_FLOATS, x);
}

grd_tensor *grdi_gelu(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("gelu");
    return grdi_unary("gelu", grdi_device(x)->kernels->gelu, GRDI_FLOATS, x);
}

grd_tensor *grdi_gelu_tanh(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("gelu_tanh");
    return grdi_unary("gelu_tanh", grdi_device(x)->kernels->gelu_tanh, GRDI_FLOATS, x);
}

grd_tensor *grdi_silu(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("silu");
    return grdi_unary("silu", grdi_device(x)->kernels->silu, GRDI_FLOATS, x);
}

grd_tensor *grdi_tanh_backward(const grd_tensor *dy, const grd_tensor *y)
{
    return grdi_binary("tanh", grdi_device(dy)->kernels->tanh_backward, GRDI_FLOATS, dy, y);
}

grd_tensor *grdi_sigmoid_backward(const grd_tensor *dy, const grd_tensor *y)
{
    return grdi_binary("sigmoid", grdi_device(dy)->kernels->sigmoid_backward, GRDI_FLOATS, dy, y);
}

grd_tensor *grdi_relu_backward(const grd_tensor *dy, const grd_tensor *y)
{
    return grdi_binary("relu", grdi_device(dy)->kernels->relu_backward, GRDI_FLOATS, dy, y);
}

grd_tensor *grdi_gelu_backward(const grd_tensor *dy, const grd_tensor *x)
{
    return grdi_binary("gelu", grdi_device(dy)->kernels->gelu_backward, GRDI_FLOATS, dy, x);
}

grd_tensor *grdi_gelu_tanh_backward(const grd_tensor *dy, const grd_tensor *x)
{
    return grdi_binary("gelu_tanh", grdi_device(dy)->kernels->gelu_tanh_backward, GRDI_FLOATS, dy,
                       x);
}

grd_tensor *grdi_silu_backward(const grd_tensor *dy, const grd_tensor *x)
{
    return grdi_binary("silu", grdi_device(dy)->kernels->silu_backward, GRDI_FLOATS, dy, x);
}
