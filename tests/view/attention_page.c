/* Attention as a page: what its data are, read back, and what it says of weights that are wrong. */
#include "tests/counter.h"
#include "tests/nn/scratch.h"
#include "tests/view/read_page.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scratch_begin();
    scope = grd_scope_begin();
    rng = grd_rng_create(7);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(attention_page, .init = begin, .fini = end);

/* The data of the page of these options. */
static json_t *page_of(const grd_view_attention_options *options)
{
    const char *path = scratch_path("attention.html");
    cr_assert_eq(grd_view_attention(path, options), GRD_OK, "%s", grd_error_message());
    return read_page(path);
}

static json_t *page_of_weights(const grd_tensor *weights, const grd_mask *mask)
{
    const grd_attention layer = { .weights = (grd_tensor *)weights };
    return page_of(
        &(grd_view_attention_options){ .layers = &layer, .num_layers = 1, .mask = mask });
}

/* Softmaxed weights with this mask. */
static grd_tensor *weights_of(grd_shape shape, const grd_mask *mask)
{
    const int64_t *n = shape.size;
    const grd_tensor *query = grd_randn(rng, GRD_SHAPE(n[0], n[1], n[2], 8)),
                     *key = grd_randn(rng, GRD_SHAPE(n[0], n[1], n[3], 8));
    const grd_sdpa_options options = { .mask = mask ? *mask : (grd_mask){ 0 },
                                       .weights = GRD_PER_HEAD };
    return grd_sdpa(query, key, key, &options).weights;
}

static double *read_all(const grd_tensor *x)
{
    double *values = malloc((size_t)grd_tensor_count(x) * sizeof *values);
    cr_assert_eq(grd_read_f64(x, values, grd_tensor_count(x)), GRD_OK, "%s", grd_error_message());
    return values;
}

static int64_t number(json_t *data, const char *path)
{
    return json_integer_value(at(data, path));
}

static double real(json_t *data, const char *path)
{
    const json_t *x = at(data, path);
    const char *special = json_string_value(x);
    return special ? strcmp(special, "nan") == 0 ? NAN : INFINITY : json_number_value(x);
}

static bool passes(json_t *data, const char *verdict)
{
    char path[64];
    snprintf(path, sizeof path, "layers.0.verdicts.%s.passed", verdict);
    return json_is_true(at(data, path));
}

static void expect_place(json_t *data, const char *path, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const int64_t wanted[] = { b, h, i, j };
    for (size_t d = 0; d < 4; d++)
        cr_assert_eq(json_integer_value(json_array_get(at(data, path), d)), wanted[d], "%s[%zu]",
                     path, d);
}

/* ---- Numbers ---- */

static void expect_singles(json_t *blob, const grd_tensor *weights)
{
    const int64_t count = grd_tensor_count(weights);
    double *values = read_all(weights);
    float *found = read_blob(blob, (size_t)count * sizeof *found);
    for (int64_t i = 0; i < count; i++)
        cr_assert(found[i] == (float)values[i] || isnan(values[i]), "%lld", (long long)i);
    free(values);
    free(found);
}

Test(attention_page, few_weights_are_exact)
{
    const grd_tensor *weights = weights_of(GRD_SHAPE(2, 3, 4, 5), NULL);
    json_t *data = page_of_weights(weights, NULL);
    cr_assert_str_eq(json_string_value(at(data, "layers.0.precision")), "f32");
    cr_assert_eq(number(data, "layers.0.size.0"), 2);
    cr_assert_eq(number(data, "layers.0.size.1"), 3);
    cr_assert_eq(number(data, "layers.0.size.2"), 4);
    cr_assert_eq(number(data, "layers.0.size.3"), 5);
    cr_assert(json_is_null(at(data, "layers.0.visible")));
    cr_assert(json_is_null(at(data, "layers.0.queries")));
    cr_assert_str_eq(json_string_value(at(data, "layers.0.name")), "layer 0");
    expect_singles(at(data, "layers.0.weights"), weights);
    json_decref(data);
}

