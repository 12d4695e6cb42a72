/* Scaled dot product attention: its results, and what holds for every input. */
#include "tests/fake_device.h"
#include "tests/nn/attention_problem.h"

#include <math.h>

enum { B = 2, H = 3, L = 5, S = 5, D = 4, E = 3 };
static const problem_size common = { B, H, H, L, S, D, E };
static const problem_size grouped = { B, 2 * H, H, L, S, D, E };

/* ---- Asking for results ---- */

static const grd_sdpa_options asked[] = {
    { .weights = GRD_AVERAGED },
    { .weights = GRD_PER_HEAD },
    { .logsumexp = true },
    { .dropped_weights = true },
    { .weights = GRD_PER_HEAD, .dropped_weights = true, .logsumexp = true },
};

EACH_PATH(attention_outputs, asking_for_them_changes_nothing)
{
    const problem p = problem_of(common);
    for (int drops = 0; drops < 2; drops++)
        for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
            grd_sdpa_options plain = { .mask = { .causal = true } }, options = asked[i];
            options.mask.causal = true;
            plain.dropout = options.dropout = 0.4 * drops;
            plain.rng = grd_rng_create(3);
            options.rng = grd_rng_create(3);
            const solution one = solve(&p, &plain), two = solve(&p, &options);
            cr_assert(same(&one, &two), "asked for %d, dropout %d", (int)i, drops);
            cr_assert_eq(two.a.weights != NULL, options.weights != GRD_NO_WEIGHTS);
            cr_assert_eq(two.a.dropped_weights != NULL, options.dropped_weights);
            cr_assert_eq(two.a.logsumexp != NULL, options.logsumexp);
        }
}

EACH_PATH(attention_outputs, belong_together)
{
    const problem p = problem_of(common);
    const grd_sdpa_options options = { .weights = GRD_PER_HEAD,
                                       .dropped_weights = true,
                                       .logsumexp = true,
                                       .dropout = 0.5,
                                       .rng = rng };
    const grd_attention a = solve(&p, &options).a;
    const grd_tensor *scores =
        grd_mul_scalar(grd_matmul(p.q, grd_transpose(p.k, -1, -2)), 1 / sqrt(D));
    cr_assert(near(a.logsumexp, grd_logsumexp(scores, -1, GRD_DROP_DIMS)));
    cr_assert(near(a.weights, grd_softmax(scores, -1)), "before dropout");
    cr_assert(near(a.output, grd_matmul(a.dropped_weights, p.v)), "after dropout");
    const grd_tensor *sums = grd_sum_dims(a.weights, GRD_DIMS(-1), GRD_DROP_DIMS);
    cr_assert(near(sums, grd_ones_like(sums)), "rows sum to 1 although values are dropped");

    grd_sdpa_options averaged = options;
    averaged.weights = GRD_AVERAGED;
    const grd_attention mean = grd_sdpa(p.q, p.k, p.v, &averaged);
    cr_assert(near(mean.weights, grd_mean_dims(a.weights, GRD_DIMS(1), GRD_DROP_DIMS)));
    cr_assert_eq(grd_tensor_rank(mean.dropped_weights), 3);
}

EACH_PATH(attention_outputs, of_rows_sum_to_one)
{
    const problem p = problem_of((problem_size){ 2, 4, 2, 33, 70, 8, 3 });
    const grd_sdpa_options options = {
        .mask = { .causal = true,
                  .align = GRD_ALIGN_BOTTOM_RIGHT,
                  .attend = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(2, 1, 33, 70)), 0.7) },
        .softcap = 3,
        .weights = GRD_PER_HEAD,
    };
    const grd_tensor *w = solve(&p, &options).a.weights;
    const grd_tensor *sums = grd_sum_dims(w, GRD_DIMS(-1), GRD_DROP_DIMS);
    cr_assert(near(sums, grd_ones_like(sums)));
    cr_assert_geq(grd_item(grd_min(w)), 0);
}

/* The output of the mode that records is that of the one that does not. */
EACH_PATH(attention_outputs, are_the_same_without_gradients)
{
    const problem p = problem_of(grouped);
    for (int drops = 0; drops < 2; drops++) {
        grd_sdpa_options options = { .mask = { .causal = true }, .dropout = 0.3 * drops };
        options.rng = grd_rng_create(8);
        const solution recorded = solve(&p, &options);
        options.rng = grd_rng_create(8);
        options = of_path(&options);
        grd_scope *inner = grd_scope_begin_no_grad();
        const grd_tensor *y = grd_sdpa(p.q, p.k, p.v, &options).output;
        cr_assert(grd_equal(y, recorded.a.output) && !grd_tensor_requires_grad(y));
        cr_assert_eq(grd_scope_end(inner), GRD_OK);
    }
}

