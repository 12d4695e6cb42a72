/* The fast loops of attention against the plain ones, at sizes that fill no block, no vector and no
 * tile, and what hidden keys may hold. */
#include "autograd/attention.h"
#include "tensor/cpu/loops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct setting {
    int64_t heads, shared, queries, keys, size, value_size, offset, left, right;
    bool lengths, keep;
    int additive; /* 0: none; else number additive - 1 of `spread` */
    double softcap, dropout;
    int64_t appended;
} setting;

#define FAR INT64_MAX
static const setting settings[] = {
    { 2, 2, 33, 33, 16, 16, 0, FAR, 0, false, false, 0, 0, 0, 0 },
    { 2, 1, 70, 130, 20, 7, 60, 5, 3, false, false, 0, 0, 0, 0 },
    { 1, 1, 5, 2, 64, 64, -3, FAR, 0, false, false, 0, 0, 0, 0 },
    { 2, 2, 130, 300, 64, 64, 0, FAR, FAR, true, false, 0, 0, 0, 0 },
    { 2, 2, 129, 257, 72, 100, 0, 40, 0, true, true, 1, 0, 0, 0 },
    { 1, 1, 64, 64, 203, 256, -10, FAR, 0, false, false, 2, 0, 0, 0 },
    { 1, 1, 1, 150, 1, 1, 149, FAR, 0, false, true, 0, 0, 0, 0 },
    { 1, 1, 40, 40, 300, 8, 0, FAR, 0, false, false, 0, 0, 0, 0 },
    { 2, 1, 70, 130, 24, 40, 60, FAR, 0, true, false, 3, 3, 0, 0 },
    { 2, 2, 67, 201, 16, 16, 3, 90, 0, true, true, 0, 0, 0.3, 0 },
    { 2, 1, 33, 150, 64, 64, 0, FAR, 0, true, true, 4, 0, 0, 2 },
    { 2, 1, 131, 299, 20, 12, 5, 70, 3, true, true, 1, 4, 0.6, 1 },
    { 2, 2, 140, 70, 16, 16, 0, FAR, 0, true, false, 5, 0, 0.2, 0 },
    { 2, 1, 140, 140, 16, 24, 0, FAR, 0, false, true, 6, 2, 0, 1 },
};
enum { MOST = 1 << 17, SETTINGS = sizeof settings / sizeof settings[0] };

static grd_device device_with(const char *set)
{
    grd_device device = *grd_cpu();
    device.state = (void *)grdi_choose_loops(set);
    return device;
}

static bool no_forward(const grdi_head *head, int64_t first, int64_t last, void *output,
                       int64_t output_row, double *logsumexp)
{
    return !head && !output && !logsumexp && first > last && output_row > 0;
}

static bool no_backward(const grdi_head *head, const grdi_head_gradient *gradient)
{
    return !head && !gradient;
}

static bool no_additive(const grdi_head *head, const grdi_head_gradient *gradient, int64_t first,
                        int64_t last)
{
    return !head && !gradient && first > last;
}

/* A device whose loops decline, so that the kernel's own plain ones run. */
static grd_device plain_device(grdi_loops *loops)
{
    grd_device device = device_with("baseline");
    *loops = *grdi_choose_loops("baseline");
    loops->flash_attention_f32 = loops->flash_attention_f64 = no_forward;
    loops->flash_attention_backward_f32 = loops->flash_attention_backward_f64 = no_backward;
    loops->flash_attention_additive_f32 = loops->flash_attention_additive_f64 = no_additive;
    device.state = loops;
    return device;
}

typedef struct results {
    grd_tensor *at[5]; /* output, dquery, dkey, dvalue, dadditive or NULL */
} results;

/* The type that numbers are rounded to, and the type that they are computed with in. */
typedef struct types {
    grd_dtype rounded, used;
} types;

static grd_tensor *drawn(grd_rng *rng, grd_shape shape, types t)
{
    return grd_cast(grd_cast(grd_randn(rng, shape), t.rounded), t.used);
}

static grd_tensor *leaf(grd_tensor *x)
{
    return grd_require_grad(grd_detach(x));
}

/* In which of (B, Hq, L, S) an additive mask varies. */
static const bool spread[][4] = {
    { false, true, false, true }, { true, true, true, true },   { false, false, true, true },
    { true, false, true, false }, { false, true, true, false }, { false, false, false, false },
};

static grd_tensor *additive_of(const setting *s, grd_rng *rng, types t)
{
    const bool *varies = spread[s->additive - 1];
    return leaf(drawn(rng,
                      GRD_SHAPE(varies[0] ? 2 : 1, varies[1] ? s->heads : 1,
                                varies[2] ? s->queries : 1, varies[3] ? s->keys - s->appended : 1),
                      t));
}

