#include "autograd/attention.h"

enum { QUERY, KEY, VALUE, ADDITIVE };

/* All of the call but its tensors, and which of these are there. */
typedef struct settings {
    grdi_flash_call call;
    bool has_lengths, has_keep, has_additive;
} settings;

/* What masks the saved call; log-sum-exp is the node's first extra, additive is an input. */
static bool saved_masks(grdi_node *node, int additive, grdi_flash_call *call)
{
    const settings *s = grdi_attributes(node);
    int next = 1;
    *call = s->call;
    call->lengths = s->has_lengths ? grdi_saved_extra(node, next++) : NULL;
    call->keep = s->has_keep ? grdi_saved_extra(node, next++) : NULL;
    call->additive = s->has_additive ? grdi_saved(node, additive) : NULL;
    return !grdi_latched();
}

/* Which pairs there are, in memory. */
static const grd_tensor *all_pairs(const grdi_flash_call *c)
{
    const grdi_dim *q = c->query->array.dim, *k = c->key->array.dim;
    const grd_shape scores = { 4, { q[0].size, q[1].size, q[2].size, k[2].size - c->appended } };
    const grd_tensor *lengths = c->lengths;
    if (lengths)
        lengths = grd_view(lengths, GRD_SHAPE(q[0].size, 1, 1, 1));
    const grdi_mask_parts parts = { .attend = c->keep, .lengths = lengths };
    const grdi_mask band = { .left = c->left,
                             .right = c->right,
                             .offset = c->offset,
                             .by_length = c->by_length,
                             .appended = c->appended };
    return grdi_attention_mask(&parts, &band, &scores, grdi_device(c->query));
}

const grd_tensor *grdi_append_zeros(const grd_tensor *additive, int64_t keys, int64_t appended)
{
    if (!additive || appended == 0)
        return additive;
    grd_shape shape = grd_tensor_shape(additive);
    shape.rank += shape.rank == 0;
    shape.size[shape.rank - 1] = keys;
    const grd_tensor *known = grd_expand(additive, shape);
    shape.size[shape.rank - 1] = appended;
    const grd_tensor *zeros =
        grdi_full("attention_weights", &shape, 0, additive->array.dtype, grdi_device(additive));
    return grd_cat(GRD_LIST(known, zeros), -1);
}

/* x (B, H, S, D) for each of Hq heads of the query. */
static const grd_tensor *repeated(const grd_tensor *x, int64_t heads)
{
    const grd_shape shape = grd_tensor_shape(x);
    const int64_t *size = shape.size;
    if (size[1] == heads)
        return x;
    x = grd_expand(grd_unsqueeze(x, 2),
                   GRD_SHAPE(size[0], size[1], heads / size[1], size[2], size[3]));
    return grd_reshape(x, GRD_SHAPE(size[0], heads, size[2], size[3]));
}

/* dx (B, Hq, S, D) summed over the heads that share one of the keys'. */
static grd_tensor *shared(grd_tensor *dx, int64_t heads)
{
    const grd_shape shape = grd_tensor_shape(dx);
    const int64_t *size = shape.size;
    if (size[1] == heads)
        return dx;
    dx = grd_reshape(dx, GRD_SHAPE(size[0], heads, size[1] / heads, size[2], size[3]));
    return grd_sum_dims(dx, GRD_DIMS(2), GRD_DROP_DIMS);
}

static grd_tensor *turned(const grd_tensor *x)
{
    return grd_transpose(x, -1, -2);
}

static grd_tensor *dropped(const grdi_flash_call *c, grd_tensor *w)
{
    return c->dropout > 0 ? grdi_dropout_at(w, c->dropout, c->draw) : w;
}

/* 0 in hidden pairs, whatever stood there. */
static grd_tensor *cleared(const grd_tensor *x, const grd_tensor *keep)
{
    return grd_masked_fill(x, grd_logical_not(keep), 0);
}

/* The weights, and tanh(scale s / softcap), or NULL if scores are not capped, of s = q k^T. */
static grd_tensor *weights_of(const grdi_flash_call *c, const grd_tensor *k, const grd_tensor *keep,
                              grd_tensor **bent)
{
    grd_tensor *s = grdi_scores(c->query, k, keep);
    const int64_t keys = grd_tensor_size(c->key, 2) - c->appended;
    const grd_tensor *additive = grdi_append_zeros(c->additive, keys, c->appended);
    *bent = NULL;
    if (!(c->softcap > 0))
        return grdi_weights(s, additive, keep, c->scale, NULL);
    *bent = grd_tanh(grd_mul_scalar(cleared(s, keep), c->scale / c->softcap));
    return grdi_weights(grd_mul_scalar(*bent, c->softcap), additive, keep, 1, NULL);
}

