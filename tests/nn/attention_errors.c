/* Every wrong input of attention, and what is said of it. */
#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

enum { B = 2, H = 4, L = 3, S = 5, D = 6 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(1);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(attention_errors, .init = begin, .fini = end);

/* ---- Scaled dot product attention ---- */

typedef struct call {
    const grd_tensor *q, *k, *v;
    grd_sdpa_options o;
} call;

/* A right call with one thing made wrong. */
typedef struct mistake {
    void (*make)(call *c);
    grd_status status;
    const char *message;
} mistake;

static const grd_tensor *ones(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return grd_ones(GRD_SHAPE(a, b, c, d));
}

static const grd_tensor *truths(grd_shape shape)
{
    return grd_cast(grd_ones(shape), GRD_BOOL);
}

static const grd_tensor *lengths(int64_t first, int64_t second)
{
    return grd_from_i64((int64_t[]){ first, second }, 2, GRD_SHAPE(2));
}

static void rank(call *c)
{
    c->q = grd_ones(GRD_SHAPE(L, D));
}

static void integers(call *c)
{
    c->q = grd_cast(c->q, GRD_I64);
}

static void key_dtype(call *c)
{
    c->k = grd_cast(c->k, GRD_F64);
}

static void value_device(call *c)
{
    grd_scope_begin_with(&(grd_scope_options){ .device = fake_device() });
    c->v = ones(B, H, S, D);
}

static void key_batch(call *c)
{
    c->k = ones(1, H, S, D);
}

static void value_rank(call *c)
{
    c->v = grd_ones(GRD_SHAPE(H, S, D));
}

static void head_size(call *c)
{
    c->k = ones(B, H, S, D + 1);
}

static void value_length(call *c)
{
    c->v = ones(B, H, S + 1, D);
}

static void value_heads(call *c)
{
    c->v = ones(B, H / 2, S, D);
}

static void ratio(call *c)
{
    c->k = c->v = ones(B, 3, S, D);
}

static void dropout_one(call *c)
{
    c->o.dropout = 1;
}

static void dropout_nan(call *c)
{
    c->o.dropout = NAN;
}

static void no_rng(call *c)
{
    c->o.dropout = 0.5;
}

static void negative_cap(call *c)
{
    c->o.softcap = -1;
}

static void infinite_scale(call *c)
{
    c->o.scale.value = INFINITY;
}

static void no_such_weights(call *c)
{
    c->o.weights = (grd_weights)3;
}

static void unstated_causal(call *c)
{
    c->o.mask.causal = true;
}

static void unstated_window(call *c)
{
    c->o.mask.window_left = (grd_maybe_int)GRD_SET(0);
}

static void negative_window(call *c)
{
    c->o.mask.window_right.value = -1;
}

static void no_such_align(call *c)
{
    c->o.mask.align = (grd_align)7;
}

static void stray_offset(call *c)
{
    c->o.mask.offset = 3;
}

static void align_without_lengths(call *c)
{
    c->o.mask.causal = true;
    c->o.mask.align = GRD_ALIGN_KEY_LENGTHS;
}

static void attend_dtype(call *c)
{
    c->o.mask.attend = grd_ones(GRD_SHAPE(L, S));
}

static void attend_shape(call *c)
{
    c->o.mask.attend = truths(GRD_SHAPE(S, L));
}

static void attend_padding(call *c)
{
    c->o.mask.attend = truths(GRD_SHAPE(B, S));
}

static void ignore_per_head(call *c)
{
    c->o.mask.ignore = truths(GRD_SHAPE(B * H, L, S));
}

static void ignore_dtype(call *c)
{
    c->o.mask.ignore = lengths(1, 2);
}

static void ignore_device(call *c)
{
    grd_scope_begin_with(&(grd_scope_options){ .device = fake_device() });
    c->o.mask.ignore = truths(GRD_SHAPE(L, S));
}

static void additive_bool(call *c)
{
    c->o.mask.additive = truths(GRD_SHAPE(L, S));
}

static void additive_dtype(call *c)
{
    c->o.mask.additive = grd_cast(grd_ones(GRD_SHAPE(L, S)), GRD_F64);
}

static void additive_shape(call *c)
{
    c->o.mask.additive = grd_ones(GRD_SHAPE(2, 1, 1, 1, 1));
}

static void key_ignore_dtype(call *c)
{
    c->o.mask.key_ignore = grd_ones(GRD_SHAPE(B, S));
}

static void key_ignore_shape(call *c)
{
    c->o.mask.key_ignore = truths(GRD_SHAPE(B, L));
}

static void key_lengths_dtype(call *c)
{
    c->o.mask.key_lengths = grd_ones(GRD_SHAPE(B));
}

static void key_lengths_shape(call *c)
{
    c->o.mask.key_lengths = grd_from_i64((int64_t[]){ 1, 2, 3 }, 3, GRD_SHAPE(3));
}

static void key_lengths_long(call *c)
{
    c->o.mask.key_lengths = lengths(5, 6);
}

static void key_lengths_negative(call *c)
{
    c->o.mask.key_lengths = lengths(-1, 2);
}

static void no_query(call *c)
{
    c->q = NULL;
}

static const mistake mistakes[] = {
    { no_query, GRD_ERROR_ARGUMENT, "sdpa: an argument is NULL" },
    { rank, GRD_ERROR_SHAPE, "query is [3, 6], expected (..., H, L, D) (see grd_split_heads)" },
    { integers, GRD_ERROR_DTYPE, "query is i64, expected a floating type" },
    { key_dtype, GRD_ERROR_DTYPE, "dtypes differ: query is f32, key is f64 (use grd_cast)" },
    { value_device, GRD_ERROR_DEVICE, "devices differ: query is on cpu, value is on fake" },
    { key_batch, GRD_ERROR_SHAPE,
      "the sizes before heads differ: query is [2, 4, 3, 6], key is [1, 4, 5, 6] (use "
      "grd_expand)" },
    { value_rank, GRD_ERROR_SHAPE, "query is [2, 4, 3, 6], value is [4, 5, 6]" },
    { head_size, GRD_ERROR_SHAPE, "head sizes differ: query is [2, 4, 3, 6], key is [2, 4, 5, 7]" },
    { value_length, GRD_ERROR_SHAPE,
      "every key has one value: key is [2, 4, 5, 6], value is [2, 4, 6, 6]" },
    { value_heads, GRD_ERROR_SHAPE, "every key has one value" },
    { ratio, GRD_ERROR_SHAPE, "4 query heads are no multiple of 3 key heads" },
    { dropout_one, GRD_ERROR_ARGUMENT, "dropout is 1, expected 0 <= dropout < 1" },
    { dropout_nan, GRD_ERROR_ARGUMENT, "dropout is nan, expected 0 <= dropout < 1" },
    { no_rng, GRD_ERROR_ARGUMENT, "dropout is 0.5, but there is no rng" },
    { negative_cap, GRD_ERROR_ARGUMENT, "softcap is -1, expected a positive number" },
    { infinite_scale, GRD_ERROR_ARGUMENT, "scale is inf, expected a finite number" },
    { no_such_weights, GRD_ERROR_ARGUMENT, "weights is 3, which is no grd_weights" },
    { unstated_causal, GRD_ERROR_ARGUMENT,
      "mask.align is not stated, and 3 queries over 5 keys have no one diagonal "
      "(GRD_ALIGN_TOP_LEFT as PyTorch" },
    { unstated_window, GRD_ERROR_ARGUMENT, "mask.align is not stated" },
    { negative_window, GRD_ERROR_ARGUMENT,
      "mask.window_right is -1: keys beside the diagonal are counted from 0 (leave it unset for "
      "no limit)" },
    { no_such_align, GRD_ERROR_ARGUMENT, "mask.align is 7, which is no grd_align" },
    { stray_offset, GRD_ERROR_ARGUMENT,
      "mask.offset is 3, but mask.align is not GRD_ALIGN_OFFSET" },
    { align_without_lengths, GRD_ERROR_ARGUMENT, "but there are no mask.key_lengths" },
    { attend_dtype, GRD_ERROR_DTYPE,
      "mask.attend is f32: it must be bool (numbers that are added to the scores are "
      "mask.additive)" },
    { attend_shape, GRD_ERROR_SHAPE,
      "mask.attend is [5, 3], which does not broadcast to the scores (..., H, L, S) [2, 4, 3, 5]" },
    { attend_padding, GRD_ERROR_SHAPE, "(a mask of padding (B, S) is key_ignore)" },
    { ignore_per_head, GRD_ERROR_SHAPE, "(torch's (N H, L, S) is reshaped to (N, H, L, S) first)" },
    { ignore_dtype, GRD_ERROR_DTYPE, "mask.ignore is i64: it must be bool" },
    { ignore_device, GRD_ERROR_DEVICE, "mask.ignore is on fake, the query on cpu" },
    { additive_bool, GRD_ERROR_DTYPE,
      "mask.additive is bool: say mask.attend if true takes part, mask.ignore if true is left "
      "out" },
    { additive_dtype, GRD_ERROR_DTYPE, "mask.additive is f64, but the query is f32" },
    { additive_shape, GRD_ERROR_SHAPE, "mask.additive is [2, 1, 1, 1, 1], which does not" },
    { key_ignore_dtype, GRD_ERROR_DTYPE, "mask.key_ignore is f32: it must be bool" },
    { key_ignore_shape, GRD_ERROR_SHAPE, "mask.key_ignore is [2, 3], expected [2, 5]" },
    { key_lengths_dtype, GRD_ERROR_DTYPE, "mask.key_lengths is f32, not i64" },
    { key_lengths_shape, GRD_ERROR_SHAPE, "mask.key_lengths is [3], expected [2]" },
    { key_lengths_long, GRD_ERROR_ARGUMENT, "mask.key_lengths[1] is 6, but there are 5 keys" },
    { key_lengths_negative, GRD_ERROR_ARGUMENT, "mask.key_lengths[0] is -1" },
};

Test(attention_errors, of_sdpa_are_named)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        grd_scope *inner = grd_scope_begin();
        call c = { ones(B, H, L, D), ones(B, H, S, D), ones(B, H, S, D), { .scale = { 0 } } };
        mistakes[i].make(&c);
        const grd_attention a = grd_sdpa(c.q, c.k, c.v, &c.o);
        cr_assert_not(a.output || a.weights || a.logsumexp, "%s", mistakes[i].message);
        cr_assert_not_null(grd_last_error().file, "%s", mistakes[i].message);
        expect_error(mistakes[i].status, mistakes[i].message);
        grd_scope_end(inner);
    }
}

