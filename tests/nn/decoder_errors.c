/* Decoder layers and stacks of layers: bad input, hooks, and memory running out. */
#include "tests/counter.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

enum { B = 2, T = 3, S = 5, E = 8, H = 2 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(23);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(decoder_errors, .init = begin, .fini = end);

static const grd_encoder_options right = { .layer = { .embed_dim = E, .num_heads = H },
                                           .num_layers = 2,
                                           .final_norm = true };

/* ---- Options ---- */

typedef struct bad_options {
    void (*make)(grd_encoder_options *o);
    const char *message;
} bad_options;

static void no_width(grd_encoder_options *o)
{
    o->layer.embed_dim = 0;
}

static void odd_heads(grd_encoder_options *o)
{
    o->layer.num_heads = 3;
}

static void negative_ff(grd_encoder_options *o)
{
    o->layer.ff_dim = -2;
}

static void whole_dropout(grd_encoder_options *o)
{
    o->layer.dropout = 1;
}

static void no_such_activation(grd_encoder_options *o)
{
    o->layer.activation = (grd_activation)7;
}

static void negative_eps(grd_encoder_options *o)
{
    o->layer.norm_eps = -1e-5;
}

static void eps_nan(grd_encoder_options *o)
{
    o->layer.norm_eps = NAN;
}

static const bad_options layer_options[] = {
    { no_width, "embed_dim is 0 and num_heads 2: both are required and positive" },
    { odd_heads, "embed_dim 8 is not divisible by num_heads 3" },
    { negative_ff, "ff_dim is -2: 0 is 4 embed_dim" },
    { whole_dropout, "dropout is 1, expected 0 <= dropout < 1" },
    { no_such_activation, "activation is 7, which is no grd_activation" },
    { negative_eps, "norm_eps is -1e-05, expected a positive number, or 0 for 1e-5" },
    { eps_nan, "norm_eps is nan, expected a positive number" },
};

static void refuse(const grd_module *made, const char *op, const char *message)
{
    cr_assert_null(made, "%s: %s", op, message);
    cr_assert_str_eq(grd_last_error().op, op);
    cr_assert_not_null(grd_last_error().file, "%s", op);
    expect_error(GRD_ERROR_ARGUMENT, message);
}

Test(decoder_errors, of_options_are_named)
{
    for (size_t i = 0; i < sizeof layer_options / sizeof layer_options[0]; i++) {
        const bad_options *bad = &layer_options[i];
        grd_encoder_options o = right;
        bad->make(&o);
        refuse(grd_encoder_layer_create(rng, &o.layer), "encoder_layer_create", bad->message);
        refuse(grd_decoder_layer_create(rng, &o.layer), "decoder_layer_create", bad->message);
        refuse(grd_encoder_create(rng, &o), "encoder_create", bad->message);
        refuse(grd_decoder_create(rng, &o), "decoder_create", bad->message);
    }
    grd_encoder_options none = right;
    none.num_layers = 0;
    const char *message = "num_layers is 0: it is required and positive";
    refuse(grd_encoder_create(rng, &none), "encoder_create", message);
    refuse(grd_decoder_create(rng, &none), "decoder_create", message);
    refuse(grd_encoder_create(NULL, &right), "encoder_create", "an argument is NULL");
    refuse(grd_decoder_create(rng, NULL), "decoder_create", "an argument is NULL");
    refuse(grd_decoder_layer_create(rng, NULL), "decoder_layer_create", "an argument is NULL");
}

/* ---- Calls ---- */

typedef struct call {
    const grd_tensor *x, *memory;
    grd_decoder_args args;
} call;

typedef struct mistake {
    void (*make)(call *c);
    grd_status status;
    const char *message;
} mistake;

static const grd_tensor *ones(int64_t batch, int64_t length, int64_t width)
{
    return grd_ones(GRD_SHAPE(batch, length, width));
}

static const grd_tensor *no_truths(grd_shape shape)
{
    return grd_gt_scalar(grd_zeros(shape), 0);
}

static void no_x(call *c)
{
    c->x = NULL;
}

static void no_memory(call *c)
{
    c->memory = NULL;
}

static void unbatched(call *c)
{
    c->x = grd_ones(GRD_SHAPE(T, E));
}

static void narrow(call *c)
{
    c->x = ones(B, T, E - 1);
}

static void narrow_memory(call *c)
{
    c->memory = ones(B, S, E + 1);
}

static void other_batch(call *c)
{
    c->memory = ones(1, S, E);
}

static void other_dtype(call *c)
{
    c->memory = grd_cast(c->memory, GRD_F64);
}

static void integers(call *c)
{
    c->x = grd_cast(c->x, GRD_I64);
}

static void cached_memory(call *c)
{
    c->args.cross.cache = (grd_cache *)&c->args; /* refused before anybody looks at it */
}

static void unaligned(call *c)
{
    c->args.cross.mask.causal = true;
}

static void padding_of_memory_on_x(call *c)
{
    c->args.self.mask.key_ignore = no_truths(GRD_SHAPE(B, S));
}

static void padding_of_x_on_memory(call *c)
{
    c->args.cross.mask.key_ignore = no_truths(GRD_SHAPE(B, T));
}

static const mistake mistakes[] = {
    { no_x, GRD_ERROR_ARGUMENT, "an argument is NULL" },
    { no_memory, GRD_ERROR_ARGUMENT, "an argument is NULL" },
    { unbatched, GRD_ERROR_SHAPE,
      "layers.0 (TransformerDecoderLayer): x is [3, 8], expected (B, T, E) with E = 8" },
    { narrow, GRD_ERROR_SHAPE,
      "layers.0 (TransformerDecoderLayer): x is [2, 3, 7], expected (B, T, E) with E = 8" },
    { narrow_memory, GRD_ERROR_SHAPE,
      "layers.0 (TransformerDecoderLayer): memory is [2, 5, 9], expected (B, S, E) with E = 8" },
    { other_batch, GRD_ERROR_SHAPE,
      "layers.0 (TransformerDecoderLayer): x is [2, 3, 8] and memory [1, 5, 8]: every sample has "
      "its own memory (use grd_expand if they share it)" },
    { other_dtype, GRD_ERROR_DTYPE, "(in layers.0.multihead_attn (MultiheadAttention))" },
    { integers, GRD_ERROR_DTYPE, "(in layers.0.self_attn (MultiheadAttention))" },
    { cached_memory, GRD_ERROR_ARGUMENT,
      "layers.0 (TransformerDecoderLayer): args.cross.cache is given, but the memory is whole from "
      "the start: a cache is of what self-attention has seen, args.self.cache" },
    { unaligned, GRD_ERROR_ARGUMENT,
      "mask.align is not stated, and 3 queries over 5 keys have no one diagonal" },
    { unaligned, GRD_ERROR_ARGUMENT, "(in layers.0.multihead_attn (MultiheadAttention))" },
    { padding_of_memory_on_x, GRD_ERROR_SHAPE,
      "mask.key_ignore is [2, 5], expected [2, 3]: every sample's keys (in layers.0.self_attn "
      "(MultiheadAttention))" },
    { padding_of_x_on_memory, GRD_ERROR_SHAPE,
      "mask.key_ignore is [2, 3], expected [2, 5]: every sample's keys (in layers.0.multihead_attn "
      "(MultiheadAttention))" },
};

Test(decoder_errors, of_calls_are_named)
{
    grd_module *m = grd_decoder_create(rng, &right);
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        grd_scope *inner = grd_scope_begin();
        call c = { .x = ones(B, T, E), .memory = ones(B, S, E) };
        mistakes[i].make(&c);
        const grd_decoder_output y = grd_decoder_forward(m, c.x, c.memory, &c.args);
        cr_assert(!y.output && !y.layers && !y.num_layers, "%s", mistakes[i].message);
        cr_assert_not_null(grd_last_error().file, "%s", mistakes[i].message);
        expect_error(mistakes[i].status, mistakes[i].message);
        grd_module *one = grd_module_get(m, "layers.0");
        const grd_decoder_attention a = grd_decoder_layer_forward(one, c.x, c.memory, &c.args);
        cr_assert(!a.output && !a.self.weights && !a.cross.weights);
        cr_assert_not_null(grd_last_error().file, "%s", mistakes[i].message);
        expect_error(mistakes[i].status, mistakes[i].message);
        grd_scope_end(inner);
    }
}

