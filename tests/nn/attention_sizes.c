/* Scaled dot product attention against its definition in other ops, in f64, at lengths and head
 * sizes that kernels cut up in every way. */
#include "tests/nn/attention_problem.h"

#include <math.h>

typedef struct shape {
    int64_t queries, keys, size, value_size;
} shape;

/* Every length meets itself or another, and every head size occurs. */
static const shape shapes[] = {
    { 1, 1, 1, 1 },       { 1, 704, 64, 64 },   { 704, 1, 8, 16 },     { 63, 63, 16, 21 },
    { 64, 64, 64, 64 },   { 65, 65, 21, 16 },   { 63, 65, 72, 8 },     { 127, 129, 96, 96 },
    { 128, 128, 128, 1 }, { 129, 127, 1, 128 }, { 143, 192, 203, 72 }, { 192, 143, 256, 203 },
    { 192, 192, 8, 256 }, { 587, 64, 64, 72 },  { 64, 587, 16, 96 },   { 587, 587, 21, 64 },
    { 704, 143, 96, 8 },  { 128, 704, 72, 21 }, { 704, 704, 64, 64 },  { 65, 1, 128, 256 },
    { 2, 15, 256, 1 },    { 17, 16, 3, 128 },
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static const grd_mask masks[] = {
    { .causal = false },
    { .causal = true, .align = GRD_ALIGN_TOP_LEFT },
    { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
    { .window_left = GRD_SET(20), .window_right = GRD_SET(9), .align = GRD_ALIGN_TOP_LEFT },
};

/* The definition: scores, -inf where hidden, softmax, product; 0 for rows that see nothing. */
static solution define(const problem *p, const grd_mask *mask)
{
    grd_tensor *x[] = { grd_require_grad(grd_cast(p->q, GRD_F64)),
                        grd_require_grad(grd_cast(p->k, GRD_F64)),
                        grd_require_grad(grd_cast(p->v, GRD_F64)) };
    const double scale = 1 / sqrt((double)grd_tensor_size(p->q, -1));
    const grd_tensor *scores = grd_mul_scalar(grd_matmul(x[0], grd_transpose(x[1], -1, -2)), scale);
    const grd_tensor *seen = grd_mask_visible(mask, grd_tensor_shape(scores));
    const grd_tensor *some = grd_any_dims(seen, GRD_DIMS(-1), GRD_KEEP_DIMS);
    const grd_tensor *open = grd_logical_or(seen, grd_logical_not(some));
    const grd_tensor *weights =
        grd_mul(grd_softmax(grd_masked_fill(scores, grd_logical_not(open), -INFINITY), -1),
                grd_cast(some, GRD_F64));
    grd_tensor *y = grd_matmul(weights, x[2]);
    const grd_tensor *dy = grd_cast(p->dy, GRD_F64);
    grd_backward_with(y, &(grd_backward_options){ .gradient = dy });
    return (solution){
        { .output = y }, grd_tensor_grad(x[0]), grd_tensor_grad(x[1]), grd_tensor_grad(x[2])
    };
}

/* PyTorch's own tolerances for a fused kernel in f32; of a sum over hundreds of rows, relative to
 * its largest element. */
static void expect_near(const grd_tensor *x, const grd_tensor *truth, const char *name,
                        const shape *s, int mask)
{
    const bool wide = path->dtype == GRD_F64;
    const double rtol = wide ? 1e-13 : 5.25e-6, atol = wide ? 1e-13 : 1.25e-5;
    const double off = grd_item(grd_max(grd_abs(grd_sub(grd_cast(x, GRD_F64), truth))));
    cr_assert(off <= atol + rtol * grd_item(grd_max(grd_abs(truth))),
              "%s: %s of %d x %d, head sizes %d and %d, mask %d: %g off", path->name, name,
              (int)s->queries, (int)s->keys, (int)s->size, (int)s->value_size, mask, off);
}

static void check(const shape *s, int mask)
{
    grd_scope *inner = grd_scope_begin();
    const problem p =
        problem_of((problem_size){ 1, 2, 2, s->queries, s->keys, s->size, s->value_size });
    const solution wanted = define(&p, &masks[mask]);
    const solution found = solve(&p, &(grd_sdpa_options){ .mask = masks[mask] });
    expect_near(found.a.output, wanted.a.output, "output", s, mask);
    expect_near(found.dq, wanted.dq, "dquery", s, mask);
    expect_near(found.dk, wanted.dk, "dkey", s, mask);
    expect_near(found.dv, wanted.dv, "dvalue", s, mask);
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}

EACH_PATH(attention_sizes, all_agree_with_the_definition)
{
    for (int i = 0; i < SHAPES; i++) {
        check(&shapes[i], i % 4);
        check(&shapes[i], (i + 1 + i / 4 % 3) % 4);
    }
}
