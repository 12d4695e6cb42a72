/* Whether cuDNN takes our graphs of attention, asked for GPUs that need not be here: a description
 * of one is enough for it to say which engines would run them. What it accepts and refuses is
 * golden: `cudnn_plans FILE` compares, and `cudnn_plans --write FILE` writes it anew. The numbers
 * that come out of these graphs are tested elsewhere. Exit code 77: skipped. */
#include "tensor/cuda/cudnn_plan.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 77, MOST_CANDIDATES = 16 };

/* ---- GPUs ---- */

typedef struct gpu {
    const char *name;
    int capability, multiprocessors, blocks, threads, l2_mib;
    int shared, clock, memory_clock;
    int gib;
} gpu;

static const gpu gpus[] = {
    { "A100", 80, 108, 32, 2048, 40, 166912, 1410000, 1593000, 80 },
    { "H100", 90, 132, 32, 2048, 50, 232448, 1980000, 2619000, 80 },
    { "H200", 90, 132, 32, 2048, 60, 232448, 1980000, 3201000, 140 },
    { "B200", 100, 148, 32, 2048, 126, 232448, 1965000, 3996000, 180 },
    { "RTX 4090", 89, 128, 24, 1536, 72, 101376, 2520000, 10501000, 24 },
};

static int write_json(char *text, size_t size, const gpu *g)
{
    return snprintf(
        text, size,
        "{\"deviceVer\":%d,\"multiProcessorCount\":%d,\"warpSize\":32,"
        "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
        "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":%d,"
        "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"regsPerBlock\":65536,"
        "\"totalGlobalMem\":%" PRId64 ",\"smClockRateKHz\":%d,\"l2CacheSize\":%d,"
        "\"maxBlockSize\":[1024,1024,64],\"memClockRateKHz\":%d,"
        "\"maxGridSize\":[2147483647,65535,65535],\"supportCoopLaunch\":1,\"pciDeviceId\":0,"
        "\"isTccDriver\":0,\"cudaDeviceId\":0,\"driverVer\":13000,\"deviceName\":\"NVIDIA %s\"}",
        g->capability * 10, g->multiprocessors, g->shared, g->blocks, g->threads,
        (int64_t)g->gib << 30, g->clock, g->l2_mib << 20, g->memory_clock, g->name);
}

static grdi_cudnn_descriptor *describe(grdi_cudnn_graph *graph, const gpu *g)
{
    char text[1024];
    const int length = write_json(text, sizeof text, g);
    const grdi_cudnn_attribute json = { GRDI_CUDNN_DEVICE_JSON, GRDI_CUDNN_IS_CHAR, length, text };
    return grdi_cudnn_make(graph, GRDI_CUDNN_DEVICE, "a GPU's description", 1, &json);
}

/* ---- Calls ---- */

/* How heads lie: (B, H, T, D), (B, T, H, D), or the latter of queries, keys and values in one. */
typedef enum layout { HEADS_LAST, HEADS_FIRST, PACKED } layout;

/* What differs from B 4, Hq = H = 8, L = S = 1024, D = Dv = 64 in bf16. additive: which of its four
 * sizes are not 1, as bits. */
typedef struct call {
    const char *name;
    int64_t key_heads, queries, keys, size, value_size;
    layout layout;
    int additive;
    bool f16, padded, windowed;
    int causal;
} call;

enum { TOP = GRDI_CUDNN_TOP_LEFT, BOTTOM = GRDI_CUDNN_BOTTOM_RIGHT };
enum { PER_PAIR = 3, PER_HEAD = 7, PER_SAMPLE = 11, PER_BOTH = 15, OF_KEYS = 9 };

