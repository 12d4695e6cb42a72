/* Attention over packed sequences. */
#include "nn/attention.h"
#include "tensor/rng.h"

static const char op[] = "sdpa_packed";

/* ---- Checking ---- */

static bool check_shapes(const grd_tensor *q, const grd_tensor *k, const grd_tensor *v)
{
    if (q->array.rank != 3 || k->array.rank != 3 || v->array.rank != 3)
        return grdi_fail(
            GRD_ERROR_SHAPE, op,
            "query is %s, key %s, value %s, expected (total length, heads, head size): "
            "no batch dimension, tokens first",
            grdi_size_text(q).chars, grdi_size_text(k).chars, grdi_size_text(v).chars);
    const grdi_dim *of_q = q->array.dim, *of_k = k->array.dim, *of_v = v->array.dim;
    if (of_q[2].size != of_k[2].size)
        return grdi_fail(GRD_ERROR_SHAPE, op, "head sizes differ: query is %s, key is %s",
                         grdi_size_text(q).chars, grdi_size_text(k).chars);
    if (of_k[0].size != of_v[0].size || of_k[1].size != of_v[1].size)
        return grdi_fail(GRD_ERROR_SHAPE, op, "every key has one value: key is %s, value is %s",
                         grdi_size_text(k).chars, grdi_size_text(v).chars);
    if (of_k[1].size ? of_q[1].size % of_k[1].size : of_q[1].size)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "%lld query heads are no multiple of %lld key heads: query is %s, key is "
                         "%s (total length, heads, head size)",
                         (long long)of_q[1].size, (long long)of_k[1].size, grdi_size_text(q).chars,
                         grdi_size_text(k).chars);
    return true;
}

static bool check_starts_shape(const char *name, const grd_tensor *starts)
{
    if (starts->array.dtype != GRD_I64)
        return grdi_fail(GRD_ERROR_DTYPE, op, "%s is %s, expected i64", name,
                         grdi_dtype_name(starts->array.dtype));
    if (starts->array.rank != 1 || starts->array.dim[0].size < 2)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "%s is %s, expected (B + 1): where each of B >= 1 sequences starts, and "
                         "the total",
                         name, grdi_size_text(starts).chars);
    return true;
}

static bool check_starts(const char *name, const int64_t *starts, int64_t count, int64_t total)
{
    if (starts[0] != 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "%s[0] is %lld, expected 0", name,
                         (long long)starts[0]);
    for (int64_t b = 0; b < count; b++)
        if (starts[b + 1] < starts[b])
            return grdi_fail(GRD_ERROR_ARGUMENT, op,
                             "%s[%lld] is %lld, less than %lld before it: starts never fall", name,
                             (long long)b + 1, (long long)starts[b + 1], (long long)starts[b]);
    return starts[count] == total ||
           grdi_fail(GRD_ERROR_ARGUMENT, op, "%s ends with %lld, but there are %lld rows", name,
                     (long long)starts[count], (long long)total);
}

static bool check_options(const grd_sdpa_options *o)
{
    const grd_mask *mask = &o->mask;
    const struct {
        const char *name;
        bool given;
    } refused[] = {
        { "mask.additive", mask->additive },       { "mask.attend", mask->attend },
        { "mask.ignore", mask->ignore },           { "mask.key_ignore", mask->key_ignore },
        { "mask.key_lengths", mask->key_lengths }, { "weights", o->weights != GRD_NO_WEIGHTS },
        { "dropped_weights", o->dropped_weights }, { "logsumexp", o->logsumexp },
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (refused[i].given)
            return grdi_fail(GRD_ERROR_ARGUMENT, op,
                             "%s has no meaning for packed sequences, which take causal, windows "
                             "and align alone (pad them and use grd_sdpa)",
                             refused[i].name);
    if (mask->align == GRD_ALIGN_KEY_LENGTHS)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "mask.align is GRD_ALIGN_KEY_LENGTHS, but sequences are not padded: say "
                         "GRD_ALIGN_BOTTOM_RIGHT");
    return grdi_sdpa_check_options(op, o);
}

/* ---- Computing ---- */

/* A call whose tensors are (total length, heads, head size). */
typedef struct packed_call {
    grdi_sdpa_call all;
    const grd_tensor *starts_q, *starts_k;
    grdi_sequences sequences;
    bool may_hide_rows;
} packed_call;

static bool check(packed_call *p)
{
    const grdi_sdpa_call *c = &p->all;
    if (!c->query || !c->key || !c->value || !p->starts_q || !p->starts_k)
        return grdi_fail_null(op);
    if (!grdi_sdpa_check_types(op, c->query, c->key, c->value) ||
        !check_shapes(c->query, c->key, c->value) || !check_options(c->options) ||
        !check_starts_shape("starts_q", p->starts_q) ||
        !check_starts_shape("starts_k", p->starts_k))
        return false;
    if (grd_tensor_count(p->starts_q) != grd_tensor_count(p->starts_k))
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "starts_q is %s and starts_k %s: both have one entry more than there are "
                         "sequences",
                         grdi_size_text(p->starts_q).chars, grdi_size_text(p->starts_k).chars);
    return true;
}

