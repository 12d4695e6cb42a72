/* Products of shown pairs on a GPU beside the processor's. */
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <gradus/error.h>
#include <math.h>

TestSuite(cuda_kept, .fini = end_sides);

static const grd_dtype floats[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16 };

enum { BATCH = 3, M = 9, K = 33, N = 20 };

/* [BATCH, rows, columns], dense by rows or by columns, the same for all of the batch or not. */
static sided *make(grd_dtype dtype, int64_t rows, int64_t columns, bool transposed, bool repeated)
{
    const grdi_dim dim[] = { { BATCH, repeated ? 0 : rows * columns },
                             { rows, transposed ? 1 : columns },
                             { columns, transposed ? rows : 1 } };
    return make_sided(dtype, 3, dim, 0);
}

/* Some pairs are hidden, and alike in all of the batch. */
static sided *make_keep(int64_t rows, int64_t columns)
{
    return make(GRD_BOOL, rows, columns, true, true);
}

static void hide_row_and_column(sided *keep, int64_t row, int64_t column)
{
    const grdi_array *k = &keep->on[CPU];
    for (int64_t i = 0; i < k->dim[1].size; i++)
        set_sided(keep, i * k->dim[1].stride + column * k->dim[2].stride, 0);
    for (int64_t j = 0; j < k->dim[2].size; j++)
        set_sided(keep, row * k->dim[1].stride + j * k->dim[2].stride, 0);
}

Test(cuda_kept, products)
{
    for (int d = 0; d < 4; d++)
        for (int way = 0; way < 4; way++) {
            sided *a = make(floats[d], M, K, way & 1, way & 2);
            sided *b = make(floats[d], K, N, way & 2, way & 1);
            sided *y = make(floats[d], M, N, false, false), *keep = make_keep(M, N);
            hide_row_and_column(keep, 4, 6);
            set_sided(a, 4 * a->on[CPU].dim[1].stride, NAN); /* in the row that shows nothing */
            set_sided(b, 6 * b->on[CPU].dim[2].stride, INFINITY);
            RUN_SIDES(kept_products, on(y), on(a), on(b), on(keep));
            expect_same(y, allowed_in(floats[d]), "kept_products");
            end_sides();
        }
}

Test(cuda_kept, sums)
{
    for (int d = 0; d < 4; d++)
        for (int way = 0; way < 8; way++) {
            sided *a = make(floats[d], M, K, way & 1, way & 2);
            sided *b = make(floats[d], K, N, way & 2, way & 1);
            sided *y = make(floats[d], M, N, false, false), *keep = make_keep(M, K);
            hide_row_and_column(keep, 4, 6);
            if (way & 4) {
                set_sided(b, 6 * b->on[CPU].dim[1].stride, NAN); /* hidden from all */
                set_sided(b, 8 * b->on[CPU].dim[1].stride + 3 * b->on[CPU].dim[2].stride, INFINITY);
                set_sided(b, 9 * b->on[CPU].dim[1].stride + 3 * b->on[CPU].dim[2].stride, NAN);
            }
            RUN_SIDES(kept_sums, on(y), on(a), on(b), on(keep));
            expect_same(y, allowed_in(floats[d]), "kept_sums");
            end_sides();
        }
}

Test(cuda_kept, nothing)
{
    sided *a = make_contiguous(GRD_F32, 2, (int64_t[]){ 3, 0 });
    sided *b = make_contiguous(GRD_F32, 2, (int64_t[]){ 0, 4 });
    sided *y = make_contiguous(GRD_F32, 2, (int64_t[]){ 3, 4 });
    sided *keep = make_contiguous(GRD_BOOL, 2, (int64_t[]){ 3, 4 });
    sided *keep_none = make_contiguous(GRD_BOOL, 2, (int64_t[]){ 3, 0 });
    RUN_SIDES(kept_sums, on(y), on(a), on(b), on(keep_none));
    expect_same(y, 0, "kept_sums");
    RUN_SIDES(kept_products, on(y), on(a), on(b), on(keep));
    expect_same(y, 0, "kept_products");
}
