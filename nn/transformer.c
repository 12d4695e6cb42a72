#include "nn/transformer.h"

#include "nn/cache.h"

#include <math.h>
#include <string.h>

typedef struct transformer {
    grd_transformer_options options;
    grd_module *token_embedding, *position_embedding, *blocks, *norm;
    grd_module *head; /* NULL: tied */
} transformer;

static grd_tensor *forward(grd_module *self, const grd_tensor *tokens);

static const grdi_kind transformer_kind = { "Transformer", sizeof(transformer), forward };

/* ---- Making one ---- */

static bool check_sizes(const grd_transformer_options *o)
{
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = {
        { "vocab_size", o->vocab_size }, { "context", o->context },
        { "embed_dim", o->embed_dim },   { "num_heads", o->num_heads },
        { "num_layers", o->num_layers },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value < 1)
            return grdi_fail(GRD_ERROR_ARGUMENT, "transformer_create",
                             "%s is %lld: it is required and positive", sizes[i].name,
                             (long long)sizes[i].value);
    return true;
}

static bool check(const grd_transformer_options *o)
{
    const char *op = "transformer_create";
    if (!check_sizes(o) || !grdi_check_heads(op, o->embed_dim, o->num_heads) ||
        !grdi_check_dropout(op, o->dropout))
        return false;
    if (o->direction != GRD_CAUSAL && o->direction != GRD_BIDIRECTIONAL)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "direction is not stated: GRD_CAUSAL if no position may see a later one, "
                         "else GRD_BIDIRECTIONAL");
    return true;
}

static grd_encoder_layer_options layer_of(const grd_transformer_options *o)
{
    return (grd_encoder_layer_options){ .embed_dim = o->embed_dim,
                                        .num_heads = o->num_heads,
                                        .ff_dim = o->ff_dim,
                                        .dropout = o->dropout,
                                        .activation = o->activation,
                                        .norm_eps = o->norm_eps,
                                        .norm_first = o->norm_first,
                                        .no_bias = o->no_bias };
}

static bool ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Matrices: normal, those that end a residual branch narrower the more of them there are, as GPT-2.
 * Biases: 0. Norms keep their ones. */
static void set_initial_values(grd_module *self, grd_rng *rng)
{
    const transformer *m = grd_module_data(self);
    const double narrow = 0.02 / sqrt(2 * (double)m->options.num_layers);
    for (int64_t i = 0; i < grd_module_num_parameters(self) && !grdi_latched(); i++) {
        const grd_named p = grd_module_parameter_at(self, i);
        const bool residual =
            ends_with(p.name, "out_proj.weight") || ends_with(p.name, "linear2.weight");
        const double deviation = residual ? narrow : 0.02;
        if (grd_tensor_rank(p.tensor) >= 2)
            grd_copy_(p.tensor,
                      grd_mul_scalar(grd_randn(rng, grd_tensor_shape(p.tensor)), deviation));
        else if (ends_with(p.name, "bias"))
            grd_fill_(p.tensor, 0);
    }
}

static void add_parts(grd_module *self, grd_rng *rng)
{
    transformer *m = grd_module_data(self);
    const grd_transformer_options *o = &m->options;
    const grd_encoder_layer_options layer = layer_of(o);
    m->token_embedding = grd_module_add(self, "token_embedding",
                                        grd_embedding_create(rng, o->vocab_size, o->embed_dim));
    m->position_embedding = grd_module_add(self, "position_embedding",
                                           grd_embedding_create(rng, o->context, o->embed_dim));
    m->blocks = grd_module_add(
        self, "blocks", grdi_layers_create(rng, &layer, o->num_layers, grd_encoder_layer_create));
    m->norm = grd_module_add(self, "norm", grdi_norm_create(&layer));
    if (!o->tied)
        m->head = grd_module_add(self, "head",
                                 grd_linear_create(rng, o->embed_dim, o->vocab_size,
                                                   &(grd_linear_options){ .no_bias = true }));
}

grd_module *grd_transformer_create(grd_rng *rng, const grd_transformer_options *options)
{
    if (!rng || !options)
        return grdi_fail_null("transformer_create");
    grd_module *self = check(options) ? grdi_module_create(&transformer_kind) : NULL;
    if (!self)
        return NULL;
    grd_transformer_options *o = &((transformer *)grd_module_data(self))->options;
    *o = *options;
    o->ff_dim = o->ff_dim ? o->ff_dim : 4 * o->embed_dim;
    o->norm_eps = o->norm_eps == 0 ? 1e-5 : o->norm_eps;
    add_parts(self, rng);

    grd_scope *scope = grd_scope_begin_no_grad();
    set_initial_values(self, rng);
    return grd_scope_end(scope) == GRD_OK ? self : NULL;
}

const grd_transformer_options *grdi_transformer_options(const char *op, const grd_module *model)
{
    const transformer *m = grdi_module_data_of(op, model, &transformer_kind);
    return m ? &m->options : NULL;
}

/* ---- Forward ---- */

