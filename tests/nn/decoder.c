/* Decoder layers, and stacks of encoder and decoder layers: what they promise. */
#include "tests/fake_device.h"
#include "tests/nn/expect.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { B = 3, T = 4, S = 6, E = 8, H = 2, FF = 12, LAYERS = 2 };

static grd_scope *scope;
static grd_rng *rng;
static const grd_tensor *x, *memory, *lengths; /* lengths of the memory of each sample */

static void begin(void)
{
    scratch_begin();
    scope = grd_scope_begin();
    rng = grd_rng_create(17);
    x = grd_randn(rng, GRD_SHAPE(B, T, E));
    memory = grd_randn(rng, GRD_SHAPE(B, S, E));
    lengths = grd_from_i64((int64_t[]){ 4, 1, 6 }, B, GRD_SHAPE(B));
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(decoder, .init = begin, .fini = end);

static const grd_encoder_layer_options layer = { .embed_dim = E, .num_heads = H, .ff_dim = FF };

static grd_encoder_options stack_of(grd_encoder_layer_options each)
{
    return (grd_encoder_options){ .layer = each, .num_layers = LAYERS, .final_norm = true };
}

static grd_module *encoder(void)
{
    const grd_encoder_options options = stack_of(layer);
    return grd_encoder_create(rng, &options);
}

static grd_module *decoder(void)
{
    const grd_encoder_options options = stack_of(layer);
    return grd_decoder_create(rng, &options);
}

/* What most calls below ask: a decoder that generates from padded memories. */
static grd_decoder_args usual_args(void)
{
    return (grd_decoder_args){ .self = { .mask = { .causal = true } },
                               .cross = { .mask = { .key_lengths = lengths } } };
}

static grd_tensor *decode(grd_module *module, const grd_tensor *to, const grd_tensor *from)
{
    const grd_decoder_args args = usual_args();
    return grd_decoder_forward(module, to, from, &args).output;
}

/* ---- Names, shapes and initial values ---- */

typedef struct named {
    const char *name;
    int64_t rows, columns; /* columns 0: a vector */
} named;

/* Of torch's state_dict, in its order. */
static const named encoder_names[] = {
    { "self_attn.in_proj_weight", 3 * E, E },
    { "self_attn.in_proj_bias", 3 * E, 0 },
    { "self_attn.out_proj.weight", E, E },
    { "self_attn.out_proj.bias", E, 0 },
    { "linear1.weight", FF, E },
    { "linear1.bias", FF, 0 },
    { "linear2.weight", E, FF },
    { "linear2.bias", E, 0 },
    { "norm1.weight", E, 0 },
    { "norm1.bias", E, 0 },
    { "norm2.weight", E, 0 },
    { "norm2.bias", E, 0 },
};
static const named decoder_names[] = {
    { "self_attn.in_proj_weight", 3 * E, E },
    { "self_attn.in_proj_bias", 3 * E, 0 },
    { "self_attn.out_proj.weight", E, E },
    { "self_attn.out_proj.bias", E, 0 },
    { "multihead_attn.in_proj_weight", 3 * E, E },
    { "multihead_attn.in_proj_bias", 3 * E, 0 },
    { "multihead_attn.out_proj.weight", E, E },
    { "multihead_attn.out_proj.bias", E, 0 },
    { "linear1.weight", FF, E },
    { "linear1.bias", FF, 0 },
    { "linear2.weight", E, FF },
    { "linear2.bias", E, 0 },
    { "norm1.weight", E, 0 },
    { "norm1.bias", E, 0 },
    { "norm2.weight", E, 0 },
    { "norm2.bias", E, 0 },
    { "norm3.weight", E, 0 },
    { "norm3.bias", E, 0 },
};
enum {
    ENCODER_NAMES = sizeof encoder_names / sizeof encoder_names[0],
    DECODER_NAMES = sizeof decoder_names / sizeof decoder_names[0]
};

/* The parameters from number `at` on are those named, below `prefix`; returns how many. */
static int64_t expect_names(const grd_module *m, int64_t at, const char *prefix,
                            const named names[], int count, bool no_bias)
{
    const int64_t first = at;
    for (int i = 0; i < count; i++) {
        if (no_bias && strstr(names[i].name, "bias"))
            continue;
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, names[i].name);
        const grd_named p = grd_module_parameter_at(m, at++);
        cr_assert(p.name, "%s", name);
        cr_assert_str_eq(p.name, name);
        cr_assert_eq(grd_tensor_rank(p.tensor), names[i].columns ? 2 : 1, "%s", name);
        cr_assert_eq(grd_tensor_size(p.tensor, 0), names[i].rows, "%s", name);
        if (names[i].columns)
            cr_assert_eq(grd_tensor_size(p.tensor, 1), names[i].columns, "%s", name);
    }
    return at - first;
}

