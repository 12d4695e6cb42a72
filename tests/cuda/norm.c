/* Norms on a GPU beside the processor's. */
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <gradus/error.h>
#include <math.h>

TestSuite(cuda_norm, .fini = end_sides);

typedef struct layout {
    int rank;
    grdi_dim dim[3];
    int64_t skip;
} layout;

static const layout layouts[] = {
    { 1, { { 5, 1 } }, 0 },
    { 2, { { 70, 33 }, { 33, 1 } }, 0 },
    { 2, { { 9, 70 }, { 64, 1 } }, 1 },
    { 3, { { 2, 1000 }, { 3, 300 }, { 50, 3 } }, 2 },
    { 2, { { 3, 1100 }, { 1100, 1 } }, 0 }, /* a block a row */
    { 2, { { 200, 40 }, { 40, 1 } }, 0 },   /* sums of rows in parts */
    { 2, { { 0, 6 }, { 6, 1 } }, 0 },
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };
static const grd_dtype floats[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16 };

typedef struct norm {
    sided *x, *dy, *y, *stats, *weight, *bias, *dweight, *dbias;
} norm;

static norm make(const layout *l, grd_dtype dtype, bool weight, bool bias)
{
    int64_t size[3], n = l->dim[l->rank - 1].size;
    for (int d = 0; d < l->rank; d++)
        size[d] = l->dim[d].size;
    size[l->rank - 1] = 2;
    const grdi_dim spaced[] = { { n, 3 } };
    return (norm){
        .x = make_sided(dtype, l->rank, l->dim, l->skip),
        .dy = make_sided(dtype, l->rank, l->dim, l->skip + 1),
        .y = make_sided(dtype, l->rank, l->dim, l->skip),
        .stats = make_contiguous(GRD_F64, l->rank, size),
        .weight = weight ? make_contiguous(dtype, 1, &n) : NULL,
        .bias = bias ? make_sided(dtype, 1, spaced, 1) : NULL,
        .dweight = weight ? make_contiguous(dtype, 1, &n) : NULL,
        .dbias = bias ? make_sided(dtype, 1, spaced, 0) : NULL,
    };
}

static void expect_gradients(const norm *m, grd_dtype dtype)
{
    const double allowed = 4 * allowed_in(dtype);
    expect_same(m->y, allowed, "dx");
    if (m->dweight)
        expect_same(m->dweight, allowed, "dweight");
    if (m->dbias)
        expect_same(m->dbias, allowed, "dbias");
    end_sides();
}

static void compare_layer_norm(const layout *l, grd_dtype dtype, bool weight, bool bias)
{
    const norm m = make(l, dtype, weight, bias);
    RUN_SIDES(layer_norm, on(m.y), on(m.stats), on(m.x), on(m.weight), on(m.bias), 1e-5);
    expect_same(m.y, 2 * allowed_in(dtype), "layer_norm");
    expect_same(m.stats, dtype == GRD_F64 ? 1e-13 : 3e-6, "stats");
    RUN_SIDES(layer_norm_backward, on(m.y), on(m.dweight), on(m.dbias), on(m.dy), on(m.x),
              on(m.stats), on(m.weight));
    expect_gradients(&m, dtype);
}

static void compare_rms_norm(const layout *l, grd_dtype dtype, bool weight)
{
    const norm m = make(l, dtype, weight, false);
    RUN_SIDES(rms_norm, on(m.y), NULL, on(m.x), on(m.weight), 1e-5);
    RUN_SIDES(rms_norm, on(m.y), on(m.stats), on(m.x), on(m.weight), 1e-5);
    expect_same(m.y, 2 * allowed_in(dtype), "rms_norm");
    expect_same(m.stats, dtype == GRD_F64 ? 1e-13 : 3e-6, "stats");
    RUN_SIDES(rms_norm_backward, on(m.y), on(m.dweight), on(m.dy), on(m.x), on(m.stats),
              on(m.weight));
    expect_gradients(&m, dtype);
}

Test(cuda_norm, rows)
{
    for (int d = 0; d < 4; d++)
        for (int i = 0; i < LAYOUTS; i++)
            for (int vectors = 0; vectors < 4; vectors++) {
                compare_layer_norm(&layouts[i], floats[d], vectors & 1, vectors & 2);
                if (vectors < 2)
                    compare_rms_norm(&layouts[i], floats[d], vectors & 1);
            }
}

/* What lies far from zero, as f32's sums alone would lose it. */
Test(cuda_norm, a_mean_far_from_zero)
{
    norm m = make(&layouts[4], GRD_F32, false, false);
    for (int64_t i = 0; i < 3300; i++)
        ((float *)m.x->on[CPU].data)[i] = 10000 + (float)(i % 7);
    set_sided(m.x, 0, 10003);
    RUN_SIDES(layer_norm, on(m.y), on(m.stats), on(m.x), NULL, NULL, 1e-5);
    expect_same(m.y, 2e-3, "layer_norm");
    cr_assert_float_eq(((double *)m.stats->on[CPU].data)[0], 10003, 1e-2);
}

Test(cuda_norm, nan_fills_its_row_alone)
{
    norm m = make(&layouts[1], GRD_F64, false, false);
    set_sided(m.x, 5, NAN);
    set_sided(m.x, 40, INFINITY);
    RUN_SIDES(rms_norm, on(m.y), on(m.stats), on(m.x), NULL, 1e-5);
    expect_same(m.y, 1e-13, "rms_norm");
    RUN_SIDES(layer_norm, on(m.y), on(m.stats), on(m.x), NULL, NULL, 1e-5);
    expect_same(m.y, 1e-13, "layer_norm");
}
