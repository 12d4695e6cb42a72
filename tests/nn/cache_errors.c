/* The key/value cache when something goes wrong: messages, and what is left behind. */
#include "tests/counter.h"
#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { B = 2, T = 5, E = 4, H = 2, V = 7 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin_no_grad();
    rng = grd_rng_create(9);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(cache_errors, .init = begin, .fini = end);

/* ---- One call ---- */

/* A right step of a module that has seen two tokens, with one thing made wrong. */
typedef struct step {
    grd_module *module, *model; /* the cache is of model */
    const grd_tensor *query, *key, *value;
    grd_mha_args args;
} step;

static void rows(step *s)
{
    s->query = s->key = s->value = grd_ones(GRD_SHAPE(3, 1, E));
}

static void memory(step *s)
{
    s->key = s->value = grd_ones(GRD_SHAPE(B, 3, E));
}

static void full(step *s)
{
    s->query = s->key = s->value = grd_ones(GRD_SHAPE(B, 4, E));
}

static void align(step *s)
{
    s->args.mask.align = GRD_ALIGN_BOTTOM_RIGHT;
}

static void offset(step *s)
{
    s->args.mask.offset = 2;
}

static void of_the_step_alone(step *s)
{
    s->args.mask.attend = grd_cast(grd_ones(GRD_SHAPE(1, 2)), GRD_BOOL);
}

static void lengths(step *s)
{
    s->args.mask.key_lengths = grd_from_i64((int64_t[]){ 3, 4 }, 2, GRD_SHAPE(2));
}

static void padding(step *s)
{
    s->args.mask.key_ignore = grd_cast(grd_ones(GRD_SHAPE(B, 1)), GRD_BOOL);
}

static void window(step *s)
{
    s->args.mask.window_left = (grd_maybe_int)GRD_SET(-1);
}

static void another(step *s)
{
    s->module = grd_mha_create(
        rng, &(grd_mha_options){ .embed_dim = E, .num_heads = H, .layout = GRD_BATCH_FIRST });
}

static void moved(step *s)
{
    grd_module_to(s->module, NULL, GRD_F64);
    s->query = s->key = s->value = grd_cast(s->query, GRD_F64);
}

static void elsewhere(step *s)
{
    grd_module_to(s->module, fake_device(), GRD_DTYPE_UNSET);
    s->query = s->key = s->value = grd_to_device(s->query, fake_device());
}

static const struct {
    void (*make)(step *s);
    grd_status status;
    const char *message;
} mistakes[] = {
    { rows, GRD_ERROR_SHAPE,
      "mha_forward: MultiheadAttention: the query has 3 rows, and the cache was made for 2" },
    { memory, GRD_ERROR_SHAPE,
      "a cache is of self-attention, where every query has a key: query is [2, 1, 4], key is "
      "[2, 3, 4] (attend to another sequence without a cache)" },
    { full, GRD_ERROR_STATE,
      "MultiheadAttention: the cache has 2 tokens and gets 4, but max_length is 5 (see "
      "grd_cache_truncate, or make it longer)" },
    { align, GRD_ERROR_ARGUMENT,
      "mask.align and mask.offset stay unset with a cache, which puts the diagonal behind what it "
      "has" },
    { offset, GRD_ERROR_ARGUMENT, "mask.align and mask.offset stay unset with a cache" },
    { of_the_step_alone, GRD_ERROR_SHAPE,
      "mask.attend is [1, 2], which does not broadcast to the scores (..., H, L, S) [2, 2, 1, 3]" },
    { lengths, GRD_ERROR_ARGUMENT, "mask.key_lengths[1] is 4, but there are 3 keys" },
    { padding, GRD_ERROR_SHAPE, "mask.key_ignore is [2, 1], expected [2, 3]" },
    { window, GRD_ERROR_ARGUMENT, "mask.window_left is -1" },
    { another, GRD_ERROR_ARGUMENT,
      "the cache was made for MultiheadAttention, of which this is no part" },
    { moved, GRD_ERROR_DTYPE,
      "keys are f64, those in the cache f32 (the model was moved in between: "
      "grd_cache_truncate(cache, 0) starts over)" },
    { elsewhere, GRD_ERROR_DEVICE, "those in the cache on cpu (the model was moved in between" },
};

