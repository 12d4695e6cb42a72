/* Attention as users call it, in f16 and bf16 on an emulated GPU with a fake cuDNN, beside the
 * CPU's: which kernel is told, that it is the one that ran, and what comes out. */
#include "tests/cuda/cudnn_calls.h"
#include "tests/cuda/emulated.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, H = 4, SHARED = 2, L = 24, D = 8, E = H * D };

/* ---- What is masked ---- */

typedef enum part { NO_PART, ATTEND, IGNORE, KEY_IGNORE, KEY_LENGTHS, FIXED, TRAINED } part;

typedef struct masking {
    const char *name;
    part part;
    bool causal, window;
    grd_align align;
    int64_t keys; /* 0: L */
    double dropout, softcap;
    const char *chosen;     /* NULL: cudnn */
    const char *refused[2]; /* a kernel, and what its reason starts with */
} masking;

static const masking maskings[] = {
    { .name = "nothing" },
    { .name = "causal", .causal = true },
    { .name = "causal from the end",
      .causal = true,
      .align = GRD_ALIGN_BOTTOM_RIGHT,
      .keys = L + 8 },
    { .name = "window", .causal = true, .window = true },
    { .name = "attend", .part = ATTEND },
    { .name = "ignore, causal", .part = IGNORE, .causal = true },
    { .name = "key_ignore", .part = KEY_IGNORE, .causal = true },
    { .name = "key_lengths", .part = KEY_LENGTHS },
    { .name = "key_lengths, causal", .part = KEY_LENGTHS, .causal = true },
    { .name = "additive", .part = FIXED, .causal = true },
    { .name = "additive that learns", .part = TRAINED },
    { .name = "a window and a mask",
      .part = ATTEND,
      .causal = true,
      .window = true,
      .chosen = "flash",
      .refused = { "cudnn", "cuDNN's window does not go with a mask" } },
    { .name = "softcap",
      .softcap = 2,
      .chosen = "flash",
      .refused = { "cudnn", "cuDNN is not asked for softcap" } },
    { .name = "dropout",
      .causal = true,
      .dropout = 0.25,
      .chosen = "flash",
      .refused = { "cudnn", "dropout: cuDNN draws other numbers than Gradus" } },
    { .name = "more queries than keys in a window",
      .causal = true,
      .window = true,
      .align = GRD_ALIGN_TOP_LEFT,
      .keys = L - 8,
      .chosen = "flash",
      .refused = { "cudnn", "cuDNN wants as many keys as queries" } },
};

enum { MASKINGS = sizeof maskings / sizeof *maskings };

/* The same numbers on every device. */
static grd_tensor *here(const grd_tensor *x, grd_device *device, grd_dtype dtype)
{
    return grd_detach(grd_to_device(dtype ? grd_cast(x, dtype) : x, device));
}

static grd_tensor *leaf(grd_rng *rng, grd_shape shape, grd_device *device, grd_dtype dtype)
{
    return grd_require_grad(here(grd_randn(rng, shape), device, dtype));
}

static grd_mask mask_of(const masking *m, grd_rng *rng, grd_device *device, grd_dtype dtype)
{
    const int64_t keys = m->keys ? m->keys : L, lengths[B] = { keys / 2, 0 };
    const grd_tensor *pairs = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(B, 1, L, keys)), 0.7);
    grd_mask mask = { .causal = m->causal, .align = m->align };
    if (m->window)
        mask.window_left = (grd_maybe_int)GRD_SET(3);
    if (m->part == ATTEND)
        mask.attend = here(pairs, device, GRD_DTYPE_UNSET);
    if (m->part == IGNORE)
        mask.ignore = here(grd_logical_not(pairs), device, GRD_DTYPE_UNSET);
    if (m->part == KEY_IGNORE)
        mask.key_ignore =
            here(grd_lt_scalar(grd_rand(rng, GRD_SHAPE(B, keys)), 0.3), device, GRD_DTYPE_UNSET);
    if (m->part == KEY_LENGTHS)
        mask.key_lengths = here(grd_from_i64(lengths, B, GRD_SHAPE(B)), device, GRD_DTYPE_UNSET);
    if (m->part == FIXED || m->part == TRAINED)
        mask.additive = here(grd_randn(rng, GRD_SHAPE(H, L, keys)), device, dtype);
    if (m->part == TRAINED)
        mask.additive = grd_require_grad((grd_tensor *)mask.additive);
    return mask;
}

