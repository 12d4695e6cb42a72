/* A student's attention, and the mistakes that are planted into it. */
#include "tools/plants.h"

#include <math.h>
#include <string.h>

/* ---- The mistakes ---- */

enum { DIMENSIONS, ROWS, MASKS, GRADIENTS, KERNEL };
enum {
    WRONG_LAYOUT,
    WRONG_AXIS,
    SWAPPED_POLARITY,
    MASK_AFTER_SOFTMAX,
    PADDED_KEYS,
    MISSING_SCALE,
    MERGED_FLAT,
    DETACHED_VALUE,
    DROPPED_HEAD,
    IN_PLACE,
    WEIGHTS_ALWAYS,
    SHARED_VALUES
};

static const char *unbatched(const grd_mha_options *o)
{
    return o->layout == GRD_UNBATCHED ? "unbatched inputs have no batch that could be confused"
                                      : NULL;
}

static const char *one_head(const grd_mha_options *o)
{
    return o->num_heads == 1 ? "one head lies in memory as it does merged" : NULL;
}

static const char *scale_of_one(const grd_mha_options *o)
{
    return o->num_heads == o->embed_dim ? "the head size is 1, whose scale is 1" : NULL;
}

static const char *sizes_differ(const grd_mha_options *o)
{
    const int64_t query = o->embed_dim;
    const int64_t key = o->kdim ? o->kdim : query, value = o->vdim ? o->vdim : query;
    return query != key && query != value && key != value
               ? "embed_dim, kdim and vdim all differ: no two projections have one shape"
               : NULL;
}

/* clang-format off */
const plant plants[] = {
    [WRONG_LAYOUT] = { "wrong-layout", "batch and length confused",
      "The module is told one layout and computes in the other: (B, T, E) is read as (T, B, E). "
      "Every shape comes out right, and the loss even falls, but tokens attend to the same "
      "place in other samples instead of to their own sequence. In PyTorch this is what a "
      "forgotten batch_first=True does. It shows as soon as one sample changes: so do the "
      "others.",
      DIMENSIONS, unbatched },
    [WRONG_AXIS] = { "softmax-axis", "softmax over queries instead of keys",
      "The scores are (B, H, L, S), and the softmax must run over S, the keys, so that each "
      "query shares out 1 among them. Over L each key shares itself out among the queries: "
      "shapes agree, numbers are between 0 and 1, and yet a query may get more than one value's "
      "worth, or next to nothing. The sums of the weights' rows tell.",
      ROWS, NULL },
    [SWAPPED_POLARITY] = { "mask-polarity", "true and false of the mask swapped",
      "PyTorch has two conventions: in scaled_dot_product_attention true means \"takes part\", "
      "in nn.MultiheadAttention true means \"left out\". A mask handed from one to the other "
      "hides just what should be seen. A causal model then reads the future, is superb in "
      "training and useless afterwards. Gradus has no bare bool mask: a field is called attend "
      "or ignore.",
      MASKS, NULL },
    [MASK_AFTER_SOFTMAX] = { "mask-after-softmax", "weights zeroed after the softmax",
      "Hidden keys must be left out before the softmax, by a score of -inf. If the weights are "
      "zeroed after it, their sum has already seen the hidden keys: what remains sums to less "
      "than 1, the output fades the more is masked, and hidden keys still steer how much. The "
      "rows' sums show it, and so does changing a hidden key.",
      ROWS, NULL },
    [PADDED_KEYS] = { "padding-left-in", "padded keys take part",
      "Sequences of a batch are padded to one length, and key_lengths or key_ignore says where "
      "the padding begins. If it is dropped on the way to the softmax, every query spends part "
      "of its weight on padding, and a sample's result depends on how long its neighbours are. "
      "Padded keys then have weights above 0.",
      MASKS, NULL },
    [MISSING_SCALE] = { "missing-scale", "scores not divided by sqrt(head size)",
      "A dot product of D independent numbers has a deviation of sqrt(D), so attention divides "
      "the scores by sqrt(D). Without it softmax gets scores that are too far apart: it picks "
      "one key, and next to no gradient comes back through it. Shapes, sums and masks are all "
      "right; the gradients are not those of attention.",
      GRADIENTS, scale_of_one },
    [MERGED_FLAT] = { "merge-without-transpose", "heads merged by a reshape alone",
      "The heads' results are (B, H, L, D). Before the output projection they must be "
      "transposed to (B, L, H, D), then merged to (B, L, E). A reshape alone has as many "
      "numbers and the right shape, but a row then holds one head's results for several "
      "queries. So changing one query changes the rows of others.",
      DIMENSIONS, one_head },
    [DETACHED_VALUE] = { "detached-value", "the value projection cut off from backward",
      "A detach, a no-grad scope or a round trip through plain arrays cuts the graph. The "
      "forward does not change by a bit, and training still works a little, since the other "
      "projections learn around it: a mistake that no look at outputs can find. The value "
      "projection's gradient is missing.",
      GRADIENTS, NULL },
    [DROPPED_HEAD] = { "dropped-head", "the last head gets no gradient",
      "Here the last head's result is detached, as by a slice that was copied for a plot and "
      "put back. Each projection as a whole still has a gradient, of which only one block of "
      "rows is 0; looking at whole parameters misses it. So gradients are looked at head by "
      "head.",
      GRADIENTS, NULL },
    [IN_PLACE] = { "in-place-weights", "weights changed in place after the softmax",
      "Softmax keeps its result, because its derivative is computed from it. Writing into the "
      "weights afterwards, be it harmless in the forward, changes what backward would use. A "
      "good autograd notices and refuses, with the tensor's version; one that did not would "
      "give wrong gradients without a word.",
      GRADIENTS, NULL },
    [WEIGHTS_ALWAYS] = { "weights-on-fast-path", "weights made though nobody asked",
      "The fast kernel never holds the L x S weights; that is why it is fast and long sequences "
      "fit. A module that makes the weights anyway, for a plot that is drawn once a day, or "
      "since need_weights=True is the default, takes the slow path in every step. The numbers "
      "are right, so only asking which kernel ran finds it: strict must fail, and here it does "
      "not.",
      KERNEL, NULL },
    [SHARED_VALUES] = { "shared-initial-values", "projections start with the same numbers",
      "Initial values are drawn once and copied to several projections. Queries then equal "
      "keys: the score of a token with itself is a sum of squares, so every token looks at "
      "itself, and what starts equal gets coupled gradients. Every projection, head and layer "
      "must draw its own numbers.",
      GRADIENTS, sizes_differ },
};
/* clang-format on */
const int num_plants = sizeof plants / sizeof plants[0];

