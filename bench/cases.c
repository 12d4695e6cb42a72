/* What bench/compare.py measures, on demand: reads lines "NAME THREADS SAMPLES" and answers each
 * with the samples' microseconds on one line. The names are those of the README in bench/. */
#include "bench/op_cases.h"

#include <gradus/gradus.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* A case has a state, made once and kept, and a sample that is timed and told in microseconds. */
typedef struct bench {
    char name[64];
    int64_t size[4]; /* the numbers in the name */
    double (*sample)(struct bench *b);
    grd_module *model;
    grd_optimizer *optimizer;
    grd_tensor *q, *k, *v, *dy; /* or inputs and targets */
    int64_t inner;              /* runs in a sample */
    op_case *op;
} bench;

/* ---- 100 chained additions of one element, forward and backward: the time of one ---- */

static double sample_add(bench *b)
{
    enum { CHAIN = 100 };
    const double start = now_us();
    for (int64_t run = 0; run < b->inner; run++) {
        grd_scope *step = grd_scope_begin();
        grd_tensor *y = b->q;
        for (int i = 0; i < CHAIN; i++)
            y = grd_add(y, b->k);
        grd_backward(y);
        grd_zero_grad(b->q);
        grd_scope_end(step);
    }
    return (now_us() - start) / (double)(CHAIN * b->inner);
}

static void prepare_add(bench *b)
{
    b->q = grd_require_grad(grd_ones(GRD_SHAPE(1)));
    b->k = grd_ones(GRD_SHAPE(1));
    b->inner = 10;
}

/* ---- Causal attention at B, H, L, D ---- */

static const grd_sdpa_options causal = { .mask = { .causal = true } };

static double sample_forward(bench *b)
{
    const double start = now_us();
    for (int64_t run = 0; run < b->inner; run++) {
        grd_scope *step = grd_scope_begin_no_grad();
        const grd_attention a = grd_sdpa(b->q, b->k, b->v, &causal);
        (void)a;
        grd_scope_end(step);
    }
    return (now_us() - start) / (double)b->inner;
}

/* The walk alone: its forward is not timed. */
static double sample_backward(bench *b)
{
    double time = 0;
    for (int64_t run = 0; run < b->inner; run++) {
        grd_scope *step = grd_scope_begin();
        const grd_attention a = grd_sdpa(b->q, b->k, b->v, &causal);
        const double start = now_us();
        grd_backward_with(a.output, &(grd_backward_options){ .gradient = b->dy });
        time += now_us() - start;
        grd_zero_grad(b->q);
        grd_zero_grad(b->k);
        grd_zero_grad(b->v);
        grd_scope_end(step);
    }
    return time / (double)b->inner;
}

static void prepare_attention(bench *b)
{
    grd_rng *rng = grd_rng_create(1);
    const grd_shape shape = GRD_SHAPE(b->size[0], b->size[1], b->size[2], b->size[3]);
    b->q = grd_require_grad(grd_randn(rng, shape));
    b->k = grd_require_grad(grd_randn(rng, shape));
    b->v = grd_require_grad(grd_randn(rng, shape));
    b->dy = grd_randn(rng, shape);
    b->inner = 1;
}

/* ---- A training step: forward, loss, backward, clipping, AdamW ---- */

static double sample_step(bench *b)
{
    const double start = now_us();
    grd_scope *step = grd_scope_begin();
    grd_backward(grd_cross_entropy(grd_forward(b->model, b->q), b->k, NULL));
    grd_clip_grad_norm(b->model, 1.0);
    grd_optimizer_step(b->optimizer, 1e-3);
    grd_scope_end(step);
    return now_us() - start;
}

