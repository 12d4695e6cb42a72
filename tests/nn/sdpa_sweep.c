/* Random options: attention in f64 by the kernel that keeps the weights is the truth; what the
 * other kernel makes of it, and both in f32. A case is its number: TEST_SWEEP="FIRST COUNT" runs
 * others. */
#include "autograd/node.h"
#include "tests/nn/attention_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TESTS = 4, CASES = 600 }; /* of each test */

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

/* Inputs in f64; each path gets a copy. */
typedef struct random_case {
    problem p;
    grd_tensor *additive; /* or NULL */
    bool mask_gradient;
    grd_sdpa_options o;
    uint64_t seed;
} random_case;

static const int64_t lengths[] = { 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 70, 129 };
static const int64_t sizes[] = { 1, 2, 3, 8, 16, 20, 33 };

static int64_t pick_length(void)
{
    return lengths[pick(one_in(4) ? 14 : 9)];
}

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

static grd_tensor *truths(grd_shape shape, double likely)
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
static grd_shape stretched(problem_size s)
{
    return GRD_SHAPE(one_in(2) ? s.batch : 1, one_in(2) ? s.heads : 1, one_in(2) ? s.queries : 1,
                     one_in(3) ? 1 : s.keys);
}

/* x, or a view of the same numbers whose memory lies otherwise. */
static grd_tensor *any_strides(grd_tensor *x)
{
    if (one_in(3))
        return grd_transpose(grd_contiguous(grd_transpose(x, 1, 2)), 1, 2);
    return one_in(4) ? grd_transpose(grd_contiguous(grd_transpose(x, 2, 3)), 2, 3) : x;
}

static void choose_mask(random_case *c, problem_size s)
{
    grd_mask *mask = &c->o.mask;
    choose_band(mask, s.queries, s.keys);
    if (one_in(3) || mask->align == GRD_ALIGN_KEY_LENGTHS)
        mask->key_lengths = key_lengths(s.batch, s.keys);
    if (one_in(4))
        mask->attend = any_strides(truths(stretched(s), 0.8));
    if (one_in(4))
        mask->ignore = any_strides(truths(stretched(s), 0.2));
    if (one_in(4))
        mask->key_ignore = truths(GRD_SHAPE(s.batch, s.keys), 0.2);
    if (one_in(3)) {
        const grd_shape shape = stretched(s);
        const grd_tensor *hidden = truths(shape, one_in(2) ? 0.2 : 0);
        c->additive = any_strides(grd_masked_fill(grd_randn(rng, shape), hidden, -INFINITY));
        c->mask_gradient = one_in(2);
    }
}

static random_case choose(unsigned number)
{
    state = number;
    rng = grd_rng_create(number);
    problem_size s = { .batch = 1 + pick(3), .shared = 1 + pick(3) };
    s.heads = s.shared * (1 + pick(2));
    s.queries = pick_length();
    s.keys = one_in(2) ? s.queries : pick_length();
    s.size = sizes[pick(7)];
    s.value_size = sizes[pick(7)];
    random_case c = { .p = problem_of(s), .seed = number };
    grd_tensor **inputs[] = { &c.p.q, &c.p.k, &c.p.v, &c.p.dy };
    for (int i = 0; i < 4; i++)
        *inputs[i] = any_strides(*inputs[i]);
    choose_mask(&c, s);
    if (one_in(3))
        c.o.scale = (grd_maybe_real){ (double)(pick(200) - 100) / 100, true };
    if (one_in(5))
        c.o.softcap = 2;
    if (one_in(5))
        c.o.dropout = 0.3;
    if (one_in(3))
        c.o.weights = one_in(2) ? GRD_PER_HEAD : GRD_AVERAGED;
    c.o.logsumexp = one_in(4);
    return c;
}

/* ---- Solving ---- */

enum { RESULTS = 8 };
static const char *const names[RESULTS] = {
    "output", "weights", "logsumexp", "dquery", "dkey", "dvalue", "dadditive", "second derivatives"
};

/* What comes out, NULL where it was not asked for. */
typedef struct outcome {
    const grd_tensor *at[RESULTS];
    bool flash;
} outcome;

static bool is_flash(const grd_tensor *output)
{
    const grdi_node *node = grdi_history(output);
    while (strcmp(node->op, "reshape") == 0 || strcmp(node->op, "squeeze") == 0)
        node = node->inputs[0];
    return strcmp(node->op, "flash_attention") == 0;
}

/* The derivatives of the gradients' squares, end to end. */
static const grd_tensor *second(const grd_tensor *y, const grd_tensor *dy, grd_list inputs)
{
    grd_tensor *first[4] = { NULL }, *after[4] = { NULL };
    const grd_grad_options create = { .create_graph = true, .allow_unused = true };
    const grd_grad_options unused = { .allow_unused = true };
    const grd_tensor *loss = grd_sum(grd_mul(y, dy)), *flat[4], *squares = grd_zeros(GRD_SCALAR);
    grd_grad(GRD_LIST(loss), inputs, &create, first);
    for (int64_t i = 0; i < inputs.count; i++)
        squares = grd_add(squares, grd_sum(grd_square(first[i])));
    grd_grad(GRD_LIST(squares), inputs, &unused, after);
    for (int64_t i = 0; i < inputs.count; i++)
        flat[i] = after[i] ? grd_reshape(after[i], GRD_SHAPE(-1)) : grd_zeros(GRD_SHAPE(1));
    return grd_cat((grd_list){ inputs.count, flat }, 0);
}

