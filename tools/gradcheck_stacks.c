/* What gradus gradcheck checks of decoder layers, and of stacks of encoder and decoder layers. */
#include "tools/gradcheck.h"

typedef struct stack_settings {
    grd_encoder_options o; /* of one layer: o.layer */
    grd_decoder_args args; /* an encoder's: self */
    bool memory_ignored;   /* its key 1 */
} stack_settings;

static grd_encoder_options options_of(const void *settings)
{
    grd_encoder_options options = ((const stack_settings *)settings)->o;
    options.layer.embed_dim = 4;
    options.layer.num_heads = 2;
    options.layer.ff_dim = 3;
    options.num_layers = 2;
    return options;
}

static grd_module *make_decoder_layer(grd_rng *rng, const void *settings)
{
    const grd_encoder_options options = options_of(settings);
    return disturbed(rng, grd_decoder_layer_create(rng, &options.layer));
}

static grd_module *make_encoder(grd_rng *rng, const void *settings)
{
    const grd_encoder_options options = options_of(settings);
    return disturbed(rng, grd_encoder_create(rng, &options));
}

static grd_module *make_decoder(grd_rng *rng, const void *settings)
{
    const grd_encoder_options options = options_of(settings);
    return disturbed(rng, grd_decoder_create(rng, &options));
}

static grd_decoder_args args_of(const checked_use *use)
{
    static const bool ignored[] = { 0, 1, 0 };
    const stack_settings *s = use->c->settings;
    grd_decoder_args args = s->args;
    if (s->memory_ignored)
        args.cross.mask.key_ignore = grd_from_bool(ignored, 3, GRD_SHAPE(1, 3));
    return args;
}

static grd_tensor *decoder_layer(const grd_tensor *const *x, void *use)
{
    const grd_decoder_args args = args_of(use);
    return grd_decoder_layer_forward(((checked_use *)use)->module, x[0], x[1], &args).output;
}

static grd_tensor *encoder(const grd_tensor *const *x, void *use)
{
    const grd_decoder_args args = args_of(use);
    return grd_encoder_forward(((checked_use *)use)->module, x[0], &args.self).output;
}

static grd_tensor *decoder(const grd_tensor *const *x, void *use)
{
    const grd_decoder_args args = args_of(use);
    return grd_decoder_forward(((checked_use *)use)->module, x[0], x[1], &args).output;
}

/* ---- The table ---- */

#define SETTINGS(...)                                                                              \
    &(const stack_settings)                                                                        \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define WITH_MEMORY NORMAL(1, 2, 4), NORMAL(1, 3, 4)
#define CAUSAL .self = { .mask = { .causal = true } }

/* clang-format off */
static const checked_case cases[] = {
    { "TransformerDecoderLayer", "post-norm, gelu, causal", decoder_layer, { WITH_MEMORY },
      SETTINGS(.o = { .layer = { .activation = GRD_GELU } }, .args = { CAUSAL }), make_decoder_layer },
    { "TransformerDecoderLayer", "pre-norm, silu, a memory with padding", decoder_layer, { WITH_MEMORY },
      SETTINGS(.o = { .layer = { .activation = GRD_SILU, .norm_first = true } }, .memory_ignored = true), make_decoder_layer },
    { "TransformerDecoderLayer", "no bias, relu, causal with padding", decoder_layer, { WITH_MEMORY },
      SETTINGS(.o = { .layer = { .no_bias = true } }, .args = { CAUSAL }, .memory_ignored = true), make_decoder_layer },
    { "TransformerEncoder", "post-norm, causal", encoder, { NORMAL(1, 2, 4) },
      SETTINGS(.o = { .layer = { .activation = GRD_GELU } }, .args = { CAUSAL }), make_encoder },
    { "TransformerEncoder", "pre-norm, final norm", encoder, { NORMAL(1, 2, 4) },
      SETTINGS(.o = { .layer = { .activation = GRD_GELU_TANH, .norm_first = true }, .final_norm = true }), make_encoder },
    { "TransformerDecoder", "pre-norm, final norm, causal, a memory with padding", decoder, { WITH_MEMORY },
      SETTINGS(.o = { .layer = { .activation = GRD_GELU, .norm_first = true }, .final_norm = true }, .args = { CAUSAL },
               .memory_ignored = true), make_decoder },
};
/* clang-format on */

const checked_table checked_stacks = { "module", cases, sizeof cases / sizeof cases[0] };