static void expect_stack(const grd_module *m, const named names[], int count, bool no_bias)
{
    static const named norm[] = { { "norm.weight", E, 0 }, { "norm.bias", E, 0 } };
    int64_t at = 0;
    for (int i = 0; i < LAYERS; i++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "layers.%d.", i);
        at += expect_names(m, at, prefix, names, count, no_bias);
    }
    at += expect_names(m, at, "", norm, 2, no_bias);
    cr_assert_eq(at, grd_module_num_parameters(m));
}

Test(decoder, parameters_are_named_as_torch_names_them)
{
    for (int no_bias = 0; no_bias < 2; no_bias++) {
        grd_encoder_layer_options o = layer;
        o.no_bias = no_bias;
        const grd_encoder_options stack = stack_of(o);
        const grd_module *one = grd_decoder_layer_create(rng, &o);
        cr_assert_eq(expect_names(one, 0, "", decoder_names, DECODER_NAMES, no_bias),
                     grd_module_num_parameters(one));
        expect_stack(grd_encoder_create(rng, &stack), encoder_names, ENCODER_NAMES, no_bias);
        expect_stack(grd_decoder_create(rng, &stack), decoder_names, DECODER_NAMES, no_bias);
    }
}

Test(decoder, has_no_final_norm_unless_asked_and_four_times_the_width_by_default)
{
    grd_encoder_options o = { .layer = { .embed_dim = E, .num_heads = H }, .num_layers = 1 };
    const grd_module *m = grd_decoder_create(rng, &o);
    cr_assert_eq(grd_module_num_parameters(m), DECODER_NAMES);
    cr_assert_eq(grd_tensor_size(grd_module_parameter(m, "layers.0.linear1.weight"), 0), 4 * E);
}

/* torch copies one layer, values and all. */
Test(decoder, every_layer_draws_its_own_values)
{
    const grd_module *const stacks[] = { encoder(), decoder() };
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < (s ? DECODER_NAMES : ENCODER_NAMES); i++) {
            const named *n = s ? &decoder_names[i] : &encoder_names[i];
            char first[64], second[64];
            snprintf(first, sizeof first, "layers.0.%s", n->name);
            snprintf(second, sizeof second, "layers.1.%s", n->name);
            if (n->columns || strncmp(n->name, "linear", 6) == 0)
                cr_assert_not(grd_equal(grd_module_parameter(stacks[s], first),
                                        grd_module_parameter(stacks[s], second)),
                              "%s", n->name);
        }
    cr_assert_not(
        grd_equal(grd_module_parameter(stacks[1], "layers.0.self_attn.in_proj_weight"),
                  grd_module_parameter(stacks[1], "layers.0.multihead_attn.in_proj_weight")));
}

/* ---- What is computed ---- */

/* f(x) of a part by hand, with its dropout, norm and residual. */
typedef struct by_hand {
    grd_module *module;
    bool norm_first;
    double p;
    grd_rng *rng;
} by_hand;

static const grd_tensor *before(const by_hand *h, const char *norm, const grd_tensor *y)
{
    return h->norm_first ? grd_forward(grd_module_get(h->module, norm), y) : y;
}

static const grd_tensor *after(const by_hand *h, const char *norm, const grd_tensor *y,
                               const grd_tensor *part)
{
    const grd_tensor *sum = grd_add(y, grd_dropout(part, h->p, h->rng));
    return h->norm_first ? sum : grd_forward(grd_module_get(h->module, norm), sum);
}

static const grd_tensor *feed_forward(const by_hand *h, const grd_tensor *y)
{
    y = grd_gelu(grd_forward(grd_module_get(h->module, "linear1"), y));
    return grd_forward(grd_module_get(h->module, "linear2"), grd_dropout(y, h->p, h->rng));
}

