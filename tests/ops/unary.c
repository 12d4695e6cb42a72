#include "tests/op_cases.h"

#include <math.h>

static void each(const plain x[], plain *y, double (*f)(double x))
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = f(y->value[i]);
}

/* The op, its reference and its maths. */
#define UNARY(op, value)                                                                           \
    static double op##_of(double x)                                                                \
    {                                                                                              \
        return value;                                                                              \
    }                                                                                              \
    static void op##_reference(const plain x[], plain *y)                                          \
    {                                                                                              \
        each(x, y, op##_of);                                                                       \
    }                                                                                              \
    static grd_tensor *run_##op(const grd_tensor *const x[])                                       \
    {                                                                                              \
        return grd_##op(x[0]);                                                                     \
    }

UNARY(abs, x < 0 ? -x : x)
UNARY(square, x *x)
UNARY(exp, exp(x))
UNARY(log, log(x))
UNARY(sqrt, sqrt(x))
UNARY(rsqrt, 1 / sqrt(x))
UNARY(sin, sin(x))
UNARY(cos, cos(x))
UNARY(neg, 0 - x)

/* The kernel sign is seen in the derivative of abs. */
static void slope_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[i] > 0 ? 1 : -1;
}

static grd_tensor *run_slope(const grd_tensor *const x[])
{
    grd_tensor *dx = NULL, *leaf = grd_require_grad(grd_detach(x[0]));
    grd_grad(GRD_LIST(grd_sum(grd_abs(leaf))), GRD_LIST(leaf), NULL, &dx);
    return dx;
}

static grd_tensor *run_exp_i64(const grd_tensor *const x[])
{
    return grd_exp(grd_cast(x[0], GRD_I64));
}

static grd_tensor *run_abs_bool(const grd_tensor *const x[])
{
    return grd_abs(grd_cast(x[0], GRD_BOOL));
}

/* clang-format off */
static const op_case cases[] = {
    { "abs", "abs", run_abs, abs_reference, 1, { S2(3, 4) }, { APART } },
    { "abs, its slope", "sign", run_slope, slope_reference, 1, { S2(3, 4) }, { APART }, .no_derivative = true },
    { "square", "square", run_square, square_reference, 1, { S2(3, 4) } },
    { "square, empty", "square", run_square, square_reference, 1, { S2(3, 0) } },
    { "exp", "exp", run_exp, exp_reference, 1, { S3(2, 3, 4) } },
    { "exp, scalar", "exp", run_exp, exp_reference, 1, { S0 } },
    { "log", "log", run_log, log_reference, 1, { S2(3, 4) }, { POSITIVE } },
    { "sqrt", "sqrt", run_sqrt, sqrt_reference, 1, { S2(3, 4) }, { POSITIVE } },
    { "rsqrt", "rsqrt", run_rsqrt, rsqrt_reference, 1, { S2(3, 4) }, { POSITIVE } },
    { "sin", "sin", run_sin, sin_reference, 1, { S2(3, 4) } },
    { "cos", "cos", run_cos, cos_reference, 1, { S2(3, 4) } },
    { "neg", "affine", run_neg, neg_reference, 1, { S2(3, 4) } },
};

static const bad_case bad[] = {
    { "exp: x is i64 and should be floating (cast it first)", run_exp_i64, { S1(2) } },
    { "abs: x is bool and should be floating or i64 (cast it first)", run_abs_bool, { S1(2) } },
};
/* clang-format on */

const op_family unary_family = OP_FAMILY(cases, bad);