Test(attention_errors, a_mask_that_failed_is_not_one_left_out)
{
    const grd_tensor *broken = grd_matmul(ones(1, 1, 1, 2), ones(1, 1, 3, 1));
    const grd_sdpa_options o = { .mask = { .attend = broken } };
    cr_assert_null(grd_sdpa(ones(B, H, L, D), ones(B, H, S, D), ones(B, H, S, D), &o).output);
    expect_error(GRD_ERROR_SHAPE, "matmul: inner sizes differ");
}

Test(attention_errors, too_many_dimensions_for_groups)
{
    const grd_sdpa_options composed = { .composed = true };
    const grd_tensor *q = grd_ones(GRD_SHAPE(1, 1, 1, 1, 1, 4, 2, 2));
    const grd_tensor *k = grd_ones(GRD_SHAPE(1, 1, 1, 1, 1, 2, 2, 2));
    cr_assert_null(grd_sdpa(q, k, k, &composed).output);
    expect_error(GRD_ERROR_SHAPE, "query heads in groups take a rank of at most 7");
}

/* ---- The other parts ---- */

typedef struct projection {
    grd_shape query, value;
    grd_shape packed, q, k, v, bias; /* rank 0: not given */
    const char *message;
} projection;

static const grd_tensor *given(grd_shape shape)
{
    return shape.rank ? grd_ones(shape) : NULL;
}

