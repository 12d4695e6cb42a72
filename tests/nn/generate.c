/* Generation: tokens that follow a prompt. */
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

enum { VOCAB = 9, CONTEXT = 4 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(3);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(generate, .init = begin, .fini = end);

static grd_module *model_of(void)
{
    return grd_transformer_create(rng, &(grd_transformer_options){ .vocab_size = VOCAB,
                                                                   .context = CONTEXT,
                                                                   .embed_dim = 8,
                                                                   .num_heads = 2,
                                                                   .num_layers = 1,
                                                                   .direction = GRD_CAUSAL });
}

/* Weights far from zero, so that tokens are told apart. */
static grd_module *lively_model(void)
{
    double deviation = 1;
    grd_module *model = model_of();
    grd_module_initialize(model, "*weight", grd_init_normal, rng, &deviation);
    return model;
}

static grd_tensor *prompt_of(int64_t length)
{
    static const int64_t tokens[] = { 1, 5, 2, 7, 3, 8 };
    return grd_from_i64(tokens, length, GRD_SHAPE(length));
}

/* The likeliest token after `said`, whose last CONTEXT tokens are seen. */
static int64_t likeliest(grd_module *model, const int64_t *said, int64_t length)
{
    const int64_t seen = length < CONTEXT ? length : CONTEXT;
    const grd_tensor *tokens = grd_from_i64(said + length - seen, seen, GRD_SHAPE(1, seen));
    const grd_tensor *last = grd_select(grd_forward(model, tokens), 1, -1);
    return (int64_t)grd_item(grd_argmax(last, -1));
}

Test(generate, takes_the_likeliest_and_slides_its_window)
{
    grd_module *model = lively_model();
    int64_t said[12], found[9];
    cr_assert_eq(grd_read_i64(prompt_of(3), said, 3), GRD_OK);
    const grd_tensor *tokens = grd_generate(model, prompt_of(3), 9, NULL, NULL);
    cr_assert_eq(grd_read_i64(tokens, found, 9), GRD_OK, "%s", grd_error_message());
    for (int i = 0; i < 9; i++) {
        said[3 + i] = likeliest(model, said, 3 + i);
        cr_assert_eq(found[i], said[3 + i], "token %d", i);
    }
}

Test(generate, a_prompt_may_be_longer_than_the_context)
{
    grd_module *model = lively_model();
    int64_t said[6], found;
    cr_assert_eq(grd_read_i64(prompt_of(6), said, 6), GRD_OK);
    const grd_tensor *tokens = grd_generate(model, prompt_of(6), 1, NULL, NULL);
    cr_assert_eq(grd_read_i64(tokens, &found, 1), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(found, likeliest(model, said, 6));
}

Test(generate, draws_as_often_as_likely)
{
    enum { DRAWS = 2000 };
    grd_module *model = lively_model();
    const grd_tensor *logits =
        grd_forward(model, grd_from_i64((int64_t[]){ 1 }, 1, GRD_SHAPE(1, 1)));
    const grd_generate_options options = { .temperature = 3 };
    double likely[VOCAB], counts[VOCAB] = { 0 };
    cr_assert_eq(grd_read_f64(grd_softmax(grd_div_scalar(logits, 3), -1), likely, VOCAB), GRD_OK);
    for (int i = 0; i < DRAWS; i++) {
        grd_scope *inner = grd_scope_begin();
        counts[(int)grd_item(grd_generate(model, prompt_of(1), 1, rng, &options))] += 1. / DRAWS;
        grd_scope_end(inner);
    }
    for (int i = 0; i < VOCAB; i++)
        cr_assert_float_eq(counts[i], likely[i], 5 * sqrt(likely[i] / DRAWS) + 1e-3, "token %d", i);
}

Test(generate, top_k_leaves_the_others_out)
{
    grd_module *model = lively_model();
    const grd_tensor *logits =
        grd_forward(model, grd_from_i64((int64_t[]){ 1 }, 1, GRD_SHAPE(1, 1)));
    int64_t best[2];
    cr_assert_eq(grd_read_i64(grd_topk(logits, 2, -1).indices, best, 2), GRD_OK);
    const grd_generate_options options = { .temperature = 50, .top_k = 2 };
    int seen[2] = { 0 };
    for (int i = 0; i < 60; i++) {
        const int64_t token =
            (int64_t)grd_item(grd_generate(model, prompt_of(1), 1, rng, &options));
        cr_assert(token == best[0] || token == best[1], "%d", (int)token);
        seen[token == best[1]]++;
    }
    cr_assert(seen[0] && seen[1]);
}

Test(generate, repeats_with_the_same_seed)
{
    grd_module *model = lively_model();
    const grd_generate_options options = { .temperature = 1, .top_k = 100 };
    const grd_tensor *a = grd_generate(model, prompt_of(2), 20, grd_rng_create(8), &options);
    const grd_tensor *b = grd_generate(model, prompt_of(2), 20, grd_rng_create(8), &options);
    cr_assert(a && grd_equal(a, b));
}

typedef struct listener {
    int64_t heard[8];
    int count, stop_at;
} listener;

static bool listen(int64_t token, void *user)
{
    listener *l = user;
    l->heard[l->count++] = token;
    return l->count != l->stop_at;
}

Test(generate, tells_of_every_token_and_can_be_stopped)
{
    grd_module *model = lively_model();
    listener l = { .stop_at = 3 };
    const grd_generate_options options = { .on_token = listen, .user = &l };
    const grd_tensor *tokens = grd_generate(model, prompt_of(2), 8, NULL, &options);
    int64_t found[3];
    cr_assert_eq(l.count, 3);
    cr_assert_eq(grd_read_i64(tokens, found, 3), GRD_OK, "%s", grd_error_message());
    for (int i = 0; i < 3; i++)
        cr_assert_eq(found[i], l.heard[i]);
    cr_assert_eq(grd_tensor_count(grd_generate(model, prompt_of(2), 0, NULL, NULL)), 0);
}

Test(generate, records_nothing)
{
    grd_module *model = lively_model();
    const grd_tensor *tokens = grd_generate(model, prompt_of(2), 3, NULL, NULL);
    cr_assert_not(grd_tensor_requires_grad(tokens));
    for (int64_t i = 0; i < grd_module_num_parameters(model); i++)
        cr_assert_null(grd_tensor_grad(grd_module_parameter_at(model, i).tensor));
}

static void refuse(const grd_tensor *prompt, int64_t count, grd_rng *from,
                   grd_generate_options options, const char *message)
{
    cr_assert_null(grd_generate(model_of(), prompt, count, from, &options));
    expect_error(GRD_ERROR_ARGUMENT, message);
}

Test(generate, refuses_bad_input)
{
    const grd_generate_options plain = { 0 };
    refuse(grd_ones(GRD_SHAPE(2)), 1, rng, plain, "prompt is f32 of [2], expected i64 (T)");
    refuse(grd_reshape(prompt_of(2), GRD_SHAPE(1, 2)), 1, rng, plain, "prompt is i64 of [1, 2]");
    refuse(prompt_of(0), 1, rng, plain, "at least one token");
    refuse(prompt_of(2), -1, rng, plain, "count is -1");
    refuse(prompt_of(2), INT64_MAX, rng, plain, "count is 9223372036854775807");
    refuse(prompt_of(2), 1, rng, (grd_generate_options){ .temperature = -1 }, "temperature is -1");
    refuse(prompt_of(2), 1, rng, (grd_generate_options){ .top_k = -2 }, "top_k is -2");
    refuse(prompt_of(2), 1, NULL, (grd_generate_options){ .temperature = 1 },
           "temperature 1 draws tokens, but there is no rng");
    cr_assert_null(grd_generate(grd_linear_create(rng, 2, 2, NULL), prompt_of(2), 1, NULL, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "the module must be a Transformer, not Linear");
    const int64_t far = VOCAB;
    cr_assert_null(grd_generate(model_of(), grd_from_i64(&far, 1, GRD_SHAPE(1)), 1, NULL, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "9");
}
