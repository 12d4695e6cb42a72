/* gradcheck and gradgradcheck over attention's options; fused against composed gradients. */
#include "nn/attention.h"

#include <criterion/criterion.h>
#include <math.h>

enum { B = 2, H = 2, L = 3, S = 4, D = 2, E = 3 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    rng = grd_rng_create(21);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(attention_gradients, .init = begin, .fini = end);

/* ---- Scaled dot product attention ---- */

typedef enum result { OUTPUT, WEIGHTS, AVERAGED, LOGSUMEXP, ALL } result;

/* One set of options; the mask's tensors are made for each. */
typedef struct variant {
    const char *name;
    grd_sdpa_options o;
    int64_t heads; /* of the query; 0: H */
    result of;
    bool additive, attend, key_ignore, lengths, blind; /* parts of the mask; blind: row 1 */
    bool flash;                                        /* the kernel that keeps no weights */
} variant;

static const variant variants[] = {
    { "plain", { .scale = GRD_SET(0.7) } },
    { "negative scale", { .scale = GRD_SET(-0.7) } },
    { "causal", { .mask = { .causal = true, .align = GRD_ALIGN_TOP_LEFT } } },
    { "bottom right", { .mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT } } },
    { "window", { .mask = { .window_left = GRD_SET(1), .align = GRD_ALIGN_TOP_LEFT } } },
    { "softcap", { .softcap = 1.5 } },
    { "softcap, causal",
      { .softcap = 1.5, .mask = { .causal = true, .align = GRD_ALIGN_TOP_LEFT } } },
    { "groups", { .softcap = 0 }, .heads = 4 },
    { "groups, all masks",
      { .mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = 1 } },
      .heads = 4,
      .additive = true,
      .attend = true,
      .key_ignore = true,
      .lengths = true },
    { "additive", { .softcap = 0 }, .additive = true },
    { "additive, softcap", { .softcap = 2 }, .additive = true, .attend = true },
    { "attend", { .softcap = 0 }, .attend = true },
    { "padding", { .softcap = 0 }, .key_ignore = true, .lengths = true },
    { "blind rows", { .softcap = 0 }, .blind = true, .additive = true },
    { "blind rows, softcap", { .softcap = 1 }, .blind = true },
    { "weights", { .weights = GRD_PER_HEAD }, .of = WEIGHTS, .attend = true, .additive = true },
    { "averaged weights", { .weights = GRD_AVERAGED }, .of = AVERAGED, .heads = 4 },
    { "logsumexp", { .logsumexp = true }, .of = LOGSUMEXP, .additive = true },
    { "logsumexp, softcap, groups",
      { .logsumexp = true, .softcap = 2 },
      .of = LOGSUMEXP,
      .heads = 4,
      .key_ignore = true },
    { "all results",
      { .logsumexp = true, .weights = GRD_PER_HEAD },
      .of = ALL,
      .additive = true,
      .attend = true },
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static grd_tensor *bools(const bool *values, int64_t count, grd_shape shape)
{
    return grd_from_bool(values, count, shape);
}

static void fill_mask(const variant *v, grd_mask *mask)
{
    static const bool attend[] = { 1, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1 };
    static const bool ignore[] = { 0, 1, 0, 0, 0, 0, 0, 0 };
    static const bool blind[] = { 0, 1, 0 };
    if (v->attend)
        mask->attend = bools(attend, L * S, GRD_SHAPE(L, S));
    if (v->key_ignore)
        mask->key_ignore = bools(ignore, B * S, GRD_SHAPE(B, S));
    if (v->lengths)
        mask->key_lengths = grd_from_i64((int64_t[]){ 4, 3 }, B, GRD_SHAPE(B));
    if (v->blind)
        mask->ignore = bools(blind, L, GRD_SHAPE(L, 1));
}

/* One number from several results, each with a weight of its own. */
static grd_tensor *mixed(const grd_attention *a)
{
    const grd_tensor *lse = grd_mul_scalar(grd_sum(grd_square(a->logsumexp)), 0.3);
    const grd_tensor *weights = grd_mul_scalar(grd_sum(grd_square(a->weights)), -0.7);
    return grd_add(grd_add(grd_sum(grd_square(a->output)), lse), weights);
}