#define SHAPE1(a)                                                                                  \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            a                                                                                      \
        }                                                                                          \
    }
#define SHAPE2(a, b)                                                                               \
    {                                                                                              \
        2,                                                                                         \
        {                                                                                          \
            a, b                                                                                   \
        }                                                                                          \
    }

static const projection projections[] = {
    { SHAPE2(3, 4), SHAPE2(3, 4),
      .message = "a weight is missing: give in_proj_weight, or all of "
                 "q_proj_weight, k_proj_weight and v_proj_weight" },
    { SHAPE2(3, 4), SHAPE2(3, 4), .q = SHAPE2(4, 4), .k = SHAPE2(4, 4),
      .message = "a weight is missing" },
    { SHAPE2(3, 4), SHAPE2(3, 4), .packed = SHAPE2(12, 4), .q = SHAPE2(4, 4),
      .message = "packed and separate weights are given" },
    { SHAPE2(3, 4), SHAPE2(3, 5), .packed = SHAPE2(12, 4),
      .message =
          "the packed weight takes inputs of one size: query is [3, 4], value is [3, 5] (use "
          "separate weights)" },
    { SHAPE2(3, 4), SHAPE2(3, 4), .packed = SHAPE2(4, 12),
      .message = "in_proj_weight is [4, 12], expected [12, 4]" },
    { SHAPE2(3, 4), SHAPE2(3, 5), .q = SHAPE2(4, 4), .k = SHAPE2(4, 4), .v = SHAPE2(4, 4),
      .message = "v_proj_weight is [4, 4], expected [4, 5]" },
    { SHAPE2(3, 4), SHAPE2(3, 4), .packed = SHAPE2(12, 4), .bias = SHAPE1(4),
      .message = "in_proj_bias is [4], expected [12]" },
};