static const call calls[] = {
    { .name = "all keys" },
    { .name = "f16", .f16 = true },
    { .name = "heads first", .layout = HEADS_FIRST },
    { .name = "packed", .layout = PACKED, .causal = TOP },
    { .name = "causal", .causal = TOP },
    { .name = "causal f16 d128 heads first",
      .causal = TOP,
      .f16 = true,
      .size = 128,
      .layout = HEADS_FIRST },
    { .name = "causal from the end, L 512", .causal = BOTTOM, .queries = 512 },
    { .name = "causal, window", .causal = TOP, .windowed = true },
    { .name = "causal from the end, window, L 512",
      .causal = BOTTOM,
      .windowed = true,
      .queries = 512 },
    { .name = "lengths", .padded = true },
    { .name = "lengths, causal", .padded = true, .causal = TOP },
    { .name = "lengths, causal from the end", .padded = true, .causal = BOTTOM },
    { .name = "lengths, causal, window", .padded = true, .causal = TOP, .windowed = true },
    { .name = "additive (L, S)", .additive = PER_PAIR },
    { .name = "additive (H, L, S)", .additive = PER_HEAD },
    { .name = "additive (B, 1, L, S)", .additive = PER_SAMPLE },
    { .name = "additive (B, H, L, S)", .additive = PER_BOTH },
    { .name = "additive (B, 1, 1, S)", .additive = OF_KEYS },
    { .name = "additive, causal", .additive = PER_HEAD, .causal = TOP },
    { .name = "additive, causal from the end", .additive = PER_PAIR, .causal = BOTTOM },
    { .name = "additive, window", .additive = PER_PAIR, .causal = TOP, .windowed = true },
    { .name = "additive, T 77", .additive = PER_PAIR, .queries = 77, .keys = 77 },
    { .name = "grouped heads", .key_heads = 2, .causal = TOP },
    { .name = "one head of keys", .key_heads = 1, .causal = TOP },
    { .name = "everything",
      .key_heads = 2,
      .additive = PER_PAIR,
      .padded = true,
      .causal = TOP },
    { .name = "T 1000", .causal = TOP, .queries = 1000, .keys = 1000 },
    { .name = "T 77", .causal = TOP, .queries = 77, .keys = 77 },
    { .name = "T 1", .queries = 1, .keys = 1 },
    { .name = "L 1, S 77", .queries = 1, .keys = 77 },
    { .name = "L 1, S 77, lengths", .queries = 1, .keys = 77, .padded = true },
    { .name = "L 77, S 1024", .queries = 77, .causal = TOP },
    { .name = "d8", .size = 8 },
    { .name = "d12", .size = 12 },
    { .name = "d40", .size = 40 },
    { .name = "d96", .size = 96 },
    { .name = "d128", .size = 128 },
    { .name = "d136", .size = 136 },
    { .name = "d192", .size = 192 },
    { .name = "d192, of values d128", .size = 192, .value_size = 128 },
    { .name = "d256", .size = 256 },
    { .name = "d264", .size = 264 },
    { .name = "d512", .size = 512 },
};

static int64_t or_else(int64_t value, int64_t usual)
{
    return value ? value : usual;
}

static void lay_out(grdi_cudnn_attention *a, int64_t id, layout layout)
{
    const grdi_cudnn_shape shape = grdi_cudnn_rows(a, id);
    const int64_t *size = shape.size;
    const bool output = id == GRDI_CUDNN_OUTPUT;
    const int64_t row = size[1] * size[3] * (layout == PACKED && !output ? 3 : 1);
    int64_t *stride = a->stride[id - 1];
    stride[0] = layout == HEADS_FIRST ? size[1] * size[2] * size[3] : size[2] * row;
    stride[1] = layout == HEADS_FIRST ? size[2] * size[3] : size[3];
    stride[2] = layout == HEADS_FIRST ? size[3] : row;
}

static grdi_cudnn_attention attention_of(const call *c)
{
    grdi_cudnn_attention a = {
        .dtype = c->f16 ? GRDI_CUDNN_F16 : GRDI_CUDNN_BF16,
        .batch = 4,
        .heads = 8,
        .key_heads = or_else(c->key_heads, 8),
        .queries = or_else(c->queries, 1024),
        .keys = or_else(c->keys, 1024),
        .size = or_else(c->size, 64),
        .padded = c->padded,
        .causal = c->causal,
        .windowed = c->windowed,
    };
    const int64_t pairs[] = { a.batch, a.heads, a.queries, a.keys };
    a.value_size = or_else(c->value_size, a.size);
    for (int64_t id = 1; id <= GRDI_CUDNN_ROWS; id++)
        lay_out(&a, id, c->layout);
    if (c->additive)
        a.additive =
            grdi_cudnn_contiguous(c->additive & 8 ? pairs[0] : 1, c->additive & 4 ? pairs[1] : 1,
                                  c->additive & 2 ? pairs[2] : 1, pairs[3]);
    return a;
}

/* Forward and the kinds of backward. */
typedef struct pass {
    const char *name;
    bool backward, deterministic, dadditive;
} pass;

static const pass passes[] = {
    { "forward", false, false, false },
    { "backward", true, false, false },
    { "backward, the same bits", true, true, false },
    { "backward, dadditive", true, true, true },
};

/* ---- What cuDNN says ---- */

