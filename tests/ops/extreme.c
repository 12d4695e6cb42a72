#include "tests/op_cases.h"

/* Over dimensions 0 and 2 of three, or over all: the position in y of element i of x. */
static long outer_place(const plain *x, long i)
{
    return i / x->size[2] % x->size[1];
}

static void argmax_outer_reference(const plain x[], plain *y)
{
    double most[MAX_ELEMENTS];
    const long *size = x[0].size;
    *y = (plain){ .rank = 1, .size = { size[1] } };
    for (long j = 0; j < size[1]; j++)
        most[j] = -1e300;
    for (long i = 0; i < count_of(&x[0]); i++) {
        const long j = outer_place(&x[0], i);
        if (x[0].value[i] > most[j]) {
            most[j] = x[0].value[i];
            y->value[j] = (double)(i / size[2] / size[1] * size[2] + i % size[2]);
        }
    }
}

static void argmax_last_reference(const plain x[], plain *y)
{
    *y = x[0];
    const long n = x[0].size[--y->rank];
    for (long row = 0; row < count_of(y); row++) {
        long best = 0;
        for (long i = 1; i < n; i++)
            best = x[0].value[row * n + i] > x[0].value[row * n + best] ? i : best;
        y->value[row] = (double)best;
    }
}

static void all_reference(const plain x[], plain *y)
{
    *y = (plain){ .rank = 1, .size = { x[0].size[1] } };
    for (long j = 0; j < y->size[0]; j++)
        y->value[j] = 1;
    for (long i = 0; i < count_of(&x[0]); i++)
        if (x[0].value[i] == 0)
            y->value[outer_place(&x[0], i)] = 0;
}

static void any_reference(const plain x[], plain *y)
{
    *y = (plain){ .rank = 1, .size = { x[0].size[1] } };
    for (long i = 0; i < count_of(&x[0]); i++)
        if (x[0].value[i] != 0)
            y->value[outer_place(&x[0], i)] = 1;
}

