/* The encoder layer and the transformer, against PyTorch's numbers and their own contracts. */
#include "nn/transformer.h"
#include "tests/nn/expect.h"
#include "tests/nn/golden.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(7);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(transformer, .init = begin, .fini = end);

/* ---- Against PyTorch ---- */

static grd_transformer_options options_of(const golden *g)
{
    return (grd_transformer_options){
        .vocab_size = golden_integer(g, "vocab_size", 0),
        .context = golden_integer(g, "context", 0),
        .embed_dim = golden_integer(g, "embed_dim", 0),
        .num_heads = golden_integer(g, "num_heads", 0),
        .num_layers = golden_integer(g, "num_layers", 0),
        .ff_dim = golden_integer(g, "ff_dim", 0),
        .norm_eps = golden_real(g, "norm_eps", 0),
        .activation = golden_activation(g),
        .norm_first = golden_integer(g, "norm_first", 0),
        .no_bias = !golden_integer(g, "bias", 1),
        .tied = golden_integer(g, "tied", 0),
        .direction = golden_integer(g, "causal", 1) ? GRD_CAUSAL : GRD_BIDIRECTIONAL,
    };
}

static void check_case(const golden *g)
{
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = g->dtype });
    const grd_transformer_options options = options_of(g);
    grd_module *model = grd_transformer_create(rng, &options);
    cr_assert(model, "%s: %s", g->name, grd_error_message());
    golden_load(g, model);
    const grd_tensor *tokens = golden_tensor(g, "tokens");
    const grd_tensor *logits = grd_forward(model, tokens);
    golden_expect(g, "output", logits);
    golden_expect(g, "output", grd_transformer_forward(model, tokens, NULL).logits);
    const grd_tensor *gradient = golden_tensor(g, "grad_output");
    grd_backward_with(logits, &(grd_backward_options){ .gradient = gradient });
    golden_expect_parameters(g, model);
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s: %s", g->name, grd_error_message());
}

Test(transformer, agrees_with_pytorch)
{
    int checked = 0;
    golden g = { .archive = golden_open("transformer.h5"), .dtype = GRD_F64 };
    for (; golden_at(&g, checked); checked++) {
        g.dtype = GRD_F64;
        check_case(&g);
        g.dtype = GRD_F32;
        check_case(&g);
    }
    cr_assert_eq(checked, 8);
}

/* ---- Its own contracts ---- */

static const grd_transformer_options small = { .vocab_size = 11,
                                               .context = 6,
                                               .embed_dim = 8,
                                               .num_heads = 2,
                                               .num_layers = 2,
                                               .direction = GRD_CAUSAL,
                                               .norm_first = true,
                                               .activation = GRD_GELU };

Test(transformer, names_its_parameters_as_torch_does)
{
    static const char *const names[] = {
        "token_embedding.weight",
        "position_embedding.weight",
        "blocks.0.self_attn.in_proj_weight",
        "blocks.0.self_attn.in_proj_bias",
        "blocks.0.self_attn.out_proj.weight",
        "blocks.0.self_attn.out_proj.bias",
        "blocks.0.linear1.weight",
        "blocks.0.linear1.bias",
        "blocks.0.linear2.weight",
        "blocks.0.linear2.bias",
        "blocks.0.norm1.weight",
        "blocks.0.norm1.bias",
        "blocks.0.norm2.weight",
        "blocks.0.norm2.bias",
        "norm.weight",
        "norm.bias",
        "head.weight",
    };
    grd_transformer_options options = small;
    options.num_layers = 1;
    const grd_module *model = grd_transformer_create(rng, &options);
    const int count = sizeof names / sizeof names[0];
    cr_assert_eq(grd_module_num_parameters(model), count);
    for (int i = 0; i < count; i++)
        cr_assert_str_eq(grd_module_parameter_at(model, i).name, names[i]);
}

static double deviation(const grd_module *model, const char *name)
{
    const grd_tensor *x = grd_module_parameter(model, name);
    return sqrt(grd_item(grd_mean(grd_square(x))));
}

