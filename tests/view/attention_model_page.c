/* A model's attention as a page: what is on it is what the model computes, and making it beside a
 * training changes no bit of that. */
#include "tests/counter.h"
#include "tests/nn/scratch.h"
#include "tests/view/read_page.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <stdlib.h>
#include <string.h>

TestSuite(attention_model_page, .init = scratch_begin, .fini = scratch_end);

static const char alphabet[] = "abcdefgh";

static grd_module *model_of(grd_rng *rng, grd_direction direction, double dropout)
{
    return grd_transformer_create(rng, &(grd_transformer_options){ .vocab_size = 8,
                                                                   .context = 12,
                                                                   .embed_dim = 16,
                                                                   .num_heads = 2,
                                                                   .num_layers = 2,
                                                                   .direction = direction,
                                                                   .dropout = dropout });
}

/* ---- What is on it ---- */

static void expect_bits(json_t *blob, const grd_tensor *x)
{
    const int64_t count = grd_tensor_count(x);
    float *wanted = malloc((size_t)count * sizeof *wanted);
    cr_assert_eq(grd_read_f32(x, wanted, count), GRD_OK, "%s", grd_error_message());
    float *found = read_blob(blob, (size_t)count * sizeof *found);
    cr_assert_eq(memcmp(found, wanted, (size_t)count * sizeof *found), 0);
    free(found);
    free(wanted);
}

static void expect_layer(json_t *data, int64_t i, const grd_attention *layer)
{
    char path[64];
    snprintf(path, sizeof path, "layers.%lld.weights", (long long)i);
    expect_bits(at(data, path), layer->weights);
    snprintf(path, sizeof path, "layers.%lld.name", (long long)i);
    char name[32];
    snprintf(name, sizeof name, "blocks.%lld.self_attn", (long long)i);
    cr_assert_str_eq(json_string_value(at(data, path)), name);
    snprintf(path, sizeof path, "layers.%lld.checks", (long long)i);
    for (size_t c = 0; c < 5; c++)
        cr_assert(json_is_true(json_object_get(json_array_get(at(data, path), c), "passed")));
}

/* The first layer's queries, from the parts of the model. */
static grd_tensor *queries_of(const grd_module *model, const grd_tensor *tokens)
{
    const grd_tensor *x =
        grd_add(grd_embedding(tokens, grd_module_parameter(model, "token_embedding.weight")),
                grd_slice(grd_module_parameter(model, "position_embedding.weight"), 0, 0,
                          grd_tensor_size(tokens, 1), 1));
    const grd_in_projection in = {
        .in_proj_weight = grd_module_parameter(model, "blocks.0.self_attn.in_proj_weight"),
        .in_proj_bias = grd_module_parameter(model, "blocks.0.self_attn.in_proj_bias"),
    };
    return grd_split_heads(grd_project_qkv(x, x, x, &in).query, 2);
}

static void expect_page(grd_direction direction)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    grd_module *model = model_of(grd_rng_create(3), direction, 0.2);
    const grd_tokenizer *tokenizer = grd_tokenizer_characters(alphabet);
    const char *path = scratch_path("model.html"), *text = "abcabcabgh";
    cr_assert_eq(grd_view_model(path, model, tokenizer, text), GRD_OK, "%s", grd_error_message());
    json_t *data = read_page(path);
    const grd_tensor *tokens = grd_unsqueeze(grd_encode(tokenizer, text), 0);
    grd_module_eval(model);
    const grd_transformer_output out =
        grd_transformer_forward(model, tokens, &(grd_mha_args){ .weights = GRD_PER_HEAD });
    for (int64_t i = 0; i < 2; i++)
        expect_layer(data, i, &out.layers[i]);
    expect_bits(at(data, "layers.0.vectors.query"), queries_of(model, tokens));
    cr_assert_eq(json_is_null(at(data, "layers.0.visible")), direction == GRD_BIDIRECTIONAL);
    cr_assert_str_eq(json_string_value(at(data, "texts.0.0.8")), "g");
    grd_head_scores scores[2];
    const bool causal = direction == GRD_CAUSAL;
    const grd_mask mask = { .causal = causal };
    cr_assert_eq(grd_score_heads(out.layers[1].weights,
                                 &(grd_score_options){
                                     .visible = grd_mask_visible(&mask, GRD_SHAPE(1, 2, 10, 10)),
                                     .query_tokens = tokens },
                                 scores, 2),
                 GRD_OK);
    cr_assert_eq(json_number_value(at(data, "scores.1.1.entropy")), scores[1].entropy);
    cr_assert_eq(json_number_value(at(data, "scores.1.0.patterns.induction.lift")),
                 scores[0].patterns[GRD_PATTERN_INDUCTION].lift);
    cr_assert_eq(json_object_get(at(data, "scores.0.0"), "zero") != NULL, causal);
    json_decref(data);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(attention_model_page, is_what_the_model_computes)
{
    expect_page(GRD_CAUSAL);
    expect_page(GRD_BIDIRECTIONAL);
}

