#include "tests/op_cases.h"

#include <math.h>

static void each(const plain x[], plain *y, double (*f)(double x))
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = f(y->value[i]);
}

/* A case's op, its reference and its maths. */
#define SCALAR(name, call, value)                                                                  \
    static double name##_of(double x)                                                              \
    {                                                                                              \
        return value;                                                                              \
    }                                                                                              \
    static void name##_reference(const plain x[], plain *y)                                        \
    {                                                                                              \
        each(x, y, name##_of);                                                                     \
    }                                                                                              \
    static grd_tensor *run_##name(const grd_tensor *const x[])                                     \
    {                                                                                              \
        return call;                                                                               \
    }

SCALAR(add, grd_add_scalar(x[0], 0.7), x + 0.7)
SCALAR(sub, grd_sub_scalar(x[0], 0.7), x - 0.7)
SCALAR(mul, grd_mul_scalar(x[0], -3.3), x * -3.3)
SCALAR(div, grd_div_scalar(x[0], 3.3), x / 3.3)
SCALAR(pow, grd_pow_scalar(x[0], 1.7), pow(x, 1.7))
SCALAR(cube, grd_pow_scalar(x[0], 3), x *x *x)
SCALAR(square, grd_pow_scalar(x[0], 2), x *x)
SCALAR(root, grd_pow_scalar(x[0], 0.5), sqrt(x))
SCALAR(clamp, grd_clamp(x[0], -0.5, 0.25), fmin(fmax(x, -0.5), 0.25))
SCALAR(low, grd_clamp(x[0], -0.5, INFINITY), fmax(x, -0.5))
SCALAR(one, grd_pow_scalar(x[0], 0), 1 + 0 * x)
SCALAR(same, grd_pow_scalar(x[0], 1), x)

static void add_scaled_reference(const plain x[], plain *y)
{
    stretch(&x[0], &x[1], y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[i] - 1.5 * stretched(&x[1], y, i);
}

static grd_tensor *run_add_scaled(const grd_tensor *const x[])
{
    grd_tensor *y = grd_clone(x[0]);
    grd_add_scaled_(y, x[1], -1.5);
    return y;
}

static grd_tensor *run_no_bound(const grd_tensor *const x[])
{
    return grd_clamp(x[0], NAN, 1);
}

static grd_tensor *run_half(const grd_tensor *const x[])
{
    return grd_add_scalar(grd_cast(x[0], GRD_I64), 0.5);
}

static grd_tensor *run_div_i64(const grd_tensor *const x[])
{
    return grd_div_scalar(grd_cast(x[0], GRD_I64), 2);
}

static grd_tensor *run_full_like(const grd_tensor *const x[])
{
    return grd_full_like(grd_cast(x[0], GRD_I64), INFINITY);
}

/* clang-format off */
static const op_case cases[] = {
    { "add_scalar", "affine", run_add, add_reference, 1, { S2(3, 4) } },
    { "sub_scalar", "affine", run_sub, sub_reference, 1, { S2(3, 4) } },
    { "mul_scalar", "affine", run_mul, mul_reference, 1, { S2(3, 4) } },
    { "mul_scalar, empty", "affine", run_mul, mul_reference, 1, { S1(0) } },
    { "div_scalar", "div_scalar", run_div, div_reference, 1, { S2(3, 4) } },
    { "pow_scalar", "pow_scalar", run_pow, pow_reference, 1, { S2(3, 4) }, { POSITIVE } },
    { "pow_scalar 3", "pow_scalar", run_cube, cube_reference, 1, { S2(3, 4) } },
    { "pow_scalar 2", "pow_scalar", run_square, square_reference, 1, { S2(3, 4) } },
    { "pow_scalar 1/2", "pow_scalar", run_root, root_reference, 1, { S2(3, 4) }, { POSITIVE } },
    { "pow_scalar 0", "pow_scalar", run_one, one_reference, 1, { S2(3, 4) } },
    { "clamp", "clamp", run_clamp, clamp_reference, 1, { S2(3, 4) }, { APART } },
    { "clamp, no upper bound", "clamp", run_low, low_reference, 1, { S2(3, 4) }, { APART } },
    { "add_scaled_", "add_scaled", run_add_scaled, add_scaled_reference, 2, { S2(3, 4), S1(4) }, .no_derivative = true },
    { "pow_scalar 1", "pow_scalar", run_same, same_reference, 1, { S2(3, 4) } },
};

static const bad_case bad[] = {
    { "add_scalar: 0.5 is no i64 (cast the tensor to f32 first)", run_half, { S1(2) } },
    { "clamp: a bound is NaN", run_no_bound, { S1(2) } },
    { "div_scalar: x is i64 and should be floating (cast it first)", run_div_i64, { S1(2) } },
    { "full_like: inf is no i64 (cast the tensor to f32 first)", run_full_like, { S1(2) } },
};
/* clang-format on */

const op_family scalar_family = OP_FAMILY(cases, bad);
