#include "nn/attention.h"

typedef struct encoder_layer {
    grd_encoder_layer_options options;
    grd_module *self_attn, *linear1, *linear2, *norm1, *norm2;
} encoder_layer;

static grd_tensor *forward(grd_module *self, const grd_tensor *x);

static const grdi_kind encoder_layer_kind = { "TransformerEncoderLayer", sizeof(encoder_layer),
                                              forward };

static grd_tensor *(*const activations[])(const grd_tensor *x) = {
    [GRD_RELU] = grd_relu,
    [GRD_GELU] = grd_gelu,
    [GRD_GELU_TANH] = grd_gelu_tanh,
    [GRD_SILU] = grd_silu,
};

static bool check(const grd_encoder_layer_options *o)
{
    const char *op = "encoder_layer_create";
    if (!grdi_check_heads(op, o->embed_dim, o->num_heads) || !grdi_check_dropout(op, o->dropout))
        return false;
    if ((unsigned)o->activation > GRD_SILU)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "activation is %d, which is no grd_activation",
                         (int)o->activation);
    if (o->ff_dim < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "ff_dim is %lld: 0 is 4 embed_dim",
                         (long long)o->ff_dim);
    return true;
}

static grd_module *add(grd_module *self, const char *name, grd_module *child)
{
    return child ? grd_module_add(self, name, child) : NULL;
}

grd_module *grd_encoder_layer_create(grd_rng *rng, const grd_encoder_layer_options *options)
{
    if (!rng || !options)
        return grdi_fail_null("encoder_layer_create");
    grd_module *self = check(options) ? grdi_module_create(&encoder_layer_kind) : NULL;
    if (!self)
        return NULL;
    encoder_layer *m = grd_module_data(self);
    m->options = *options;
    const bool no_bias = options->no_bias;
    const int64_t width = options->embed_dim;
    const int64_t inner = m->options.ff_dim = options->ff_dim ? options->ff_dim : 4 * width;
    const grd_norm_options norm = { .eps = options->norm_eps, .no_bias = no_bias };
    const grd_linear_options linear = { .no_bias = no_bias };
    const grd_mha_options attention = { .embed_dim = width,
                                        .num_heads = options->num_heads,
                                        .layout = GRD_BATCH_FIRST,
                                        .dropout = options->dropout,
                                        .no_bias = no_bias };
    m->self_attn = add(self, "self_attn", grd_mha_create(rng, &attention));
    m->linear1 = add(self, "linear1", grd_linear_create(rng, width, inner, &linear));
    m->linear2 = add(self, "linear2", grd_linear_create(rng, inner, width, &linear));
    m->norm1 = add(self, "norm1", grd_layer_norm_create(width, &norm));
    m->norm2 = add(self, "norm2", grd_layer_norm_create(width, &norm));
    return grdi_latched() ? NULL : self;
}

grd_tensor *grdi_drop(const grd_module *self, grd_tensor *x, double p)
{
    grd_rng *rng = NULL;
    return grdi_module_drops(self, p, &rng) ? grd_dropout(x, p, rng) : x;
}

/* linear2(drop(activation(linear1(x)))), dropped. */
static grd_tensor *feed_forward(const grd_module *self, const grd_tensor *x)
{
    const encoder_layer *m = grd_module_data(self);
    grd_tensor *hidden = grd_forward(m->linear1, x);
    hidden = hidden ? activations[m->options.activation](hidden) : NULL;
    grd_tensor *y = grd_forward(m->linear2, grdi_drop(self, hidden, m->options.dropout));
    return grdi_drop(self, y, m->options.dropout);
}

/* The attention of x to itself, dropped; the weights that were asked for go to *a. */
static grd_tensor *attend(const grd_module *self, const grd_tensor *x, const grd_mha_args *args,
                          grd_attention *a)
{
    const encoder_layer *m = grd_module_data(self);
    *a = grd_mha_forward(m->self_attn, x, x, x, args);
    return grdi_drop(self, a->output, m->options.dropout);
}

/* Pre-norm: x + f(norm(x)); post-norm: norm(x + f(x)). */
static grd_attention compute(const grd_module *self, const grd_tensor *x, const grd_mha_args *args)
{
    const encoder_layer *m = grd_module_data(self);
    grd_attention a = { 0 };
    if (m->options.norm_first) {
        x = grd_add(x, attend(self, grd_forward(m->norm1, x), args, &a));
        a.output = grd_add(x, feed_forward(self, grd_forward(m->norm2, x)));
    } else {
        x = grd_forward(m->norm1, grd_add(x, attend(self, x, args, &a)));
        a.output = grd_forward(m->norm2, grd_add(x, feed_forward(self, x)));
    }
    return a;
}

/* The same, with nothing left behind but the results. */
static grd_attention run(const grd_module *self, const grd_tensor *x, const grd_mha_args *args)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    return grdi_hand_out(&scope, compute(self, x, args));
}

grd_attention grd_encoder_layer_forward(grd_module *self, const grd_tensor *x,
                                        const grd_mha_args *args)
{
    const char *op = "encoder_layer_forward";
    grd_attention result = { 0 };
    if (grdi_latched() || !grdi_module_data_of(op, self, &encoder_layer_kind))
        return result;
    if (!x)
        return grdi_fail_null(op), result;
    result = run(self, x, args);
    if (result.output)
        grdi_module_call_hooks(self, result.output);
    return grdi_latched() ? (grd_attention){ 0 } : result;
}

/* grd_forward calls the hooks itself. */
static grd_tensor *forward(grd_module *self, const grd_tensor *x)
{
    return run(self, x, NULL).output;
}