/* ---- Results ---- */

enum { RESULTS = 5, MOST = 8192 };

typedef struct results {
    double at[RESULTS][MOST];
    int64_t count[RESULTS];
} results;

static void keep(results *r, int i, const grd_tensor *x)
{
    r->count[i] = x ? grd_tensor_count(x) : 0;
    cr_assert_leq(r->count[i], MOST);
    if (x)
        cr_assert_eq(grd_read_f64(x, r->at[i], r->count[i]), GRD_OK, "%s", grd_error_message());
}

static void compare(const char *name, const results *gpu, const results *cpu, double tolerance)
{
    for (int i = 0; i < RESULTS; i++) {
        cr_assert_eq(gpu->count[i], cpu->count[i]);
        for (int64_t e = 0; e < cpu->count[i]; e++) {
            const double x = gpu->at[i][e], y = cpu->at[i][e];
            cr_assert(fabs(x - y) <= tolerance * (1 + fabs(y)) || (isnan(x) && isnan(y)),
                      "%s: result %d [%d] is %g and not %g", name, i, (int)e, x, y);
        }
    }
}

static double tolerance_of(grd_dtype dtype)
{
    return dtype == GRD_BF16 ? 0.06 : 0.008;
}

/* What is told of a call on the GPU. */
static void expect_choice(const masking *m, const grd_kernel_choice *choice)
{
    cr_assert(choice->chosen, "%s: %s", m->name, grd_error_message());
    cr_assert_str_eq(choice->chosen, m->chosen ? m->chosen : "cudnn", "%s: not %s: %s", m->name,
                     choice->refused[0].kernel, choice->refused[0].reason);
    cr_assert_eq(choice->num_refused, m->refused[0] != NULL, "%s: not %s: %s", m->name,
                 choice->refused[0].kernel, choice->refused[0].reason);
    if (!m->refused[0])
        return;
    cr_assert_str_eq(choice->refused[0].kernel, m->refused[0], "%s", m->name);
    cr_assert_eq(strncmp(choice->refused[0].reason, m->refused[1], strlen(m->refused[1])), 0,
                 "%s: %s", m->name, choice->refused[0].reason);
}

/* ---- The function ---- */

static results *attend(const masking *m, grd_device *device, grd_dtype dtype, double poison)
{
    static results both[2];
    results *r = &both[device != grd_cpu()];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = device });
    grd_rng *rng = grd_rng_create(5);
    const int64_t keys = m->keys ? m->keys : L;
    grd_scope *cpu = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cpu() });
    const grd_mask mask = mask_of(m, rng, device, dtype);
    grd_tensor *q = leaf(rng, GRD_SHAPE(B, H, L, D), device, dtype);
    grd_tensor *last = grd_randn(rng, GRD_SHAPE(B, SHARED, keys, D));
    if (poison != 0)
        grd_fill_(grd_select(last, 2, keys - 1), poison);
    grd_tensor *k = leaf(rng, GRD_SHAPE(B, SHARED, keys, D), device, dtype);
    grd_tensor *v = grd_require_grad(here(last, device, dtype));
    const grd_tensor *dy = here(grd_randn(rng, GRD_SHAPE(B, H, L, D)), device, dtype);
    const grd_sdpa_options o = {
        .mask = mask, .dropout = m->dropout, .softcap = m->softcap, .rng = rng, .strict = true
    };
    if (device != grd_cpu()) {
        const grd_kernel_choice choice = grd_sdpa_explain(q, k, v, &o);
        expect_choice(m, &choice);
    }
    const grd_tensor *y = grd_sdpa(q, k, v, &o).output;
    cr_assert_eq(grd_backward_with(y, &(grd_backward_options){ .gradient = dy }), GRD_OK, "%s: %s",
                 m->name, grd_error_message());
    const grd_tensor *found[RESULTS] = { y, grd_tensor_grad(q), grd_tensor_grad(k),
                                         grd_tensor_grad(v),
                                         m->part == TRAINED ? grd_tensor_grad(mask.additive)
                                                            : NULL };
    for (int i = 0; i < RESULTS; i++)
        keep(r, i, found[i]);
    cr_assert_eq(grd_scope_end(cpu), GRD_OK);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
    return r;
}