Test(transformer, starts_as_stated)
{
    grd_transformer_options options = small;
    options.embed_dim = 96;
    options.num_layers = 8;
    const grd_module *model = grd_transformer_create(rng, &options);
    const double narrow = 0.02 / sqrt(16);
    cr_assert_float_eq(deviation(model, "token_embedding.weight"), 0.02, 2e-3);
    cr_assert_float_eq(deviation(model, "blocks.3.linear1.weight"), 0.02, 1e-3);
    cr_assert_float_eq(deviation(model, "blocks.3.self_attn.in_proj_weight"), 0.02, 1e-3);
    cr_assert_float_eq(deviation(model, "blocks.3.self_attn.out_proj.weight"), narrow, 3e-4);
    cr_assert_float_eq(deviation(model, "blocks.3.linear2.weight"), narrow, 3e-4);
    cr_assert_eq(deviation(model, "blocks.3.linear1.bias"), 0);
    cr_assert_eq(deviation(model, "blocks.3.norm1.weight"), 1);
    cr_assert_not(grd_equal(grd_module_parameter(model, "blocks.0.linear1.weight"),
                            grd_module_parameter(model, "blocks.1.linear1.weight")),
                  "layers must not start alike");
}

static grd_tensor *tokens_of(const int64_t *values, int64_t batch, int64_t length)
{
    return grd_from_i64(values, batch * length, GRD_SHAPE(batch, length));
}

Test(transformer, causal_logits_do_not_see_later_tokens)
{
    const int64_t first[] = { 1, 2, 3, 4, 5 }, second[] = { 1, 2, 3, 9, 10 };
    grd_module *model = grd_transformer_create(rng, &small);
    const grd_tensor *a = grd_forward(model, tokens_of(first, 1, 5));
    const grd_tensor *b = grd_forward(model, tokens_of(second, 1, 5));
    cr_assert(grd_equal(grd_slice(a, 1, 0, 3, 1), grd_slice(b, 1, 0, 3, 1)));
    cr_assert_not(grd_equal(grd_slice(a, 1, 3, 5, 1), grd_slice(b, 1, 3, 5, 1)));

    grd_transformer_options both = small;
    both.direction = GRD_BIDIRECTIONAL;
    model = grd_transformer_create(rng, &both);
    a = grd_forward(model, tokens_of(first, 1, 5));
    b = grd_forward(model, tokens_of(second, 1, 5));
    cr_assert_not(grd_equal(grd_slice(a, 1, 0, 1, 1), grd_slice(b, 1, 0, 1, 1)));
}

Test(transformer, shows_each_layers_weights)
{
    const int64_t values[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    const grd_tensor *tokens = tokens_of(values, 2, 4);
    grd_module *model = grd_transformer_create(rng, &small);
    const grd_tensor *lengths = grd_from_i64((int64_t[]){ 4, 2 }, 2, GRD_SHAPE(2));
    const grd_mha_args args = { .mask = { .key_lengths = lengths },
                                .weights = GRD_PER_HEAD,
                                .logsumexp = true };
    const grd_transformer_output y = grd_transformer_forward(model, tokens, &args);
    cr_assert_eq(y.num_layers, 2);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(grd_tensor_rank(y.layers[i].weights), 4);
        cr_assert_eq(grd_tensor_rank(y.layers[i].logsumexp), 3);
        cr_assert_null(y.layers[i].dropped_weights);
        cr_assert_eq(grd_item_at(y.layers[i].weights, GRD_DIMS(1, 0, 3, 2)), 0, "padded");
        cr_assert_eq(grd_item_at(y.layers[i].weights, GRD_DIMS(0, 0, 1, 2)), 0, "later");
        cr_assert_gt(grd_item_at(y.layers[i].weights, GRD_DIMS(0, 0, 3, 2)), 0);
    }
    const grd_tensor *plain =
        grd_transformer_forward(model, tokens, &(grd_mha_args){ .mask = args.mask }).logits;
    cr_assert(grd_equal(y.logits, plain), "asking for weights changes nothing");
}