Test(decoder_errors, of_encoders_name_the_layer)
{
    grd_module *m = grd_encoder_create(rng, &right);
    cr_assert_null(grd_forward(m, ones(B, T, E + 2)));
    expect_error(GRD_ERROR_SHAPE, "layers.0 (TransformerEncoderLayer): x is [2, 3, 10], expected "
                                  "(B, T, E) with E = 8");
    cr_assert_null(grd_forward(grd_module_get(m, "layers.1"), ones(1, 1, 1)));
    expect_error(GRD_ERROR_SHAPE, "layers.1 (TransformerEncoderLayer): x is [1, 1, 1], expected");
    cr_assert_null(grd_encoder_forward(m, NULL, NULL).output);
    expect_error(GRD_ERROR_ARGUMENT, "encoder_forward: an argument is NULL");
    const grd_mha_args args = { .mask = { .key_ignore = no_truths(GRD_SHAPE(B, S)) } };
    const grd_encoder_output y = grd_encoder_forward(m, ones(B, T, E), &args);
    cr_assert(!y.output && !y.layers && !y.num_layers);
    expect_error(GRD_ERROR_SHAPE, "(in layers.0.self_attn (MultiheadAttention))");
}

Test(decoder_errors, of_modules_of_another_kind_are_named)
{
    grd_module *encoder = grd_encoder_create(rng, &right);
    grd_module *decoder = grd_decoder_create(rng, &right);
    const grd_tensor *x = ones(B, T, E);
    cr_assert_null(grd_decoder_forward(encoder, x, x, NULL).output);
    expect_error(GRD_ERROR_ARGUMENT,
                 "the module must be a TransformerDecoder, not TransformerEncoder");
    cr_assert_null(grd_encoder_forward(decoder, x, NULL).output);
    expect_error(GRD_ERROR_ARGUMENT,
                 "the module must be a TransformerEncoder, not TransformerDecoder");
    cr_assert_null(
        grd_decoder_layer_forward(grd_module_get(encoder, "layers.1"), x, x, NULL).output);
    expect_error(GRD_ERROR_ARGUMENT, "the module must be a TransformerDecoderLayer, not layers.1 "
                                     "(TransformerEncoderLayer)");
    cr_assert_null(grd_forward(decoder, x));
    expect_error(GRD_ERROR_ARGUMENT, "TransformerDecoder is no module of one input");
    cr_assert_null(grd_forward(grd_module_get(decoder, "layers.0"), x));
    expect_error(GRD_ERROR_ARGUMENT,
                 "layers.0 (TransformerDecoderLayer) is no module of one input");
}

