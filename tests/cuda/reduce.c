/* Reductions on a GPU beside the processor's, for every way in which a row or a column is shared
 * out. */
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <gradus/error.h>
#include <math.h>

TestSuite(cuda_reduce, .fini = end_sides);

typedef struct layout {
    int rank, reduced;
    grdi_dim dim[4];
    int64_t skip;
} layout;

static const layout layouts[] = {
    { 0, 0, { { 0 } }, 0 },
    { 1, 0, { { 5, 2 } }, 1 },
    { 1, 1, { { 1, 1 } }, 0 },
    { 1, 1, { { 33, 1 } }, 3 },
    { 2, 1, { { 19, 37 }, { 37, 1 } }, 0 }, /* a warp a row, packs at all places */
    { 2, 1, { { 9, 48 }, { 41, 1 } }, 5 },
    { 2, 1, { { 5, 0 }, { 41, 1 } }, 0 },
    { 2, 1, { { 5, 400 }, { 100, 3 } }, 2 },
    { 2, 1, { { 3, 1501 }, { 1500, 1 } }, 1 },   /* a block a row */
    { 2, 1, { { 2, 10003 }, { 10003, 1 } }, 0 }, /* in parts */
    { 1, 1, { { 9001, 1 } }, 1 },
    { 1, 1, { { 8200, 2 } }, 1 },
    { 3, 2, { { 4, 900 }, { 7, 100 }, { 9, 2 } }, 3 },
    { 3, 2, { { 2, 9000 }, { 90, 100 }, { 97, 1 } }, 0 }, /* in parts, of two dimensions */
    { 4, 3, { { 3, 1 }, { 5, 3 }, { 6, 20 }, { 7, 121 } }, 0 },
    { 2, 1, { { 40, 1 }, { 50, 40 } }, 0 }, /* in columns */
    { 2, 1, { { 70, 1 }, { 7, 71 } }, 1 },
    { 2, 1, { { 33, 1 }, { 1000, 40 } }, 2 }, /* in parts */
    { 3, 1, { { 3, 9000 }, { 17, 1 }, { 300, 20 } }, 0 },
    { 4, 2, { { 2, 5000 }, { 20, 1 }, { 10, 450 }, { 20, 22 } }, 0 },
    { 2, 1, { { 0, 5 }, { 5, 1 } }, 0 },
};
static const layout empty[] = {
    { 1, 1, { { 0, 1 } }, 0 },
    { 2, 1, { { 40, 1 }, { 0, 40 } }, 0 },
    { 3, 2, { { 4, 5 }, { 0, 5 }, { 5, 1 } }, 0 },
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0], EMPTY = sizeof empty / sizeof empty[0] };

static sided *make(const layout *l, grd_dtype dtype)
{
    return make_sided(dtype, l->rank, l->dim, l->skip);
}

static sided *make_result(const layout *l, grd_dtype dtype)
{
    int64_t size[4];
    for (int d = 0; d < l->rank; d++)
        size[d] = l->dim[d].size;
    return make_contiguous(dtype, l->rank - l->reduced, size);
}

static const grd_dtype floats[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16 };
static const grd_dtype all[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16, GRD_I64, GRD_BOOL };

static void compare_sums(const layout *l, grd_dtype dtype)
{
    const bool whole = dtype == GRD_I64 || dtype == GRD_BOOL;
    sided *x = make(l, dtype), *y = make_result(l, whole ? GRD_I64 : dtype);
    RUN_SIDES(sum, on(y), on(x), l->reduced, whole ? 1 : 0.25);
    expect_same(y, allowed_in(dtype), "sum");
    end_sides();
}

Test(cuda_reduce, sums)
{
    for (int d = 0; d < 6; d++) {
        for (int i = 0; i < LAYOUTS; i++)
            compare_sums(&layouts[i], all[d]);
        for (int i = 0; i < EMPTY; i++)
            compare_sums(&empty[i], all[d]);
    }
}

static void compare_variances(const layout *l, grd_dtype dtype)
{
    sided *x = make(l, dtype), *y = make_result(l, dtype);
    RUN_SIDES(var, on(y), on(x), l->reduced, 0.01);
    expect_same(y, allowed_in(dtype), "var");
    end_sides();
}