static void check_sdpa(grd_dtype dtype, double poison)
{
    const fake f = need_fake();
    for (int i = 0; i < MASKINGS; i++) {
        const masking *m = &maskings[i];
        const long graphs = f.graphs();
        const results *cpu = attend(m, grd_cpu(), dtype, poison);
        const results *gpu = attend(m, grd_cuda(0), dtype, poison);
        compare(m->name, gpu, cpu, tolerance_of(dtype));
        cr_assert(f.graphs() > graphs || m->chosen, "%s: cuDNN was not asked", m->name);
        cr_assert(f.graphs() == graphs || !m->chosen, "%s: cuDNN was asked", m->name);
    }
}

Test(cuda_cudnn, sdpa_f16)
{
    check_sdpa(GRD_F16, 0);
}

Test(cuda_cudnn, sdpa_bf16)
{
    check_sdpa(GRD_BF16, 0);
}

/* The last value is NaN, which is hidden from most queries or all. */
Test(cuda_cudnn, sdpa_with_a_value_that_is_nan)
{
    check_sdpa(GRD_F16, NAN);
}

/* ---- The module ---- */

static results *through_module(const masking *m, grd_device *device, grd_dtype dtype)
{
    static results both[2];
    results *r = &both[device != grd_cpu()];
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(6);
    const grd_mha_options options = { .embed_dim = E, .num_heads = H, .layout = GRD_BATCH_FIRST };
    grd_module *mha = grd_mha_create(rng, &options);
    const grd_mask mask = mask_of(m, rng, device, dtype);
    grd_tensor *x = leaf(rng, GRD_SHAPE(B, L, E), device, dtype);
    const grd_tensor *dy = here(grd_randn(rng, GRD_SHAPE(B, L, E)), device, dtype);
    const grd_mha_args args = { .mask = mask, .strict = true };
    grd_module_to(mha, device, dtype);
    if (device != grd_cpu()) {
        const grd_kernel_choice choice = grd_mha_explain(mha, x, x, x, &args);
        expect_choice(m, &choice);
    }
    const grd_tensor *y = grd_mha_forward(mha, x, x, x, &args).output;
    cr_assert_eq(grd_backward_with(y, &(grd_backward_options){ .gradient = dy }), GRD_OK, "%s: %s",
                 m->name, grd_error_message());
    keep(r, 0, y);
    keep(r, 1, grd_tensor_grad(x));
    keep(r, 2, grd_tensor_grad(grd_module_parameter(mha, "in_proj_weight")));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
    return r;
}

static void check_module(grd_dtype dtype)
{
    need_fake();
    for (int i = 0; i < MASKINGS; i++) {
        const masking *m = &maskings[i];
        if (m->keys || m->dropout > 0 || m->softcap > 0)
            continue;
        const results *cpu = through_module(m, grd_cpu(), dtype);
        const results *gpu = through_module(m, grd_cuda(0), dtype);
        compare(m->name, gpu, cpu, 2 * tolerance_of(dtype));
    }
}

Test(cuda_cudnn, module_f16)
{
    check_module(GRD_F16);
}

Test(cuda_cudnn, module_bf16)
{
    check_module(GRD_BF16);
}

/* ---- What is told ---- */

