/* The key/value cache: what comes step by step is what the whole sequence gives. */
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

enum { B = 2, T = 7, E = 8, H = 2, V = 11 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin_no_grad();
    rng = grd_rng_create(5);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(cache, .init = begin, .fini = end);

static const grd_dtype dtypes[] = { GRD_F64, GRD_F32 };

static double allowed(grd_dtype dtype)
{
    return dtype == GRD_F64 ? 1e-12 : 1e-5;
}

static const grd_tensor *cut(const grd_tensor *x, int64_t dim, int64_t start, int64_t stop)
{
    return grd_slice(x, dim, start, stop, 1);
}

/* How a sequence of T comes: the sizes of its pieces, 0 at the end. */
static const int64_t plans[][T + 1] = {
    { 1, 1, 1, 1, 1, 1, 1 }, { 3, 3, 1 }, { 4, 1, 1, 1 }, { 1, 6 }, { 2, 5 }, { T },
};
enum { PLANS = sizeof plans / sizeof plans[0] };

/* ---- The module ---- */

static grd_mha_options options_of(grd_layout layout)
{
    return (grd_mha_options){ .embed_dim = E, .num_heads = H, .layout = layout };
}

/* x (B, T, n) in that layout; without a batch, the first sample. */
static const grd_tensor *laid_out(const grd_tensor *x, grd_layout layout)
{
    if (layout == GRD_SEQUENCE_FIRST)
        return grd_contiguous(grd_transpose(x, 0, 1));
    return layout == GRD_UNBATCHED ? grd_select(x, 0, 0) : x;
}

static int64_t time_of(grd_layout layout)
{
    return layout == GRD_BATCH_FIRST ? 1 : 0;
}

/* The part of a mask of the whole that concerns queries from `start` on and keys up to `stop`. */
static grd_mask part_of(const grd_mask *whole, int64_t start, int64_t stop)
{
    grd_mask mask = *whole;
    const grd_tensor **pairs[] = { &mask.additive, &mask.attend, &mask.ignore };
    for (int i = 0; i < 3; i++)
        if (*pairs[i])
            *pairs[i] = cut(cut(*pairs[i], -2, start, stop), -1, 0, stop);
    if (mask.key_ignore)
        mask.key_ignore = cut(mask.key_ignore, -1, 0, stop);
    return mask;
}

/* Weights (..., L, T + appended) without the keys that have not come yet. */
static const grd_tensor *known_weights(const grd_tensor *whole, int64_t start, int64_t stop)
{
    const int64_t columns = grd_tensor_size(whole, -1);
    const grd_tensor *rows = cut(whole, -2, start, stop);
    return grd_cat(GRD_LIST(cut(rows, -1, 0, stop), cut(rows, -1, T, columns)), -1);
}

/* Runs x through the module by each plan, and holds it against the whole. */
static void check_module(grd_module *m, const grd_mha_options *o, const grd_tensor *const x[3],
                         const grd_mask *mask)
{
    const int64_t time = time_of(o->layout), batch = o->layout == GRD_UNBATCHED ? 1 : B;
    const double far = allowed(grd_tensor_dtype(x[0]));
    grd_mha_args args = { .mask = *mask, .weights = GRD_PER_HEAD, .logsumexp = true };
    args.mask.causal = true;
    const grd_attention whole = grd_mha_forward(m, x[0], x[1], x[2], &args);
    cr_assert(whole.output, "%s", grd_error_message());
    for (int p = 0; p < PLANS; p++) {
        grd_cache *cache = grd_cache_create(m, batch, T);
        for (int64_t i = 0, start = 0, stop; start < T; i++, start = stop) {
            stop = start + plans[p][i];
            const grd_tensor *query = cut(x[0], time, start, stop);
            const grd_tensor *key = x[1] == x[0] ? query : cut(x[1], time, start, stop);
            const grd_tensor *value = x[2] == x[0] ? query : cut(x[2], time, start, stop);
            args.mask = part_of(mask, start, stop);
            args.cache = cache;
            const grd_attention a = grd_mha_forward(m, query, key, value, &args);
            expect_close(a.output, cut(whole.output, time, start, stop), far);
            expect_close(a.weights, known_weights(whole.weights, start, stop), far);
            expect_close(grd_exp(a.logsumexp), grd_exp(cut(whole.logsumexp, -1, start, stop)),
                         100 * far);
            cr_assert_eq(grd_cache_length(cache), stop);
        }
    }
}

/* In each type: the module of these options on random inputs, of one tensor where sizes allow. */
static void check_options(grd_mha_options o, grd_mask (*mask_of)(void))
{
    for (int i = 0; i < 2; i++) {
        grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = dtypes[i] });
        const grd_tensor *x = laid_out(grd_randn(rng, GRD_SHAPE(B, T, E)), o.layout);
        const grd_tensor *k =
            laid_out(grd_randn(rng, GRD_SHAPE(B, T, o.kdim ? o.kdim : E)), o.layout);
        const grd_tensor *v =
            laid_out(grd_randn(rng, GRD_SHAPE(B, T, o.vdim ? o.vdim : E)), o.layout);
        grd_module *m = grd_mha_create(rng, &o);
        const grd_mask mask = mask_of ? mask_of() : (grd_mask){ 0 };
        if (!o.kdim && !o.vdim)
            check_module(m, &o, (const grd_tensor *[]){ x, x, x }, &mask);
        check_module(m, &o, (const grd_tensor *[]){ x, k, v }, &mask);
        cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
    }
}

