/* The hook on heads: what it is shown, what it may change, and that it changes nothing else. */
#include "tests/counter.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

enum { B = 2, T = 5, E = 8, H = 2, D = E / H };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(5);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(heads_hook, .init = begin, .fini = end);

static grd_module *module_of(grd_mha_options options)
{
    options.embed_dim = E;
    options.num_heads = H;
    options.layout = options.layout ? options.layout : GRD_BATCH_FIRST;
    return grd_mha_create(grd_rng_create(4), &options);
}

static grd_tensor *input_of(grd_layout layout, int64_t tokens)
{
    return grd_randn(rng, layout == GRD_UNBATCHED        ? GRD_SHAPE(tokens, E)
                          : layout == GRD_SEQUENCE_FIRST ? GRD_SHAPE(tokens, B, E)
                                                         : GRD_SHAPE(B, tokens, E));
}

/* ---- What is shown ---- */

/* What a hook saw, held for the test. */
typedef struct seen {
    int calls;
    grd_module *module;
    grd_tensor *query, *key, *value, *output, *weights, *visible;
} seen;

static grd_tensor *hold(grd_tensor *x)
{
    return grd_keep(grd_detach(x));
}

static grd_tensor *look(const grd_heads *heads, void *user)
{
    seen *s = user;
    if (!s->calls++)
        *s = (seen){ 1,
                     heads->module,
                     hold(heads->query),
                     hold(heads->key),
                     hold(heads->value),
                     hold(heads->output),
                     hold(grd_heads_weights(heads)),
                     grd_keep(grd_heads_visible(heads)) };
    return NULL;
}

static void let_go(seen *s)
{
    grd_tensor *const held[] = { s->query, s->key, s->value, s->output, s->weights, s->visible };
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
        grd_release(held[i]);
    *s = (seen){ 0 };
}

/* One kind of call: self-attention has one tensor three times. */
typedef struct kind {
    const char *name;
    grd_mha_options options;
    bool self;
    int64_t queries;
    grd_mha_args args;
} kind;

