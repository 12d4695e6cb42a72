#include "tests/op_cases.h"

/* Along the middle dimension of three. */
static void cumsum_reference(const plain x[], plain *y)
{
    const long n = x[0].size[1], after = x[0].size[2];
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        if (i / after % n)
            y->value[i] += y->value[i - after];
}

/* The k largest of each row, by looking for each. */
static void largest(const plain *x, long k, bool indices, plain *y)
{
    const long n = x->size[x->rank - 1];
    *y = *x;
    y->size[y->rank - 1] = k;
    for (long row = 0; row < count_of(x) / n; row++) {
        bool taken[MAX_ELEMENTS] = { false };
        for (long j = 0; j < k; j++) {
            long best = -1;
            for (long i = 0; i < n; i++)
                if (!taken[i] && (best < 0 || x->value[row * n + i] > x->value[row * n + best]))
                    best = i;
            taken[best] = true;
            y->value[row * k + j] = indices ? (double)best : x->value[row * n + best];
        }
    }
}

static void top3_reference(const plain x[], plain *y)
{
    largest(&x[0], 3, false, y);
}

static void top3_indices_reference(const plain x[], plain *y)
{
    largest(&x[0], 3, true, y);
}

static void sorted_reference(const plain x[], plain *y)
{
    largest(&x[0], x[0].size[x[0].rank - 1], false, y);
}

/* Along the first dimension of two. */
static void top_first_reference(const plain x[], plain *y)
{
    static plain turned, top;
    turned = (plain){ .rank = 2, .size = { x[0].size[1], x[0].size[0] } };
    for (long i = 0; i < count_of(&turned); i++)
        turned.value[i] = x[0].value[i % turned.size[1] * turned.size[0] + i / turned.size[1]];
    largest(&turned, 2, false, &top);
    *y = (plain){ .rank = 2, .size = { 2, top.size[0] } };
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = top.value[i % top.size[0] * 2 + i / top.size[0]];
}

static grd_tensor *run_cumsum(const grd_tensor *const x[])
{
    return grd_cumsum(x[0], 1);
}

static grd_tensor *run_top3(const grd_tensor *const x[])
{
    return grd_topk(x[0], 3, -1).values;
}

static grd_tensor *run_top3_indices(const grd_tensor *const x[])
{
    return grd_topk(x[0], 3, -1).indices;
}

static grd_tensor *run_sorted(const grd_tensor *const x[])
{
    return grd_topk(x[0], grd_tensor_size(x[0], -1), -1).values;
}

static grd_tensor *run_top_first(const grd_tensor *const x[])
{
    return grd_topk(x[0], 2, 0).values;
}

static grd_tensor *run_far_cumsum(const grd_tensor *const x[])
{
    return grd_cumsum(x[0], 2);
}

/* clang-format off */
static const op_case cases[] = {
    { "cumsum", "cumsum", run_cumsum, cumsum_reference, 1, { S3(2, 5, 3) } },
    { "cumsum of integers", "cumsum", run_cumsum, cumsum_reference, 1, { S3(2, 5, 3) }, { INDEX },
      .limit = 100, .no_derivative = true },
    { "cumsum of truths", "cumsum", run_cumsum, cumsum_reference, 1, { S3(2, 5, 3) }, { BOOL },
      .no_derivative = true },
    { "cumsum, empty", "cumsum", run_cumsum, cumsum_reference, 1, { S3(2, 0, 3) } },
    { "topk", "topk", run_top3, top3_reference, 1, { S3(2, 3, 7) }, { APART } },
    { "topk, first dim", "topk", run_top_first, top_first_reference, 1, { S2(5, 3) }, { APART } },
    { "topk of all", "topk", run_sorted, sorted_reference, 1, { S2(3, 61) }, { APART } },
    { "topk, indices", "topk", run_top3_indices, top3_indices_reference, 1, { S3(2, 3, 7) },
      .no_derivative = true },
    { "topk of equals", "topk", run_top3_indices, top3_indices_reference, 1, { S2(8, 20) },
      { INDEX }, .limit = 4, .no_derivative = true },
    { "topk of integers", "topk", run_sorted, sorted_reference, 1, { S2(3, 20) }, { INDEX },
      .limit = 30, .no_derivative = true },
};

static const bad_case bad[] = {
    { "cumsum: dimension 2 does not exist in [2, 3]", run_far_cumsum, { S2(2, 3) } },
    { "topk: k is 3, but dimension 1 of [4, 2] has 2", run_top3, { S2(4, 2) } },
    { "topk: dimension -1 does not exist in []", run_top3, { S0 } },
};
/* clang-format on */

const op_family cumsum_family = OP_FAMILY(cases, bad);
