#include "tests/op_cases.h"

#include <math.h>

static void each(const plain x[], plain *y, double (*f)(double a, double b))
{
    stretch(&x[0], &x[1], y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = f(stretched(&x[0], y, i), stretched(&x[1], y, i));
}

/* 1 where the comparison holds, 2 where that with a number does, 4 where it does in i64. */
#define COMPARISON(op, sign)                                                                       \
    static double op##_of(double a, double b)                                                      \
    {                                                                                              \
        return (a sign b) + 2 * (a sign 0.25) + 4 * (trunc(a) sign trunc(b));                      \
    }                                                                                              \
    static void op##_reference(const plain x[], plain *y)                                          \
    {                                                                                              \
        each(x, y, op##_of);                                                                       \
    }                                                                                              \
    static grd_tensor *run_##op(const grd_tensor *const x[])                                       \
    {                                                                                              \
        const grd_dtype dtype = grd_tensor_dtype(x[0]);                                            \
        const grd_tensor *a = grd_cast(x[0], GRD_I64), *b = grd_cast(x[1], GRD_I64);               \
        const grd_tensor *both = grd_cast(grd_##op(x[0], x[1]), dtype);                            \
        const grd_tensor *one = grd_cast(grd_##op##_scalar(x[0], 0.25), dtype);                    \
        const grd_tensor *whole = grd_cast(grd_##op(a, b), dtype);                                 \
        return grd_add(both, grd_add(grd_mul_scalar(one, 2), grd_mul_scalar(whole, 4)));           \
    }
COMPARISON(eq, ==)
COMPARISON(ne, !=)
COMPARISON(lt, <)
COMPARISON(le, <=)
COMPARISON(gt, >)
COMPARISON(ge, >=)

/* x[0] has quarters, some of them equal to those of x[1]. */
static grd_tensor *quarters(const grd_tensor *x)
{
    return grd_mul_scalar(grd_cast(grd_cast(grd_mul_scalar(x, 4), GRD_I64), grd_tensor_dtype(x)),
                          0.25);
}

static grd_tensor *run_ties(const grd_tensor *const x[])
{
    const grd_tensor *a = quarters(x[0]), *b = quarters(x[1]);
    const grd_dtype dtype = grd_tensor_dtype(a);
    const grd_tensor *eq = grd_cast(grd_eq(a, b), dtype), *le = grd_cast(grd_le(a, b), dtype);
    return grd_add(eq, grd_mul_scalar(le, 2));
}

static double ties_of(double a, double b)
{
    a = trunc(4 * a);
    b = trunc(4 * b);
    return (a == b) + 2 * (a <= b);
}

static void ties_reference(const plain x[], plain *y)
{
    each(x, y, ties_of);
}

static double and_of(double a, double b)
{
    return a > 0 && b > 0;
}

static void and_reference(const plain x[], plain *y)
{
    each(x, y, and_of);
}

static grd_tensor *run_and(const grd_tensor *const x[])
{
    return grd_cast(grd_logical_and(x[0], x[1]), GRD_F64);
}

static double or_of(double a, double b)
{
    return a > 0 || b > 0;
}

static void or_reference(const plain x[], plain *y)
{
    each(x, y, or_of);
}

static grd_tensor *run_or(const grd_tensor *const x[])
{
    return grd_cast(grd_logical_or(x[0], x[1]), GRD_F64);
}

static void not_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = 1 - x[0].value[i];
}

static grd_tensor *run_not(const grd_tensor *const x[])
{
    return grd_cast(grd_logical_not(x[0]), GRD_F64);
}

/* 1 / whole numbers around 0, and 0 / 0. */
static void isfinite_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = trunc(2 * x[0].value[i]) < 0 || trunc(2 * x[0].value[i]) > 0;
}

static grd_tensor *run_isfinite(const grd_tensor *const x[])
{
    const grd_tensor *whole = grd_cast(grd_mul_scalar(x[0], 2), GRD_I64);
    const grd_tensor *divisor = grd_cast(whole, grd_tensor_dtype(x[0]));
    const grd_tensor *finite = grd_isfinite(grd_div(grd_ones_like(divisor), divisor));
    const grd_tensor *number = grd_isfinite(grd_div(divisor, divisor));
    return grd_cast(grd_logical_and(grd_logical_and(finite, number), grd_isfinite(whole)), GRD_F64);
}

static grd_tensor *run_and_of_numbers(const grd_tensor *const x[])
{
    return grd_logical_and(x[0], x[0]);
}

static grd_tensor *run_lt_of_two_dtypes(const grd_tensor *const x[])
{
    return grd_lt(x[0], grd_cast(x[0], GRD_F64));
}

static grd_tensor *run_lt_fraction(const grd_tensor *const x[])
{
    return grd_lt_scalar(grd_cast(x[0], GRD_I64), 1.5);
}

/* clang-format off */
#define PAIR { S2(3, 1), S1(4) }
static const op_case cases[] = {
    { "eq", "compare", run_eq, eq_reference, 2, PAIR, .no_derivative = true },
    { "ne", "compare", run_ne, ne_reference, 2, PAIR, .no_derivative = true },
    { "lt", "compare", run_lt, lt_reference, 2, { S2(3, 4), S2(3, 4) }, .no_derivative = true },
    { "le", "compare", run_le, le_reference, 2, PAIR, .no_derivative = true },
    { "gt", "compare_scalar", run_gt, gt_reference, 2, PAIR, .no_derivative = true },
    { "ge", "compare_scalar", run_ge, ge_reference, 2, PAIR, .no_derivative = true },
    { "ties", "compare", run_ties, ties_reference, 2, { S2(6, 1), S1(6) }, .no_derivative = true },
    { "compare, empty", "compare", run_lt, lt_reference, 2, { S2(0, 4), S1(4) }, .no_derivative = true },
    { "logical_and", "logical_and", run_and, and_reference, 2, PAIR, { BOOL, BOOL }, .no_derivative = true },
    { "logical_or", "logical_or", run_or, or_reference, 2, PAIR, { BOOL, BOOL }, .no_derivative = true },
    { "logical_not", "logical_not", run_not, not_reference, 1, { S2(3, 4) }, { BOOL }, .no_derivative = true },
    { "isfinite", "isfinite", run_isfinite, isfinite_reference, 1, { S2(3, 4) }, .no_derivative = true },
};

static const bad_case bad[] = {
    { "logical_and: a is f32 and should be bool (cast it first)", run_and_of_numbers, { S1(2) } },
    { "lt: dtypes differ: a is f32, b is f64 (grd_cast one of them)", run_lt_of_two_dtypes, { S1(2) } },
    { "lt_scalar: 1.5 is no i64 (cast the tensor to f32 first)", run_lt_fraction, { S1(2) } },
};
/* clang-format on */

const op_family compare_family = OP_FAMILY(cases, bad);
