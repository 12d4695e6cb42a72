#include "tensor/cpu/loops.h"

#include <math.h>

static const double root_half = 0.70710678118654752;
static const float root_two_over_pi = 0.79788456f, cubic = 0.044715f,
                   one_over_root_two_pi = 0.39894228f;

/* x, but not beyond the limit, where what it is used for no longer changes. */
static float within(float x, float limit)
{
    return x < -limit ? -limit : x > limit ? limit : x;
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* The normal distribution's, which is small without cancelling for negative x; in f64, since the
 * smaller it is the more it makes of an error of its argument. */
static float phi_sum(float x)
{
    return (float)(0.5 * erfc((double)x * -root_half));
}

static float gelu_slope(float x)
{
    x = within(x, 15);
    return phi_sum(x) + x * one_over_root_two_pi * expf(-0.5f * x * x);
}

/* 2 u, of which y = x / (1 + e^-2u) */
static float twice_u(float x)
{
    return 2 * root_two_over_pi * (x + cubic * x * x * x);
}

static float gelu_tanh_slope(float x)
{
    x = within(x, 15);
    const float s = sigmoid(twice_u(x)), rest = sigmoid(-twice_u(x));
    return s + x * s * rest * 2 * root_two_over_pi * (1 + 3 * cubic * x * x);
}

static float silu_slope(float x)
{
    x = within(x, 104);
    return sigmoid(x) * (1 + x * sigmoid(-x));
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
FORWARD(gelu_tanh_f32, x[i] * sigmoid(twice_u(x[i])))
FORWARD(silu_f32, x[i] * sigmoid(x[i]))

#define BACKWARD(name, slope)                                                                      \
    void GRDI_LOOP(name)(int64_t n, float *dx, const float *dy, const float *x)                    \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            dx[i] = dy[i] * slope(x[i]);                                                           \
    }
BACKWARD(gelu_backward_f32, gelu_slope)
BACKWARD(gelu_tanh_backward_f32, gelu_tanh_slope)
BACKWARD(silu_backward_f32, silu_slope)
