/* Scaled dot product attention and MultiheadAttention against numbers of PyTorch. */
#include "tests/nn/golden.h"

#include <criterion/criterion.h>
#include <string.h>

/* The kernel that is chosen, or one that is asked for. */
typedef enum kernel { CHOSEN, COMPOSED, FLASH } kernel;

/* The gradient of an additive mask is the other kernel's. */
static bool fits(kernel k, const grd_mask *mask)
{
    return k != FLASH || !mask->additive;
}

static grd_weights weights_of(const golden *g)
{
    return golden_integer(g, "average_weights", 1) ? GRD_AVERAGED : GRD_PER_HEAD;
}

static void backward(const golden *g, const grd_tensor *output)
{
    const grd_tensor *gradient = golden_tensor(g, "grad_output");
    grd_backward_with(output, &(grd_backward_options){ .gradient = gradient });
    cr_assert_not(grd_last_error().status, "%s: %s", g->name, grd_error_message());
}

static void check_inputs(const golden *g, const grd_tensor *const x[3], const grd_mask *mask)
{
    static const char *const names[] = { "grads/query", "grads/key", "grads/value" };
    for (int i = 0; i < 3; i++)
        if (i == 0 || x[i] != x[0])
            golden_expect(g, names[i], grd_tensor_grad(x[i]));
    if (mask->additive)
        golden_expect(g, "grads/additive", grd_tensor_grad(mask->additive));
}

static bool check_sdpa(const golden *g, kernel k)
{
    const grd_tensor *const x[] = { golden_leaf(g, "inputs/query"), golden_leaf(g, "inputs/key"),
                                    golden_leaf(g, "inputs/value") };
    const grd_sdpa_options options = { .mask = golden_mask(g),
                                       .scale.value = golden_real(g, "scale", 0),
                                       .softcap = golden_real(g, "softcap", 0),
                                       .weights = weights_of(g),
                                       .composed = k == COMPOSED,
                                       .strict = k == FLASH };
    if (!fits(k, &options.mask))
        return false;
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], &options);
    golden_expect(g, "output", a.output);
    golden_expect(g, "weights", a.weights);
    backward(g, a.output);
    check_inputs(g, x, &options.mask);
    return true;
}

static grd_mha_options mha_options(const golden *g)
{
    static const char *const layouts[] = { "", "batch_first", "sequence_first", "unbatched" };
    grd_mha_options o = { .embed_dim = golden_integer(g, "embed_dim", 0),
                          .num_heads = golden_integer(g, "num_heads", 0),
                          .kdim = golden_integer(g, "kdim", 0),
                          .vdim = golden_integer(g, "vdim", 0),
                          .no_bias = !golden_integer(g, "bias", 1),
                          .add_bias_kv = golden_integer(g, "add_bias_kv", 0),
                          .add_zero_attn = golden_integer(g, "add_zero_attn", 0) };
    for (int i = 1; i < 4; i++)
        if (strcmp(golden_text(g, "layout", "?"), layouts[i]) == 0)
            o.layout = (grd_layout)i;
    return o;
}

static bool check_mha(const golden *g, kernel k)
{
    const grd_mha_options options = mha_options(g);
    grd_module *module = grd_mha_create(grd_rng_create(1), &options);
    cr_assert(module, "%s: %s", g->name, grd_error_message());
    golden_load(g, module);
    const grd_tensor *query = golden_leaf(g, "inputs/query"), *key = golden_leaf(g, "inputs/key");
    const grd_tensor *const x[] = { query, key ? key : query,
                                    key ? golden_leaf(g, "inputs/value") : query };
    const grd_mha_args args = { .mask = golden_mask(g),
                                .weights = weights_of(g),
                                .composed = k == COMPOSED,
                                .strict = k == FLASH };
    if (!fits(k, &args.mask))
        return false;
    const grd_attention a = grd_mha_forward(module, x[0], x[1], x[2], &args);
    golden_expect(g, "output", a.output);
    golden_expect(g, "weights", a.weights);
    backward(g, a.output);
    check_inputs(g, x, &args.mask);
    golden_expect_parameters(g, module);
    return true;
}

typedef bool checker(const golden *g, kernel k);

/* How many cases it was. */
static int check_all(const char *module, checker *check, grd_dtype dtype, kernel k)
{
    int checked = 0;
    grd_scope *file = grd_scope_begin();
    golden g = { .archive = golden_open("attention.h5"), .dtype = dtype };
    for (int i = 0; golden_at(&g, i); i++) {
        if (strcmp(golden_text(&g, "module", ""), module) != 0)
            continue;
        grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = dtype });
        checked += check(&g, k);
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", g.name, grd_error_message());
    }
    grd_scope_end(file);
    return checked;
}

static void check_every_way(const char *module, checker *check, int all, int without_additive)
{
    for (int k = CHOSEN; k <= FLASH; k++) {
        const int least = k == FLASH ? without_additive : all;
        cr_assert_geq(check_all(module, check, GRD_F64, (kernel)k), least);
        cr_assert_geq(check_all(module, check, GRD_F32, (kernel)k), least);
    }
}

Test(attention_golden, scaled_dot_product_attention)
{
    check_every_way("scaled_dot_product_attention", check_sdpa, 166, 80);
}

Test(attention_golden, multihead_attention)
{
    check_every_way("multihead_attention", check_mha, 140, 80);
}
