/* What gradus gradcheck checks of modules: their inputs and all of their parameters. */
#include "tools/gradcheck.h"

static grd_module *module_of(void *use)
{
    return ((checked_use *)use)->module;
}

static const void *settings_of(void *use)
{
    return ((checked_use *)use)->c->settings;
}

/* Inputs are those of grd_forward. */
static grd_tensor *forward(const grd_tensor *const *x, void *use)
{
    return grd_forward(module_of(use), x[0]);
}

/* ---- Layers: settings are the options ---- */

static grd_module *make_linear(grd_rng *rng, const void *options)
{
    return grd_linear_create(rng, 4, 3, options);
}

static grd_module *make_embedding(grd_rng *rng, const void *options)
{
    (void)options;
    return grd_embedding_create(rng, 5, 3);
}

grd_module *disturbed(grd_rng *rng, grd_module *module)
{
    static double deviation = 0.7;
    grd_module_initialize(module, "*", grd_init_normal, rng, &deviation);
    grd_module_eval(module);
    return module;
}

static grd_module *make_layer_norm(grd_rng *rng, const void *options)
{
    const grd_norm_options *o = options;
    grd_module *module = grd_layer_norm_create(4, o);
    return o && o->no_affine ? module : disturbed(rng, module);
}

static grd_module *make_rms_norm(grd_rng *rng, const void *options)
{
    const grd_norm_options *o = options;
    grd_module *module = grd_rms_norm_create(4, o);
    return o && o->no_affine ? module : disturbed(rng, module);
}

static grd_module *make_dropout(grd_rng *rng, const void *options)
{
    (void)rng;
    (void)options;
    grd_module *module = grd_dropout_create(0.4);
    grd_module_eval(module);
    return module;
}

/* Draws the same each time: the same function each time. */
static grd_tensor *forward_in_training(const grd_tensor *const *x, void *use)
{
    grd_module_train(module_of(use), grd_rng_create(9));
    return grd_forward(module_of(use), x[0]);
}

/* ---- MultiheadAttention ---- */

typedef struct mha_settings {
    grd_mha_options o;
    grd_mha_args args;
    /* Parts of the mask; additive is the last input. */
    bool additive, attend, ignore, key_ignore, key_lengths, training, unpacked;
} mha_settings;

static grd_module *make_mha(grd_rng *rng, const void *settings)
{
    const mha_settings *s = settings;
    grd_mha_options options = s->o;
    options.embed_dim = 4;
    options.num_heads = 2;
    grd_module *module = disturbed(rng, grd_mha_create(rng, &options));
    if (s->unpacked)
        grd_mha_unpack(module);
    return module;
}

/* Two queries, three keys, one sample; row 1 of `ignore` sees no key. */
static void set_masks(grd_mask *mask, const mha_settings *s)
{
    static const bool attend[] = { 1, 0, 1, 0, 1, 1 }, ignore[] = { 0, 1, 0, 1, 1, 1 };
    static const bool key_ignore[] = { 0, 1, 0 };
    if (s->attend)
        mask->attend = grd_from_bool(attend, 6, GRD_SHAPE(2, 3));
    if (s->ignore)
        mask->ignore = grd_from_bool(ignore, 6, GRD_SHAPE(1, 2, 3));
    if (s->key_ignore)
        mask->key_ignore = grd_from_bool(key_ignore, 3, GRD_SHAPE(1, 3));
    if (s->key_lengths)
        mask->key_lengths = grd_from_i64((const int64_t[]){ 2 }, 1, GRD_SHAPE(1));
}

static grd_tensor *mha(const grd_tensor *const *x, void *use)
{
    const mha_settings *s = settings_of(use);
    grd_mha_args args = s->args;
    set_masks(&args.mask, s);
    if (s->additive)
        args.mask.additive = x[3];
    if (s->training)
        grd_module_train(module_of(use), grd_rng_create(9));
    const grd_attention a = grd_mha_forward(module_of(use), x[0], x[1], x[2], &args);
    return args.weights ? a.weights : args.logsumexp ? a.logsumexp : a.output;
}

static grd_tensor *mha_self(const grd_tensor *const *x, void *use)
{
    const mha_settings *s = settings_of(use);
    return grd_mha_forward(module_of(use), x[0], x[0], x[0], &s->args).output;
}

/* ---- Blocks and models ---- */

typedef struct block_settings {
    grd_encoder_layer_options o;
    grd_mha_args args;
    int64_t key_lengths; /* of the sample; 0: all */
} block_settings;

static grd_encoder_layer_options block_options(const void *settings)
{
    grd_encoder_layer_options options = ((const block_settings *)settings)->o;
    options.embed_dim = 4;
    options.num_heads = 2;
    options.ff_dim = 3;
    return options;
}