static const grd_tensor *layer_by_hand(const by_hand *h, bool decodes)
{
    const grd_tensor *z = before(h, "norm1", x);
    const char *last = decodes ? "norm3" : "norm2";
    grd_module *attention = grd_module_get(h->module, "self_attn");
    const grd_tensor *y = after(h, "norm1", x, grd_mha_forward(attention, z, z, z, NULL).output);
    if (decodes) {
        attention = grd_module_get(h->module, "multihead_attn");
        z = before(h, "norm2", y);
        y = after(h, "norm2", y, grd_mha_forward(attention, z, memory, memory, NULL).output);
    }
    return after(h, last, y, feed_forward(h, before(h, last, y)));
}

/* With dropout: the same generator shows that it is drawn from in torch's places, in its order. */
Test(decoder, a_layer_is_its_parts)
{
    for (int variant = 0; variant < 4; variant++) {
        grd_encoder_layer_options o = layer;
        const bool decodes = variant & 1;
        o.norm_first = variant & 2;
        o.dropout = 0.3;
        o.activation = GRD_GELU;
        by_hand h = { decodes ? grd_decoder_layer_create(rng, &o)
                              : grd_encoder_layer_create(rng, &o),
                      o.norm_first, o.dropout, grd_rng_create(5) };
        grd_module_train(h.module, grd_rng_create(5));
        const grd_tensor *y = decodes ? grd_decoder_layer_forward(h.module, x, memory, NULL).output
                                      : grd_forward(h.module, x);
        grd_module_train(h.module, h.rng);
        cr_assert(grd_equal(y, layer_by_hand(&h, decodes)), "variant %d", variant);
    }
}

Test(decoder, a_stack_is_its_layers)
{
    grd_module *e = encoder(), *d = decoder();
    const grd_decoder_args args = usual_args();
    const grd_tensor *y = x, *z = x;
    for (int i = 0; i < LAYERS; i++) {
        const char *paths[] = { "layers.0", "layers.1" };
        y = grd_encoder_layer_forward(grd_module_get(e, paths[i]), y, &args.self).output;
        z = grd_decoder_layer_forward(grd_module_get(d, paths[i]), z, memory, &args).output;
    }
    cr_assert(grd_equal(grd_encoder_forward(e, x, &args.self).output,
                        grd_forward(grd_module_get(e, "norm"), y)));
    cr_assert(grd_equal(decode(d, x, memory), grd_forward(grd_module_get(d, "norm"), z)));
    cr_assert(grd_equal(grd_forward(e, x), grd_encoder_forward(e, x, NULL).output));
}

Test(decoder, without_dropout_training_evaluating_and_not_recording_are_the_same)
{
    grd_module *m = decoder();
    const grd_tensor *unsaid = decode(m, x, memory);
    grd_module_train(m, grd_rng_create(3));
    cr_assert(grd_equal(decode(m, x, memory), unsaid));
    grd_module_eval(m);
    cr_assert(grd_equal(decode(m, x, memory), unsaid));
    grd_scope *inner = grd_scope_begin_no_grad();
    const grd_tensor *plain = decode(m, x, memory);
    cr_assert(grd_equal(plain, unsaid) && !grd_tensor_requires_grad(plain));
    grd_scope_end(inner);
}

Test(decoder, dropout_follows_train_and_eval)
{
    grd_encoder_layer_options o = layer;
    o.dropout = 0.2;
    const grd_encoder_options stack = stack_of(o);
    grd_module *m = grd_decoder_create(rng, &stack);
    cr_assert_null(decode(m, x, memory));
    expect_error(GRD_ERROR_STATE, "layers.0.self_attn (MultiheadAttention) drops with p = 0.2: say "
                                  "first whether it does now, by grd_module_train or "
                                  "grd_module_eval");
    grd_module_train(m, grd_rng_create(1));
    const grd_tensor *one = decode(m, x, memory), *two = decode(m, x, memory);
    cr_assert_not(grd_equal(one, two));
    grd_module_train(m, grd_rng_create(1));
    cr_assert(grd_equal(decode(m, x, memory), one), "the same seed drops the same");
    grd_module_eval(m);
    cr_assert(grd_equal(decode(m, x, memory), decode(m, x, memory)));
}