static grd_tensor *run(const grd_tensor *const *x, void *user)
{
    const variant *v = user;
    grd_sdpa_options options = v->o;
    fill_mask(v, &options.mask);
    options.mask.additive = v->additive ? x[3] : NULL;
    options.strict = v->flash;
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], &options);
    switch (v->of) {
    case WEIGHTS:
    case AVERAGED:
        return a.weights;
    case LOGSUMEXP:
        return a.logsumexp;
    case ALL:
        return mixed(&a);
    default:
        return a.output;
    }
}

static int inputs_of(const variant *v, const grd_tensor *x[4])
{
    const int64_t heads = v->heads ? v->heads : H;
    x[0] = grd_randn(rng, GRD_SHAPE(B, heads, L, D));
    x[1] = grd_randn(rng, GRD_SHAPE(B, H, S, D));
    x[2] = grd_randn(rng, GRD_SHAPE(B, H, S, E));
    x[3] = grd_randn(rng, GRD_SHAPE(heads, 1, S));
    return v->additive ? 4 : 3;
}

typedef grd_gradcheck_report checker(grd_function, void *, grd_list, const grd_gradcheck_options *);

/* By the kernel that keeps the weights, or by the other. */
static void check_variants(checker *check, bool flash)
{
    for (int i = 0; i < VARIANTS; i++) {
        grd_scope *inner = grd_scope_begin();
        const grd_tensor *x[4];
        variant v = variants[i];
        v.flash = flash;
        const int count = inputs_of(&v, x);
        const grd_gradcheck_report report = check(run, &v, (grd_list){ count, x }, NULL);
        cr_assert(report.passed, "%s: %s", v.name, report.text);
        cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s: %s", v.name, grd_error_message());
    }
}

Test(attention_gradients, sdpa_once)
{
    check_variants(grd_gradcheck, false);
}

Test(attention_gradients, sdpa_twice)
{
    check_variants(grd_gradgradcheck, false);
}

Test(attention_gradients, sdpa_once_by_flash)
{
    check_variants(grd_gradcheck, true);
}

Test(attention_gradients, sdpa_twice_by_flash)
{
    check_variants(grd_gradgradcheck, true);
}

/* Dropout draws the same for the same generator. */
static grd_tensor *run_dropped(const grd_tensor *const *x, void *user)
{
    const bool *flash = user;
    const grd_sdpa_options options = { .dropout = 0.4, .rng = grd_rng_create(9), .strict = *flash };
    return grd_sdpa(x[0], x[1], x[2], &options).output;
}

Test(attention_gradients, sdpa_with_dropout)
{
    const grd_tensor *x[4];
    inputs_of(&variants[0], x);
    const grd_list inputs = { 3, x };
    for (int i = 0; i < 2; i++) {
        bool flash = i;
        cr_assert(grd_gradcheck(run_dropped, &flash, inputs, NULL).passed);
        cr_assert(grd_gradgradcheck(run_dropped, &flash, inputs, NULL).passed);
    }
}

/* The walk that records and the one that does not use other code: one result. */
static void check_walks(bool flash)
{
    const grd_grad_options fuse = { .retain_graph = true, .allow_unused = true };
    const grd_grad_options compose = { .create_graph = true, .allow_unused = true };
    for (int i = 0; i < VARIANTS; i++) {
        grd_scope *inner = grd_scope_begin();
        const grd_tensor *x[4];
        grd_tensor *fused[4], *composed[4];
        variant v = variants[i];
        v.flash = flash;
        const int count = inputs_of(&v, x);
        for (int j = 0; j < count; j++)
            grd_require_grad((grd_tensor *)x[j]);
        const grd_tensor *y = grd_sum(grd_square(run(x, &v)));
        const grd_list inputs = { count, x };
        grd_grad(GRD_LIST(y), inputs, &fuse, fused);
        grd_grad(GRD_LIST(y), inputs, &compose, composed);
        for (int j = 0; j < count; j++)
            cr_assert(fused[j] ? grd_allclose(fused[j], composed[j], 1e-12, 1e-13) : !composed[j],
                      "%s, input %d", v.name, j);
        cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s: %s", v.name, grd_error_message());
    }
}

Test(attention_gradients, fused_equal_composed)
{
    check_walks(false);
    check_walks(true);
}

/* ---- Modules ---- */

