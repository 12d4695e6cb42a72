#include "tests/op_cases.h"

static void sum_reference(const plain x[], plain *y)
{
    *y = (plain){ 0 };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[0] += x[0].value[i];
}

/* Over dimensions 0 and 2 of three. */
static void sum_outer_reference(const plain x[], plain *y)
{
    const long *size = x[0].size;
    *y = (plain){ .rank = 1, .size = { size[1] } };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[i / size[2] % size[1]] += x[0].value[i];
}

static grd_tensor *run_sum(const grd_tensor *const x[])
{
    return grd_sum(x[0]);
}

static grd_tensor *run_sum_outer(const grd_tensor *const x[])
{
    return grd_sum_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

static grd_tensor *run_sum_twice(const grd_tensor *const x[])
{
    return grd_sum_dims(x[0], GRD_DIMS(1, -1), GRD_DROP_DIMS);
}

/* clang-format off */
static const op_case cases[] = {
    { "sum", "sum", run_sum, sum_reference, 1, { S2(3, 4) } },
    { "sum, dims 0 and 2", "sum", run_sum_outer, sum_outer_reference, 1, { S3(2, 3, 4) } },
    { "sum, empty", "sum", run_sum, sum_reference, 1, { S2(0, 4) } },
};

static const bad_case bad[] = {
    { "sum: dimension -1 is given twice", run_sum_twice, { S2(2, 3) } },
};
/* clang-format on */

const op_family sum_family = OP_FAMILY(cases, bad);
