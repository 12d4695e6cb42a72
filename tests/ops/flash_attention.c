#include "autograd/attention.h"
#include "tensor/rng.h"
#include "tests/op_cases.h"

#include <math.h>

/* What a row is masked with. */
typedef struct rule {
    long left, right, offset;
    const long *lengths; /* of each sample */
    double scale;
    bool checkered; /* query i sees key j only where i + j is no multiple of 3 */
    double softcap, dropout;
    long appended; /* keys at the end that every query sees */
    bool biased;   /* x[3] (Hq, 1, S) is added to the scores */
} rule;

static const long FAR = 1000;

static bool sees(const rule *r, long b, long i, long j, long keys)
{
    if (j >= keys - r->appended)
        return true;
    const long at = j - (i + r->offset);
    return at <= r->right && -at <= r->left && (!r->lengths || j < r->lengths[b]) &&
           !(r->checkered && (i + j) % 3 == 0);
}

/* The sizes and rows of one head. */
typedef struct one_head {
    long b, queries, keys, size, value_size;
    uint64_t pair;                   /* the number of its first pair in all of (B, Hq, L, S) */
    const double *q, *k, *v, *added; /* to the scores of all queries, or NULL */
} one_head;

static one_head head_at(const plain x[], long b, long h)
{
    const long heads = x[0].size[1], group = heads / x[1].size[1], hk = h / group;
    one_head o = { b, x[0].size[2], x[1].size[2], x[0].size[3], x[2].size[3],
                   0, NULL,         NULL,         NULL,         NULL };
    o.pair = (uint64_t)((b * heads + h) * o.queries * o.keys);
    o.q = x[0].value + (b * heads + h) * o.queries * o.size;
    o.k = x[1].value + (b * x[1].size[1] + hk) * o.keys * o.size;
    o.v = x[2].value + (b * x[1].size[1] + hk) * o.keys * o.value_size;
    return o;
}

/* w [keys] of query i, straight from the definition. */
static void weights_of(const one_head *o, const rule *r, long i, double w[])
{
    double sum = 0;
    for (long j = 0; j < o->keys; j++) {
        double score = 0;
        for (long d = 0; d < o->size; d++)
            score += o->q[i * o->size + d] * o->k[j * o->size + d];
        score *= r->scale;
        score = r->softcap > 0 ? r->softcap * tanh(score / r->softcap) : score;
        score += o->added && j < o->keys - r->appended ? o->added[j] : 0;
        w[j] = sees(r, o->b, i, j, o->keys) ? exp(score) : 0;
        sum += w[j];
    }
    for (long j = 0; j < o->keys; j++)
        w[j] = sum > 0 ? w[j] / sum : 0;
}

static const grdi_draw draw = { 77, 5 };

/* What a weight is multiplied by. */
static double kept(const one_head *o, const rule *r, long i, long j)
{
    const uint64_t word = grdi_random_bits(draw, o->pair + (uint64_t)(i * o->keys + j)) >> 32;
    if (r->dropout == 0)
        return 1;
    return (double)word < floor(r->dropout * 0x1p32) ? 0 : 1 / (1 - r->dropout);
}

static void attend_reference(const rule *r, const plain x[], plain *y)
{
    *y = (plain){ 4, { x[0].size[0], x[0].size[1], x[0].size[2], x[2].size[3] }, { 0 } };
    double w[64], *out = y->value;
    for (long b = 0; b < y->size[0]; b++)
        for (long h = 0; h < y->size[1]; h++) {
            one_head o = head_at(x, b, h);
            o.added = r->biased ? x[3].value + h * x[3].size[2] : NULL;
            for (long i = 0; i < o.queries; i++, out += o.value_size) {
                weights_of(&o, r, i, w);
                for (long j = 0; j < o.keys; j++)
                    for (long d = 0; d < o.value_size; d++)
                        out[d] += kept(&o, r, i, j) * w[j] * o.v[j * o.value_size + d];
            }
        }
}

