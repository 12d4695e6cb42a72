/* Scaled dot product attention: where the diagonal lies, for causal masks and windows. */
#include "tests/nn/attention_problem.h"

#include <math.h>
#include <string.h>

enum { B = 2, H = 3, L = 5, S = 5, D = 4, E = 3 };
static const problem_size common = { B, H, H, L, S, D, E };

/* ---- Pictures, a row a query, x where it sees the key ---- */

typedef struct picture {
    grd_mask mask;
    int64_t queries, keys;
    const char *rows;
} picture;

static const picture pictures[] = {
    { { .causal = true, .align = GRD_ALIGN_TOP_LEFT },
      2,
      5,
      "x...."
      "xx..." },
    { { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
      2,
      5,
      "xxxx."
      "xxxxx" },
    { { .causal = true, .align = GRD_ALIGN_TOP_LEFT },
      5,
      2,
      "x."
      "xx"
      "xx"
      "xx"
      "xx" },
    { { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
      5,
      2,
      ".."
      ".."
      ".."
      "x."
      "xx" },
    { { .causal = true, .align = GRD_ALIGN_TOP_LEFT }, 1, 4, "x..." },
    { { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT }, 1, 4, "xxxx" },
    { { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = 2 },
      2,
      5,
      "xxx.."
      "xxxx." },
    { { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = -1 },
      3,
      3,
      "..."
      "x.."
      "xx." },
    { { .window_left = GRD_SET(1), .window_right = GRD_SET(0) },
      4,
      4,
      "x..."
      "xx.."
      ".xx."
      "..xx" },
    { { .window_left = GRD_SET(0), .window_right = GRD_SET(1) },
      3,
      3,
      "xx."
      ".xx"
      "..x" },
    { { .window_left = GRD_SET(1), .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
      2,
      5,
      "..xx."
      "...xx" },
    { { .causal = true, .align = GRD_ALIGN_UNSTATED },
      3,
      3,
      "x.."
      "xx."
      "xxx" },
};

/* Keys are all alike, so a row's weights are equal where it sees and 0 elsewhere. */
static void check_picture(const picture *p, int number)
{
    const grd_shape q = GRD_SHAPE(1, 1, p->queries, 2), k = GRD_SHAPE(1, 1, p->keys, 2);
    grd_sdpa_options options = { .mask = p->mask, .weights = GRD_PER_HEAD };
    options = of_path(&options);
    /* With the identity as values the output is the weights. */
    const grd_tensor *v = grd_reshape(grd_eye(p->keys), GRD_SHAPE(1, 1, p->keys, p->keys));
    const grd_attention a = grd_sdpa(grd_ones(q), grd_ones(k), v, &options);
    for (int64_t i = 0; i < p->queries; i++) {
        const char *row = p->rows + i * p->keys;
        int64_t seen = 0;
        for (int64_t j = 0; j < p->keys; j++)
            seen += row[j] == 'x';
        for (int64_t j = 0; j < p->keys; j++) {
            const double wanted = row[j] == 'x' ? 1. / (double)seen : 0;
            const grd_dims at = GRD_DIMS(0, 0, i, j);
            cr_assert_float_eq(grd_item_at(a.weights, at), wanted, 1e-6, "picture %d", number);
            cr_assert_float_eq(grd_item_at(a.output, at), wanted, 1e-6, "picture %d", number);
        }
    }
}

EACH_PATH(attention_bands, are_these)
{
    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++)
        check_picture(&pictures[i], (int)i);
}

/* ---- The rule ---- */

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

EACH_PATH(attention_bands, lie_where_they_are_stated)
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
    static const int64_t offsets[] = { 0, 3, -2 };
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

EACH_PATH(attention_bands, far_away_overflow_nothing)
{
    static const int64_t far[] = { INT64_MAX, INT64_MIN };
    for (int i = 0; i < 2; i++) {
        const grd_mask mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = far[i] };
        const problem p = problem_of(common);
        const grd_tensor *y = solve(&p, &(grd_sdpa_options){ .mask = mask }).a.output;
        cr_assert_eq(all_zero(y), i == 1);
    }
}

/* ---- Causality ---- */

/* What comes at `at` and later is changed: outputs and gradients of earlier queries keep their
 * bits. */
static void check_blind_to_later(problem_size size, int64_t at, double softcap)
{
    const problem p = problem_of(size);
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_TOP_LEFT };
    const grd_sdpa_options causal = { .mask = mask, .softcap = softcap };
    const solution a = solve(&p, &causal);
    problem other = p;
    other.k = grd_clone(p.k);
    other.v = grd_clone(p.v);
    grd_fill_(grd_slice(other.k, 2, at, GRD_END, 1), 7);
    grd_fill_(grd_slice(other.v, 2, at, GRD_END, 1), -7);
    const solution b = solve(&other, &causal);
    cr_assert(grd_equal(grd_slice(a.a.output, 2, 0, at, 1), grd_slice(b.a.output, 2, 0, at, 1)));
    cr_assert(grd_equal(grd_slice(a.dq, 2, 0, at, 1), grd_slice(b.dq, 2, 0, at, 1)));
    cr_assert_not(grd_equal(a.a.output, b.a.output), "later queries do see it");
}

EACH_PATH(attention_bands, a_causal_output_never_depends_on_a_later_token)
{
    for (int64_t at = 1; at < L; at++)
        check_blind_to_later(common, at, 0);
    check_blind_to_later((problem_size){ 2, 4, 2, 130, 130, 20, 9 }, 65, 0);
    check_blind_to_later((problem_size){ 1, 2, 1, 64, 100, 16, 16 }, 33, 2);
}
