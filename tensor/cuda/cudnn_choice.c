/* Which calls of flash attention cuDNN may take, and how it is told of them. */
#include "tensor/cuda/cudnn_flash.h"
#include "tensor/tensor.h"

#include <string.h>

typedef grdi_cudnn_call call;
typedef grdi_cudnn_attention attention;

static int64_t queries_of(const call *c)
{
    return c->query->dim[2].size;
}

static int64_t keys_of(const call *c)
{
    return c->key->dim[2].size;
}

/* ---- Where keys are seen ---- */

static bool varies_by_sample(const call *c)
{
    return c->how->by_length && c->how->lengths;
}

/* Of the diagonal, where all samples have the same. */
static int64_t offset_of(const call *c)
{
    return c->how->offset + (c->how->by_length ? keys_of(c) : 0);
}

/* Whether the bounds hide no key from any query. */
static bool is_open_to_the_right(const call *c)
{
    return c->how->right >= keys_of(c) - 1 - offset_of(c);
}

static bool is_open_to_the_left(const call *c)
{
    return c->how->left >= queries_of(c) - 1 + offset_of(c);
}

static bool shows_all(const call *c)
{
    return !varies_by_sample(c) && is_open_to_the_right(c) && is_open_to_the_left(c);
}

/* Which corner of the pairs the diagonal runs through: of all, or of those that lengths leave. */
static int64_t causal_of(const call *c)
{
    const int64_t from_the_end = varies_by_sample(c) ? 0 : keys_of(c);
    const int64_t offset = varies_by_sample(c) ? c->how->offset : offset_of(c);
    if (c->how->right != 0)
        return GRDI_CUDNN_ALL;
    if (!varies_by_sample(c) && offset == 0)
        return GRDI_CUDNN_TOP_LEFT;
    if (offset == from_the_end - queries_of(c) && (varies_by_sample(c) || !c->how->lengths))
        return GRDI_CUDNN_BOTTOM_RIGHT;
    return GRDI_CUDNN_ALL;
}

int64_t grdi_cudnn_window(const grdi_flash *how)
{
    return how->left + 1;
}

/* ---- Rules ---- */

static bool is_of_16_bits(const call *c)
{
    const grd_dtype dtype = c->query->dtype;
    return (dtype == GRD_F16 || dtype == GRD_BF16) && c->key->dtype == dtype &&
           c->value->dtype == dtype;
}

static bool is_something(const call *c)
{
    return grdi_count(c->query) > 0 && grdi_count(c->key) > 0 && grdi_count(c->value) > 0;
}

static bool fits(const call *c)
{
    const int64_t most = INT32_MAX / 2;
    return queries_of(c) <= most && keys_of(c) <= most && c->query->dim[0].size <= most;
}

static bool has_no_appended(const call *c)
{
    return c->how->appended == 0;
}

static bool has_no_softcap(const call *c)
{
    return !(c->how->softcap > 0);
}

/* Weights are dropped alike on every device and on every path of one. */
static bool has_no_dropout(const call *c)
{
    return !(c->how->dropout > 0);
}

/* When a text is made token by token each one sees another number of keys, and that would be a plan
 * each. */
static bool has_several_queries(const call *c)
{
    return queries_of(c) > 1;
}

static bool has_sizes_of_8(const call *c)
{
    return c->query->dim[3].size % 8 == 0 && c->value->dim[3].size % 8 == 0;
}

static bool has_sizes_to(const call *c, int64_t most)
{
    return c->query->dim[3].size <= most && c->value->dim[3].size <= most;
}

static bool has_sizes_to_256(const call *c)
{
    return has_sizes_to(c, 256);
}

/* On other GPUs than Hopper's. */
static bool has_sizes_of_backward(const call *c)
{
    return !c->gradient || c->capability == 90 || has_sizes_to(c, 128);
}