/* On a thread without a scope there is nobody to own what is made. */
Test(decoder_errors, without_a_scope_nothing_runs)
{
    grd_scope *own = grd_scope_begin();
    grd_module *encoder = grd_encoder_create(rng, &right);
    grd_module *decoder = grd_decoder_create(rng, &right);
    grd_module *attention = grd_module_get(decoder, "layers.0.self_attn");
    const grd_tensor *x = ones(B, T, E);
    grd_scope_detach(own);
    grd_scope_detach(scope);
    static const char none[] = "no scope is open (call grd_scope_begin first)";
    cr_assert_null(grd_forward(encoder, x));
    expect_error(GRD_ERROR_SCOPE, none);
    cr_assert_null(grd_encoder_forward(encoder, x, NULL).output);
    expect_error(GRD_ERROR_SCOPE, none);
    cr_assert_null(grd_encoder_layer_forward(grd_module_get(encoder, "layers.0"), x, NULL).output);
    expect_error(GRD_ERROR_SCOPE, none);
    cr_assert_null(grd_decoder_forward(decoder, x, x, NULL).output);
    expect_error(GRD_ERROR_SCOPE, none);
    cr_assert_null(
        grd_decoder_layer_forward(grd_module_get(decoder, "layers.0"), x, x, NULL).output);
    expect_error(GRD_ERROR_SCOPE, none);
    cr_assert_null(grd_mha_forward(attention, x, x, x, NULL).output);
    expect_error(GRD_ERROR_SCOPE, none);
    cr_assert_eq(grd_scope_end(own), GRD_OK);
}

/* ---- Hooks ---- */

static void count_call(grd_module *self, const grd_tensor *y, void *user)
{
    (void)self;
    cr_assert(y);
    ++*(int *)user;
}

Test(decoder_errors, hooks_are_called_once)
{
    static const char *const paths[] = { "layers.0", "layers.0.self_attn",
                                         "layers.1.multihead_attn", "layers.1.norm3", "norm" };
    int counts[5] = { 0 }, whole = 0, encoded = 0;
    grd_module *m = grd_decoder_create(rng, &right), *e = grd_encoder_create(rng, &right);
    for (int i = 0; i < 5; i++)
        grd_on_forward(grd_module_get(m, paths[i]), count_call, &counts[i]);
    grd_on_forward(m, count_call, &whole);
    grd_on_forward(e, count_call, &encoded);
    cr_assert(grd_decoder_forward(m, ones(B, T, E), ones(B, S, E), NULL).output);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(counts[i], 1, "%s: %d", paths[i], counts[i]);
    cr_assert_eq(whole, 1);
    cr_assert(grd_encoder_forward(e, ones(B, T, E), NULL).output);
    cr_assert(grd_forward(e, ones(B, T, E)));
    cr_assert_eq(encoded, 2);
}

static void refuse_call(grd_module *self, const grd_tensor *y, void *user)
{
    (void)self;
    (void)y;
    grd_fail(GRD_ERROR_STATE, "hook", "%s", (const char *)user);
}

