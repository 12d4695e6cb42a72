/* The parts of attention, MultiheadAttention and the encoder layer: their own contracts. */
#include "tests/counter.h"
#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

enum { B = 2, T = 5, E = 8, H = 2 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(31);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(mha, .init = begin, .fini = end);

static bool near(const grd_tensor *a, const grd_tensor *b)
{
    return grd_allclose(a, b, 1e-5, 1e-6);
}

/* ---- The parts ---- */

Test(mha, heads_split_and_merge_back)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_tensor *heads = grd_split_heads(x, H);
    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++)
            for (int e = 0; e < E; e++)
                cr_assert_eq(grd_item_at(heads, GRD_DIMS(b, e / (E / H), t, e % (E / H))),
                             grd_item_at(x, GRD_DIMS(b, t, e)));
    cr_assert(grd_equal(grd_merge_heads(heads), x));
    const grd_tensor *one = grd_select(x, 0, 0);
    cr_assert(grd_equal(grd_split_heads(one, H), grd_select(heads, 0, 0)), "without a batch");
    cr_assert(grd_equal(grd_split_heads(x, 1), grd_unsqueeze(x, 1)));
}

Test(mha, projections_are_linear_maps)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_tensor *w = grd_randn(rng, GRD_SHAPE(3 * E, E)),
                     *b = grd_randn(rng, GRD_SHAPE(3 * E));
    const grd_in_projection packed = { .in_proj_weight = w, .in_proj_bias = b };
    const grd_qkv p = grd_project_qkv(x, x, x, &packed);
    const grd_qkv apart = grd_project_qkv(x, grd_clone(x), x, &packed);
    const grd_in_projection separate = { .q_proj_weight = grd_slice(w, 0, 0, E, 1),
                                         .k_proj_weight = grd_slice(w, 0, E, 2 * E, 1),
                                         .v_proj_weight = grd_slice(w, 0, 2 * E, 3 * E, 1),
                                         .in_proj_bias = b };
    const grd_qkv s = grd_project_qkv(x, x, x, &separate);
    const grd_tensor *all[][4] = {
        { p.query, apart.query, s.query,
          grd_linear(x, separate.q_proj_weight, grd_slice(b, 0, 0, E, 1)) },
        { p.key, apart.key, s.key,
          grd_linear(x, separate.k_proj_weight, grd_slice(b, 0, E, 2 * E, 1)) },
        { p.value, apart.value, s.value,
          grd_linear(x, separate.v_proj_weight, grd_slice(b, 0, 2 * E, 3 * E, 1)) },
    };
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            cr_assert(near(all[i][j], all[i][3]), "%d %d", i, j);
    const grd_in_projection no_bias = { .in_proj_weight = w };
    cr_assert(
        near(grd_project_qkv(x, x, x, &no_bias).key, grd_linear(x, separate.k_proj_weight, NULL)));
}

/* ---- The module ---- */

static grd_module *module_of(grd_layout layout)
{
    return grd_mha_create(grd_rng_create(4),
                          &(grd_mha_options){ .embed_dim = E, .num_heads = H, .layout = layout });
}

Test(mha, is_its_four_parts)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    grd_module *m = module_of(GRD_BATCH_FIRST);
    const grd_mha_args args = { .mask = { .causal = true }, .weights = GRD_PER_HEAD };
    const grd_attention whole = grd_mha_forward(m, x, x, x, &args);
    const grd_in_projection in = { .in_proj_weight = grd_module_parameter(m, "in_proj_weight"),
                                   .in_proj_bias = grd_module_parameter(m, "in_proj_bias") };
    const grd_qkv p = grd_project_qkv(x, x, x, &in);
    const grd_sdpa_options options = { .mask = { .causal = true }, .weights = GRD_PER_HEAD };
    const grd_attention a = grd_sdpa(grd_split_heads(p.query, H), grd_split_heads(p.key, H),
                                     grd_split_heads(p.value, H), &options);
    const grd_tensor *y =
        grd_linear(grd_merge_heads(a.output), grd_module_parameter(m, "out_proj.weight"),
                   grd_module_parameter(m, "out_proj.bias"));
    cr_assert(grd_equal(whole.output, y) && grd_equal(whole.weights, a.weights));
}

