/* What weights of heads look like: heads whose scores are known, and the formulas written out. */
#include "tests/counter.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(8);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(head_scores, .init = begin, .fini = end);

static grd_head_scores score(const grd_tensor *weights, const grd_score_options *options)
{
    grd_head_scores scores = { 0 };
    cr_assert_eq(grd_score_heads(weights, options, &scores, 1), GRD_OK, "%s", grd_error_message());
    return scores;
}

static void expect_score(const grd_head_scores *s, grd_pattern pattern, double score,
                         double uniform, int64_t queries)
{
    const grd_pattern_score *p = &s->patterns[pattern];
    const char *name = grd_pattern_name(pattern);
    cr_assert_float_eq(p->score, score, 1e-6, "%s: %g, not %g", name, p->score, score);
    cr_assert_float_eq(p->uniform, uniform, 1e-6, "%s: uniform %g, not %g", name, p->uniform,
                       uniform);
    cr_assert_float_eq(p->lift, score / uniform, 1e-5, "%s: lift %g", name, p->lift);
    cr_assert_eq(p->queries, queries, "%s: %d queries", name, (int)p->queries);
}

static void expect_no_score(const grd_head_scores *s, grd_pattern pattern)
{
    const grd_pattern_score *p = &s->patterns[pattern];
    cr_assert(isnan(p->score) && isnan(p->uniform) && isnan(p->lift) && p->queries == 0, "%s",
              grd_pattern_name(pattern));
}

/* ---- Heads whose scores are known ---- */

/* One head of five tokens, each of which looks at one key alone. */
static grd_tensor *looking_at(const int64_t keys[5])
{
    return grd_cast(grd_one_hot(grd_from_i64(keys, 5, GRD_SHAPE(1, 5)), 5), GRD_F32);
}

static const grd_mask causal = { .causal = true };

Test(head_scores, a_head_that_looks_back_by_one)
{
    const grd_score_options options = { .visible = grd_mask_visible(&causal, GRD_SHAPE(1, 5, 5)) };
    const grd_head_scores s = score(looking_at((int64_t[]){ 0, 0, 1, 2, 3 }), &options);
    expect_score(&s, GRD_PATTERN_PREVIOUS, 1, (1 / 2. + 1 / 3. + 1 / 4. + 1 / 5.) / 4, 4);
    expect_score(&s, GRD_PATTERN_DIAGONAL, 1 / 5., (1 + 1 / 2. + 1 / 3. + 1 / 4. + 1 / 5.) / 5, 5);
    expect_score(&s, GRD_PATTERN_FIRST, 2 / 5., (1 + 1 / 2. + 1 / 3. + 1 / 4. + 1 / 5.) / 5, 5);
    expect_score(&s, GRD_PATTERN_ANTI_DIAGONAL, 0, (1 / 3. + 1 / 4. + 1 / 5.) / 3, 3);
    expect_no_score(&s, GRD_PATTERN_DUPLICATE);
    expect_no_score(&s, GRD_PATTERN_INDUCTION);
    expect_no_score(&s, GRD_PATTERN_OWN);
    cr_assert(s.row_error == 0 && s.masked_weight == 0 && s.entropy == 0);
}

/* The planted mistake: off by one, which every other measure of this head hides. */
Test(head_scores, a_head_that_looks_at_the_wrong_place_scores_nothing)
{
    const grd_score_options options = { .visible = grd_mask_visible(&causal, GRD_SHAPE(1, 5, 5)) };
    const grd_head_scores s = score(looking_at((int64_t[]){ 0, 1, 0, 1, 2 }), &options);
    expect_score(&s, GRD_PATTERN_PREVIOUS, 0, (1 / 2. + 1 / 3. + 1 / 4. + 1 / 5.) / 4, 4);
    cr_assert(s.row_error == 0 && s.masked_weight == 0 && s.entropy == 0);
}

Test(head_scores, weights_that_are_uniform_lift_nothing)
{
    const grd_tensor *visible = grd_mask_visible(&causal, GRD_SHAPE(1, 9, 9));
    const grd_tensor *each = grd_cast(visible, GRD_F64);
    const grd_tensor *weights = grd_div(each, grd_sum_dims(each, GRD_DIMS(-1), GRD_KEEP_DIMS));
    const grd_score_options options = { .visible = visible,
                                        .query_tokens = grd_randint(rng, 0, 3, GRD_SHAPE(9)),
                                        .pattern =
                                            grd_lt_scalar(grd_rand(rng, GRD_SHAPE(9, 9)), 0.5) };
    const grd_head_scores s = score(weights, &options);
    for (int p = 0; p < GRD_NUM_PATTERNS; p++) {
        cr_assert_gt(s.patterns[p].queries, 2);
        cr_assert_float_eq(s.patterns[p].lift, 1, 1e-12, "%s", grd_pattern_name((grd_pattern)p));
    }
    cr_assert_float_eq(s.entropy, 1, 1e-12);
    cr_assert_lt(s.row_error, 1e-12);
}

