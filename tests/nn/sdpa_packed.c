/* Packed sequences: each is attended to as if it were alone. */
#include "autograd/node.h"
#include "tests/counter.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { COUNT = 4, TQ = 14, TK = 17, H = 2, HQ = 4, D = 5, DV = 3 };

static const int64_t of_q[COUNT + 1] = { 0, 3, 3, 10, 14 };
static const int64_t of_k[COUNT + 1] = { 0, 5, 9, 9,
                                         17 }; /* the second has no queries, the third no keys */

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(23);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(sdpa_packed, .init = begin, .fini = end);

static grd_tensor *starts(const int64_t *values)
{
    return grd_from_i64(values, COUNT + 1, GRD_SHAPE(COUNT + 1));
}

/* Rows of one sequence as (H, n, D). */
static grd_tensor *sequence(const grd_tensor *x, const int64_t *at)
{
    return grd_transpose(grd_slice(x, 0, at[0], at[1], 1), 0, 1);
}

/* By a call for each sequence. */
static grd_tensor *apart(const grd_tensor *const x[3], const grd_sdpa_options *options)
{
    const grd_tensor *parts[COUNT];
    for (int b = 0; b < COUNT; b++) {
        const grd_tensor *y = grd_sdpa(sequence(x[0], of_q + b), sequence(x[1], of_k + b),
                                       sequence(x[2], of_k + b), options)
                                  .output;
        parts[b] = grd_transpose(y, 0, 1);
    }
    return grd_cat((grd_list){ COUNT, parts }, 0);
}

static void expect_as_apart(const grd_sdpa_options *options, double allowed, bool flash)
{
    const grd_tensor *x[] = { grd_require_grad(grd_randn(rng, GRD_SHAPE(TQ, HQ, D))),
                              grd_require_grad(grd_randn(rng, GRD_SHAPE(TK, H, D))),
                              grd_require_grad(grd_randn(rng, GRD_SHAPE(TK, H, DV))) };
    const grd_tensor *y =
        grd_sdpa_packed(x[0], x[1], x[2], starts(of_q), starts(of_k), options).output;
    cr_assert(y, "%s", grd_error_message());
    cr_assert_eq(strcmp(grdi_history(y)->derivative->op, "flash_attention") == 0, flash);
    const grd_tensor *wanted = apart(x, options);
    expect_close(y, wanted, allowed);
    grd_tensor *dx[3], *wanted_dx[3];
    const grd_tensor *dy = grd_randn(rng, grd_tensor_shape(y));
    const grd_grad_options how = { .gradients = GRD_LIST(dy) };
    grd_grad(GRD_LIST(y), GRD_LIST(x[0], x[1], x[2]), &how, dx);
    grd_grad(GRD_LIST(wanted), GRD_LIST(x[0], x[1], x[2]), &how, wanted_dx);
    for (int i = 0; i < 3; i++)
        expect_close(dx[i], wanted_dx[i], allowed);
}

static int masks_of(grd_mask masks[5])
{
    masks[0] = (grd_mask){ 0 };
    masks[1] = (grd_mask){ .causal = true, .align = GRD_ALIGN_TOP_LEFT };
    masks[2] = (grd_mask){ .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT };
    masks[3] = (grd_mask){ .window_left = GRD_SET(1),
                           .window_right = GRD_SET(2),
                           .align = GRD_ALIGN_BOTTOM_RIGHT };
    masks[4] = (grd_mask){ .causal = true, .align = GRD_ALIGN_OFFSET, .offset = 1 };
    return 5;
}

Test(sdpa_packed, is_each_sequence_by_itself)
{
    grd_mask masks[5];
    const int count = masks_of(masks);
    for (int i = 0; i < count; i++) {
        grd_sdpa_options o = { .mask = masks[i], .scale = GRD_SET(-0.7) };
        expect_as_apart(&o, 1e-6, true);
        o.softcap = 1.5;
        expect_as_apart(&o, 1e-6, true);
        o.composed = true;
        expect_as_apart(&o, 1e-6, false);
    }
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    for (int i = 0; i < count; i++) {
        grd_sdpa_options o = { .mask = masks[i], .strict = true };
        expect_as_apart(&o, 1e-13, true);
        o.strict = false;
        o.composed = true;
        expect_as_apart(&o, 1e-13, false);
    }
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
}

static grd_tensor *flash(const grd_tensor *const *x, void *user)
{
    const grd_sdpa_options o = { .mask = *(const grd_mask *)user, .strict = true };
    return grd_sdpa_packed(x[0], x[1], x[2], x[3], x[4], &o).output;
}