static grdi_flash_call call_of(const rule *r, const grd_tensor *const x[])
{
    grdi_flash_call call = { .query = x[0], .key = x[1], .value = x[2], .scale = r->scale };
    call.softcap = r->softcap;
    call.dropout = r->dropout;
    call.draw = draw;
    call.appended = r->appended;
    call.additive = r->biased ? x[3] : NULL;
    call.left = r->left;
    call.right = r->right;
    call.offset = r->offset;
    const int64_t samples = grd_tensor_size(x[0], 0);
    if (r->lengths) {
        int64_t lengths[8];
        for (int64_t b = 0; b < samples; b++)
            lengths[b] = r->lengths[b];
        call.lengths = grd_from_i64(lengths, samples, GRD_SHAPE(samples));
    }
    if (r->checkered) {
        bool keep[64];
        const int64_t queries = grd_tensor_size(x[0], 2),
                      keys = grd_tensor_size(x[1], 2) - r->appended;
        for (int64_t i = 0; i < queries * keys; i++)
            keep[i] = (i / keys + i % keys) % 3 != 0;
        call.keep = grd_from_bool(keep, queries * keys, GRD_SHAPE(queries, keys));
    }
    return call;
}

static grd_tensor *attend(const rule *r, const grd_tensor *const x[])
{
    const grdi_flash_call call = call_of(r, x);
    grd_tensor *logsumexp;
    return grdi_attend(&call, &logsumexp);
}

static const long two_lengths[] = { 3, 0 };
static const rule all = { FAR, FAR, 0, NULL, 0.5, false, 0, 0, 0 };
static const rule causal = { FAR, 0, 0, NULL, 0.5, false, 0, 0, 0 };
static const rule window = { 1, 2, -1, NULL, -0.7, false, 0, 0, 0 };
static const rule padded = { FAR, FAR, 0, two_lengths, 0.5, true, 0, 0, 0 };
static const rule capped = { FAR, 1, 0, NULL, 0.9, true, 0.8, 0, 0 };
static const rule dropping = { FAR, 0, 0, NULL, 0.5, false, 0, 0.4, 0 };
static const rule extended = { 1, 0, 0, two_lengths, 0.5, true, 0, 0, 2 };
static const rule everything = { 2, 1, 1, two_lengths, -0.6, true, 1.5, 0.3, 1 };
static const rule biased = { FAR, 0, 0, NULL, 0.5, true, 0, 0, 0, true };
static const rule biased_everything = { 2, 1, 1, two_lengths, -0.6, true, 1.5, 0.3, 1, true };

#define RULE(name)                                                                                 \
    static grd_tensor *run_##name(const grd_tensor *const x[])                                     \
    {                                                                                              \
        return attend(&name, x);                                                                   \
    }                                                                                              \
    static void name##_reference(const plain x[], plain *y)                                        \
    {                                                                                              \
        attend_reference(&name, x, y);                                                             \
    }
RULE(all)
RULE(causal)
RULE(window)
RULE(padded)
RULE(capped)
RULE(dropping)
RULE(extended)
RULE(everything)
RULE(biased)
RULE(biased_everything)
#undef RULE

/* The same of query, key and value side by side, two heads of each. */
static grd_tensor *run_packed(const grd_tensor *const x[])
{
    const grd_tensor *parts[3];
    for (int i = 0; i < 3; i++)
        parts[i] = grdi_packed_heads(x[0], i, 2);
    const grdi_flash_call call = call_of(&causal, parts);
    grd_tensor *logsumexp;
    return grdi_attend_projected(x[0], &call, &logsumexp);
}