static grd_module *make_encoder_layer(grd_rng *rng, const void *settings)
{
    const grd_encoder_layer_options options = block_options(settings);
    return disturbed(rng, grd_encoder_layer_create(rng, &options));
}

static grd_tensor *encoder_layer(const grd_tensor *const *x, void *use)
{
    const block_settings *s = settings_of(use);
    grd_mha_args args = s->args;
    if (s->key_lengths)
        args.mask.key_lengths = grd_from_i64(&s->key_lengths, 1, GRD_SHAPE(1));
    return grd_encoder_layer_forward(module_of(use), x[0], &args).output;
}

static grd_module *make_transformer(grd_rng *rng, const void *settings)
{
    grd_transformer_options options = *(const grd_transformer_options *)settings;
    options.vocab_size = 5;
    options.context = 3;
    options.embed_dim = 4;
    options.num_heads = 2;
    options.ff_dim = 3;
    return disturbed(rng, grd_transformer_create(rng, &options));
}

/* ---- The table ---- */

#define MHA(...) &(const mha_settings){ __VA_ARGS__ }, make_mha
#define LAYER(...) &(const block_settings){ __VA_ARGS__ }, make_encoder_layer
#define TRANSFORMER(...) &(const grd_transformer_options){ __VA_ARGS__ }, make_transformer
#define BATCH_FIRST .o = { .layout = GRD_BATCH_FIRST }
#define CROSS NORMAL(1, 2, 4), NORMAL(1, 3, 4), NORMAL(1, 3, 4)

