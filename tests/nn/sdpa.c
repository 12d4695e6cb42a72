/* Scaled dot product attention: what holds for every input. */
#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { B = 2, H = 3, L = 5, S = 5, D = 4, E = 3 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(11);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(sdpa, .init = begin, .fini = end);

/* ---- What the tests share ---- */

/* Inputs as leaves, and a gradient to send back. */
typedef struct problem {
    grd_tensor *q, *k, *v, *dy;
} problem;

/* What comes out of one: results, and gradients of the inputs. */
typedef struct solution {
    grd_attention a;
    const grd_tensor *dq, *dk, *dv;
} solution;

static problem problem_of(int64_t heads, int64_t queries, int64_t keys)
{
    return (problem){ grd_randn(rng, GRD_SHAPE(B, heads, queries, D)),
                      grd_randn(rng, GRD_SHAPE(B, H, keys, D)),
                      grd_randn(rng, GRD_SHAPE(B, H, keys, E)),
                      grd_randn(rng, GRD_SHAPE(B, heads, queries, E)) };
}

static solution solve(const problem *p, const grd_sdpa_options *options)
{
    grd_tensor *x[] = { grd_require_grad(grd_detach(p->q)), grd_require_grad(grd_detach(p->k)),
                        grd_require_grad(grd_detach(p->v)) };
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], options);
    grd_backward_with(a.output, &(grd_backward_options){ .gradient = p->dy });
    cr_assert(a.output, "%s", grd_error_message());
    return (solution){ a, grd_tensor_grad(x[0]), grd_tensor_grad(x[1]), grd_tensor_grad(x[2]) };
}

static bool same(const solution *a, const solution *b)
{
    return grd_equal(a->a.output, b->a.output) && grd_equal(a->dq, b->dq) &&
           grd_equal(a->dk, b->dk) && grd_equal(a->dv, b->dv);
}

static bool near(const grd_tensor *a, const grd_tensor *b)
{
    return grd_allclose(a, b, 1e-5, 1e-6);
}

static bool all_finite(const grd_tensor *x)
{
    const grd_tensor *every = grd_all_dims(grd_isfinite(x), (grd_dims){ 0 }, GRD_DROP_DIMS);
    return grd_item(grd_cast(every, GRD_F32)) == 1;
}

static bool all_zero(const grd_tensor *x)
{
    return all_finite(x) && grd_item(grd_max(grd_abs(x))) == 0;
}

/* x [B, heads, rows, n] with `value` written over row `at` of sample 0. */
static grd_tensor *with_row(const grd_tensor *x, int64_t at, double value)
{
    grd_tensor *copy = grd_clone(x);
    grd_fill_(grd_select(grd_select(copy, 0, 0), 1, at), value);
    return copy;
}

static grd_tensor *bools(const bool *values, int64_t count, grd_shape shape)
{
    return grd_from_bool(values, count, shape);
}

/* ---- Outputs ---- */

static const grd_sdpa_options asked[] = {
    { .weights = GRD_AVERAGED },
    { .weights = GRD_PER_HEAD },
    { .logsumexp = true },
    { .dropped_weights = true },
    { .weights = GRD_PER_HEAD, .dropped_weights = true, .logsumexp = true },
};

