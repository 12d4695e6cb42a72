#include "tests/op_cases.h"

#include <math.h>

static const double pi = 3.14159265358979324;

static double phi(double x)
{
    return exp(-x * x / 2) / sqrt(2 * pi);
}

static double phi_sum(double x)
{
    return (1 + erf(x / sqrt(2))) / 2;
}

static double u_of(double x)
{
    return sqrt(2 / pi) * (x + 0.044715 * x * x * x);
}

static double u_slope(double x)
{
    return sqrt(2 / pi) * (1 + 0.134145 * x * x);
}

static double sigma(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static void each(const plain x[], plain *y, double (*f)(double x))
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = f(4 * y->value[i]);
}

static void each_slope(const plain x[], plain *y, double (*f)(double x))
{
    each(x, y, f);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] *= x[1].value[i];
}

/* dx, by the kernel: nothing is recorded in the walk. */
static grd_tensor *gradient(grd_tensor *(*op)(const grd_tensor *), const grd_tensor *const x[])
{
    const grd_tensor *dy = grd_detach(x[1]);
    grd_tensor *dx = NULL, *leaf = grd_require_grad(grd_mul_scalar(grd_detach(x[0]), 4));
    const grd_grad_options options = { .gradients = GRD_LIST(dy) };
    grd_grad(GRD_LIST(op(leaf)), GRD_LIST(leaf), &options, &dx);
    return dx;
}

/* The op, its maths and its derivative's, at 4 x: values from -4 to 4. */
#define ACTIVATION(op, value, slope)                                                               \
    static double op##_of(double x)                                                                \
    {                                                                                              \
        return value;                                                                              \
    }                                                                                              \
    static double op##_slope(double x)                                                             \
    {                                                                                              \
        return slope;                                                                              \
    }                                                                                              \
    static void op##_reference(const plain x[], plain *y)                                          \
    {                                                                                              \
        each(x, y, op##_of);                                                                       \
    }                                                                                              \
    static void op##_backward_reference(const plain x[], plain *y)                                 \
    {                                                                                              \
        each_slope(x, y, op##_slope);                                                              \
    }                                                                                              \
    static grd_tensor *run_##op(const grd_tensor *const x[])                                       \
    {                                                                                              \
        return grd_##op(grd_mul_scalar(x[0], 4));                                                  \
    }                                                                                              \
    static grd_tensor *run_##op##_backward(const grd_tensor *const x[])                            \
    {                                                                                              \
        return gradient((grd_##op), x);                                                            \
    }

ACTIVATION(erf, erf(x), 2 / sqrt(pi) * exp(-x * x))
ACTIVATION(tanh, tanh(x), 1 - tanh(x) * tanh(x))
ACTIVATION(sigmoid, sigma(x), sigma(x) * (1 - sigma(x)))
ACTIVATION(relu, x > 0 ? x : 0, x > 0)
ACTIVATION(gelu, x *phi_sum(x), phi_sum(x) + x * phi(x))
ACTIVATION(gelu_tanh, x / 2 * (1 + tanh(u_of(x))),
           (1 + tanh(u_of(x)) + x * (1 - pow(tanh(u_of(x)), 2)) * u_slope(x)) / 2)
ACTIVATION(silu, x *sigma(x), sigma(x) * (1 + x * (1 - sigma(x))))

static grd_tensor *run_gelu_i64(const grd_tensor *const x[])
{
    return grd_gelu(grd_cast(x[0], GRD_I64));
}

/* clang-format off */
#define BOTH(op, kind) \
    { #op, #op, run_##op, op##_reference, 1, { S2(3, 4) }, { kind } }, \
    { #op ", scalar", #op, run_##op, op##_reference, 1, { S0 }, { kind } }, \
    { #op "_backward", #op "_backward", run_##op##_backward, op##_backward_reference, 2, { S2(3, 4), S2(3, 4) }, { kind }, .no_derivative = true }

static const op_case cases[] = {
    BOTH(erf, REAL),
    BOTH(tanh, REAL),
    BOTH(sigmoid, REAL),
    BOTH(relu, APART),
    BOTH(gelu, REAL),
    BOTH(gelu_tanh, REAL),
    BOTH(silu, REAL),
};

static const bad_case bad[] = {
    { "gelu: x is i64 and should be floating (cast it first)", run_gelu_i64, { S1(2) } },
};
/* clang-format on */

const op_family activation_family = OP_FAMILY(cases, bad);