/* Holds the mask against each sequence's own sizes. */
static bool see(packed_call *p)
{
    const grdi_sequences *s = &p->sequences;
    grdi_sdpa_call *c = &p->all;
    for (int64_t b = 0; b < s->count; b++) {
        const grd_shape scores =
            GRD_SHAPE(c->query->array.dim[1].size, s->starts_q[b + 1] - s->starts_q[b],
                      s->starts_k[b + 1] - s->starts_k[b]);
        if (!grdi_see(op, &c->options->mask, &scores, 0, c->query->array.dtype,
                      grdi_device(c->query), &c->visible)) {
            grdi_error_context("sequence %lld", (long long)b);
            return false;
        }
        p->may_hide_rows |= grdi_may_hide_rows(&c->visible);
    }
    return true;
}

/* Past what every sequence draws. */
static void advance(const packed_call *p)
{
    const grdi_sequences *s = &p->sequences;
    for (int64_t b = 0; b < s->count; b++)
        grdi_rng_advance(p->all.options->rng, p->all.query->array.dim[1].size *
                                                  (s->starts_q[b + 1] - s->starts_q[b]) *
                                                  (s->starts_k[b + 1] - s->starts_k[b]));
}

static grd_tensor *fused(packed_call *p)
{
    if (p->all.options->dropout > 0)
        p->all.draw = grdi_rng_next(p->all.options->rng);
    const grdi_sdpa_call *c = &p->all;
    const grd_mask *mask = &c->options->mask;
    const grdi_flash_call call = { .query = c->query,
                                   .key = c->key,
                                   .value = c->value,
                                   .scale = c->scale,
                                   .softcap = c->options->softcap,
                                   .dropout = c->options->dropout,
                                   .draw = c->draw,
                                   .left = c->visible.band.left,
                                   .right = c->visible.band.right,
                                   .offset = mask->offset,
                                   .by_length = mask->align == GRD_ALIGN_BOTTOM_RIGHT };
    grd_tensor *logsumexp;
    grd_tensor *y = grdi_attend_sequences(&call, p->starts_q, p->starts_k, &logsumexp);
    if (y && c->options->dropout > 0)
        advance(p);
    if (p->may_hide_rows)
        grdi_count_masked_rows(logsumexp);
    return y;
}

/* Each sequence by itself. */
static grd_tensor *apart(const packed_call *p, const grd_tensor **parts)
{
    const grdi_sequences *s = &p->sequences;
    for (int64_t b = 0; b < s->count && !grdi_latched(); b++) {
        const int64_t *q = s->starts_q + b, *k = s->starts_k + b;
        grdi_sdpa_call call = {
            .op = op,
            .options = p->all.options,
            .query = grdi_sequence_part(p->all.query, q[0], q[1]),
            .key = grdi_sequence_part(p->all.key, k[0], k[1]),
            .value = grdi_sequence_part(p->all.value, k[0], k[1]),
        };
        parts[b] = grdi_sdpa(&call).output;
    }
    return grdi_latched() ? NULL : grdi_sequences_join(&(grd_list){ s->count, parts });
}

static grd_tensor *composed(const packed_call *p)
{
    const size_t bytes = (size_t)p->sequences.count * sizeof(grd_tensor *);
    const grd_tensor **parts = grdi_allocate(bytes);
    if (!parts)
        return grdi_fail_memory(op, bytes);
    grd_tensor *y = apart(p, parts);
    grdi_free(parts, bytes);
    return y;
}

static grd_tensor *compute(packed_call *p)
{
    const grdi_sequences *s = &p->sequences;
    if (!check_starts("starts_q", s->starts_q, s->count, p->all.query->array.dim[0].size) ||
        !check_starts("starts_k", s->starts_k, s->count, p->all.key->array.dim[0].size) || !see(p))
        return NULL;
    const char *refusal = grdi_sdpa_refusal(&p->all);
    if (grdi_latched())
        return NULL;
    return refusal ? composed(p) : fused(p);
}

grd_attention grd_sdpa_packed(const grd_tensor *query, const grd_tensor *key,
                              const grd_tensor *value, const grd_tensor *starts_q,
                              const grd_tensor *starts_k, const grd_sdpa_options *options)
{
    static const grd_sdpa_options defaults;
    packed_call p = { .all = { .op = op,
                               .options = options ? options : &defaults,
                               .query = query,
                               .key = key,
                               .value = value },
                      .starts_q = starts_q,
                      .starts_k = starts_k };
    if (!grdi_may_make(op) || !check(&p))
        return (grd_attention){ 0 };
    p.all.scale = grdi_sdpa_scale(p.all.options, grd_tensor_size(query, -1));
    grd_scope scope;
    grdi_scope_open(&scope);
    grd_attention result = { 0 };
    if (grdi_sequences_open(&p.sequences, op, starts_q, starts_k)) {
        result.output = compute(&p);
        grdi_sequences_close(&p.sequences);
    }
    return grdi_hand_out(&scope, result);
}
