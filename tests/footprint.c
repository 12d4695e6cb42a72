/* Attention over 8192 tokens, forward and backward, in less than 200 MB, where weights in memory
 * would take more than 2 GB; and the training of a toy in less than 20 MB beyond what the started
 * library takes. Each case runs in a process of its own, whose largest resident size is asked of
 * the system. */
#include <gradus/gradus.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { H = 4, T = 8192, D = 64 };

/* The last quarter of the keys is padding. */
static grd_tensor *padding(void)
{
    return grd_ge_scalar(grd_reshape(grd_arange(0, T, 1), GRD_SHAPE(1, T)), T - T / 4);
}

static grd_tensor *three_quarters(void)
{
    return grd_from_i64((int64_t[]){ T - T / 4 }, 1, GRD_SHAPE(1));
}

static grd_mask mask_of(int kind)
{
    switch (kind) {
    case 1:
        return (grd_mask){ .key_lengths = three_quarters() };
    case 2:
        return (grd_mask){ .key_ignore = padding() };
    case 3:
        return (grd_mask){ .causal = true, .key_ignore = padding() };
    default:
        return (grd_mask){ .causal = true };
    }
}

/* Keys that are left out get no gradient, and the others some: so it was computed. */
static bool is_right(const grd_tensor *dk, int kind)
{
    const grd_tensor *rows = grd_slice(dk, -2, T - T / 4, GRD_END, 1);
    const bool hidden = grd_item(grd_max(grd_abs(rows))) == 0;
    const double total = grd_item(grd_sum(grd_abs(dk)));
    return isfinite(total) && total > 0 && hidden == (kind != 0);
}

static bool run_sdpa(grd_rng *rng, int kind)
{
    const grd_shape shape = GRD_SHAPE(1, H, T, D);
    grd_tensor *q = grd_require_grad(grd_randn(rng, shape));
    grd_tensor *k = grd_require_grad(grd_randn(rng, shape));
    grd_tensor *v = grd_require_grad(grd_randn(rng, shape));
    const grd_sdpa_options options = { .mask = mask_of(kind), .strict = true };
    const grd_tensor *y = grd_sdpa(q, k, v, &options).output;
    grd_backward_with(y, &(grd_backward_options){ .gradient = q });
    return is_right(grd_tensor_grad(k), kind);
}

static bool run_module(grd_rng *rng, int kind)
{
    const grd_mha_options options = { .embed_dim = H * D,
                                      .num_heads = H,
                                      .layout = GRD_BATCH_FIRST };
    grd_module *m = grd_mha_create(rng, &options);
    grd_tensor *x = grd_require_grad(grd_randn(rng, GRD_SHAPE(1, T, H * D)));
    const grd_mha_args args = { .mask = mask_of(kind), .strict = true };
    const grd_tensor *y = grd_mha_forward(m, x, x, x, &args).output;
    grd_backward_with(y, &(grd_backward_options){ .gradient = x });
    const double total = grd_item(grd_sum(grd_abs(grd_tensor_grad(x))));
    return isfinite(total) && total > 0;
}

static const grd_transformer_options toy = { .vocab_size = 64,
                                             .context = 32,
                                             .embed_dim = 64,
                                             .num_heads = 4,
                                             .num_layers = 2,
                                             .direction = GRD_CAUSAL,
                                             .activation = GRD_GELU,
                                             .norm_first = true };

/* A hundred steps on one batch, whose loss must fall. */
static bool run_toy(grd_rng *rng, int kind)
{
    enum { B = 16, STEPS = 100 };
    (void)kind;
    grd_module *model = grd_transformer_create(rng, &toy);
    grd_optimizer *optimizer = grd_adamw_create(model, &(grd_adam_options){ .weight_decay = 0.01 });
    const grd_tensor *tokens = grd_randint(rng, 0, toy.vocab_size, GRD_SHAPE(B, toy.context));
    double first = 0, last = 0;
    for (int i = 0; i < STEPS; i++) {
        grd_scope *step = grd_scope_begin();
        const grd_tensor *loss = grd_cross_entropy(grd_forward(model, tokens), tokens, NULL);
        last = grd_item(loss);
        first = i ? first : last;
        grd_backward(loss);
        grd_clip_grad_norm(model, 1.0);
        grd_optimizer_step(optimizer, 3e-3);
        grd_scope_end(step);
    }
    return last < first / 2;
}

static const struct {
    const char *name;
    bool (*run)(grd_rng *rng, int kind);
    int kind;
    long limit;  /* megabytes */
    bool beyond; /* what the started library takes */
} cases[] = {
    { "sdpa, causal", run_sdpa, 0, 200, false },
    { "sdpa, key_lengths", run_sdpa, 1, 200, false },
    { "sdpa, key_ignore", run_sdpa, 2, 200, false },
    { "sdpa, causal and key_ignore", run_sdpa, 3, 200, false },
    { "MultiheadAttention of itself, causal", run_module, 0, 200, false },
    { "MultiheadAttention of itself, causal and key_ignore", run_module, 3, 200, false },
    { "100 steps of a toy, beyond the library", run_toy, 0, 20, true },
};

/* The largest so far, in kilobytes. */
static long resident(void)
{
    struct rusage usage = { 0 };
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* In a process of its own: 0 if all is well. */
static int run(int number)
{
    grd_scope *scope = grd_scope_begin();
    const long started = grd_ones(GRD_SHAPE(1)) ? resident() : 0;
    const bool right = cases[number].run(grd_rng_create(1), cases[number].kind);
    if (grd_last_error().status)
        fprintf(stderr, "%s\n", grd_error_message());
    const bool ended = grd_scope_end(scope) == GRD_OK;
    const long megabytes = (resident() - (cases[number].beyond ? started : 0)) / 1024;
    printf("%-52s %5ld MB\n", cases[number].name, megabytes);
    fflush(stdout);
    return right && ended && megabytes > 0 && megabytes < cases[number].limit ? 0 : 1;
}

static bool passes(int number)
{
    int status = 1;
    const pid_t child = fork();
    if (child == 0)
        _exit(run(number));
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
    const int count = sizeof cases / sizeof cases[0];
    bool all = true;
    for (int i = 0; i < count; i++)
        all &= passes(i);
    return all ? EXIT_SUCCESS : EXIT_FAILURE;
}