static void expect_sizes(const grd_tensor *y, grd_shape shape)
{
    cr_assert(y);
    cr_assert_eq(grd_tensor_rank(y), shape.rank);
    for (int64_t d = 0; d < shape.rank; d++)
        cr_assert_eq(grd_tensor_size(y, d), shape.size[d], "size %d", (int)d);
}

Test(decoder, each_layers_results_are_shown)
{
    grd_decoder_args args = usual_args();
    args.self.weights = GRD_AVERAGED;
    args.cross.weights = GRD_PER_HEAD;
    args.cross.logsumexp = args.cross.dropped_weights = true;
    const grd_decoder_output y = grd_decoder_forward(decoder(), x, memory, &args);
    cr_assert_eq(y.num_layers, LAYERS);
    for (int i = 0; i < LAYERS; i++) {
        const grd_decoder_attention *a = &y.layers[i];
        expect_sizes(a->output, GRD_SHAPE(B, T, E));
        expect_sizes(a->self.weights, GRD_SHAPE(B, T, T));
        expect_sizes(a->cross.weights, GRD_SHAPE(B, H, T, S));
        expect_sizes(a->cross.logsumexp, GRD_SHAPE(B, H, T));
        cr_assert(grd_equal(a->cross.dropped_weights, a->cross.weights), "nothing drops");
        cr_assert_null(a->self.logsumexp);
        cr_assert_null(a->self.dropped_weights);
        cr_assert(!a->self.output && !a->cross.output);
        cr_assert_eq(grd_item_at(a->self.weights, GRD_DIMS(0, 1, 2)), 0, "later");
        cr_assert_eq(grd_item_at(a->cross.weights, GRD_DIMS(1, 0, 3, 1)), 0, "padded");
        cr_assert_float_eq(grd_item_at(a->cross.weights, GRD_DIMS(1, 0, 3, 0)), 1, 1e-6);
    }
    cr_assert_not(grd_equal(y.layers[0].cross.weights, y.layers[1].cross.weights));
    const grd_mha_args encoded = { .weights = GRD_PER_HEAD };
    const grd_encoder_output z = grd_encoder_forward(encoder(), x, &encoded);
    cr_assert_eq(z.num_layers, LAYERS);
    for (int i = 0; i < LAYERS; i++) {
        expect_sizes(z.layers[i].output, GRD_SHAPE(B, T, E));
        expect_sizes(z.layers[i].weights, GRD_SHAPE(B, H, T, T));
        cr_assert_null(z.layers[i].logsumexp);
    }
}

static grd_tensor *gradient_of(const grd_tensor *y, const grd_tensor *leaf)
{
    grd_tensor *dx = NULL;
    const grd_tensor *loss = grd_sum(grd_square(y));
    const grd_grad_options options = { .retain_graph = true };
    cr_assert_eq(grd_grad(GRD_LIST(loss), GRD_LIST(leaf), &options, &dx), GRD_OK, "%s",
                 grd_error_message());
    return dx;
}

Test(decoder, asking_for_weights_changes_no_bit)
{
    grd_module *m = decoder();
    grd_decoder_args args = usual_args();
    const grd_tensor *to = grd_require_grad(grd_clone(x)),
                     *from = grd_require_grad(grd_clone(memory));
    const grd_tensor *plain = grd_decoder_forward(m, to, from, &args).output;
    args.self.weights = args.cross.weights = GRD_PER_HEAD;
    args.self.logsumexp = args.cross.dropped_weights = true;
    const grd_tensor *shown = grd_decoder_forward(m, to, from, &args).output;
    cr_assert(grd_equal(plain, shown));
    cr_assert(grd_equal(gradient_of(plain, to), gradient_of(shown, to)));
    cr_assert(grd_equal(gradient_of(plain, from), gradient_of(shown, from)));
}

/* ---- What does not reach what ---- */

/* x with the rows of dimension d from `start` on times `factor`. */
static grd_tensor *with_tail(const grd_tensor *y, int64_t d, int64_t start, double factor)
{
    const int64_t size = grd_tensor_size(y, d);
    return grd_cat(GRD_LIST(grd_slice(y, d, 0, start, 1),
                            grd_mul_scalar(grd_slice(y, d, start, size, 1), factor)),
                   d);
}

