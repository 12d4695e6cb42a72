#include "nn/cache.h"

#include <math.h>

/* An encoder layer, or a decoder layer. Each part has its norm: self-attention the first, attention
 * over the memory the second of a decoder layer's three, the feed-forward the last. */
typedef struct layer {
    grd_encoder_layer_options options; /* ff_dim filled in */
    grd_module *self_attn, *linear1, *linear2;
    grd_module *multihead_attn; /* NULL: an encoder layer */
    int num_norms;
    grd_module *norms[3];
} layer;

static grd_tensor *forward(grd_module *self, const grd_tensor *x);

static const grdi_kind encoder_layer_kind = { "TransformerEncoderLayer", sizeof(layer), forward };
static const grdi_kind decoder_layer_kind = { "TransformerDecoderLayer", sizeof(layer), NULL };

static grd_tensor *(*const activations[])(const grd_tensor *x) = {
    [GRD_RELU] = grd_relu,
    [GRD_GELU] = grd_gelu,
    [GRD_GELU_TANH] = grd_gelu_tanh,
    [GRD_SILU] = grd_silu,
};

/* ---- Making one ---- */

bool grdi_check_layer(const char *op, const grd_encoder_layer_options *o)
{
    if (!grdi_check_heads(op, o->embed_dim, o->num_heads) || !grdi_check_dropout(op, o->dropout))
        return false;
    if ((unsigned)o->activation > GRD_SILU)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "activation is %d, which is no grd_activation",
                         (int)o->activation);
    if (o->ff_dim < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "ff_dim is %lld: 0 is 4 embed_dim",
                         (long long)o->ff_dim);
    if (!(o->norm_eps >= 0 && isfinite(o->norm_eps)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "norm_eps is %g, expected a positive number, or 0 for 1e-5", o->norm_eps);
    return true;
}

grd_module *grdi_norm_create(const grd_encoder_layer_options *o)
{
    return grd_layer_norm_create(o->embed_dim,
                                 &(grd_norm_options){ .eps = o->norm_eps, .no_bias = o->no_bias });
}

static grd_module *attention_of(grd_rng *rng, const grd_encoder_layer_options *o)
{
    return grd_mha_create(rng, &(grd_mha_options){ .embed_dim = o->embed_dim,
                                                   .num_heads = o->num_heads,
                                                   .layout = GRD_BATCH_FIRST,
                                                   .dropout = o->dropout,
                                                   .no_bias = o->no_bias });
}

/* In torch's order. */
static void add_parts(grd_module *self, grd_rng *rng)
{
    static const char *const names[] = { "norm1", "norm2", "norm3" };
    layer *m = grd_module_data(self);
    const grd_encoder_layer_options *o = &m->options;
    const grd_linear_options linear = { .no_bias = o->no_bias };
    m->self_attn = grd_module_add(self, "self_attn", attention_of(rng, o));
    if (self->kind == &decoder_layer_kind)
        m->multihead_attn = grd_module_add(self, "multihead_attn", attention_of(rng, o));
    m->linear1 =
        grd_module_add(self, "linear1", grd_linear_create(rng, o->embed_dim, o->ff_dim, &linear));
    m->linear2 =
        grd_module_add(self, "linear2", grd_linear_create(rng, o->ff_dim, o->embed_dim, &linear));
    m->num_norms = m->multihead_attn ? 3 : 2;
    for (int i = 0; i < m->num_norms; i++)
        m->norms[i] = grd_module_add(self, names[i], grdi_norm_create(o));
}

static grd_module *create(const char *op, const grdi_kind *kind, grd_rng *rng,
                          const grd_encoder_layer_options *options)
{
    if (!rng || !options)
        return grdi_fail_null(op);
    grd_module *self = grdi_check_layer(op, options) ? grdi_module_create(kind) : NULL;
    if (!self)
        return NULL;
    layer *m = grd_module_data(self);
    m->options = *options;
    m->options.ff_dim = options->ff_dim ? options->ff_dim : 4 * options->embed_dim;
    add_parts(self, rng);
    return grdi_latched() ? NULL : self;
}