Test(mha, layouts_say_the_same)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_tensor *lengths = grd_from_i64((int64_t[]){ 5, 3 }, B, GRD_SHAPE(B));
    const grd_mha_args args = { .mask = { .causal = true, .key_lengths = lengths },
                                .weights = GRD_AVERAGED };
    const grd_attention a = grd_mha_forward(module_of(GRD_BATCH_FIRST), x, x, x, &args);
    const grd_tensor *turned = grd_transpose(x, 0, 1);
    const grd_attention b =
        grd_mha_forward(module_of(GRD_SEQUENCE_FIRST), turned, turned, turned, &args);
    cr_assert(near(a.output, grd_transpose(b.output, 0, 1)) && near(a.weights, b.weights));
    for (int i = 0; i < B; i++) {
        const int64_t length = i ? 3 : 5;
        const grd_mha_args one = { .mask = { .causal = true,
                                             .key_lengths = grd_from_i64(&length, 1, GRD_SCALAR) },
                                   .weights = GRD_AVERAGED };
        const grd_tensor *sample = grd_select(x, 0, i);
        const grd_attention c =
            grd_mha_forward(module_of(GRD_UNBATCHED), sample, sample, sample, &one);
        cr_assert(near(grd_select(a.output, 0, i), c.output));
        cr_assert(near(grd_select(a.weights, 0, i), c.weights));
    }
}

Test(mha, unbatched_masks_may_state_the_batch)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(T, E));
    const grd_tensor *seen = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(H, T, T)), -0.5);
    const grd_tensor *padding = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(T)), 1);
    const int64_t length = 4;
    const grd_mha_args bare = { .mask = { .attend = seen,
                                          .key_ignore = padding,
                                          .key_lengths = grd_from_i64(&length, 1, GRD_SCALAR) } };
    const grd_mha_args stated = { .mask = { .attend = grd_unsqueeze(seen, 0),
                                            .key_ignore = grd_unsqueeze(padding, 0),
                                            .key_lengths =
                                                grd_from_i64(&length, 1, GRD_SHAPE(1)) } };
    grd_module *m = module_of(GRD_UNBATCHED);
    cr_assert(grd_equal(grd_mha_forward(m, x, x, x, &bare).output,
                        grd_mha_forward(m, x, x, x, &stated).output));
}

Test(mha, a_mask_per_head_is_that_of_each_sample)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_tensor *seen = grd_gt_scalar(grd_randn(rng, GRD_SHAPE(B, H, T, T)), -0.5);
    grd_module *m = module_of(GRD_BATCH_FIRST);
    const grd_tensor *whole =
        grd_mha_forward(m, x, x, x, &(grd_mha_args){ .mask = { .attend = seen } }).output;
    for (int i = 0; i < B; i++) {
        const grd_tensor *one = grd_slice(x, 0, i, i + 1, 1);
        const grd_mha_args args = { .mask = { .attend = grd_select(seen, 0, i) } };
        cr_assert(near(grd_select(whole, 0, i),
                       grd_select(grd_mha_forward(m, one, one, one, &args).output, 0, 0)));
    }
}

