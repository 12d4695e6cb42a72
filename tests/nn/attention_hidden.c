/* Scaled dot product attention: what is hidden reaches nothing, and rows that see nothing are 0. */
#include "tests/nn/attention_problem.h"

#include <math.h>

enum { B = 2, H = 3, L = 5, S = 5, D = 4, E = 3 };
static const problem_size common = { B, H, H, L, S, D, E };

static grd_tensor *bools(const bool *values, int64_t count, grd_shape shape)
{
    return grd_from_bool(values, count, shape);
}

/* ---- Hidden keys ---- */

/* Keys 3 and 4 of sample 0 are hidden, by each part of a mask that can say so. */
enum { WAYS = 8 };
static void ways_to_hide(grd_mask masks[WAYS])
{
    const bool hidden[] = { 0, 0, 0, 1, 1, 0, 0, 0, 0, 0 };
    const bool shown[] = { 1, 1, 1, 0, 0, 1, 1, 1, 1, 1 };
    const double added[] = { 0, 0, 0, -INFINITY, -INFINITY, 0, 0, 0, 0, 0 };
    const grd_shape wide = GRD_SHAPE(B, 1, 1, S);
    const grd_tensor *lengths = grd_from_i64((int64_t[]){ 3, 5 }, B, GRD_SHAPE(B));
    const grd_tensor *additive = grd_cast(grd_from_f64(added, B * S, wide), path->dtype);
    masks[0] = (grd_mask){ .key_ignore = bools(hidden, B * S, GRD_SHAPE(B, S)) };
    masks[1] = (grd_mask){ .key_lengths = lengths };
    masks[2] = (grd_mask){ .ignore = bools(hidden, B * S, wide) };
    masks[3] = (grd_mask){ .attend = bools(shown, B * S, wide) };
    masks[4] = (grd_mask){ .additive = additive };
    masks[5] = (grd_mask){ .additive = additive, .causal = true };
    masks[6] = (grd_mask){ .key_lengths = lengths, .causal = true, .window_left = GRD_SET(3) };
    masks[7] = (grd_mask){ .ignore = masks[2].ignore, .attend = masks[3].attend, .causal = true };
}

static const grd_tensor *hidden_rows(const grd_tensor *x)
{
    return grd_slice(grd_select(x, 0, 0), 1, 3, 5, 1);
}

EACH_PATH(attention_hidden, keys_and_values_reach_nothing)
{
    static const double values[] = { 1e3, NAN, INFINITY, -INFINITY };
    grd_mask masks[WAYS];
    const problem p = problem_of(common);
    ways_to_hide(masks);
    for (int i = 0; i < WAYS; i++)
        for (int cap = 0; cap < 2; cap++)
            for (int j = 0; j < 4; j++) {
                const grd_sdpa_options options = { .mask = masks[i], .softcap = 3 * cap };
                problem other = p;
                other.k = with_row(p.k, 3, values[j]);
                other.v = with_row(p.v, 4, values[j]);
                const solution a = solve(&p, &options), b = solve(&other, &options);
                cr_assert(same(&a, &b), "way %d, %g", i, values[j]);
                cr_assert(all_zero(hidden_rows(b.dk)) && all_zero(hidden_rows(b.dv)));
            }
}

/* All that is hidden, ten times as large, at a size that fills blocks: the same bits. */
EACH_PATH(attention_hidden, keys_times_ten_change_no_bit)
{
    const problem p = problem_of((problem_size){ 2, 4, 2, 70, 130, 16, 8 });
    const grd_tensor *hidden = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(2, 130)), 0.4);
    const grd_tensor *rows = grd_reshape(hidden, GRD_SHAPE(2, 1, 130, 1));
    const problem other = { p.q, grd_where(rows, grd_mul_scalar(p.k, 10), p.k),
                            grd_where(rows, grd_mul_scalar(p.v, 10), p.v), p.dy };
    const grd_mask masks[] = {
        { .key_ignore = hidden },
        { .ignore = grd_reshape(hidden, GRD_SHAPE(2, 1, 1, 130)) },
        { .attend = grd_logical_not(grd_reshape(hidden, GRD_SHAPE(2, 1, 1, 130))) },
    };
    for (int i = 0; i < 3; i++)
        for (int drops = 0; drops < 2; drops++) {
            grd_sdpa_options options = { .mask = masks[i], .dropout = 0.3 * drops };
            options.rng = grd_rng_create(2);
            const solution a = solve(&p, &options);
            options.rng = grd_rng_create(2);
            const solution b = solve(&other, &options);
            cr_assert(same(&a, &b), "way %d", i);
        }
}

/* Rows 0 to 2 of sample 0. */
static grd_tensor *first_rows(const grd_tensor *x)
{
    return grd_slice(grd_select(x, 0, 0), 1, 0, 3, 1);
}

