#include "nn/transformer.h"

#include <math.h>

static const char op[] = "generate";

static const int64_t most_tokens = (int64_t)1 << 40; /* so that bytes do not overflow */

/* What has been said so far: the prompt, then what was generated. */
typedef struct text {
    int64_t *tokens;
    int64_t length, capacity;
    grd_cache *cache; /* held; NULL: the model sees its whole window at every step */
} text;

static bool check(const grd_tensor *prompt, int64_t count, const grd_rng *rng,
                  const grd_generate_options *o)
{
    if (grd_tensor_rank(prompt) != 1 || grd_tensor_dtype(prompt) != GRD_I64 ||
        grd_tensor_count(prompt) < 1)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "prompt is %s of %s, expected i64 (T) with at least one token",
                         grdi_dtype_name(grd_tensor_dtype(prompt)), grdi_size_text(prompt).chars);
    if (count < 0 || count > most_tokens)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "count is %lld, expected 0 to %lld",
                         (long long)count, (long long)most_tokens);
    if (!(o->temperature >= 0) || isinf(o->temperature))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "temperature is %g, expected 0 or more",
                         o->temperature);
    if (o->top_k < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "top_k is %lld, expected 0 (all) or more",
                         (long long)o->top_k);
    if (o->temperature > 0 && !rng)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "temperature %g draws tokens, but there is no rng (see grd_rng_create)",
                         o->temperature);
    return true;
}

/* Steps are to be the cheaper for a cache where it changes nothing: not in a model whose tokens see
 * later ones, nor while it drops, anew for every step. The scope around is not to own it, since
 * what is made in on_token belongs to the caller's. */
static grd_cache *cache_for(grd_module *model, const text *said)
{
    const grd_transformer_options *o = grdi_transformer_options(op, model);
    const bool drops = o->dropout > 0 && model->mode != GRDI_EVALUATING;
    if (said->length > o->context || o->direction != GRD_CAUSAL || drops)
        return NULL;
    const int64_t length = said->capacity < o->context ? said->capacity : o->context;
    grd_scope scope;
    grdi_scope_open(&scope);
    grd_cache *cache = grdi_retain(grd_cache_create(model, 1, length));
    grd_scope_end(&scope);
    return cache;
}

static grd_tensor *logits_of_new(grd_module *model, const text *said)
{
    const int64_t before = grd_cache_length(said->cache), count = said->length - before;
    const grd_tensor *tokens = grd_from_i64(said->tokens + before, count, GRD_SHAPE(1, count));
    return tokens ? grd_transformer_forward(model, tokens, &(grd_mha_args){ .cache = said->cache })
                        .logits
                  : NULL;
}

static grd_tensor *logits_of_window(grd_module *model, const text *said, int64_t context)
{
    const int64_t seen = said->length < context ? said->length : context;
    const grd_tensor *window =
        grd_from_i64(said->tokens + said->length - seen, seen, GRD_SHAPE(1, seen));
    return window ? grd_forward(model, window) : NULL;
}

/* The logits (V) of the token that follows. Past the context positions shift, and with them all
 * keys. */
static grd_tensor *next_logits(grd_module *model, const text *said, int64_t context)
{
    grd_tensor *logits = said->cache && said->length <= context
                             ? logits_of_new(model, said)
                             : logits_of_window(model, said, context);
    return logits ? grd_select(grd_select(logits, 1, -1), 0, 0) : NULL;
}

static int64_t drawn(const grd_tensor *logits, grd_rng *rng, double temperature)
{
    const grd_tensor *likely = grd_softmax(grd_div_scalar(logits, temperature), -1);
    return (int64_t)grd_item(grd_multinomial(rng, likely, 1));
}

/* The next token; meaningless with an error latched. */
static int64_t choose(const grd_tensor *logits, grd_rng *rng, const grd_generate_options *o)
{
    const int64_t size = grd_tensor_size(logits, -1);
    if (grdi_latched())
        return 0;
    if (!(o->temperature > 0))
        return (int64_t)grd_item(grd_argmax(logits, -1));
    if (!o->top_k || o->top_k >= size)
        return drawn(logits, rng, o->temperature);
    const grd_values_indices top = grd_topk(logits, o->top_k, -1);
    const int64_t place = drawn(top.values, rng, o->temperature);
    return (int64_t)grd_item_at(top.indices, GRD_DIMS(place));
}

/* One more token; false when it failed or was told to stop. */
static bool extend(grd_module *model, text *said, int64_t context, grd_rng *rng,
                   const grd_generate_options *o)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    const int64_t token = choose(next_logits(model, said, context), rng, o);
    if (grd_scope_end(scope) != GRD_OK)
        return false;
    said->tokens[said->length++] = token;
    return !o->on_token || o->on_token(token, o->user);
}

static grd_tensor *continue_text(grd_module *model, const grd_tensor *prompt, text *said,
                                 grd_rng *rng, const grd_generate_options *o)
{
    const grd_transformer_options *model_options = grdi_transformer_options(op, model);
    said->length = grd_tensor_count(prompt);
    if (!model_options || grd_read_i64(prompt, said->tokens, said->length) != GRD_OK)
        return NULL;
    const int64_t before = said->length;
    said->cache = cache_for(model, said);
    while (said->length < said->capacity && extend(model, said, model_options->context, rng, o))
        continue;
    grdi_release(said->cache);
    return grd_from_i64(said->tokens + before, said->length - before,
                        GRD_SHAPE(said->length - before));
}

grd_tensor *grd_generate(grd_module *model, const grd_tensor *prompt, int64_t count, grd_rng *rng,
                         const grd_generate_options *options)
{
    const grd_generate_options chosen = options ? *options : (grd_generate_options){ 0 };
    if (!model || !prompt)
        return grdi_fail_null(op);
    if (grdi_latched() || !check(prompt, count, rng, &chosen))
        return NULL;
    text said = { .capacity = grd_tensor_count(prompt) + count };
    const size_t bytes = (size_t)said.capacity * sizeof *said.tokens;
    said.tokens = grdi_allocate(bytes);
    if (!said.tokens)
        return grdi_fail_memory(op, bytes);
    grd_tensor *result = continue_text(model, prompt, &said, rng, &chosen);
    grdi_free(said.tokens, bytes);
    return result;
}
