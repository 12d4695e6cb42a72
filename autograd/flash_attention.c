#include "autograd/attention.h"

enum { QUERY, KEY, VALUE };

/* All of the call but its tensors, and which of these are there. */
typedef struct settings {
    grdi_flash_call call;
    bool has_lengths, has_keep, has_additive;
} settings;

/* The call again, as the node saved it; log-sum-exp is its first extra. */
static bool saved_call(grdi_node *node, grdi_flash_call *call)
{
    const settings *s = grdi_attributes(node);
    int next = 1;
    *call = s->call;
    call->query = grdi_saved(node, QUERY);
    call->key = grdi_saved(node, KEY);
    call->value = grdi_saved(node, VALUE);
    call->lengths = s->has_lengths ? grdi_saved_extra(node, next++) : NULL;
    call->keep = s->has_keep ? grdi_saved_extra(node, next++) : NULL;
    call->additive = s->has_additive ? grdi_saved_extra(node, next++) : NULL;
    return !grdi_latched();
}

/* Which pairs there are, in memory. */
static const grd_tensor *all_pairs(const grdi_flash_call *c)
{
    const grdi_dim *q = c->query->array.dim, *k = c->key->array.dim;
    const grd_shape scores = { 4, { q[0].size, q[1].size, q[2].size, k[2].size } };
    const grd_tensor *lengths = c->lengths;
    if (lengths)
        lengths = grd_view(lengths, GRD_SHAPE(q[0].size, 1, 1, 1));
    const grdi_mask_parts parts = { .attend = c->keep, .lengths = lengths };
    const grdi_mask band = {
        .left = c->left, .right = c->right, .offset = c->offset, .by_length = c->by_length
    };
    return grdi_attention_mask(&parts, &band, &scores, grdi_device(c->query));
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

/* In recorded ops, with the weights in memory: w = weights(s), s = q k^T, y = w v:
 * dw = dy v^T, ds = scale w (dw - sum(w dw)), dq = ds k, dk = ds^T q, dv = w^T dy. */
static void composed(grdi_node *node, const grdi_flash_call *c, grd_tensor *dy, grd_tensor *dx[])
{
    const int64_t heads = c->query->array.dim[1].size, shared_heads = c->key->array.dim[1].size;
    const grd_tensor *keep = all_pairs(c), *keep_turned = keep ? turned(keep) : NULL;
    const grd_tensor *k = repeated(c->key, heads), *v = repeated(c->value, heads);
    grd_tensor *w = grdi_weights(grdi_scores(c->query, k, keep), c->additive, keep, c->scale, NULL);
    if (grdi_wants(node, VALUE))
        dx[VALUE] = shared(grdi_mix(turned(w), dy, keep_turned), shared_heads);
    if (!grdi_wants(node, QUERY) && !grdi_wants(node, KEY))
        return;
    grd_tensor *dw = grd_masked_fill(grdi_scores(dy, v, keep), grd_logical_not(keep), 0);
    grd_tensor *sum = grd_sum_dims(grd_mul(w, dw), GRD_DIMS(-1), GRD_KEEP_DIMS);
    grd_tensor *ds = grd_mul_scalar(grd_mul(w, grd_sub(dw, sum)), c->scale);
    if (grdi_wants(node, QUERY))
        dx[QUERY] = grdi_mix(ds, k, keep);
    if (grdi_wants(node, KEY))
        dx[KEY] = shared(grdi_mix(turned(ds), c->query, keep_turned), shared_heads);
}

static void flash_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grdi_flash_call call;
    const grd_tensor *output = grdi_saved_output(node), *logsumexp = grdi_saved_extra(node, 0);
    if (!saved_call(node, &call) || !output || !logsumexp)
        return;
    if (grdi_recording())
        composed(node, &call, dy, dx);
    else if (!grdi_flash_attention_backward(&call, output, logsumexp, dy, dx))
        dx[QUERY] = dx[KEY] = dx[VALUE] = NULL;
}

#define ALL (GRDI_INPUT(QUERY) | GRDI_INPUT(KEY) | GRDI_INPUT(VALUE) | GRDI_OUTPUT)

static const grdi_derivative flash = {
    .op = "flash_attention",
    .needs = { ALL, ALL, ALL },
    .attributes = sizeof(settings),
    .backward = flash_backward,
};

grd_tensor *grdi_attend(const grdi_flash_call *call)
{
    const grd_tensor *const inputs[] = { call->query, call->key, call->value };
    const grd_tensor *extra[4];
    grd_tensor *logsumexp = NULL, *y = grdi_flash_attention(call, &logsumexp);
    const settings s = { *call, call->lengths, call->keep, call->additive };
    int extras = 0;
    extra[extras++] = logsumexp;
    if (call->lengths)
        extra[extras++] = call->lengths;
    if (call->keep)
        extra[extras++] = call->keep;
    if (call->additive)
        extra[extras++] = call->additive;
    return grdi_record_saving(&flash, y, inputs, 3, &s, extra, extras);
}