Test(sdpa, asking_for_outputs_changes_nothing)
{
    const problem p = problem_of(H, L, S);
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

Test(sdpa, outputs_belong_together)
{
    const problem p = problem_of(H, L, S);
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

Test(sdpa, takes_any_leading_sizes)
{
    const problem p = problem_of(H, L, S);
    const grd_sdpa_options options = { .mask = { .causal = true }, .weights = GRD_AVERAGED };
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
        cr_assert(grd_equal(one.output, grd_select(whole.output, 0, b)), "samples are independent");
        cr_assert(grd_equal(one.weights, grd_select(whole.weights, 0, b)));
    }
}

Test(sdpa, empty_inputs_give_empty_or_zero)
{
    const grd_attention none =
        grd_sdpa(grd_ones(GRD_SHAPE(1, 2, 0, 3)), grd_ones(GRD_SHAPE(1, 2, 4, 3)),
                 grd_ones(GRD_SHAPE(1, 2, 4, 5)), NULL);
    cr_assert_eq(grd_tensor_count(none.output), 0);
    const grd_sdpa_options asked_all = { .weights = GRD_PER_HEAD, .logsumexp = true };
    const grd_attention blind =
        grd_sdpa(grd_ones(GRD_SHAPE(1, 2, 4, 3)), grd_ones(GRD_SHAPE(1, 2, 0, 3)),
                 grd_ones(GRD_SHAPE(1, 2, 0, 5)), &asked_all);
    cr_assert(all_zero(blind.output) && grd_tensor_count(blind.output) == 40);
    cr_assert_eq(grd_item_at(blind.logsumexp, GRD_DIMS(0, 1, 2)), -INFINITY);
    const grd_attention flat =
        grd_sdpa(grd_ones(GRD_SHAPE(1, 1, 2, 0)), grd_ones(GRD_SHAPE(1, 1, 4, 0)),
                 grd_ones(GRD_SHAPE(1, 1, 4, 1)), NULL);
    cr_assert_eq(grd_item_at(flat.output, GRD_DIMS(0, 0, 1, 0)), 1, "equal weights");
}

Test(sdpa, values_of_one_give_one)
{
    problem p = problem_of(H, L, S);
    p.v = grd_ones_like(p.v);
    const grd_tensor *y = solve(&p, &(grd_sdpa_options){ .mask = { .causal = true } }).a.output;
    cr_assert(near(y, grd_ones_like(y)));
}

Test(sdpa, the_order_of_keys_does_not_matter)
{
    const problem p = problem_of(H, L, S);
    const grd_tensor *order = grd_from_i64((int64_t[]){ 3, 0, 4, 1, 2 }, S, GRD_SHAPE(S));
    problem shuffled = p;
    shuffled.k = grd_index_select(p.k, 2, order);
    shuffled.v = grd_index_select(p.v, 2, order);
    const solution a = solve(&p, NULL), b = solve(&shuffled, NULL);
    cr_assert(near(a.a.output, b.a.output) && near(a.dq, b.dq));
    cr_assert(near(grd_index_select(a.dk, 2, order), b.dk));
}

/* Against the definition in public ops, over sizes that kernels cut up in different ways. */
Test(sdpa, agrees_with_its_definition_at_all_sizes)
{
    static const int64_t lengths[] = { 1, 2, 15, 16, 17, 63, 64, 65, 127, 129, 143, 192 };
    static const int64_t sizes[] = { 1, 8, 16, 21, 64, 72, 128, 203 };
    for (int i = 0; i < 12; i++) {
        grd_scope *inner = grd_scope_begin();
        const int64_t n = lengths[i], m = lengths[11 - i], d = sizes[i % 8];
        const grd_tensor *q = grd_randn(rng, GRD_SHAPE(1, 2, n, d));
        const grd_tensor *k = grd_randn(rng, GRD_SHAPE(1, 2, m, d));
        const grd_tensor *v = grd_randn(rng, GRD_SHAPE(1, 2, m, 3));
        const grd_tensor *scores =
            grd_div_scalar(grd_matmul(q, grd_transpose(k, -1, -2)), sqrt((double)d));
        const grd_tensor *hidden = grd_cast(grd_triu(grd_ones(GRD_SHAPE(n, m)), 1), GRD_BOOL);
        const grd_tensor *weights = grd_softmax(grd_masked_fill(scores, hidden, -INFINITY), -1);
        const grd_sdpa_options options = { .mask = { .causal = true,
                                                     .align = GRD_ALIGN_TOP_LEFT } };
        cr_assert(near(grd_sdpa(q, k, v, &options).output, grd_matmul(weights, v)), "%d x %d x %d",
                  (int)n, (int)m, (int)d);
        cr_assert_eq(grd_scope_end(inner), GRD_OK);
    }
}

Test(sdpa, extremes_stay_finite)
{
    const problem p = problem_of(H, L, S);
    static const double scales[] = { 1e4, -1e4, 0 };
    for (int i = 0; i < 3; i++) {
        const solution s = solve(&p, &(grd_sdpa_options){ .scale = GRD_SET(scales[i]) });
        cr_assert(all_finite(s.a.output) && all_finite(s.dq) && all_finite(s.dk));
    }
    const grd_sdpa_options low = {
        .mask = { .causal = true, .additive = grd_full(GRD_SHAPE(1, S), -200) }, .logsumexp = true
    };
    const solution s = solve(&p, &low);
    cr_assert_lt(grd_item(grd_max(s.a.logsumexp)), -150);
    const solution plain = solve(&p, &(grd_sdpa_options){ .mask = { .causal = true } });
    cr_assert(grd_allclose(s.a.output, plain.a.output, 1e-3, 1e-3), "a shift changes nothing");
}

/* ---- Groups of query heads ---- */

Test(sdpa, groups_of_heads_equal_repeated_keys)
{
    enum { G = 2 };
    const problem p = problem_of(G * H, L, S);
    const grd_tensor *repeat = grd_from_i64((int64_t[]){ 0, 0, 1, 1, 2, 2 }, 6, GRD_SHAPE(6));
    problem repeated = p;
    repeated.k = grd_index_select(p.k, 1, repeat);
    repeated.v = grd_index_select(p.v, 1, repeat);
    const grd_tensor *bias = grd_randn(rng, GRD_SHAPE(G * H, 1, S));
    const grd_sdpa_options options = { .mask = { .causal = true, .additive = bias },
                                       .weights = GRD_PER_HEAD,
                                       .logsumexp = true };
    const solution a = solve(&p, &options), b = solve(&repeated, &options);
    cr_assert(near(a.a.output, b.a.output) && near(a.a.weights, b.a.weights));
    cr_assert(near(a.a.logsumexp, b.a.logsumexp) && near(a.dq, b.dq));
    const grd_shape apart = GRD_SHAPE(B, H, G, S, D), values = GRD_SHAPE(B, H, G, S, E);
    cr_assert(near(a.dk, grd_sum_dims(grd_reshape(b.dk, apart), GRD_DIMS(2), GRD_DROP_DIMS)));
    cr_assert(near(a.dv, grd_sum_dims(grd_reshape(b.dv, values), GRD_DIMS(2), GRD_DROP_DIMS)));
}

/* ---- Dropout ---- */

Test(sdpa, dropout_repeats_and_keeps_the_mean)
{
    const grd_tensor *q = grd_zeros(GRD_SHAPE(8, 4, 32, 2));
    const grd_tensor *k = grd_zeros(GRD_SHAPE(8, 4, 50, 2)), *v = grd_ones(GRD_SHAPE(8, 4, 50, 1));
    const double p = 0.3, n = 8 * 4 * 32 * 50;
    grd_sdpa_options options = {
        .dropout = p, .rng = grd_rng_create(5), .weights = GRD_PER_HEAD, .dropped_weights = true
    };
    const grd_attention a = grd_sdpa(q, k, v, &options);
    const double kept = grd_item(grd_mean(grd_cast(grd_gt_scalar(a.dropped_weights, 0), GRD_F32)));
    cr_assert_float_eq(kept, 1 - p, 4 * sqrt(p * (1 - p) / n), "%g kept", kept);
    cr_assert_float_eq(grd_item(grd_mean(a.output)), 1, 0.01);
    options.rng = grd_rng_create(5);
    cr_assert(grd_equal(a.output, grd_sdpa(q, k, v, &options).output), "the same seed");
    cr_assert_not(grd_equal(a.output, grd_sdpa(q, k, v, &options).output), "the stream goes on");
}

/* A gradient that used another mask than forward would not be this: y is linear in v. */
Test(sdpa, backward_drops_what_forward_dropped)
{
    const problem p = problem_of(H, L, S);
    const grd_sdpa_options options = { .dropout = 0.5, .rng = rng, .dropped_weights = true };
    const solution s = solve(&p, &options);
    const grd_tensor *wanted = grd_matmul(grd_transpose(s.a.dropped_weights, -1, -2), p.dy);
    cr_assert(near(s.dv, wanted));
}

/* ---- What is hidden ---- */

/* Keys 3 and 4 of sample 0 are hidden, by each part of a mask that can say so. */
static int ways_to_hide(grd_mask masks[8])
{
    const bool hidden[] = { 0, 0, 0, 1, 1, 0, 0, 0, 0, 0 };
    const bool shown[] = { 1, 1, 1, 0, 0, 1, 1, 1, 1, 1 };
    const float added[] = { 0, 0, 0, -INFINITY, -INFINITY, 0, 0, 0, 0, 0 };
    const grd_shape wide = GRD_SHAPE(B, 1, 1, S);
    masks[0] = (grd_mask){ .key_ignore = bools(hidden, B * S, GRD_SHAPE(B, S)) };
    masks[1] = (grd_mask){ .key_lengths = grd_from_i64((int64_t[]){ 3, 5 }, B, GRD_SHAPE(B)) };
    masks[2] = (grd_mask){ .ignore = bools(hidden, B * S, wide) };
    masks[3] = (grd_mask){ .attend = bools(shown, B * S, wide) };
    masks[4] = (grd_mask){ .additive = grd_from_f32(added, B * S, wide) };
    masks[5] = (grd_mask){ .additive = grd_from_f32(added, B * S, wide), .causal = true };
    return 6;
}

Test(sdpa, what_is_hidden_reaches_nothing)
{
    static const double values[] = { 1e3, NAN, INFINITY, -INFINITY };
    grd_mask masks[8];
    const problem p = problem_of(H, L, S);
    const int ways = ways_to_hide(masks);
    for (int i = 0; i < ways; i++)
        for (int cap = 0; cap < 2; cap++)
            for (int j = 0; j < 4; j++) {
                const grd_sdpa_options options = { .mask = masks[i], .softcap = 3 * cap };
                problem other = p;
                other.k = with_row(p.k, 3, values[j]);
                other.v = with_row(p.v, 4, values[j]);
                const solution a = solve(&p, &options), b = solve(&other, &options);
                cr_assert(same(&a, &b), "way %d, %g", i, values[j]);
                cr_assert(all_zero(grd_slice(grd_select(b.dk, 0, 0), 1, 3, 5, 1)));
                cr_assert(all_zero(grd_slice(grd_select(b.dv, 0, 0), 1, 3, 5, 1)));
            }
}

Test(sdpa, a_nan_reaches_those_who_see_it_and_no_others)
{
    const problem p = problem_of(H, L, S);
    const grd_sdpa_options causal = { .mask = { .causal = true }, .weights = GRD_PER_HEAD };
    const solution clean = solve(&p, &causal);
    for (int at = 0; at < 3; at++) {
        problem other = p;
        grd_tensor **changed[] = { &other.q, &other.k, &other.v };
        *changed[at] = with_row(*changed[at], 3, NAN);
        const grd_tensor *y = solve(&other, &causal).a.output;
        const grd_tensor *rows = grd_select(y, 0, 0), *before = grd_slice(rows, 1, 0, 3, 1);
        const solution after_all = solve(&other, &causal);
        cr_assert(grd_equal(before, grd_slice(grd_select(clean.a.output, 0, 0), 1, 0, 3, 1)));
        cr_assert(grd_equal(grd_slice(grd_select(after_all.dq, 0, 0), 1, 0, 3, 1),
                            grd_slice(grd_select(clean.dq, 0, 0), 1, 0, 3, 1)));
        cr_assert(grd_equal(grd_select(after_all.dk, 0, 1), grd_select(clean.dk, 0, 1)));
        const grd_tensor *row = grd_select(rows, 1, 3), *after = grd_select(rows, 1, 4);
        cr_assert(isnan(grd_item(grd_sum(row))), "input %d", at);
        cr_assert_eq(isnan(grd_item(grd_sum(after))), at != 0, "input %d", at);
        cr_assert(grd_equal(grd_select(y, 0, 1), grd_select(clean.a.output, 0, 1)));
    }
    problem other = p;
    other.k = with_row(p.k, 3, NAN);
    const grd_tensor *weights = solve(&other, &causal).a.weights;
    cr_assert_eq(grd_item_at(weights, GRD_DIMS(0, 0, 3, 4)), 0, "hidden, in a row that is NaN");
}

/* A query that sees nothing, and whose gradient is NaN, leaves the others alone. */
Test(sdpa, a_blind_query_reaches_nothing)
{
    const bool blind[] = { 0, 0, 1, 0, 0 };
    problem p = problem_of(H, L, S);
    const grd_sdpa_options options = { .mask = { .ignore = bools(blind, L, GRD_SHAPE(L, 1)) } };
    const solution a = solve(&p, &options);
    p.q = with_row(p.q, 2, NAN);
    p.dy = with_row(p.dy, 2, NAN);
    const solution b = solve(&p, &options);
    cr_assert(same(&a, &b));
}

/* Which rows of [B, H, L, 1] are blind: one row, a head, a sample, all. */
static const grd_tensor *blindness(int which)
{
    bool blind[B * H * L] = { false };
    for (int i = 0; i < B * H * L; i++)
        blind[i] = which == 0   ? i == 7
                   : which == 1 ? i / L == 1
                   : which == 2 ? i / L / H == 1
                                : true;
    return bools(blind, B * H * L, GRD_SHAPE(B, H, L, 1));
}

Test(sdpa, rows_that_see_nothing_are_zero)
{
    const problem p = problem_of(H, L, S);
    for (int which = 0; which < 4; which++)
        for (int more = 0; more < 4; more++) {
            const grd_tensor *blind = blindness(which);
            const grd_sdpa_options options = {
                .mask = { .ignore = blind, .causal = more & 1 },
                .dropout = more & 2 ? 0.5 : 0,
                .rng = rng,
                .softcap = more == 3 ? 2 : 0,
                .weights = GRD_PER_HEAD,
                .dropped_weights = true,
                .logsumexp = true,
            };
            const solution s = solve(&p, &options);
            const grd_tensor *rows = grd_cast(blind, GRD_F32);
            cr_assert(all_zero(grd_mul(s.a.output, rows)) && all_zero(grd_mul(s.dq, rows)));
            cr_assert(all_zero(grd_mul(s.a.weights, rows)));
            cr_assert(all_zero(grd_mul(s.a.dropped_weights, rows)));
            cr_assert(all_finite(s.dk) && all_finite(s.dv));
            const grd_tensor *lse = grd_unsqueeze(s.a.logsumexp, -1);
            cr_assert(grd_equal(grd_eq_scalar(lse, -INFINITY), blind));
            if (which == 3)
                cr_assert(all_zero(s.dk) && all_zero(s.dv) && all_zero(s.a.output));
        }
}

/* The second derivative of rows that see nothing is 0 too, and never NaN. */
Test(sdpa, rows_that_see_nothing_have_zero_second_derivatives)
{
    const problem p = problem_of(H, L, S);
    grd_tensor *q = grd_require_grad(p.q), *k = grd_require_grad(p.k), *first, *second[2];
    const grd_sdpa_options options = { .mask = { .ignore = blindness(3) }, .softcap = 2 };
    const grd_tensor *y = grd_sdpa(q, k, p.v, &options).output;
    const grd_tensor *loss = grd_sum(grd_mul(y, p.dy));
    grd_grad(GRD_LIST(loss), GRD_LIST(q), &(grd_grad_options){ .create_graph = true }, &first);
    const grd_tensor *square = grd_sum(grd_square(first));
    grd_grad(GRD_LIST(square), GRD_LIST(q, k), NULL, second);
    cr_assert(all_zero(second[0]) && all_zero(second[1]), "%s", grd_error_message());
}

/* ---- Where the diagonal lies ---- */

static bool expected(const grd_mask *mask, int64_t i, int64_t j, int64_t queries, int64_t keys,
                     int64_t length)
{
    const int64_t starts[] = { 0, 0, keys - queries, length - queries, mask->offset };
    const int64_t place = j - i - starts[mask->align];
    return (!mask->causal || place <= 0) &&
           (!mask->window_left.set || place >= -mask->window_left.value) &&
           (!mask->window_right.set || place <= mask->window_right.value) && j < length;
}

/* Whether the weights of L queries over S keys are positive exactly where the mask says. */
static void check_band(grd_mask mask, int64_t queries, int64_t keys, int64_t length)
{
    grd_scope *inner = grd_scope_begin();
    mask.key_lengths = grd_from_i64(&length, 1, GRD_SHAPE(1));
    const grd_sdpa_options options = { .mask = mask, .weights = GRD_AVERAGED };
    const grd_tensor *weights =
        grd_sdpa(grd_ones(GRD_SHAPE(1, 1, queries, 2)), grd_ones(GRD_SHAPE(1, 1, keys, 2)),
                 grd_ones(GRD_SHAPE(1, 1, keys, 2)), &options)
            .weights;
    for (int64_t i = 0; i < queries; i++)
        for (int64_t j = 0; j < keys; j++)
            cr_assert_eq(grd_item_at(weights, GRD_DIMS(0, i, j)) > 0,
                         expected(&mask, i, j, queries, keys, length),
                         "%d x %d, length %d, align %d, query %d, key %d", (int)queries, (int)keys,
                         (int)length, (int)mask.align, (int)i, (int)j);
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}

Test(sdpa, bands_lie_where_they_are_stated)
{
    static const int64_t sizes[][3] = { { 2, 5, 4 }, { 5, 2, 2 }, { 1, 6, 3 }, { 4, 4, 2 } };
    static const grd_mask bands[] = {
        { .causal = true },
        { .window_left = GRD_SET(1) },
        { .window_right = GRD_SET(0) },
        { .window_left = GRD_SET(2), .window_right = GRD_SET(1) },
        { .causal = true, .window_left = GRD_SET(0), .window_right = GRD_SET(3) },
        { .window_left = GRD_SET(INT64_MAX), .window_right = GRD_SET(INT64_MAX) },
    };
    static const int64_t offsets[] = { 0, 3, -2, INT64_MAX, INT64_MIN };
    for (int s = 0; s < 4; s++)
        for (int b = 0; b < 6; b++)
            for (int align = GRD_ALIGN_TOP_LEFT; align <= GRD_ALIGN_OFFSET; align++)
                for (int o = 0; o < (align == GRD_ALIGN_OFFSET && b < 2 ? 3 : 1); o++) {
                    grd_mask mask = bands[b];
                    mask.align = (grd_align)align;
                    mask.offset = align == GRD_ALIGN_OFFSET ? offsets[o] : 0;
                    check_band(mask, sizes[s][0], sizes[s][1], sizes[s][2]);
                }
}

Test(sdpa, an_offset_far_away_overflows_nothing)
{
    static const int64_t far[] = { INT64_MAX, INT64_MIN };
    for (int i = 0; i < 2; i++) {
        const grd_mask mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = far[i] };
        const problem p = problem_of(H, L, S);
        const grd_tensor *y = solve(&p, &(grd_sdpa_options){ .mask = mask }).a.output;
        cr_assert_eq(all_zero(y), i == 1);
    }
}