EACH_PATH(attention_hidden, a_nan_reaches_those_who_see_it_and_no_others)
{
    const problem p = problem_of(common);
    const grd_sdpa_options causal = { .mask = { .causal = true }, .weights = GRD_PER_HEAD };
    const solution clean = solve(&p, &causal);
    for (int at = 0; at < 3; at++) {
        problem other = p;
        grd_tensor **changed[] = { &other.q, &other.k, &other.v };
        *changed[at] = with_row(*changed[at], 3, NAN);
        const solution s = solve(&other, &causal);
        const grd_tensor *y = s.a.output, *rows = grd_select(y, 0, 0);
        cr_assert(grd_equal(first_rows(y), first_rows(clean.a.output)));
        cr_assert(grd_equal(first_rows(s.dq), first_rows(clean.dq)));
        cr_assert(grd_equal(grd_select(s.dk, 0, 1), grd_select(clean.dk, 0, 1)));
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

/* The gradients of a NaN that is seen are NaN as well, where they read it. */
EACH_PATH(attention_hidden, a_nan_that_is_seen_stays_in_gradients)
{
    problem p = problem_of(common);
    p.q = with_row(p.q, 3, NAN);
    const solution s = solve(&p, &(grd_sdpa_options){ .mask = { .causal = true } });
    const grd_tensor *dk = grd_select(s.dk, 0, 0);
    cr_assert(isnan(grd_item(grd_sum(grd_select(grd_select(s.dq, 0, 0), 1, 3)))));
    cr_assert(isnan(grd_item(grd_sum(grd_select(dk, 1, 3)))));
    cr_assert(all_finite(grd_select(dk, 1, 4)), "query 3 does not see key 4");
    cr_assert(all_finite(grd_select(s.dk, 0, 1)) && all_finite(grd_select(s.dq, 0, 1)));
}

/* ---- Rows that see nothing ---- */

/* A query that sees nothing, and whose gradient is NaN, leaves the others alone. */
EACH_PATH(attention_hidden, a_blind_query_reaches_nothing)
{
    const bool blind[] = { 0, 0, 1, 0, 0 };
    problem p = problem_of(common);
    const grd_sdpa_options options = { .mask = { .ignore = bools(blind, L, GRD_SHAPE(L, 1)) } };
    const solution a = solve(&p, &options);
    p.q = with_row(p.q, 2, NAN);
    p.dy = with_row(p.dy, 2, NAN);
    const solution b = solve(&p, &options);
    cr_assert(same(&a, &b));
}

/* Which rows of (B, H, L, 1) are blind: one row, a head, a sample, all. */
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

static void expect_blind(const solution *s, const grd_tensor *blind)
{
    const grd_tensor *rows = grd_cast(blind, path->dtype);
    cr_assert(all_zero(grd_mul(s->a.output, rows)) && all_zero(grd_mul(s->dq, rows)));
    cr_assert(all_zero(grd_mul(s->a.weights, rows)));
    cr_assert(all_zero(grd_mul(s->a.dropped_weights, rows)));
    cr_assert(all_finite(s->dk) && all_finite(s->dv));
    const grd_tensor *lse = grd_unsqueeze(s->a.logsumexp, -1);
    cr_assert(grd_equal(grd_eq_scalar(lse, -INFINITY), blind));
}

EACH_PATH(attention_hidden, a_row_a_head_a_sample_and_all_are_zero)
{
    const problem p = problem_of(common);
    for (int which = 0; which < 4; which++)
        for (int more = 0; more < 4; more++) {
            const grd_tensor *blind = blindness(which);
            grd_scope *inner = grd_scope_begin();
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
            expect_blind(&s, blind);
            if (which == 3)
                cr_assert(all_zero(s.dk) && all_zero(s.dv) && all_zero(s.a.output));
            const int64_t rows[] = { 1, L, H * L, B * H * L };
            cr_assert_eq(grd_masked_rows(inner), rows[which], "are counted");
            cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
        }
}

/* The same without another output asked for, and said by an additive mask or by lengths. */
EACH_PATH(attention_hidden, rows_are_zero_whichever_mask_says_so)
{
    const problem p = problem_of(common);
    const grd_shape one = GRD_SHAPE(1);
    grd_tensor *never = grd_require_grad(grd_full(one, -INFINITY));
    const grd_mask masks[] = {
        { .key_lengths = grd_from_i64((int64_t[]){ 0, 0 }, B, GRD_SHAPE(B)), .causal = true },
        { .key_ignore = grd_cast(grd_ones(GRD_SHAPE(B, S)), GRD_BOOL) },
        { .additive = grd_detach(never) },
        { .additive = never },
        { .attend = grd_from_bool((bool[]){ false }, 1, one), .causal = true },
        { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = -L },
    };
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        const grd_sdpa_options options = { .mask = masks[i], .dropout = 0.5, .rng = rng };
        const solution s = solve(&p, &options);
        cr_assert(all_zero(s.a.output) && all_zero(s.dq) && all_zero(s.dk) && all_zero(s.dv),
                  "mask %d", (int)i);
    }
    cr_assert(all_zero(grd_tensor_grad(never)), "and so is the mask's gradient");
}

/* The second derivative of rows that see nothing is 0 too, and never NaN. */
EACH_PATH(attention_hidden, rows_have_zero_second_derivatives)
{
    const problem p = problem_of(common);
    grd_tensor *q = grd_require_grad(p.q), *k = grd_require_grad(p.k), *first, *second[2];
    grd_sdpa_options options = { .mask = { .ignore = blindness(3) }, .softcap = 2 };
    options = of_path(&options);
    const grd_tensor *y = grd_sdpa(q, k, p.v, &options).output;
    const grd_tensor *loss = grd_sum(grd_mul(y, p.dy));
    grd_grad(GRD_LIST(loss), GRD_LIST(q), &(grd_grad_options){ .create_graph = true }, &first);
    const grd_tensor *square = grd_sum(grd_square(first));
    grd_grad(GRD_LIST(square), GRD_LIST(q, k), NULL, second);
    cr_assert(all_zero(second[0]) && all_zero(second[1]), "%s", grd_error_message());
}