/* clang-format off */
static const checked_case cases[] = {
    { "Linear", "", forward, { NORMAL(2, 2, 4) }, NULL, make_linear },
    { "Linear", "no bias", forward, { NORMAL(2, 4) }, &(const grd_linear_options){ .no_bias = true }, make_linear },
    { "Embedding", "", forward, { INDEX(5, 2, 3) }, NULL, make_embedding },
    { "LayerNorm", "", forward, { NORMAL(2, 2, 4) }, NULL, make_layer_norm },
    { "LayerNorm", "no bias", forward, { NORMAL(3, 4) }, &(const grd_norm_options){ .no_bias = true }, make_layer_norm },
    { "LayerNorm", "no weight", forward, { NORMAL(3, 4) }, &(const grd_norm_options){ .no_affine = true }, make_layer_norm },
    { "RMSNorm", "", forward, { NORMAL(2, 2, 4) }, NULL, make_rms_norm },
    { "RMSNorm", "no weight", forward, { NORMAL(3, 4) }, &(const grd_norm_options){ .no_affine = true }, make_rms_norm },
    { "Dropout", "eval", forward, { NORMAL(3, 4) }, NULL, make_dropout },
    { "Dropout", "training", forward_in_training, { NORMAL(3, 4) }, NULL, make_dropout },

    { "MultiheadAttention/packed", "", mha, { CROSS }, MHA(BATCH_FIRST) },
    { "MultiheadAttention/packed", "self-attention, causal", mha_self, { NORMAL(1, 3, 4) },
      MHA(BATCH_FIRST, .args = { .mask = { .causal = true } }) },
    { "MultiheadAttention/packed", "no bias", mha, { CROSS }, MHA(.o = { .layout = GRD_BATCH_FIRST, .no_bias = true }) },
    { "MultiheadAttention/separate", "kdim 3, vdim 2", mha, { NORMAL(1, 2, 4), NORMAL(1, 3, 3), NORMAL(1, 3, 2) },
      MHA(.o = { .layout = GRD_BATCH_FIRST, .kdim = 3, .vdim = 2 }) },
    { "MultiheadAttention/separate", "unpacked", mha, { CROSS }, MHA(BATCH_FIRST, .unpacked = true) },
    { "MultiheadAttention/separate", "unpacked, self-attention", mha_self, { NORMAL(1, 2, 4) }, MHA(BATCH_FIRST, .unpacked = true) },
    { "MultiheadAttention/layout", "sequence first", mha, { NORMAL(2, 1, 4), NORMAL(3, 1, 4), NORMAL(3, 1, 4) },
      MHA(.o = { .layout = GRD_SEQUENCE_FIRST }) },
    { "MultiheadAttention/layout", "unbatched", mha, { NORMAL(2, 4), NORMAL(3, 4), NORMAL(3, 4) }, MHA(.o = { .layout = GRD_UNBATCHED }) },
    { "MultiheadAttention/layout", "batch of 2", mha_self, { NORMAL(2, 2, 4) }, MHA(BATCH_FIRST) },
    { "MultiheadAttention/appended", "add_bias_kv", mha, { CROSS }, MHA(.o = { .layout = GRD_BATCH_FIRST, .add_bias_kv = true }) },
    { "MultiheadAttention/appended", "add_zero_attn", mha, { CROSS }, MHA(.o = { .layout = GRD_BATCH_FIRST, .add_zero_attn = true }) },
    { "MultiheadAttention/appended", "both, masked", mha, { CROSS },
      MHA(.o = { .layout = GRD_BATCH_FIRST, .add_bias_kv = true, .add_zero_attn = true }, .ignore = true) },
    { "MultiheadAttention/masks", "causal", mha, { CROSS },
      MHA(BATCH_FIRST, .args = { .mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT } }) },
    { "MultiheadAttention/masks", "window", mha, { CROSS },
      MHA(BATCH_FIRST, .args = { .mask = { .window_left = GRD_SET(0), .align = GRD_ALIGN_TOP_LEFT } }) },
    { "MultiheadAttention/masks", "additive", mha, { CROSS, NORMAL(2, 2, 3) }, MHA(BATCH_FIRST, .additive = true) },
    { "MultiheadAttention/masks", "attend", mha, { CROSS }, MHA(BATCH_FIRST, .attend = true) },
    { "MultiheadAttention/masks", "ignore, a row without a key", mha, { CROSS }, MHA(BATCH_FIRST, .ignore = true) },
    { "MultiheadAttention/masks", "key_ignore", mha, { CROSS }, MHA(BATCH_FIRST, .key_ignore = true) },
    { "MultiheadAttention/masks", "key_lengths", mha, { CROSS }, MHA(BATCH_FIRST, .key_lengths = true) },
    { "MultiheadAttention/masks", "many", mha, { CROSS, NORMAL(1, 2, 3) },
      MHA(BATCH_FIRST, .args = { .mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = 1 } }, .additive = true,
          .attend = true, .key_lengths = true) },
    { "MultiheadAttention/results", "weights per head", mha, { CROSS },
      MHA(BATCH_FIRST, .args = { .weights = GRD_PER_HEAD }, .attend = true) },
    { "MultiheadAttention/results", "averaged weights", mha, { CROSS }, MHA(BATCH_FIRST, .args = { .weights = GRD_AVERAGED }) },
    { "MultiheadAttention/results", "logsumexp", mha, { CROSS }, MHA(BATCH_FIRST, .args = { .logsumexp = true }) },
    { "MultiheadAttention/dropout", "training", mha, { CROSS },
      MHA(.o = { .layout = GRD_BATCH_FIRST, .dropout = 0.4 }, .training = true) },
    { "MultiheadAttention/dropout", "eval", mha, { CROSS }, MHA(.o = { .layout = GRD_BATCH_FIRST, .dropout = 0.4 }) },
    { "MultiheadAttention/flash", "causal", mha_self, { NORMAL(1, 3, 4) },
      MHA(BATCH_FIRST, .args = { .strict = true, .mask = { .causal = true } }) },
    { "MultiheadAttention/flash", "attend", mha, { CROSS }, MHA(BATCH_FIRST, .args = { .strict = true }, .attend = true) },
    { "MultiheadAttention/flash", "add_bias_kv, add_zero_attn", mha, { CROSS },
      MHA(.o = { .layout = GRD_BATCH_FIRST, .add_bias_kv = true, .add_zero_attn = true }, .args = { .strict = true }, .ignore = true) },
    { "MultiheadAttention/flash", "dropout", mha, { CROSS },
      MHA(.o = { .layout = GRD_BATCH_FIRST, .dropout = 0.4 }, .args = { .strict = true }, .training = true) },

    { "TransformerEncoderLayer", "post-norm, gelu", encoder_layer, { NORMAL(1, 2, 4) }, LAYER(.o = { .activation = GRD_GELU }) },
    { "TransformerEncoderLayer", "pre-norm, silu, causal", encoder_layer, { NORMAL(1, 2, 4) },
      LAYER(.o = { .activation = GRD_SILU, .norm_first = true }, .args = { .mask = { .causal = true } }) },
    { "TransformerEncoderLayer", "no bias, gelu_tanh, eval", encoder_layer, { NORMAL(1, 2, 4) },
      LAYER(.o = { .activation = GRD_GELU_TANH, .no_bias = true, .dropout = 0.3 }) },
    { "TransformerEncoderLayer", "relu, padded", encoder_layer, { NORMAL(1, 3, 4) },
      LAYER(.o = { .norm_first = true }, .key_lengths = 2) },
    { "Transformer", "causal, pre-norm", forward, { INDEX(5, 1, 3) },
      TRANSFORMER(.num_layers = 1, .direction = GRD_CAUSAL, .norm_first = true, .activation = GRD_GELU) },
    { "Transformer", "bidirectional, tied", forward, { INDEX(5, 1, 2) },
      TRANSFORMER(.num_layers = 1, .direction = GRD_BIDIRECTIONAL, .tied = true, .activation = GRD_SILU) },
};
/* clang-format on */

const checked_table checked_modules = { "module", cases, sizeof cases / sizeof cases[0] };