static bool is_aligned(const grdi_array *x)
{
    bool aligned = (uintptr_t)x->data % 16 == 0 && (x->dim[3].stride == 1 || x->dim[3].size == 1);
    for (int d = 0; d < 3; d++)
        aligned &= x->dim[d].size == 1 || (x->dim[d].stride > 0 && x->dim[d].stride % 8 == 0);
    return aligned;
}

static bool has_aligned_rows(const call *c)
{
    const grdi_flash_gradient *g = c->dadditive ? NULL : c->gradient;
    return is_aligned(c->query) && is_aligned(c->key) && is_aligned(c->value) &&
           (!c->output || is_aligned(c->output)) &&
           (!g || (is_aligned(g->dquery) && is_aligned(g->dkey) && is_aligned(g->dvalue)));
}

static bool has_known_band(const call *c)
{
    return shows_all(c) || (c->how->left >= 0 && causal_of(c) != GRDI_CUDNN_ALL);
}

static bool has_keys_for_queries(const call *c)
{
    const bool from_the_start = is_open_to_the_left(c) && causal_of(c) != GRDI_CUDNN_BOTTOM_RIGHT;
    return shows_all(c) || from_the_start || queries_of(c) <= keys_of(c);
}

static bool has_window_alone(const call *c)
{
    return shows_all(c) || is_open_to_the_left(c) || (!c->how->additive && !c->how->keep);
}

/* What cuDNN sums is the gradient of what it was given: additive, and keep as -inf in it. */
static bool has_gradient_of_mask(const call *c)
{
    const grdi_array *x = c->how->additive, *keep = c->how->keep;
    if (!c->dadditive)
        return true;
    bool has = x->dim[2].stride != 0 && (x->dim[3].stride != 0 || x->dim[3].size == 1);
    for (int d = 0; d < 2 && keep; d++)
        has &= x->dim[d].stride != 0 || keep->dim[d].stride == 0 || x->dim[d].size == 1;
    return has;
}

static const struct rule {
    bool (*holds)(const call *c);
    const char *why;
} rules[] = {
    { is_of_16_bits, "cuDNN takes f16 and bf16 alone" },
    { is_something, "cuDNN takes no empty tensors" },
    { fits, "cuDNN counts rows in 31 bits" },
    { has_no_appended, "cuDNN knows no appended keys" },
    { has_no_softcap, "cuDNN is not asked for softcap" },
    { has_no_dropout, "dropout: cuDNN draws other numbers than Gradus" },
    { has_several_queries, "cuDNN is not asked for one query, which would take a plan for every "
                           "number of keys" },
    { has_sizes_of_8, "cuDNN wants head sizes that are multiples of 8" },
    { has_sizes_to_256, "cuDNN takes head sizes up to 256" },
    { has_sizes_of_backward, "cuDNN's backward takes head sizes up to 128 on this GPU" },
    { has_aligned_rows, "cuDNN wants rows that begin at multiples of 16 bytes, each in its own "
                        "memory" },
    { has_known_band, "cuDNN's band is causal, from the first key or to the last, or a window that "
                      "ends there" },
    { has_keys_for_queries, "cuDNN wants as many keys as queries for a window or where the last "
                            "ones see all" },
    { has_window_alone, "cuDNN's window does not go with a mask" },
    { has_gradient_of_mask, "cuDNN gives the gradient of additive only where that has an element "
                            "for each query and key, and for each sample and head that other masks "
                            "tell apart" },
};

/* ---- The description ---- */

bool grdi_cudnn_needs_mask(const grdi_flash *how)
{
    const grdi_array *x = how->additive;
    return how->keep ||
           (x && ((x->dim[3].stride != 1 && x->dim[3].size > 1) || (uintptr_t)x->data % 16 != 0));
}

/* Where there is one of something its stride means nothing, and must not tell two plans apart. */
static void set_rows(attention *a, int64_t id, const grdi_array *x)
{
    const grdi_dim *dim = x->dim;
    const int64_t single[] = { dim[1].size * dim[2].size * dim[3].size, dim[2].size * dim[3].size,
                               dim[1].size * dim[3].size };
    for (int d = 0; d < 3; d++)
        a->stride[id - 1][d] = dim[d].size == 1 ? single[d] : dim[d].stride;
}