static const kind kinds[] = {
    { "packed", { 0 }, true, T, { .mask = { .causal = true } } },
    { "packed, weights", { 0 }, true, T, { .mask = { .causal = true }, .weights = GRD_PER_HEAD } },
    { "composed", { 0 }, true, T, { .composed = true } },
    { "apart", { 0 }, false, T, { .mask = { .causal = true } } },
    { "cross", { 0 }, false, 3, { .weights = GRD_PER_HEAD } },
    { "sequence first", { .layout = GRD_SEQUENCE_FIRST }, true, T, { .softcap = 2 } },
    { "sequence first, apart", { .layout = GRD_SEQUENCE_FIRST }, false, 3, { .softcap = 0 } },
    { "unbatched", { .layout = GRD_UNBATCHED }, true, T, { .mask = { .causal = true } } },
    { "scaled", { 0 }, true, T, { .scale = GRD_SET(0.1) } },
    { "appended", { .add_bias_kv = true, .add_zero_attn = true }, true, T, { .softcap = 0 } },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* What of one call is compared: all that it returns, and every gradient. */
typedef struct outcome {
    grd_attention made;
    const grd_tensor *gradients[8];
    int64_t count;
} outcome;

static outcome run(const kind *k, grd_heads_hook hook, void *user)
{
    grd_module *m = module_of(k->options);
    rng = grd_rng_create(9);
    grd_tensor *x = grd_require_grad(input_of(k->options.layout, k->queries));
    grd_tensor *y = k->self ? x : input_of(k->options.layout, T);
    cr_assert_eq(grd_on_heads(scope, hook, user), GRD_OK);
    outcome o = { grd_mha_forward(m, x, y, y, &k->args), { NULL }, 0 };
    grd_on_heads(scope, NULL, NULL);
    cr_assert_eq(grd_backward(grd_sum(grd_mul(o.made.output, grd_cos(o.made.output)))), GRD_OK,
                 "%s: %s", k->name, grd_error_message());
    o.gradients[o.count++] = grd_tensor_grad(x);
    for (int64_t i = 0; i < grd_module_num_parameters(m); i++)
        o.gradients[o.count++] = grd_tensor_grad(grd_module_parameter_at(m, i).tensor);
    return o;
}

Test(heads_hook, looking_changes_no_bit)
{
    for (int i = 0; i < KINDS; i++) {
        seen s = { 0 };
        const outcome plain = run(&kinds[i], NULL, NULL), watched = run(&kinds[i], look, &s);
        cr_assert_eq(s.calls, 1, "%s: %d", kinds[i].name, s.calls);
        cr_assert(grd_equal(plain.made.output, watched.made.output), "%s", kinds[i].name);
        cr_assert(!plain.made.weights || grd_equal(plain.made.weights, watched.made.weights));
        for (int64_t g = 0; g < plain.count; g++)
            cr_assert(grd_equal(plain.gradients[g], watched.gradients[g]), "%s: gradient %d",
                      kinds[i].name, (int)g);
        let_go(&s);
    }
}

/* Attention as it is defined, of what the hook was shown. */
static grd_tensor *defined_weights(const kind *k, const seen *s)
{
    const double scale = k->args.scale.set ? k->args.scale.value : 1 / sqrt(D),
                 cap = k->args.softcap;
    const grd_tensor *scores =
        grd_mul_scalar(grd_matmul(s->query, grd_transpose(s->key, -1, -2)), scale);
    if (cap > 0)
        scores = grd_mul_scalar(grd_tanh(grd_div_scalar(scores, cap)), cap);
    return grd_softmax(grd_masked_fill(scores, grd_logical_not(s->visible), -INFINITY), -1);
}

Test(heads_hook, is_shown_what_attention_is_made_of)
{
    for (int i = 0; i < KINDS; i++) {
        const kind *k = &kinds[i];
        const bool batched = k->options.layout != GRD_UNBATCHED;
        const int64_t keys = T + k->options.add_bias_kv + k->options.add_zero_attn;
        const grd_shape scores =
            batched ? GRD_SHAPE(B, H, k->queries, keys) : GRD_SHAPE(H, k->queries, keys);
        seen s = { 0 };
        const outcome o = run(k, look, &s);
        cr_assert_eq(grd_tensor_rank(s.visible), scores.rank, "%s", k->name);
        for (int64_t d = 0; d < scores.rank; d++)
            cr_assert_eq(grd_tensor_size(s.visible, d), scores.size[d], "%s", k->name);
        cr_assert(grd_equal(s.visible, grd_mask_visible(&k->args.mask, scores)), "%s", k->name);
        const grd_tensor *weights = defined_weights(k, &s);
        expect_close(s.weights, weights, 1e-6);
        expect_close(s.output, grd_matmul(weights, s.value), 1e-5);
        if (o.made.weights)
            cr_assert(grd_equal(s.weights, o.made.weights), "%s", k->name);
        grd_tensor *merged = grd_merge_heads(s.output);
        if (k->options.layout == GRD_SEQUENCE_FIRST)
            merged = grd_transpose(merged, 0, 1);
        expect_close(o.made.output, grd_forward(grd_module_get(s.module, "out_proj"), merged),
                     1e-6);
        let_go(&s);
    }
}

Test(heads_hook, sees_through_a_cache)
{
    grd_scope *no_grad = grd_scope_begin_no_grad();
    grd_module *m = module_of((grd_mha_options){ 0 });
    grd_cache *cache = grd_cache_create(m, B, T);
    const grd_tensor *x = input_of(GRD_BATCH_FIRST, T);
    const grd_mha_args args = { .cache = cache };
    const grd_tensor *first = grd_slice(x, 1, 0, 3, 1), *last = grd_slice(x, 1, 3, T, 1);
    cr_assert_not_null(grd_mha_forward(m, first, first, first, &args).output);
    seen s = { 0 };
    grd_on_heads(no_grad, look, &s);
    const grd_tensor *y = grd_mha_forward(m, last, last, last, &args).output;
    grd_on_heads(no_grad, NULL, NULL);
    cr_assert(grd_tensor_size(s.key, 2) == T && grd_tensor_size(s.query, 2) == T - 3);
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT };
    cr_assert(grd_equal(s.visible, grd_mask_visible(&mask, GRD_SHAPE(B, H, T - 3, T))));
    const grd_mha_args whole = { .mask = { .causal = true }, .weights = GRD_PER_HEAD };
    const grd_attention a = grd_mha_forward(m, x, x, x, &whole);
    expect_close(s.weights, grd_slice(a.weights, 2, 3, T, 1), 1e-6);
    expect_close(y, grd_slice(a.output, 1, 3, T, 1), 1e-6);
    let_go(&s);
    grd_scope_end(no_grad);
}

