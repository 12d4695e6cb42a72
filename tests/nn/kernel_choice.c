/* Which kernel runs, what is said of it, and that it is so. */
#include "autograd/node.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { B = 2, H = 4, L = 6, D = 8 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(17);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(kernel_choice, .init = begin, .fini = end);

static grd_tensor *leaf(grd_shape shape)
{
    return grd_require_grad(grd_randn(rng, shape));
}

static grd_tensor *leaf_of(grd_shape shape, grd_dtype dtype)
{
    return grd_require_grad(grd_detach(grd_cast(grd_randn(rng, shape), dtype)));
}

/* Whether the kernel that keeps no weights made it. */
static bool is_flash(const grd_tensor *output)
{
    const grdi_node *node = grdi_history(output);
    while (strcmp(node->op, "reshape") == 0 || strcmp(node->op, "squeeze") == 0)
        node = node->inputs[0];
    return strcmp(node->op, "flash_attention") == 0;
}

/* ---- What is said is what runs ---- */

typedef struct row {
    const char *reason; /* NULL: flash runs */
    grd_sdpa_options options;
    grd_dtype dtype;
    int64_t keys;
} row;

static void check_row(const row *r, int64_t rank)
{
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = r->dtype });
    const grd_shape q = rank == 5 ? GRD_SHAPE(B, 3, H, L, D) : GRD_SHAPE(B, H, L, D);
    const grd_shape k = rank == 5 ? GRD_SHAPE(B, 3, H, r->keys, D) : GRD_SHAPE(B, H, r->keys, D);
    const grd_tensor *x[] = { leaf(q), leaf(k), leaf(k) };
    const grd_kernel_choice choice = grd_sdpa_explain(x[0], x[1], x[2], &r->options);
    const char *chosen = r->reason ? "composed" : "flash";
    cr_assert_str_eq(choice.chosen, chosen, "%s", r->reason ? r->reason : "flash");
    cr_assert_eq(choice.num_refused, r->reason ? 1 : 0);
    if (r->reason) {
        cr_assert_str_eq(choice.refused[0].kernel, "flash");
        cr_assert(strstr(choice.refused[0].reason, r->reason), "%s", choice.refused[0].reason);
    }
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], &r->options);
    cr_assert_eq(is_flash(a.output), r->reason == NULL, "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}

Test(kernel_choice, explain_names_what_runs_and_why_nothing_faster)
{
    const grd_tensor *bias = leaf(GRD_SHAPE(L, L)), *fixed = grd_ones(GRD_SHAPE(L, L));
    const row rows[] = {
        { NULL, { .mask.causal = true }, GRD_F32, L },
        { NULL, { .mask.additive = fixed }, GRD_F32, L },
        { NULL, { .weights = GRD_PER_HEAD, .logsumexp = true }, GRD_F32, L },
        { NULL, { .strict = true }, GRD_F64, L },
        { NULL, { .mask.causal = true }, GRD_F64, L },
        { NULL, { .mask.additive = bias, .strict = true }, GRD_F32, L },
        { "slower over so few pairs", { .mask.additive = bias }, GRD_F32, L },
        { NULL, { .dropout = 0.1, .rng = rng }, GRD_F32, L },
        { NULL, { .softcap = 1 }, GRD_F32, L },
        { "options.composed is set", { .composed = true }, GRD_F32, L },
        { NULL, { .softcap = 0 }, GRD_F32, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int rank = 4; rank <= 5; rank++)
            check_row(&rows[i], rank);
}

Test(kernel_choice, the_gradient_of_a_mask_is_worth_flash_over_many_pairs)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(H, 96, D)),
                     *y = grd_randn(rng, GRD_SHAPE(H, 95, D));
    const grd_sdpa_options square = { .mask.additive = leaf(GRD_SHAPE(96, 96)) };
    const grd_sdpa_options less = { .mask.additive = leaf(GRD_SHAPE(96, 95)) };
    cr_assert_str_eq(grd_sdpa_explain(x, x, x, &square).chosen, "flash");
    cr_assert_str_eq(grd_sdpa_explain(x, y, y, &less).chosen, "composed");
    grd_scope *inner = grd_scope_begin_no_grad();
    cr_assert_str_eq(grd_sdpa_explain(x, y, y, &less).chosen, "flash", "no gradient is needed");
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
}

