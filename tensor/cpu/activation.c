#include "tensor/cpu/loops.h"
#include "tensor/cpu/map.h"

#include <math.h>

static const double root_half = 0.70710678118654752, root_two_over_pi = 0.79788456080286536,
                    cubic = 0.044715, one_over_root_two_pi = 0.39894228040143268;

/* x, but not beyond the limit, where what it is used for no longer changes. */
static double within(double x, double limit)
{
    return x < -limit ? -limit : x > limit ? limit : x;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double relu(double x)
{
    return x > 0 || x != x ? x : 0;
}

/* The normal distribution's, which is small without cancelling for negative x. */
static double phi_sum(double x)
{
    return 0.5 * erfc(-x * root_half);
}

static double gelu(double x)
{
    return x * phi_sum(x);
}

static double gelu_slope(double x)
{
    x = within(x, 40);
    return phi_sum(x) + x * one_over_root_two_pi * exp(-0.5 * x * x);
}

/* 2 u, of which y = x / (1 + e^-2u) = x (1 + tanh(u)) / 2 */
static double twice_u(double x)
{
    return 2 * root_two_over_pi * (x + cubic * x * x * x);
}

static double gelu_tanh(double x)
{
    return x * sigmoid(twice_u(x));
}

static double gelu_tanh_slope(double x)
{
    x = within(x, 30);
    const double s = sigmoid(twice_u(x)), rest = sigmoid(-twice_u(x));
    return s + x * s * rest * 2 * root_two_over_pi * (1 + 3 * cubic * x * x);
}

static double silu(double x)
{
    return x * sigmoid(x);
}

static double silu_slope(double x)
{
    x = within(x, 800);
    return sigmoid(x) * (1 + x * sigmoid(-x));
}

#define FORWARD(name, of_f64, ns)                                                                  \
    grd_status grdi_cpu_##name(grd_device *device, const grdi_array *y, const grdi_array *x)       \
    {                                                                                              \
        return grdi_run_unary(                                                                     \
            y, x, &(grdi_unary){ grdi_loops_of(device)->name##_f32, of_f64, NULL, ns });           \
    }
FORWARD(erf, erf, 1)
FORWARD(tanh, tanh, 1)
FORWARD(sigmoid, sigmoid, 1)
FORWARD(relu, relu, 0.2)
FORWARD(gelu, gelu, 1)
FORWARD(gelu_tanh, gelu_tanh, 1)
FORWARD(silu, silu, 1)

#define BACKWARD(name, ns, value)                                                                  \
    static void name##_f64(int64_t n, double *dx, const double *dy, const double *from)            \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            dx[i] = value;                                                                         \
    }                                                                                              \
    grd_status grdi_cpu_##name(grd_device *device, const grdi_array *dx, const grdi_array *dy,     \
                               const grdi_array *from)                                             \
    {                                                                                              \
        return grdi_run_binary(                                                                    \
            dx, dy, from,                                                                          \
            &(grdi_binary){ grdi_loops_of(device)->name##_f32, name##_f64, NULL, ns });            \
    }
BACKWARD(tanh_backward, 0.3, dy[i] * (1 - from[i] * from[i]))
BACKWARD(sigmoid_backward, 0.3, dy[i] * from[i] * (1 - from[i]))
BACKWARD(relu_backward, 0.3, from[i] <= 0 ? 0 : dy[i])
BACKWARD(gelu_backward, 1, dy[i] * gelu_slope(from[i]))
BACKWARD(gelu_tanh_backward, 1, dy[i] * gelu_tanh_slope(from[i]))
BACKWARD(silu_backward, 1, dy[i] * silu_slope(from[i]))