static grd_tensor *count(const grd_heads *heads, void *user)
{
    (void)heads;
    ++*(int *)user;
    return NULL;
}

Test(heads_hook, models_are_shown_layer_by_layer)
{
    int calls = 0;
    grd_module *model =
        grd_transformer_create(rng, &(grd_transformer_options){ .vocab_size = 7,
                                                                .context = T,
                                                                .embed_dim = E,
                                                                .num_heads = H,
                                                                .num_layers = 3,
                                                                .direction = GRD_CAUSAL });
    const grd_tensor *tokens = grd_randint(rng, 0, 7, GRD_SHAPE(B, T));
    grd_on_heads(scope, count, &calls);
    cr_assert_not_null(grd_forward(model, tokens));
    cr_assert_eq(calls, 3);
    grd_module *m = module_of((grd_mha_options){ 0 });
    const grd_tensor *x = input_of(GRD_BATCH_FIRST, T);
    cr_assert_not_null(grd_mha_explain(m, x, x, x, NULL).chosen);
    cr_assert_eq(calls, 3, "nothing ran");
}

static grd_tensor *in_recomputation(const grd_tensor *const *inputs, void *m)
{
    return grd_mha_forward(m, inputs[0], inputs[0], inputs[0], NULL).output;
}

Test(heads_hook, what_is_recomputed_is_shown_again)
{
    int calls = 0;
    const grd_tensor *x = grd_require_grad(input_of(GRD_BATCH_FIRST, T));
    grd_on_heads(scope, count, &calls);
    grd_tensor *y = grd_recompute(in_recomputation, module_of((grd_mha_options){ 0 }), GRD_LIST(x));
    cr_assert_eq(calls, 1);
    cr_assert_eq(grd_backward(grd_sum(y)), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(calls, 2);
}

/* ---- What is put in place ---- */

static grd_tensor *without_last_head(const grd_heads *heads, void *user)
{
    (void)user;
    const grd_tensor *kept = grd_from_f32((float[]){ 1, 0 }, H, GRD_SHAPE(H, 1, 1));
    return grd_mul(heads->output, kept);
}

/* A head that is 0 is one whose columns of the output projection are. */
Test(heads_hook, a_head_can_be_taken_away)
{
    static const grd_layout layouts[] = { GRD_BATCH_FIRST, GRD_SEQUENCE_FIRST, GRD_UNBATCHED };
    for (int i = 0; i < 3; i++) {
        grd_module *m = module_of((grd_mha_options){ .layout = layouts[i] });
        const grd_tensor *x = input_of(layouts[i], T);
        grd_scope *watched = grd_scope_begin();
        grd_on_heads(watched, without_last_head, NULL);
        grd_tensor *without = grd_keep(grd_mha_forward(m, x, x, x, NULL).output);
        cr_assert_eq(grd_scope_end(watched), GRD_OK, "%s", grd_error_message());
        grd_scope *no_grad = grd_scope_begin_no_grad();
        const grd_tensor *whole = grd_mha_forward(m, x, x, x, NULL).output;
        grd_tensor *columns = grd_slice(grd_module_parameter(m, "out_proj.weight"), 1, D, E, 1);
        cr_assert_eq(grd_fill_(columns, 0), GRD_OK, "%s", grd_error_message());
        const grd_tensor *expected = grd_mha_forward(m, x, x, x, NULL).output;
        expect_close(without, expected, 1e-6);
        cr_assert_not(grd_allclose(without, whole, 0.01, 0.01), "it did nothing");
        grd_scope_end(no_grad);
        grd_release(without);
    }
}

/* Depends on all that a hook is given. */
static grd_tensor *mixed(const grd_heads *heads, void *user)
{
    (void)user;
    const grd_tensor *looked = grd_matmul(grd_square(grd_heads_weights(heads)), heads->value);
    return grd_add(grd_tanh(heads->output),
                   grd_add(looked, grd_mul(heads->query, grd_sum(heads->key))));
}

static grd_tensor *with_mixed_heads(const grd_tensor *const *inputs, void *m)
{
    grd_scope *inner = grd_scope_begin();
    grd_on_heads(inner, mixed, NULL);
    grd_mha_args args = { .mask = { .causal = true } };
    return grd_scope_return(inner,
                            grd_mha_forward(m, inputs[0], inputs[1], inputs[1], &args).output);
}

static grd_tensor *with_mixed_heads_of_one(const grd_tensor *const *inputs, void *m)
{
    return with_mixed_heads((const grd_tensor *[]){ inputs[0], inputs[0] }, m);
}

Test(heads_hook, what_it_returns_is_differentiated)
{
    grd_scope *f64 = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_module *m = module_of((grd_mha_options){ 0 });
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(1, 3, E)),
                     *y = grd_randn(rng, GRD_SHAPE(1, 3, E));
    const grd_gradcheck_options options = { .module = m };
    grd_gradcheck_report r = grd_gradcheck(with_mixed_heads, m, GRD_LIST(x, y), &options);
    cr_assert(r.passed && r.compared > 100, "%s %s", r.text, grd_error_message());
    r = grd_gradcheck(with_mixed_heads_of_one, m, GRD_LIST(x), &options);
    cr_assert(r.passed && r.compared > 100, "%s %s", r.text, grd_error_message());
    grd_scope_end(f64);
}