static void count_forward(grd_module *self, const grd_tensor *y, void *user)
{
    (void)self;
    cr_assert(y);
    ++*(int *)user;
}

Test(transformer, calls_hooks_once)
{
    static const char *const paths[] = { "blocks.0", "blocks.0.self_attn", "blocks.1.linear2",
                                         "blocks.1.self_attn.out_proj" };
    int counts[4] = { 0 }, whole = 0;
    grd_module *model = grd_transformer_create(rng, &small);
    for (int i = 0; i < 4; i++)
        grd_on_forward(grd_module_get(model, paths[i]), count_forward, &counts[i]);
    grd_on_forward(model, count_forward, &whole);
    const grd_tensor *tokens = tokens_of((int64_t[]){ 1, 2, 3 }, 1, 3);
    cr_assert(grd_forward(model, tokens));
    for (int i = 0; i < 4; i++)
        cr_assert_eq(counts[i], 1, "%s: %d", paths[i], counts[i]);
    cr_assert_eq(whole, 1);
    cr_assert(grd_transformer_forward(model, tokens, NULL).logits);
    cr_assert_eq(whole, 2);
}

static grd_tensor *loss_of(grd_module *model, const grd_tensor *tokens)
{
    return grd_mean(grd_square(grd_forward(model, tokens)));
}

Test(transformer, dropout_follows_train_and_eval)
{
    grd_transformer_options options = small;
    options.dropout = 0.3;
    grd_module *model = grd_transformer_create(rng, &options);
    const grd_tensor *tokens = tokens_of((int64_t[]){ 1, 2, 3, 4 }, 2, 2);
    cr_assert_null(grd_forward(model, tokens));
    expect_error(GRD_ERROR_STATE, "grd_module_train or grd_module_eval");

    grd_module_train(model, grd_rng_create(1));
    const double one = grd_item(loss_of(model, tokens)), two = grd_item(loss_of(model, tokens));
    cr_assert_neq(one, two);
    grd_module_train(model, grd_rng_create(1));
    cr_assert_eq(grd_item(loss_of(model, tokens)), one, "the same seed drops the same");
    grd_module_eval(model);
    cr_assert_eq(grd_item(loss_of(model, tokens)), grd_item(loss_of(model, tokens)));
}

Test(transformer, gives_every_parameter_a_gradient)
{
    for (int variant = 0; variant < 8; variant++) {
        grd_transformer_options options = small;
        options.norm_first = variant & 1;
        options.tied = variant & 2;
        options.no_bias = variant & 4;
        grd_module *model = grd_transformer_create(rng, &options);
        const grd_tensor *tokens = tokens_of((int64_t[]){ 0, 1, 2, 3, 4, 5 }, 1, 6);
        const grd_tensor *targets = tokens_of((int64_t[]){ 1, 2, 3, 4, 5, 6 }, 1, 6);
        grd_backward(grd_cross_entropy(grd_forward(model, tokens), targets, NULL));
        for (int64_t i = 0; i < grd_module_num_parameters(model); i++) {
            const grd_named p = grd_module_parameter_at(model, i);
            const grd_tensor *gradient = grd_tensor_grad(p.tensor);
            cr_assert(gradient, "%s", p.name);
            cr_assert_gt(grd_item(grd_max(grd_abs(gradient))), 0, "%s", p.name);
        }
    }
}

/* ---- JSON ---- */

Test(transformer, options_survive_json)
{
    grd_transformer_options options = small;
    options.dropout = 0.1;
    options.norm_eps = 1e-6;
    options.tied = true;
    const grd_module *model = grd_transformer_create(rng, &options);
    const grdi_json_text json = grdi_transformer_json(model);
    const grd_module *again = grd_transformer_create_json(rng, json.chars);
    cr_assert(again, "%s: %s", json.chars, grd_error_message());
    cr_assert_str_eq(grdi_transformer_json(again).chars, json.chars);
    const grd_transformer_options *read = grdi_transformer_options("test", again);
    cr_assert(read->dropout == 0.1 && read->norm_eps == 1e-6 && read->tied && read->norm_first);
    cr_assert(read->activation == GRD_GELU && read->direction == GRD_CAUSAL && read->ff_dim == 32);
}