/* ---- Sizes ---- */

EACH_PATH(attention_outputs, have_any_leading_sizes)
{
    const problem p = problem_of(common);
    grd_sdpa_options options = { .mask = { .causal = true }, .weights = GRD_AVERAGED };
    options = of_path(&options);
    const grd_attention whole = grd_sdpa(p.q, p.k, p.v, &options);
    const grd_tensor *q = grd_reshape(p.q, GRD_SHAPE(1, B, 1, H, L, D));
    const grd_tensor *k = grd_reshape(p.k, GRD_SHAPE(1, B, 1, H, S, D));
    const grd_tensor *v = grd_reshape(p.v, GRD_SHAPE(1, B, 1, H, S, E));
    const grd_attention wide = grd_sdpa(q, k, v, &options);
    cr_assert(near(grd_reshape(wide.output, GRD_SHAPE(B, H, L, E)), whole.output));
    cr_assert_eq(grd_tensor_rank(wide.weights), 5);
    for (int b = 0; b < B; b++) {
        const grd_attention one =
            grd_sdpa(grd_select(p.q, 0, b), grd_select(p.k, 0, b), grd_select(p.v, 0, b), &options);
        cr_assert(grd_equal(one.output, grd_select(whole.output, 0, b)));
        cr_assert(grd_equal(one.weights, grd_select(whole.weights, 0, b)));
    }
}

/* x of one sample, as a batch of one. */
static grd_tensor *sample(const grd_tensor *x, int64_t at)
{
    return grd_slice(x, 0, at, at + 1, 1);
}

/* A sample's output and gradients have the same bits alone as among others. */
EACH_PATH(attention_outputs, of_a_sample_do_not_depend_on_the_others)
{
    const problem p = problem_of((problem_size){ 3, 4, 2, 33, 70, 16, 8 });
    const int64_t lengths[] = { 70, 1, 0 };
    const grd_tensor *all = grd_from_i64(lengths, 3, GRD_SHAPE(3));
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT, .key_lengths = all };
    const solution whole = solve(&p, &(grd_sdpa_options){ .mask = mask });
    for (int64_t b = 0; b < 3; b++) {
        const problem one = { sample(p.q, b), sample(p.k, b), sample(p.v, b), sample(p.dy, b) };
        grd_sdpa_options options = { .mask = mask };
        options.mask.key_lengths = grd_from_i64(&lengths[b], 1, GRD_SHAPE(1));
        const solution alone = solve(&one, &options);
        const solution among = { { .output = sample(whole.a.output, b) },
                                 sample(whole.dq, b),
                                 sample(whole.dk, b),
                                 sample(whole.dv, b) };
        cr_assert(same(&alone, &among), "sample %d", (int)b);
    }
}

EACH_PATH(attention_outputs, of_empty_inputs_are_empty_or_zero)
{
    const problem unasked = problem_of((problem_size){ 1, 2, 2, 0, 4, 3, 5 });
    const solution none = solve(&unasked, NULL);
    cr_assert_eq(grd_tensor_count(none.a.output), 0);
    cr_assert(all_zero(none.dk) && all_zero(none.dv), "nobody asked");
    const problem blind = problem_of((problem_size){ 1, 2, 2, 4, 0, 3, 0 + 5 });
    const grd_sdpa_options asked_all = { .weights = GRD_PER_HEAD, .logsumexp = true };
    const solution zero = solve(&blind, &asked_all);
    cr_assert(all_zero(zero.a.output) && grd_tensor_count(zero.a.output) == 40);
    cr_assert_eq(grd_item_at(zero.a.logsumexp, GRD_DIMS(0, 1, 2)), -INFINITY);
    cr_assert(all_zero(zero.dq), "nothing was seen");
    const grd_attention flat =
        grd_sdpa(grd_ones(GRD_SHAPE(1, 1, 2, 0)), grd_ones(GRD_SHAPE(1, 1, 4, 0)),
                 grd_ones(GRD_SHAPE(1, 1, 4, 1)), NULL);
    cr_assert_eq(grd_item_at(flat.output, GRD_DIMS(0, 0, 1, 0)), 1, "equal weights");
}

/* ---- Properties ---- */

EACH_PATH(attention_outputs, of_values_of_one_are_one)
{
    static const problem_size sizes[] = { { B, H, H, L, S, D, E }, { 1, 2, 1, 70, 129, 20, 9 } };
    for (int i = 0; i < 2; i++) {
        problem p = problem_of(sizes[i]);
        p.v = grd_ones_like(p.v);
        const grd_mask mask = { .causal = true, .align = GRD_ALIGN_TOP_LEFT };
        const solution s = solve(&p, &(grd_sdpa_options){ .mask = mask, .softcap = 2. * i });
        cr_assert(near(s.a.output, grd_ones_like(s.a.output)));
        const grd_tensor *size = grd_max(grd_abs(s.dq));
        cr_assert_lt(grd_item(size), path->dtype == GRD_F64 ? 1e-13 : 1e-5, "constant in q");
    }
}