static grd_tensor *seen_gradient(const grd_tensor *gradient, void *user)
{
    *(double *)user = grd_item(grd_sum(gradient));
    return NULL;
}

static grd_tensor *watch_gradient(const grd_heads *heads, void *user)
{
    grd_on_gradient(heads->output, seen_gradient, user);
    return NULL;
}

Test(heads_hook, the_gradient_of_heads_can_be_watched)
{
    double sum = 0;
    grd_module *m = module_of((grd_mha_options){ 0 });
    const grd_tensor *x = input_of(GRD_BATCH_FIRST, T);
    grd_on_heads(scope, watch_gradient, &sum);
    cr_assert_eq(grd_backward(grd_sum(grd_mha_forward(m, x, x, x, NULL).output)), GRD_OK);
    const double all = grd_item(grd_sum(grd_module_parameter(m, "out_proj.weight"))) * B * T;
    cr_assert_float_eq(sum, all, 1e-4, "%g, not %g", sum, all);
}

/* ---- Scopes ---- */

static grd_tensor *doubled(const grd_heads *heads, void *user)
{
    ++*(int *)user;
    return grd_mul_scalar(heads->output, 2);
}

/* Runs another module, and keeps a scope open. */
static grd_tensor *runs_another(const grd_heads *heads, void *user)
{
    ++*(int *)user;
    grd_scope_begin();
    const grd_tensor *x = grd_ones(GRD_SHAPE(1, 2, E));
    cr_assert_not_null(grd_mha_forward(heads->module, x, x, x, NULL).output);
    return heads->output;
}

Test(heads_hook, belongs_to_its_scope)
{
    int outer = 0, inner_calls = 0;
    grd_module *m = module_of((grd_mha_options){ 0 });
    const grd_tensor *x = input_of(GRD_BATCH_FIRST, T);
    const grd_tensor *plain = grd_mha_forward(m, x, x, x, NULL).output;
    grd_on_heads(scope, doubled, &outer);
    grd_scope *inner = grd_scope_begin(), *innermost = grd_scope_begin();
    grd_on_heads(inner, runs_another, &inner_calls);
    seen s = { 0 };
    const grd_tensor *twice = grd_mha_forward(m, x, x, x, NULL).output;
    cr_assert(outer == 1 && inner_calls == 1, "%d %d: what a hook runs is not shown", outer,
              inner_calls);
    grd_on_heads(innermost, doubled, &inner_calls);
    const grd_tensor *four_times = grd_mha_forward(m, x, x, x, NULL).output;
    const grd_tensor *bias = grd_module_parameter(m, "out_proj.bias");
    expect_close(grd_sub(twice, bias), grd_mul_scalar(grd_sub(plain, bias), 2), 1e-5);
    expect_close(grd_sub(four_times, bias), grd_mul_scalar(grd_sub(plain, bias), 4), 1e-5);
    grd_on_heads(inner, look, &s);
    grd_on_heads(innermost, NULL, NULL);
    grd_mha_forward(m, x, x, x, NULL);
    cr_assert(s.calls == 1 && inner_calls == 3, "another takes its place, and NULL ends it");
    let_go(&s);
    grd_scope_end(inner);
    outer = 0;
    grd_mha_forward(m, x, x, x, NULL);
    cr_assert(outer == 1 && inner_calls == 3, "it ended with its scope");
}