/* The inputs are the same on every device; of `poisoned` samples the hidden keys hold NaN. */
static results compute(const setting *s, grd_device *device, bool poisoned, types t)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = device });
    grd_rng *rng = grd_rng_create(7);
    grd_tensor *q = leaf(drawn(rng, GRD_SHAPE(2, s->heads, s->queries, s->size), t));
    grd_tensor *k = drawn(rng, GRD_SHAPE(2, s->shared, s->keys, s->size), t);
    grd_tensor *v = drawn(rng, GRD_SHAPE(2, s->shared, s->keys, s->value_size), t);
    const grd_tensor *dy = drawn(rng, GRD_SHAPE(2, s->heads, s->queries, s->value_size), t);
    const int64_t masked = s->keys - s->appended, lengths[] = { masked - 3, masked / 2 };
    grdi_flash_call call = { .scale = 1 / sqrt((double)s->size), .left = s->left };
    call.softcap = s->softcap;
    call.dropout = s->dropout;
    call.draw = (grdi_draw){ 5, 3 };
    call.appended = s->appended;
    call.right = s->right;
    call.offset = s->offset;
    if (s->lengths)
        call.lengths = grd_from_i64(lengths, 2, GRD_SHAPE(2));
    if (s->keep)
        call.keep = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(s->queries, masked)), 0.7);
    if (s->additive)
        call.additive = additive_of(s, rng, t);
    for (int64_t b = 0; b < 2 && poisoned && s->lengths; b++) {
        grd_fill_(grd_slice(grd_select(k, 0, b), 1, lengths[b], masked, 1), NAN);
        grd_fill_(grd_slice(grd_select(v, 0, b), 1, lengths[b], masked, 1), NAN);
    }
    call.query = q;
    call.key = k = leaf(k);
    call.value = v = leaf(v);
    grd_tensor *logsumexp;
    results r = { { grdi_attend(&call, &logsumexp) } };
    grd_backward_with(r.at[0], &(grd_backward_options){ .gradient = dy });
    r.at[1] = (grd_tensor *)grd_tensor_grad(q);
    r.at[2] = (grd_tensor *)grd_tensor_grad(k);
    r.at[3] = (grd_tensor *)grd_tensor_grad(v);
    r.at[4] = s->additive ? (grd_tensor *)grd_tensor_grad(call.additive) : NULL;
    for (int i = 0; i < 5; i++)
        if (r.at[i])
            grd_keep(r.at[i]);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    return r;
}

static void expect_same(int which, const char *set, const results *a, const results *b, double atol)
{
    static const char *const names[] = { "output", "dquery", "dkey", "dvalue", "dadditive" };
    static double x[MOST], y[MOST];
    for (int i = 0; i < 5 && a->at[i]; i++) {
        const int64_t count = grd_tensor_count(a->at[i]);
        cr_assert_leq(count, MOST);
        cr_assert_eq(grd_read_f64(a->at[i], x, count), GRD_OK);
        cr_assert_eq(grd_read_f64(b->at[i], y, count), GRD_OK);
        for (int64_t e = 0; e < count; e++) {
            const double found = x[e], expected = y[e];
            const double terms = i == 4 ? 8 : 1; /* a sum over all that share it */
            cr_assert(fabs(found - expected) <= terms * atol * (1 + fabs(expected)),
                      "setting %d, %s, %s[%d]: %.9g, not %.9g", which, set, names[i], (int)e, found,
                      expected);
        }
    }
}

static void release(const results *r)
{
    for (int i = 0; i < 5; i++)
        if (r->at[i])
            grd_release(r->at[i]);
}

static void expect_plain(const setting *s, types t, double atol)
{
    static const char *const sets[] = { "baseline", "avx2", "avx512" };
    grdi_loops loops;
    grd_device plainly = plain_device(&loops);
    const int which = (int)(s - settings);
    const results plain = compute(s, &plainly, false, (types){ t.rounded, GRD_F64 });
    for (int i = 0; i < 3; i++) {
        grd_device device = device_with(sets[i]);
        const results fast = compute(s, &device, false, t), poisoned = compute(s, &device, true, t);
        expect_same(which, sets[i], &fast, &plain, atol);
        expect_same(which, "with NaN behind hidden keys", &poisoned, &plain, atol);
        release(&poisoned);
        release(&fast);
    }
    release(&plain);
}

/* Beside halves the plain one has what they are rounded to, so that only results are inexact, and
 * gradients by the rounded output. */
Test(flash_attention, sets_agree_with_the_plain_one)
{
    for (int i = 0; i < SETTINGS; i++) {
        expect_plain(&settings[i], (types){ GRD_F32, GRD_F32 }, 5e-6);
        expect_plain(&settings[i], (types){ GRD_F64, GRD_F64 }, 1e-13);
        expect_plain(&settings[i], (types){ GRD_F16, GRD_F16 }, 2e-3);
        expect_plain(&settings[i], (types){ GRD_BF16, GRD_BF16 }, 1.6e-2);
    }
}