static grd_tensor *run_argmax_outer(const grd_tensor *const x[])
{
    return grd_argmax_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

static grd_tensor *run_argmax_last(const grd_tensor *const x[])
{
    return grd_argmax(x[0], -1);
}

static grd_tensor *run_argmax_first(const grd_tensor *const x[])
{
    return grd_argmax(x[0], 0);
}

/* The largest or, times -1, the smallest of x[0] over dimensions 0 and 2 of three. */
static void extreme_outer(const plain *x, double sign, plain *y)
{
    *y = (plain){ .rank = 1, .size = { x->size[1] } };
    for (long j = 0; j < y->size[0]; j++)
        y->value[j] = -sign * 1e300;
    for (long i = 0; i < count_of(x); i++) {
        double *most = &y->value[outer_place(x, i)];
        *most = sign * x->value[i] > sign * *most ? x->value[i] : *most;
    }
}

static void max_outer_reference(const plain x[], plain *y)
{
    extreme_outer(&x[0], 1, y);
}

static void min_outer_reference(const plain x[], plain *y)
{
    extreme_outer(&x[0], -1, y);
}

static void max_kept_reference(const plain x[], plain *y)
{
    extreme_outer(&x[0], 1, y);
    y->rank = 3;
    y->size[1] = y->size[0];
    y->size[0] = y->size[2] = 1;
}

/* Over all of x doubled: each element twice. */
static void extreme_of_pairs(const plain *x, double sign, plain *y)
{
    plain flat = *x;
    flat.rank = 3;
    flat.size[0] = count_of(x);
    flat.size[1] = flat.size[2] = 1;
    extreme_outer(&flat, sign, y);
    y->rank = 0;
}

static void max_of_pairs_reference(const plain x[], plain *y)
{
    extreme_of_pairs(&x[0], 1, y);
}

static void min_of_pairs_reference(const plain x[], plain *y)
{
    extreme_of_pairs(&x[0], -1, y);
}

static grd_tensor *run_max_outer(const grd_tensor *const x[])
{
    return grd_max_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

static grd_tensor *run_min_outer(const grd_tensor *const x[])
{
    return grd_min_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

static grd_tensor *run_max_kept(const grd_tensor *const x[])
{
    return grd_max_dims(x[0], GRD_DIMS(0, -1), GRD_KEEP_DIMS);
}

/* Each element stands twice, so that the extreme one is a tie. */
static grd_tensor *run_max_of_pairs(const grd_tensor *const x[])
{
    return grd_max(grd_expand(x[0], GRD_SHAPE(2, 3, 4)));
}

static grd_tensor *run_min_of_pairs(const grd_tensor *const x[])
{
    return grd_min(grd_expand(x[0], GRD_SHAPE(2, 3, 4)));
}

static grd_tensor *run_max_first(const grd_tensor *const x[])
{
    return grd_max_dims(x[0], GRD_DIMS(0), GRD_DROP_DIMS);
}

static grd_tensor *run_all(const grd_tensor *const x[])
{
    return grd_all_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

static grd_tensor *run_any(const grd_tensor *const x[])
{
    return grd_any_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

/* clang-format off */
static const op_case cases[] = {
    { "max", "max", run_max_outer, max_outer_reference, 1, { S3(2, 3, 5) }, { APART } },
    { "max, dims kept", "max", run_max_kept, max_kept_reference, 1, { S3(2, 3, 5) }, { APART } },
    { "max of equals", "max", run_max_of_pairs, max_of_pairs_reference, 1, { S2(3, 4) },
      { APART } },
    { "max of integers", "max", run_max_outer, max_outer_reference, 1, { S3(2, 3, 5) }, { INDEX },
      .limit = 9, .no_derivative = true },
    { "min", "min", run_min_outer, min_outer_reference, 1, { S3(2, 3, 5) }, { APART } },
    { "min of equals", "min", run_min_of_pairs, min_of_pairs_reference, 1, { S2(3, 4) },
      { APART } },
    { "min of integers", "min", run_min_outer, min_outer_reference, 1, { S3(2, 3, 5) }, { INDEX },
      .limit = 9, .no_derivative = true },
    { "argmax", "argmax", run_argmax_last, argmax_last_reference, 1, { S3(2, 3, 5) },
      .no_derivative = true },
    { "argmax, dims 0 and 2", "argmax", run_argmax_outer, argmax_outer_reference, 1,
      { S3(2, 3, 5) }, .no_derivative = true },
    { "argmax of equals", "argmax", run_argmax_last, argmax_last_reference, 1, { S2(4, 40) },
      { INDEX }, .limit = 5, .no_derivative = true },
    { "argmax, no rows", "argmax", run_argmax_last, argmax_last_reference, 1, { S2(0, 3) },
      .no_derivative = true },
    { "all", "min", run_all, all_reference, 1, { S3(2, 3, 2) }, { BOOL }, .no_derivative = true },
    { "all of integers", "min", run_all, all_reference, 1, { S3(2, 3, 2) }, { INDEX }, .limit = 4,
      .no_derivative = true },
    { "all, empty", "min", run_all, all_reference, 1, { S3(2, 3, 0) }, { BOOL },
      .no_derivative = true },
    { "any", "max", run_any, any_reference, 1, { S3(2, 3, 2) }, { BOOL }, .no_derivative = true },
    { "any of numbers", "max", run_any, any_reference, 1, { S3(2, 3, 2) }, .no_derivative = true },
    { "any, empty", "max", run_any, any_reference, 1, { S3(2, 3, 0) }, { BOOL },
      .no_derivative = true },
};

static const bad_case bad[] = {
    { "argmax: dimension 0 of [0, 3] is empty: there is no argmax", run_argmax_first,
      { S2(0, 3) } },
    { "max: dimension 0 of [0, 3] is empty: there is no max", run_max_first, { S2(0, 3) } },
    { "any: dimension 0 does not exist in []", run_any, { S0 } },
};
/* clang-format on */

const op_family extreme_family = OP_FAMILY(cases, bad);