/* abcab: the second a and b have seen their like, and what came after it. */
Test(head_scores, patterns_by_tokens)
{
    const grd_tensor *tokens = grd_from_i64((int64_t[]){ 0, 1, 2, 0, 1 }, 5, GRD_SHAPE(5));
    const grd_score_options options = { .visible = grd_mask_visible(&causal, GRD_SHAPE(1, 5, 5)),
                                        .query_tokens = tokens };
    grd_head_scores s = score(looking_at((int64_t[]){ 0, 0, 0, 0, 1 }), &options);
    expect_score(&s, GRD_PATTERN_DUPLICATE, 1, (1 / 4. + 1 / 5.) / 2, 2);
    expect_score(&s, GRD_PATTERN_INDUCTION, 0, (1 / 4. + 1 / 5.) / 2, 2);
    s = score(looking_at((int64_t[]){ 0, 0, 0, 1, 2 }), &options);
    expect_score(&s, GRD_PATTERN_DUPLICATE, 0, (1 / 4. + 1 / 5.) / 2, 2);
    expect_score(&s, GRD_PATTERN_INDUCTION, 1, (1 / 4. + 1 / 5.) / 2, 2);
}

Test(head_scores, a_token_after_its_like_is_induced_by_itself)
{
    const grd_tensor *tokens = grd_from_i64((int64_t[]){ 4, 4 }, 2, GRD_SHAPE(2));
    const grd_score_options options = { .query_tokens = tokens };
    const grd_head_scores s =
        score(grd_from_f32((float[]){ 1, 0, 0.25f, 0.75f }, 4, GRD_SHAPE(1, 2, 2)), &options);
    expect_score(&s, GRD_PATTERN_INDUCTION, 0.75, 1 / 2., 1);
    expect_score(&s, GRD_PATTERN_DUPLICATE, 0.25, 1 / 2., 1);
}

Test(head_scores, tokens_of_keys_and_queries_may_differ)
{
    const grd_score_options options = {
        .query_tokens = grd_from_i64((int64_t[]){ 7 }, 1, GRD_SHAPE(1)),
        .key_tokens = grd_from_i64((int64_t[]){ 7, 5, 6 }, 3, GRD_SHAPE(3)),
        .offset = 2,
    };
    const grd_head_scores s =
        score(grd_from_f32((float[]){ 0.125f, 0.25f, 0.625f }, 3, GRD_SHAPE(1, 1, 3)), &options);
    expect_score(&s, GRD_PATTERN_DUPLICATE, 0.125, 1 / 3., 1);
    expect_score(&s, GRD_PATTERN_INDUCTION, 0.25, 1 / 3., 1);
    expect_score(&s, GRD_PATTERN_PREVIOUS, 0.25, 1 / 3., 1);
    expect_score(&s, GRD_PATTERN_DIAGONAL, 0.625, 1 / 3., 1);
    expect_score(&s, GRD_PATTERN_ANTI_DIAGONAL, 0.125, 1 / 3., 1);
}

Test(head_scores, only_queries_that_count_are_scored)
{
    const grd_tensor *weights = grd_stack(GRD_LIST(looking_at((int64_t[]){ 0, 0, 1, 2, 3 }),
                                                   looking_at((int64_t[]){ 4, 4, 4, 4, 4 })),
                                          0);
    const bool counts[] = { false, true, true, false, false, false, false, false, false, true };
    const grd_score_options options = { .queries = grd_from_bool(counts, 10, GRD_SHAPE(2, 5)) };
    const grd_head_scores s = score(weights, &options);
    expect_score(&s, GRD_PATTERN_PREVIOUS, 2 / 3., 1 / 5., 3);
    expect_score(&s, GRD_PATTERN_DIAGONAL, 1 / 3., 1 / 5., 3);
}

/* ---- Validity ---- */