/* In recorded ops, with the weights in memory: w = weights(capped(scale s)), s = q k^T,
 * y = dropped(w) v: dw = dropped(dy v^T), dadditive = w (dw - sum(w dw)),
 * ds = scale dadditive capped', dq = ds k, dk = ds^T q, dv = dropped(w)^T dy. */
void grdi_attend_backward(const grdi_flash_call *c, grd_tensor *dy, const bool wants[4],
                          grd_tensor *dx[4])
{
    const int64_t heads = c->query->array.dim[1].size, shared_heads = c->key->array.dim[1].size;
    const grd_tensor *keep = all_pairs(c), *keep_turned = keep ? turned(keep) : NULL;
    const grd_tensor *k = repeated(c->key, heads), *v = repeated(c->value, heads);
    grd_tensor *bent, *w = weights_of(c, k, keep, &bent);
    if (grdi_latched())
        return;
    if (wants[VALUE])
        dx[VALUE] = shared(grdi_mix(turned(dropped(c, w)), dy, keep_turned), shared_heads);
    if (!wants[QUERY] && !wants[KEY] && !wants[ADDITIVE])
        return;
    grd_tensor *dw = dropped(c, cleared(grdi_scores(dy, v, keep), keep));
    grd_tensor *sum = grd_sum_dims(grd_mul(w, dw), GRD_DIMS(-1), GRD_KEEP_DIMS);
    const grd_tensor *dadditive = grd_mul(w, grd_sub(dw, sum));
    if (wants[ADDITIVE])
        dx[ADDITIVE] = grd_slice(dadditive, -1, 0, grd_tensor_size(c->key, 2) - c->appended, 1);
    grd_tensor *ds = grd_mul_scalar(dadditive, c->scale);
    if (bent)
        ds = grd_mul(ds, grd_sub(grd_ones_like(bent), grd_square(bent)));
    if (wants[QUERY])
        dx[QUERY] = grdi_mix(ds, k, keep);
    if (wants[KEY])
        dx[KEY] = shared(grdi_mix(turned(ds), c->query, keep_turned), shared_heads);
}

static void flash_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grdi_flash_call call;
    const bool wants[] = { grdi_wants(node, QUERY), grdi_wants(node, KEY), grdi_wants(node, VALUE),
                           grdi_wants(node, ADDITIVE) };
    const grd_tensor *output = grdi_saved_output(node), *logsumexp = grdi_saved_extra(node, 0);
    if (!saved_masks(node, ADDITIVE, &call))
        return;
    call.query = grdi_saved(node, QUERY);
    call.key = grdi_saved(node, KEY);
    call.value = grdi_saved(node, VALUE);
    if (grdi_latched())
        return;
    if (grdi_recording()) {
        grdi_attend_backward(&call, dy, wants, dx);
        return;
    }
    if ((wants[QUERY] || wants[KEY] || wants[VALUE]) &&
        !grdi_flash_attention_backward(&call, output, logsumexp, dy, dx))
        dx[QUERY] = dx[KEY] = dx[VALUE] = NULL;
    if (wants[ADDITIVE])
        dx[ADDITIVE] = grdi_flash_attention_additive(&call, output, logsumexp, dy);
}

#define ALL                                                                                        \
    (GRDI_INPUT(QUERY) | GRDI_INPUT(KEY) | GRDI_INPUT(VALUE) | GRDI_INPUT(ADDITIVE) | GRDI_OUTPUT)

static const grdi_derivative flash = {
    .op = "flash_attention",
    .rule = "y = w v, w = softmax(s q k^T): dv = w^T dy, ds = w (dw - sum(w dw)), dq = s ds k",
    .needs = { ALL, ALL, ALL, ALL },
    .attributes = sizeof(settings),
    .backward = flash_backward,
};

/* y of the call, recorded with `inputs`. */
static grd_tensor *record(const grdi_derivative *derivative, const grdi_flash_call *call,
                          const grd_tensor *const inputs[], int count, grd_tensor **logsumexp)
{
    const grd_tensor *extra[3];
    grd_tensor *y = grdi_flash_attention(call, logsumexp);
    const settings s = { *call, call->lengths, call->keep, call->additive };
    int extras = 0;
    extra[extras++] = *logsumexp;
    if (call->lengths)
        extra[extras++] = call->lengths;
    if (call->keep)
        extra[extras++] = call->keep;
    return grdi_record_saving(derivative, y, inputs, count, &s, extra, extras);
}

grd_tensor *grdi_attend(const grdi_flash_call *call, grd_tensor **logsumexp)
{
    const grd_tensor *const inputs[] = { call->query, call->key, call->value, call->additive };
    return record(&flash, call, inputs, 4, logsumexp);
}