Test(decoder, no_output_sees_a_later_token)
{
    for (int norm_first = 0; norm_first < 2; norm_first++) {
        grd_encoder_layer_options o = layer;
        o.norm_first = norm_first;
        const grd_encoder_options stack = stack_of(o);
        grd_module *m = grd_decoder_create(rng, &stack);
        const grd_tensor *y = decode(m, x, memory);
        for (int64_t t = 1; t < T; t++) {
            const grd_tensor *before_t = grd_slice(y, 1, 0, t, 1);
            const grd_tensor *z = decode(m, with_tail(x, 1, t, -3), memory);
            cr_assert(grd_equal(before_t, grd_slice(z, 1, 0, t, 1)), "%d", (int)t);
            cr_assert_not(grd_equal(grd_select(y, 1, t), grd_select(z, 1, t)));
            z = decode(m, with_tail(x, 1, t, NAN), memory);
            cr_assert(grd_equal(before_t, grd_slice(z, 1, 0, t, 1)), "%d", (int)t);
            cr_assert(isnan(grd_item_at(z, GRD_DIMS(0, t, 0))));
        }
    }
}

Test(decoder, hidden_memory_changes_no_bit_and_gets_no_gradient)
{
    const double factors[] = { 10, NAN };
    grd_module *m = decoder();
    const grd_tensor *y = decode(m, x, memory);
    for (int i = 0; i < 2; i++) {
        const grd_tensor *changed[B];
        for (int b = 0; b < B; b++) {
            const int64_t length = (int64_t)grd_item_at(grd_cast(lengths, GRD_F64), GRD_DIMS(b));
            changed[b] = with_tail(grd_slice(memory, 0, b, b + 1, 1), 1, length, factors[i]);
        }
        const grd_tensor *from = grd_require_grad(grd_cat((grd_list){ B, changed }, 0));
        const grd_tensor *z = decode(m, x, from), *dfrom = gradient_of(z, from);
        cr_assert(grd_equal(y, z));
        cr_assert_eq(grd_item(grd_max(grd_abs(grd_slice(grd_select(dfrom, 0, 1), 0, 1, S, 1)))), 0);
        cr_assert_gt(grd_item(grd_max(grd_abs(grd_select(dfrom, 0, 1)))), 0);
    }
    cr_assert_not(grd_equal(y, decode(m, x, grd_mul_scalar(memory, 10))), "what is seen matters");
}

Test(decoder, samples_are_apart)
{
    grd_module *m = decoder();
    const grd_tensor *y = decode(m, x, memory);
    const grd_tensor *z = decode(m, with_tail(x, 0, 2, 3), with_tail(memory, 0, 2, -1));
    cr_assert(grd_equal(grd_slice(y, 0, 0, 2, 1), grd_slice(z, 0, 0, 2, 1)));
    cr_assert_not(grd_equal(grd_select(y, 0, 2), grd_select(z, 0, 2)));
}

Test(decoder, a_memory_without_masks_has_no_order)
{
    grd_module *m = decoder();
    const grd_tensor *turned =
        grd_index_select(memory, 1, grd_from_i64((int64_t[]){ 3, 0, 5, 1, 4, 2 }, S, GRD_SHAPE(S)));
    expect_close(grd_decoder_forward(m, x, memory, NULL).output,
                 grd_decoder_forward(m, x, turned, NULL).output, 1e-5);
}

Test(decoder, the_diagonal_over_a_memory_is_stated)
{
    grd_module *m = grd_decoder_layer_create(rng, &layer);
    const grd_decoder_args args = { .cross = {
                                        .mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
                                        .weights = GRD_AVERAGED } };
    const grd_tensor *w = grd_decoder_layer_forward(m, x, memory, &args).cross.weights;
    for (int64_t t = 0; t < T; t++)
        for (int64_t s = 0; s < S; s++)
            cr_assert_eq(grd_item_at(w, GRD_DIMS(0, t, s)) > 0, s <= t + S - T, "%d %d", (int)t,
                         (int)s);
}

/* ---- Gradients ---- */

static grd_tensor *run_layer(const grd_tensor *const *in, void *module)
{
    const grd_decoder_args args = { .self = { .mask = { .causal = true } },
                                    .cross = { .mask = { .key_lengths = in[2] } } };
    return grd_decoder_layer_forward(module, in[0], in[1], &args).output;
}

