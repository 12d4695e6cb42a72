/* That attention through cuDNN gives what the CPU's kernel gives: its graphs, run on the processor
 * by a fake cuDNN, and what stands around them. */
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
        cr_assert(cpu[i] == gpu[i] || fabs(cpu[i] - gpu[i]) < tolerance * (1 + fabs(cpu[i])),
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
    { .name = "keep (L, S)", .keep = PER_PAIR },
    { .name = "keep (B, 1, 1, S), causal", .keep = OF_KEYS, .causal = true },
    { .name = "grouped heads", .key_heads = 2, .causal = true },
    { .name = "one head of keys", .key_heads = 1 },
    { .name = "sizes differ", .size = 16, .value_size = 24 },
    { .name = "one query", .queries = 1 },
    { .name = "one of each", .queries = 1, .keys = 1 },
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

static void check_taken(const call *c)
{
    side sides[2] = { 0 };
    begin_sides(sides, c);
    expect_ok(go(&sides[0], grdi_cpu_flash_attention), c, "forward on the CPU");
    expect_ok(go(&sides[1], grdi_cuda_cudnn_attention), c, "forward");
    compare(sides, c, OUTPUT, "output");
    compare(sides, c, LOGSUMEXP, "logsumexp");
    expect_ok(go_back(&sides[0], grdi_cpu_flash_attention_backward, false), c, "CPU's backward");
    expect_ok(go_back(&sides[1], grdi_cuda_cudnn_attention_backward, false), c, "backward");
    compare(sides, c, DQUERY, "dquery");
    compare(sides, c, DKEY, "dkey");
    compare(sides, c, DVALUE, "dvalue");
    if (c->additive) {
        expect_ok(go_back(&sides[0], grdi_cpu_flash_attention_additive, true), c, "the CPU's");
        expect_ok(go_back(&sides[1], grdi_cuda_cudnn_attention_additive, true), c, "additive");
        compare(sides, c, DADDITIVE, "dadditive");
    }
    for (int i = 0; i < 2; i++)
        end_side(&sides[i], c);
}

static void check_all(void)
{
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        grd_scope *scope = grd_scope_begin();
        check_taken(&taken[i]);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

Test(cuda_cudnn, as_on_the_cpu)
{
    const emulated e = need_emulated();
    need_fake();
    check_all();
    grd_memory_trim();
    cr_assert_eq(e.held(), 0);
}

Test(cuda_cudnn, as_on_the_cpu_with_sums_in_any_order)
{
    need_fake();
    setenv("GRADUS_CUDNN_FAST", "1", 1);
    check_all();
}

/* Dropout draws as cuDNN does, so there are no numbers to compare with. But output is linear in
 * value, and scores in query and in key: with the same weights dropped forth and back, the sums of
 * gradient times input agree. */
static double overlap(const side *s, const call *c, which a, which b)
{
    const grd_shape shape = shape_of(c, a);
    const double *x = read_back(s, c, a), *y = read_back(s, c, b);
    double sum = 0;
    for (int64_t i = 0; i < shape.size[0] * shape.size[1] * shape.size[2] * shape.size[3]; i++)
        sum += x[i] * y[i];
    return sum;
}

Test(cuda_cudnn, dropout)
{
    static const call calls[] = {
        { .name = "dropout", .dropout = 0.3 },
        { .name = "dropout, causal, grouped heads", .dropout = 0.3, .causal = true, .key_heads = 2 }
    };
    need_fake();
    for (int i = 0; i < 2; i++) {
        grd_scope *scope = grd_scope_begin();
        const call *c = &calls[i];
        side sides[2] = { 0 };
        begin_sides(sides, c);
        side *s = &sides[1];
        expect_ok(go(s, grdi_cuda_cudnn_attention), c, "forward");
        expect_ok(go_back(s, grdi_cuda_cudnn_attention_backward, false), c, "backward");
        const double expected = overlap(s, c, DOUTPUT, OUTPUT);
        const double of_query = overlap(s, c, DQUERY, QUERY);
        cr_assert_float_eq(overlap(s, c, DVALUE, VALUE), expected, 0.02 * fabs(expected) + 0.05);
        cr_assert_float_eq(overlap(s, c, DKEY, KEY), of_query, 0.02 * fabs(of_query) + 0.05);
        const double first = expected;
        s->how.draw.counter++;
        expect_ok(go(s, grdi_cuda_cudnn_attention), c, "another draw");
        cr_assert_neq(overlap(s, c, DOUTPUT, OUTPUT), first);
        s->how.draw.counter--;
        expect_ok(go(s, grdi_cuda_cudnn_attention), c, "the same draw");
        cr_assert_eq(overlap(s, c, DOUTPUT, OUTPUT), first);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

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
