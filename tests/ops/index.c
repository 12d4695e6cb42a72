#include "tests/op_cases.h"

#include <math.h>

/* x [A, S, B] at index [N]: y [A, N, B]. */
static void select_reference(const plain x[], plain *y)
{
    const long size = x[0].size[1], inner = x[0].size[2], n = x[1].size[0];
    *y = (plain){ 3, { x[0].size[0], n, inner }, { 0 } };
    for (long i = 0; i < count_of(y); i++) {
        const long row = (long)x[1].value[i / inner % n];
        y->value[i] = x[0].value[(i / inner / n * size + row) * inner + i % inner];
    }
}

static grd_tensor *run_select(const grd_tensor *const x[])
{
    return grd_index_select(x[0], -2, x[1]);
}

/* The same along the last dimension. */
static void select_last_reference(const plain x[], plain *y)
{
    const long size = x[0].size[1], n = x[1].size[0];
    *y = (plain){ 2, { x[0].size[0], n }, { 0 } };
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[i / n * size + (long)x[1].value[i % n]];
}

static grd_tensor *run_select_last(const grd_tensor *const x[])
{
    return grd_index_select(x[0], 1, x[1]);
}

/* index [...], weight [V, E]. */
static void embedding_reference(const plain x[], plain *y)
{
    const long e = x[1].size[1];
    *y = x[0];
    y->size[y->rank++] = e;
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[1].value[(long)x[0].value[i / e] * e + i % e];
}

static grd_tensor *run_embedding(const grd_tensor *const x[])
{
    return grd_embedding(x[0], x[1]);
}

/* y = x[i, index[i, j]], index with fewer rows. */
static void gather_reference(const plain x[], plain *y)
{
    *y = x[1];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[i / y->size[1] * x[0].size[1] + (long)x[1].value[i]];
}

static grd_tensor *run_gather(const grd_tensor *const x[])
{
    return grd_gather(x[0], 1, x[1]);
}

/* y = x[index[i, j], j]. */
static void gather_rows_reference(const plain x[], plain *y)
{
    *y = x[1];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[(long)x[1].value[i] * x[0].size[1] + i % y->size[1]];
}

static grd_tensor *run_gather_rows(const grd_tensor *const x[])
{
    return grd_gather(x[0], -2, x[1]);
}

/* x, index, source; along the second dimension. */
static void scatter_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(&x[1]); i++) {
        const long row = i / x[1].size[1], column = i % x[1].size[1];
        y->value[row * y->size[1] + (long)x[1].value[i]] += x[2].value[row * x[2].size[1] + column];
    }
}

static grd_tensor *run_scatter(const grd_tensor *const x[])
{
    return grd_scatter_add(x[0], 1, x[1], x[2]);
}

static void scatter_rows_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(&x[1]); i++) {
        const long row = i / x[1].size[1], column = i % x[1].size[1];
        y->value[(long)x[1].value[i] * y->size[1] + column] +=
            x[2].value[row * x[2].size[1] + column];
    }
}

static grd_tensor *run_scatter_rows(const grd_tensor *const x[])
{
    return grd_scatter_add(x[0], 0, x[1], x[2]);
}

static void one_hot_reference(const plain x[], plain *y)
{
    *y = x[0];
    y->size[y->rank++] = 4;
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = (long)x[0].value[i / 4] == i % 4;
}

static grd_tensor *run_one_hot(const grd_tensor *const x[])
{
    return grd_one_hot(x[0], 4);
}

static void same_reference(const plain x[], plain *y)
{
    *y = x[0];
}

static grd_tensor *run_bernoulli_of_integers(const grd_tensor *const x[])
{
    grd_rng *rng = grd_rng_create(1);
    return grd_bernoulli(rng, grd_cast(x[0], GRD_F32)); /* 0 and 1 are sure */
}

static grd_tensor *indices(const int64_t *values, int64_t rows, int64_t columns)
{
    return grd_from_i64(values, rows * columns, GRD_SHAPE(rows, columns));
}

static grd_tensor *run_embedding_past(const grd_tensor *const x[])
{
    return grd_embedding(indices((int64_t[]){ 0, 4, 5, 1 }, 2, 2), x[0]);
}

static grd_tensor *run_embedding_before(const grd_tensor *const x[])
{
    return grd_embedding(grd_from_i64((int64_t[]){ -1 }, 1, GRD_SCALAR), x[0]);
}

static grd_tensor *run_embedding_of_floats(const grd_tensor *const x[])
{
    return grd_embedding(x[0], x[0]);
}

static grd_tensor *run_embedding_of_vector(const grd_tensor *const x[])
{
    return grd_embedding(indices((int64_t[]){ 0 }, 1, 1), x[0]);
}

static grd_tensor *run_select_past(const grd_tensor *const x[])
{
    return grd_index_select(x[0], 1, grd_from_i64((int64_t[]){ 0, 3 }, 2, GRD_SHAPE(2)));
}

static grd_tensor *run_select_by_matrix(const grd_tensor *const x[])
{
    return grd_index_select(x[0], 1, indices((int64_t[]){ 0, 0 }, 1, 2));
}

static grd_tensor *run_select_from_none(const grd_tensor *const x[])
{
    return grd_index_select(x[0], 0, grd_from_i64((int64_t[]){ 0 }, 1, GRD_SHAPE(1)));
}

static grd_tensor *run_gather_past(const grd_tensor *const x[])
{
    const grd_tensor *index = indices((int64_t[]){ 0, 1, 0, INT64_MAX }, 2, 2);
    return grd_gather(x[0], 0, grd_transpose(index, 0, 1));
}

