/* Random options: attention in f32, which takes the fused kernel where it can, against f64, which
 * keeps the weights. */
#include "nn/attention.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { CASES = 400 };

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

/* Inputs in f64; each precision gets a copy. */
typedef struct problem {
    grd_tensor *x[4]; /* query, key, value, additive or NULL */
    grd_tensor *dy;
    grd_sdpa_options o;
    bool bias_gradient;
} problem;

static const int64_t lengths[] = { 1, 2, 7, 16, 31, 33, 64, 70, 129 };
static const int64_t sizes[] = { 1, 3, 8, 16, 20, 33 };

static void choose_band(grd_mask *mask, int64_t queries, int64_t keys)
{
    mask->causal = one_in(2);
    if (one_in(3))
        mask->window_left = (grd_maybe_int){ pick(keys + 1), true };
    if (one_in(3))
        mask->window_right = (grd_maybe_int){ pick(keys + 1), true };
    mask->align = (grd_align)(1 + pick(4));
    if (mask->align == GRD_ALIGN_OFFSET)
        mask->offset = pick(queries + keys) - queries;
}

static grd_tensor *truths(grd_rng *rng, grd_shape shape, double likely)
{
    return grd_lt_scalar(grd_rand(rng, shape), likely);
}

static grd_tensor *key_lengths(int64_t batch, int64_t keys)
{
    int64_t values[3];
    for (int64_t b = 0; b < batch; b++)
        values[b] = pick(keys + 1);
    return grd_from_i64(values, batch, GRD_SHAPE(batch));
}

/* Some of the sizes, the others 1. */
static grd_shape stretched(int64_t batch, int64_t heads, int64_t queries, int64_t keys)
{
    return GRD_SHAPE(one_in(2) ? batch : 1, one_in(2) ? heads : 1, one_in(2) ? queries : 1,
                     one_in(3) ? 1 : keys);
}

static problem choose(grd_rng *rng)
{
    const int64_t batch = 1 + pick(3), shared = 1 + pick(3), heads = shared * (1 + pick(2));
    const int64_t queries = lengths[pick(9)], keys = one_in(2) ? queries : lengths[pick(9)];
    const int64_t size = sizes[pick(6)], value_size = sizes[pick(6)];
    problem p = { { grd_randn(rng, GRD_SHAPE(batch, heads, queries, size)),
                    grd_randn(rng, GRD_SHAPE(batch, shared, keys, size)),
                    grd_randn(rng, GRD_SHAPE(batch, shared, keys, value_size)) },
                  grd_randn(rng, GRD_SHAPE(batch, heads, queries, value_size)) };
    grd_mask *mask = &p.o.mask;
    choose_band(mask, queries, keys);
    if (one_in(3) || mask->align == GRD_ALIGN_KEY_LENGTHS)
        mask->key_lengths = key_lengths(batch, keys);
    if (one_in(4))
        mask->attend = truths(rng, stretched(batch, heads, queries, keys), 0.8);
    if (one_in(4))
        mask->ignore = truths(rng, stretched(batch, heads, queries, keys), 0.2);
    if (one_in(4))
        mask->key_ignore = truths(rng, GRD_SHAPE(batch, keys), 0.2);
    if (one_in(3)) {
        const grd_shape shape = stretched(batch, heads, queries, keys);
        const grd_tensor *hidden = truths(rng, shape, one_in(2) ? 0.2 : 0);
        p.x[3] = grd_masked_fill(grd_randn(rng, shape), hidden, -INFINITY);
    }
    p.bias_gradient = one_in(2);
    if (one_in(3))
        p.o.scale = (grd_maybe_real){ (double)(pick(200) - 100) / 100, true };
    if (one_in(6))
        p.o.softcap = 2;
    if (one_in(3))
        p.o.weights = GRD_PER_HEAD;
    return p;
}

/* Output, weights or NULL, and the gradients of the four inputs. */
typedef struct solution {
    const grd_tensor *at[6];
    bool fused;
} solution;

static solution solve(const problem *p, grd_dtype dtype)
{
    grd_tensor *x[4] = { NULL };
    grd_sdpa_options o = p->o;
    for (int i = 0; i < 4; i++)
        x[i] = p->x[i] ? grd_cast(p->x[i], dtype) : NULL;
    for (int i = 0; i < (p->x[3] && p->bias_gradient ? 4 : 3); i++)
        grd_require_grad(x[i]);
    o.mask.additive = x[3];
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], &o);
    const grd_tensor *dy = grd_cast(p->dy, dtype);
    solution s = { { a.output, a.weights } };
    s.fused = a.output && strcmp(grdi_history(a.output)->derivative->op, "flash_attention") == 0;
    grd_backward_with(a.output, &(grd_backward_options){ .gradient = dy });
    for (int i = 0; i < 4; i++)
        s.at[2 + i] = grd_tensor_grad(x[i]);
    return s;
}

static void expect_near(const grd_tensor *narrow, const grd_tensor *wide, int number, int which)
{
    static const char *const names[] = { "output", "weights", "dquery",
                                         "dkey",   "dvalue",  "dadditive" };
    cr_assert_eq(narrow != NULL, wide != NULL, "case %d: %s", number, names[which]);
    if (!wide)
        return;
    const double scale = 1 + grd_item(grd_max(grd_abs(wide)));
    const double error = grd_item(grd_max(grd_abs(grd_sub(grd_cast(narrow, GRD_F64), wide))));
    cr_assert(error <= 1e-5 * scale, "case %d: %s is %g off of %g", number, names[which], error,
              scale);
}

Test(sdpa_sweep, one_meaning_on_every_path)
{
    int fused = 0;
    for (int number = 0; number < CASES; number++) {
        grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
        state = (unsigned)number;
        const problem p = choose(grd_rng_create((uint64_t)number));
        const solution narrow = solve(&p, GRD_F32), wide = solve(&p, GRD_F64);
        fused += narrow.fused;
        cr_assert_not(wide.fused);
        for (int i = 0; i < 6; i++)
            expect_near(narrow.at[i], wide.at[i], number, i);
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "case %d: %s", number, grd_error_message());
    }
    cr_assert(fused > CASES / 2 && fused < CASES, "%d fused", fused);
}
