/* Attention by the kernel that keeps no weights. */
#include "nn/attention.h"

static bool is_empty(const grd_tensor *x)
{
    return grd_tensor_count(x) == 0;
}

const char *grdi_sdpa_unfused(const grdi_sdpa_call *c)
{
    const grd_tensor *additive = c->visible.additive;
    if (c->query->array.dtype != GRD_F32)
        return "only f32 has a fused kernel";
    if (!grd_device_supports(grdi_device(c->query), "flash_attention"))
        return "the device has no fused kernel";
    if (c->query->array.rank > 4)
        return "there are several batch dimensions";
    if (c->options->dropout > 0)
        return "weights are dropped";
    if (c->options->softcap > 0)
        return "the scores are capped";
    if (additive && grdi_recording() && grd_tensor_requires_grad(additive))
        return "the additive mask needs a gradient";
    if (c->visible.band.appended)
        return "keys are appended";
    if (is_empty(c->query) || is_empty(c->key) || is_empty(c->value))
        return "an input is empty";
    return NULL;
}

/* x (H, T, D) as a batch of one. */
static const grd_tensor *batched(const grd_tensor *x)
{
    return x->array.rank == 3 ? grd_unsqueeze(x, 0) : x;
}

grd_tensor *grdi_sdpa_fused(const grdi_sdpa_call *c)
{
    const grdi_visible *visible = &c->visible;
    const grd_tensor *lengths = visible->parts.lengths;
    const grdi_flash_call call = {
        .query = batched(c->query),
        .key = batched(c->key),
        .value = batched(c->value),
        .lengths = lengths ? grd_reshape(lengths, GRD_SHAPE(grd_tensor_count(lengths))) : NULL,
        .keep = grdi_keep_of_pairs(visible, grdi_device(c->query)),
        .additive = visible->additive ? grd_detach(visible->additive) : NULL,
        .scale = c->scale,
        .left = visible->band.left,
        .right = visible->band.right,
        .offset = visible->band.offset,
        .by_length = visible->band.by_length,
    };
    if (grdi_latched())
        return NULL;
    if (c->packed)
        return grdi_attend_packed(c->packed, &call);
    grd_tensor *y = grdi_attend(&call);
    return y && c->query->array.rank == 3 ? grd_squeeze(y, 0) : y;
}
