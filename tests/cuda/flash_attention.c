/* Attention's kernels for GPUs against the CPU's plain loops in f64: random options at sizes that
 * fill no tile, and what hidden rows may hold. A case is its number: TEST_FLASH="FIRST COUNT" runs
 * others. */
#include "tensor/cuda/products.h"
#include "tensor/front.h"
#include "tests/cuda/emulated.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RESULTS = 6, MOST = 1 << 18 };
static const char *const names[RESULTS] = { "output", "logsumexp", "dquery",
                                            "dkey",   "dvalue",    "dadditive" };

/* ---- Choosing ---- */

/* A small generator, so that a case is its number. */
static unsigned state;

static int64_t pick(int64_t count)
{
    state = state * 1664525u + 1013904223u;
    return (int64_t)((uint64_t)(state >> 8) * (uint64_t)count >> 24);
}

static bool one_in(int64_t n)
{
    return pick(n) == 0;
}

static int64_t pick_of(const int64_t *from, int64_t count)
{
    return from[pick(count)];
}

/* All on the CPU and in f64, of numbers that the dtype of the GPU's holds. */
typedef struct random_case {
    unsigned number;
    grd_tensor *doutput;
    grdi_flash_call call;
} random_case;

/* Numbers of `dtype`, or a view of them whose rows lie (B, T, H, D) in memory. */
static grd_tensor *numbers(grd_rng *rng, grd_shape shape, grd_dtype dtype)
{
    grd_tensor *x = grd_cast(grd_cast(grd_randn(rng, shape), dtype), GRD_F64);
    return one_in(2) ? grd_transpose(grd_contiguous(grd_transpose(x, 1, 2)), 1, 2) : x;
}

/* Some of the sizes, the others 1. */
static grd_shape stretched(grd_shape pairs)
{
    for (int d = 0; d < 4; d++)
        pairs.size[d] = one_in(2) ? 1 : pairs.size[d];
    return pairs;
}

static grd_tensor *any_strides(grd_tensor *x)
{
    return one_in(3) ? grd_transpose(grd_contiguous(grd_transpose(x, 2, 3)), 2, 3) : x;
}

/* How far a band reaches: often just beyond a tile, which is of 32 or 64. */
static int64_t pick_reach(int64_t keys)
{
    return one_in(2) ? pick(keys + 1) : 1 + 64 * pick(2);
}

static void choose_band(grdi_flash_call *c, int64_t queries, int64_t keys)
{
    c->left = one_in(2) ? pick_reach(keys) : INT64_MAX;
    c->right = one_in(2) ? 0 : one_in(2) ? pick_reach(keys) : INT64_MAX;
    c->offset = one_in(2) ? 0 : pick(queries + keys) - queries;
}

static void choose_masks(grdi_flash_call *c, grd_rng *rng, grd_shape pairs, grd_dtype dtype)
{
    if (one_in(3)) {
        int64_t lengths[2];
        for (int b = 0; b < 2; b++)
            lengths[b] = pick(pairs.size[3] + 1);
        c->lengths = grd_from_i64(lengths, pairs.size[0], GRD_SHAPE(pairs.size[0]));
        c->by_length = one_in(2);
        c->offset = c->by_length ? -pick(pairs.size[2] + 1) : c->offset;
    }
    if (one_in(3))
        c->keep = any_strides(grd_lt_scalar(grd_rand(rng, stretched(pairs)), 0.8));
    if (one_in(2)) {
        grd_tensor *added = numbers(rng, stretched(pairs), dtype);
        const grd_tensor *hidden = grd_lt_scalar(grd_rand(rng, grd_tensor_shape(added)), 0.1);
        c->additive = any_strides(one_in(2) ? added : grd_masked_fill(added, hidden, -INFINITY));
    }
}

/* A row of each that is not finite: what sees it is not either, and all else as it was. */
static void poison(random_case *c)
{
    const grd_tensor *rows[] = { c->call.query, c->call.key, c->call.value, c->doutput };
    for (int i = 0; i < 4; i++)
        if (one_in(2)) {
            const int64_t last = grd_tensor_size(rows[i], 2) - 1;
            grd_fill_(grd_select((grd_tensor *)rows[i], 2, one_in(2) ? last : pick(last + 1)),
                      one_in(4) ? INFINITY : NAN);
        }
}