static grd_tensor *run(const step *s)
{
    return grd_mha_forward(s->module, s->query, s->key, s->value, &s->args).output;
}

static step right_step(void)
{
    step s = { .query = grd_ones(GRD_SHAPE(B, 2, E)) };
    another(&s);
    s.model = s.module;
    s.args.cache = grd_cache_create(s.model, B, T);
    s.key = s.value = s.query;
    cr_assert(run(&s), "%s", grd_error_message());
    s.query = s.key = s.value = grd_ones(GRD_SHAPE(B, 1, E));
    return s;
}

Test(cache_errors, of_a_step_are_named_and_leave_it_as_it_was)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        step s = right_step();
        mistakes[i].make(&s);
        cr_assert_null(run(&s), "%s", mistakes[i].message);
        expect_error(mistakes[i].status, mistakes[i].message);
        cr_assert_eq(grd_cache_length(s.args.cache), 2, "%s", mistakes[i].message);
    }
    const step s = right_step();
    cr_assert(run(&s));
    cr_assert_eq(grd_cache_length(s.args.cache), 3);
}

Test(cache_errors, of_the_cache_itself_are_named)
{
    grd_module *m = right_step().model;
    const int64_t sizes[][2] = { { 0, 1 }, { 1, 0 }, { -1, 1 }, { 1, INT64_MAX } };
    for (int i = 0; i < 4; i++) {
        cr_assert_null(grd_cache_create(m, sizes[i][0], sizes[i][1]));
        expect_error(GRD_ERROR_ARGUMENT, i == 3
                                             ? "max_length 9223372036854775807: both are positive"
                                             : "cache_create: batch is ");
    }
    cr_assert_null(grd_cache_create(NULL, 1, 1));
    expect_error(GRD_ERROR_ARGUMENT, "cache_create");
    cr_assert_eq(grd_cache_truncate(NULL, 0), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "cache_truncate");
    grd_cache *cache = right_step().args.cache;
    cr_assert_eq(grd_cache_truncate(cache, 3), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "cache_truncate: length is 3, expected 0 to the cached 2");
    cr_assert_eq(grd_cache_truncate(cache, -1), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "length is -1");
    cr_assert_null(grd_fail(GRD_ERROR_STATE, "test", "latched"));
    cr_assert_eq(grd_cache_truncate(cache, 0), GRD_ERROR_STATE);
    cr_assert_eq(grd_cache_length(cache), 2, "nothing changes while an error is latched");
    expect_error(GRD_ERROR_STATE, "latched");
}

Test(cache_errors, recording_is_refused_and_frozen_models_need_no_scope)
{
    step s = right_step();
    grd_scope *recording = grd_scope_begin_with(&(grd_scope_options){ 0 });
    cr_assert(run(&s), "scopes inside one that records nothing record nothing");
    cr_assert_eq(grd_scope_end(recording), GRD_OK);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);

    scope = grd_scope_begin();
    rng = grd_rng_create(2);
    another(&s);
    s.query = s.key = s.value = grd_ones(GRD_SHAPE(B, 1, E));
    s.args.cache = grd_cache_create(s.module, B, T);
    cr_assert_null(run(&s));
    expect_error(GRD_ERROR_GRAPH, "a cache is for inference, and gradients do not go back through "
                                  "it (use it between grd_scope_begin_no_grad and grd_scope_end)");
    cr_assert_eq(grd_cache_length(s.args.cache), 0);
    grd_module_freeze(s.module);
    cr_assert(run(&s), "%s", grd_error_message());
    s.query = s.key = s.value = grd_require_grad(grd_ones(GRD_SHAPE(B, 1, E)));
    cr_assert_null(run(&s));
    expect_error(GRD_ERROR_GRAPH, "a cache is for inference");
    cr_assert_eq(grd_cache_length(s.args.cache), 1);
}