Test(decoder_errors, a_hook_that_fails_fails_the_call)
{
    static const char *const paths[] = { "layers.1.linear2", "layers.0", "norm" };
    for (int i = 0; i < 3; i++) {
        grd_module *m = grd_decoder_create(rng, &right);
        grd_on_forward(grd_module_get(m, paths[i]), refuse_call, "not today");
        const grd_decoder_args args = { .cross.weights = GRD_PER_HEAD };
        const grd_decoder_output y = grd_decoder_forward(m, ones(B, T, E), ones(B, S, E), &args);
        cr_assert(!y.output && !y.layers, "%s", paths[i]);
        expect_error(GRD_ERROR_STATE, "hook: not today");
    }
}

/* ---- Memory ---- */

TestSuite(decoder_memory);

typedef struct model {
    grd_module *encoder, *decoder;
    const grd_tensor *source, *target, *lengths;
} model;

static model prepare(void)
{
    const grd_encoder_options o = { .layer = { .embed_dim = 4,
                                               .num_heads = 2,
                                               .ff_dim = 3,
                                               .dropout = 0.1,
                                               .norm_first = true },
                                    .num_layers = 2,
                                    .final_norm = true };
    grd_rng *own = grd_rng_create(1);
    const model m = { grd_encoder_create(own, &o), grd_decoder_create(own, &o),
                      grd_randn(own, GRD_SHAPE(2, 3, 4)), grd_randn(own, GRD_SHAPE(2, 2, 4)),
                      grd_from_i64((int64_t[]){ 3, 1 }, 2, GRD_SHAPE(2)) };
    grd_module_train(m.encoder, own);
    grd_module_train(m.decoder, own);
    return m;
}

static grd_tensor *translate(const model *m, grd_weights weights)
{
    const grd_mha_args padded = { .mask = { .key_lengths = m->lengths }, .weights = weights };
    const grd_decoder_args args = { .self = { .mask = { .causal = true }, .weights = weights },
                                    .cross = padded };
    const grd_tensor *memory = grd_encoder_forward(m->encoder, m->source, &padded).output;
    return grd_decoder_forward(m->decoder, m->target, memory, &args).output;
}

static grd_status whole_program(void)
{
    grd_scope *outer = grd_scope_begin();
    const model m = prepare();
    grd_backward(grd_sum(grd_square(translate(&m, GRD_NO_WEIGHTS))));
    grd_module_zero_grad(m.encoder);
    grd_tensor *const more[] = { translate(&m, GRD_AVERAGED), grd_forward(m.encoder, m.source) };
    const grd_status status = grd_scope_end(outer);
    cr_assert_eq(status != GRD_OK, !more[0] || !more[1]);
    return status;
}

Test(decoder_memory, running_out_anywhere_is_an_error_and_leaks_nothing)
{
    fail_at_every_allocation(whole_program, 1000);
}

/* A call that records nothing leaves its results behind and nothing else, and a failed one none. */
Test(decoder_memory, only_results_stay)
{
    counter c = { 0 };
    count_with(&c, true);
    grd_scope *outer = grd_scope_begin_no_grad();
    const model m = prepare();
    grd_module *encoder_layer = grd_module_get(m.encoder, "layers.0");
    grd_module *decoder_layer = grd_module_get(m.decoder, "layers.0");
    const grd_decoder_args args = { .cross.weights = GRD_AVERAGED };
    long before = c.live;
    cr_assert(grd_zeros(GRD_SHAPE(2, 2, 4)));
    const long tensor = c.live - before;

    before = c.live;
    cr_assert(grd_forward(m.encoder, m.source));
    cr_assert_eq(c.live - before, tensor);
    before = c.live;
    cr_assert(grd_encoder_layer_forward(encoder_layer, m.source, NULL).output);
    cr_assert_eq(c.live - before, tensor);
    before = c.live;
    cr_assert(grd_decoder_layer_forward(decoder_layer, m.target, m.source, &args).output);
    cr_assert_eq(c.live - before, 2 * tensor);
    before = c.live;
    cr_assert(grd_decoder_forward(m.decoder, m.target, m.source, NULL).output);
    cr_assert_eq(c.live - before, 3 * tensor + 1, "two layers' outputs, the norm's, and the list");
    before = c.live;
    cr_assert_null(
        grd_decoder_layer_forward(decoder_layer, m.target, grd_ones(GRD_SHAPE(2, 3, 5)), NULL)
            .output);
    cr_assert_eq(grd_error_take(), GRD_ERROR_SHAPE);
    cr_assert_eq(c.live - before, tensor, "the memory");
    cr_assert_eq(grd_scope_end(outer), GRD_OK);
    cr_assert_eq(c.live, 0);
}