Test(cache, steps_are_the_whole_in_every_layout)
{
    for (int layout = GRD_BATCH_FIRST; layout <= GRD_UNBATCHED; layout++)
        check_options(options_of((grd_layout)layout), NULL);
}

Test(cache, steps_are_the_whole_with_every_option)
{
    for (int variant = 1; variant < 16; variant++)
        for (int layout = GRD_BATCH_FIRST; layout <= GRD_UNBATCHED; layout++) {
            grd_mha_options o = options_of((grd_layout)layout);
            o.add_bias_kv = variant & 1;
            o.add_zero_attn = variant & 2;
            o.kdim = variant & 4 ? 5 : 0;
            o.vdim = variant & 4 ? 3 : 0;
            o.no_bias = variant & 8;
            check_options(o, NULL);
        }
}

static grd_mask window(void)
{
    return (grd_mask){ .window_left = GRD_SET(2), .window_right = GRD_SET(3) };
}

static grd_mask pairs(void)
{
    return (grd_mask){ .attend = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(B, H, T, T)), -1),
                       .ignore = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(1, H, T, T)), 1),
                       .additive = grd_randn(rng, GRD_SHAPE(T, T)) };
}

static grd_mask padding(void)
{
    return (grd_mask){ .key_ignore = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(B, T)), 0.5) };
}

Test(cache, masks_are_of_all_that_is_cached)
{
    grd_mask (*const masks[])(void) = { window, pairs, padding };
    for (int i = 0; i < 3; i++)
        for (int appended = 0; appended < 2; appended++) {
            grd_mha_options o = options_of(i == 1 ? GRD_SEQUENCE_FIRST : GRD_BATCH_FIRST);
            o.add_bias_kv = o.add_zero_attn = appended;
            check_options(o, masks[i]);
        }
}

/* Two prompts of 5 and 3 tokens, the second padded; then two steps. The padding is left out by
 * key_lengths while there is nothing else, then by key_ignore. */
Test(cache, a_padded_prompt_is_as_one_alone)
{
    enum { PROMPT = 5, SHORT = 3 };
    const bool ignored[T] = { [3] = true, [4] = true };
    const grd_mha_options o = options_of(GRD_BATCH_FIRST);
    grd_module *m = grd_mha_create(rng, &o);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E)), *second = cut(x, 0, 1, 2);
    const grd_tensor *lengths = grd_from_i64((int64_t[]){ PROMPT, SHORT }, 2, GRD_SHAPE(2));
    const grd_tensor *padded = grd_cat(GRD_LIST(grd_cast(grd_zeros(GRD_SHAPE(1, T)), GRD_BOOL),
                                                grd_from_bool(ignored, T, GRD_SHAPE(1, T))),
                                       0);
    const grd_tensor *alone =
        grd_cat(GRD_LIST(cut(second, 1, 0, SHORT), cut(second, 1, PROMPT, T)), 1);
    const grd_mha_args causal = { .mask = { .causal = true } };
    const grd_tensor *want = grd_mha_forward(m, alone, alone, alone, &causal).output;

    grd_mha_args args = { .mask.key_lengths = lengths, .cache = grd_cache_create(m, B, T) };
    const grd_tensor *prompt = cut(x, 1, 0, PROMPT);
    const grd_tensor *y = grd_mha_forward(m, prompt, prompt, prompt, &args).output;
    expect_close(cut(cut(y, 0, 1, 2), 1, 0, SHORT), cut(want, 1, 0, SHORT), 1e-6);
    for (int64_t t = PROMPT; t < T; t++) {
        const grd_tensor *step = cut(x, 1, t, t + 1);
        args.mask = (grd_mask){ .key_ignore = cut(padded, 1, 0, t + 1) };
        y = grd_mha_forward(m, step, step, step, &args).output;
        expect_close(cut(y, 0, 1, 2), cut(want, 1, t - 2, t - 1), 1e-6);
    }
}

