#include "tests/op_cases.h"

/* Each element of y sums over k; a and b are read at y's batch through stretched(). */
static void matmul_reference(const plain x[], plain *y)
{
    plain a = x[0], b = x[1];
    const long m = a.size[a.rank - 2], n = b.size[b.rank - 1], inner = a.size[a.rank - 1];
    a.size[a.rank - 1] = a.size[a.rank - 2] = b.size[b.rank - 1] = b.size[b.rank - 2] = 1;
    stretch(&a, &b, y);
    plain batch = *y;
    y->size[y->rank - 2] = m;
    y->size[y->rank - 1] = n;
    for (long i = 0; i < count_of(&batch); i++)
        batch.value[i] = (double)i;
    for (long i = 0; i < count_of(&a); i++)
        a.value[i] = (double)i;
    for (long i = 0; i < count_of(&b); i++)
        b.value[i] = (double)i;

    for (long i = 0; i < count_of(y); i++) {
        const long which = i / (m * n), row = i / n % m, column = i % n;
        const long in_a = (long)stretched(&a, &batch, which) * m * inner;
        const long in_b = (long)stretched(&b, &batch, which) * inner * n;
        y->value[i] = 0;
        for (long k = 0; k < inner; k++)
            y->value[i] += x[0].value[in_a + row * inner + k] * x[1].value[in_b + k * n + column];
    }
}

/* The same where x[0] is one row, or x[1] one column, as a vector. */
static void vector_reference(const plain x[], plain *y)
{
    static plain matrix[2];
    matrix[0] = x[0];
    matrix[1] = x[1];
    if (x[0].rank == 1) {
        matrix[0].rank = 2;
        matrix[0].size[0] = 1;
        matrix[0].size[1] = x[0].size[0];
    }
    if (x[1].rank == 1) {
        matrix[1].rank = 2;
        matrix[1].size[1] = 1;
    }
    matmul_reference(matrix, y);
    if (x[0].rank == 1)
        y->size[y->rank - 2] = y->size[y->rank - 1];
    y->rank -= (x[0].rank == 1) + (x[1].rank == 1);
}

/* y = x weight^T + bias, bias being x[2]. */
static void linear_reference(const plain x[], plain *y)
{
    const long in = x[1].size[1], out = x[1].size[0];
    *y = x[0];
    y->size[y->rank - 1] = out;
    for (long i = 0; i < count_of(y); i++) {
        y->value[i] = x[2].value[i % out];
        for (long k = 0; k < in; k++)
            y->value[i] += x[0].value[i / out * in + k] * x[1].value[i % out * in + k];
    }
}

static void linear_without_bias_reference(const plain x[], plain *y)
{
    static plain with_bias[3];
    with_bias[0] = x[0];
    with_bias[1] = x[1];
    with_bias[2] = (plain){ 0 };
    linear_reference(with_bias, y);
}

static grd_tensor *run_matmul(const grd_tensor *const x[])
{
    return grd_matmul(x[0], x[1]);
}

static grd_tensor *run_linear(const grd_tensor *const x[])
{
    return grd_linear(x[0], x[1], x[2]);
}

static grd_tensor *run_linear_without_bias(const grd_tensor *const x[])
{
    return grd_linear(x[0], x[1], NULL);
}

static grd_tensor *run_integer_matmul(const grd_tensor *const x[])
{
    return grd_matmul(grd_cast(x[0], GRD_I64), grd_cast(x[1], GRD_I64));
}

static grd_tensor *run_linear_of_one(const grd_tensor *const x[])
{
    return grd_linear(x[0], NULL, NULL);
}

static grd_tensor *run_square_linear(const grd_tensor *const x[])
{
    return grd_linear(x[0], x[0], x[1]);
}

/* x's memory read as rows that overlap, which no product can take as they are. */
static grd_tensor *run_matmul_expanded(const grd_tensor *const x[])
{
    return grd_matmul(grd_expand(x[0], GRD_SHAPE(3, 4)), x[1]);
}

static void matmul_expanded_reference(const plain x[], plain *y)
{
    static plain rows[2];
    rows[0] = (plain){ .rank = 2, .size = { 3, 4 } };
    for (int i = 0; i < 12; i++)
        rows[0].value[i] = x[0].value[i % 4];
    rows[1] = x[1];
    matmul_reference(rows, y);
}

static grd_tensor *run_chain(const grd_tensor *const x[])
{
    return grd_softmax(grd_sum(grd_matmul(x[0], x[1])), 7);
}

