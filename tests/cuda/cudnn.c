/* That attention through cuDNN gives what the CPU's kernel gives: its graphs, run on the processor
 * by a fake cuDNN, and what stands around them. */
#include "tensor/cuda/flash_own.h"
#include "tensor/tensor.h"
#include "tests/cuda/cudnn_calls.h"
#include "tests/cuda/emulated.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <stdlib.h>

static void compare(const side sides[2], const call *c, which w, const char *what)
{
    const grd_shape shape = shape_of(c, w);
    int64_t count = 1;
    for (int d = 0; d < shape.rank; d++)
        count *= shape.size[d];
    const double *cpu = read_back(&sides[0], c, w), *gpu = read_back(&sides[1], c, w);
    const double tolerance = c->bf16 ? 0.06 : 0.008;
    for (int64_t i = 0; i < count; i++)
        cr_assert(cpu[i] == gpu[i] || (isnan(cpu[i]) && isnan(gpu[i])) ||
                      fabs(cpu[i] - gpu[i]) < tolerance * (1 + fabs(cpu[i])),
                  "%s: %s [%d] is %g and not %g", c->name, what, (int)i, gpu[i], cpu[i]);
}

/* ---- The numbers ---- */

static const int64_t lengths[] = { 13, 20 }, none[] = { 0, 20 };

static const call taken[] = {
    { .name = "all keys" },
    { .name = "bf16", .bf16 = true, .causal = true },
    { .name = "heads first", .heads_first = true, .causal = true },
    { .name = "doutput in another layout", .doutput_first = true, .value_size = 16 },
    { .name = "causal", .causal = true },
    { .name = "causal, more queries", .causal = true, .queries = 25 },
    { .name = "causal, more keys", .causal = true, .queries = 7 },
    { .name = "causal from the end", .causal = true, .queries = 7, .offset = 13 },
    { .name = "window", .causal = true, .window = 5 },
    { .name = "window from the end", .causal = true, .window = 5, .queries = 7, .offset = 13 },
    { .name = "window of one", .causal = true, .window = 1 },
    { .name = "lengths", .lengths = lengths },
    { .name = "no keys in a sample", .lengths = none },
    { .name = "lengths, causal", .lengths = lengths, .causal = true },
    { .name = "lengths, causal from their end",
      .lengths = lengths,
      .causal = true,
      .by_length = true,
      .queries = 7,
      .offset = -7 },
    { .name = "lengths, causal from their end, blind queries",
      .lengths = lengths,
      .causal = true,
      .by_length = true,
      .offset = -20 },
    { .name = "lengths, window", .lengths = lengths, .causal = true, .window = 4 },
    { .name = "by length without lengths", .causal = true, .by_length = true, .offset = -20 },
    { .name = "additive (L, S)", .additive = PER_PAIR },
    { .name = "additive (H, L, S), causal", .additive = PER_HEAD, .causal = true },
    { .name = "additive (B, 1, L, S)", .additive = PER_SAMPLE },
    { .name = "additive (B, H, L, S)", .additive = PER_BOTH },
    { .name = "additive (H, L, S), keep (L, S)", .additive = PER_HEAD, .keep = PER_PAIR },
    { .name = "keep (L, S)", .keep = PER_PAIR },
    { .name = "keep (B, 1, 1, S), causal", .keep = OF_KEYS, .causal = true },
    { .name = "grouped heads", .key_heads = 2, .causal = true },
    { .name = "one head of keys", .key_heads = 1 },
    { .name = "sizes differ", .size = 16, .value_size = 24 },
    { .name = "one key", .keys = 1 },
    { .name = "128 keys, without padding", .queries = 3, .keys = 128 },
    { .name = "128 keys, from the end", .queries = 3, .keys = 128, .causal = true, .offset = 125 },
    { .name = "128 keys, a window",
      .queries = 3,
      .keys = 128,
      .causal = true,
      .offset = 125,
      .window = 9 },
    { .name = "everything",
      .key_heads = 2,
      .additive = PER_PAIR,
      .lengths = lengths,
      .causal = true },
};

/* Who computes on the GPU. */
typedef struct ways {
    forward *forward;
    backward *backward, *additive;
} ways;

static const ways by_cudnn = { grdi_cuda_cudnn_attention, grdi_cuda_cudnn_attention_backward,
                               grdi_cuda_cudnn_attention_additive };

