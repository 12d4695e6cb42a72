#include "tensor/cuda/map.cuh"

/* x, but not beyond the limit, where what it is used for no longer changes. */
template <class T> __device__ inline T within(T x, T limit)
{
    return x < -limit ? -limit : x > limit ? limit : x;
}

template <class T> __device__ inline T sigmoid(T x)
{
    return T(1) / (T(1) + exp(-x));
}

/* The normal distribution's, which is small without cancelling for negative x. */
template <class T> __device__ inline T phi_sum(T x)
{
    return T(0.5) * erfc(x * T(-0.70710678118654752));
}

template <class T> __device__ inline T gelu_slope(T x)
{
    x = within(x, T(sizeof(T) == 8 ? 40 : 15));
    return phi_sum(x) + x * T(0.39894228040143268) * exp(T(-0.5) * x * x);
}

/* 2 u, of which gelu_tanh is x / (1 + e^-2u). */
template <class T> __device__ inline T twice_u(T x)
{
    return T(2 * 0.79788456080286536) * (x + T(0.044715) * x * x * x);
}

template <class T> __device__ inline T gelu_tanh_slope(T x)
{
    x = within(x, T(sizeof(T) == 8 ? 30 : 15));
    const T s = sigmoid(twice_u(x)), rest = sigmoid(-twice_u(x));
    return s + x * s * rest * T(2 * 0.79788456080286536) * (T(1) + T(3 * 0.044715) * x * x);
}

template <class T> __device__ inline T silu_slope(T x)
{
    x = within(x, T(sizeof(T) == 8 ? 800 : 104));
    return sigmoid(x) * (T(1) + x * sigmoid(-x));
}

#define FORWARD_OF(dtype, type, name, value)                                                       \
    GRDI_KERNEL(name##_##dtype, int64_t n, grdi_array to, grdi_array from)                         \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        map<type, type>(                                                                           \
            n, [](T x) -> T { return value; }, to, from);                                          \
    }
#define FORWARD(name, value) KERNELS_OF_FLOATS(FORWARD_OF, name, value)
FORWARD(erf, erf(x))
FORWARD(tanh, tanh(x))
FORWARD(sigmoid, sigmoid(x))
FORWARD(relu, x > 0 || x != x ? x : T(0))
FORWARD(gelu, x *phi_sum(x))
FORWARD(gelu_tanh, x *sigmoid(twice_u(x)))
FORWARD(silu, x *sigmoid(x))

/* From is the result, or in the last three what the function was of. */
#define BACKWARD_OF(dtype, type, name, value)                                                      \
    GRDI_KERNEL(name##_##dtype, int64_t n, grdi_array to, grdi_array slope, grdi_array from)       \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        map<type, type, type>(                                                                     \
            n, [](T dy, T x) -> T { return value; }, to, slope, from);                             \
    }
#define BACKWARD(name, value) KERNELS_OF_FLOATS(BACKWARD_OF, name, value)
BACKWARD(tanh_backward, dy *(T(1) - x * x))
BACKWARD(sigmoid_backward, dy *x *(T(1) - x))
BACKWARD(relu_backward, x <= 0 ? T(0) : dy)
BACKWARD(gelu_backward, dy *gelu_slope(x))
BACKWARD(gelu_tanh_backward, dy *gelu_tanh_slope(x))
BACKWARD(silu_backward, dy *silu_slope(x))
