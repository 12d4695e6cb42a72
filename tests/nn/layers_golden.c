/* Encoder and decoder layers, and stacks of them, against PyTorch's own modules. */
#include "tests/nn/golden.h"

#include <criterion/criterion.h>
#include <string.h>

/* What one call was given. */
typedef struct inputs {
    const grd_tensor *x, *memory;
    grd_decoder_args args;
} inputs;

/* A kind of module, by its name in the file. */
typedef struct layer_kind {
    const char *name;
    grd_module *(*create)(const grd_encoder_options *options);
    /* The output, with each layer's results in `layers`, whose outputs do not matter. */
    const grd_tensor *(*forward)(grd_module *module, const inputs *in,
                                 grd_decoder_attention layers[]);
} layer_kind;

enum { MOST_LAYERS = 2, CASES_OF_A_KIND = 12 };

/* ---- The four kinds ---- */

static grd_module *create_encoder_layer(const grd_encoder_options *o)
{
    return grd_encoder_layer_create(grd_rng_create(1), &o->layer);
}

static grd_module *create_decoder_layer(const grd_encoder_options *o)
{
    return grd_decoder_layer_create(grd_rng_create(1), &o->layer);
}

static grd_module *create_encoder(const grd_encoder_options *o)
{
    return grd_encoder_create(grd_rng_create(1), o);
}

static grd_module *create_decoder(const grd_encoder_options *o)
{
    return grd_decoder_create(grd_rng_create(1), o);
}

static const grd_tensor *run_encoder_layer(grd_module *module, const inputs *in,
                                           grd_decoder_attention layers[])
{
    layers[0].self = grd_encoder_layer_forward(module, in->x, &in->args.self);
    return layers[0].self.output;
}

static const grd_tensor *run_decoder_layer(grd_module *module, const inputs *in,
                                           grd_decoder_attention layers[])
{
    layers[0] = grd_decoder_layer_forward(module, in->x, in->memory, &in->args);
    return layers[0].output;
}

static const grd_tensor *run_encoder(grd_module *module, const inputs *in,
                                     grd_decoder_attention layers[])
{
    const grd_encoder_output y = grd_encoder_forward(module, in->x, &in->args.self);
    for (int64_t i = 0; i < y.num_layers; i++)
        layers[i].self = y.layers[i];
    return y.output;
}

static const grd_tensor *run_decoder(grd_module *module, const inputs *in,
                                     grd_decoder_attention layers[])
{
    const grd_decoder_output y = grd_decoder_forward(module, in->x, in->memory, &in->args);
    for (int64_t i = 0; i < y.num_layers; i++)
        layers[i] = y.layers[i];
    return y.output;
}

static const layer_kind kinds[] = {
    { "transformer_encoder_layer", create_encoder_layer, run_encoder_layer },
    { "transformer_decoder_layer", create_decoder_layer, run_decoder_layer },
    { "transformer_encoder", create_encoder, run_encoder },
    { "transformer_decoder", create_decoder, run_decoder },
};

/* ---- One case ---- */

static grd_encoder_options options_of(const golden *g)
{
    grd_encoder_options o = { .num_layers = golden_integer(g, "num_layers", 1),
                              .final_norm = golden_integer(g, "final_norm", 0),
                              .layer = { .embed_dim = golden_integer(g, "embed_dim", 0),
                                         .num_heads = golden_integer(g, "num_heads", 0),
                                         .ff_dim = golden_integer(g, "ff_dim", 0),
                                         .activation = golden_activation(g),
                                         .norm_eps = golden_real(g, "norm_eps", 0),
                                         .norm_first = golden_integer(g, "norm_first", 0),
                                         .no_bias = !golden_integer(g, "bias", 1) } };
    cr_assert_leq(o.num_layers, MOST_LAYERS);
    return o;
}

/* The masks of the group `part` of the case. */
static grd_mha_args args_of(const golden *g, const char *part)
{
    golden group = *g;
    snprintf(group.name, sizeof group.name, "%.16s/%s", g->name, part);
    return (grd_mha_args){ .mask = golden_mask(&group), .weights = GRD_PER_HEAD };
}

static void expect_weights(const golden *g, int layer, const char *part, const grd_tensor *weights)
{
    char name[64] = "weights/";
    if (golden_has(g, "num_layers"))
        snprintf(name, sizeof name, "weights/layers.%d.", layer);
    golden_expect(g, strcat(name, part), weights);
}

static void expect_gradient(const golden *g, const char *name, const grd_tensor *leaf)
{
    if (leaf)
        golden_expect(g, name, grd_tensor_grad(leaf));
}

static void check(const golden *g, const layer_kind *kind)
{
    const grd_encoder_options options = options_of(g);
    grd_module *module = kind->create(&options);
    cr_assert(module, "%s: %s", g->name, grd_error_message());
    golden_load(g, module);
    const inputs in = { .x = golden_leaf(g, "inputs/x"),
                        .memory = golden_leaf(g, "inputs/memory"),
                        .args = { .self = args_of(g, "self"), .cross = args_of(g, "cross") } };
    grd_decoder_attention layers[MOST_LAYERS];
    const grd_tensor *output = kind->forward(module, &in, layers);
    golden_expect(g, "output", output);
    for (int i = 0; i < options.num_layers; i++) {
        expect_weights(g, i, "self_attn", layers[i].self.weights);
        if (in.memory)
            expect_weights(g, i, "multihead_attn", layers[i].cross.weights);
    }
    const grd_tensor *gradient = golden_tensor(g, "grad_output");
    grd_backward_with(output, &(grd_backward_options){ .gradient = gradient });
    expect_gradient(g, "grads/inputs/x", in.x);
    expect_gradient(g, "grads/inputs/memory", in.memory);
    expect_gradient(g, "grads/self/additive", in.args.self.mask.additive);
    expect_gradient(g, "grads/cross/additive", in.args.cross.mask.additive);
    golden_expect_parameters(g, module);
}

static void check_kind(const layer_kind *kind, grd_dtype dtype)
{
    int checked = 0;
    grd_scope *file = grd_scope_begin();
    golden g = { .archive = golden_open("layers.h5"), .dtype = dtype };
    for (int i = 0; golden_at(&g, i); i++) {
        if (strcmp(golden_text(&g, "module", ""), kind->name) != 0)
            continue;
        grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = dtype });
        check(&g, kind);
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", g.name, grd_error_message());
        checked++;
    }
    grd_scope_end(file);
    cr_assert_eq(checked, CASES_OF_A_KIND, "%s: %d", kind->name, checked);
}

Test(layers_golden, in_f64)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        check_kind(&kinds[i], GRD_F64);
}

Test(layers_golden, in_f32)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        check_kind(&kinds[i], GRD_F32);
}
