#include "tests/op_cases.h"

/* Dimensions 0 and 1 of three swapped, as one vector. */
static void copy_reference(const plain x[], plain *y)
{
    const long *size = x[0].size;
    *y = (plain){ .rank = 1, .size = { count_of(&x[0]) } };
    for (long i = 0; i < y->size[0]; i++) {
        const long d2 = i % size[2], d0 = i / size[2] % size[0], d1 = i / size[2] / size[0];
        y->value[i] = x[0].value[(d0 * size[1] + d1) * size[2] + d2];
    }
}

static void fill_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] *= 3;
}

static grd_tensor *run_copy(const grd_tensor *const x[])
{
    const grd_shape from = grd_tensor_shape(x[0]);
    return grd_reshape(grd_transpose(x[0], 0, 1),
                       GRD_SHAPE(from.size[0] * from.size[1] * from.size[2]));
}

static void cast_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] += y->value[i];
}

/* Differentiable in both dtypes: f64 is the case's own where differences are taken. */
static grd_tensor *run_cast(const grd_tensor *const x[])
{
    const grd_tensor *y = grd_cast(x[0], GRD_F64);
    return grd_cast(grd_add(y, y), grd_tensor_dtype(x[0]));
}

static grd_tensor *run_fill(const grd_tensor *const x[])
{
    return grd_mul(x[0], grd_cast(grd_scalar(3), grd_tensor_dtype(x[0])));
}

static grd_tensor *run_wrong_reshape(const grd_tensor *const x[])
{
    return grd_reshape(x[0], GRD_SHAPE(5));
}

static grd_tensor *run_wrong_expand(const grd_tensor *const x[])
{
    return grd_expand(x[0], GRD_SHAPE(2, 4));
}

static grd_tensor *run_huge(const grd_tensor *const x[])
{
    (void)x;
    return grd_full(GRD_SHAPE(INT64_MAX, 2), 0);
}

/* clang-format off */
static const op_case cases[] = {
    { "reshape of transpose", "copy", run_copy, copy_reference, 1, { S3(2, 3, 4) } },
    { "cast", "copy", run_cast, cast_reference, 1, { S2(2, 3) } },
    { "full", "fill", run_fill, fill_reference, 1, { S2(2, 2) } },
};

static const bad_case bad[] = {
    { "reshape: element counts differ: [2, 3] to [5]", run_wrong_reshape, { S2(2, 3) } },
    { "expand: [2, 3] does not broadcast to [2, 4]", run_wrong_expand, { S2(2, 3) } },
    { "full: [9223372036854775807, 2] is too large", run_huge, { S0 } },
};
/* clang-format on */

const op_family view_family = OP_FAMILY(cases, bad);
