/* Scaled dot product attention: masks of every shape and any strides, and masks together. */
#include "tests/nn/attention_problem.h"

#include <math.h>

/* Sizes that fill neither vectors nor blocks, L != S. */
static const problem_size sizes[] = {
    { 2, 3, 3, 5, 5, 4, 3 },
    { 2, 4, 2, 64, 32, 8, 8 },
    { 2, 2, 1, 17, 100, 16, 5 },
};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static grd_shape scores_of(const problem_size *s)
{
    return GRD_SHAPE(s->batch, s->heads, s->queries, s->keys);
}

/* The dimensions of a mask that bits name have the scores' size, the others 1. */
static grd_shape stretched(const problem_size *s, int bits)
{
    return GRD_SHAPE(bits & 8 ? s->batch : 1, bits & 4 ? s->heads : 1, bits & 2 ? s->queries : 1,
                     bits & 1 ? s->keys : 1);
}

/* x summed over the dimensions that bits do not name. */
static const grd_tensor *narrowed(const grd_tensor *x, int bits)
{
    grd_dims dims = { 0 };
    for (int d = 0; d < 4; d++)
        if (!(bits & 8 >> d))
            dims.dim[dims.count++] = d;
    return dims.count ? grd_sum_dims(x, dims, GRD_KEEP_DIMS) : x;
}

/* x in memory that lies the other way round. */
static const grd_tensor *turned(const grd_tensor *x)
{
    return grd_transpose(grd_contiguous(grd_transpose(x, 1, 3)), 1, 3);
}

/* Up to rounding of long sums. */
static bool sums_near(const grd_tensor *a, const grd_tensor *b)
{
    return path->dtype == GRD_F64 ? grd_allclose(a, b, 1e-11, 1e-12)
                                  : grd_allclose(a, b, 1e-4, 2e-5);
}

static void check_additive(const problem *p, const problem_size *s, int bits)
{
    grd_tensor *bias = grd_require_grad(grd_randn(rng, stretched(s, bits)));
    const grd_tensor *expanded = grd_expand(grd_detach(bias), scores_of(s));
    grd_tensor *whole = grd_require_grad(grd_contiguous(expanded));
    const solution a = solve(p, &(grd_sdpa_options){ .mask = { .additive = bias } });
    const solution b = solve(p, &(grd_sdpa_options){ .mask = { .additive = whole } });
    cr_assert(same(&a, &b), "bits %d", bits);
    const grd_tensor *sum = narrowed(grd_tensor_grad(whole), bits);
    cr_assert(sums_near(grd_tensor_grad(bias), sum), "its gradient, bits %d", bits);

    const grd_mask constants[] = { { .additive = grd_detach(bias) },
                                   { .additive = expanded },
                                   { .additive = turned(expanded) } };
    const solution c = solve(p, &(grd_sdpa_options){ .mask = constants[0] });
    cr_assert(all_near(&a, &c), "without a gradient, bits %d", bits);
    for (int i = 1; i < 3; i++) {
        const solution d = solve(p, &(grd_sdpa_options){ .mask = constants[i] });
        cr_assert(same(&c, &d), "strides %d, bits %d", i, bits);
    }
}

EACH_PATH(attention_masks, additive_ones_broadcast_and_may_be_views)
{
    for (int i = 0; i < SIZES; i++) {
        const problem p = problem_of(sizes[i]);
        for (int bits = 0; bits < 16; bits++) {
            grd_scope *inner = grd_scope_begin();
            check_additive(&p, &sizes[i], bits);
            cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
        }
    }
}

static void check_bools(const problem *p, const problem_size *s, int bits)
{
    const grd_tensor *seen = grd_lt_scalar(grd_rand(rng, stretched(s, bits)), 0.7);
    const grd_tensor *expanded = grd_expand(seen, scores_of(s));
    const grd_tensor *views[] = { seen, expanded, turned(expanded), grd_contiguous(expanded) };
    const solution a = solve(p, &(grd_sdpa_options){ .mask = { .attend = seen } });
    for (int i = 0; i < 4; i++) {
        const grd_tensor *hidden = grd_logical_not(views[i]);
        const solution b = solve(p, &(grd_sdpa_options){ .mask = { .attend = views[i] } });
        const solution c = solve(p, &(grd_sdpa_options){ .mask = { .ignore = hidden } });
        cr_assert(same(&a, &b), "attend, strides %d, bits %d", i, bits);
        cr_assert(same(&a, &c), "ignore, strides %d, bits %d", i, bits);
    }
}