/* One token is asked for nothing: no effects, and no failure. */
Test(attention_model_page, one_token_is_enough)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_of(grd_rng_create(3), GRD_CAUSAL, 0);
    const char *path = scratch_path("model.html");
    cr_assert_eq(grd_view_model(path, model, grd_tokenizer_characters(alphabet), "a"), GRD_OK, "%s",
                 grd_error_message());
    json_t *data = read_page(path);
    cr_assert_null(json_object_get(at(data, "scores.0.0"), "zero"));
    json_decref(data);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- It changes no bit ---- */

typedef struct run {
    grd_module *model;
    grd_optimizer *optimizer;
    grd_rng *rng;
    double losses[6];
    int64_t masked_rows;
} run;

static double step(run *r, int i)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *data = grd_rng_create(100 + (uint64_t)i);
    const grd_tensor *tokens = grd_randint(data, 0, 8, GRD_SHAPE(4, 12));
    const grd_tensor *loss = grd_cross_entropy(grd_forward(r->model, tokens), tokens, NULL);
    grd_backward(loss);
    const double value = grd_item(loss);
    grd_optimizer_step(r->optimizer, 1e-2);
    grd_module_zero_grad(r->model);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    return value;
}

/* A training with dropout; pages are made before, between the steps, and where gradients wait. */
static run train(bool pages)
{
    run r = { .rng = grd_rng_create(11) };
    r.model = model_of(r.rng, GRD_CAUSAL, 0.25);
    r.optimizer = grd_adam_create(r.model, NULL);
    const grd_tokenizer *tokenizer = grd_tokenizer_characters(alphabet);
    grd_scope *counted = grd_scope_begin();
    grd_module_train(r.model, r.rng);
    for (int i = 0; i < 6; i++) {
        if (pages)
            cr_assert_eq(
                grd_view_model(scratch_path("beside.html"), r.model, tokenizer, "abcdefgh"), GRD_OK,
                "%s", grd_error_message());
        r.losses[i] = step(&r, i);
    }
    r.masked_rows = grd_masked_rows(counted);
    cr_assert_eq(grd_scope_end(counted), GRD_OK);
    return r;
}

