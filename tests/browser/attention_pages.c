/* Pages of attention for the tests in a browser: attention_pages NAME PAGE.html VALUES, which
 * writes the weights of all layers as doubles beside the page. */
#include <gradus/gradus.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 4 };

typedef struct kind {
    const char *name;
    int64_t layers, samples, heads, queries, keys, width;
    bool causal, hostile, leaks;
} kind;

static const kind kinds[] = {
    { "cross", 2, 2, 3, 5, 7, 6, .causal = false },
    { "causal", 2, 1, 2, 9, 9, 4, .causal = true },
    { "hostile", 1, 1, 2, 14, 14, 4, .causal = true, .hostile = true },
    { "leaks", 2, 1, 2, 9, 9, 4, .causal = true, .leaks = true },
    { "large", 4, 1, 8, 256, 256, 8, .causal = true },
    { "huge", 2, 1, 8, 1024, 1024, 8, .causal = true },
};

static const char *const hostile[] = {
    "</script><script>document.title='run'</script>",
    "<!--",
    "<img src=x onerror=alert(1)>",
    "\x1b[2J",
    "\xe2\x80\xaexyz",
    "\xe2\x81\xa6x",
    "\xff\xfe",
    "\xc3",
    "",
    " ",
    "\n",
    "=1+1",
    "javascript:alert(1)",
    "\xe4\xbd\xa0\xe5\xa5\xbd",
};

static const char *const words[] = { "the", " cat", " sat", " on", " a", " mat", ".", "\n" };

static const char **texts_of(const kind *k, int64_t count)
{
    const char **texts = malloc((size_t)(k->samples * count) * sizeof *texts);
    for (int64_t i = 0; i < k->samples * count; i++)
        texts[i] = k->hostile ? hostile[i % 14] : words[i % 8];
    return texts;
}

/* Weights on pairs that the mask leaves out: one to be seen, one far below a pixel's shade. */
static grd_tensor *leaking(const grd_tensor *weights)
{
    const int64_t count = grd_tensor_count(weights), keys = grd_tensor_size(weights, -1);
    double *values = malloc((size_t)count * sizeof *values);
    if (grd_read_f64(weights, values, count) == GRD_OK) {
        values[2 * keys + 5] = 0.25;
        values[(keys + 3) * keys + 8] = 1e-7;
    }
    grd_tensor *result = grd_cast(grd_from_f64(values, count, grd_tensor_shape(weights)), GRD_F32);
    free(values);
    return result;
}

static bool write_values(FILE *file, const grd_tensor *weights)
{
    const int64_t count = grd_tensor_count(weights);
    double *values = malloc((size_t)count * sizeof *values);
    const bool fine = grd_read_f64(weights, values, count) == GRD_OK &&
                      fwrite(values, sizeof *values, (size_t)count, file) == (size_t)count;
    free(values);
    return fine;
}

static bool make(const kind *k, const char *path, FILE *values)
{
    grd_attention layers[LAYERS];
    grd_attention_view_layer details[LAYERS] = { 0 };
    grd_rng *rng = grd_rng_create(5);
    bool padding[9] = { true };
    const grd_mask mask = {
        .causal = k->causal,
        .key_ignore = k->leaks ? grd_from_bool(padding, 9, GRD_SHAPE(1, 9)) : NULL,
    };
    for (int64_t i = 0; i < k->layers; i++) {
        const grd_tensor *q = grd_mul_scalar(
            grd_randn(rng, GRD_SHAPE(k->samples, k->heads, k->queries, k->width)), 2);
        const grd_tensor *kv = grd_randn(rng, GRD_SHAPE(k->samples, k->heads, k->keys, k->width));
        layers[i] =
            grd_sdpa(q, kv, kv, &(grd_sdpa_options){ .mask = mask, .weights = GRD_PER_HEAD });
        if (k->leaks && i == 1)
            layers[i].weights = leaking(layers[i].weights);
        details[i] = (grd_attention_view_layer){ .query = q, .key = kv, .value = kv };
        if (k->causal == false)
            details[i].baseline = grd_softmax(grd_zeros_like(layers[i].weights), -1);
        if (!write_values(values, layers[i].weights))
            return false;
    }
    const grd_view_attention_options page = {
        .layers = layers,
        .num_layers = k->layers,
        .query_tokens = texts_of(k, k->queries),
        .key_tokens = texts_of(k, k->keys),
        .mask = &mask,
        .title = k->hostile ? hostile[0] : k->name,
        .baseline = k->causal ? NULL : "even weights",
        .details = details,
    };
    return grd_view_attention(path, &page) == GRD_OK;
}

int main(int argc, char **argv)
{
    size_t i = 0;
    while (argc == 4 && i < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i].name, argv[1]) != 0)
        i++;
    FILE *values = argc == 4 ? fopen(argv[3], "wb") : NULL;
    if (!values || i == sizeof kinds / sizeof kinds[0])
        return 2;
    grd_scope *scope = grd_scope_begin_no_grad();
    bool fine = make(&kinds[i], argv[2], values);
    fine = fclose(values) == 0 && fine;
    if (grd_scope_end(scope) != GRD_OK)
        fprintf(stderr, "%s\n", grd_error_message());
    return !fine;
}