Test(attention_errors, of_projections_are_named)
{
    for (size_t i = 0; i < sizeof projections / sizeof projections[0]; i++) {
        const projection *p = &projections[i];
        const grd_in_projection weights = { given(p->packed), given(p->q), given(p->k), given(p->v),
                                            given(p->bias) };
        const grd_tensor *query = grd_ones(p->query), *value = grd_ones(p->value);
        cr_assert_null(grd_project_qkv(query, query, value, &weights).query, "%s", p->message);
        cr_assert_not_null(grd_last_error().file);
        expect_error(weights.in_proj_weight && !weights.q_proj_weight ? GRD_ERROR_SHAPE
                     : weights.v_proj_weight                          ? GRD_ERROR_SHAPE
                                                                      : GRD_ERROR_ARGUMENT,
                     p->message);
    }
}

Test(attention_errors, of_heads_are_named)
{
    cr_assert_null(grd_split_heads(grd_ones(GRD_SHAPE(2, 3, 10)), 4));
    expect_error(GRD_ERROR_ARGUMENT, "4 heads do not divide the last size of x [2, 3, 10]");
    cr_assert_null(grd_split_heads(grd_ones(GRD_SHAPE(2, 3, 10)), 0));
    expect_error(GRD_ERROR_ARGUMENT, "0 heads do not divide");
    cr_assert_null(grd_split_heads(grd_ones(GRD_SHAPE(3)), 1));
    expect_error(GRD_ERROR_SHAPE, "x is [3], expected (..., T, E)");
    cr_assert_null(grd_merge_heads(grd_ones(GRD_SHAPE(2, 3))));
    expect_error(GRD_ERROR_SHAPE, "x is [2, 3], expected (..., H, T, D)");
}

/* ---- The module ---- */

static void refuse_options(grd_mha_options options, const char *message)
{
    cr_assert_null(grd_mha_create(rng, &options));
    expect_error(GRD_ERROR_ARGUMENT, message);
}

Test(attention_errors, of_module_options_are_named)
{
    const grd_mha_options right = { .embed_dim = 12, .num_heads = 3, .layout = GRD_BATCH_FIRST };
    grd_mha_options o = right;
    o.num_heads = 5;
    refuse_options(o, "embed_dim 12 is not divisible by num_heads 5: every head gets embed_dim / "
                      "num_heads features");
    o.num_heads = 0;
    refuse_options(o, "embed_dim is 12 and num_heads 0: both are required and positive");
    o = right;
    o.layout = GRD_LAYOUT_UNSTATED;
    refuse_options(o, "layout is not stated: GRD_BATCH_FIRST for inputs (B, T, E)");
    o = right;
    o.dropout = -0.5;
    refuse_options(o, "dropout is -0.5, expected 0 <= dropout < 1");
    o = right;
    o.kdim = -1;
    refuse_options(o, "kdim is -1 and vdim 0: 0 is embed_dim");
}

/* Shapes of query, key and value for a module of E = 4, kdim 5, vdim 6. */
typedef struct forward {
    grd_layout layout;
    grd_shape query, key, value;
    const char *message;
} forward;

#define SHAPE3(a, b, c)                                                                            \
    {                                                                                              \
        3,                                                                                         \
        {                                                                                          \
            a, b, c                                                                                \
        }                                                                                          \
    }