static void judge(FILE *out, const grdi_cudnn *cudnn, const gpu *g, const grdi_cudnn_attention *a)
{
    static const int lists[] = { GRDI_CUDNN_BEST, GRDI_CUDNN_FALLBACK };
    grdi_cudnn_graph graph = { .cudnn = cudnn };
    grdi_cudnn_candidate c[MOST_CANDIDATES];
    int64_t workspace = -1;
    uint64_t seen = 0;
    graph.device = describe(&graph, g);
    grdi_cudnn_add_attention(&graph, a);
    for (int l = 0; l < 2; l++)
        for (int i = grdi_cudnn_candidates(&graph, lists[l], c, MOST_CANDIDATES) - 1; i >= 0; i--) {
            seen |= UINT64_C(1) << (c[i].engine & 63);
            if (workspace < 0 || c[i].workspace < workspace)
                workspace = c[i].workspace;
        }
    if (graph.failed)
        fprintf(out, "fails: %s\n", graph.why);
    else if (!seen)
        fprintf(out, "refused\n");
    else {
        fprintf(out, "engines");
        for (int i = 0; i < 64; i++)
            if (seen >> i & 1)
                fprintf(out, " %d", i);
        fprintf(out, ", %" PRId64 " bytes\n", workspace);
    }
    grdi_cudnn_clear(&graph);
}

static void judge_all(FILE *out, const grdi_cudnn *cudnn)
{
    for (size_t g = 0; g < sizeof gpus / sizeof *gpus; g++)
        for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
            for (size_t p = 0; p < sizeof passes / sizeof *passes; p++) {
                grdi_cudnn_attention a = attention_of(&calls[c]);
                a.backward = passes[p].backward;
                a.deterministic = passes[p].deterministic;
                a.dadditive = passes[p].dadditive;
                if (a.dadditive && !a.additive.size[0])
                    continue;
                fprintf(out, "%s | %s | %s | ", gpus[g].name, calls[c].name, passes[p].name);
                judge(out, cudnn, &gpus[g], &a);
            }
}

/* ---- Golden ---- */

static int compare(FILE *golden, FILE *now)
{
    char expected[512], found[512];
    int differ = 0;
    rewind(now);
    for (;;) {
        const char *e = fgets(expected, sizeof expected, golden);
        const char *f = fgets(found, sizeof found, now);
        if (!e && !f)
            break;
        if (e && f && strcmp(e, f) == 0)
            continue;
        printf("expected: %sfound:    %s", e ? e : "nothing more\n", f ? f : "nothing more\n");
        differ++;
        if (!e || !f)
            break;
    }
    printf("%d lines differ\n", differ);
    return differ != 0;
}

static int skip(const char *why)
{
    printf("SKIPPED: no plan of cuDNN was looked at: %s\n", why);
    return SKIPPED;
}

/* The version that the golden file is of stands in its first line. */
static int check(const char *name, FILE *now, const char *version)
{
    char first[64] = "";
    FILE *golden = fopen(name, "r");
    if (!golden || !fgets(first, sizeof first, golden))
        return printf("%s cannot be read\n", name), 1;
    if (strcmp(first, version) != 0) {
        fclose(golden);
        return printf("this is %sgolden is %s", version, first), skip("another version");
    }
    rewind(golden);
    const int result = compare(golden, now);
    fclose(golden);
    return result;
}

/* cuDNN opens the driver by its name, which one that is open already answers to: for what is asked
 * here the toolkit's empty one will do. */
static bool find_driver(void)
{
    static const char *const files[] = {
        "libcuda.so.1",
        "/usr/local/cuda/lib64/stubs/libcuda.so",
        "/usr/local/cuda/lib/stubs/libcuda.so",
        "/usr/local/cuda/targets/x86_64-linux/lib/stubs/libcuda.so",
    };
    void *driver = NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files && !driver; i++)
        driver = dlopen(files[i], RTLD_NOW | RTLD_GLOBAL);
    return driver != NULL;
}

int main(int argc, char **argv)
{
    const bool write = argc == 3 && strcmp(argv[1], "--write") == 0;
    char version[64];
    const char *why;
    const grdi_cudnn *cudnn = grdi_cudnn_find(&why);
    if (argc != 2 && !write)
        return fprintf(stderr, "cudnn_plans [--write] FILE\n"), 2;
    if (!cudnn)
        return skip(why);
    if (!find_driver())
        return skip("cuDNN wants a libcuda.so.1, if only the one that CUDA's toolkit links with");
    snprintf(version, sizeof version, "cuDNN %d.%d.%d\n", (int)(cudnn->version / 10000),
             (int)(cudnn->version / 100 % 100), (int)(cudnn->version % 100));
    FILE *now = write ? fopen(argv[2], "w") : tmpfile();
    if (!now)
        return perror(argv[2]), 1;
    fputs(version, now);
    judge_all(now, cudnn);
    const int result = write ? 0 : check(argv[1], now, version);
    return fclose(now) == 0 ? result : 1;
}