Test(kernel_choice, explain_fails_where_the_call_would)
{
    const grd_tensor *x = grd_ones(GRD_SHAPE(H, L, D)), *y = grd_ones(GRD_SHAPE(H, L, D + 1));
    cr_assert_null(grd_sdpa_explain(x, y, x, NULL).chosen);
    expect_error(GRD_ERROR_SHAPE, "sdpa_explain: head sizes differ");
    cr_assert(grd_last_error().file && strstr(grd_last_error().file, "kernel_choice.c"));
}

Test(kernel_choice, of_the_module)
{
    const grd_mask bias = { .additive = leaf(GRD_SHAPE(1, 1)) };
    const struct {
        const char *reason;
        grd_mha_options options;
        grd_mask mask;
    } rows[] = {
        { NULL, { .layout = GRD_BATCH_FIRST }, { .causal = true, .align = GRD_ALIGN_TOP_LEFT } },
        { NULL,
          { .layout = GRD_BATCH_FIRST, .kdim = 8, .vdim = 8, .no_bias = true },
          { .causal = false } },
        { NULL, { .layout = GRD_BATCH_FIRST, .add_bias_kv = true }, { .causal = false } },
        { NULL, { .layout = GRD_BATCH_FIRST, .add_zero_attn = true }, { .causal = false } },
        { "slower over so few pairs", { .layout = GRD_BATCH_FIRST }, bias },
    };
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, L, 8)),
                     *y = grd_randn(rng, GRD_SHAPE(B, 9, 8));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        grd_mha_options o = rows[i].options;
        o.embed_dim = 8;
        o.num_heads = 2;
        grd_module *m = grd_mha_create(rng, &o);
        grd_mha_args args = { .mask = rows[i].mask };
        const grd_kernel_choice itself = grd_mha_explain(m, x, x, x, &args);
        const grd_kernel_choice cross = grd_mha_explain(m, x, y, y, &args);
        cr_assert_str_eq(itself.chosen, rows[i].reason ? "composed" : "flash");
        cr_assert_str_eq(cross.chosen, itself.chosen);
        if (rows[i].reason)
            cr_assert(strstr(cross.refused[0].reason, rows[i].reason));
        args.strict = true;
        cr_assert(grd_mha_forward(m, x, x, x, &args).output, "strict runs what is slower");
        cr_assert_str_eq(grd_mha_explain(m, x, y, y, &args).chosen, "flash");
    }
}

/* ---- Strict ---- */

/* A device without the kernel that strict asks for. */
static grd_scope *begin_without_flash(bool strict)
{
    static grdi_kernels kernels;
    static grd_device device;
    kernels = *grd_cpu()->kernels;
    kernels.flash_attention = NULL;
    device = *grd_cpu();
    device.kernels = &kernels;
    return grd_scope_begin_with(
        &(grd_scope_options){ .device = &device, .strict_kernels = strict });
}

Test(kernel_choice, strict_makes_falling_back_an_error_that_says_why)
{
    const grd_sdpa_options strict = { .strict = true };
    const grd_tensor *here = leaf(GRD_SHAPE(B, H, L, D));
    grd_scope *without = begin_without_flash(false);
    const grd_tensor *x = leaf(GRD_SHAPE(B, H, L, D));
    cr_assert_null(grd_sdpa(x, x, x, &strict).output);
    expect_error(GRD_ERROR_UNSUPPORTED, "sdpa: strict: the flash kernel cannot run and composed "
                                        "would keep the weights: the device has no flash kernel");
    cr_assert_str_eq(grd_sdpa_explain(x, x, x, &strict).chosen, "composed",
                     "explaining is allowed");
    cr_assert_eq(grd_scope_end(without), GRD_OK);
    const grd_sdpa_options both = { .composed = true, .strict = true };
    cr_assert_null(grd_sdpa(here, here, here, &both).output);
    expect_error(GRD_ERROR_ARGUMENT, "composed asks for the kernel that strict forbids");
    cr_assert(is_flash(grd_sdpa(here, here, here, &strict).output));
}

Test(kernel_choice, strict_holds_in_a_scope_and_those_inside_it)
{
    grd_scope *strict = begin_without_flash(true);
    grd_scope *inner = grd_scope_begin();
    const grd_tensor *x = leaf(GRD_SHAPE(B, H, L, D));
    cr_assert_null(grd_sdpa(x, x, x, NULL).output);
    expect_error(GRD_ERROR_UNSUPPORTED, "the device has no flash kernel");
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
    cr_assert_eq(grd_scope_end(strict), GRD_OK);
    grd_scope *without = begin_without_flash(false);
    const grd_tensor *y = leaf(GRD_SHAPE(B, H, L, D));
    cr_assert(grd_sdpa(y, y, y, NULL).output, "it ended with its scope");
    cr_assert_eq(grd_scope_end(without), GRD_OK);
}