Test(heads_hook, rows_without_a_key_are_counted_once)
{
    seen s = { 0 };
    grd_module *m = module_of((grd_mha_options){ 0 });
    const grd_tensor *x = input_of(GRD_BATCH_FIRST, T);
    const grd_mha_args args = { .mask = {
                                    .align = GRD_ALIGN_OFFSET, .offset = -2, .causal = true } };
    grd_on_heads(scope, look, &s);
    grd_mha_forward(m, x, x, x, &args);
    cr_assert_eq(grd_masked_rows(scope), B * H * 2);
    cr_assert_eq(grd_item(grd_sum(grd_slice(s.weights, 2, 0, 2, 1))), 0);
    let_go(&s);
}

/* ---- Mistakes ---- */

static grd_tensor *of_another_shape(const grd_heads *heads, void *user)
{
    (void)user;
    return grd_select(heads->output, 1, 0);
}

static grd_tensor *of_another_type(const grd_heads *heads, void *user)
{
    (void)user;
    return grd_cast(heads->output, GRD_F64);
}

static grd_tensor *failing(const grd_heads *heads, void *user)
{
    (void)heads, (void)user;
    return grd_fail(GRD_ERROR_STATE, "my_hook", "it does not like this one");
}

Test(heads_hook, mistakes_are_named)
{
    grd_module *m = module_of((grd_mha_options){ 0 });
    const grd_tensor *x = input_of(GRD_BATCH_FIRST, T);
    cr_assert_eq(grd_on_heads(NULL, failing, NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "on_heads: an argument is NULL");
    grd_scope *other = grd_scope_detach(grd_scope_begin());
    grd_on_heads(other, failing, NULL);
    expect_error(GRD_ERROR_SCOPE, "on_heads: this scope is not open on this thread");
    grd_scope_end(other);
    cr_assert_null(grd_heads_weights(NULL));
    expect_error(GRD_ERROR_ARGUMENT, "heads_weights: an argument is NULL");
    cr_assert_null(grd_heads_visible(&(grd_heads){ .module = m }));
    expect_error(GRD_ERROR_ARGUMENT, "heads_visible: an argument is NULL");

    grd_on_heads(scope, of_another_shape, NULL);
    cr_assert_null(grd_mha_forward(m, x, x, x, NULL).output);
    expect_error(GRD_ERROR_SHAPE, "on_heads: MultiheadAttention: the hook gave [2, 5, 4] for heads "
                                  "of [2, 2, 5, 4]");
    grd_on_heads(scope, of_another_type, NULL);
    cr_assert_null(grd_mha_forward(m, x, x, x, NULL).output);
    expect_error(GRD_ERROR_DTYPE, "on_heads: dtypes differ: a is f32, b is f64");
    grd_on_heads(scope, failing, NULL);
    cr_assert_null(grd_mha_forward(m, x, x, x, NULL).output);
    expect_error(GRD_ERROR_STATE, "my_hook: it does not like this one");
}

static grd_status program(void)
{
    grd_scope *all = grd_scope_begin();
    rng = grd_rng_create(3);
    grd_module *m = module_of((grd_mha_options){ 0 });
    const grd_tensor *x = input_of(GRD_BATCH_FIRST, T);
    if (all)
        grd_on_heads(all, mixed, NULL);
    const grd_mha_args args = { .mask = { .causal = true } };
    grd_backward(grd_sum(grd_mha_forward(m, x, x, x, &args).output));
    return grd_scope_end(all);
}

Test(heads_hook_memory, every_failed_allocation_is_an_error)
{
    fail_at_every_allocation(program, 50);
}
