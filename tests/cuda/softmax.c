/* Softmaxes on a GPU beside the processor's, row by row: lengths around those of packs, warps and
 * blocks, strides, and what is not finite. */
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <gradus/error.h>
#include <math.h>

TestSuite(cuda_softmax, .fini = end_sides);

typedef struct layout {
    int rank;
    grdi_dim dim[3];
    int64_t skip;
} layout;

static const layout layouts[] = {
    { 1, { { 1, 1 } }, 0 },
    { 1, { { 7, 1 } }, 3 },
    { 2, { { 21, 33 }, { 33, 1 } }, 0 },
    { 2, { { 5, 130 }, { 128, 1 } }, 2 },
    { 2, { { 3, 1 }, { 40, 3 } }, 0 },
    { 3, { { 2, 500 }, { 4, 60 }, { 50, 1 } }, 1 },
    { 2, { { 3, 1025 }, { 1025, 1 } }, 0 }, /* a block a row */
    { 2, { { 2, 1 }, { 1100, 2 } }, 0 },
    { 2, { { 0, 5 }, { 5, 1 } }, 0 },
    { 2, { { 3, 0 }, { 0, 1 } }, 0 },
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };
static const grd_dtype floats[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16 };

static void compare(const layout *l, grd_dtype dtype, int64_t skip_of_result)
{
    sided *x = make_sided(dtype, l->rank, l->dim, l->skip);
    sided *dy = make_sided(dtype, l->rank, l->dim, l->skip);
    sided *y = make_sided(dtype, l->rank, l->dim, skip_of_result);
    sided *sum = make_contiguous(dtype, l->rank - 1,
                                 (int64_t[]){ l->dim[0].size, l->rank > 1 ? l->dim[1].size : 0 });
    RUN_SIDES(softmax, on(y), on(x));
    expect_same(y, allowed_in(dtype), "softmax");
    RUN_SIDES(softmax_backward, on(x), on(y), on(dy));
    expect_same(x, allowed_in(dtype), "softmax_backward");
    RUN_SIDES(log_softmax, on(y), on(x));
    expect_same(y, allowed_in(dtype), "log_softmax");
    RUN_SIDES(log_softmax_backward, on(x), on(y), on(dy));
    expect_same(x, 3 * allowed_in(dtype), "log_softmax_backward");
    RUN_SIDES(logsumexp, on(sum), on(x));
    expect_same(sum, allowed_in(dtype), "logsumexp");
    end_sides();
}

Test(cuda_softmax, rows)
{
    for (int d = 0; d < 4; d++)
        for (int i = 0; i < LAYOUTS; i++) {
            compare(&layouts[i], floats[d], layouts[i].skip);
            compare(&layouts[i], floats[d], layouts[i].skip + 1);
        }
}

/* Rows of one kind of number each, and of one among others. */
static void set_special(sided *x, int64_t n)
{
    const double special[] = { INFINITY, -INFINITY, NAN };
    for (int k = 0; k < 3; k++) {
        for (int64_t i = 0; i < n; i++)
            set_sided(x, k * n + i, special[k]);
        set_sided(x, (3 + k) * n + 40, special[k]);
    }
    set_sided(x, 6 * n, 1e4);
    set_sided(x, 7 * n + 1, INFINITY);
    set_sided(x, 7 * n + 2, NAN);
}

Test(cuda_softmax, what_is_not_finite)
{
    for (int d = 0; d < 4; d++) {
        sided *x = make_contiguous(floats[d], 2, (int64_t[]){ 8, 41 });
        sided *y = make_contiguous(floats[d], 2, (int64_t[]){ 8, 41 });
        sided *sum = make_contiguous(floats[d], 1, (int64_t[]){ 8 });
        set_special(x, 41);
        RUN_SIDES(softmax, on(y), on(x));
        expect_same(y, allowed_in(floats[d]), "softmax");
        RUN_SIDES(log_softmax, on(y), on(x));
        expect_same(y, allowed_in(floats[d]), "log_softmax");
        RUN_SIDES(logsumexp, on(sum), on(x));
        expect_same(sum, allowed_in(floats[d]), "logsumexp");
        end_sides();
    }
}

Test(cuda_softmax, in_place)
{
    sided *x = make_contiguous(GRD_F32, 2, (int64_t[]){ 6, 1200 });
    RUN_SIDES(softmax, on(x), on(x));
    expect_same(x, 3e-6, "softmax");
}