EACH_PATH(attention_outputs, do_not_depend_on_the_order_of_keys)
{
    const problem p = problem_of(grouped);
    const grd_tensor *order = grd_from_i64((int64_t[]){ 3, 0, 4, 1, 2 }, S, GRD_SHAPE(S));
    const grd_tensor *bias = grd_randn(rng, GRD_SHAPE(2 * H, L, S));
    const grd_tensor *hidden = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(B, S)), 0.3);
    problem shuffled = p;
    shuffled.k = grd_index_select(p.k, 2, order);
    shuffled.v = grd_index_select(p.v, 2, order);
    for (int masked = 0; masked < 2; masked++) {
        grd_sdpa_options plain = { .softcap = 4 }, turned = plain;
        if (masked) {
            plain.mask = (grd_mask){ .additive = bias, .key_ignore = hidden };
            turned.mask = (grd_mask){ .additive = grd_index_select(bias, 2, order),
                                      .key_ignore = grd_index_select(hidden, 1, order) };
        }
        const solution a = solve(&p, &plain), b = solve(&shuffled, &turned);
        cr_assert(near(a.a.output, b.a.output) && near(a.dq, b.dq));
        cr_assert(near(grd_index_select(a.dk, 2, order), b.dk));
        cr_assert(near(grd_index_select(a.dv, 2, order), b.dv));
    }
}

/* ---- Groups of query heads ---- */

/* The gradient of keys that were repeated, of which query heads in groups of 2 share one. */
static grd_tensor *summed(const grd_tensor *dx)
{
    const int64_t keys = grd_tensor_size(dx, 2), n = grd_tensor_size(dx, 3);
    const grd_tensor *apart = grd_reshape(dx, GRD_SHAPE(B, H, 2, keys, n));
    return grd_sum_dims(apart, GRD_DIMS(2), GRD_DROP_DIMS);
}

EACH_PATH(attention_outputs, of_groups_of_heads_equal_those_of_repeated_keys)
{
    static const problem_size sizes[] = { { B, 2 * H, H, L, S, D, E },
                                          { B, 2 * H, H, 17, 100, 8, 16 } };
    for (int i = 0; i < 2; i++) {
        const problem p = problem_of(sizes[i]);
        const grd_tensor *repeat = grd_from_i64((int64_t[]){ 0, 0, 1, 1, 2, 2 }, 6, GRD_SHAPE(6));
        problem repeated = p;
        repeated.k = grd_index_select(p.k, 1, repeat);
        repeated.v = grd_index_select(p.v, 1, repeat);
        const grd_tensor *bias = grd_randn(rng, GRD_SHAPE(2 * H, 1, sizes[i].keys));
        const grd_mask mask = { .causal = true, .align = GRD_ALIGN_TOP_LEFT, .additive = bias };
        const grd_sdpa_options options = { .mask = mask,
                                           .weights = GRD_PER_HEAD,
                                           .logsumexp = true };
        const solution a = solve(&p, &options), b = solve(&repeated, &options);
        cr_assert(near(a.a.output, b.a.output) && near(a.a.weights, b.a.weights));
        cr_assert(near(a.a.logsumexp, b.a.logsumexp) && near(a.dq, b.dq));
        cr_assert(near(a.dk, summed(b.dk)) && near(a.dv, summed(b.dv)));
    }
}

/* ---- Devices ---- */

Test(attention_outputs, touch_no_memory_but_through_the_device)
{
    grd_scope *inner =
        grd_scope_begin_with(&(grd_scope_options){ .device = fake_device(), .dtype = GRD_F64 });
    path = &attention_paths[3];
    rng = grd_rng_create(11);
    const problem p = problem_of(grouped);
    const grd_mask mask = { .causal = true,
                            .attend = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(L, S)), -1),
                            .key_lengths = grd_from_i64((int64_t[]){ 4, 2 }, B, GRD_SHAPE(B)),
                            .additive = grd_randn(rng, GRD_SHAPE(2 * H, 1, S)) };
    const grd_sdpa_options options = { .mask = mask,
                                       .softcap = 5,
                                       .dropout = 0.2,
                                       .rng = rng,
                                       .weights = GRD_AVERAGED,
                                       .logsumexp = true };
    const solution s = solve(&p, &options);
    cr_assert(s.dq && s.dk && s.dv);
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}