static grd_tensor *composed(const grd_tensor *const *x, void *user)
{
    const grd_sdpa_options o = { .mask = *(const grd_mask *)user, .composed = true };
    return grd_sdpa_packed(x[0], x[1], x[2], x[3], x[4], &o).output;
}

Test(sdpa_packed, gradients_are_right_to_the_second_order)
{
    grd_mask masks[5];
    const int count = masks_of(masks);
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    const grd_list inputs =
        GRD_LIST(grd_randn(rng, GRD_SHAPE(TQ, HQ, D)), grd_randn(rng, GRD_SHAPE(TK, H, D)),
                 grd_randn(rng, GRD_SHAPE(TK, H, DV)), starts(of_q), starts(of_k));
    for (int i = 0; i < count; i++)
        for (int kernel = 0; kernel < 2; kernel++) {
            const grd_function f = kernel ? composed : flash;
            const grd_gradcheck_report first = grd_gradcheck(f, &masks[i], inputs, NULL);
            cr_assert(first.passed, "mask %d: %s", i, first.text);
            const grd_gradcheck_report second = grd_gradgradcheck(f, &masks[i], inputs, NULL);
            cr_assert(second.passed, "mask %d: %s", i, second.text);
        }
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
}

Test(sdpa_packed, equals_a_padded_batch)
{
    enum { B = 3, T = 6, E = 8 };
    static const int64_t lengths[B] = { 6, 2, 5 }, at[B + 1] = { 0, 6, 8, 13 };
    const grd_tensor *padded = grd_randn(rng, GRD_SHAPE(B, H, T, E)), *parts[B];
    for (int b = 0; b < B; b++)
        parts[b] = grd_transpose(grd_slice(grd_select(padded, 0, b), 1, 0, lengths[b], 1), 0, 1);
    const grd_tensor *packed = grd_cat((grd_list){ B, parts }, 0);
    const grd_tensor *cuts = grd_from_i64(at, B + 1, GRD_SHAPE(B + 1));
    const grd_tensor *y = grd_sdpa_packed(packed, packed, packed, cuts, cuts,
                                          &(grd_sdpa_options){ .mask.causal = true })
                              .output;
    const grd_sdpa_options options = {
        .mask = { .causal = true, .key_lengths = grd_from_i64(lengths, B, GRD_SHAPE(B)) }
    };
    const grd_tensor *wanted = grd_sdpa(padded, padded, padded, &options).output;
    for (int b = 0; b < B; b++)
        expect_close(grd_slice(y, 0, at[b], at[b + 1], 1),
                     grd_transpose(grd_slice(grd_select(wanted, 0, b), 1, 0, lengths[b], 1), 0, 1),
                     1e-6);
}

Test(sdpa_packed, queries_without_keys_are_zero_and_counted)
{
    const grd_tensor *q = grd_randn(rng, GRD_SHAPE(TQ, HQ, D)),
                     *k = grd_randn(rng, GRD_SHAPE(TK, H, D));
    for (int kernel = 0; kernel < 2; kernel++) {
        grd_scope *inner = grd_scope_begin();
        const grd_sdpa_options o = { .strict = !kernel, .composed = kernel };
        const grd_tensor *y = grd_sdpa_packed(q, k, k, starts(of_q), starts(of_k), &o).output;
        cr_assert_eq(grd_item(grd_sum(grd_abs(grd_slice(y, 0, of_q[2], of_q[3], 1)))), 0);
        cr_assert_eq(grd_masked_rows(inner), 7 * HQ);
        cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
    }
}

/* ---- Bad input ---- */

typedef struct call {
    const grd_tensor *x[3], *starts_q, *starts_k;
    grd_sdpa_options o;
} call;

static grd_tensor *cuts(int64_t a, int64_t b, int64_t c)
{
    return grd_from_i64((int64_t[]){ a, b, c }, 3, GRD_SHAPE(3));
}

static call right(void)
{
    return (call){ { grd_ones(GRD_SHAPE(6, 4, 3)), grd_ones(GRD_SHAPE(6, 2, 3)),
                     grd_ones(GRD_SHAPE(6, 2, 5)) },
                   cuts(0, 2, 6),
                   cuts(0, 2, 6),
                   { .scale = { 0 } } };
}

