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

static grd_tensor *run_matmul(const grd_tensor *const x[])
{
    return grd_matmul(x[0], x[1]);
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
};

static const bad_case bad[] = {
    { "matmul: inner sizes differ: a is [8, 16, 64], b is [32, 64] (did you mean transpose(b)?)",
      run_matmul, { S3(8, 16, 64), S2(32, 64) } },
    { "matmul: both need two dimensions: a is [3], b is [3, 2]", run_matmul, { S1(3), S2(3, 2) } },
    { "matmul: batches do not broadcast: a is [2, 3, 4], b is [3, 4, 5]", run_matmul,
      { S3(2, 3, 4), S3(3, 4, 5) } },
    { "matmul: inner sizes differ: a is [2, 3], b is [2, 3] (did you mean transpose(b)?)",
      run_chain, { S2(2, 3), S2(2, 3) } },
};
/* clang-format on */

const op_family matmul_family = OP_FAMILY(cases, bad);