/* ---- Masks of every shape ---- */

Test(sdpa, masks_broadcast_and_may_be_views)
{
    const problem p = problem_of(H, L, S);
    for (int bits = 0; bits < 16; bits++) {
        grd_scope *inner = grd_scope_begin();
        const grd_shape shape =
            GRD_SHAPE(bits & 8 ? B : 1, bits & 4 ? H : 1, bits & 2 ? L : 1, bits & 1 ? S : 1);
        grd_tensor *bias = grd_require_grad(grd_randn(rng, shape));
        grd_tensor *whole =
            grd_require_grad(grd_contiguous(grd_expand(grd_detach(bias), GRD_SHAPE(B, H, L, S))));
        const solution a = solve(&p, &(grd_sdpa_options){ .mask = { .additive = bias } });
        const solution b = solve(&p, &(grd_sdpa_options){ .mask = { .additive = whole } });
        cr_assert(same(&a, &b), "additive, bits %d", bits);
        grd_dims stretched = { 0 };
        for (int d = 0; d < 4; d++)
            if (!(bits & 8 >> d))
                stretched.dim[stretched.count++] = d;
        const grd_tensor *sum = grd_tensor_grad(whole);
        sum = stretched.count ? grd_sum_dims(sum, stretched, GRD_KEEP_DIMS) : sum;
        cr_assert(near(grd_tensor_grad(bias), sum), "its gradient, bits %d", bits);

        const grd_tensor *seen = grd_gt_scalar(grd_detach(bias), -0.3);
        const grd_tensor *view = grd_transpose(
            grd_contiguous(grd_transpose(grd_expand(seen, GRD_SHAPE(B, H, L, S)), 1, 3)), 1, 3);
        const solution c = solve(&p, &(grd_sdpa_options){ .mask = { .attend = seen } });
        const solution d = solve(&p, &(grd_sdpa_options){ .mask = { .attend = view } });
        cr_assert(same(&c, &d), "attend, bits %d", bits);
        const grd_tensor *hidden = grd_logical_not(seen);
        const solution e = solve(&p, &(grd_sdpa_options){ .mask = { .ignore = hidden } });
        cr_assert(same(&c, &e), "ignore, bits %d", bits);
        cr_assert_eq(grd_scope_end(inner), GRD_OK);
    }
}