Test(head_scores, what_is_no_attention_is_told)
{
    const float values[] = { 1, 0, 0, 0.5f, 0.25f, 0, 0.25f, 0.25f, 0.5f };
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = -1 };
    const grd_score_options options = { .visible = grd_mask_visible(&mask, GRD_SHAPE(1, 3, 3)) };
    const grd_head_scores s = score(grd_from_f32(values, 9, GRD_SHAPE(1, 3, 3)), &options);
    cr_assert_eq(s.row_error, 1, "the first sees no key, and still looks: %g", s.row_error);
    cr_assert_eq(s.masked_weight, 1);
    const grd_mask seen = { .causal = true };
    const grd_score_options right = { .visible = grd_mask_visible(&seen, GRD_SHAPE(1, 3, 3)) };
    const grd_head_scores t = score(grd_from_f32(values, 9, GRD_SHAPE(1, 3, 3)), &right);
    cr_assert_eq(t.row_error, 0.25, "%g", t.row_error);
    cr_assert_eq(t.masked_weight, 0);
    const float leak[] = { 1 - 0x1p-20f, 0x1p-20f, 0.5f, 0.5f };
    const grd_score_options two = { .visible = grd_mask_visible(&seen, GRD_SHAPE(1, 2, 2)) };
    cr_assert_eq(score(grd_from_f32(leak, 4, GRD_SHAPE(1, 2, 2)), &two).masked_weight, 0x1p-20,
                 "small leaks too");
}

Test(head_scores, a_query_without_a_key_may_look_at_none)
{
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = -1 };
    const grd_score_options options = { .visible = grd_mask_visible(&mask, GRD_SHAPE(1, 2, 2)) };
    const grd_head_scores s =
        score(grd_from_f32((float[]){ 0, 0, 1, 0 }, 4, GRD_SHAPE(1, 2, 2)), &options);
    cr_assert(s.row_error == 0 && s.masked_weight == 0);
    cr_assert(isnan(s.entropy), "no query sees several keys");
    expect_score(&s, GRD_PATTERN_FIRST, 1, 1, 1);
}

Test(head_scores, nan_shows)
{
    const float values[] = { NAN, 1, 0.5f, 0.5f };
    const grd_score_options options = { .visible = grd_mask_visible(&causal, GRD_SHAPE(1, 2, 2)) };
    grd_head_scores s = score(grd_from_f32(values, 4, GRD_SHAPE(1, 2, 2)), &options);
    cr_assert(isnan(s.row_error) && s.masked_weight == 1);
    s = score(grd_from_f32((float[]){ 1, NAN, 1, 0 }, 4, GRD_SHAPE(1, 2, 2)), &options);
    cr_assert(isnan(s.row_error) && isnan(s.masked_weight));
}

/* ---- The formulas, written out for weights of any numbers ---- */

enum { B = 3, H = 2, L = 6, S = 6 };

typedef struct inputs {
    double a[B][H][L][S];
    bool sees[B][H][L][S], own[B][H][L][S], counts[B][L];
    int64_t x[B][S];
} inputs;

static bool in_pattern(const inputs *in, grd_pattern p, int b, int h, int i, int j)
{
    const int64_t *x = in->x[b];
    switch (p) {
    case GRD_PATTERN_PREVIOUS:
        return j == i - 1;
    case GRD_PATTERN_DIAGONAL:
        return j == i;
    case GRD_PATTERN_FIRST:
        return j == 0;
    case GRD_PATTERN_ANTI_DIAGONAL:
        return i + j == S - 1;
    case GRD_PATTERN_DUPLICATE:
        return j < i && x[j] == x[i];
    case GRD_PATTERN_INDUCTION:
        return j > 0 && j <= i && x[j - 1] == x[i];
    default:
        return in->own[b][h][i][j];
    }
}

/* sum(A P) / sum(A) and sum(U P) / sum(U) over the rows that count. */
static void reference(const inputs *in, grd_pattern p, int h, double *score, double *uniform)
{
    double ap = 0, a = 0, up = 0, u = 0;
    for (int b = 0; b < B; b++)
        for (int i = 0; i < L; i++) {
            double n = 0, row_ap = 0, row_a = 0, row_p = 0;
            for (int j = 0; j < S; j++) {
                const bool sees = in->sees[b][h][i][j], means = in_pattern(in, p, b, h, i, j);
                n += sees;
                row_p += sees && means;
                row_ap += sees && means ? in->a[b][h][i][j] : 0;
                row_a += in->a[b][h][i][j];
            }
            if (!in->counts[b][i] || row_p == 0)
                continue;
            ap += row_ap;
            a += row_a;
            up += row_p / n;
            u += 1;
        }
    *score = ap / a;
    *uniform = up / u;
}

