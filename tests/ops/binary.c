#include "tests/op_cases.h"

#include <math.h>

static void each(const plain x[], plain *y, double (*f)(double a, double b))
{
    stretch(&x[0], &x[1], y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = f(stretched(&x[0], y, i), stretched(&x[1], y, i));
}

/* The op, its reference and its maths. */
#define BINARY(op, value)                                                                          \
    static double op##_of(double a, double b)                                                      \
    {                                                                                              \
        return value;                                                                              \
    }                                                                                              \
    static void op##_reference(const plain x[], plain *y)                                          \
    {                                                                                              \
        each(x, y, op##_of);                                                                       \
    }                                                                                              \
    static grd_tensor *run_##op(const grd_tensor *const x[])                                       \
    {                                                                                              \
        return grd_##op(x[0], x[1]);                                                               \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(pow, pow(a, b))
BINARY(maximum, a < b ? b : a)
BINARY(minimum, a < b ? a : b)

static grd_tensor *run_add_i64_and_f32(const grd_tensor *const x[])
{
    return grd_add(grd_cast(x[0], GRD_I64), x[0]);
}

static grd_tensor *run_add_bool(const grd_tensor *const x[])
{
    const grd_tensor *truth = grd_cast(x[0], GRD_BOOL);
    return grd_add(truth, truth);
}

static grd_tensor *run_div_i64(const grd_tensor *const x[])
{
    const grd_tensor *whole = grd_cast(x[0], GRD_I64);
    return grd_div(whole, whole);
}

/* clang-format off */
static const op_case cases[] = {
    { "add", "add", run_add, add_reference, 2, { S2(3, 4), S2(3, 4) } },
    { "add, broadcast both ways", "add", run_add, add_reference, 2, { S3(2, 1, 4), S2(3, 1) } },
    { "add, scalar", "add", run_add, add_reference, 2, { S2(2, 3), S0 } },
    { "add, empty", "add", run_add, add_reference, 2, { S2(0, 3), S1(3) } },
    { "sub", "sub", run_sub, sub_reference, 2, { S2(3, 4), S1(4) } },
    { "mul", "mul", run_mul, mul_reference, 2, { S2(3, 4), S2(3, 4) } },
    { "mul, broadcast", "mul", run_mul, mul_reference, 2, { S2(4, 1), S3(2, 4, 3) } },
    { "div", "div", run_div, div_reference, 2, { S2(3, 4), S2(3, 4) }, { REAL, POSITIVE } },
    { "pow", "pow", run_pow, pow_reference, 2, { S2(3, 4), S2(3, 4) }, { POSITIVE, REAL } },
    { "pow, broadcast", "pow", run_pow, pow_reference, 2, { S2(3, 1), S1(4) }, { POSITIVE, REAL } },
    { "maximum", "maximum", run_maximum, maximum_reference, 2, { S2(3, 4), S2(3, 1) }, { APART } },
    { "minimum", "minimum", run_minimum, minimum_reference, 2, { S2(3, 4), S1(4) }, { APART } },
    { "div, broadcast", "div", run_div, div_reference, 2, { S1(4), S2(3, 1) }, { REAL, POSITIVE } },
};

static const bad_case bad[] = {
    { "add: shapes do not broadcast: a is [2, 3], b is [4] (sizes 3 and 4 of dimension -1 should be equal, or one of them 1)", run_add, { S2(2, 3), S1(4) } },
    { "add: dtypes differ: a is i64, b is f32 (grd_cast one of them)", run_add_i64_and_f32, { S1(2) } },
    { "add: a is bool and should be floating or i64 (cast it first)", run_add_bool, { S1(2) } },
    { "div: a is i64 and should be floating (cast it first)", run_div_i64, { S1(2) } },
};
/* clang-format on */

const op_family binary_family = OP_FAMILY(cases, bad);