/* ---- Models ---- */

static grd_module *model_of(grd_direction direction)
{
    return grd_transformer_create(rng, &(grd_transformer_options){ .vocab_size = V,
                                                                   .context = T,
                                                                   .embed_dim = E,
                                                                   .num_heads = H,
                                                                   .num_layers = 2,
                                                                   .direction = direction });
}

static const grd_tensor *tokens_of(int64_t count)
{
    return grd_from_i64((int64_t[]){ 1, 2, 3, 4, 5 }, count, GRD_SHAPE(1, count));
}

static grd_tensor *feed(grd_module *model, grd_cache *cache, int64_t count)
{
    const grd_tensor *tokens = tokens_of(count);
    if (!tokens)
        return NULL;
    return grd_transformer_forward(model, tokens, &(grd_mha_args){ .cache = cache }).logits;
}

Test(cache_errors, of_a_transformer_are_named)
{
    grd_module *model = model_of(GRD_CAUSAL), *both = model_of(GRD_BIDIRECTIONAL);
    grd_cache *cache = grd_cache_create(model, 1, 10);
    cr_assert(feed(model, cache, 4));
    cr_assert_null(feed(model, cache, 2));
    expect_error(GRD_ERROR_SHAPE, "tokens are [1, 2]: with 4 in the cache 6 positions, but the "
                                  "model's context is 5 (grd_cache_truncate(cache, 0), then the "
                                  "last tokens anew)");
    cr_assert_null(feed(both, grd_cache_create(both, 1, 5), 2));
    expect_error(GRD_ERROR_ARGUMENT, "Transformer is bidirectional: its tokens see later ones");
    grd_module *block = grd_module_get(model, "blocks.0");
    cr_assert_null(feed(model, grd_cache_create(block, 1, 5), 2));
    expect_error(GRD_ERROR_ARGUMENT,
                 "blocks.1.self_attn (MultiheadAttention): the cache was made for blocks.0 "
                 "(TransformerEncoderLayer), of which this is no part");
    cr_assert_eq(grd_cache_length(cache), 4);
}

static void fail_at(grd_module *self, const grd_tensor *y, void *user)
{
    (void)self;
    (void)y;
    if (*(bool *)user)
        grd_fail(GRD_ERROR_STATE, "hook", "enough");
}

/* Wherever it fails, a pass that failed did not happen. */
Test(cache_errors, a_pass_that_fails_half_way_did_not_happen)
{
    static const char *const places[] = { "token_embedding",
                                          "blocks.0.self_attn",
                                          "blocks.0.self_attn.out_proj",
                                          "blocks.0.linear2",
                                          "blocks.0",
                                          "blocks.1.self_attn",
                                          "blocks.1.norm2",
                                          "norm",
                                          "head",
                                          "" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bool failing = false;
        grd_module *model = model_of(GRD_CAUSAL);
        grd_cache *cache = grd_cache_create(model, 1, T), *same = grd_cache_create(model, 1, T);
        grd_on_forward(*places[i] ? grd_module_get(model, places[i]) : model, fail_at, &failing);
        for (int before = 0; before < 3; before++) {
            failing = true;
            cr_assert_null(feed(model, cache, 2));
            expect_error(GRD_ERROR_STATE, "enough");
            cr_assert_eq(grd_cache_length(cache), before, "%s", places[i]);
            failing = false;
            cr_assert(grd_equal(feed(model, cache, 1), feed(model, same, 1)), "%s", places[i]);
        }
    }
}

