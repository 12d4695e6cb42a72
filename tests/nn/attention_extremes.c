/* Scaled dot product attention: large numbers, small sums, and narrow types. */
#include "tests/nn/attention_problem.h"

#include <math.h>

static const problem_size common = { 2, 3, 3, 5, 5, 4, 3 };

/* With a scale of 1e4 softmax is a choice of the largest score, whose value comes out. */
EACH_PATH(attention_extremes, large_scales_choose)
{
    static const double scales[] = { 1e4, -1e4, 0 };
    const problem p = problem_of(common);
    for (int i = 0; i < 3; i++) {
        const solution s = solve(&p, &(grd_sdpa_options){ .scale = GRD_SET(scales[i]) });
        cr_assert(all_finite(s.a.output) && all_finite(s.dq) && all_finite(s.dk));
        const grd_tensor *scores =
            grd_mul_scalar(grd_matmul(p.q, grd_transpose(p.k, -1, -2)), scales[i]);
        const grd_tensor *best = grd_argmax(scores, -1);
        const grd_tensor *chosen = grd_cast(grd_one_hot(best, 5), path->dtype);
        if (scales[i] != 0) {
            cr_assert(near(s.a.output, grd_matmul(chosen, p.v)));
            cr_assert(near(s.dv, grd_matmul(grd_transpose(chosen, -1, -2), p.dy)));
            cr_assert(near(s.dq, grd_zeros_like(s.dq)) && near(s.dk, grd_zeros_like(s.dk)));
        } else
            cr_assert(near(s.a.output, grd_expand(grd_mean_dims(p.v, GRD_DIMS(-2), GRD_KEEP_DIMS),
                                                  grd_tensor_shape(s.a.output))));
    }
}

/* exp(-88.7) is where f32's exponential ends: a sum below it is as good as any other. */
EACH_PATH(attention_extremes, small_sums_are_no_zeros)
{
    static const double shifts[] = { -95, -200, -1e4 };
    const problem p = problem_of(common);
    const solution plain = solve(&p, &(grd_sdpa_options){ .mask = { .causal = true } });
    for (int i = 0; i < 3; i++) {
        const grd_tensor *shift = grd_full(GRD_SHAPE(1, 5), shifts[i]);
        const grd_mask mask = { .causal = true, .additive = shift };
        const solution s = solve(&p, &(grd_sdpa_options){ .mask = mask, .logsumexp = true });
        cr_assert_lt(grd_item(grd_max(s.a.logsumexp)), -88.7);
        cr_assert(grd_allclose(s.a.output, plain.a.output, 2e-3, 2e-3), "a shift changes nothing");
        cr_assert(grd_allclose(s.dq, plain.dq, 2e-3, 2e-3));
        cr_assert(grd_allclose(s.dv, plain.dv, 2e-3, 2e-3));
    }
}

/* Scores that overflow f32's exponential by far, up and down. */
EACH_PATH(attention_extremes, large_scores_do_not_overflow)
{
    problem p = problem_of(common);
    p.q = grd_mul_scalar(p.q, 1e9);
    p.k = grd_mul_scalar(p.k, 1e9);
    const solution s = solve(&p, &(grd_sdpa_options){ .mask = { .causal = true } });
    cr_assert(all_finite(s.a.output) && all_finite(s.dq) && all_finite(s.dk) && all_finite(s.dv));
    const grd_tensor *first = grd_slice(s.a.output, 2, 0, 1, 1);
    cr_assert(near(first, grd_slice(p.v, 2, 0, 1, 1)), "the first query sees one key");
}

/* ---- Narrow types ---- */

static grd_tensor *filled(grd_dtype dtype, double value)
{
    return grd_cast(grd_full(GRD_SHAPE(1, 2, 6, 64), value), dtype);
}

