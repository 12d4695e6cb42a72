#include "tests/op_cases.h"

static void where_reference(const plain x[], plain *y)
{
    plain ab;
    stretch(&x[1], &x[2], &ab);
    stretch(&x[0], &ab, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = stretched(&x[0], y, i) > 0 ? stretched(&x[1], y, i) : stretched(&x[2], y, i);
}

static grd_tensor *run_where(const grd_tensor *const x[])
{
    return grd_where(x[0], x[1], x[2]);
}

/* Of whole numbers and of truths too. */
static void kinds_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[i] > 0 ? x[1].value[i] + 1 : x[2].value[i];
}

static grd_tensor *run_kinds(const grd_tensor *const x[])
{
    const grd_tensor *truth = grd_where(x[0], x[0], grd_logical_not(x[0]));
    const grd_tensor *chosen = grd_where(x[0], x[1], x[2]);
    return grd_cast(grd_add(chosen, grd_mul(grd_cast(truth, GRD_I64), grd_cast(x[0], GRD_I64))),
                    GRD_F64);
}

static void masked_fill_reference(const plain x[], plain *y)
{
    stretch(&x[0], &x[1], y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = stretched(&x[1], y, i) > 0 ? -1.75 : stretched(&x[0], y, i);
}

static grd_tensor *run_masked_fill(const grd_tensor *const x[])
{
    return grd_masked_fill(x[0], x[1], -1.75);
}

static grd_tensor *run_mask_of_numbers(const grd_tensor *const x[])
{
    return grd_masked_fill(x[0], x[1], 0);
}

static grd_tensor *run_long_mask(const grd_tensor *const x[])
{
    return grd_masked_fill(x[0], grd_cast(x[1], GRD_BOOL), 0);
}

static grd_tensor *run_where_long(const grd_tensor *const x[])
{
    return grd_where(grd_cast(x[1], GRD_BOOL), x[0], x[0]);
}

static grd_tensor *run_half_truth(const grd_tensor *const x[])
{
    const grd_tensor *truth = grd_cast(x[0], GRD_BOOL);
    return grd_masked_fill(truth, truth, 0.5);
}

/* clang-format off */
static const op_case cases[] = {
    { "where", "where", run_where, where_reference, 3, { S2(3, 4), S2(3, 4), S2(3, 4) }, { BOOL } },
    { "where, broadcast", "where", run_where, where_reference, 3, { S2(3, 1), S1(4), S3(2, 1, 1) }, { BOOL } },
    { "where, empty", "where", run_where, where_reference, 3, { S2(0, 1), S1(4), S0 }, { BOOL } },
    { "where of i64 and bool", "where", run_kinds, kinds_reference, 3, { S2(3, 4), S2(3, 4), S2(3, 4) }, { BOOL, INDEX, INDEX }, .limit = 9, .no_derivative = true },
    { "masked_fill", "masked_fill", run_masked_fill, masked_fill_reference, 2, { S2(3, 4), S2(3, 4) }, { REAL, BOOL } },
    { "masked_fill, broadcast", "masked_fill", run_masked_fill, masked_fill_reference, 2, { S2(3, 1), S1(4) }, { REAL, BOOL } },
};

static const bad_case bad[] = {
    { "masked_fill: mask is f32 and should be bool (cast it first)", run_mask_of_numbers, { S1(2), S1(2) } },
    { "masked_fill: shapes do not broadcast: x is [2, 3], mask is [4]", run_long_mask, { S2(2, 3), S1(4) } },
    { "where: shapes do not broadcast: condition is [4], a is [2, 3], b is [2, 3]", run_where_long, { S2(2, 3), S1(4) } },
    { "masked_fill: 0.5 is no bool (cast the tensor to f32 first)", run_half_truth, { S1(2) } },
};
/* clang-format on */

const op_family where_family = OP_FAMILY(cases, bad);