Test(attention_model_page, making_one_changes_no_bit_of_a_training)
{
    grd_scope *scope = grd_scope_begin();
    const run alone = train(false), beside = train(true);
    cr_assert_eq(memcmp(alone.losses, beside.losses, sizeof alone.losses), 0);
    cr_assert_eq(alone.masked_rows, beside.masked_rows);
    for (int64_t i = 0; i < grd_module_num_parameters(alone.model); i++) {
        const grd_named p = grd_module_parameter_at(alone.model, i);
        cr_assert(grd_equal(p.tensor, grd_module_parameter_at(beside.model, i).tensor), "%s",
                  p.name);
    }
    cr_assert(grd_equal(grd_rand(alone.rng, GRD_SHAPE(8)), grd_rand(beside.rng, GRD_SHAPE(8))));
    cr_assert_neq(alone.losses[0], alone.losses[5]);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* Nor does it change gradients that wait for a step, or collect any. */
Test(attention_model_page, gradients_that_wait_stay_as_they_are)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_of(grd_rng_create(3), GRD_CAUSAL, 0);
    const grd_tensor *tokens = grd_randint(grd_rng_create(1), 0, 8, GRD_SHAPE(2, 12));
    grd_backward(grd_cross_entropy(grd_forward(model, tokens), tokens, NULL));
    const grd_tensor *weight = grd_module_parameter(model, "blocks.1.self_attn.in_proj_weight");
    const grd_tensor *before = grd_clone(grd_tensor_grad(weight));
    cr_assert_eq(grd_view_model(scratch_path("waiting.html"), model,
                                grd_tokenizer_characters(alphabet), "abc"),
                 GRD_OK, "%s", grd_error_message());
    cr_assert(grd_equal(grd_tensor_grad(weight), before));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Bad input ---- */

static void expect_error(grd_status status, grd_module *model, const grd_tokenizer *tokenizer,
                         const char *text, const char *words)
{
    cr_assert_eq(grd_view_model(scratch_path("none.html"), model, tokenizer, text), status, "%s",
                 grd_error_message());
    cr_assert(strstr(grd_error_message(), words), "%s", grd_error_message());
    grd_error_take();
    cr_assert_eq(scratch_files(), 0);
}

Test(attention_model_page, bad_input_is_named)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_of(grd_rng_create(3), GRD_CAUSAL, 0);
    const grd_tokenizer *tokenizer = grd_tokenizer_characters(alphabet);
    expect_error(GRD_ERROR_ARGUMENT, NULL, tokenizer, "a", "view_model");
    expect_error(GRD_ERROR_ARGUMENT, model, NULL, "a", "view_model");
    expect_error(GRD_ERROR_ARGUMENT, model, tokenizer, NULL, "view_model");
    expect_error(GRD_ERROR_ARGUMENT, model, tokenizer, "", "text is empty");
    expect_error(GRD_ERROR_SHAPE, model, tokenizer, "abcabcabcabca",
                 "text is 13 tokens long, but the model's context is 12");
    expect_error(GRD_ERROR_ARGUMENT, model, tokenizer, "x", "encode");
    expect_error(GRD_ERROR_ARGUMENT, grd_linear_create(grd_rng_create(1), 2, 2, NULL), tokenizer,
                 "a", "Linear");
    cr_assert_eq(grd_view_model(NULL, model, tokenizer, "a"), GRD_ERROR_ARGUMENT);
    grd_error_take();
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Memory: too many allocations to try each; these are spread over all of them ---- */

static grd_status page(void)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = grd_transformer_create(grd_rng_create(1),
                                               &(grd_transformer_options){ .vocab_size = 8,
                                                                           .context = 4,
                                                                           .embed_dim = 2,
                                                                           .num_heads = 1,
                                                                           .num_layers = 1,
                                                                           .direction = GRD_CAUSAL,
                                                                           .dropout = 0.1 });
    if (grd_view_model(scratch_path("memory.html"), model, grd_tokenizer_characters(alphabet),
                       "ab") != GRD_OK)
        cr_assert_eq(scratch_files(), 0);
    remove(scratch_path("memory.html"));
    return grd_scope_end(scope);
}

Test(attention_model_page, memory_runs_out_anywhere)
{
    counter c = { 0 };
    count_with(&c, true);
    cr_assert_eq(page(), GRD_OK, "%s", grd_error_message());
    const long needed = c.asked, stride = needed / 150 + 1;
    cr_assert_gt(needed, 1000);
    for (long n = 1; n <= needed; n += stride) {
        c = (counter){ .fail_at = n };
        const grd_status status = page();
        cr_assert(status == GRD_ERROR_MEMORY || status == GRD_OK, "allocation %ld: %s", n,
                  grd_error_message());
        grd_error_take();
        cr_assert_eq(c.live, 0, "allocation %ld: %ld blocks leaked", n, c.live);
    }
    c.fail_at = 0;
    cr_assert_eq(grd_set_allocator(NULL), GRD_OK, "%s", grd_error_message());
}