Test(mha, appended_keys_are_seen_whatever_masks_say)
{
    grd_module *m = grd_mha_create(rng, &(grd_mha_options){ .embed_dim = E,
                                                            .num_heads = H,
                                                            .layout = GRD_BATCH_FIRST,
                                                            .add_bias_kv = true,
                                                            .add_zero_attn = true });
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    const grd_mha_args args = { .mask = { .ignore = grd_cast(grd_ones(GRD_SHAPE(1)), GRD_BOOL) },
                                .weights = GRD_PER_HEAD };
    const grd_tensor *w = grd_mha_forward(m, x, x, x, &args).weights;
    cr_assert_eq(grd_tensor_size(w, -1), T + 2);
    cr_assert_eq(grd_item(grd_max(grd_slice(w, -1, 0, T, 1))), 0);
    const grd_tensor *sums =
        grd_sum_dims(grd_slice(w, -1, T, T + 2, 1), GRD_DIMS(-1), GRD_DROP_DIMS);
    cr_assert(near(sums, grd_ones_like(sums)));
}

static double largest(const grd_module *m, const char *name)
{
    return grd_item(grd_max(grd_abs(grd_module_parameter(m, name))));
}

Test(mha, starts_as_torch_does)
{
    enum { WIDE = 96 };
    grd_module *m = grd_mha_create(rng, &(grd_mha_options){ .embed_dim = WIDE,
                                                            .num_heads = 4,
                                                            .layout = GRD_BATCH_FIRST,
                                                            .add_bias_kv = true });
    const double packed = sqrt(6. / (4 * WIDE)), out = 1 / sqrt(WIDE);
    cr_assert(largest(m, "in_proj_weight") <= packed &&
              largest(m, "in_proj_weight") > 0.99 * packed);
    cr_assert(largest(m, "out_proj.weight") <= out && largest(m, "out_proj.weight") > 0.99 * out);
    cr_assert_eq(largest(m, "in_proj_bias"), 0);
    cr_assert_eq(largest(m, "out_proj.bias"), 0);
    const double deviation =
        sqrt(grd_item(grd_mean(grd_square(grd_module_parameter(m, "bias_k")))));
    cr_assert_float_eq(deviation, 1 / sqrt(WIDE), 0.3 / sqrt(WIDE));

    m = grd_mha_create(
        rng, &(grd_mha_options){
                 .embed_dim = WIDE, .num_heads = 4, .layout = GRD_BATCH_FIRST, .kdim = 2 * WIDE });
    const double separate = sqrt(6. / (3 * WIDE));
    cr_assert(largest(m, "k_proj_weight") <= separate &&
              largest(m, "k_proj_weight") > 0.99 * separate);
}

static void expect_names(const grd_module *m, const char *const names[], int64_t count)
{
    cr_assert_eq(grd_module_num_parameters(m), count);
    for (int64_t i = 0; i < count; i++)
        cr_assert_str_eq(grd_module_parameter_at(m, i).name, names[i]);
}

static const char *const packed_names[] = { "in_proj_weight", "in_proj_bias", "out_proj.weight",
                                            "out_proj.bias" };
static const char *const separate_names[] = { "q_proj_weight", "k_proj_weight",   "v_proj_weight",
                                              "in_proj_bias",  "out_proj.weight", "out_proj.bias" };

Test(mha, packs_and_unpacks)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    grd_module *m = module_of(GRD_BATCH_FIRST);
    const grd_tensor *before = grd_clone(grd_module_parameter(m, "in_proj_weight"));
    const grd_tensor *y = grd_mha_forward(m, x, x, x, NULL).output;
    expect_names(m, packed_names, 4);

    cr_assert_eq(grd_mha_unpack(m), GRD_OK);
    expect_names(m, separate_names, 6);
    const grd_tensor *apart = grd_mha_forward(m, x, x, x, NULL).output;
    cr_assert(near(apart, y));
    grd_backward(grd_sum(grd_square(apart)));
    cr_assert_not_null(grd_tensor_grad(grd_module_parameter(m, "k_proj_weight")));
    cr_assert_eq(grd_mha_unpack(m), GRD_OK, "nothing to do");

    cr_assert_eq(grd_mha_pack(m), GRD_OK);
    expect_names(m, packed_names, 4);
    cr_assert(grd_equal(grd_module_parameter(m, "in_proj_weight"), before));
    cr_assert(grd_equal(grd_mha_forward(m, x, x, x, NULL).output, y));

    grd_module_freeze(m);
    cr_assert_eq(grd_mha_unpack(m), GRD_OK);
    cr_assert_not(grd_tensor_requires_grad(grd_module_parameter(m, "q_proj_weight")), "frozen");
}