/* Each pass has its own reasons, of which one that holds for all is told once. */
Test(cuda_cudnn, passes_that_are_refused_alone)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cuda(0) });
    const grd_tensor *x =
        grd_require_grad(grd_detach(grd_cast(grd_ones(GRD_SHAPE(H, L, D)), GRD_F16)));
    const grd_tensor *keys = grd_cast(grd_zeros(GRD_SHAPE(1, 1, L)), GRD_F16);
    const grd_sdpa_options o = { .mask.additive = grd_require_grad(grd_detach(keys)),
                                 .strict = true };
    grd_kernel_choice choice = grd_sdpa_explain(x, x, x, &o);
    cr_assert_str_eq(choice.chosen, "cudnn");
    cr_assert_eq(choice.num_refused, 1);
    cr_assert_str_eq(choice.refused[0].kernel, "cudnn gradient of additive");
    cr_assert(strstr(choice.refused[0].reason, "only where that has an element for each query"));
    const grd_sdpa_options causal = { .mask.causal = true };
    cr_assert_eq(grd_sdpa_explain(x, x, x, &causal).num_refused, 0, "%s", grd_error_message());
    f.engines(1, 1, INT64_C(1) << 50);
    const grd_sdpa_options capped = { .mask.causal = true, .softcap = 3 };
    choice = grd_sdpa_explain(x, x, x, &capped);
    cr_assert_str_eq(choice.chosen, "flash");
    cr_assert_eq(choice.num_refused, 1, "once");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_cudnn, without_it_flash_is_told_and_runs)
{
    need_emulated();
    setenv("GRADUS_CUDNN", "0", 1);
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cuda(0) });
    const grd_tensor *x = grd_cast(grd_ones(GRD_SHAPE(H, L, D)), GRD_BF16);
    const grd_kernel_choice choice = grd_sdpa_explain(x, x, x, NULL);
    cr_assert_str_eq(choice.chosen, "flash");
    cr_assert_str_eq(choice.refused[0].kernel, "cudnn");
    cr_assert_str_eq(choice.refused[0].reason, "GRADUS_CUDNN=0 switches cuDNN off");
    const grd_tensor *wide = grd_ones(GRD_SHAPE(H, L, D));
    cr_assert_str_eq(grd_sdpa_explain(wide, wide, wide, NULL).refused[0].reason,
                     "cuDNN takes f16 and bf16 alone");
    cr_assert(grd_sdpa(x, x, x, NULL).output);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* ---- Failures ---- */

/* Each of cuDNN's calls fails in turn: an error, or flash computes. */
Test(cuda_cudnn, an_op_survives_every_failure)
{
    const emulated e = need_emulated();
    const fake f = need_fake();
    long errors = 0, answers = 0;
    bool failed = true;
    grd_scope *first = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cuda(0) });
    const grd_tensor *some = grd_cast(grd_ones(GRD_SHAPE(H, L, D)), GRD_F16);
    cr_assert(grd_sdpa(some, some, some, NULL).output, "it starts on this GPU");
    cr_assert_eq(grd_scope_end(first), GRD_OK);
    for (long n = 1; failed; n += 3) {
        grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cuda(0) });
        const grd_tensor *q = grd_cast(grd_ones(GRD_SHAPE(1, 2 + n % 16, D)), GRD_F16);
        const grd_tensor *k = grd_cast(grd_ones(GRD_SHAPE(1, 2 + n / 16, D)), GRD_F16);
        q = grd_require_grad(grd_detach(q)); /* sizes of a plan that is not there so far */
        const long calls = f.calls();
        f.fail(n, 3000);
        const grd_tensor *y = grd_sdpa(q, k, k, NULL).output;
        const grd_status status = grd_backward(grd_sum(grd_cast(y, GRD_F32)));
        failed = f.calls() - calls >= n;
        f.fail(0, 0);
        errors += status == GRD_ERROR_DEVICE;
        answers += status == GRD_OK;
        cr_assert(status == GRD_OK || status == GRD_ERROR_DEVICE, "call %ld: %s", n,
                  grd_error_message());
        grd_error_take();
        grd_scope_end(scope);
    }
    cr_assert_gt(answers, 10, "%ld", answers);
    cr_assert_gt(errors, 0, "%ld", errors);
    grd_memory_trim();
    cr_assert_eq(e.held(), 0);
}