static void packed_reference(const plain x[], plain *y)
{
    static plain parts[3];
    const long batch = x[0].size[0], time = x[0].size[1], size = x[0].size[2] / 6;
    for (int i = 0; i < 3; i++) {
        parts[i] = (plain){ 4, { batch, 2, time, size }, { 0 } };
        for (long at = 0; at < count_of(&parts[i]); at++) {
            const long d = at % size, t = at / size % time, h = at / size / time % 2;
            const long b = at / size / time / 2;
            parts[i].value[at] = x[0].value[((b * time + t) * 3 + i) * 2 * size + h * size + d];
        }
    }
    attend_reference(&causal, parts, y);
}

/* dquery, dkey and dvalue end to end, for a gradient of the result given as x[3]. */
static grd_tensor *run_backward(const grd_tensor *const x[])
{
    grd_tensor *logsumexp, *dx[3] = { NULL };
    const grdi_flash_call call = call_of(&causal, x);
    grd_tensor *y = grdi_flash_attention(&call, &logsumexp);
    if (!y || !grdi_flash_attention_backward(&call, y, logsumexp, x[3], dx))
        return NULL;
    for (int i = 0; i < 3; i++)
        dx[i] = grd_reshape(dx[i], GRD_SHAPE(-1));
    return grd_cat(GRD_LIST(dx[0], dx[1], dx[2]), 0);
}

/* dw = dy v^T, ds = scale w (dw - sum(w dw)), dq = ds k, dk = ds^T q, dv = w^T dy. */
static void add_head_gradients(const one_head *o, const double *dy, double *dq, double *dk,
                               double *dv)
{
    for (long i = 0; i < o->queries; i++, dy += o->value_size) {
        double w[64], dw[64] = { 0 }, mean = 0;
        weights_of(o, &causal, i, w);
        for (long j = 0; j < o->keys; j++) {
            for (long d = 0; d < o->value_size; d++) {
                dw[j] += dy[d] * o->v[j * o->value_size + d];
                dv[j * o->value_size + d] += w[j] * dy[d];
            }
            mean += w[j] * dw[j];
        }
        for (long j = 0; j < o->keys; j++)
            for (long d = 0; d < o->size; d++) {
                const double ds = causal.scale * w[j] * (dw[j] - mean);
                dq[i * o->size + d] += ds * o->k[j * o->size + d];
                dk[j * o->size + d] += ds * o->q[i * o->size + d];
            }
    }
}

static void backward_reference(const plain x[], plain *y)
{
    *y = (plain){ 1, { count_of(&x[0]) + count_of(&x[1]) + count_of(&x[2]) }, { 0 } };
    const long heads = x[0].size[1], shared = x[1].size[1];
    double *dq = y->value, *dk = dq + count_of(&x[0]), *dv = dk + count_of(&x[1]);
    for (long b = 0; b < x[0].size[0]; b++)
        for (long h = 0; h < heads; h++) {
            const one_head o = head_at(x, b, h);
            const long key = b * shared + h * shared / heads;
            add_head_gradients(&o, x[3].value + (b * heads + h) * o.queries * o.value_size,
                               dq + (b * heads + h) * o.queries * o.size,
                               dk + key * o.keys * o.size, dv + key * o.keys * o.value_size);
        }
}

/* The gradient of x[4] (Hq, 1, S), added to the scores, for a gradient of the result in x[3]. */
static grd_tensor *run_additive(const grd_tensor *const x[])
{
    grd_tensor *logsumexp;
    grdi_flash_call call = call_of(&causal, x);
    call.additive = x[4];
    grd_tensor *y = grdi_flash_attention(&call, &logsumexp);
    return y ? grdi_flash_attention_additive(&call, y, logsumexp, x[3]) : NULL;
}

