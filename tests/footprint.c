/* Attention over 8192 tokens, forward and backward, in less than 200 MB: each case runs in a
 * process of its own, whose largest resident size is asked of the system. With weights in memory
 * one case would take more than 2 GB. */
#include <gradus/gradus.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { H = 4, T = 8192, D = 64, LIMIT = 200 };

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

static const struct {
    const char *name;
    bool (*run)(grd_rng *rng, int kind);
    int kind;
} cases[] = {
    { "sdpa, causal", run_sdpa, 0 },
    { "sdpa, key_lengths", run_sdpa, 1 },
    { "sdpa, key_ignore", run_sdpa, 2 },
    { "sdpa, causal and key_ignore", run_sdpa, 3 },
    { "MultiheadAttention of itself, causal", run_module, 0 },
    { "MultiheadAttention of itself, causal and key_ignore", run_module, 3 },
};

/* In a process of its own: 0 if all is well. */
static int run(int number)
{
    struct rusage usage = { 0 };
    grd_scope *scope = grd_scope_begin();
    const bool right = cases[number].run(grd_rng_create(1), cases[number].kind);
    if (grd_last_error().status)
        fprintf(stderr, "%s\n", grd_error_message());
    const bool ended = grd_scope_end(scope) == GRD_OK;
    getrusage(RUSAGE_SELF, &usage);
    const long megabytes = usage.ru_maxrss / 1024;
    printf("%-52s %5ld MB\n", cases[number].name, megabytes);
    fflush(stdout);
    return right && ended && megabytes > 0 && megabytes < LIMIT ? 0 : 1;
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