static void expect_refused(const call *c, grd_status status, const char *message)
{
    cr_assert_null(
        grd_sdpa_packed(c->x[0], c->x[1], c->x[2], c->starts_q, c->starts_k, &c->o).output, "%s",
        message);
    expect_error(status, message);
}

#define REFUSED(change, status, message)                                                           \
    do {                                                                                           \
        call c = right();                                                                          \
        change;                                                                                    \
        expect_refused(&c, GRD_ERROR_##status, message);                                           \
    } while (0)

Test(sdpa_packed, bad_input_is_named)
{
    REFUSED(c.x[1] = NULL, ARGUMENT, "sdpa_packed: an argument is NULL");
    REFUSED(c.starts_k = NULL, ARGUMENT, "sdpa_packed: an argument is NULL");
    REFUSED(c.x[0] = grd_ones(GRD_SHAPE(1, 6, 4, 3)), SHAPE, "no batch dimension, tokens first");
    REFUSED(c.x[0] = grd_ones(GRD_SHAPE(6, 3, 3)), SHAPE,
            "3 query heads are no multiple of 2 key heads");
    REFUSED(c.x[1] = grd_ones(GRD_SHAPE(6, 2, 4)), SHAPE, "head sizes differ");
    REFUSED(c.x[2] = grd_ones(GRD_SHAPE(5, 2, 4)), SHAPE, "every key has one value");
    REFUSED(c.x[2] = grd_cast(c.x[2], GRD_F64), DTYPE, "dtypes differ: query is f32, value is f64");
    REFUSED(c.x[0] = grd_cast(c.x[0], GRD_I64), DTYPE, "query is i64, expected a floating type");
    REFUSED(c.starts_q = grd_ones(GRD_SHAPE(3)), DTYPE, "starts_q is f32, expected i64");
    REFUSED(c.starts_q = grd_from_i64((int64_t[]){ 0 }, 1, GRD_SHAPE(1)), SHAPE,
            "starts_q is [1], expected (B + 1)");
    REFUSED(c.starts_q = grd_from_i64((int64_t[]){ 0, 6 }, 2, GRD_SHAPE(2)), SHAPE,
            "starts_q is [2] and starts_k [3]");
    REFUSED(c.starts_q = cuts(1, 2, 6), ARGUMENT, "starts_q[0] is 1, expected 0");
    REFUSED(c.starts_k = cuts(0, 7, 6), ARGUMENT, "starts_k[2] is 6, less than 7 before it");
    REFUSED(c.starts_k = cuts(0, 2, 5), ARGUMENT, "starts_k ends with 5, but there are 6 rows");
    REFUSED(c.o.weights = GRD_PER_HEAD, ARGUMENT, "weights has no meaning for packed sequences");
    REFUSED(c.o.logsumexp = true, ARGUMENT, "logsumexp has no meaning");
    REFUSED(c.o.mask.additive = grd_ones(GRD_SHAPE(2)), ARGUMENT, "mask.additive has no meaning");
    REFUSED(c.o.mask.key_lengths = cuts(1, 2, 3), ARGUMENT, "mask.key_lengths has no meaning");
    REFUSED(c.o.mask.align = GRD_ALIGN_KEY_LENGTHS, ARGUMENT, "say GRD_ALIGN_BOTTOM_RIGHT");
    REFUSED(c.o.dropout = 2, ARGUMENT, "dropout is 2, expected 0 <= dropout < 1");
    REFUSED((c.o.composed = true, c.o.strict = true), ARGUMENT,
            "composed asks for the kernel that strict forbids");
    REFUSED((c.starts_k = cuts(0, 3, 6), c.o.mask.causal = true), ARGUMENT,
            "mask.align is not stated, and 2 queries over 3 keys have no one diagonal");
}

/* ---- Memory ---- */

static grd_status run_packed(bool strict)
{
    grd_scope *own = grd_scope_begin();
    const grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(6, 2, 3)));
    const grd_sdpa_options o = { .mask.causal = true, .strict = strict, .composed = !strict };
    grd_backward(grd_sum(grd_sdpa_packed(x, x, x, cuts(0, 2, 6), cuts(0, 2, 6), &o).output));
    return grd_scope_end(own);
}

static grd_status run_flash(void)
{
    return run_packed(true);
}

static grd_status run_composed(void)
{
    return run_packed(false);
}

Test(sdpa_packed_memory, fails_cleanly_at_every_allocation)
{
    fail_at_every_allocation(run_flash, 10);
    fail_at_every_allocation(run_composed, 10);
}
