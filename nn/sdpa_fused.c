/* Attention by the kernel that keeps no weights. */
#include "nn/attention.h"

/* The mask's gradient is a pass of its own, which only longer sequences make up for. */
static bool is_slow_for_mask(const grdi_sdpa_call *c)
{
    enum { PAIRS = 96 * 96 };
    const grd_tensor *additive = c->visible.parts.additive;
    const grd_shape *scores = &c->visible.scores;
    return additive && grdi_recording() && grd_tensor_requires_grad(additive) &&
           scores->size[scores->rank - 2] * scores->size[scores->rank - 1] < PAIRS;
}

const char *grdi_sdpa_unfused(const grdi_sdpa_call *c)
{
    if (!grd_device_supports(grdi_device(c->query), "flash_attention"))
        return "the device has no flash kernel";
    if (is_slow_for_mask(c) && !grdi_sdpa_strict(c->options))
        return "mask.additive needs a gradient, for which flash is slower over so few pairs";
    return NULL;
}

/* ---- Shapes ---- */

/* The product of the sizes before the last three. */
static int64_t batch_of(const grd_shape *shape)
{
    int64_t batch = 1;
    for (int64_t d = 0; d < shape->rank - 3; d++)
        batch *= shape->size[d];
    return batch;
}

/* x (..., H, T, D) as (B, H, T, D). */
static const grd_tensor *batched(const grd_tensor *x)
{
    const grd_shape shape = grd_tensor_shape(x);
    const int64_t *last = shape.size + shape.rank - 3;
    if (shape.rank == 4)
        return x;
    return grd_reshape(x, GRD_SHAPE(batch_of(&shape), last[0], last[1], last[2]));
}

/* The sizes that x has before (H, L, S), as one: 1 if they are all 1. */
static const grd_tensor *batched_mask(const grd_tensor *x, const grd_shape *scores)
{
    if (!x || scores->rank <= 4)
        return x;
    const int64_t batch = scores->rank - 3;
    grd_shape shape = grd_tensor_shape(x), wide = shape;
    const int64_t missing = scores->rank - shape.rank;
    bool varies = false;
    for (int64_t d = scores->rank - 1; d >= 0; d--) {
        wide.size[d] = d >= missing ? shape.size[d - missing] : 1;
        varies |= d < batch && wide.size[d] != 1;
    }
    wide.rank = scores->rank;
    for (int64_t d = 0; varies && d < batch; d++)
        wide.size[d] = scores->size[d];
    const int64_t *last = wide.size + batch;
    x = grd_expand(x, wide);
    return x ? grd_reshape(x, GRD_SHAPE(batch_of(&wide), last[0], last[1], last[2])) : NULL;
}

/* (B, H, L, Dv) in the query's leading sizes. */
static grd_tensor *unbatched(grd_tensor *y, const grd_tensor *query)
{
    grd_shape shape = grd_tensor_shape(query);
    if (!y || shape.rank == 4)
        return y;
    shape.size[shape.rank - 1] = grd_tensor_size(y, -1);
    return shape.rank == 3 ? grd_squeeze(y, 0) : grd_reshape(y, shape);
}

/* The call as the kernel takes it. False with an error latched. */
static bool describe(const grdi_sdpa_call *c, grdi_flash_call *call)
{
    const grdi_visible *visible = &c->visible;
    const grd_tensor *lengths = visible->parts.lengths;
    const grd_tensor *additive = visible->parts.additive;
    const grd_tensor *keep = grdi_keep_of_pairs(visible, grdi_device(c->query));
    if (grdi_latched())
        return false;
    *call = (grdi_flash_call){
        .query = batched(c->query),
        .key = batched(c->key),
        .value = batched(c->value),
        .lengths = lengths ? grd_reshape(lengths, GRD_SHAPE(grd_tensor_count(lengths))) : NULL,
        .keep = batched_mask(keep, &visible->scores),
        .additive = additive ? batched_mask(additive, &visible->scores) : NULL,
        .scale = c->scale,
        .softcap = c->options->softcap,
        .dropout = c->options->dropout,
        .draw = c->draw,
        .left = visible->band.left,
        .right = visible->band.right,
        .offset = visible->band.offset,
        .by_length = visible->band.by_length,
        .appended = visible->band.appended,
    };
    return !grdi_latched();
}

grd_tensor *grdi_sdpa_fused(const grdi_sdpa_call *c, grd_tensor **logsumexp)
{
    grdi_flash_call call;
    if (!describe(c, &call))
        return NULL;
    if (c->packed)
        return grdi_attend_projected(c->packed, &call, logsumexp);
    return unbatched(grdi_attend(&call, logsumexp), c->query);
}

/* ---- What it is called ---- */

static bool wants_gradient(const grd_tensor *x)
{
    return x && grdi_recording() && grd_tensor_requires_grad(x);
}

/* A reason that holds for several passes is told once. */
static void add_refusal(grd_kernel_choice *choice, const char *kernel, const char *reason)
{
    if (choice->num_refused && choice->refused[0].reason == reason)
        return;
    choice->refused[choice->num_refused].kernel = kernel;
    choice->refused[choice->num_refused++].reason = reason;
}

void grdi_sdpa_name_fused(const grdi_sdpa_call *c, grd_kernel_choice *choice)
{
    const grdi_attention_library *library = grdi_device(c->query)->attention_library;
    const bool wanted[GRDI_ATTENTION_PASSES] = {
        [GRDI_FORWARD] = true,
        [GRDI_BACKWARD] = wants_gradient(c->query) || wants_gradient(c->key) ||
                          wants_gradient(c->value) || wants_gradient(c->packed),
        [GRDI_BACKWARD_ADDITIVE] = wants_gradient(c->visible.parts.additive),
    };
    grdi_flash_call call;
    choice->chosen = "flash";
    if (!library || !describe(c, &call))
        return;
    for (grdi_attention_pass pass = GRDI_FORWARD; pass < GRDI_ATTENTION_PASSES; pass++) {
        const char *why = wanted[pass] ? grdi_flash_refusal(&call, pass) : NULL;
        if (why)
            add_refusal(choice, library->name[pass], why);
        else if (pass == GRDI_FORWARD)
            choice->chosen = library->name[pass];
    }
}