Test(mha, dropout_follows_train_and_eval)
{
    const grd_mha_options options = {
        .embed_dim = E, .num_heads = H, .layout = GRD_BATCH_FIRST, .dropout = 0.5
    };
    grd_module *m = grd_mha_create(grd_rng_create(4), &options);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    cr_assert_null(grd_mha_forward(m, x, x, x, NULL).output);
    expect_error(GRD_ERROR_STATE, "grd_module_train or grd_module_eval");

    grd_module_eval(m);
    const grd_tensor *plain = grd_mha_forward(module_of(GRD_BATCH_FIRST), x, x, x, NULL).output;
    cr_assert(grd_equal(grd_mha_forward(m, x, x, x, NULL).output, plain), "eval is p = 0");

    grd_module_train(m, grd_rng_create(5));
    const grd_mha_args args = { .weights = GRD_PER_HEAD, .dropped_weights = true };
    const grd_attention a = grd_mha_forward(m, x, x, x, &args);
    cr_assert_not(grd_equal(a.output, plain));
    const grd_tensor *sums = grd_sum_dims(a.weights, GRD_DIMS(-1), GRD_DROP_DIMS);
    cr_assert(near(sums, grd_ones_like(sums)), "weights are those before dropout");
    cr_assert_not(near(a.weights, a.dropped_weights));
    grd_module_train(m, grd_rng_create(5));
    cr_assert(grd_equal(grd_mha_forward(m, x, x, x, NULL).output, a.output), "weights on == off");
}

Test(mha, scale_and_softcap_are_those_of_its_scores)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    grd_module *m = module_of(GRD_BATCH_FIRST);
    const grd_in_projection in = { .in_proj_weight = grd_module_parameter(m, "in_proj_weight"),
                                   .in_proj_bias = grd_module_parameter(m, "in_proj_bias") };
    const grd_qkv p = grd_project_qkv(x, x, x, &in);
    const struct {
        grd_maybe_real scale;
        double softcap;
    } cases[] = { { { .value = -0.4 }, 0 }, { GRD_SET(0), 0 }, { { 0 }, 0.3 }, { { 2, 1 }, 0.5 } };
    for (int i = 0; i < 4; i++) {
        const grd_mha_args args = { .scale = cases[i].scale,
                                    .softcap = cases[i].softcap,
                                    .weights = GRD_PER_HEAD };
        const grd_sdpa_options options = { .scale = cases[i].scale,
                                           .softcap = cases[i].softcap,
                                           .weights = GRD_PER_HEAD };
        const grd_tensor *weights = grd_sdpa(grd_split_heads(p.query, H), grd_split_heads(p.key, H),
                                             grd_split_heads(p.value, H), &options)
                                        .weights;
        cr_assert(near(grd_mha_forward(m, x, x, x, &args).weights, weights), "case %d", i);
        const grd_tensor *plain =
            grd_mha_forward(m, x, x, x, &(grd_mha_args){ .weights = GRD_PER_HEAD }).weights;
        cr_assert_not(near(weights, plain), "case %d", i);
    }
}

static void keep_last(grd_module *self, const grd_tensor *y, void *user)
{
    (void)self;
    *(const grd_tensor **)user = y;
}

Test(mha, hooks_see_the_output)
{
    const grd_tensor *seen[2] = { NULL };
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    grd_module *m = module_of(GRD_BATCH_FIRST);
    grd_on_forward(m, keep_last, &seen[0]);
    const grd_tensor *y = grd_mha_forward(m, x, x, x, NULL).output;
    cr_assert_eq(seen[0], y);
}