Test(kernel_choice, strict_leaves_empty_inputs_alone)
{
    const grd_tensor *none = grd_ones(GRD_SHAPE(0, H, L, D));
    const grd_sdpa_options strict = { .strict = true };
    cr_assert_eq(grd_tensor_count(grd_sdpa(none, none, none, &strict).output), 0);
}

/* ---- One meaning ---- */

static void expect_same_everywhere(grd_dtype dtype, grd_shape queries, grd_shape keys,
                                   const grd_mask *mask, double allowed)
{
    grd_scope *inner = grd_scope_begin();
    const grd_tensor *x[] = { leaf_of(queries, dtype), leaf_of(keys, dtype), leaf_of(keys, dtype) };
    grd_tensor *fast[3], *slow[3];
    const grd_sdpa_options strict = { .mask = *mask, .strict = true };
    const grd_sdpa_options composed = { .mask = *mask, .composed = true };
    const grd_tensor *a = grd_sdpa(x[0], x[1], x[2], &strict).output;
    const grd_tensor *b = grd_sdpa(x[0], x[1], x[2], &composed).output;
    cr_assert(a && b, "%s", grd_error_message());
    cr_assert(is_flash(a) && !is_flash(b));
    const grd_tensor *dy = grd_cast(grd_randn(rng, grd_tensor_shape(a)), dtype);
    const grd_grad_options options = { .gradients = GRD_LIST(dy) };
    expect_close(a, b, allowed);
    grd_grad(GRD_LIST(a), GRD_LIST(x[0], x[1], x[2]), &options, fast);
    grd_grad(GRD_LIST(b), GRD_LIST(x[0], x[1], x[2]), &options, slow);
    for (int i = 0; i < 3; i++)
        expect_close(fast[i], slow[i], allowed);
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}

/* Masks of every way to broadcast, under several batch dimensions. */
Test(kernel_choice, any_leading_sizes_mean_the_same_to_both_kernels)
{
    const grd_shape queries[] = { GRD_SHAPE(4, 5, 8), GRD_SHAPE(2, 4, 5, 8),
                                  GRD_SHAPE(2, 3, 4, 5, 8), GRD_SHAPE(2, 1, 3, 4, 5, 8) };
    const grd_shape keys[] = { GRD_SHAPE(2, 7, 8), GRD_SHAPE(2, 2, 7, 8), GRD_SHAPE(2, 3, 2, 7, 8),
                               GRD_SHAPE(2, 1, 3, 2, 7, 8) };
    for (int i = 0; i < 4; i++) {
        grd_shape samples = queries[i];
        samples.rank -= 3;
        grd_shape each = samples, pairs = samples;
        each.size[each.rank++] = 7;
        for (int d = 0; d < pairs.rank - 1; d++)
            pairs.size[d] = 1; /* only the last batch dimension varies */
        pairs.size[pairs.rank++] = 1;
        pairs.size[pairs.rank++] = 5;
        pairs.size[pairs.rank++] = 7;
        const grd_mask masks[] = {
            { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
            { .key_lengths = grd_randint(rng, 0, 8, samples),
              .causal = true,
              .align = GRD_ALIGN_KEY_LENGTHS },
            { .key_ignore = grd_lt_scalar(grd_rand(rng, each), 0.3) },
            { .attend = grd_lt_scalar(grd_rand(rng, pairs), 0.7) },
            { .ignore = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(4, 1, 7)), 0.3) },
        };
        for (size_t j = 0; j < sizeof masks / sizeof masks[0]; j++) {
            expect_same_everywhere(GRD_F32, queries[i], keys[i], &masks[j], 1e-5);
            expect_same_everywhere(GRD_F64, queries[i], keys[i], &masks[j], 1e-13);
            expect_same_everywhere(GRD_F16, queries[i], keys[i], &masks[j], 1e-2);
            expect_same_everywhere(GRD_BF16, queries[i], keys[i], &masks[j], 8e-2);
        }
    }
}