/* As the front end makes it: (B, T, H, D) in memory. */
static void set_rows_anew(attention *a, int64_t id)
{
    const grdi_cudnn_shape shape = grdi_cudnn_rows(a, id);
    const int64_t *size = shape.size;
    const grdi_array x = { .rank = 4,
                           .dim = { { size[0], size[1] * size[2] * size[3] },
                                    { size[1], size[3] },
                                    { size[2], size[1] * size[3] },
                                    { size[3], 1 } } };
    set_rows(a, id, &x);
}

static void set_rows_of(attention *a, int64_t id, const grdi_array *x)
{
    if (x)
        set_rows(a, id, x);
    else
        set_rows_anew(a, id);
}

/* A dimension along which neither part varies has size 1. */
static void set_mask(attention *a, const grdi_flash *how)
{
    const grdi_array *parts[] = { how->additive, how->keep };
    const int64_t size[] = { a->batch, a->heads, a->queries, a->keys };
    int64_t varying[4] = { 1, 1, 1, size[3] };
    if (!how->additive && !how->keep)
        return;
    for (int i = 0; i < 2; i++)
        for (int d = 0; parts[i] && d < 3; d++)
            if (parts[i]->dim[d].stride != 0)
                varying[d] = size[d];
    a->additive = grdi_cudnn_contiguous(varying[0], varying[1], varying[2], varying[3]);
    for (int d = 0; d < 3 && !grdi_cudnn_needs_mask(how); d++)
        if (varying[d] > 1)
            a->additive.stride[d] = how->additive->dim[d].stride;
}

/* Without padding cuDNN's backward is known to give NaN where keys are no multiple of 128; with it,
 * full lengths are the same call. */
static bool wants_padding(const call *c)
{
    return c->how->lengths || (c->gradient && keys_of(c) % 128 != 0);
}

static void set_sizes(attention *a, const call *c)
{
    const grdi_dim *q = c->query->dim;
    a->version = c->version;
    a->capability = c->capability;
    a->dtype = c->query->dtype == GRD_F16 ? GRDI_CUDNN_F16 : GRDI_CUDNN_BF16;
    a->batch = q[0].size;
    a->heads = q[1].size;
    a->key_heads = c->key->dim[1].size;
    a->queries = q[2].size;
    a->keys = keys_of(c);
    a->size = q[3].size;
    a->value_size = c->value->dim[3].size;
}

static void set_band(attention *a, const call *c)
{
    if (shows_all(c))
        return;
    a->causal = causal_of(c);
    a->windowed = !is_open_to_the_left(c);
}

static void set_strides(attention *a, const call *c)
{
    const grdi_flash_gradient *g = c->dadditive ? NULL : c->gradient;
    set_rows(a, GRDI_CUDNN_QUERY, c->query);
    set_rows(a, GRDI_CUDNN_KEY, c->key);
    set_rows(a, GRDI_CUDNN_VALUE, c->value);
    set_rows_of(a, GRDI_CUDNN_OUTPUT, c->output);
    if (!a->backward)
        return;
    set_rows_of(a, GRDI_CUDNN_DQUERY, g ? g->dquery : NULL);
    set_rows_of(a, GRDI_CUDNN_DKEY, g ? g->dkey : NULL);
    set_rows_of(a, GRDI_CUDNN_DVALUE, g ? g->dvalue : NULL);
}

const char *grdi_cudnn_describe(const call *c, attention *a)
{
    memset(a, 0, sizeof *a);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].holds(c))
            return rules[i].why;
    set_sizes(a, c);
    set_band(a, c);
    set_mask(a, c->how);
    a->backward = c->gradient != NULL;
    a->dadditive = c->dadditive;
    a->deterministic = a->backward && (!c->fast || c->dadditive);
    a->padded = wants_padding(c);
    set_strides(a, c);
    return NULL;
}
