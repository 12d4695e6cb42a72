/* How fast causal attention is on a GPU: gpu_attention [float32] [B.H.HK.T.D...]. A line for each
 * shape: which kernel, and the best of some samples forward and backward. GRADUS_CUDNN=0 times our
 * own kernels; gpu_attention.py is PyTorch's side, with the same lines. */
#include <gradus/gradus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES = 7 };

static const char *const shapes[] = { "16.12.12.1024.64", "8.16.16.2048.128", "4.16.16.4096.128",
                                      "2.16.16.8192.128", "2.16.4.8192.128" };

typedef struct problem {
    int64_t batch, heads, key_heads, tokens, size;
    grd_tensor *q, *k, *v, *dy, *one;
} problem;

static const grd_sdpa_options causal = { .mask = { .causal = true } };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void stop_on_error(void)
{
    if (grd_last_error().status == GRD_OK)
        return;
    fprintf(stderr, "gpu_attention: %s\n", grd_error_message());
    exit(EXIT_FAILURE);
}

/* Microseconds of one of `runs`, which are queued and then waited for: reading a number waits. */
static double sample(const problem *p, bool backward, int runs)
{
    grd_item(p->one);
    const double start = now();
    for (int i = 0; i < runs; i++) {
        grd_scope *scope = backward ? grd_scope_begin() : grd_scope_begin_no_grad();
        const grd_tensor *y = grd_sdpa(p->q, p->k, p->v, &causal).output;
        if (backward)
            grd_backward_with(y, &(grd_backward_options){ .gradient = p->dy });
        grd_zero_grad(p->q);
        grd_zero_grad(p->k);
        grd_zero_grad(p->v);
        grd_scope_end(scope);
    }
    grd_item(p->one);
    return (now() - start) / runs;
}

static double best(const problem *p, bool backward)
{
    const double once = (sample(p, backward, 1), sample(p, backward, 1));
    const int runs = (int)(2e4 / (once + 1)) + 1;
    double least = sample(p, backward, runs);
    for (int i = 1; i < SAMPLES; i++) {
        const double time = sample(p, backward, runs);
        least = time < least ? time : least;
    }
    return least;
}

static grd_tensor *rows(grd_rng *rng, const problem *p, int64_t heads, grd_dtype dtype)
{
    const grd_shape shape = GRD_SHAPE(p->batch, p->tokens, heads, p->size);
    return grd_detach(grd_transpose(grd_cast(grd_randn(rng, shape), dtype), 1, 2));
}

static void prepare(problem *p, grd_dtype dtype)
{
    grd_rng *rng = grd_rng_create(1);
    p->q = grd_require_grad(rows(rng, p, p->heads, dtype));
    p->k = grd_require_grad(rows(rng, p, p->key_heads, dtype));
    p->v = grd_require_grad(rows(rng, p, p->key_heads, dtype));
    p->dy = rows(rng, p, p->heads, dtype);
    p->one = grd_ones(GRD_SCALAR);
}

/* Of two products over the half that is seen, and of five. */
static double teraflops(const problem *p, double products, double microseconds)
{
    const double pairs = (double)(p->batch * p->heads) * (double)p->tokens * (double)p->tokens / 2;
    return products * 2 * pairs * (double)p->size / microseconds * 1e-6;
}

static void measure(const char *shape, grd_dtype dtype)
{
    problem p = { 0 };
    int64_t *const sizes[] = { &p.batch, &p.heads, &p.key_heads, &p.tokens, &p.size };
    const char *text = shape;
    for (int i = 0; i < 5; i++)
        *sizes[i] = strtoll(text, (char **)&text, 10), text += *text == '.';
    grd_scope *scope = grd_scope_begin();
    prepare(&p, dtype);
    const grd_kernel_choice choice = grd_sdpa_explain(p.q, p.k, p.v, &causal);
    stop_on_error();
    const double forward = best(&p, false), both = best(&p, true);
    stop_on_error();
    printf("%-18s %-8s forward %10.1f us %7.1f TFLOP/s  backward %10.1f us %7.1f TFLOP/s\n", shape,
           choice.chosen, forward, teraflops(&p, 2, forward), both - forward,
           teraflops(&p, 5, both - forward));
    for (int64_t i = 0; i < choice.num_refused; i++)
        printf("  not %s: %s\n", choice.refused[i].kernel, choice.refused[i].reason);
    fflush(stdout);
    grd_scope_end(scope);
}

int main(int argc, char **argv)
{
    const bool wide = argc > 1 && strcmp(argv[1], "float32") == 0;
    const int first = wide ? 2 : 1, count = argc > first ? argc - first : 5;
    grd_device *gpu = grd_cuda(0);
    stop_on_error();
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = gpu });
    for (int i = 0; i < count; i++)
        measure(argc > first ? argv[first + i] : shapes[i], wide ? GRD_F32 : GRD_BF16);
    return grd_scope_end(scope) == GRD_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