static grd_tensor *run_gather_wide(const grd_tensor *const x[])
{
    return grd_gather(x[0], 1, indices((int64_t[]){ 0, 1, 0 }, 3, 1));
}

static grd_tensor *run_scatter_small(const grd_tensor *const x[])
{
    return grd_scatter_add(x[0], 1, indices((int64_t[]){ 0, 1, 0, 0 }, 2, 2), x[1]);
}

static grd_tensor *run_scatter_type(const grd_tensor *const x[])
{
    return grd_scatter_add(x[0], 1, indices((int64_t[]){ 0 }, 1, 1), grd_cast(x[0], GRD_F64));
}

static grd_tensor *run_no_classes(const grd_tensor *const x[])
{
    (void)x;
    return grd_one_hot(indices((int64_t[]){ 0 }, 1, 1), 0);
}

static grd_tensor *run_few_classes(const grd_tensor *const x[])
{
    (void)x;
    return grd_one_hot(indices((int64_t[]){ 0, 1, 2 }, 1, 3), 2);
}

/* clang-format off */
static const op_case cases[] = {
    { "index_select", "index_select", run_select, select_reference, 2, { S3(2, 4, 3), S1(6) }, { REAL, INDEX }, 4 },
    { "index_select, wide", "index_add", run_select, select_reference, 2, { S3(1, 2, 130), S1(3) }, { REAL, INDEX }, 2 },
    { "index_select of none", "index_select", run_select, select_reference, 2, { S3(2, 4, 3), S1(0) }, { REAL, INDEX }, 4 },
    { "index_select of columns", "index_select", run_select_last, select_last_reference, 2, { S2(5, 4), S1(7) }, { REAL, INDEX }, 4 },
    { "embedding", "index_add", run_embedding, embedding_reference, 2, { S2(3, 4), S2(5, 6) }, { INDEX, REAL }, 5 },
    { "embedding of one", "index_select", run_embedding, embedding_reference, 2, { S0, S2(5, 6) }, { INDEX, REAL }, 5 },
    { "embedding of none", "index_select", run_embedding, embedding_reference, 2, { S2(0, 4), S2(5, 6) }, { INDEX, REAL }, 5 },
    { "embedding, no size", "index_select", run_embedding, embedding_reference, 2, { S2(3, 4), S2(5, 0) }, { INDEX, REAL }, 5 },
    { "gather", "gather", run_gather, gather_reference, 2, { S2(4, 3), S2(3, 5) }, { REAL, INDEX }, 3 },
    { "gather of rows", "gather", run_gather_rows, gather_rows_reference, 2, { S2(4, 3), S2(6, 2) }, { REAL, INDEX }, 4 },
    { "gather of none", "gather", run_gather, gather_reference, 2, { S2(4, 3), S2(3, 0) }, { REAL, INDEX }, 3 },
    { "scatter_add", "scatter_add", run_scatter, scatter_reference, 3, { S2(4, 3), S2(4, 5), S2(4, 5) }, { REAL, INDEX, REAL }, 3 },
    { "scatter_add of a part", "scatter_add", run_scatter, scatter_reference, 3, { S2(4, 3), S2(2, 5), S2(3, 6) }, { REAL, INDEX, REAL }, 3 },
    { "scatter_add of rows", "scatter_add", run_scatter_rows, scatter_rows_reference, 3, { S2(4, 3), S2(6, 2), S2(6, 3) }, { REAL, INDEX, REAL }, 4 },
    { "one_hot", "scatter_add", run_one_hot, one_hot_reference, 1, { S2(3, 2) }, { INDEX }, 4, .no_derivative = true },
    { "one_hot of one", "scatter_add", run_one_hot, one_hot_reference, 1, { S0 }, { INDEX }, 4, .no_derivative = true },
    { "one_hot of none", "scatter_add", run_one_hot, one_hot_reference, 1, { S2(3, 0) }, { INDEX }, 4, .no_derivative = true },
    { "bernoulli of certainties", "check_range", run_bernoulli_of_integers, same_reference, 1, { S2(3, 4) }, { INDEX }, 2, .no_derivative = true },
};

static const bad_case bad[] = {
    { "embedding: index[1, 0] is 5, not in [0, 5)", run_embedding_past, { S2(5, 3) } },
    { "embedding: index is -1, not in [0, 5)", run_embedding_before, { S2(5, 3) } },
    { "embedding: index is f32, not i64 (cast it first)", run_embedding_of_floats, { S2(5, 3) } },
    { "embedding: weight is [5], not of two dimensions", run_embedding_of_vector, { S1(5) } },
    { "index_select: index[1] is 3, not in [0, 3)", run_select_past, { S2(2, 3) } },
    { "index_select: index is [1, 2], not of one dimension", run_select_by_matrix, { S2(2, 3) } },
    { "index_select: index[0] is 0, not in [0, 0)", run_select_from_none, { S2(0, 3) } },
    { "gather: index[1, 1] is 9223372036854775807, not in [0, 2)", run_gather_past, { S2(2, 3) } },
    { "gather: index [3, 1] does not fit x, [2, 3]: it should have as many dimensions and, but for dimension 1, no larger ones",
      run_gather_wide, { S2(2, 3) } },
    { "scatter_add: source [2, 1] is smaller than index, [2, 2]", run_scatter_small, { S2(2, 3), S2(2, 1) } },
    { "scatter_add: dtypes differ: a is f32, b is f64 (grd_cast one of them)", run_scatter_type, { S2(2, 3) } },
    { "one_hot: 0 classes", run_no_classes, { S0 } },
    { "one_hot: index[0, 2] is 2, not in [0, 2)", run_few_classes, { S0 } },
};
/* clang-format on */

const op_family index_family = OP_FAMILY(cases, bad);