static void check_taken(const call *c, const ways *w)
{
    side sides[2] = { 0 };
    begin_sides(sides, c);
    expect_ok(go(&sides[0], grdi_cpu_flash_attention), c, "forward on the CPU");
    expect_ok(go(&sides[1], w->forward), c, "forward");
    compare(sides, c, OUTPUT, "output");
    compare(sides, c, LOGSUMEXP, "logsumexp");
    expect_ok(go_back(&sides[0], grdi_cpu_flash_attention_backward, false), c, "CPU's backward");
    expect_ok(go_back(&sides[1], w->backward, false), c, "backward");
    compare(sides, c, DQUERY, "dquery");
    compare(sides, c, DKEY, "dkey");
    compare(sides, c, DVALUE, "dvalue");
    if (c->additive) {
        expect_ok(go_back(&sides[0], grdi_cpu_flash_attention_additive, true), c, "the CPU's");
        expect_ok(go_back(&sides[1], w->additive, true), c, "additive");
        compare(sides, c, DADDITIVE, "dadditive");
    }
    for (int i = 0; i < 2; i++)
        end_side(&sides[i], c);
}

static void check_all(const ways *w, bool poisoned)
{
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        grd_scope *scope = grd_scope_begin();
        call c = taken[i];
        c.poisoned = poisoned;
        check_taken(&c, w);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

Test(cuda_cudnn, as_on_the_cpu)
{
    const emulated e = need_emulated();
    need_fake();
    check_all(&by_cudnn, false);
    grd_memory_trim();
    cr_assert_eq(e.held(), 0);
}

Test(cuda_cudnn, as_on_the_cpu_with_sums_in_any_order)
{
    need_fake();
    setenv("GRADUS_CUDNN_FAST", "1", 1);
    check_all(&by_cudnn, false);
}

/* A NaN behind a hidden key reaches nothing, and one that is seen all that sees it. */
Test(cuda_cudnn, as_on_the_cpu_with_a_key_that_is_nan)
{
    need_fake();
    check_all(&by_cudnn, true);
}

/* ---- Beside our own kernels ---- */

static grd_status own(grd_device *device, const grdi_flash *how, const grdi_array *output,
                      const grdi_array *logsumexp, const grdi_array *query, const grdi_array *key,
                      const grdi_array *value)
{
    return grdi_cuda_own_attention(device, how, output, logsumexp, query, key, value, NULL);
}

static grd_status own_backward(grd_device *device, const grdi_flash *how,
                               const grdi_flash_gradient *gradient, const grdi_array *query,
                               const grdi_array *key, const grdi_array *value)
{
    return grdi_cuda_own_attention_backward(device, how, gradient, query, key, value, NULL);
}

static grd_status own_additive(grd_device *device, const grdi_flash *how,
                               const grdi_flash_gradient *gradient, const grdi_array *query,
                               const grdi_array *key, const grdi_array *value)
{
    return grdi_cuda_own_attention_additive(device, how, gradient, query, key, value, NULL);
}

Test(cuda_cudnn, forward_and_our_own_backward)
{
    const ways mixed = { grdi_cuda_cudnn_attention, own_backward, own_additive };
    need_fake();
    check_all(&mixed, false);
}

Test(cuda_cudnn, our_own_forward_and_backward)
{
    const ways mixed = { own, grdi_cuda_cudnn_attention_backward,
                         grdi_cuda_cudnn_attention_additive };
    need_fake();
    check_all(&mixed, false);
}

static int64_t count_apart(const double *x, const double *y, int64_t count)
{
    int64_t apart = 0;
    for (int64_t i = 0; i < count; i++)
        apart += x[i] != y[i] && !(isnan(x[i]) && isnan(y[i]));
    return apart;
}

/* Weights that cuDNN multiplies with are rounded and ours are not, so bits tell who computed. */
static void expect_whose(const call *c, bool ours)
{
    const which results[] = { OUTPUT, DQUERY, DKEY, DVALUE };
    side sides[2] = { 0 };
    double *found[4];
    begin_sides(sides, c);
    side *s = &sides[1];
    expect_ok(go(s, grdi_cuda_cudnn_attention), c, "forward");
    expect_ok(go_back(s, grdi_cuda_cudnn_attention_backward, false), c, "backward");
    for (int i = 0; i < 4; i++)
        found[i] = read_back(s, c, results[i]);
    expect_ok(go(s, own), c, "our forward");
    expect_ok(go_back(s, own_backward, false), c, "our backward");
    for (int i = 0; i < 4; i++)
        cr_assert_eq(count_apart(found[i], read_back(s, c, results[i]), 2 * 4 * 20 * 8) == 0, ours,
                     "%s: %d", c->name, i);
}

Test(cuda_cudnn, what_is_nan_is_computed_again_by_our_own)
{
    static const call sound = { .name = "sound", .causal = true };
    static const call poisoned = { .name = "poisoned", .causal = true, .poisoned = true };
    need_fake();
    grd_scope *scope = grd_scope_begin();
    expect_whose(&sound, false);
    expect_whose(&poisoned, true);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* The fake is no kinder than cuDNN: without the search for NaN a hidden one shows. */
Test(cuda_cudnn, in_a_hurry_a_nan_behind_a_hidden_key_shows)
{
    static const call c = { .name = "poisoned", .causal = true, .poisoned = true };
    need_fake();
    setenv("GRADUS_CUDNN_FAST", "1", 1);
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &c);
    expect_ok(go(&sides[1], grdi_cuda_cudnn_attention), &c, "forward");
    cr_assert(isnan(read_back(&sides[1], &c, OUTPUT)[0]));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* The kernels that ops call: cuDNN's where it takes the call, and ours where it does not. */
Test(cuda_cudnn, is_asked_first)
{
    static const ways all = { grdi_cuda_flash_attention, grdi_cuda_flash_attention_backward,
                              grdi_cuda_flash_attention_additive };
    static const struct {
        call call;
        long graphs;
    } rows[] = {
        { { .name = "taken", .causal = true, .additive = PER_PAIR }, 3 },
        { { .name = "dropout", .dropout = 0.3 }, 0 },
        { { .name = "softcap", .softcap = 2, .additive = OF_KEYS }, 0 },
        { { .name = "its gradient of additive is not", .additive = OF_KEYS }, 2 },
        { { .name = "nor beside a mask of samples", .additive = PER_PAIR, .keep = OF_KEYS }, 2 },
        { { .name = "one query", .queries = 1 }, 0 },
    };
    const fake f = need_fake();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const long graphs = f.graphs();
        grd_scope *scope = grd_scope_begin();
        check_taken(&rows[i].call, &all);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
        cr_assert_eq(f.graphs() - graphs, rows[i].graphs, "%s", rows[i].call.name);
    }
}

/* ---- Queries that see no key ---- */

/* What a query sees no key of is 0, by the band, by lengths or by what is additive. */
Test(cuda_cudnn, blind_queries)
{
    static const call calls[] = {
        { .name = "lengths", .lengths = none, .causal = true },
        { .name = "keep", .keep = PER_PAIR },
        { .name = "additive", .additive = PER_PAIR },
    };
    need_fake();
    for (int i = 0; i < 3; i++) {
        grd_scope *scope = grd_scope_begin();
        const call *c = &calls[i];
        side sides[2] = { 0 };
        begin_sides(sides, c);
        const grd_tensor *hidden = grd_full(GRD_SHAPE(20), -INFINITY);
        const grd_tensor *half = grd_cast(hidden, GRD_F16),
                         *no = grd_cast(grd_zeros(GRD_SHAPE(20)), GRD_BOOL);
        for (int s = 0; s < 2; s++) {
            grd_device *device = sides[s].device;
            if (c->keep)
                device->upload(device, (char *)sides[s].x[KEEP].data + 60, no->array.data, 20);
            if (c->additive && s == 0)
                device->upload(device, (float *)sides[s].x[ADDITIVE].data + 60, hidden->array.data,
                               80);
            if (c->additive && s == 1)
                device->upload(device, (char *)sides[s].x[ADDITIVE].data + 120, half->array.data,
                               40);
        }
        expect_ok(go(&sides[0], grdi_cpu_flash_attention), c, "forward on the CPU");
        expect_ok(go(&sides[1], grdi_cuda_cudnn_attention), c, "forward");
        compare(sides, c, OUTPUT, "output");
        compare(sides, c, LOGSUMEXP, "logsumexp");
        const int row = c->lengths ? 0 : 3;
        cr_assert_eq(read_back(&sides[1], c, LOGSUMEXP)[row], -INFINITY);
        cr_assert_eq(read_back(&sides[1], c, OUTPUT)[row * 4 * 8], 0);
        expect_ok(go_back(&sides[0], grdi_cpu_flash_attention_backward, false), c, "the CPU's");
        expect_ok(go_back(&sides[1], grdi_cuda_cudnn_attention_backward, false), c, "backward");
        compare(sides, c, DQUERY, "dquery");
        compare(sides, c, DKEY, "dkey");
        compare(sides, c, DVALUE, "dvalue");
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}