static double reference_entropy(const inputs *in, int h)
{
    double sum = 0, rows = 0;
    for (int b = 0; b < B; b++)
        for (int i = 0; i < L; i++) {
            double n = 0, nats = 0;
            for (int j = 0; j < S; j++) {
                const double a = in->a[b][h][i][j];
                n += in->sees[b][h][i][j];
                nats += a > 0 ? -a * log(a) : 0;
            }
            if (in->counts[b][i] && n > 1) {
                sum += nats / log(n);
                rows++;
            }
        }
    return sum / rows;
}

static double draw(void)
{
    return grd_item(grd_rand(rng, GRD_SCALAR));
}

static void fill(inputs *in)
{
    for (int b = 0; b < B; b++)
        for (int i = 0; i < L; i++) {
            in->x[b][i] = (int64_t)(draw() * 3);
            in->counts[b][i] = draw() < 0.8;
            for (int n = 0; n < H * S; n++) {
                const int h = n / S, j = n % S;
                in->sees[b][h][i][j] = draw() < 0.7;
                in->own[b][h][i][j] = draw() < 0.4;
                in->a[b][h][i][j] = in->sees[b][h][i][j] ? draw() : 0;
            }
        }
}

Test(head_scores, are_the_formulas_of_any_weights)
{
    static inputs in;
    fill(&in);
    const grd_shape all = GRD_SHAPE(B, H, L, S);
    const int64_t count = B * H * L * S;
    const grd_tensor *tokens = grd_from_i64(&in.x[0][0], B * S, GRD_SHAPE(B, S));
    const grd_score_options options = {
        .visible = grd_from_bool(&in.sees[0][0][0][0], count, all),
        .pattern = grd_from_bool(&in.own[0][0][0][0], count, all),
        .queries = grd_from_bool(&in.counts[0][0], B * L, GRD_SHAPE(B, L)),
        .query_tokens = tokens,
    };
    grd_head_scores s[H];
    cr_assert_eq(grd_score_heads(grd_from_f64(&in.a[0][0][0][0], count, all), &options, s, H),
                 GRD_OK, "%s", grd_error_message());
    for (int h = 0; h < H; h++) {
        cr_assert_float_eq(s[h].entropy, reference_entropy(&in, h), 1e-12);
        for (int p = 0; p < GRD_NUM_PATTERNS; p++) {
            double score, uniform;
            reference(&in, (grd_pattern)p, h, &score, &uniform);
            cr_assert_float_eq(s[h].patterns[p].score, score, 1e-12, "%s",
                               grd_pattern_name((grd_pattern)p));
            cr_assert_float_eq(s[h].patterns[p].uniform, uniform, 1e-12, "%s",
                               grd_pattern_name((grd_pattern)p));
        }
    }
    cr_assert_float_neq(s[0].entropy, s[1].entropy, 1e-6, "heads are told apart");
}

Test(head_scores, of_any_type_and_strides)
{
    const grd_tensor *a = grd_softmax(grd_randn(rng, GRD_SHAPE(2, 4, 1, 4)), -1);
    const grd_tensor *turned = grd_transpose(a, 1, 2);
    const grd_head_scores s = score(turned, NULL), t = score(grd_contiguous(turned), NULL);
    cr_assert(s.entropy == t.entropy && s.patterns[0].score == t.patterns[0].score);
    const grd_head_scores half = score(grd_cast(turned, GRD_F16), NULL);
    cr_assert_float_eq(half.entropy, s.entropy, 1e-3);
}

/* ---- Mistakes ---- */

Test(head_scores, names)
{
    cr_assert_str_eq(grd_pattern_name(GRD_PATTERN_ANTI_DIAGONAL), "anti-diagonal");
    for (int p = 0; p < GRD_NUM_PATTERNS; p++)
        cr_assert_not_null(grd_pattern_name((grd_pattern)p));
    cr_assert_null(grd_pattern_name((grd_pattern)GRD_NUM_PATTERNS));
    cr_assert_null(grd_pattern_name((grd_pattern)-1));
}

static void expect_refused(const grd_tensor *weights, const grd_score_options *options,
                           grd_status status, const char *text)
{
    grd_head_scores s[2] = { { .entropy = 7 } };
    cr_assert_eq(grd_score_heads(weights, options, s, 2), status, "%s", grd_error_message());
    expect_error(status, text);
    cr_assert_eq(s[0].entropy, 7, "left as it was");
}