/* Products of large numbers: all keys are alike, so the output is the value, exactly. */
Test(attention_extremes, equal_values_of_narrow_types_come_out_exactly)
{
    static const struct {
        grd_dtype dtype;
        double value;
    } rows[] = { { GRD_F16, 256 }, { GRD_BF16, 133120 }, { GRD_F16, 1 }, { GRD_BF16, 1e15 } };
    grd_scope *scope = grd_scope_begin();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int causal = 0; causal < 2; causal++) {
            grd_tensor *q = grd_require_grad(filled(rows[i].dtype, rows[i].value));
            const grd_sdpa_options options = { .mask = { .causal = causal } };
            const grd_tensor *y = grd_sdpa(q, q, q, &options).output;
            cr_assert_eq(grd_tensor_dtype(y), rows[i].dtype);
            cr_assert(grd_equal(y, grd_detach(q)), "row %d: %g", (int)i,
                      grd_item_at(y, GRD_DIMS(0, 0, 3, 0)));
            cr_assert_eq(grd_backward(grd_sum(y)), GRD_OK, "%s", grd_error_message());
            cr_assert(all_finite(grd_tensor_grad(q)), "row %d", (int)i);
        }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* |x - truth|, of which the largest, relative to 1 + max |truth|. */
static double distance(const grd_tensor *x, const grd_tensor *truth)
{
    const double off = grd_item(grd_max(grd_abs(grd_sub(grd_cast(x, GRD_F64), truth))));
    return off / (1 + grd_item(grd_max(grd_abs(truth))));
}

static void check_narrow(grd_dtype dtype, double allowed, const grd_sdpa_options *options)
{
    rng = grd_rng_create(3);
    const problem random = problem_of((problem_size){ 2, 4, 2, 33, 33, 16, 8 });
    const problem p = { grd_cast(random.q, dtype), grd_cast(random.k, dtype),
                        grd_cast(random.v, dtype), grd_cast(random.dy, dtype) };
    const problem wide = { grd_cast(p.q, GRD_F64), grd_cast(p.k, GRD_F64), grd_cast(p.v, GRD_F64),
                           grd_cast(p.dy, GRD_F64) };
    const solution a = solve(&p, options), b = solve(&wide, options);
    cr_assert_eq(grd_tensor_dtype(a.a.output), dtype);
    cr_assert_eq(grd_tensor_dtype(a.dk), dtype);
    cr_assert_leq(distance(a.a.output, b.a.output), allowed);
    cr_assert_leq(distance(a.a.weights, b.a.weights), allowed);
    cr_assert_leq(distance(a.dq, b.dq), 2 * allowed);
    cr_assert_leq(distance(a.dk, b.dk), 2 * allowed);
    cr_assert_leq(distance(a.dv, b.dv), 2 * allowed);
}

Test(attention_extremes, narrow_types_round_and_no_more)
{
    grd_scope *scope = grd_scope_begin();
    path = &attention_paths[1];
    const grd_tensor *hidden = grd_from_i64((int64_t[]){ 20, 0 }, 2, GRD_SHAPE(2));
    const grd_sdpa_options options[] = {
        { .weights = GRD_PER_HEAD },
        { .weights = GRD_PER_HEAD, .mask = { .causal = true, .key_lengths = hidden } },
        { .weights = GRD_AVERAGED, .softcap = 2, .scale = GRD_SET(-0.5) },
    };
    for (int i = 0; i < 3; i++) {
        check_narrow(GRD_F16, 2e-3, &options[i]);
        check_narrow(GRD_BF16, 1.6e-2, &options[i]);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* An additive mask of a narrow type gets a gradient of that type: that of the rounded problem. */
Test(attention_extremes, masks_of_narrow_types_get_gradients)
{
    static const grd_dtype dtypes[] = { GRD_F16, GRD_BF16, GRD_F64 };
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    rng = grd_rng_create(5);
    const problem p = problem_of(common);
    const grd_tensor *random = grd_randn(rng, GRD_SHAPE(3, 1, 5)), *gradient[3];
    for (int i = 0; i < 3; i++) {
        const grd_tensor *x[] = { grd_cast(p.q, dtypes[i]), grd_cast(p.k, dtypes[i]),
                                  grd_cast(p.v, dtypes[i]), grd_cast(p.dy, dtypes[i]) };
        grd_tensor *bias = grd_require_grad(grd_detach(grd_cast(random, dtypes[i])));
        const grd_sdpa_options options = { .mask = { .additive = bias } };
        const grd_tensor *y = grd_sdpa(x[0], x[1], x[2], &options).output;
        grd_backward_with(y, &(grd_backward_options){ .gradient = x[3] });
        cr_assert_eq(grd_tensor_dtype(grd_tensor_grad(bias)), dtypes[i], "%s", grd_error_message());
        gradient[i] = grd_tensor_grad(bias);
    }
    cr_assert_leq(distance(gradient[0], gradient[2]), 4e-3);
    cr_assert_leq(distance(gradient[1], gradient[2]), 3e-2);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
