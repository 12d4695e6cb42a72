/* Masks of every kind, and check 3: hidden keys have no weight, and what they are reaches
 * nothing. */
#include "nn/check.h"

#include <math.h>
#include <stdio.h>

/* ---- Every kind of mask, each with what it must leave, said once more from its meaning ---- */

enum { L = 3, S = 5 };

static const grd_tensor *positions(int64_t count, bool of_keys)
{
    return grd_reshape(grd_arange(0, count, 1),
                       of_keys ? GRD_SHAPE(1, 1, 1, count) : GRD_SHAPE(1, 1, count, 1));
}

/* Key - query, from which a band is read: (1, 1, L, S). */
static const grd_tensor *distance(const grdi_masking *m)
{
    return grd_sub(positions(m->sizes.keys, true), positions(m->sizes.queries, false));
}

/* Random pairs, of which the first query of the first sample is left with none. */
static const grd_tensor *random_pairs(grdi_probe *p, const grdi_masking *m, int64_t batch,
                                      int64_t heads)
{
    const grd_tensor *kept = grd_gt_scalar(positions(m->sizes.queries, false), 0);
    if (batch > 1)
        kept = grd_logical_or(
            kept,
            grd_gt_scalar(grd_reshape(grd_arange(0, batch, 1), GRD_SHAPE(batch, 1, 1, 1)), 0));
    const grd_tensor *drawn = grd_gt_scalar(
        grd_rand(p->rng, GRD_SHAPE(batch, heads, m->sizes.queries, m->sizes.keys)), 0.4);
    return grd_logical_and(drawn, kept);
}

static void nothing(grdi_probe *p, grdi_masking *m)
{
    (void)p;
    m->visible = grd_ge_scalar(positions(m->sizes.keys, true), 0);
}

static void causal(grdi_probe *p, grdi_masking *m)
{
    (void)p;
    m->mask.causal = true;
    m->visible = grd_le_scalar(distance(m), 0);
}

static void causal_bottom_right(grdi_probe *p, grdi_masking *m)
{
    causal(p, m);
    m->mask.align = GRD_ALIGN_BOTTOM_RIGHT;
    m->visible = grd_le_scalar(distance(m), (double)(m->sizes.keys - m->sizes.queries));
}

static void causal_top_left(grdi_probe *p, grdi_masking *m)
{
    causal(p, m);
    m->mask.align = GRD_ALIGN_TOP_LEFT;
}

static void window(grdi_probe *p, grdi_masking *m)
{
    (void)p;
    m->mask.window_left = (grd_maybe_int)GRD_SET(1);
    m->mask.window_right = (grd_maybe_int)GRD_SET(0);
    m->mask.align = GRD_ALIGN_OFFSET;
    m->mask.offset = 1;
    m->visible = grd_logical_and(grd_ge_scalar(distance(m), 0), grd_le_scalar(distance(m), 1));
}

static void attend(grdi_probe *p, grdi_masking *m)
{
    m->visible = random_pairs(p, m, m->sizes.batch, p->claims.num_heads);
    m->mask.attend = m->visible;
}

static void ignore(grdi_probe *p, grdi_masking *m)
{
    m->visible = random_pairs(p, m, 1, 1);
    m->mask.ignore = grd_logical_not(m->visible);
}

static void additive(grdi_probe *p, grdi_masking *m)
{
    m->visible = random_pairs(p, m, m->sizes.batch, 1);
    const grd_tensor *drawn = grd_cast(grd_randn(p->rng, grd_tensor_shape(m->visible)), p->dtype);
    m->mask.additive = grd_where(m->visible, drawn, grd_full_like(drawn, -INFINITY));
}

/* The last keys of each sample: two of the first, three of the next. */
static void key_ignore(grdi_probe *p, grdi_masking *m)
{
    (void)p;
    const int64_t length[] = { m->sizes.keys - 2, m->sizes.keys - 3 };
    const grd_tensor *lengths =
        grd_from_i64(length, m->sizes.batch, GRD_SHAPE(m->sizes.batch, 1, 1, 1));
    m->visible = grd_lt(positions(m->sizes.keys, true), lengths);
    m->mask.key_ignore =
        grd_reshape(grd_logical_not(m->visible), GRD_SHAPE(m->sizes.batch, m->sizes.keys));
}