Test(head_scores, mistakes_are_named)
{
    const grd_tensor *w = grd_zeros(GRD_SHAPE(1, 2, 3, 4)), *bools = grd_cast(w, GRD_BOOL);
    const grd_tensor *tokens = grd_arange(0, 3, 1),
                     *wide = grd_cast(grd_zeros(GRD_SHAPE(2, 1, 1, 1)), GRD_BOOL);
    expect_refused(NULL, NULL, GRD_ERROR_ARGUMENT, "score_heads: an argument is NULL");
    cr_assert_eq(grd_score_heads(w, NULL, NULL, 2), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "score_heads: an argument is NULL");
    expect_refused(grd_zeros(GRD_SHAPE(3, 4)), NULL, GRD_ERROR_SHAPE,
                   "score_heads: weights are [3, 4], expected (B, H, L, S) or (H, L, S) (averaged "
                   "ones are of no head: ask for GRD_PER_HEAD)");
    expect_refused(bools, NULL, GRD_ERROR_DTYPE,
                   "score_heads: weights are bool, expected a floating type");
    expect_refused(grd_zeros(GRD_SHAPE(1, 5, 3, 4)), NULL, GRD_ERROR_ARGUMENT,
                   "score_heads: weights [1, 5, 3, 4] have 5 heads, scores has room for 2");
    expect_refused(w, &(grd_score_options){ .visible = w }, GRD_ERROR_DTYPE,
                   "score_heads: visible is f32, expected bool");
    expect_refused(w, &(grd_score_options){ .pattern = wide }, GRD_ERROR_SHAPE,
                   "score_heads: pattern is [2, 1, 1, 1], expected [1, 2, 3, 4] or what broadcasts "
                   "to it");
    expect_refused(
        w, &(grd_score_options){ .queries = bools }, GRD_ERROR_SHAPE,
        "score_heads: queries is [1, 2, 3, 4], expected [1, 3] or what broadcasts to it");
    expect_refused(w, &(grd_score_options){ .query_tokens = tokens }, GRD_ERROR_ARGUMENT,
                   "score_heads: 3 queries and 4 keys: query_tokens are not the keys' (give "
                   "key_tokens too)");
    expect_refused(w, &(grd_score_options){ .key_tokens = tokens }, GRD_ERROR_ARGUMENT,
                   "score_heads: key_tokens without query_tokens: give both");
    expect_refused(w, &(grd_score_options){ .query_tokens = tokens, .key_tokens = tokens },
                   GRD_ERROR_SHAPE,
                   "score_heads: key_tokens is [3], expected [1, 4] or what broadcasts to it");
    expect_refused(w, &(grd_score_options){ .offset = 5 }, GRD_ERROR_ARGUMENT,
                   "score_heads: offset is 5: no query of 3 would stand at a key of 4");
    expect_refused(w, &(grd_score_options){ .offset = INT64_MIN }, GRD_ERROR_ARGUMENT,
                   "offset is -9223372036854775808");
}

Test(head_scores, of_no_heads_and_no_tokens)
{
    cr_assert_eq(grd_score_heads(grd_zeros(GRD_SHAPE(2, 0, 3, 3)), NULL, NULL, 0), GRD_OK, "%s",
                 grd_error_message());
    const grd_head_scores s = score(grd_zeros(GRD_SHAPE(1, 0, 0)), NULL);
    cr_assert(isnan(s.entropy) && s.row_error == 0);
    expect_no_score(&s, GRD_PATTERN_DIAGONAL);
}

static grd_status program(void)
{
    grd_scope *all = grd_scope_begin();
    const grd_tensor *w = grd_ones(GRD_SHAPE(1, 3, 3));
    const grd_score_options options = {
        .visible = grd_mask_visible(&causal, GRD_SHAPE(1, 3, 3)),
        .query_tokens = grd_arange(0, 3, 1),
        .pattern = grd_eq_scalar(w, 1),
        .queries = grd_eq_scalar(grd_arange(0, 3, 1), 1),
    };
    grd_head_scores s;
    const grd_status done = grd_score_heads(w, &options, &s, 1);
    grd_scope_end(all);
    return done;
}

Test(head_scores_memory, every_failed_allocation_is_an_error)
{
    fail_at_every_allocation(program, 15);
}