Test(mha, no_grad_computes_the_same)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    grd_module *m = module_of(GRD_BATCH_FIRST);
    const grd_mha_args args = { .mask = { .causal = true } };
    const grd_tensor *y = grd_mha_forward(m, x, x, x, &args).output;
    grd_scope *inner = grd_scope_begin_no_grad();
    const grd_tensor *z = grd_mha_forward(m, x, x, x, &args).output;
    cr_assert(grd_equal(y, z) && !grd_tensor_requires_grad(z));
    grd_scope_end(inner);
}

/* ---- The encoder layer ---- */

Test(mha, the_encoder_layer_has_torchs_names_and_defaults)
{
    static const char *const names[] = {
        "self_attn.in_proj_weight",
        "self_attn.in_proj_bias",
        "self_attn.out_proj.weight",
        "self_attn.out_proj.bias",
        "linear1.weight",
        "linear1.bias",
        "linear2.weight",
        "linear2.bias",
        "norm1.weight",
        "norm1.bias",
        "norm2.weight",
        "norm2.bias",
    };
    const grd_encoder_layer_options options = { .embed_dim = E, .num_heads = H };
    grd_module *m = grd_encoder_layer_create(rng, &options);
    expect_names(m, names, 12);
    cr_assert_eq(grd_tensor_size(grd_module_parameter(m, "linear1.weight"), 0), 4 * E);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    cr_assert(grd_equal(grd_forward(m, x), grd_encoder_layer_forward(m, x, NULL).output));
}

/* ---- Memory ---- */

typedef struct training {
    grd_module *model;
    const grd_tensor *tokens;
    grd_rng *rng;
} training;

static training prepare(void)
{
    static const grd_transformer_options options = { .vocab_size = 7,
                                                     .context = 4,
                                                     .embed_dim = 4,
                                                     .num_heads = 2,
                                                     .num_layers = 1,
                                                     .dropout = 0.1,
                                                     .direction = GRD_CAUSAL };
    grd_rng *own = grd_rng_create(1);
    const training t = { grd_transformer_create(own, &options),
                         grd_from_i64((int64_t[]){ 1, 2, 3, 4 }, 4, GRD_SHAPE(1, 4)), own };
    grd_module_train(t.model, own);
    return t;
}

static grd_status train_step(const training *t)
{
    grd_scope *inner = grd_scope_begin();
    grd_backward(grd_mean(grd_square(grd_forward(t->model, t->tokens))));
    grd_module_zero_grad(t->model);
    return grd_scope_end(inner);
}

Test(attention_memory, a_steady_step_asks_the_system_for_none)
{
    counter c = { 0 };
    count_with(&c, false);
    grd_scope *outer = grd_scope_begin();
    const training t = prepare();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(train_step(&t), GRD_OK, "%s", grd_error_message());
    const long before = c.asked;
    for (int i = 0; i < 5; i++)
        train_step(&t);
    cr_assert_eq(c.asked, before, "%ld blocks", c.asked - before);
    cr_assert_eq(grd_scope_end(outer), GRD_OK);
}

static grd_status whole_program(void)
{
    grd_scope *outer = grd_scope_begin();
    const training t = prepare();
    train_step(&t);
    grd_module *attention = grd_module_get(t.model, "blocks.0.self_attn");
    if (attention) {
        grd_mha_unpack(attention);
        grd_mha_pack(attention);
    }
    grd_transformer_forward(t.model, t.tokens, &(grd_mha_args){ .weights = GRD_AVERAGED });
    return grd_scope_end(outer);
}

Test(attention_memory, running_out_anywhere_is_an_error_and_leaks_nothing)
{
    fail_at_every_allocation(whole_program, 100);
}

Test(mha, a_transformer_trains_on_another_device)
{
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .device = fake_device() });
    const training t = prepare();
    cr_assert_eq(train_step(&t), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}
