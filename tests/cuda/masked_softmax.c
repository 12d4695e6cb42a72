/* Masked softmaxes on a GPU beside the processor's. */
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <gradus/error.h>
#include <math.h>

TestSuite(cuda_masked_softmax, .fini = end_sides);

static const grd_dtype floats[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16 };

typedef struct scores {
    sided *y, *dy, *x, *lse, *additive, *keep;
} scores;

/* [rows, n], where keep and additive repeat rows or columns, as masks do. */
static scores make(grd_dtype dtype, int64_t rows, int64_t n, bool additive, bool keep, int64_t skip)
{
    const grdi_dim full[] = { { rows, n + 3 }, { n, 1 } }, repeated[] = { { rows, 0 }, { n, 1 } };
    const grdi_dim spaced[] = { { rows, 2 }, { n, 2 * rows } };
    return (scores){ .y = make_sided(dtype, 2, full, skip),
                     .dy = make_sided(dtype, 2, full, skip + 1),
                     .x = make_sided(dtype, 2, full, skip),
                     .lse = make_contiguous(dtype, 1, &rows),
                     .additive = additive ? make_sided(dtype, 2, repeated, skip) : NULL,
                     .keep = keep ? make_sided(GRD_BOOL, 2, skip ? spaced : full, skip) : NULL };
}

static void hide_row(const scores *m, int64_t row)
{
    const grdi_array *keep = &m->keep->on[CPU];
    for (int64_t i = 0; i < keep->dim[1].size; i++)
        set_sided(m->keep, row * keep->dim[0].stride + i * keep->dim[1].stride, 0);
}

static void compare(const scores *m, grd_dtype dtype)
{
    const double allowed = allowed_in(dtype);
    RUN_SIDES(masked_softmax, on(m->y), NULL, on(m->x), on(m->additive), on(m->keep), 0.3);
    RUN_SIDES(masked_softmax, on(m->y), on(m->lse), on(m->x), on(m->additive), on(m->keep), 0.3);
    expect_same(m->y, allowed, "masked_softmax");
    expect_same(m->lse, allowed, "lse");
    RUN_SIDES(masked_softmax_backward, on(m->x), on(m->y), on(m->dy), on(m->keep), 0.3);
    expect_same(m->x, allowed, "masked_softmax_backward");
    end_sides();
}

Test(cuda_masked_softmax, rows)
{
    static const int64_t sizes[][2] = { { 1, 1 }, { 9, 40 }, { 21, 7 }, { 2, 1050 } };
    for (int d = 0; d < 4; d++)
        for (int s = 0; s < 4; s++)
            for (int masks = 0; masks < 4; masks++)
                for (int skip = 0; skip < 2; skip++) {
                    const scores m =
                        make(floats[d], sizes[s][0], sizes[s][1], masks & 1, masks & 2, skip);
                    if (masks & 2)
                        hide_row(&m, sizes[s][0] - 1);
                    compare(&m, floats[d]);
                }
}

Test(cuda_masked_softmax, rows_without_elements)
{
    const scores m = make(GRD_F32, 4, 0, true, true, 0), none = make(GRD_F32, 0, 5, true, true, 0);
    RUN_SIDES(masked_softmax, on(m.y), on(m.lse), on(m.x), on(m.additive), on(m.keep), 1);
    expect_same(m.lse, 0, "lse");
    cr_assert_eq(((float *)m.lse->on[CPU].data)[3], -INFINITY);
    compare(&none, GRD_F32);
}

/* NaN behind a hidden key changes nothing; before a shown one it fills what is shown of its row. */
Test(cuda_masked_softmax, what_is_not_finite)
{
    for (int d = 0; d < 4; d++) {
        const scores m = make(floats[d], 6, 40, true, true, 0);
        for (int64_t i = 0; i < 6; i++) {
            set_sided(m.x, i * 43 + 11, i % 2 ? NAN : INFINITY);
            set_sided(m.keep, i * 43 + 11, i >= 2);
        }
        set_sided(m.additive, 5, -INFINITY);
        set_sided(m.x, 5 * 43 + 12, INFINITY);
        set_sided(m.keep, 5 * 43 + 12, 1);
        compare(&m, floats[d]);
    }
}

Test(cuda_masked_softmax, all_ruled_out_by_additive)
{
    const scores m = make(GRD_F64, 3, 35, true, false, 0);
    for (int64_t i = 0; i < 35; i++)
        set_sided(m.additive, i, -INFINITY);
    compare(&m, GRD_F64);
}