EACH_PATH(attention_masks, of_truths_broadcast_and_may_be_views)
{
    for (int i = 0; i < SIZES; i++) {
        const problem p = problem_of(sizes[i]);
        for (int bits = 0; bits < 16; bits++) {
            grd_scope *inner = grd_scope_begin();
            check_bools(&p, &sizes[i], bits);
            cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
        }
    }
}

/* -inf that is added hides as ignore does, and its gradient is 0 there. */
EACH_PATH(attention_masks, minus_infinity_hides)
{
    for (int i = 0; i < SIZES; i++) {
        const problem p = problem_of(sizes[i]);
        const grd_shape shape = scores_of(&sizes[i]);
        const grd_tensor *hidden = grd_lt_scalar(grd_rand(rng, shape), 0.3);
        grd_tensor *bias =
            grd_require_grad(grd_masked_fill(grd_randn(rng, shape), hidden, -INFINITY));
        const solution a = solve(&p, &(grd_sdpa_options){ .mask = { .additive = bias } });
        grd_tensor *finite = grd_require_grad(grd_masked_fill(grd_detach(bias), hidden, 5));
        const grd_mask both = { .additive = finite, .ignore = hidden };
        const solution b = solve(&p, &(grd_sdpa_options){ .mask = both });
        cr_assert(same(&a, &b));
        cr_assert(grd_equal(grd_tensor_grad(bias), grd_tensor_grad(finite)));
        cr_assert(all_zero(grd_masked_fill(grd_tensor_grad(bias), grd_logical_not(hidden), 0)));
    }
}

/* ---- Together ---- */

enum { PARTS = 5 };
/* Parts of one mask, which may all be given. */
static void parts_of(const problem_size *s, grd_mask parts[PARTS])
{
    const grd_shape pairs = GRD_SHAPE(s->heads, s->queries, s->keys);
    const grd_shape rows = GRD_SHAPE(s->batch, 1, s->queries, s->keys);
    const int64_t lengths[] = { s->keys - 1, s->keys / 2 };
    parts[0] = (grd_mask){ .attend = grd_lt_scalar(grd_rand(rng, pairs), 0.7) };
    parts[1] = (grd_mask){ .ignore = grd_lt_scalar(grd_rand(rng, rows), 0.2) };
    parts[2] =
        (grd_mask){ .key_ignore = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(s->batch, s->keys)), 0.2) };
    parts[3] = (grd_mask){ .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT };
    parts[4] = (grd_mask){ .key_lengths = grd_from_i64(lengths, 2, GRD_SHAPE(2)) };
}

EACH_PATH(attention_masks, compose)
{
    for (int i = 0; i < SIZES; i++) {
        const problem p = problem_of(sizes[i]);
        grd_mask parts[PARTS], all = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT };
        const grd_tensor *both = NULL;
        parts_of(&sizes[i], parts);
        for (int j = 0; j < PARTS; j++) {
            const grd_sdpa_options one = { .mask = parts[j], .weights = GRD_PER_HEAD };
            const grd_tensor *seen = grd_gt_scalar(solve(&p, &one).a.weights, 0);
            both = both ? grd_logical_and(both, seen) : seen;
        }
        all.attend = parts[0].attend;
        all.ignore = parts[1].ignore;
        all.key_ignore = parts[2].key_ignore;
        all.key_lengths = parts[4].key_lengths;
        const solution a = solve(&p, &(grd_sdpa_options){ .mask = all });
        const solution b = solve(&p, &(grd_sdpa_options){ .mask = { .attend = both } });
        cr_assert(i ? all_near(&a, &b) : same(&a, &b), "size %d", i);
    }
}
