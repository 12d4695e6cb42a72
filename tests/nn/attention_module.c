/* MultiheadAttention: what holds for every input, in f32 and f64, with and without weights in
 * memory. */
#include "tests/nn/attention_problem.h"

#include <math.h>

enum { B = 2, L = 5, S = 7, E = 8, H = 2 };

/* Leaves for a module whose keys are not its queries. */
typedef struct sequences {
    grd_tensor *query, *key, *value, *dy;
} sequences;

static sequences sequences_of(int64_t kdim, int64_t vdim)
{
    return (sequences){ grd_require_grad(grd_randn(rng, GRD_SHAPE(B, L, E))),
                        grd_require_grad(grd_randn(rng, GRD_SHAPE(B, S, kdim))),
                        grd_require_grad(grd_randn(rng, GRD_SHAPE(B, S, vdim))),
                        grd_randn(rng, GRD_SHAPE(B, L, E)) };
}

static grd_mha_options with(double dropout)
{
    return (grd_mha_options){
        .embed_dim = E, .num_heads = H, .layout = GRD_BATCH_FIRST, .dropout = dropout
    };
}

/* Every seed gives the same parameters. */
static grd_module *module_of(grd_mha_options options)
{
    return grd_mha_create(grd_rng_create(4), &options);
}

enum { MOST = 12 };
/* Everything that a forward and a backward leave: output, gradients of inputs and parameters. */
typedef struct trace {
    const grd_tensor *at[MOST];
    grd_attention a;
} trace;

static trace run(grd_module *m, const sequences *x, const grd_mha_args *args)
{
    grd_tensor *leaf[] = { grd_require_grad(grd_detach(x->query)),
                           grd_require_grad(grd_detach(x->key)),
                           grd_require_grad(grd_detach(x->value)) };
    grd_mha_args a = args ? *args : (grd_mha_args){ 0 };
    a.composed = path->composed;
    a.strict = !path->composed;
    grd_module_zero_grad(m);
    trace t = { .a = grd_mha_forward(m, leaf[0], leaf[1], leaf[2], &a) };
    grd_backward_with(t.a.output, &(grd_backward_options){ .gradient = x->dy });
    cr_assert(t.a.output, "%s", grd_error_message());
    t.at[0] = grd_detach(t.a.output);
    for (int i = 0; i < 3; i++)
        t.at[1 + i] = grd_tensor_grad(leaf[i]);
    for (int64_t i = 0; i < grd_module_num_parameters(m); i++)
        t.at[4 + i] = grd_clone(grd_tensor_grad(grd_module_parameter_at(m, i).tensor));
    return t;
}

static void expect_same(const trace *a, const trace *b, const char *what)
{
    for (int i = 0; i < MOST; i++)
        cr_assert(a->at[i] ? grd_equal(a->at[i], b->at[i]) : !b->at[i], "%s: result %d", what, i);
}

EACH_PATH(attention_module, asking_for_weights_changes_no_bit)
{
    const sequences x = sequences_of(E, E);
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT };
    const grd_mha_args asked[] = {
        { .mask = mask, .weights = GRD_AVERAGED },
        { .mask = mask, .weights = GRD_PER_HEAD, .dropped_weights = true, .logsumexp = true },
    };
    const grd_mha_args plain = { .mask = mask };
    for (int drops = 0; drops < 2; drops++)
        for (int i = 0; i < 2; i++) {
            grd_module *m = module_of(with(0.4 * drops));
            grd_module_train(m, grd_rng_create(6));
            const trace off = run(m, &x, &plain);
            grd_module_train(m, grd_rng_create(6));
            const trace on = run(m, &x, &asked[i]);
            expect_same(&on, &off, "weights");
            cr_assert_not_null(on.a.weights);
        }
}

EACH_PATH(attention_module, training_without_dropout_is_eval)
{
    const sequences x = sequences_of(E, E);
    grd_module *none = module_of(with(0)), *some = module_of(with(0.5));
    const trace untouched = run(none, &x, NULL);
    grd_module_train(none, grd_rng_create(6));
    const trace trained = run(none, &x, NULL);
    grd_module_eval(none);
    const trace evaluated = run(none, &x, NULL);
    grd_module_eval(some);
    const trace dropless = run(some, &x, NULL);
    expect_same(&trained, &untouched, "train");
    expect_same(&evaluated, &untouched, "eval");
    expect_same(&dropless, &untouched, "eval of a module that drops");
    grd_module_train(some, grd_rng_create(6));
    cr_assert_not(grd_equal(run(some, &x, NULL).at[0], untouched.at[0]));
}

EACH_PATH(attention_module, is_the_same_without_gradients)
{
    const sequences x = sequences_of(E, E);
    grd_module *m = module_of(with(0.3));
    grd_module_train(m, grd_rng_create(6));
    const trace recorded = run(m, &x, NULL);
    grd_module_train(m, grd_rng_create(6));
    grd_scope *inner = grd_scope_begin_no_grad();
    const grd_mha_args args = { .composed = path->composed, .strict = !path->composed };
    const grd_tensor *y = grd_mha_forward(m, x.query, x.key, x.value, &args).output;
    cr_assert(grd_equal(y, recorded.at[0]));
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
}

/* ---- Masks ---- */

static const grd_mha_args per_head = { .weights = GRD_PER_HEAD };