static void key_lengths(grdi_probe *p, grdi_masking *m)
{
    key_ignore(p, m);
    const int64_t length[] = { m->sizes.keys - 2, m->sizes.keys - 3 };
    m->mask.key_ignore = NULL;
    m->mask.key_lengths = grd_from_i64(length, m->sizes.batch, GRD_SHAPE(m->sizes.batch));
}

static void causal_and_padded(grdi_probe *p, grdi_masking *m)
{
    key_lengths(p, m);
    m->mask.causal = true;
    m->visible = grd_logical_and(m->visible, grd_le_scalar(distance(m), 0));
}

static const struct {
    const char *name;
    void (*make)(grdi_probe *p, grdi_masking *m);
    bool square;
} kinds[GRDI_MASKINGS] = {
    { "no mask", nothing, false },
    { "causal", causal, true },
    { "causal, bottom right", causal_bottom_right, false },
    { "causal, top left", causal_top_left, false },
    { "window", window, false },
    { "attend", attend, false },
    { "ignore", ignore, true },
    { "additive -inf", additive, false },
    { "key_ignore", key_ignore, true },
    { "key_lengths", key_lengths, false },
    { "causal and key_lengths", causal_and_padded, true },
};

static const grd_tensor *without_batch(const grd_tensor *mask)
{
    return mask && grd_tensor_size(mask, 0) == 1 ? grd_select(mask, 0, 0) : mask;
}

grdi_masking grdi_masking_at(grdi_probe *p, int i)
{
    const bool unbatched = p->claims.layout == GRD_UNBATCHED, square = kinds[i].square;
    grdi_masking m = { .name = kinds[i].name,
                       .sizes = { unbatched ? 1 : 2, square ? S : L, S },
                       .self = square && grdi_probe_allows_self(p) };
    kinds[i].make(p, &m);
    if (unbatched) {
        m.mask.attend = without_batch(m.mask.attend);
        m.mask.ignore = without_batch(m.mask.ignore);
        m.mask.additive = without_batch(m.mask.additive);
        m.mask.key_ignore = without_batch(m.mask.key_ignore);
        m.mask.key_lengths = without_batch(m.mask.key_lengths);
    }
    return m;
}

/* ---- The check ---- */

static const grdi_diagnosis swapped = {
    "a causal model predicts perfectly in training and writes nonsense afterwards",
    "the mask's polarity: true means \"takes part\" in one API and \"left out\" in the other",
};
static const grdi_diagnosis padded = {
    "a sample's result depends on how far its batch was padded",
    "the padding mask is dropped on the way, or is applied to queries instead of keys",
};
static const grdi_diagnosis unmasked = {
    "what should be hidden is seen: loss is too good in training and bad in use",
    "the mask is dropped, broadcasts along another dimension, or its number is not -inf",
};
static const grdi_diagnosis leaking = {
    "weights look right, yet hidden keys change results, or a NaN behind the mask spreads",
    "the mask is applied after the softmax, whose sum saw the hidden keys, or 0 x NaN is added",
};

static const grdi_diagnosis *diagnosis_of(const grdi_masking *m, const grd_tensor *weights)
{
    const bool on_keys = m->mask.key_ignore || m->mask.key_lengths;
    if (grdi_largest(grd_masked_fill(weights, grd_logical_not(m->visible), 0), NULL) == 0)
        return &swapped;
    return on_keys && !m->mask.causal ? &padded : &unmasked;
}

static void check_weights(grdi_probe *p, grd_attention_check *check, const grdi_masking *m,
                          const grd_attention *a)
{
    grd_dims at;
    const grd_tensor *weights =
        grd_slice(grdi_probe_batched(p, grd_detach(a->weights)), 3, 0, m->sizes.keys, 1);
    const double most = grdi_largest(grd_masked_fill(weights, m->visible, 0), &at);
    if (most != 0 && !grdi_latched())
        grdi_flaw(check, diagnosis_of(m, weights), most,
                  "%s: sample %d, head %d, query %d gives the hidden key %d a weight of %.3g",
                  m->name, (int)at.dim[0], (int)at.dim[1], (int)at.dim[2], (int)at.dim[3], most);
}