Test(attention_page, weights_may_lack_batch_and_heads)
{
    const grd_tensor *weights = weights_of(GRD_SHAPE(1, 1, 3, 4), NULL);
    for (int lacks = 1; lacks <= 2; lacks++) {
        weights = grd_select(weights, 0, 0);
        json_t *data = page_of_weights(weights, NULL);
        cr_assert_eq(number(data, "layers.0.size.0"), 1);
        cr_assert_eq(number(data, "layers.0.size.1"), 1);
        cr_assert_eq(number(data, "layers.0.size.3"), 4);
        expect_singles(at(data, "layers.0.weights"), weights);
        json_decref(data);
    }
}

/* More than 2^18 weights: to half a step, and what is not 0 stays so, however small. */
Test(attention_page, many_weights_are_within_half_a_step)
{
    const grd_mask mask = { .causal = true };
    const int64_t count = 4 * 260 * 260;
    double *values = read_all(weights_of(GRD_SHAPE(1, 4, 260, 260), &mask));
    values[260] = 1e-9;
    values[261] = 1 - 1e-9;
    json_t *data = page_of_weights(grd_from_f64(values, count, GRD_SHAPE(1, 4, 260, 260)), &mask);
    cr_assert_str_eq(json_string_value(at(data, "layers.0.precision")), "u16");
    unsigned char *bytes = read_blob(at(data, "layers.0.weights"), 2 * (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        const unsigned step = bytes[i] | (unsigned)bytes[count + i] << 8;
        cr_assert_eq(step == 0, values[i] == 0, "%lld: %g", (long long)i, values[i]);
        cr_assert(fabs(step / 65535.0 - values[i]) <= 0.5 / 65535 || step == 1, "%lld: %g",
                  (long long)i, values[i]);
    }
    cr_assert_eq(bytes[260], 1);
    json_decref(data);
    free(values);
    free(bytes);
}

/* Steps are for shares: what a user's own weights hold beyond 0 to 1 is kept as it is. */
Test(attention_page, weights_that_are_no_shares_are_kept)
{
    grd_tensor *weights = grd_zeros(GRD_SHAPE(1, 1, 520, 520));
    weights = grd_sub(weights, grd_eye(520));
    json_t *data = page_of_weights(weights, NULL);
    cr_assert_str_eq(json_string_value(at(data, "layers.0.precision")), "f32");
    cr_assert(!passes(data, "range"));
    cr_assert_eq(real(data, "layers.0.verdicts.range.least"), -1);
    expect_singles(at(data, "layers.0.weights"), weights);
    json_decref(data);
}

Test(attention_page, a_baseline_is_kept_alike)
{
    const grd_attention layer = { .weights = weights_of(GRD_SHAPE(1, 2, 3, 3), NULL) };
    const grd_attention_view_layer detail = { .baseline = weights_of(GRD_SHAPE(1, 2, 3, 3), NULL),
                                              .name = "mine" };
    json_t *data = page_of(&(grd_view_attention_options){
        .layers = &layer, .num_layers = 1, .details = &detail, .baseline = "before training" });
    expect_singles(at(data, "layers.0.weights"), layer.weights);
    expect_singles(at(data, "layers.0.baseline"), detail.baseline);
    cr_assert_str_eq(json_string_value(at(data, "baseline")), "before training");
    cr_assert_str_eq(json_string_value(at(data, "layers.0.name")), "mine");
    json_decref(data);
}

/* ---- Masks ---- */

static void expect_visible(json_t *data, const grd_mask *mask, grd_shape shape, int64_t samples,
                           int64_t heads)
{
    const int64_t pairs = shape.size[2] * shape.size[3], count = samples * heads * pairs;
    bool *seen = malloc((size_t)(shape.size[0] * shape.size[1] * pairs));
    cr_assert_eq(
        grd_read_bool(grd_mask_visible(mask, shape), seen, shape.size[0] * shape.size[1] * pairs),
        GRD_OK);
    cr_assert_eq(number(data, "layers.0.visible.samples"), samples);
    cr_assert_eq(number(data, "layers.0.visible.heads"), heads);
    unsigned char *bits = read_blob(at(data, "layers.0.visible.bits"), (size_t)count / 8 + 1);
    for (int64_t i = 0; i < count; i++) {
        const int64_t of = (i / pairs / heads * shape.size[1] + i / pairs % heads) * pairs;
        cr_assert_eq(bits[i / 8] >> i % 8 & 1, seen[of + i % pairs], "%lld", (long long)i);
    }
    free(seen);
    free(bits);
}

Test(attention_page, a_mask_is_kept_for_the_samples_and_heads_that_differ)
{
    const grd_shape shape = GRD_SHAPE(2, 3, 4, 4);
    const bool padding[] = { 0, 0, 0, 0, 1, 1, 0, 0 };
    const grd_tensor *heads = grd_ne_scalar(grd_randint(rng, 0, 3, GRD_SHAPE(1, 3, 4, 4)), 0);
    const struct {
        grd_mask mask;
        int64_t samples, heads;
    } cases[] = {
        { { .causal = true }, 1, 1 },
        { { .key_ignore = grd_from_bool(padding, 8, GRD_SHAPE(2, 4)) }, 2, 1 },
        { { .attend = heads }, 1, 3 },
        { { .attend = heads, .key_ignore = grd_from_bool(padding, 8, GRD_SHAPE(2, 4)) }, 2, 3 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *data = page_of_weights(weights_of(shape, &cases[i].mask), &cases[i].mask);
        expect_visible(data, &cases[i].mask, shape, cases[i].samples, cases[i].heads);
        cr_assert(passes(data, "rows") && passes(data, "masked") && passes(data, "range"));
        json_decref(data);
    }
}

Test(attention_page, appended_keys_are_seen_whatever_the_mask_says)
{
    const grd_mask none = { .key_ignore = grd_from_bool((bool[]){ 1, 1 }, 2, GRD_SHAPE(1, 2)) };
    const double values[] = { 0, 0, 0.25, 0.75 };
    const char *const texts[] = { "a", "b" };
    const grd_attention layer = { .weights = grd_from_f64(values, 4, GRD_SHAPE(1, 4)) };
    const grd_attention_view_layer detail = { .appended = 2, .key_tokens = texts };
    json_t *data = page_of(&(grd_view_attention_options){
        .layers = &layer, .num_layers = 1, .mask = &none, .details = &detail });
    unsigned char *bits = read_blob(at(data, "layers.0.visible.bits"), 1);
    cr_assert_eq(*bits, 0xc);
    free(bits);
    cr_assert_eq(number(data, "layers.0.verdicts.rows.blind"), 0);
    cr_assert(passes(data, "rows") && passes(data, "masked"));
    cr_assert_eq(json_array_size(at(data, "texts.0.0")), 2);
    json_decref(data);
}

/* ---- Verdicts ---- */

Test(attention_page, a_leak_is_found_exactly_and_told_where)
{
    const grd_mask mask = { .causal = true };
    double *values = read_all(weights_of(GRD_SHAPE(2, 2, 4, 4), &mask));
    const int64_t place = ((1 * 2 + 0) * 4 + 2) * 4;
    values[place + 3] = 3e-30;
    values[1] = 1e-30;
    json_t *data = page_of_weights(grd_from_f64(values, 64, GRD_SHAPE(2, 2, 4, 4)), &mask);
    cr_assert(!passes(data, "masked"));
    cr_assert_eq(real(data, "layers.0.verdicts.masked.largest"), 3e-30);
    cr_assert_eq(number(data, "layers.0.verdicts.masked.leaks"), 2);
    cr_assert_eq(number(data, "layers.0.verdicts.masked.masked"), 24);
    expect_place(data, "layers.0.verdicts.masked.at", 1, 0, 2, 3);
    expect_place(data, "layers.0.verdicts.masked.first.0", 0, 0, 0, 1);
    cr_assert_eq(real(data, "layers.0.verdicts.masked.first.1.4"), 3e-30);
    json_decref(data);
    free(values);
}

Test(attention_page, a_row_that_is_no_share_is_found)
{
    double *values = read_all(weights_of(GRD_SHAPE(1, 2, 3, 3), NULL));
    values[(1 * 3 + 2) * 3] += 0.125;
    values[0] += 1e-4;
    const grd_tensor *weights = grd_from_f64(values, 18, GRD_SHAPE(1, 2, 3, 3));
    json_t *data = page_of_weights(grd_cast(weights, GRD_F32), NULL);
    cr_assert(!passes(data, "rows"));
    cr_assert_eq(number(data, "layers.0.verdicts.rows.bad"), 2);
    cr_assert_float_eq(real(data, "layers.0.verdicts.rows.error"), 0.125, 1e-6);
    expect_place(data, "layers.0.verdicts.rows.at", 0, 1, 2, 0);
    json_decref(data);
    free(values);
}

Test(attention_page, rows_that_see_nothing_are_counted_and_sum_to_0)
{
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT };
    json_t *data = page_of_weights(weights_of(GRD_SHAPE(1, 2, 5, 3), &mask), &mask);
    cr_assert_eq(number(data, "layers.0.verdicts.rows.blind"), 2 * 2);
    cr_assert(passes(data, "rows"));
    json_decref(data);
    const double sums[] = { 0.5, 0.5 };
    const grd_mask all = { .ignore = grd_from_bool((bool[]){ 1, 1 }, 2, GRD_SHAPE(1, 1, 1, 2)) };
    data = page_of_weights(grd_from_f64(sums, 2, GRD_SHAPE(1, 1, 1, 2)), &all);
    cr_assert(!passes(data, "rows") && !passes(data, "masked"));
    cr_assert_eq(real(data, "layers.0.verdicts.rows.error"), 1);
    json_decref(data);
}

Test(attention_page, what_is_no_number_is_found)
{
    const double values[] = { 0.5, 0.5, NAN, 1 };
    json_t *data = page_of_weights(grd_from_f64(values, 4, GRD_SHAPE(2, 2)), NULL);
    cr_assert(!passes(data, "rows") && !passes(data, "range"));
    cr_assert(isnan(real(data, "layers.0.verdicts.rows.error")));
    expect_place(data, "layers.0.verdicts.rows.at", 0, 0, 1, 0);
    cr_assert_eq(number(data, "layers.0.verdicts.range.notFinite"), 1);
    cr_assert_str_eq(json_string_value(at(data, "layers.0.precision")), "f32");
    json_decref(data);
}

/* Rounding of a type is none of its faults. */
Test(attention_page, narrow_weights_may_be_rough)
{
    const grd_tensor *weights = weights_of(GRD_SHAPE(1, 1, 7, 33), NULL);
    json_t *data = page_of_weights(grd_cast(weights, GRD_F16), NULL);
    cr_assert_gt(real(data, "layers.0.verdicts.rows.error"), 1e-5);
    cr_assert(passes(data, "rows"));
    json_decref(data);
}

Test(attention_page, the_five_checks_stand_on_it)
{
    grd_module *mha = grd_mha_create(
        rng, &(grd_mha_options){ .embed_dim = 8, .num_heads = 2, .layout = GRD_BATCH_FIRST });
    grd_attention_report report = grd_check_mha(mha);
    report.checks[2] = (grd_attention_check){ .name = "masked is zero",
                                              .expected = "0",
                                              .symptom = "<b>",
                                              .cause = "a cause",
                                              .measured = NAN,
                                              .text = "planted" };
    const grd_attention layer = { .weights = weights_of(GRD_SHAPE(1, 2, 3, 3), NULL) };
    const grd_attention_view_layer detail = { .checks = &report };
    json_t *data = page_of(
        &(grd_view_attention_options){ .layers = &layer, .num_layers = 1, .details = &detail });
    cr_assert_eq(json_array_size(at(data, "layers.0.checks")), 5);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(
            json_is_true(json_object_get(json_array_get(at(data, "layers.0.checks"), i), "passed")),
            i != 2, "%zu", i);
    cr_assert_str_eq(json_string_value(at(data, "layers.0.checks.2.symptom")), "<b>");
    cr_assert_str_eq(json_string_value(at(data, "layers.0.checks.2.measured")), "nan");
    cr_assert_str_eq(json_string_value(at(data, "layers.0.checks.0.name")), "dimensions");
    json_decref(data);
}

/* ---- Texts ---- */

Test(attention_page, texts_of_anyone_are_shown_and_shared)
{
    const char *const mine[] = { "</script>", "<!--", "\x1b[0m", "\xe2\x80\xaex", "\xff", "" };
    const char *const shown[] = { "</script>",  "<!--",         "\\u{1b}[0m",
                                  "\\u{202e}x", "\xef\xbf\xbd", "" };
    const char *const other[] = { "k", "l", "m", "n" };
    const grd_attention layers[] = { { .weights = weights_of(GRD_SHAPE(2, 1, 3, 3), NULL) },
                                     { .weights = weights_of(GRD_SHAPE(2, 2, 3, 3), NULL) },
                                     { .weights = weights_of(GRD_SHAPE(2, 1, 3, 2), NULL) } };
    const grd_attention_view_layer details[] = { { 0 }, { 0 }, { .key_tokens = other } };
    json_t *data = page_of(&(grd_view_attention_options){
        .layers = layers, .num_layers = 3, .query_tokens = mine, .details = details });
    cr_assert_eq(json_array_size(at(data, "texts")), 2);
    for (size_t i = 0; i < 6; i++)
        cr_assert_str_eq(
            json_string_value(json_array_get(json_array_get(at(data, "texts.0"), i / 3), i % 3)),
            shown[i]);
    cr_assert_str_eq(json_string_value(at(data, "texts.1.1.0")), "m");
    cr_assert_eq(number(data, "layers.0.queries"), 0);
    cr_assert_eq(number(data, "layers.1.keys"), 0);
    cr_assert_eq(number(data, "layers.2.queries"), 0);
    cr_assert_eq(number(data, "layers.2.keys"), 1);
    json_decref(data);
}

/* L != S, and nothing was said of the keys. */
Test(attention_page, keys_without_texts_are_positions)
{
    const char *const mine[] = { "a", "b" };
    const grd_attention layer = { .weights = weights_of(GRD_SHAPE(1, 1, 2, 3), NULL) };
    json_t *data = page_of(
        &(grd_view_attention_options){ .layers = &layer, .num_layers = 1, .query_tokens = mine });
    cr_assert_eq(number(data, "layers.0.queries"), 0);
    cr_assert(json_is_null(at(data, "layers.0.keys")));
    json_decref(data);
}

/* ---- Queries, keys, values ---- */

static json_t *page_with_vectors(int64_t tokens, int64_t width, const grd_tensor **query)
{
    static grd_attention_view_layer detail;
    *query = grd_randn(rng, GRD_SHAPE(1, 4, tokens, width));
    const grd_tensor *key = grd_randn(rng, GRD_SHAPE(1, 2, tokens, width)),
                     *value = grd_randn(rng, GRD_SHAPE(1, 2, tokens, 3));
    detail = (grd_attention_view_layer){
        .query = *query, .key = key, .value = value, .scale = { 0.5, true }, .softcap = 30
    };
    const grd_attention layer = grd_sdpa(
        *query, key, value,
        &(grd_sdpa_options){ .weights = GRD_PER_HEAD, .scale = { 0.5, true }, .softcap = 30 });
    return page_of(
        &(grd_view_attention_options){ .layers = &layer, .num_layers = 1, .details = &detail });
}

Test(attention_page, vectors_are_exact_then_halved_then_left_out)
{
    const grd_tensor *query;
    json_t *data = page_with_vectors(5, 6, &query);
    cr_assert_eq(number(data, "layers.0.vectors.width"), 6);
    cr_assert_eq(number(data, "layers.0.vectors.valueWidth"), 3);
    cr_assert_eq(number(data, "layers.0.vectors.keyHeads"), 2);
    cr_assert_eq(real(data, "layers.0.vectors.scale"), 0.5);
    cr_assert_eq(real(data, "layers.0.vectors.softcap"), 30);
    cr_assert_str_eq(json_string_value(at(data, "layers.0.vectors.precision")), "f32");
    expect_singles(at(data, "layers.0.vectors.query"), query);
    json_decref(data);

    data = page_with_vectors(64, 512, &query);
    cr_assert_str_eq(json_string_value(at(data, "layers.0.vectors.precision")), "f16");
    const int64_t count = grd_tensor_count(query);
    uint16_t *halves = read_blob(at(data, "layers.0.vectors.query"), 2 * (size_t)count);
    cr_assert_eq(halves[0] >> 15, grd_item_at(query, GRD_DIMS(0, 0, 0, 0)) < 0);
    free(halves);
    json_decref(data);

    data = page_with_vectors(512, 400, &query);
    cr_assert_null(json_object_get(at(data, "layers.0"), "vectors"));
    cr_assert_gt(number(data, "vectors"), number(data, "vectorsMost"));
    json_decref(data);
}

/* ---- Bad input ---- */

static void expect_error(grd_status status, const grd_view_attention_options *options,
                         const char *words)
{
    cr_assert_eq(grd_view_attention(scratch_path("none.html"), options), status, "%s",
                 grd_error_message());
    cr_assert(strstr(grd_error_message(), words), "%s", grd_error_message());
    grd_error_take();
    cr_assert_eq(scratch_files(), 0);
}

#define OPTIONS(...)                                                                               \
    &(grd_view_attention_options)                                                                  \
    {                                                                                              \
        .num_layers = 1, __VA_ARGS__                                                               \
    }

Test(attention_page, bad_input_is_named)
{
    const grd_attention fine = { .weights = weights_of(GRD_SHAPE(1, 2, 3, 3), NULL) }, none = { 0 },
                        whole = { .weights = grd_ones_like(grd_arange(0, 4, 1)) },
                        vector = { .weights = grd_ones(GRD_SHAPE(4)) },
                        empty = { .weights = grd_ones(GRD_SHAPE(2, 0)) },
                        pair[] = { fine, { .weights = weights_of(GRD_SHAPE(2, 2, 3, 3), NULL) } };
    const char *const hole[] = { "a", NULL, "c" };
    const grd_tensor *x = grd_zeros(GRD_SHAPE(1, 2, 3, 4));
    const grd_attention_view_layer lacks = { .query = x, .key = x },
                                   narrow = { .query = x,
                                              .key = grd_zeros(GRD_SHAPE(1, 2, 3, 5)),
                                              .value = x },
                                   many = { .appended = 4 },
                                   other = { .baseline = grd_zeros(GRD_SHAPE(1, 2, 3, 4)) };
    const grd_mask wide = { .key_ignore = grd_from_bool((bool[]){ 0, 0 }, 2, GRD_SHAPE(1, 2)) };
    cr_assert_eq(grd_view_attention(NULL, OPTIONS(.layers = &fine)), GRD_ERROR_ARGUMENT);
    grd_error_take();
    cr_assert_eq(grd_view_attention("none.html", NULL), GRD_ERROR_ARGUMENT);
    grd_error_take();
    expect_error(GRD_ERROR_ARGUMENT, OPTIONS(.layers = NULL), "view_attention");
    expect_error(GRD_ERROR_ARGUMENT, &(grd_view_attention_options){ .layers = &fine },
                 "num_layers is 0");
    expect_error(GRD_ERROR_ARGUMENT, OPTIONS(.layers = &none),
                 "layers[0].weights is NULL (ask for them: args.weights = GRD_PER_HEAD)");
    expect_error(GRD_ERROR_DTYPE, OPTIONS(.layers = &whole), "is i64, expected a floating type");
    expect_error(GRD_ERROR_SHAPE, OPTIONS(.layers = &vector),
                 "is [4], expected (B, H, L, S), (H, L, S) or (L, S)");
    expect_error(GRD_ERROR_SHAPE, OPTIONS(.layers = &empty), "[2, 0]: there is nothing to see");
    expect_error(GRD_ERROR_SHAPE, &(grd_view_attention_options){ .layers = pair, .num_layers = 2 },
                 "layers[1].weights is [2, 2, 3, 3]: 2 samples, but layers[0] has 1");
    expect_error(GRD_ERROR_ARGUMENT, OPTIONS(.layers = &fine, .query_tokens = hole),
                 "query_tokens[1] is NULL: layers[0] takes 3 texts");
    expect_error(GRD_ERROR_ARGUMENT, OPTIONS(.layers = &fine, .key_tokens = hole),
                 "key_tokens[1] is NULL");
    expect_error(GRD_ERROR_SHAPE, OPTIONS(.layers = &fine, .details = &lacks),
                 "details[0]: query is [1, 2, 3, 4], key [1, 2, 3, 4], value none");
    expect_error(GRD_ERROR_SHAPE, OPTIONS(.layers = &fine, .details = &narrow), "key [1, 2, 3, 5]");
    expect_error(GRD_ERROR_ARGUMENT, OPTIONS(.layers = &fine, .details = &many),
                 "details[0].appended is 4, of 3 keys in all");
    expect_error(GRD_ERROR_SHAPE, OPTIONS(.layers = &fine, .details = &other),
                 "details[0].baseline is [1, 2, 3, 4] of f32");
    expect_error(GRD_ERROR_SHAPE, OPTIONS(.layers = &fine, .mask = &wide),
                 "(the mask of layers[0])");
    const grd_attention huge = { .weights =
                                     grd_expand(grd_ones(GRD_SHAPE(1, 1)), GRD_SHAPE(8193, 8192)) };
    expect_error(GRD_ERROR_SHAPE, OPTIONS(.layers = &huge),
                 "67117056 weights are more than a page takes, 67108864");
}

Test(attention_page, a_folder_that_is_not_there_is_named)
{
    const grd_attention fine = { .weights = weights_of(GRD_SHAPE(1, 1, 2, 2), NULL) };
    cr_assert_eq(grd_view_attention("/nowhere/page.html", OPTIONS(.layers = &fine)), GRD_ERROR_IO);
    cr_assert(strstr(grd_error_message(), "/nowhere/page.html"), "%s", grd_error_message());
    grd_error_take();
}

/* ---- Memory ---- */

static grd_status whole_page(void)
{
    static const char *const texts[] = { "a", "b", "c" };
    grd_scope *own = grd_scope_begin();
    grd_rng *seeded = grd_rng_create(1);
    const grd_mask mask = { .causal = true };
    grd_tensor *query = grd_randn(seeded, GRD_SHAPE(1, 2, 3, 4));
    const grd_attention layer =
        grd_sdpa(query, query, query, &(grd_sdpa_options){ .mask = mask, .weights = GRD_PER_HEAD });
    const grd_attention_view_layer detail = {
        .query = query, .key = query, .value = query, .baseline = layer.weights
    };
    if (grd_view_attention(scratch_path("memory.html"),
                           &(grd_view_attention_options){ .layers = &layer,
                                                          .num_layers = 1,
                                                          .query_tokens = texts,
                                                          .mask = &mask,
                                                          .details = &detail }) != GRD_OK)
        cr_assert_eq(scratch_files(), 0);
    return grd_scope_end(own);
}

static grd_status page_and_no_file(void)
{
    const grd_status status = whole_page();
    remove(scratch_path("memory.html"));
    return status;
}

Test(attention_page_memory, runs_out_at_every_allocation, .init = scratch_begin,
     .fini = scratch_end)
{
    fail_at_every_allocation(page_and_no_file, 10);
}