static void prepare_step(bench *b, int64_t batch, const grd_transformer_options *options)
{
    grd_rng *rng = grd_rng_create(1);
    const grd_shape shape = GRD_SHAPE(batch, options->context);
    b->model = grd_transformer_create(rng, options);
    b->optimizer = grd_adamw_create(
        b->model, &(grd_adam_options){ .weight_decay = 0.01, .decay_matrices_only = true });
    b->q = grd_randint(rng, 0, options->vocab_size, shape);
    b->k = grd_randint(rng, 0, options->vocab_size, shape);
}

static void prepare_toy(bench *b)
{
    prepare_step(b, 16,
                 &(grd_transformer_options){ .vocab_size = 64,
                                             .context = 32,
                                             .embed_dim = 64,
                                             .num_heads = 4,
                                             .num_layers = 2,
                                             .direction = GRD_CAUSAL,
                                             .activation = GRD_GELU,
                                             .norm_first = true });
}

static void prepare_character(bench *b)
{
    prepare_step(b, 4,
                 &(grd_transformer_options){ .vocab_size = 65,
                                             .context = 256,
                                             .embed_dim = 384,
                                             .num_heads = 6,
                                             .num_layers = 6,
                                             .direction = GRD_CAUSAL,
                                             .activation = GRD_GELU,
                                             .norm_first = true });
}

/* ---- One op ---- */

static double sample_op(bench *b)
{
    return op_case_sample(b->op);
}

static void prepare_op(bench *b)
{
    b->op = op_case_create(b->name);
}

/* ---- By name ---- */

static const struct {
    const char *name; /* what follows are sizes */
    void (*prepare)(bench *b);
    double (*sample)(bench *b);
} kinds[] = {
    { "overhead.add", prepare_add, sample_add },
    { "attention.forward", prepare_attention, sample_forward },
    { "attention.backward", prepare_attention, sample_backward },
    { "step.toy", prepare_toy, sample_step },
    { "step.character", prepare_character, sample_step },
    { "op", prepare_op, sample_op },
};
enum { KINDS = sizeof kinds / sizeof kinds[0], MOST = 512 };

static bool prepare(bench *b, const char *name)
{
    *b = (bench){ 0 };
    snprintf(b->name, sizeof b->name, "%s", name);
    for (int i = 0; i < KINDS; i++) {
        const size_t length = strlen(kinds[i].name);
        if (strncmp(name, kinds[i].name, length) != 0 || (name[length] && name[length] != '.'))
            continue;
        const char *sizes = name + length;
        for (int s = 0; s < 4 && *sizes == '.'; s++)
            b->size[s] = strtoll(sizes + 1, (char **)&sizes, 10);
        kinds[i].prepare(b);
        b->sample = kinds[i].sample;
        return true;
    }
    return false;
}

/* The case of that name, made when it is first asked for. */
static bench *find(bench benches[MOST], const char *name)
{
    int i = 0;
    while (i < MOST - 1 && benches[i].sample && strcmp(benches[i].name, name) != 0)
        i++;
    return benches[i].sample || prepare(&benches[i], name) ? &benches[i] : NULL;
}

static void answer(bench *b, int threads, int samples)
{
    grd_device_set_threads(grd_cpu(), threads);
    for (int i = 0; i < samples; i++)
        printf("%.3f%c", b->sample(b), i + 1 < samples ? ' ' : '\n');
    fflush(stdout);
}

int main(void)
{
    static bench benches[MOST];
    grd_scope *all = grd_scope_begin();
    char name[64];
    int threads, samples;
    const grd_cpu_info cpu = grd_cpu_describe();
    printf("%s; %s\n", cpu.instruction_set, cpu.blas_core);
    fflush(stdout);
    while (grd_scope_end(NULL) == GRD_OK && scanf("%63s %d %d", name, &threads, &samples) == 3) {
        bench *b = find(benches, name);
        if (!b) {
            fprintf(stderr, "no case is called %s\n", name);
            return EXIT_FAILURE;
        }
        answer(b, threads, samples);
    }
    if (grd_scope_end(all) != GRD_OK) {
        fprintf(stderr, "%s\n", grd_error_message());
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