Test(cache, rows_of_a_batch_are_independent)
{
    const grd_mha_options o = options_of(GRD_BATCH_FIRST);
    grd_module *m = grd_mha_create(rng, &o);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_tensor *other =
        grd_cat(GRD_LIST(cut(x, 0, 0, 1), grd_full(GRD_SHAPE(1, T, E), NAN)), 0);
    grd_mha_args both = { .cache = grd_cache_create(m, B, T) };
    grd_mha_args beside_nan = { .cache = grd_cache_create(m, B, T) };
    grd_mha_args alone = { .cache = grd_cache_create(m, 1, T) };
    for (int64_t t = 0; t < T; t++) {
        const grd_tensor *s = cut(x, 1, t, t + 1), *n = cut(other, 1, t, t + 1);
        const grd_tensor *one = cut(s, 0, 0, 1);
        const grd_tensor *first = cut(grd_mha_forward(m, s, s, s, &both).output, 0, 0, 1);
        const grd_tensor *same = cut(grd_mha_forward(m, n, n, n, &beside_nan).output, 0, 0, 1);
        cr_assert(grd_equal(first, same), "token %d", (int)t);
        expect_close(first, grd_mha_forward(m, one, one, one, &alone).output, 1e-6);
    }
}

static const grd_tensor *steps(grd_module *m, const grd_tensor *x, int64_t start, int64_t stop,
                               grd_cache *cache)
{
    const grd_tensor *y = NULL;
    for (int64_t t = start; t < stop; t++) {
        const grd_tensor *s = cut(x, 1, t, t + 1);
        y = grd_mha_forward(m, s, s, s, &(grd_mha_args){ .cache = cache }).output;
    }
    return y;
}

Test(cache, what_was_forgotten_leaves_no_trace)
{
    const grd_mha_options o = options_of(GRD_BATCH_FIRST);
    grd_module *m = grd_mha_create(rng, &o);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_tensor *nan = grd_full(GRD_SHAPE(B, T, E), NAN);
    grd_cache *cache = grd_cache_create(m, B, T);
    const grd_tensor *want = steps(m, x, 0, T, cache);
    for (int64_t kept = 0; kept < T; kept++) {
        cr_assert_eq(grd_cache_truncate(cache, kept), GRD_OK);
        cr_assert_eq(grd_cache_length(cache), kept);
        steps(m, nan, kept, T, cache);
        cr_assert_eq(grd_cache_truncate(cache, kept), GRD_OK);
        cr_assert(grd_equal(steps(m, x, kept, T, cache), want), "after %d", (int)kept);
    }
    cr_assert_eq(grd_cache_truncate(cache, T), GRD_OK);
    cr_assert_eq(grd_cache_length(cache), T);
    cr_assert_eq(grd_cache_length(NULL), 0);
}

Test(cache, steps_run_on_the_fast_kernel)
{
    grd_mha_options o = options_of(GRD_BATCH_FIRST);
    o.add_bias_kv = true;
    grd_module *m = grd_mha_create(rng, &o);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E)), *s = cut(x, 1, 3, 4);
    grd_cache *cache = grd_cache_create(m, B, T), *same = grd_cache_create(m, B, T);
    steps(m, x, 0, 3, cache);
    steps(m, x, 0, 3, same);
    const grd_mha_args args = { .cache = cache, .strict = true };
    const grd_kernel_choice choice = grd_mha_explain(m, s, s, s, &args);
    cr_assert_str_eq(choice.chosen, "flash");
    cr_assert_eq(grd_cache_length(cache), 3, "explaining computes nothing");
    cr_assert(grd_equal(grd_mha_forward(m, s, s, s, &args).output, steps(m, x, 3, 4, same)));
}