/* What the plain loops do with halves too, where the fast ones have no memory. */
Test(flash_attention, plain_loops_serve_every_type)
{
    grdi_loops loops;
    grd_device plainly = plain_device(&loops);
    for (int i = 0; i < SETTINGS; i++) {
        const results exact = compute(&settings[i], &plainly, false, (types){ GRD_F16, GRD_F64 });
        const results half = compute(&settings[i], &plainly, false, (types){ GRD_F16, GRD_F16 });
        expect_same(i, "plain", &half, &exact, 2e-3);
        release(&half);
        release(&exact);
    }
}

Test(flash_attention, any_number_of_threads_gives_the_same_bits)
{
    static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_BF16 };
    for (int i = 0; i < SETTINGS * 3; i++) {
        const types t = { dtypes[i % 3], dtypes[i % 3] };
        grd_device_set_threads(grd_cpu(), 1);
        const results one = compute(&settings[i / 3], NULL, false, t);
        grd_device_set_threads(grd_cpu(), 3);
        const results three = compute(&settings[i / 3], NULL, false, t);
        expect_same(i / 3, "threads", &three, &one, 0);
        release(&one);
        release(&three);
    }
}

Test(flash_attention, a_query_without_keys_gets_zeros)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *q = grd_require_grad(grd_ones(GRD_SHAPE(1, 1, 3, 4)));
    const grd_tensor *k = grd_ones(GRD_SHAPE(1, 1, 2, 4));
    const grdi_flash_call call = {
        .query = q, .key = k, .value = k, .scale = 1, .left = FAR, .offset = -2
    };
    grd_tensor *logsumexp, *y = grdi_attend(&call, &logsumexp);
    cr_assert_eq(grd_item_at(y, GRD_DIMS(0, 0, 1, 0)), 0);
    cr_assert_eq(grd_item_at(y, GRD_DIMS(0, 0, 2, 0)), 1);
    cr_assert_eq(grd_backward(grd_sum(y)), GRD_OK);
    cr_assert_eq(grd_item(grd_sum(grd_abs(grd_tensor_grad(q)))), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* Keys that score -infinity behind it do not hide it. */
Test(flash_attention, a_score_that_is_no_number_shows)
{
    const double added[] = { NAN, -INFINITY };
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    const grd_tensor *x = grd_ones(GRD_SHAPE(1, 1, 2, 4));
    const grdi_flash_call call = { .query = x,
                                   .key = x,
                                   .value = x,
                                   .scale = 1,
                                   .left = FAR,
                                   .right = FAR,
                                   .additive = grd_from_f64(added, 2, GRD_SHAPE(1, 1, 1, 2)) };
    grd_tensor *logsumexp, *y = grdi_attend(&call, &logsumexp);
    cr_assert(isnan(grd_item_at(y, GRD_DIMS(0, 0, 0, 0))));
    cr_assert(isnan(grd_item_at(logsumexp, GRD_DIMS(0, 0, 0))));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* Rows of `size`, `row` apart, with NaN between them, and `planted` at one of their elements. */
static bool finds_finite(const grdi_loops *loops, int64_t size, int64_t row, int64_t at,
                         double planted)
{
    enum { ROWS = 3, ROOM = 64 };
    float x[ROWS * ROOM];
    double wide[ROWS * ROOM];
    for (int64_t i = 0; i < ROWS * row; i++)
        wide[i] = i % row < size ? -1e38 : NAN;
    wide[at] = planted;
    for (int64_t i = 0; i < ROWS * row; i++)
        x[i] = (float)wide[i];
    const bool finite = loops->rows_finite_f32(ROWS, size, x, row);
    cr_assert_eq(loops->rows_finite_f64(ROWS, size, wide, row), finite);
    return finite;
}

Test(flash_attention, rows_are_searched_to_their_ends_and_no_further)
{
    static const char *const sets[] = { "baseline", "avx2", "avx512" };
    for (int set = 0; set < 3; set++)
        for (int64_t size = 1; size < 40; size++)
            for (int64_t row = size; row < size + 10; row += 9)
                for (int64_t at = 0; at < size; at++) {
                    const grdi_loops *loops = grdi_choose_loops(sets[set]);
                    cr_assert(finds_finite(loops, size, row, row + at, 0));
                    cr_assert_not(finds_finite(loops, size, row, row + at, -INFINITY));
                    cr_assert_not(finds_finite(loops, size, row, at, NAN));
                    cr_assert_not(finds_finite(loops, size, row, 2 * row + at, NAN));
                }
}