Test(cuda_reduce, variances)
{
    for (int d = 0; d < 4; d++) {
        for (int i = 0; i < LAYOUTS; i++)
            compare_variances(&layouts[i], floats[d]);
        for (int i = 0; i < EMPTY; i++)
            compare_variances(&empty[i], floats[d]);
    }
}

/* A sum that f32 could not hold, and f16's rounded once. */
Test(cuda_reduce, sums_are_exact_enough)
{
    sided *x = make_contiguous(GRD_F32, 1, (int64_t[]){ 20000 });
    sided *y = make_contiguous(GRD_F32, 0, NULL);
    for (int64_t i = 0; i < 20000; i++)
        ((float *)x->on[CPU].data)[i] = 1e8f;
    ((float *)x->on[CPU].data)[10000] = 3;
    set_sided(x, 19999, -19998e8);
    RUN_SIDES(sum, on(y), on(x), 1, 1);
    expect_same(y, 0, "sum");
    cr_assert_eq(*(float *)y->on[CPU].data, (float)(19998e8 - (double)(float)19998e8) + 3);
}

Test(cuda_reduce, integers_wrap_around)
{
    sided *x = make_contiguous(GRD_I64, 1, (int64_t[]){ 9000 });
    sided *y = make_contiguous(GRD_I64, 0, NULL);
    for (int64_t i = 0; i < 9000; i++)
        ((int64_t *)x->on[CPU].data)[i] = INT64_MAX - i;
    set_sided(x, 0, 7);
    RUN_SIDES(sum, on(y), on(x), 1, 1);
    expect_same(y, 0, "sum");
}

Test(cuda_reduce, infinities_and_nan_pass_through)
{
    sided *x = make_contiguous(GRD_F32, 2, (int64_t[]){ 4, 9000 });
    sided *y = make_contiguous(GRD_F32, 1, (int64_t[]){ 4 });
    set_sided(x, 8999, INFINITY);
    set_sided(x, 9000, NAN);
    set_sided(x, 18000, INFINITY);
    set_sided(x, 26999, -INFINITY);
    RUN_SIDES(sum, on(y), on(x), 1, 1);
    expect_same(y, 3e-6, "sum");
    RUN_SIDES(var, on(y), on(x), 1, 1);
    expect_same(y, 3e-6, "var");
}

static void compare_extremes(sided *x, const layout *l, grd_dtype dtype)
{
    sided *y = make_result(l, dtype), *position = make_result(l, GRD_I64);
    RUN_SIDES(max, on(y), on(x), l->reduced);
    expect_same(y, 0, "max");
    RUN_SIDES(argmax, on(position), on(x), l->reduced);
    expect_same(position, 0, "argmax");
    RUN_SIDES(min, on(y), on(x), l->reduced);
    expect_same(y, 0, "min");
    end_sides();
}

/* With many equals, of which the first is to be taken. */
static sided *make_coarse(const layout *l, grd_dtype dtype)
{
    sided *x = make(l, dtype), *whole = make(l, GRD_I64);
    for (int64_t i = 0; i < x->extent && dtype != GRD_BOOL; i++)
        set_here(x, i - l->skip, (double)(((int64_t *)whole->on[CPU].data)[i - l->skip] % 4));
    if (x->extent)
        set_sided(x, 0, dtype != GRD_BOOL);
    return x;
}

Test(cuda_reduce, extremes)
{
    for (int d = 0; d < 6; d++)
        for (int i = 0; i < LAYOUTS; i++) {
            compare_extremes(make(&layouts[i], all[d]), &layouts[i], all[d]);
            compare_extremes(make_coarse(&layouts[i], all[d]), &layouts[i], all[d]);
        }
}

Test(cuda_reduce, nan_is_larger_and_smaller_than_all_others)
{
    for (int i = 0; i < LAYOUTS; i++) {
        sided *x = make(&layouts[i], GRD_F32);
        for (int64_t k = 0; k < x->extent; k += 1 + k % 97)
            set_here(x, k - layouts[i].skip, k % 3 ? NAN : k % 2 ? INFINITY : -INFINITY);
        if (x->extent)
            set_sided(x, 0, 0);
        compare_extremes(x, &layouts[i], GRD_F32);
    }
}