static grd_tensor *run_stack(const grd_tensor *const *in, void *module)
{
    const grd_decoder_args args = { .self = { .mask = { .causal = true } },
                                    .cross = { .mask = { .key_lengths = in[2] } } };
    return grd_decoder_forward(module, in[0], in[1], &args).output;
}

static void check_gradients(grd_function f, grd_module *m, int64_t width)
{
    const grd_tensor *to = grd_randn(rng, GRD_SHAPE(2, 2, width));
    const grd_tensor *from = grd_randn(rng, GRD_SHAPE(2, 3, width));
    const grd_tensor *seen = grd_from_i64((int64_t[]){ 3, 2 }, 2, GRD_SHAPE(2));
    const grd_gradcheck_options options = { .module = m };
    const grd_list in = GRD_LIST(to, from, seen);
    const grd_gradcheck_report once = grd_gradcheck(f, m, in, &options);
    cr_assert(once.passed, "%s %s", once.text, grd_error_message());
    const grd_gradcheck_report twice = grd_gradgradcheck(f, m, in, &options);
    cr_assert(twice.passed, "%s %s", twice.text, grd_error_message());
}

Test(decoder, gradients_agree_with_differences)
{
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    for (int norm_first = 0; norm_first < 2; norm_first++) {
        const grd_encoder_options o = { .layer = { .embed_dim = 4,
                                                   .num_heads = 2,
                                                   .ff_dim = 3,
                                                   .activation = GRD_GELU,
                                                   .norm_first = norm_first },
                                        .num_layers = LAYERS,
                                        .final_norm = true };
        check_gradients(run_layer, grd_decoder_layer_create(rng, &o.layer), 4);
        check_gradients(run_stack, grd_decoder_create(rng, &o), 4);
    }
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}

Test(decoder, every_parameter_gets_a_gradient)
{
    const grd_activation activations[] = { GRD_RELU, GRD_GELU, GRD_GELU_TANH, GRD_SILU };
    for (int variant = 0; variant < 8; variant++) {
        grd_encoder_layer_options o = layer;
        o.norm_first = variant & 1;
        o.no_bias = variant & 2;
        o.activation = activations[variant / 2];
        const grd_encoder_options stack = stack_of(o);
        grd_module *m = grd_decoder_create(rng, &stack);
        grd_backward(grd_sum(grd_square(grd_add_scalar(decode(m, x, memory), 0.5))));
        for (int64_t i = 0; i < grd_module_num_parameters(m); i++) {
            const grd_named p = grd_module_parameter_at(m, i);
            const grd_tensor *gradient = grd_tensor_grad(p.tensor);
            cr_assert(gradient, "%s", p.name);
            cr_assert_gt(grd_item(grd_max(grd_abs(gradient))), 0, "%s", p.name);
        }
    }
}

/* ---- Elsewhere ---- */

static void expect_same_after_load(grd_module *from, grd_module *into,
                                   grd_tensor *(*run)(grd_module *))
{
    const char *path = scratch_path("layers.h5");
    const grd_tensor *y = run(from);
    cr_assert_not(grd_equal(y, run(into)));
    cr_assert_eq(grd_save(path, &(grd_checkpoint){ .model = from }), GRD_OK, "%s",
                 grd_error_message());
    cr_assert_eq(grd_load(path, &(grd_checkpoint){ .model = into }), GRD_OK, "%s",
                 grd_error_message());
    cr_assert(grd_equal(y, run(into)));
}

static grd_tensor *run_encoder(grd_module *m)
{
    return grd_forward(m, x);
}

static grd_tensor *run_decoder(grd_module *m)
{
    return decode(m, x, memory);
}

Test(decoder, checkpoints_hold_stacks)
{
    expect_same_after_load(encoder(), encoder(), run_encoder);
    expect_same_after_load(decoder(), decoder(), run_decoder);
}

Test(decoder, trains_on_another_device)
{
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .device = fake_device() });
    grd_rng *own = grd_rng_create(1);
    const grd_encoder_options stack = stack_of(layer);
    grd_module *m = grd_decoder_create(own, &stack);
    const grd_decoder_args args = { .self = { .mask = { .causal = true } } };
    const grd_decoder_output y = grd_decoder_forward(m, grd_randn(own, GRD_SHAPE(B, T, E)),
                                                     grd_randn(own, GRD_SHAPE(B, S, E)), &args);
    cr_assert_eq(grd_backward(grd_sum(grd_square(y.output))), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}