static random_case choose(unsigned number, grd_dtype dtype)
{
    static const int64_t lengths[] = { 1, 2, 5, 17, 31, 63, 64, 65, 70, 130, 200 };
    static const int64_t sizes[] = { 1, 3, 8, 16, 20, 33, 64, 64, 65, 72, 128, 150, 256, 300 };
    state = number;
    grd_rng *rng = grd_rng_create(number);
    const int64_t samples = 1 + pick(2), shared = 1 + pick(2), heads = shared * (1 + pick(2));
    const int64_t queries = pick_of(lengths, 11), keys = one_in(2) ? queries : pick_of(lengths, 11);
    const int64_t size = pick_of(sizes, 14), value_size = one_in(2) ? size : pick_of(sizes, 14);
    const int64_t appended = one_in(3) ? pick(3) : 0, all = keys + appended;
    random_case c = { .number = number };
    c.call.query = numbers(rng, GRD_SHAPE(samples, heads, queries, size), dtype);
    c.call.key = numbers(rng, GRD_SHAPE(samples, shared, all, size), dtype);
    c.call.value = numbers(rng, GRD_SHAPE(samples, shared, all, value_size), dtype);
    c.doutput = numbers(rng, GRD_SHAPE(samples, heads, queries, value_size), dtype);
    c.call.scale = one_in(3) ? -0.3 : 1 / sqrt((double)size);
    c.call.softcap = one_in(4) ? 2 : 0;
    c.call.dropout = one_in(4) ? 0.3 : 0;
    c.call.draw = (grdi_draw){ 77 + number, (uint64_t)pick(1000) };
    c.call.appended = appended;
    choose_band(&c.call, queries, keys);
    choose_masks(&c.call, rng, GRD_SHAPE(samples, heads, queries, keys), dtype);
    if (one_in(3))
        poison(&c);
    return c;
}

/* ---- Computing ---- */

typedef struct results {
    double *at[RESULTS]; /* NULL where there is none */
    int64_t count[RESULTS];
} results;

/* x, whose elements are side by side, in this scope's memory, real numbers as `dtype`. */
static grd_tensor *uploaded(const grd_tensor *x, grd_dtype dtype)
{
    static double real[MOST];
    static int64_t whole[MOST];
    static bool truth[MOST];
    const int64_t count = grd_tensor_count(x);
    const grd_shape shape = grd_tensor_shape(x);
    cr_assert_leq(count, MOST);
    if (grd_tensor_dtype(x) == GRD_BOOL)
        return grd_read_bool(x, truth, count) == GRD_OK ? grd_from_bool(truth, count, shape) : NULL;
    if (grd_tensor_dtype(x) == GRD_I64)
        return grd_read_i64(x, whole, count) == GRD_OK ? grd_from_i64(whole, count, shape) : NULL;
    cr_assert_eq(grd_read_f64(x, real, count), GRD_OK);
    return grd_cast(grd_from_f64(real, count, shape), dtype);
}

/* The same, its strides in the same order. */
static const grd_tensor *moved(const grd_tensor *x, grd_dtype dtype)
{
    if (!x || grd_tensor_is_contiguous(x))
        return x ? uploaded(x, dtype) : NULL;
    const int swapped = grd_tensor_is_contiguous(grd_transpose(x, 1, 2)) ? 1 : 2;
    x = grd_contiguous(grd_transpose(x, swapped, swapped + 1));
    return grd_transpose(uploaded(x, dtype), swapped, swapped + 1);
}

static void read(results *r, int i, const grd_tensor *x)
{
    r->count[i] = grd_tensor_count(x);
    r->at[i] = malloc((size_t)(r->count[i] + 1) * sizeof(double));
    cr_assert_eq(grd_read_f64(x, r->at[i], r->count[i]), GRD_OK, "%s", grd_error_message());
}

static results compute(const random_case *c, grd_device *device, grd_dtype dtype)
{
    const grd_scope_options options = { .device = device, .dtype = GRD_F64 };
    grd_scope *scope = grd_scope_begin_with(&options);
    results r = { { NULL }, { 0 } };
    grdi_flash_call call = c->call;
    const grd_tensor **parts[] = { &call.query, &call.key,     &call.value,
                                   &call.keep,  &call.lengths, &call.additive };
    for (int i = 0; i < 6; i++)
        *parts[i] = moved(*parts[i], dtype);
    const grd_tensor *doutput = moved(c->doutput, dtype);
    grd_tensor *logsumexp, *dx[3] = { NULL };
    grd_tensor *output = grdi_flash_attention(&call, &logsumexp);
    cr_assert(output && grdi_flash_attention_backward(&call, output, logsumexp, doutput, dx),
              "case %u: %s", c->number, grd_error_message());
    read(&r, 0, output);
    read(&r, 1, logsumexp);
    for (int i = 0; i < 3; i++)
        read(&r, 2 + i, dx[i]);
    if (call.additive)
        read(&r, 5, grdi_flash_attention_additive(&call, output, logsumexp, doutput));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "case %u: %s", c->number, grd_error_message());
    return r;
}