grd_module *grd_encoder_layer_create(grd_rng *rng, const grd_encoder_layer_options *options)
{
    return create("encoder_layer_create", &encoder_layer_kind, rng, options);
}

grd_module *grd_decoder_layer_create(grd_rng *rng, const grd_encoder_layer_options *options)
{
    return create("decoder_layer_create", &decoder_layer_kind, rng, options);
}

/* ---- Forward ---- */

grd_tensor *grdi_drop(const grd_module *self, grd_tensor *x, double p)
{
    grd_rng *rng = NULL;
    return grdi_module_drops(self, p, &rng) ? grd_dropout(x, p, rng) : x;
}

/* What the part of norm i sees of x: pre-norm is x + f(norm(x)), post-norm is norm(x + f(x)). */
static const grd_tensor *enter(const layer *m, int i, const grd_tensor *x)
{
    return m->options.norm_first ? grd_forward(m->norms[i], x) : x;
}

/* x with y, what the part made of it, dropped. */
static grd_tensor *leave(const grd_module *self, int i, const grd_tensor *x, grd_tensor *y)
{
    const layer *m = grd_module_data(self);
    grd_tensor *sum = grd_add(x, grdi_drop(self, y, m->options.dropout));
    return m->options.norm_first ? sum : grd_forward(m->norms[i], sum);
}

/* linear2(drop(activation(linear1(x)))) */
static grd_tensor *feed_forward(const grd_module *self, const grd_tensor *x)
{
    const layer *m = grd_module_data(self);
    grd_tensor *hidden = grd_forward(m->linear1, x);
    hidden = hidden ? activations[m->options.activation](hidden) : NULL;
    return grd_forward(m->linear2, grdi_drop(self, hidden, m->options.dropout));
}

/* What fails within says in which of the layer's attentions. */
static grd_attention attend(grd_module *attention, const grd_tensor *query,
                            const grd_tensor *memory, const grd_mha_args *args)
{
    grd_attention a = { 0 };
    if (!query)
        return a;
    a = grd_mha_forward(attention, query, memory, memory, args);
    if (!a.output)
        grdi_error_context(" (in %s)", grdi_module_text(attention).chars);
    return a;
}

/* memory NULL: of an encoder layer. */
static grd_decoder_attention compute(const grd_module *self, const grd_tensor *x,
                                     const grd_tensor *memory, const grd_mha_args *to_itself,
                                     const grd_mha_args *to_memory)
{
    const layer *m = grd_module_data(self);
    const int last = m->num_norms - 1;
    grd_decoder_attention a = { 0 };
    const grd_tensor *seen = enter(m, 0, x);
    a.self = attend(m->self_attn, seen, seen, to_itself);
    x = leave(self, 0, x, a.self.output);
    if (memory) {
        a.cross = attend(m->multihead_attn, enter(m, 1, x), memory, to_memory);
        x = leave(self, 1, x, a.cross.output);
    }
    a.output = leave(self, last, x, feed_forward(self, enter(m, last, x)));
    a.self.output = a.cross.output = NULL;
    return a;
}

/* The same, with nothing left behind but the results. */
static grd_decoder_attention run(const grd_module *self, const grd_tensor *x,
                                 const grd_tensor *memory, const grd_decoder_args *args)
{
    static const grd_decoder_args defaults;
    args = args ? args : &defaults;
    grd_scope scope;
    grdi_scope_open(&scope);
    const grd_decoder_attention a = compute(self, x, memory, &args->self, &args->cross);
    grd_tensor *const results[] = { a.output,         a.self.weights,  a.self.dropped_weights,
                                    a.self.logsumexp, a.cross.weights, a.cross.dropped_weights,
                                    a.cross.logsumexp };
    const int count = sizeof results / sizeof results[0];
    return grdi_hand_over(&scope, results, count) ? a : (grd_decoder_attention){ 0 };
}