/* The sum over samples and queries of ds = w (dw - sum(w dw)). */
static void additive_reference(const plain x[], plain *y)
{
    *y = (plain){ 3, { x[4].size[0], 1, x[4].size[2] }, { 0 } };
    const double *dy = x[3].value;
    for (long at = 0; at < x[0].size[0] * x[0].size[1]; at++) {
        const long h = at % x[0].size[1];
        one_head o = head_at(x, at / x[0].size[1], h);
        o.added = x[4].value + h * o.keys;
        for (long i = 0; i < o.queries; i++, dy += o.value_size) {
            double w[64], dw[64] = { 0 }, mean = 0;
            weights_of(&o, &causal, i, w);
            for (long j = 0; j < o.keys; j++) {
                for (long d = 0; d < o.value_size; d++)
                    dw[j] += dy[d] * o.v[j * o.value_size + d];
                mean += w[j] * dw[j];
            }
            for (long j = 0; j < o.keys; j++)
                y->value[h * o.keys + j] += w[j] * (dw[j] - mean);
        }
    }
}

/* clang-format off */
static const op_case cases[] = {
    { "flash", "flash_attention", run_all, all_reference, 3, { S4(2, 2, 3, 4), S4(2, 2, 5, 4), S4(2, 2, 5, 3) } },
    { "flash, causal, shared heads", "flash_attention", run_causal, causal_reference, 3, { S4(1, 4, 4, 3), S4(1, 2, 4, 3), S4(1, 2, 4, 2) } },
    { "flash, window", "flash_attention", run_window, window_reference, 3, { S4(1, 2, 5, 2), S4(1, 2, 6, 2), S4(1, 2, 6, 3) } },
    { "flash, padded and checkered", "flash_attention", run_padded, padded_reference, 3, { S4(2, 1, 4, 3), S4(2, 1, 5, 3), S4(2, 1, 5, 2) } },
    { "flash, capped", "flash_attention", run_capped, capped_reference, 3, { S4(1, 2, 4, 3), S4(1, 1, 5, 3), S4(1, 1, 5, 2) } },
    { "flash, dropping", "flash_attention", run_dropping, dropping_reference, 3, { S4(2, 2, 5, 3), S4(2, 2, 5, 3), S4(2, 2, 5, 2) } },
    { "flash, appended keys", "flash_attention", run_extended, extended_reference, 3, { S4(2, 2, 4, 3), S4(2, 2, 7, 3), S4(2, 2, 7, 2) } },
    { "flash, everything", "flash_attention", run_everything, everything_reference, 3, { S4(2, 4, 4, 3), S4(2, 2, 6, 3), S4(2, 2, 6, 2) } },
    { "flash, no queries", "flash_attention", run_causal, causal_reference, 3, { S4(1, 2, 0, 3), S4(1, 2, 2, 3), S4(1, 2, 2, 3) } },
    { "flash, no keys", "flash_attention", run_causal, causal_reference, 3, { S4(1, 2, 2, 3), S4(1, 2, 0, 3), S4(1, 2, 0, 3) } },
    { "flash, packed", "flash_attention", run_packed, packed_reference, 1, { S3(2, 3, 12) } },
    { "flash, biased", "flash_attention", run_biased, biased_reference, 4, { S4(2, 2, 4, 3), S4(2, 2, 5, 3), S4(2, 2, 5, 2), S3(2, 1, 5) } },
    { "flash, biased, everything", "flash_attention", run_biased_everything, biased_everything_reference, 4, { S4(2, 4, 4, 3), S4(2, 2, 6, 3), S4(2, 2, 6, 2), S3(4, 1, 5) } },
    { "flash, backward", "flash_attention_backward", run_backward, backward_reference, 4, { S4(2, 4, 3, 3), S4(2, 2, 4, 3), S4(2, 2, 4, 5), S4(2, 4, 3, 5) }, .no_derivative = true },
    { "flash, backward of additive", "flash_attention_additive", run_additive, additive_reference, 5, { S4(2, 4, 3, 3), S4(2, 2, 4, 3), S4(2, 2, 4, 5), S4(2, 4, 3, 5), S3(4, 1, 4) }, .no_derivative = true },
};
/* clang-format on */

const op_family flash_attention_family = { cases, sizeof cases / sizeof cases[0], NULL, 0 };