/* torch's (N H, L, S), whose row n H + h is the mask of head h of sample n. */
EACH_PATH(attention_module, torchs_mask_in_three_dimensions_is_that_of_samples_and_heads)
{
    const sequences x = sequences_of(E, E);
    grd_module *m = module_of(with(0));
    const grd_tensor *flat = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(B * H, L, S)), 0.4);
    const grd_tensor *four = grd_reshape(flat, GRD_SHAPE(B, H, L, S));
    const grd_tensor *bias = grd_randn(rng, GRD_SHAPE(B * H, L, S));
    grd_mha_args args = per_head;
    args.mask.ignore = four;
    args.mask.additive = grd_reshape(bias, GRD_SHAPE(B, H, L, S));
    const trace whole = run(m, &x, &args);
    for (int64_t n = 0; n < B; n++)
        for (int64_t h = 0; h < H; h++) {
            /* The whole batch under the mask of this one: only its own weights are compared. */
            args.mask.ignore = grd_select(flat, 0, n * H + h);
            args.mask.additive = grd_select(bias, 0, n * H + h);
            const grd_tensor *one = grd_select(grd_select(run(m, &x, &args).a.weights, 0, n), 0, h);
            cr_assert(grd_equal(one, grd_select(grd_select(whole.a.weights, 0, n), 0, h)),
                      "n %d h %d", (int)n, (int)h);
            cr_assert(all_zero(grd_masked_fill(one, grd_logical_not(args.mask.ignore), 0)));
        }
}

/* A sample without any key: its output is the output projection's bias, and all is finite. */
EACH_PATH(attention_module, a_blind_sample_gets_the_bias)
{
    const sequences x = sequences_of(E, E);
    for (int drops = 0; drops < 2; drops++) {
        grd_module *m = module_of(with(0.5 * drops));
        grd_module_train(m, grd_rng_create(6));
        grd_tensor *bias = grd_module_parameter(m, "out_proj.bias");
        grd_scope *quiet = grd_scope_begin_no_grad();
        grd_copy_(bias, grd_arange(0, E, 1));
        grd_scope_end(quiet);
        grd_mha_args args = per_head;
        args.mask.key_lengths = grd_from_i64((int64_t[]){ 0, 4 }, B, GRD_SHAPE(B));
        args.mask.causal = true;
        args.mask.align = GRD_ALIGN_TOP_LEFT;
        const trace t = run(m, &x, &args);
        const grd_tensor *blind = grd_select(t.at[0], 0, 0);
        cr_assert(grd_equal(blind, grd_expand(grd_detach(bias), GRD_SHAPE(L, E))));
        cr_assert(all_zero(grd_select(t.a.weights, 0, 0)));
        for (int i = 1; i < 4; i++)
            cr_assert(all_zero(grd_select(t.at[i], 0, 0)), "input %d", i - 1);
        for (int i = 0; i < MOST && t.at[i]; i++)
            cr_assert(all_finite(t.at[i]), "result %d", i);
    }
}

/* Padded keys hold NaN, infinity or large numbers: no output, weight or query's gradient shows it.
 */
EACH_PATH(attention_module, what_is_padded_reaches_nothing)
{
    static const double values[] = { 1e3, NAN, INFINITY };
    const sequences x = sequences_of(E, E);
    grd_module *m = module_of(with(0));
    grd_mha_args args = per_head;
    args.mask.key_lengths = grd_from_i64((int64_t[]){ 4, 7 }, B, GRD_SHAPE(B));
    const trace clean = run(m, &x, &args);
    for (int i = 0; i < 3; i++) {
        sequences other = x;
        other.key = grd_clone(grd_detach(x.key));
        other.value = grd_clone(grd_detach(x.value));
        grd_fill_(grd_slice(grd_select(other.key, 0, 0), 0, 4, GRD_END, 1), values[i]);
        grd_fill_(grd_slice(grd_select(other.value, 0, 0), 0, 5, GRD_END, 1), values[i]);
        const trace t = run(m, &other, &args);
        cr_assert(near(t.at[0], clean.at[0]) && near(t.a.weights, clean.a.weights));
        cr_assert(near(t.at[1], clean.at[1]), "the query's gradient, %g", values[i]);
        cr_assert(isfinite(values[i]) ? grd_equal(t.at[0], clean.at[0]) : true);
    }
}

/* ---- Packed and separate projections ---- */

/* The same results to rounding; the gradients of three matrices end to end are the packed one's. */
static void check_round_trip(grd_mha_options options)
{
    const sequences x = sequences_of(E, E);
    grd_module *m = module_of(options);
    const grd_tensor *before = grd_clone(grd_module_parameter(m, "in_proj_weight"));
    const trace packed = run(m, &x, NULL);
    const grd_tensor *wanted =
        grd_clone(grd_tensor_grad(grd_module_parameter(m, "in_proj_weight")));

    cr_assert_eq(grd_mha_unpack(m), GRD_OK);
    const trace apart = run(m, &x, NULL);
    for (int i = 0; i < 4; i++)
        cr_assert(near(apart.at[i], packed.at[i]), "result %d", i);
    const grd_tensor *rows[] = { grd_tensor_grad(grd_module_parameter(m, "q_proj_weight")),
                                 grd_tensor_grad(grd_module_parameter(m, "k_proj_weight")),
                                 grd_tensor_grad(grd_module_parameter(m, "v_proj_weight")) };
    cr_assert(near(grd_cat((grd_list){ 3, rows }, 0), wanted));

    cr_assert_eq(grd_mha_pack(m), GRD_OK);
    cr_assert(grd_equal(grd_module_parameter(m, "in_proj_weight"), before));
    const trace again = run(m, &x, NULL);
    expect_same(&again, &packed, "packed again");
}

EACH_PATH(attention_module, packs_and_unpacks_without_a_difference)
{
    grd_mha_options options = with(0);
    check_round_trip(options);
    options.no_bias = true;
    check_round_trip(options);
    options.add_bias_kv = options.add_zero_attn = true;
    check_round_trip(options);
}
