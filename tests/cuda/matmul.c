/* Matrix products on a GPU beside the processor's: sizes around those of tiles, transposes, gaps
 * between rows, and batches that repeat a matrix. */
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <gradus/error.h>
#include <math.h>

TestSuite(cuda_matmul, .fini = end_sides);

typedef struct product {
    int64_t batch[2], m, k, n;
    bool left_transposed, right_transposed;
    int64_t left_gap, right_gap; /* elements between its dense runs */
    bool left_repeated, right_repeated;
    bool bias;
    int64_t skip;
} product;

static const product products[] = {
    { .batch = { 1, 1 }, .m = 1, .k = 1, .n = 1 },
    { .batch = { 1, 1 }, .m = 65, .k = 33, .n = 67, .bias = true },
    { .batch = { 1, 1 }, .m = 64, .k = 16, .n = 64, .left_transposed = true },
    { .batch = { 1, 1 }, .m = 63, .k = 17, .n = 130, .right_transposed = true, .left_gap = 3 },
    { .batch = { 1, 1 }, .m = 1, .k = 100, .n = 200, .bias = true, .right_gap = 5 },
    { .batch = { 1, 1 }, .m = 200, .k = 3, .n = 1, .left_transposed = true, .left_gap = 7 },
    { .batch = { 2, 3 }, .m = 5, .k = 40, .n = 9, .right_transposed = true, .skip = 1 },
    { .batch = { 3, 2 }, .m = 7, .k = 8, .n = 66, .left_repeated = true, .bias = true },
    { .batch = { 2, 2 },
      .m = 66,
      .k = 5,
      .n = 6,
      .right_repeated = true,
      .left_transposed = true,
      .right_transposed = true,
      .right_gap = 2 },
    { .batch = { 1, 4 }, .m = 16, .k = 16, .n = 16, .left_transposed = true, .bias = true },
    { .batch = { 1, 1 }, .m = 4, .k = 0, .n = 5, .bias = true },
    { .batch = { 1, 1 }, .m = 4, .k = 0, .n = 5 },
    { .batch = { 2, 0 }, .m = 4, .k = 3, .n = 5 },
    { .batch = { 1, 2 }, .m = 0, .k = 3, .n = 5 },
};

/* [batch, batch, rows, columns]. */
static sided *make_matrices(const product *p, grd_dtype dtype, int64_t rows, int64_t columns,
                            bool transposed, int64_t gap, bool repeated)
{
    const int64_t run = (transposed ? rows : columns) + gap;
    const int64_t each = run * (transposed ? columns : rows);
    const grdi_dim dim[] = { { p->batch[0], repeated ? 0 : each * p->batch[1] },
                             { p->batch[1], each },
                             { rows, transposed ? 1 : run },
                             { columns, transposed ? run : 1 } };
    return make_sided(dtype, 4, dim, p->skip);
}

static void compare(const product *p, grd_dtype dtype)
{
    sided *a =
        make_matrices(p, dtype, p->m, p->k, p->left_transposed, p->left_gap, p->left_repeated);
    sided *b =
        make_matrices(p, dtype, p->k, p->n, p->right_transposed, p->right_gap, p->right_repeated);
    sided *y = make_contiguous(dtype, 4, (int64_t[]){ p->batch[0], p->batch[1], p->m, p->n });
    sided *bias = p->bias ? make_contiguous(dtype, 1, (int64_t[]){ p->n }) : NULL;
    RUN_SIDES(matmul, on(y), on(a), on(b), on(bias));
    expect_same(y, allowed_in(dtype), "matmul");
    end_sides();
}

Test(cuda_matmul, products)
{
    static const grd_dtype dtypes[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16 };
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
            compare(&products[i], dtypes[d]);
}

Test(cuda_matmul, what_is_not_finite_stays_in_its_row_and_column)
{
    sided *a = make_contiguous(GRD_F32, 2, (int64_t[]){ 70, 20 });
    sided *b = make_contiguous(GRD_F32, 2, (int64_t[]){ 20, 70 });
    sided *y = make_contiguous(GRD_F32, 2, (int64_t[]){ 70, 70 });
    set_sided(a, 3 * 20 + 5, NAN);
    set_sided(b, 7 * 70 + 69, INFINITY);
    RUN_SIDES(matmul, on(y), on(a), on(b), NULL);
    expect_same(y, 3e-6, "matmul");
}
