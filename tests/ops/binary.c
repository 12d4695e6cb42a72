#include "tests/op_cases.h"

static void add_reference(const plain x[], plain *y)
{
    stretch(&x[0], &x[1], y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = stretched(&x[0], y, i) + stretched(&x[1], y, i);
}

static void mul_reference(const plain x[], plain *y)
{
    stretch(&x[0], &x[1], y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = stretched(&x[0], y, i) * stretched(&x[1], y, i);
}

static grd_tensor *run_add(const grd_tensor *const x[])
{
    return grd_add(x[0], x[1]);
}

static grd_tensor *run_mul(const grd_tensor *const x[])
{
    return grd_mul(x[0], x[1]);
}

/* clang-format off */
static const op_case cases[] = {
    { "add", "add", run_add, add_reference, 2, { S2(3, 4), S2(3, 4) } },
    { "add, broadcast both ways", "add", run_add, add_reference, 2, { S3(2, 1, 4), S2(3, 1) } },
    { "add, scalar", "add", run_add, add_reference, 2, { S2(2, 3), S0 } },
    { "add, empty", "add", run_add, add_reference, 2, { S2(0, 3), S1(3) } },
    { "mul", "mul", run_mul, mul_reference, 2, { S2(3, 4), S2(3, 4) } },
    { "mul, broadcast", "mul", run_mul, mul_reference, 2, { S2(4, 1), S3(2, 4, 3) } },
};

static const bad_case bad[] = {
    { "add: shapes do not broadcast: a is [2, 3], b is [4]", run_add, { S2(2, 3), S1(4) } },
};
/* clang-format on */

const op_family binary_family = OP_FAMILY(cases, bad);