Test(transformer, refuses_json_that_says_something_else)
{
    static const struct {
        const char *json, *message;
    } bad[] = {
        { "{", "not JSON, line 1" },
        { "[1]", "expected one object" },
        { "{\"embed_dimm\": 8}", "\"embed_dimm\" is no option of a transformer (did you mean "
                                 "\"embed_dim\"?)" },
        { "{\"embed_dim\": 8.5}", "\"embed_dim\" must be a whole number" },
        { "{\"dropout\": \"no\"}", "\"dropout\" must be a number" },
        { "{\"tied\": 1}", "\"tied\" must be true or false" },
        { "{\"activation\": 3}", "\"activation\" must be a name" },
        { "{\"activation\": \"gellu\"}", "\"activation\" cannot be \"gellu\" (did you mean "
                                         "\"gelu\"?)" },
        { "{\"direction\": \"\"}", "\"direction\" cannot be \"\"" },
        { "{\"tied\": true, \"tied\": true}", "duplicate" },
        { "{\"vocab_size\": 5}", "context is 0: it is required and positive" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(grd_transformer_create_json(rng, bad[i].json), "%s", bad[i].json);
        expect_error(GRD_ERROR_ARGUMENT, bad[i].message);
    }
}

/* ---- Bad input ---- */

static void refuse_model(grd_transformer_options options, const char *message)
{
    cr_assert_null(grd_transformer_create(rng, &options));
    expect_error(GRD_ERROR_ARGUMENT, message);
}

Test(transformer, refuses_bad_options)
{
    grd_transformer_options o = small;
    o.vocab_size = 0;
    refuse_model(o, "vocab_size is 0: it is required and positive");
    o = small;
    o.num_heads = 3;
    refuse_model(o, "embed_dim 8 is not divisible by num_heads 3");
    o = small;
    o.direction = GRD_DIRECTION_UNSTATED;
    refuse_model(o, "direction is not stated: GRD_CAUSAL");
    o = small;
    o.dropout = 1;
    refuse_model(o, "dropout is 1, expected 0 <= dropout < 1");
    o = small;
    o.ff_dim = -1;
    refuse_model(o, "ff_dim is -1: 0 is 4 embed_dim");
    o = small;
    o.activation = (grd_activation)9;
    refuse_model(o, "activation is 9, which is no grd_activation");
    o = small;
    o.norm_eps = -1;
    refuse_model(o, "eps is -1");
}

Test(transformer, refuses_bad_tokens)
{
    const int64_t values[] = { 0, 1, 2, 3, 4, 5, 6, 11 };
    grd_module *model = grd_transformer_create(rng, &small);
    cr_assert_null(grd_forward(model, tokens_of(values, 1, 7)));
    expect_error(GRD_ERROR_SHAPE, "tokens are [1, 7]: 7 positions, but the model's context is 6");
    cr_assert_null(grd_transformer_forward(model, tokens_of(values + 6, 1, 2), NULL).logits);
    expect_error(GRD_ERROR_ARGUMENT, "11");
    cr_assert_null(grd_forward(model, grd_zeros(GRD_SHAPE(1, 2))));
    expect_error(GRD_ERROR_DTYPE, "tokens are f32 of [1, 2], expected i64 (B, T)");
    cr_assert_null(grd_forward(model, grd_from_i64(values, 3, GRD_SHAPE(3))));
    expect_error(GRD_ERROR_SHAPE, "tokens are i64 of [3], expected i64 (B, T)");
    grd_module *linear = grd_linear_create(rng, 2, 2, NULL);
    cr_assert_null(grd_transformer_forward(linear, tokens_of(values, 1, 2), NULL).logits);
    expect_error(GRD_ERROR_ARGUMENT, "the module must be a Transformer, not Linear");
}