const plant *plant_named(const char *name)
{
    for (int i = 0; i < num_plants; i++)
        if (strcmp(plants[i].name, name) == 0)
            return &plants[i];
    return NULL;
}

static bool has(const student *s, int which)
{
    return s->plant == &plants[which];
}

/* ---- 1. Projections ---- */

static grd_tensor *parameter(const student *s, const char *name)
{
    for (int64_t i = 0; i < grd_module_num_parameters(s->module); i++)
        if (strcmp(grd_module_parameter_at(s->module, i).name, name) == 0)
            return grd_module_parameter_at(s->module, i).tensor;
    return NULL;
}

/* Query's, key's or value's weight: a part of the packed one, or its own. */
static grd_tensor *weight_of(const student *s, int part)
{
    static const char *const own[] = { "q_proj_weight", "k_proj_weight", "v_proj_weight" };
    const int64_t width = s->options->embed_dim;
    const grd_tensor *packed = parameter(s, "in_proj_weight");
    return packed ? grd_slice(packed, 0, part * width, (part + 1) * width, 1)
                  : parameter(s, own[part]);
}

static grd_tensor *project(const student *s, const grd_tensor *x, int part)
{
    const int64_t width = s->options->embed_dim;
    const grd_tensor *all = parameter(s, "in_proj_bias");
    const grd_tensor *bias = all ? grd_slice(all, 0, part * width, (part + 1) * width, 1) : NULL;
    return grd_linear(x, weight_of(s, part), bias);
}

/* x (B, S, E) with the keys that add_bias_kv and add_zero_attn append. */
static grd_tensor *append(const student *s, grd_tensor *x, const char *name)
{
    const grd_tensor *row = parameter(s, name);
    grd_shape one = grd_tensor_shape(x);
    one.size[1] = 1;
    if (row)
        x = grd_cat(GRD_LIST(x, grd_expand(row, one)), 1);
    if (s->options->add_zero_attn)
        x = grd_cat(GRD_LIST(x, grd_zeros_like(grd_slice(x, 1, 0, 1, 1))), 1);
    return x;
}