Test(cache, a_model_that_was_moved_starts_over)
{
    const grd_mha_options o = options_of(GRD_BATCH_FIRST);
    grd_module *m = grd_mha_create(rng, &o);
    grd_cache *cache = grd_cache_create(m, B, T);
    steps(m, grd_randn(rng, GRD_SHAPE(B, T, E)), 0, 2, cache);
    cr_assert_eq(grd_module_to(m, NULL, GRD_F64), GRD_OK);
    const grd_tensor *x = grd_cast(grd_randn(rng, GRD_SHAPE(B, T, E)), GRD_F64);
    cr_assert_null(steps(m, x, 0, 1, cache));
    expect_error(GRD_ERROR_DTYPE, "keys are f64, those in the cache f32 (the model was moved");
    cr_assert_eq(grd_cache_truncate(cache, 0), GRD_OK);
    const grd_mha_args causal = { .mask = { .causal = true } };
    expect_close(steps(m, x, 0, T, cache),
                 cut(grd_mha_forward(m, x, x, x, &causal).output, 1, T - 1, T), 1e-12);
}

/* ---- Models ---- */

static grd_transformer_options model_options(void)
{
    return (grd_transformer_options){ .vocab_size = V,
                                      .context = T,
                                      .embed_dim = E,
                                      .num_heads = H,
                                      .num_layers = 3,
                                      .direction = GRD_CAUSAL };
}

/* Weights far from zero, so that tokens are told apart. */
static grd_module *lively(grd_module *model)
{
    double deviation = 0.7;
    grd_module_initialize(model, "*weight", grd_init_normal, rng, &deviation);
    return model;
}

Test(cache, a_transformer_counts_positions_on)
{
    for (int variant = 0; variant < 8; variant++) {
        grd_scope *inner =
            grd_scope_begin_with(&(grd_scope_options){ .dtype = dtypes[variant & 1] });
        grd_transformer_options o = model_options();
        o.norm_first = variant & 2;
        o.tied = variant & 4;
        grd_module *model = lively(grd_transformer_create(rng, &o));
        const grd_tensor *tokens = grd_randint(rng, 0, V, GRD_SHAPE(B, T));
        const grd_tensor *whole = grd_forward(model, tokens);
        for (int p = 0; p < PLANS; p++) {
            grd_mha_args args = { .cache = grd_cache_create(model, B, T) };
            for (int64_t i = 0, start = 0, stop; start < T; i++, start = stop) {
                stop = start + plans[p][i];
                const grd_tensor *y =
                    grd_transformer_forward(model, cut(tokens, 1, start, stop), &args).logits;
                expect_close(y, cut(whole, 1, start, stop), 10 * allowed(dtypes[variant & 1]));
                cr_assert_eq(grd_cache_length(args.cache), stop);
            }
        }
        cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
    }
}

Test(cache, stacks_pass_it_to_every_layer)
{
    const grd_encoder_options o = { .layer = { .embed_dim = E, .num_heads = H },
                                    .num_layers = 2,
                                    .final_norm = true };
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_tensor *memory = grd_randn(rng, GRD_SHAPE(B, 4, E));
    grd_module *encoder = grd_encoder_create(rng, &o), *decoder = grd_decoder_create(rng, &o);
    const grd_mha_args causal = { .mask = { .causal = true } };
    const grd_tensor *encoded = grd_encoder_forward(encoder, x, &causal).output;
    const grd_tensor *decoded =
        grd_decoder_forward(decoder, x, memory, &(grd_decoder_args){ .self = causal }).output;
    const grd_mha_args args = { .cache = grd_cache_create(encoder, B, T) };
    const grd_decoder_args both = { .self = { .cache = grd_cache_create(decoder, B, T) } };
    for (int64_t start = 0, stop; start < T; start = stop) {
        stop = start ? start + 1 : 3;
        const grd_tensor *piece = cut(x, 1, start, stop);
        expect_close(grd_encoder_forward(encoder, piece, &args).output,
                     cut(encoded, 1, start, stop), 1e-5);
        expect_close(grd_decoder_forward(decoder, piece, memory, &both).output,
                     cut(decoded, 1, start, stop), 1e-5);
        cr_assert_eq(grd_cache_length(args.cache), stop);
        cr_assert_eq(grd_cache_length(both.self.cache), stop);
    }
}

Test(cache, holds_on_to_its_model)
{
    grd_scope *made = grd_scope_begin_no_grad();
    const grd_transformer_options o = model_options();
    grd_module *model = grd_transformer_create(rng, &o);
    cr_assert_eq(grd_scope_detach(made), made);
    grd_cache *cache = grd_cache_create(model, 1, T);
    cr_assert_eq(grd_scope_end(made), GRD_OK);
    const grd_tensor *tokens = grd_zeros(GRD_SHAPE(1, 2));
    tokens = grd_cast(tokens, GRD_I64);
    cr_assert(grd_transformer_forward(model, tokens, &(grd_mha_args){ .cache = cache }).logits,
              "%s", grd_error_message());
}