/* ---- Packed ---- */

enum { PACKED, PACKED_ADDITIVE };

/* The heads of query, key or value, recorded. */
static grd_tensor *part(const grd_tensor *packed, int which, int64_t heads)
{
    const grd_shape shape = grd_tensor_shape(packed);
    const int64_t width = shape.size[2] / 3;
    const grd_tensor *x = grd_slice(packed, 2, which * width, (which + 1) * width, 1);
    return grd_transpose(
        grd_reshape(x, GRD_SHAPE(shape.size[0], shape.size[1], heads, width / heads)), 1, 2);
}

static void composed_packed(grdi_flash_call *call, const grd_tensor *packed, grd_tensor *dy,
                            const bool wants[2], grd_tensor *dpacked[2])
{
    const bool wants_part[] = { wants[PACKED], wants[PACKED], wants[PACKED],
                                wants[PACKED_ADDITIVE] };
    const int64_t heads = grd_tensor_size(dy, 1);
    const grd_shape shape = grd_tensor_shape(packed);
    const grd_shape rows = GRD_SHAPE(shape.size[0], shape.size[1], shape.size[2] / 3);
    grd_tensor *dx[4] = { NULL };
    call->query = part(packed, QUERY, heads);
    call->key = part(packed, KEY, heads);
    call->value = part(packed, VALUE, heads);
    if (grdi_latched())
        return;
    grdi_attend_backward(call, dy, wants_part, dx);
    dpacked[PACKED_ADDITIVE] = dx[ADDITIVE];
    if (!wants[PACKED] || grdi_latched())
        return;
    for (int i = 0; i < 3; i++)
        dx[i] = grd_reshape(grd_transpose(dx[i], 1, 2), rows);
    dpacked[PACKED] = grd_cat(GRD_LIST(dx[QUERY], dx[KEY], dx[VALUE]), 2);
}

/* The three gradients side by side, as packed is. */
static grd_tensor *fused_packed(const grdi_flash_call *call, const grd_tensor *packed,
                                const grd_tensor *output, const grd_tensor *logsumexp,
                                grd_tensor *dy)
{
    grd_tensor *dx[3];
    const int64_t heads = grd_tensor_size(dy, 1);
    const grd_shape shape = grd_tensor_shape(packed);
    grd_tensor *dpacked =
        grdi_tensor_create("flash_attention", &shape, packed->array.dtype, grdi_device(packed));
    for (int i = 0; i < 3; i++)
        dx[i] = dpacked ? grdi_packed_heads(dpacked, i, heads) : NULL;
    if (grdi_latched() || !grdi_flash_attention_backward(call, output, logsumexp, dy, dx))
        return NULL;
    return dpacked;
}

static void packed_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grdi_flash_call call;
    const bool wants[] = { grdi_wants(node, PACKED), grdi_wants(node, PACKED_ADDITIVE) };
    const grd_tensor *packed = grdi_saved(node, PACKED), *output = grdi_saved_output(node);
    const grd_tensor *logsumexp = grdi_saved_extra(node, 0);
    const int64_t heads = grd_tensor_size(dy, 1);
    if (grdi_latched() || !saved_masks(node, PACKED_ADDITIVE, &call))
        return;
    if (grdi_recording()) {
        composed_packed(&call, packed, dy, wants, dx);
        return;
    }
    call.query = grdi_packed_heads(packed, QUERY, heads);
    call.key = grdi_packed_heads(packed, KEY, heads);
    call.value = grdi_packed_heads(packed, VALUE, heads);
    if (wants[PACKED] && !grdi_latched())
        dx[PACKED] = fused_packed(&call, packed, output, logsumexp, dy);
    if (wants[PACKED_ADDITIVE] && !grdi_latched())
        dx[PACKED_ADDITIVE] = grdi_flash_attention_additive(&call, output, logsumexp, dy);
}

#define PACKED_ALL (GRDI_INPUT(PACKED) | GRDI_INPUT(PACKED_ADDITIVE) | GRDI_OUTPUT)

static const grdi_derivative flash_packed = {
    .op = "flash_attention",
    .rule = "y = w v, w = softmax(s q k^T): dv = w^T dy, ds = w (dw - sum(w dw)), dq = s ds k",
    .needs = { PACKED_ALL, PACKED_ALL },
    .attributes = sizeof(settings),
    .backward = packed_backward,
};

grd_tensor *grdi_attend_projected(const grd_tensor *packed, const grdi_flash_call *call,
                                  grd_tensor **logsumexp)
{
    const grd_tensor *const inputs[] = { packed, call->additive };
    return record(&flash_packed, call, inputs, 2, logsumexp);
}