void student_prepare(const student *s)
{
    if (!s->plant || !has(s, SHARED_VALUES))
        return;
    grd_scope *scope = grd_scope_begin_no_grad();
    for (int a = 0; a < 3; a++)
        for (int b = a + 1; b < 3; b++)
            if (grd_tensor_size(weight_of(s, a), 1) == grd_tensor_size(weight_of(s, b), 1))
                grd_copy_(weight_of(s, b), weight_of(s, a));
    grd_scope_end(scope);
}

/* ---- 2. and 4. Heads ---- */

static grd_tensor *split(const student *s, const grd_tensor *x)
{
    const int64_t heads = s->options->num_heads, width = s->options->embed_dim;
    return grd_transpose(grd_reshape(x, GRD_SHAPE(grd_tensor_size(x, 0), grd_tensor_size(x, 1),
                                                  heads, width / heads)),
                         1, 2);
}

static grd_tensor *merge(const student *s, const grd_tensor *x)
{
    const grd_shape merged =
        GRD_SHAPE(grd_tensor_size(x, 0), grd_tensor_size(x, 2), s->options->embed_dim);
    if (has(s, DROPPED_HEAD))
        x = grd_cat(
            GRD_LIST(grd_slice(x, 1, 0, -1, 1), grd_detach(grd_slice(x, 1, -1, GRD_END, 1))), 1);
    return grd_reshape(has(s, MERGED_FLAT) ? x : grd_transpose(x, 1, 2), merged);
}

/* ---- 3. Attention of (B, H, L, D) to (B, H, S', D) ---- */

typedef struct heads {
    const grd_tensor *query, *key, *value;
    const grd_tensor *visible;  /* bool (B, H, L, S') */
    const grd_tensor *additive; /* with S' columns, or NULL */
    grd_weights weights;
    bool strict;
} heads;

static bool is_given(const grd_mask *m)
{
    return m->causal || m->window_left.set || m->window_right.set || m->window_left.value ||
           m->window_right.value || m->additive || m->attend || m->ignore || m->key_ignore ||
           m->key_lengths;
}

/* What the masks leave, and the additive one, for S keys and those appended. */
static void mask_heads(const student *s, heads *h, const grd_mha_args *args, int64_t keys)
{
    grd_mask mask = args ? args->mask : (grd_mask){ 0 };
    const bool given = is_given(&mask);
    grd_shape shape = GRD_SHAPE(grd_tensor_size(h->query, 0), s->options->num_heads,
                                grd_tensor_size(h->query, 2), keys);
    if (has(s, PADDED_KEYS))
        mask.key_ignore = mask.key_lengths = NULL;
    if (s->options->layout == GRD_UNBATCHED) {
        const grd_shape without = GRD_SHAPE(shape.size[1], shape.size[2], keys);
        h->visible = grd_unsqueeze(grd_mask_visible(&mask, without), 0);
    } else {
        h->visible = grd_mask_visible(&mask, shape);
    }
    if (has(s, SWAPPED_POLARITY) && given)
        h->visible = grd_logical_not(h->visible);
    h->additive = mask.additive;
    shape.size[3] = grd_tensor_size(h->key, 2) - keys;
    if (shape.size[3] == 0)
        return;
    h->visible = grd_cat(GRD_LIST(h->visible, grd_eq_scalar(grd_zeros(shape), 0)), 3);
    grd_shape rest = grd_tensor_shape(h->additive);
    if (h->additive) {
        rest.size[rest.rank - 1] = shape.size[3];
        const grd_tensor *zeros =
            grd_expand(grd_zeros_like(grd_slice(h->additive, -1, 0, 1, 1)), rest);
        h->additive = grd_cat(GRD_LIST(h->additive, zeros), -1);
    }
}

static grd_attention attend_by_library(const student *s, const heads *h)
{
    grd_sdpa_options options = { .mask = { .attend = h->visible, .additive = h->additive },
                                 .weights = h->weights,
                                 .strict = h->strict };
    if (has(s, MISSING_SCALE))
        options.scale = (grd_maybe_real)GRD_SET(1);
    return grd_sdpa(h->query, h->key, h->value, &options);
}