static const forward forwards[] = {
    { GRD_BATCH_FIRST, SHAPE2(3, 4), SHAPE3(2, 3, 5), SHAPE3(2, 3, 6),
      "MultiheadAttention: query is [3, 4], expected batch first (B, T, E) with E = 4" },
    { GRD_SEQUENCE_FIRST, SHAPE3(3, 2, 4), SHAPE3(3, 2, 4), SHAPE3(3, 2, 6),
      "key is [3, 2, 4], expected sequence first (T, B, E) with E = 5" },
    { GRD_UNBATCHED, SHAPE2(3, 4), SHAPE2(3, 5), SHAPE3(1, 3, 6),
      "value is [1, 3, 6], expected unbatched (T, E) with E = 6" },
    { GRD_BATCH_FIRST, SHAPE3(2, 3, 4), SHAPE3(3, 3, 5), SHAPE3(2, 3, 6),
      "batch sizes differ, batch first (B, T, E): query is [2, 3, 4], key is [3, 3, 5]" },
    { GRD_SEQUENCE_FIRST, SHAPE3(2, 3, 4), SHAPE3(2, 3, 5), SHAPE3(2, 4, 6),
      "batch sizes differ, sequence first (T, B, E): query is [2, 3, 4], value is [2, 4, 6]" },
    { GRD_BATCH_FIRST, SHAPE3(2, 3, 4), SHAPE3(2, 7, 5), SHAPE3(2, 8, 6),
      "every key has one value: key is [2, 7, 5], value is [2, 8, 6]" },
};

Test(attention_errors, of_module_inputs_are_named)
{
    for (size_t i = 0; i < sizeof forwards / sizeof forwards[0]; i++) {
        const forward *f = &forwards[i];
        grd_module *module = grd_mha_create(
            rng, &(grd_mha_options){
                     .embed_dim = 4, .num_heads = 2, .layout = f->layout, .kdim = 5, .vdim = 6 });
        const grd_attention a =
            grd_mha_forward(module, grd_ones(f->query), grd_ones(f->key), grd_ones(f->value), NULL);
        cr_assert_null(a.output, "%s", f->message);
        expect_error(GRD_ERROR_SHAPE, f->message);
    }
}

Test(attention_errors, of_modules_of_another_kind_are_named)
{
    grd_module *linear = grd_linear_create(rng, 4, 4, NULL);
    const grd_tensor *x = grd_ones(GRD_SHAPE(1, 2, 4));
    cr_assert_null(grd_mha_forward(linear, x, x, x, NULL).output);
    expect_error(GRD_ERROR_ARGUMENT, "the module must be a MultiheadAttention, not Linear");
    cr_assert_null(grd_encoder_layer_forward(linear, x, NULL).output);
    expect_error(GRD_ERROR_ARGUMENT, "the module must be a TransformerEncoderLayer, not Linear");
    cr_assert_eq(grd_mha_pack(linear), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "must be a MultiheadAttention");
    grd_module *wide = grd_mha_create(
        rng,
        &(grd_mha_options){ .embed_dim = 4, .num_heads = 2, .layout = GRD_UNBATCHED, .kdim = 5 });
    cr_assert_eq(grd_mha_pack(wide), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT,
                 "has kdim 5 and vdim 4: only weights of one size, embed_dim 4");
    grd_module *attention = grd_mha_create(
        rng, &(grd_mha_options){ .embed_dim = 4, .num_heads = 2, .layout = GRD_UNBATCHED });
    cr_assert_null(grd_forward(attention, x));
    expect_error(GRD_ERROR_ARGUMENT, "is no module of one input");
}

Test(attention_errors, a_mask_of_the_module_is_checked_too)
{
    grd_module *attention = grd_mha_create(
        rng, &(grd_mha_options){ .embed_dim = 4, .num_heads = 2, .layout = GRD_BATCH_FIRST });
    const grd_tensor *x = grd_ones(GRD_SHAPE(B, L, 4)), *y = grd_ones(GRD_SHAPE(B, S, 4));
    const grd_mha_args causal = { .mask = { .causal = true } };
    cr_assert_null(grd_mha_forward(attention, x, y, y, &causal).output);
    expect_error(GRD_ERROR_ARGUMENT, "mha_forward: mask.align is not stated, and 3 queries over 5");
    const grd_mha_args padded = { .mask = { .key_ignore = truths(GRD_SHAPE(B, S)) } };
    cr_assert_null(grd_mha_forward(attention, x, x, x, &padded).output);
    expect_error(GRD_ERROR_SHAPE, "mask.key_ignore is [2, 5], expected [2, 3]");
}