static void check_stack(grd_module *stack, const char *inner, bool decodes)
{
    bool failing = true;
    grd_cache *cache = grd_cache_create(stack, B, T);
    const grd_tensor *x = grd_ones(GRD_SHAPE(B, 1, E));
    const grd_decoder_args args = { .self = { .cache = cache } };
    grd_on_forward(grd_module_get(stack, inner), fail_at, &failing);
    for (int i = 0; i < 4; i++, failing = !failing) {
        const int64_t before = grd_cache_length(cache);
        const grd_tensor *y = decodes ? grd_decoder_forward(stack, x, x, &args).output
                                      : grd_encoder_forward(stack, x, &args.self).output;
        if (failing)
            expect_error(GRD_ERROR_STATE, "enough");
        cr_assert_eq(y == NULL, failing, "%s", grd_error_message());
        cr_assert_eq(grd_cache_length(cache), before + !failing);
    }
}

Test(cache_errors, stacks_that_fail_half_way_go_back_too)
{
    const grd_encoder_options o = { .layer = { .embed_dim = E, .num_heads = H }, .num_layers = 2 };
    check_stack(grd_encoder_create(rng, &o), "layers.1.linear1", false);
    check_stack(grd_encoder_create(rng, &o), "layers.0.norm1", false);
    check_stack(grd_decoder_create(rng, &o), "layers.1.linear1", true);
    check_stack(grd_decoder_create(rng, &o), "layers.0.multihead_attn", true);
}

/* A model of one's own, of two attentions, whose caller stops between them. */
Test(cache_errors, modules_that_do_not_advance_together_are_named)
{
    step s = { .query = NULL };
    grd_module *own = grd_module_create("Own", 0, NULL);
    another(&s);
    grd_module *first = grd_module_add(own, "first", s.module);
    another(&s);
    grd_module *second = grd_module_add(own, "second", s.module);
    s.args.cache = grd_cache_create(own, B, T);
    s.query = s.key = s.value = grd_ones(GRD_SHAPE(B, 1, E));
    for (int i = 0; i < 2; i++) {
        s.module = first;
        cr_assert(run(&s), "%s", grd_error_message());
        s.module = second;
        cr_assert(run(&s), "%s", grd_error_message());
    }
    s.module = first;
    cr_assert(run(&s));
    cr_assert_eq(grd_cache_length(s.args.cache), 2, "what all have");
    cr_assert_null(run(&s));
    expect_error(GRD_ERROR_STATE,
                 "first (MultiheadAttention): has 3 tokens in the cache and gets 1, while second "
                 "(MultiheadAttention) has 2: a pass takes the same tokens through every module "
                 "(after one that ended early: grd_cache_truncate to the length before it)");
    s.module = second;
    s.query = s.key = s.value = grd_ones(GRD_SHAPE(B, 2, E));
    cr_assert_null(run(&s));
    expect_error(GRD_ERROR_STATE, "second (MultiheadAttention): has 2 tokens in the cache and gets "
                                  "2, while first (MultiheadAttention) has 3");
    cr_assert_eq(grd_cache_truncate(s.args.cache, 2), GRD_OK);
    s.module = first;
    cr_assert(run(&s), "%s", grd_error_message());
    s.module = second;
    cr_assert(run(&s), "%s", grd_error_message());
    cr_assert_eq(grd_cache_length(s.args.cache), 4);
}

/* ---- Memory ---- */

static grd_status whole_program(void)
{
    grd_scope *outer = grd_scope_begin_no_grad();
    grd_rng *own = grd_rng_create(1);
    rng = own;
    grd_module *model = model_of(GRD_CAUSAL);
    grd_cache *cache = grd_cache_create(model, 1, T);
    for (int i = 0; i < 3; i++) {
        const int64_t before = grd_cache_length(cache);
        grd_scope *pass = grd_scope_begin();
        feed(model, cache, i ? 1 : 2);
        const bool good = grd_scope_end(pass) == GRD_OK;
        cr_assert_eq(grd_cache_length(cache), good ? before + (i ? 1 : 2) : before);
    }
    if (cache)
        grd_cache_truncate(cache, 1);
    feed(model, cache, 1);
    const grd_tensor *tokens = grd_from_i64((int64_t[]){ 1, 2 }, 2, GRD_SHAPE(2));
    if (model && tokens)
        (void)!grd_generate(model, tokens, 5, NULL, NULL);
    return grd_scope_end(outer);
}