/* The sum of weighted values, of visible ones alone: 0 x NaN would be NaN. */
static grd_tensor *mix(const heads *h, const grd_tensor *weights)
{
    const grd_tensor *value = grd_unsqueeze(h->value, 2);
    const grd_tensor *seen = grd_where(grd_unsqueeze(h->visible, 4), value,
                                       grd_zeros_like(grd_slice(value, 3, 0, 1, 1)));
    return grd_sum_dims(grd_mul(grd_unsqueeze(weights, 4), seen), GRD_DIMS(3), GRD_DROP_DIMS);
}

/* In place: what the graph saved of the softmax is not what it was. */
static void overwrite(grd_tensor *weights)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    grd_mul_scalar_(weights, 1);
    grd_scope_end(scope);
}

static grd_attention attend_by_hand(const student *s, const heads *h)
{
    const double head_size = (double)grd_tensor_size(h->query, 3);
    const grd_tensor *hidden = grd_logical_not(h->visible);
    grd_tensor *scores =
        grd_mul_scalar(grd_matmul(h->query, grd_transpose(h->key, 2, 3)), 1 / sqrt(head_size));
    if (h->additive)
        scores = grd_add(scores, grd_clamp(h->additive, -1e30, 1e30));
    if (!has(s, MASK_AFTER_SOFTMAX))
        scores = grd_masked_fill(scores, hidden, -1e30);
    grd_tensor *weights = grd_softmax(scores, has(s, WRONG_AXIS) ? 2 : 3);
    if (has(s, IN_PLACE))
        overwrite(weights);
    weights = grd_masked_fill(weights, hidden, 0);
    return (grd_attention){
        .output = mix(h, weights),
        .weights = h->weights == GRD_AVERAGED   ? grd_mean_dims(weights, GRD_DIMS(1), GRD_DROP_DIMS)
                   : h->weights == GRD_PER_HEAD ? weights
                                                : NULL,
    };
}

static grd_attention attend(const student *s, const heads *h)
{
    if (has(s, WEIGHTS_ALWAYS))
        return attend_by_hand(s, h);
    if (!has(s, WRONG_AXIS) && !has(s, MASK_AFTER_SOFTMAX) && !has(s, IN_PLACE))
        return attend_by_library(s, h);
    if (!h->strict)
        return attend_by_hand(s, h);
    grd_fail(GRD_ERROR_UNSUPPORTED, "student", "attention by hand keeps the weights");
    return (grd_attention){ 0 };
}

/* ---- All of it ---- */

/* Batch first from the layout, and back: its own inverse but for unbatched. */
static grd_tensor *turned(const student *s, const grd_tensor *x)
{
    const bool turn = (s->options->layout == GRD_SEQUENCE_FIRST) != has(s, WRONG_LAYOUT);
    return turn ? grd_transpose(x, 0, 1) : grd_contiguous(x);
}

static grd_attention forward(const student *s, const grd_tensor *const x[3],
                             const grd_mha_args *args)
{
    grd_tensor *value = project(s, x[2], 2);
    if (has(s, DETACHED_VALUE))
        value = grd_detach(value);
    heads h = { .query = split(s, project(s, x[0], 0)),
                .key = split(s, append(s, project(s, x[1], 1), "bias_k")),
                .value = split(s, append(s, value, "bias_v")),
                .weights = args ? args->weights : GRD_NO_WEIGHTS,
                .strict = args && args->strict };
    mask_heads(s, &h, args, grd_tensor_size(x[1], 1));
    grd_attention a = attend(s, &h);
    a.output = a.output ? grd_linear(merge(s, a.output), parameter(s, "out_proj.weight"),
                                     parameter(s, "out_proj.bias"))
                        : NULL;
    return a;
}

grd_attention student_forward(const grd_tensor *query, const grd_tensor *key,
                              const grd_tensor *value, const grd_mha_args *args, void *user)
{
    const student *s = user;
    const grd_tensor *x[] = { query, key, value };
    const bool alone = s->options->layout == GRD_UNBATCHED;
    for (int i = 0; i < 3; i++)
        x[i] = alone ? grd_unsqueeze(x[i], 0) : turned(s, x[i]);
    grd_attention a = forward(s, x, args);
    if (a.output)
        a.output = alone ? grd_select(a.output, 0, 0) : turned(s, a.output);
    if (a.weights && alone)
        a.weights = grd_select(a.weights, 0, 0);
    return a;
}