/* `before` tokens came in earlier calls. */
static bool check_tokens(const grd_module *self, const grd_tensor *tokens, int64_t before)
{
    const grd_transformer_options *o = grdi_transformer_options("transformer_forward", self);
    if (grd_tensor_dtype(tokens) != GRD_I64 || grd_tensor_rank(tokens) != 2)
        return grdi_fail(grd_tensor_rank(tokens) == 2 ? GRD_ERROR_DTYPE : GRD_ERROR_SHAPE,
                         "transformer_forward", "tokens are %s of %s, expected i64 (B, T)",
                         grdi_dtype_name(grd_tensor_dtype(tokens)), grdi_size_text(tokens).chars);
    const int64_t length = grd_tensor_size(tokens, 1);
    if (length <= o->context - before)
        return true;
    if (before)
        return grdi_fail(GRD_ERROR_SHAPE, "transformer_forward",
                         "tokens are %s: with %lld in the cache %lld positions, but the model's "
                         "context is %lld (grd_cache_truncate(cache, 0), then the last tokens "
                         "anew)",
                         grdi_size_text(tokens).chars, (long long)before,
                         (long long)(before + length), (long long)o->context);
    return grdi_fail(GRD_ERROR_SHAPE, "transformer_forward",
                     "tokens are %s: %lld positions, but the model's context is %lld",
                     grdi_size_text(tokens).chars, (long long)length, (long long)o->context);
}

static bool check_direction(const grd_module *self, const grd_mha_args *args)
{
    const transformer *m = grd_module_data(self);
    return !args || !args->cache || m->options.direction == GRD_CAUSAL ||
           grdi_fail(GRD_ERROR_ARGUMENT, "transformer_forward",
                     "%s is bidirectional: its tokens see later ones, which a cache does not have "
                     "yet (give the whole sequence, without a cache)",
                     grdi_module_text(self).chars);
}

/* token_embedding + position_embedding, dropped; the first token's position is `before`. */
static grd_tensor *embed(const grd_module *self, const grd_tensor *tokens, int64_t before)
{
    const transformer *m = grd_module_data(self);
    const grd_tensor *positions = grd_module_parameter(m->position_embedding, "weight");
    grd_tensor *x = grd_forward(m->token_embedding, tokens);
    if (!x || !positions)
        return NULL;
    x = grd_add(x, grd_slice(positions, 0, before, before + grd_tensor_size(tokens, 1), 1));
    return grdi_drop(self, x, m->options.dropout);
}

static grd_tensor *logits_of(const transformer *m, const grd_tensor *x)
{
    x = grd_forward(m->norm, x);
    if (m->head || !x)
        return grd_forward(m->head, x);
    return grd_linear(x, grd_module_parameter(m->token_embedding, "weight"), NULL);
}

/* The logits; every layer's results go to `results`, if it is not NULL. */
static grd_tensor *compute(const grd_module *self, const grd_tensor *tokens,
                           const grd_mha_args *args, grd_attention *results)
{
    const transformer *m = grd_module_data(self);
    grd_mha_args chosen = args ? *args : (grd_mha_args){ 0 };
    if (m->options.direction == GRD_CAUSAL)
        chosen.mask.causal = true;
    grd_tensor *x = embed(self, tokens, grdi_kv_length_in(chosen.cache, self));
    x = grdi_layers_forward(m->blocks, m->options.num_layers, x, &chosen, results);
    return x ? logits_of(m, x) : NULL;
}

grd_transformer_output grd_transformer_forward(grd_module *model, const grd_tensor *tokens,
                                               const grd_mha_args *args)
{
    const char *op = "transformer_forward";
    const grd_transformer_output failed = { 0 };
    const transformer *m = grdi_module_data_of(op, model, &transformer_kind);
    if (!grdi_may_make(op) || !m)
        return failed;
    if (!tokens)
        return grdi_fail_null(op), failed;
    grd_cache *cache = args ? args->cache : NULL;
    if (!check_direction(model, args) ||
        !check_tokens(model, tokens, grdi_kv_length_in(cache, model)))
        return failed;
    const int64_t count = m->options.num_layers, mark = grdi_kv_mark(cache);
    grd_attention *layers = grdi_results_create(op, count, sizeof *layers);
    if (!layers)
        return failed;
    grdi_module_enter(model);
    grd_tensor *logits = compute(model, tokens, args, layers);
    grdi_module_leave(model);
    if (logits)
        grdi_module_call_hooks(model, logits);
    grdi_kv_settle(cache, mark);
    if (grdi_latched())
        return failed;
    return (grd_transformer_output){ logits, count, layers };
}

/* For grd_forward: the logits alone, and nothing else left behind. */
static grd_tensor *forward(grd_module *self, const grd_tensor *tokens)
{
    if (!check_tokens(self, tokens, 0))
        return NULL;
    grd_scope scope;
    grdi_scope_open(&scope);
    const grd_attention result = { .output = compute(self, tokens, NULL, NULL) };
    return grdi_hand_out(&scope, result).output;
}

grd_transformer_output grd_at_transformer_output(grd_transformer_output result, const char *file,
                                                 int line)
{
    result.logits = grd_at(result.logits, file, line);
    return result;
}