static void release(const results *r)
{
    for (int i = 0; i < RESULTS; i++)
        free(r->at[i]);
}

/* ---- Comparing ---- */

static double largest(const double *x, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(x[i]))
            most = fmax(most, fabs(x[i]));
    return most;
}

static bool is_near(double found, double expected, double allowed)
{
    if (isnan(expected))
        return isnan(found);
    return found == expected || fabs(found - expected) <= allowed;
}

static void expect_same(const random_case *c, const char *what, const results *found,
                        const results *expected, double rtol)
{
    for (int i = 0; i < RESULTS; i++) {
        const double *x = found->at[i], *y = expected->at[i];
        cr_assert_eq(x != NULL, y != NULL);
        const double terms = i == 5 ? 8 : 1; /* a sum over all pairs that share it */
        const double allowed = terms * rtol * (1 + (y ? largest(y, expected->count[i]) : 0));
        for (int64_t e = 0; e < expected->count[i]; e++)
            cr_assert(is_near(x[e], y[e], allowed), "case %u, %s, %s[%d]: %.9g, not %.9g",
                      c->number, what, names[i], (int)e, x[e], y[e]);
    }
}

/* Of numbers that `held` holds. */
static void check_of(unsigned number, grd_dtype held, grd_dtype dtype, const char *what,
                     double rtol)
{
    grd_scope *scope = grd_scope_begin();
    const random_case c = choose(number, held);
    const results expected = compute(&c, grd_cpu(), GRD_F64);
    const results found = compute(&c, grd_cuda(0), dtype);
    expect_same(&c, what, &found, &expected, rtol);
    release(&found);
    release(&expected);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "case %u: %s", number, grd_error_message());
}

static void sweep_of(int count, grd_dtype held, grd_dtype dtype, const char *what, double rtol)
{
    int first = 0;
    const char *given = getenv("TEST_FLASH");
    need_gpu();
    if (given)
        cr_assert_eq(sscanf(given, "%d %d", &first, &count), 2);
    for (int i = 0; i < count; i++)
        check_of((unsigned)(first + i), held, dtype, what, rtol);
}

static void sweep(int count, grd_dtype dtype, const char *what, double rtol)
{
    sweep_of(count, dtype, dtype, what, rtol);
}

Test(cuda_flash_attention, f64_agrees)
{
    sweep(80, GRD_F64, "f64", 1e-13);
}

Test(cuda_flash_attention, f32_agrees)
{
    sweep(80, GRD_F32, "f32", 1e-5);
}

Test(cuda_flash_attention, f16_agrees)
{
    sweep(12, GRD_F16, "f16", 5e-3);
}

Test(cuda_flash_attention, bf16_agrees)
{
    sweep(12, GRD_BF16, "bf16", 4e-2);
}

/* By tensor cores. Of numbers that TF32 holds products are exact, and only weights and gradients of
 * scores are rounded to 11 bits, each for itself; other numbers are rounded before. */
Test(cuda_flash_attention, tf32_agrees)
{
    need_gpu();
    grdi_cuda_allow_tf32(grd_cuda(0), true);
    sweep_of(12, GRD_F16, GRD_F32, "TF32 of its numbers", 3e-3);
    sweep(4, GRD_F32, "TF32", 2e-2);
}

static grd_tensor *attend_with(const random_case *c, bool tf32)
{
    grd_device *gpu = grd_cuda(0);
    grdi_flash_call call = c->call;
    grd_tensor *logsumexp;
    call.query = grd_to_device(grd_cast(call.query, GRD_F32), gpu);
    call.key = grd_to_device(grd_cast(call.key, GRD_F32), gpu);
    call.value = grd_to_device(grd_cast(call.value, GRD_F32), gpu);
    grdi_cuda_allow_tf32(gpu, tf32);
    return grd_to_device(grdi_flash_attention(&call, &logsumexp), grd_cpu());
}

Test(cuda_flash_attention, tf32_is_asked_for)
{
    need_gpu();
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(1);
    random_case c = { 0 };
    const grd_tensor **parts[] = { &c.call.query, &c.call.key, &c.call.value };
    for (int i = 0; i < 3; i++)
        *parts[i] = grd_randn(rng, GRD_SHAPE(1, 2, 9, 16));
    c.call.scale = 0.25;
    c.call.left = c.call.right = INT64_MAX;
    const grd_tensor *plain = attend_with(&c, false), *fast = attend_with(&c, true);
    cr_assert(!grd_equal(plain, fast));
    cr_assert(grd_equal(plain, attend_with(&c, false)));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