/* Said here, of x and memory: the attention within would call them query and key. */
static bool check_input(const char *op, const grd_module *self, const char *name, const char *shape,
                        const grd_tensor *x)
{
    const layer *m = grd_module_data(self);
    const int64_t width = m->options.embed_dim;
    if (grd_tensor_rank(x) == 3 && grd_tensor_size(x, 2) == width)
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, op, "%s: %s is %s, expected %s with E = %lld",
                     grdi_module_text(self).chars, name, grdi_size_text(x).chars, shape,
                     (long long)width);
}

static bool check_memory(const char *op, const grd_module *self, const grd_tensor *x,
                         const grd_tensor *memory, const grd_decoder_args *args)
{
    if (!check_input(op, self, "memory", "(B, S, E)", memory))
        return false;
    if (grd_tensor_size(x, 0) != grd_tensor_size(memory, 0))
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "%s: x is %s and memory %s: every sample has its own memory (use "
                         "grd_expand if they share it)",
                         grdi_module_text(self).chars, grdi_size_text(x).chars,
                         grdi_size_text(memory).chars);
    if (args && args->cross.cache)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "%s: args.cross.cache is given, but the memory is whole from the start: "
                         "a cache is of what self-attention has seen, args.self.cache",
                         grdi_module_text(self).chars);
    return true;
}

static grd_decoder_attention run_noted(grd_module *self, const grd_tensor *x,
                                       const grd_tensor *memory, const grd_decoder_args *args)
{
    grdi_module_enter(self);
    const grd_decoder_attention a = run(self, x, memory, args);
    grdi_module_leave(self);
    return a;
}

grd_attention grd_encoder_layer_forward(grd_module *self, const grd_tensor *x,
                                        const grd_mha_args *args)
{
    const char *op = "encoder_layer_forward";
    const grd_attention failed = { 0 };
    if (!grdi_may_make(op) || !grdi_module_data_of(op, self, &encoder_layer_kind))
        return failed;
    if (!x)
        return grdi_fail_null(op), failed;
    if (!check_input(op, self, "x", "(B, T, E)", x))
        return failed;
    grd_decoder_args given = { .self.weights = GRD_NO_WEIGHTS };
    if (args)
        given.self = *args;
    const int64_t mark = grdi_kv_mark(given.self.cache);
    const grd_decoder_attention a = run_noted(self, x, NULL, &given);
    if (a.output)
        grdi_module_call_hooks(self, a.output);
    grdi_kv_settle(given.self.cache, mark);
    grd_attention result = a.self;
    result.output = a.output;
    return grdi_latched() ? failed : result;
}

grd_decoder_attention grd_decoder_layer_forward(grd_module *self, const grd_tensor *x,
                                                const grd_tensor *memory,
                                                const grd_decoder_args *args)
{
    const char *op = "decoder_layer_forward";
    const grd_decoder_attention failed = { 0 };
    if (!grdi_may_make(op) || !grdi_module_data_of(op, self, &decoder_layer_kind))
        return failed;
    if (!x || !memory)
        return grdi_fail_null(op), failed;
    if (!check_input(op, self, "x", "(B, T, E)", x) || !check_memory(op, self, x, memory, args))
        return failed;
    grd_cache *cache = args ? args->self.cache : NULL;
    const int64_t mark = grdi_kv_mark(cache);
    const grd_decoder_attention a = run_noted(self, x, memory, args);
    if (a.output)
        grdi_module_call_hooks(self, a.output);
    grdi_kv_settle(cache, mark);
    return grdi_latched() ? failed : a;
}

/* For grd_forward, which calls the hooks itself. */
static grd_tensor *forward(grd_module *self, const grd_tensor *x)
{
    return check_input("forward", self, "x", "(B, T, E)", x) ? run(self, x, NULL, NULL).output
                                                             : NULL;
}

grd_decoder_attention grd_at_decoder_attention(grd_decoder_attention result, const char *file,
                                               int line)
{
    result.output = grd_at(result.output, file, line);
    return result;
}