Test(cache_memory, running_out_anywhere_leaves_the_length_and_leaks_nothing)
{
    fail_at_every_allocation(whole_program, 200);
}

/* After memory came back, a pass that failed is repeated to the same bits. */
Test(cache_memory, a_pass_that_ran_out_can_be_repeated)
{
    counter c = { 0 };
    count_with(&c, true);
    grd_scope *outer = grd_scope_begin_no_grad();
    rng = grd_rng_create(1);
    grd_module *model = model_of(GRD_CAUSAL);
    grd_cache *cache = grd_cache_create(model, 1, T), *same = grd_cache_create(model, 1, T);
    const grd_tensor *want[2] = { feed(model, same, 3), feed(model, same, 1) };
    for (int i = 0; i < 2; i++) {
        const int64_t count = i ? 1 : 3, length = i ? 3 : 0;
        long n = 0, failed = 0;
        for (bool done = false; !done;) {
            grd_scope *pass = grd_scope_begin_no_grad();
            c.asked = 0;
            c.fail_at = ++n;
            const grd_tensor *y = feed(model, cache, count);
            c.fail_at = 0;
            done = y != NULL;
            if (done)
                cr_assert(grd_equal(y, want[i]));
            else
                cr_assert_eq(grd_cache_length(cache), length, "allocation %ld", n);
            failed += grd_scope_end(pass) != GRD_OK;
            grd_error_take();
        }
        cr_assert_gt(failed, 50);
        cr_assert_eq(grd_cache_length(cache), length + count);
    }
    cr_assert_eq(grd_scope_end(outer), GRD_OK);
    cr_assert_eq(c.live, 0);
}

Test(cache_memory, a_step_asks_the_system_for_none)
{
    counter c = { 0 };
    count_with(&c, false);
    grd_scope *outer = grd_scope_begin_no_grad();
    rng = grd_rng_create(1);
    grd_module *model = model_of(GRD_CAUSAL);
    grd_cache *cache = grd_cache_create(model, 1, T);
    long before = 0;
    for (int i = 0; i < 6; i++) {
        grd_scope *pass = grd_scope_begin();
        before = i == 3 ? c.asked : before;
        grd_cache_truncate(cache, grd_cache_length(cache) == T ? 1 : grd_cache_length(cache));
        feed(model, cache, 1);
        cr_assert_eq(grd_scope_end(pass), GRD_OK, "%s", grd_error_message());
    }
    cr_assert_eq(c.asked, before, "%ld blocks", c.asked - before);
    cr_assert_eq(grd_scope_end(outer), GRD_OK);
}

static void *allocate_small(size_t bytes, void *user)
{
    (void)user;
    return bytes > (size_t)1 << 30 ? NULL : aligned_alloc(64, bytes);
}

static void release(void *block, size_t bytes, void *user)
{
    (void)bytes;
    (void)user;
    free(block);
}

Test(cache_memory, one_that_is_too_long_says_so_when_it_first_runs)
{
    const grd_allocator allocator = { .allocate = allocate_small, .release = release };
    cr_assert_eq(grd_set_allocator(&allocator), GRD_OK, "%s", grd_error_message());
    grd_scope *outer = grd_scope_begin_no_grad();
    rng = grd_rng_create(1);
    grd_module *model = model_of(GRD_CAUSAL);
    grd_cache *cache = grd_cache_create(model, 1, (int64_t)1 << 40);
    cr_assert_null(feed(model, cache, 1));
    expect_error(GRD_ERROR_MEMORY, "mha_forward");
    cr_assert_eq(grd_cache_length(cache), 0);
    cr_assert_eq(grd_scope_end(outer), GRD_OK);
}