/* All results, on either kernel, with the same numbers drawn. */
Test(kernel_choice, what_is_dropped_and_capped_is_the_same_on_both_kernels)
{
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    const grd_tensor *x = leaf(GRD_SHAPE(B, H, L, D)), *k = leaf(GRD_SHAPE(B, 2, 9, D));
    grd_attention a[2];
    for (int composed = 0; composed < 2; composed++) {
        grd_rng *drawn = grd_rng_create(4);
        const grd_sdpa_options o = { .mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
                                     .softcap = 0.7,
                                     .dropout = 0.4,
                                     .rng = drawn,
                                     .weights = GRD_PER_HEAD,
                                     .dropped_weights = true,
                                     .logsumexp = true,
                                     .strict = !composed,
                                     .composed = composed };
        a[composed] = grd_sdpa(x, k, k, &o);
        cr_assert_eq(is_flash(a[composed].output), !composed);
        const grd_tensor *next = grd_rand(drawn, GRD_SHAPE(1)), *wanted;
        grd_rng *past = grd_rng_create(4);
        cr_assert(grd_dropout(grd_ones(GRD_SHAPE(B, H, L, 9)), 0.4, past));
        wanted = grd_rand(past, GRD_SHAPE(1));
        cr_assert(grd_equal(next, wanted), "the generator stands where a dropout would leave it");
    }
    expect_close(a[0].output, a[1].output, 1e-13);
    cr_assert(grd_equal(a[0].dropped_weights, a[1].dropped_weights));
    const grd_tensor *values =
        grd_index_select(k, 1, grd_from_i64((int64_t[]){ 0, 0, 1, 1 }, H, GRD_SHAPE(H)));
    expect_close(a[0].output, grd_matmul(a[0].dropped_weights, values), 1e-13);
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
}

static grd_tensor *with_appended_keys(const grd_tensor *const *x, void *user)
{
    const grd_mha_args args = { .mask.additive = grd_full(GRD_SCALAR, 0.5), .strict = true };
    return grd_mha_forward(user, x[0], x[0], x[0], &args).output;
}

Test(kernel_choice, a_scalar_mask_beside_appended_keys_is_differentiated_twice)
{
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_module *m = grd_mha_create(
        rng, &(grd_mha_options){
                 .embed_dim = 4, .num_heads = 2, .layout = GRD_BATCH_FIRST, .add_bias_kv = true });
    const grd_list x = GRD_LIST(grd_randn(rng, GRD_SHAPE(1, 3, 4)));
    const grd_gradcheck_report report = grd_gradgradcheck(with_appended_keys, m, x, NULL);
    cr_assert(report.passed, "%s %s", report.text, grd_error_message());
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
}

/* ---- Rows without a key ---- */

Test(kernel_choice, rows_without_a_key_are_counted_on_every_path)
{
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, H, L, D));
    const grd_tensor *lengths = grd_from_i64((int64_t[]){ 0, 6 }, B, GRD_SHAPE(B));
    const grd_tensor *hidden = grd_full(GRD_SHAPE(L, L), -INFINITY);
    const struct {
        grd_mask mask;
        int64_t rows;
    } cases[] = {
        { { .causal = true }, 0 },
        { { .key_lengths = lengths }, H * L },
        { { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = -2 }, B * H * 2 },
        { { .window_left = GRD_SET(1), .align = GRD_ALIGN_OFFSET, .offset = 3 }, B * H * 2 },
        { { .additive = hidden }, B * H * L },
        { { .window_right = GRD_SET(0), .align = GRD_ALIGN_OFFSET, .offset = INT64_MIN },
          B * H * L },
    };
    cr_assert_eq(grd_masked_rows(scope), 0);
    int64_t total = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int kernel = 0; kernel < 3; kernel++) {
            grd_scope *inner = grd_scope_begin();
            const grd_sdpa_options o = { .mask = cases[i].mask,
                                         .strict = kernel == 0,
                                         .composed = kernel == 1,
                                         .weights = kernel == 2 ? GRD_AVERAGED : GRD_NO_WEIGHTS };
            cr_assert(grd_sdpa(x, x, x, &o).output, "%s", grd_error_message());
            cr_assert_eq(grd_masked_rows(inner), cases[i].rows, "case %d, kernel %d: %d rows",
                         (int)i, kernel, (int)grd_masked_rows(inner));
            total += cases[i].rows;
            cr_assert_eq(grd_scope_end(inner), GRD_OK);
        }
    cr_assert_eq(grd_masked_rows(scope), total, "inner scopes are counted");
}

Test(kernel_choice, rows_are_counted_for_open_scopes_only)
{
    grd_scope *ended = grd_scope_detach(grd_scope_begin());
    cr_assert_eq(grd_masked_rows(ended), -1);
    expect_error(GRD_ERROR_SCOPE, "masked_rows: this scope is not open");
    grd_scope_end(ended);
    cr_assert_eq(grd_masked_rows(NULL), -1);
    expect_error(GRD_ERROR_SCOPE, "masked_rows");
}