typedef struct module_case {
    grd_module *module;
    const grd_mha_args *args;
} module_case;

static grd_tensor *run_mha(const grd_tensor *const *x, void *user)
{
    const module_case *c = user;
    return grd_mha_forward(c->module, x[0], x[1], x[2], c->args).output;
}

static grd_tensor *run_self(const grd_tensor *const *x, void *user)
{
    const module_case *c = user;
    return grd_mha_forward(c->module, x[0], x[0], x[0], c->args).output;
}

static void check_module(grd_function f, module_case *c, grd_list inputs)
{
    const grd_gradcheck_options options = { .module = c->module };
    const grd_gradcheck_report once = grd_gradcheck(f, c, inputs, &options);
    cr_assert(once.passed, "%s %s", once.text, grd_error_message());
    const grd_gradcheck_report twice = grd_gradgradcheck(f, c, inputs, &options);
    cr_assert(twice.passed, "%s %s", twice.text, grd_error_message());
}

Test(attention_gradients, of_multihead_attention)
{
    static const grd_mha_options options[] = {
        { .embed_dim = 4, .num_heads = 2, .layout = GRD_BATCH_FIRST },
        { .embed_dim = 4,
          .num_heads = 2,
          .layout = GRD_BATCH_FIRST,
          .add_bias_kv = true,
          .add_zero_attn = true },
        { .embed_dim = 4,
          .num_heads = 2,
          .layout = GRD_BATCH_FIRST,
          .kdim = 3,
          .vdim = 2,
          .no_bias = true },
    };
    grd_mha_args args = { .mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT } };
    for (int i = 0; i < 6; i++) {
        grd_scope *inner = grd_scope_begin();
        const grd_mha_options *o = &options[i / 2];
        args.strict = i % 2; /* by the other kernel */
        module_case c = { grd_mha_create(rng, o), &args };
        const int64_t kdim = o->kdim ? o->kdim : 4, vdim = o->vdim ? o->vdim : 4;
        const grd_tensor *query = grd_randn(rng, GRD_SHAPE(1, 2, 4));
        const grd_tensor *key = grd_randn(rng, GRD_SHAPE(1, 3, kdim));
        const grd_tensor *value = grd_randn(rng, GRD_SHAPE(1, 3, vdim));
        check_module(run_mha, &c, GRD_LIST(query, key, value));
        if (!o->kdim)
            check_module(run_self, &c, GRD_LIST(query));
        cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
    }
}

static grd_tensor *run_layer(const grd_tensor *const *x, void *user)
{
    const module_case *c = user;
    return grd_encoder_layer_forward(c->module, x[0], c->args).output;
}

Test(attention_gradients, of_the_encoder_layer)
{
    for (int norm_first = 0; norm_first < 2; norm_first++) {
        const grd_encoder_layer_options options = { .embed_dim = 4,
                                                    .num_heads = 2,
                                                    .ff_dim = 3,
                                                    .activation = GRD_GELU,
                                                    .norm_first = norm_first };
        const grd_mha_args args = { .mask = { .causal = true } };
        module_case c = { grd_encoder_layer_create(rng, &options), &args };
        check_module(run_layer, &c, GRD_LIST(grd_randn(rng, GRD_SHAPE(1, 2, 4))));
    }
}

static grd_tensor *run_parts(const grd_tensor *const *x, void *user)
{
    (void)user;
    const grd_in_projection in = { .in_proj_weight = x[1], .in_proj_bias = x[2] };
    const grd_qkv p = grd_project_qkv(x[0], x[0], x[0], &in);
    const grd_tensor *product = grd_mul(grd_split_heads(p.query, 2), grd_split_heads(p.key, 2));
    return grd_merge_heads(grd_mul(product, grd_split_heads(p.value, 2)));
}

Test(attention_gradients, of_projections_and_heads)
{
    const grd_tensor *x[] = { grd_randn(rng, GRD_SHAPE(2, 3, 4)), grd_randn(rng, GRD_SHAPE(12, 4)),
                              grd_randn(rng, GRD_SHAPE(12)) };
    const grd_list inputs = { 3, x };
    cr_assert(grd_gradcheck(run_parts, NULL, inputs, NULL).passed);
    cr_assert(grd_gradgradcheck(run_parts, NULL, inputs, NULL).passed);
}