/* clang-format off */
static const op_case cases[] = {
    { "matmul", "matmul", run_matmul, matmul_reference, 2, { S2(3, 4), S2(4, 2) } },
    { "matmul, batched", "matmul", run_matmul, matmul_reference, 2, { S3(2, 3, 4), S3(2, 4, 2) } },
    { "matmul, batch broadcast", "matmul", run_matmul, matmul_reference, 2,
      { S4(2, 1, 2, 3), S3(3, 3, 2) } },
    { "matmul, one row", "matmul", run_matmul, matmul_reference, 2, { S2(1, 3), S2(3, 1) } },
    { "matmul, inner size 0", "matmul", run_matmul, matmul_reference, 2, { S2(2, 0), S2(0, 3) } },
    { "matmul, one matrix for a batch", "matmul", run_matmul, matmul_reference, 2,
      { S4(2, 3, 2, 4), S2(4, 3) } },
    { "matmul, a batch for one matrix", "matmul", run_matmul, matmul_reference, 2,
      { S2(2, 4), S3(3, 4, 2) } },
    { "matmul, empty batch", "matmul", run_matmul, matmul_reference, 2, { S3(0, 2, 4), S2(4, 3) } },
    { "matmul, vectors", "matmul", run_matmul, vector_reference, 2, { S1(5), S1(5) } },
    { "matmul, vector and matrix", "matmul", run_matmul, vector_reference, 2, { S1(3), S2(3, 4) } },
    { "matmul, vector and batch", "matmul", run_matmul, vector_reference, 2,
      { S1(3), S3(2, 3, 4) } },
    { "matmul, matrix and vector", "matmul", run_matmul, vector_reference, 2, { S2(4, 3), S1(3) } },
    { "matmul, batch and vector", "matmul", run_matmul, vector_reference, 2,
      { S3(2, 4, 3), S1(3) } },
    { "matmul, expanded", "matmul", run_matmul_expanded, matmul_expanded_reference, 2,
      { S2(1, 4), S2(4, 2) } },
    { "linear", "matmul", run_linear, linear_reference, 3, { S2(3, 4), S2(5, 4), S1(5) } },
    { "linear, batched", "matmul", run_linear, linear_reference, 3,
      { S3(2, 3, 4), S2(2, 4), S1(2) } },
    { "linear, wide", "matmul", run_linear, linear_reference, 3, { S2(13, 4), S2(37, 4), S1(37) } },
    { "linear, vector", "matmul", run_linear, linear_reference, 3, { S1(4), S2(3, 4), S1(3) } },
    { "linear, no inputs", "matmul", run_linear, linear_reference, 3, { S2(2, 0), S2(3, 0), S1(3) } },
    { "linear, no rows", "matmul", run_linear, linear_reference, 3, { S2(0, 4), S2(3, 4), S1(3) } },
    { "linear, no bias", "matmul", run_linear_without_bias, linear_without_bias_reference, 2,
      { S3(2, 3, 4), S2(5, 4) } },
};

static const bad_case bad[] = {
    { "matmul: inner sizes differ: a is [8, 16, 64], b is [32, 64] (did you mean transpose(b)?)",
      run_matmul, { S3(8, 16, 64), S2(32, 64) } },
    { "matmul: inner sizes differ: a is [3, 2], b is [3] (2 and 3 should be equal)", run_matmul, { S2(3, 2), S1(3) } },
    { "matmul: a scalar has no rows (use mul): a is [], b is [3, 2]", run_matmul,
      { S0, S2(3, 2) } },
    { "matmul: i64 is not supported on cpu", run_integer_matmul, { S2(2, 3), S2(3, 2) } },
    { "linear: an argument is NULL", run_linear_of_one, { S1(3), S0 } },
    { "linear: weight is (out, in), not [3]", run_linear_without_bias, { S2(2, 3), S1(3) } },
    { "linear: weight (out, in) [3, 5] takes 5 features, but x is [2, 4]", run_linear_without_bias,
      { S2(2, 4), S2(3, 5) } },
    { "linear: bias is [3] for the weight [3, 3], not [4]", run_square_linear,
      { S2(3, 3), S1(4) } },
    { "matmul: batches do not broadcast: a is [2, 3, 4], b is [3, 4, 5]", run_matmul,
      { S3(2, 3, 4), S3(3, 4, 5) } },
    { "matmul: inner sizes differ: a is [2, 3], b is [2, 3] (did you mean transpose(b)?)",
      run_chain, { S2(2, 3), S2(2, 3) } },
};
/* clang-format on */

const op_family matmul_family = OP_FAMILY(cases, bad);