static bool wants_second(const random_case *c)
{
    return c->seed % 8 == 0 && grd_tensor_size(c->p.q, 2) * grd_tensor_size(c->p.k, 2) < 1000;
}

static outcome solve_on(const random_case *c, const attention_path *on)
{
    path = on;
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = on->dtype });
    grd_tensor *x[4] = { grd_cast(c->p.q, on->dtype), grd_cast(c->p.k, on->dtype),
                         grd_cast(c->p.v, on->dtype),
                         c->additive ? grd_cast(c->additive, on->dtype) : NULL };
    const int count = c->mask_gradient ? 4 : 3;
    for (int i = 0; i < count; i++)
        x[i] = grd_require_grad(grd_detach(x[i]));
    grd_sdpa_options o = c->o;
    o.mask.additive = x[3];
    o.rng = grd_rng_create(c->seed);
    o = of_path(&o);
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], &o);
    cr_assert(a.output, "case %d, %s: %s", (int)c->seed, on->name, grd_error_message());
    const grd_tensor *dy = grd_cast(c->p.dy, on->dtype);
    outcome r = { { a.output, a.weights, a.logsumexp }, is_flash(a.output) };
    grd_backward_with(a.output, &(grd_backward_options){ .gradient = dy, .retain_graph = true });
    for (int i = 0; i < count; i++)
        r.at[3 + i] = grd_tensor_grad(x[i]);
    if (wants_second(c))
        r.at[7] = second(a.output, dy, (grd_list){ count, (const grd_tensor *const *)x });
    for (int i = 0; i < RESULTS; i++)
        r.at[i] = r.at[i] ? grd_keep((grd_tensor *)r.at[i]) : NULL;
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "case %d, %s: %s", (int)c->seed, on->name,
                 grd_error_message());
    return r;
}

static void release(const outcome *r)
{
    for (int i = 0; i < RESULTS; i++)
        if (r->at[i])
            grd_release((grd_tensor *)r->at[i]);
}

/* ---- Comparing ---- */

/* Of |x - truth| what the largest is, where both are finite; infinities must be the same. */
static double distance(const grd_tensor *x, const grd_tensor *truth)
{
    const grd_tensor *wide = grd_cast(grd_detach(x), GRD_F64), *real = grd_detach(truth);
    const grd_tensor *off = grd_abs(grd_sub(wide, grd_cast(real, GRD_F64)));
    return grd_item(grd_max(grd_masked_fill(off, grd_eq(wide, grd_cast(real, GRD_F64)), 0)));
}

static double largest(const grd_tensor *x)
{
    const grd_tensor *size = grd_abs(grd_cast(grd_detach(x), GRD_F64));
    return grd_item(grd_max(grd_masked_fill(size, grd_eq_scalar(size, INFINITY), 0)));
}

/* What rounding is relative to: gradients are differences of products that may be as large as any.
 */
static double size_of(const outcome *truth)
{
    double most = 0;
    for (int i = 0; i < RESULTS - 1; i++)
        most = truth->at[i] ? fmax(most, largest(truth->at[i])) : most;
    return most;
}

/* Within atol + rtol times the size of the truth. */
static void expect_near(const outcome *x, const outcome *truth, const attention_path *of,
                        const random_case *c, double atol, double rtol)
{
    const double size = size_of(truth);
    for (int i = 0; i < RESULTS; i++) {
        cr_assert_eq(x->at[i] != NULL, truth->at[i] != NULL, "case %d: %s", (int)c->seed, names[i]);
        if (!x->at[i])
            continue;
        /* Squares of gradients, differentiated. */
        const double allowed =
            i == 7 ? 20 * (atol + rtol * largest(truth->at[7])) * (1 + size) : atol + rtol * size;
        const double off = distance(x->at[i], truth->at[i]);
        cr_assert(off <= allowed, "case %d, %s: %s is %g off, %g allowed", (int)c->seed, of->name,
                  names[i], off, allowed);
    }
}

static void check(unsigned number)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    const random_case c = choose(number);
    outcome r[4];
    for (int i = 0; i < 4; i++)
        r[i] = solve_on(&c, &attention_paths[i]);
    cr_assert_not(r[1].flash || r[3].flash);
    cr_assert(r[0].flash && r[2].flash, "case %u", number);
    expect_near(&r[0], &r[3], &attention_paths[0], &c, 1e-5, 1e-5);
    expect_near(&r[1], &r[3], &attention_paths[1], &c, 1e-5, 1e-5);
    expect_near(&r[2], &r[3], &attention_paths[2], &c, 1e-12, 1e-12);
    expect_near(&r[0], &r[1], &attention_paths[0], &c, 1.25e-5, 5.25e-6);
    for (int i = 0; i < 4; i++)
        release(&r[i]);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "case %u: %s", number, grd_error_message());
}

static void sweep(int part)
{
    int first = part * CASES, count = CASES;
    const char *given = getenv("TEST_SWEEP");
    if (given && sscanf(given, "%d %d", &first, &count) == 2) {
        count /= TESTS;
        first += part * count;
    }
    for (int i = 0; i < count; i++)
        check((unsigned)(first + i));
}

Test(sdpa_sweep, one_meaning_on_every_path_0)
{
    sweep(0);
}

Test(sdpa_sweep, one_meaning_on_every_path_1)
{
    sweep(1);
}

Test(sdpa_sweep, one_meaning_on_every_path_2)
{
    sweep(2);
}

Test(sdpa_sweep, one_meaning_on_every_path_3)
{
    sweep(3);
}