Test(sdpa, masks_compose)
{
    const problem p = problem_of(H, L, S);
    const grd_tensor *attend = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(H, L, S)), -0.5);
    const grd_tensor *ignore = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(B, 1, L, S)), 0.8);
    const grd_tensor *keys = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(B, S)), 0.8);
    const grd_mask parts[] = {
        { .attend = attend },
        { .ignore = ignore },
        { .key_ignore = keys },
        { .causal = true },
        { .key_lengths = grd_from_i64((int64_t[]){ 4, 2 }, B, GRD_SHAPE(B)) },
    };
    const grd_tensor *both = NULL;
    for (int i = 0; i < 5; i++) {
        const grd_sdpa_options one = { .mask = parts[i], .weights = GRD_PER_HEAD };
        const grd_tensor *seen = grd_gt_scalar(grd_sdpa(p.q, p.k, p.v, &one).weights, 0);
        both = both ? grd_logical_and(both, seen) : seen;
    }
    const grd_mask all = { .attend = attend,
                           .ignore = ignore,
                           .key_ignore = keys,
                           .causal = true,
                           .key_lengths = parts[4].key_lengths };
    const solution a = solve(&p, &(grd_sdpa_options){ .mask = all });
    const solution b = solve(&p, &(grd_sdpa_options){ .mask = { .attend = both } });
    cr_assert(same(&a, &b));
}

Test(sdpa, a_causal_output_never_depends_on_a_later_token)
{
    const problem p = problem_of(H, L, S);
    const grd_sdpa_options causal = { .mask = { .causal = true } };
    const solution a = solve(&p, &causal);
    problem other = p;
    for (int at = 3; at < 5; at++) {
        other.k = with_row(other.k, at, 7);
        other.v = with_row(other.v, at, -7);
    }
    const solution b = solve(&other, &causal);
    cr_assert(grd_equal(grd_slice(a.a.output, 2, 0, 3, 1), grd_slice(b.a.output, 2, 0, 3, 1)));
    cr_assert(grd_equal(grd_slice(a.dq, 2, 0, 3, 1), grd_slice(b.dq, 2, 0, 3, 1)));
}

/* ---- Devices, types ---- */

Test(sdpa, touches_no_memory_but_through_the_device)
{
    grd_scope *inner =
        grd_scope_begin_with(&(grd_scope_options){ .device = fake_device(), .dtype = GRD_F64 });
    const problem p = problem_of(2 * H, L, S);
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
