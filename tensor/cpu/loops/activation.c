#include "tensor/cpu/loops.h"

#include <math.h>

static const float root_half = 0.70710678f, root_two_over_pi = 0.79788456f, cubic = 0.044715f,
                   one_over_root_two_pi = 0.39894228f;

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* The normal distribution's, which is small without cancelling for negative x. */
static float phi_sum(float x)
{
    return 0.5f * erfcf(-x * root_half);
}

static float gelu_slope(float x)
{
    return phi_sum(x) + x * one_over_root_two_pi * expf(-0.5f * x * x);
}

static float gelu_tanh_sigmoid(float x)
{
    return sigmoid(2 * root_two_over_pi * (x + cubic * x * x * x));
}

static float gelu_tanh_slope(float x)
{
    const float s = gelu_tanh_sigmoid(x);
    return s + 2 * x * s * (1 - s) * root_two_over_pi * (1 + 3 * cubic * x * x);
}

static float silu_slope(float x)
{
    const float s = sigmoid(x);
    return s * (1 + x * (1 - s));
}

#define FORWARD(name, value)                                                                       \
    void GRDI_LOOP(name)(int64_t n, float *y, const float *x)                                      \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = value;                                                                          \
    }
FORWARD(exp_f32, expf(x[i]))
FORWARD(erf_f32, erff(x[i]))
FORWARD(tanh_f32, tanhf(x[i]))
FORWARD(sigmoid_f32, sigmoid(x[i]))
FORWARD(gelu_f32, x[i] * phi_sum(x[i]))
FORWARD(gelu_tanh_f32, x[i] * gelu_tanh_sigmoid(x[i]))
FORWARD(silu_f32, x[i] / (1 + expf(-x[i])))

#define BACKWARD(name, slope)                                                                      \
    void GRDI_LOOP(name)(int64_t n, float *dx, const float *dy, const float *x)                    \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            dx[i] = dy[i] * slope(x[i]);                                                           \
    }
BACKWARD(gelu_backward_f32, gelu_slope)
BACKWARD(gelu_tanh_backward_f32, gelu_tanh_slope)
BACKWARD(silu_backward_f32, silu_slope)