/* ---- Generating ---- */

enum { CONTEXT = 16, PROMPT = 3, COUNT = 24 };

static grd_module *speaker(grd_direction direction, double dropout)
{
    grd_transformer_options o = model_options();
    o.context = CONTEXT;
    o.direction = direction;
    o.dropout = dropout;
    return lively(grd_transformer_create(rng, &o));
}

/* What grd_generate promises, by the whole window at every step. */
static void speak(grd_module *model, int64_t *said, grd_rng *from, const grd_generate_options *o)
{
    for (int64_t length = PROMPT; length < PROMPT + COUNT; length++) {
        const int64_t seen = length < CONTEXT ? length : CONTEXT;
        const grd_tensor *tokens = grd_from_i64(said + length - seen, seen, GRD_SHAPE(1, seen));
        const grd_tensor *last = grd_select(grd_select(grd_forward(model, tokens), 1, -1), 0, 0);
        if (o->temperature == 0) {
            said[length] = (int64_t)grd_item(grd_argmax(last, -1));
            continue;
        }
        const grd_values_indices top = grd_topk(last, o->top_k ? o->top_k : V, -1);
        const grd_tensor *from_all = o->top_k ? top.values : last;
        const grd_tensor *likely = grd_softmax(grd_div_scalar(from_all, o->temperature), -1);
        const int64_t drawn = (int64_t)grd_item(grd_multinomial(from, likely, 1));
        said[length] = o->top_k ? (int64_t)grd_item_at(top.indices, GRD_DIMS(drawn)) : drawn;
    }
}

Test(cache, generating_says_what_the_whole_forward_says)
{
    static const grd_generate_options ways[] = { { .temperature = 0 },
                                                 { .temperature = 1.5 },
                                                 { .temperature = 2, .top_k = 4 } };
    for (uint64_t seed = 0; seed < 4; seed++)
        for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            int64_t said[PROMPT + COUNT] = { 1, 5, 2 }, found[COUNT];
            grd_module *model = speaker(GRD_CAUSAL, 0);
            const grd_tensor *prompt = grd_from_i64(said, PROMPT, GRD_SHAPE(PROMPT));
            speak(model, said, grd_rng_create(seed), &ways[way]);
            const grd_tensor *tokens =
                grd_generate(model, prompt, COUNT, grd_rng_create(seed), &ways[way]);
            cr_assert_eq(grd_read_i64(tokens, found, COUNT), GRD_OK, "%s", grd_error_message());
            for (int i = 0; i < COUNT; i++)
                cr_assert_eq(found[i], said[PROMPT + i], "way %d, token %d", (int)way, i);
        }
}

/* How many positions the model was run on, in all its calls. */
static void add_positions(grd_module *self, const grd_tensor *y, void *user)
{
    (void)self;
    *(int64_t *)user += grd_tensor_size(y, 1);
}

static int64_t positions_for(grd_module *model, int64_t count)
{
    int64_t positions = 0;
    grd_on_forward(model, add_positions, &positions);
    const grd_tensor *prompt = grd_from_i64((int64_t[]){ 1, 5, 2 }, PROMPT, GRD_SHAPE(PROMPT));
    cr_assert(grd_generate(model, prompt, count, NULL, NULL), "%s", grd_error_message());
    return positions;
}

Test(cache, generating_runs_on_every_position_once_while_it_fits)
{
    const int64_t fits = CONTEXT - PROMPT + 1, whole = 3 + 4 + 5 + 6;
    cr_assert_eq(positions_for(speaker(GRD_CAUSAL, 0), fits), CONTEXT);
    cr_assert_eq(positions_for(speaker(GRD_CAUSAL, 0), fits + 2), 3 * CONTEXT, "then windows");
    cr_assert_eq(positions_for(speaker(GRD_BIDIRECTIONAL, 0), 4), whole, "tokens see later ones");
    grd_module *model = speaker(GRD_CAUSAL, 0.2);
    grd_module_train(model, rng);
    cr_assert_eq(positions_for(model, 4), whole, "every step drops anew");
    model = speaker(GRD_CAUSAL, 0.2);
    grd_module_eval(model);
    cr_assert_eq(positions_for(model, 4), 6);
}