/* Rows (B, L, 1) of the output that key j must not reach. */
static const grd_tensor *blind_rows(const grdi_masking *m, bool self, int64_t j)
{
    const grd_tensor *seen = grd_any_dims(grd_select(m->visible, 3, j), GRD_DIMS(1), GRD_DROP_DIMS);
    if (self) /* where the key is the query too */
        seen = grd_logical_or(seen, grd_eq_scalar(grd_reshape(grd_arange(0, m->sizes.queries, 1),
                                                              GRD_SHAPE(1, m->sizes.queries)),
                                                  (double)j));
    return grd_unsqueeze(grd_logical_not(seen), 2);
}

static const grd_tensor *with_key(const grd_tensor *x, int64_t j, bool nan)
{
    const grd_tensor *here =
        grd_reshape(grd_eq_scalar(grd_arange(0, grd_tensor_size(x, 1), 1), (double)j),
                    GRD_SHAPE(1, grd_tensor_size(x, 1), 1));
    return nan ? grd_masked_fill(x, here, NAN) : grd_where(here, grd_mul_scalar(x, 10), x);
}

/* The output where the rows are blind, 0 elsewhere. */
static const grd_tensor *blind_part(const grdi_probe *p, const grd_tensor *output,
                                    const grd_tensor *rows)
{
    const grd_tensor *y = grdi_probe_from_layout(p, grd_detach(output));
    return grd_contiguous(grd_where(rows, y, grd_zeros_like(y)));
}

static void change_key(grdi_probe *p, grd_attention_check *check, const grdi_masking *m,
                       const grdi_inputs *inputs, const grd_tensor *y, int64_t j, bool nan)
{
    const bool self = inputs->x[0] == inputs->x[1];
    const grd_tensor *rows = blind_rows(m, self, j);
    grdi_inputs changed = *inputs;
    changed.x[1] = with_key(inputs->x[1], j, nan);
    changed.x[2] = self ? changed.x[1] : with_key(inputs->x[2], j, nan);
    changed.x[0] = self ? changed.x[1] : inputs->x[0];
    grd_attention a;
    if (grdi_latched() || !grdi_probe_call(p, &changed, &(grd_mha_args){ .mask = m->mask }, &a))
        return;
    const grd_tensor *before = blind_part(p, y, rows), *after = blind_part(p, a.output, rows);
    grd_dims at;
    if (grd_equal(before, after) || grdi_latched())
        return;
    const double change = grdi_largest(grd_sub(after, before), &at);
    grdi_flaw(check, &leaking, change,
              "%s: the hidden key %d, %s, changes the output of sample %d, query %d by %.3g",
              m->name, (int)j, nan ? "set to NaN" : "times 10", (int)at.dim[0], (int)at.dim[1],
              change);
}

static void check_mask(grdi_probe *p, grd_attention_check *check, const grdi_masking *m, bool self)
{
    grd_attention a;
    const grdi_inputs inputs = grdi_probe_inputs(p, m->sizes, self);
    if (grdi_latched() ||
        !grdi_probe_call(p, &inputs, &(grd_mha_args){ .mask = m->mask, .weights = GRD_PER_HEAD },
                         &a))
        return;
    check_weights(p, check, m, &a);
    if (!grdi_probe_call(p, &inputs, &(grd_mha_args){ .mask = m->mask }, &a))
        return;
    for (int64_t j = 0; j < m->sizes.keys && check->passed; j++)
        for (int nan = 0; nan < 2; nan++) {
            grd_scope scope;
            grdi_scope_open(&scope);
            change_key(p, check, m, &inputs, a.output, j, nan);
            grdi_scope_close(&scope);
        }
}

void grdi_check_masks(grdi_probe *p, grd_attention_check *check)
{
    for (int i = 1; i < GRDI_MASKINGS && check->passed; i++) {
        const grdi_masking m = grdi_masking_at(p, i);
        check_mask(p, check, &m, false);
        if (m.self && check->passed)
            check_mask(p, check, &m, true);
        if (grdi_latched()) {
            grdi_error_context(" (%s)", m.name);
            return;
        }
    }
    if (check->passed)
        snprintf(
            check->text, sizeof check->text,
            "%d kinds of masks: hidden keys weigh nothing; times 10 or NaN, they change no bit",
            GRDI_MASKINGS - 1);
}
