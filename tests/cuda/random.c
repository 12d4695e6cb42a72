/* Random numbers, and what is made of nothing. The same numbers come from the same stream on both.
 */
#include "tests/cuda/twins.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Ragged: none, less than a block of words, not a multiple of one, more than all threads take. */
static const int64_t lengths[] = { 0, 1, 3, 4, 5, 4096, 40003 };
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

typedef struct drawing {
    grd_device *device;
    grd_dtype dtype;
    int64_t n;
} drawing;

/* The second draw of a stream, so that it starts past the first block. */
static grd_tensor *draw(const drawing *d, grd_tensor *(*make)(grd_rng *, const drawing *))
{
    grd_rng *rng = grd_rng_create(UINT64_C(0x123456789abcdef));
    cr_assert(grd_randint(rng, 0, 9, GRD_SHAPE(9)));
    return make(rng, d);
}

static void expect_drawn(const char *what, double allowed, const grd_dtype dtypes[], int count,
                         grd_tensor *(*make)(grd_rng *, const drawing *))
{
    const twins t = { what, NULL, NULL, allowed };
    for (int d = 0; d < count; d++)
        for (int i = 0; i < LENGTHS; i++) {
            const drawing cpu = { grd_cpu(), dtypes[d], lengths[i] };
            const drawing gpu = { grd_cuda(0), dtypes[d], lengths[i] };
            const grd_dtype made = dtypes[d] == GRD_F64 ? GRD_F64 : GRD_F32;
            grd_scope *outer = grd_scope_begin_with(&(grd_scope_options){ .dtype = made });
            const grd_tensor *expected = draw(&cpu, make);
            grd_scope *scope =
                grd_scope_begin_with(&(grd_scope_options){ .dtype = made, .device = grd_cuda(0) });
            expect_same_twins(&t, expected, draw(&gpu, make));
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", what, grd_error_message());
            cr_assert_eq(grd_scope_end(outer), GRD_OK, "%s: %s", what, grd_error_message());
        }
}

#define MAKE(name, value)                                                                          \
    static grd_tensor *name(grd_rng *rng, const drawing *d)                                        \
    {                                                                                              \
        (void)rng;                                                                                 \
        return value;                                                                              \
    }

/* Numbers from 0 to 1. The first is left out, so that they start at an odd place. */
static grd_tensor *ramp(const drawing *d)
{
    const grd_tensor *one_more = grd_cast(grd_linspace(0, 1, d->n + 1), d->dtype);
    return grd_slice(one_more, 0, 1, d->n + 1, 1);
}

MAKE(uniform, grd_rand(rng, GRD_SHAPE(d->n)))
MAKE(normal, grd_randn(rng, GRD_SHAPE(d->n)))
MAKE(integers, grd_randint(rng, -5, 1000003, GRD_SHAPE(d->n)))
MAKE(all_integers, grd_randint(rng, INT64_MIN, INT64_MAX, GRD_SHAPE(d->n)))
MAKE(coins, grd_bernoulli(rng, grd_clone(ramp(d))))
MAKE(dropped, grd_dropout(grd_clone(ramp(d)), 0.3, rng))
MAKE(unaligned, grd_dropout(ramp(d), 0.3, rng))
MAKE(counted, grd_arange(-7, -7 + 3 * d->n, 3))
MAKE(between, grd_linspace(-0.1, 12.3, d->n))

static const grd_dtype all[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16 };

Test(cuda_random, streams_are_the_same_on_both)
{
    need_gpu();
    expect_drawn("uniform", 0, all, 2, uniform);
    expect_drawn("normal", 4, all, 2, normal);
    expect_drawn("random_integers", 0, all, 1, integers);
    expect_drawn("random_integers of 64 bits", 0, all, 1, all_integers);
}

Test(cuda_random, choices_are_the_same_on_both)
{
    need_gpu();
    expect_drawn("bernoulli", 0, all, 4, coins);
    expect_drawn("dropout", 0, all, 4, dropped);
    expect_drawn("dropout, unaligned", 0, all, 4, unaligned);
}

Test(cuda_random, ranges_are_the_same_on_both)
{
    need_gpu();
    expect_drawn("arange", 0, all, 1, counted);
    expect_drawn("linspace", 2, all, 2, between);
}

enum { ROWS = 40, CLASSES = 5000, SAMPLES = 300 };

/* Every third class, and the last ones of every second row, have no weight; `zero` has none at all.
 */
static grd_tensor *weights(int64_t zero)
{
    double *values = calloc(ROWS * CLASSES, sizeof *values);
    for (int64_t i = 0; i < ROWS * CLASSES; i++)
        if (i % 3 && (i / CLASSES % 2 || i % CLASSES < 700) && i / CLASSES != zero)
            values[i] = (double)(i * 7919 % 1000) / 1000;
    grd_tensor *x = grd_from_f64(values, ROWS * CLASSES, GRD_SHAPE(ROWS, CLASSES));
    free(values);
    return x;
}

static grd_tensor *chosen(const grd_tensor *const x[], const void *user)
{
    (void)user;
    return grd_multinomial(grd_rng_create(5), x[0], SAMPLES);
}

/* More rows than blocks, more classes than a block goes over at once, fewer and more samples than
 * it has threads. */
Test(cuda_random, classes_are_the_same_on_both)
{
    static const twins t = { "multinomial", chosen, NULL, 0 };
    need_gpu();
    for (int d = 0; d < 4; d++) {
        grd_scope *scope = grd_scope_begin();
        const grd_tensor *x = grd_cast(weights(-1), all[d]);
        expect_twins(&t, GRD_LIST(x));
        expect_twins(&t, GRD_LIST(grd_slice(x, 1, 1, 4, 1)));
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}

/* No class without a weight is ever drawn. */
Test(cuda_random, weightless_classes_are_not_drawn)
{
    static int64_t drawn[ROWS * SAMPLES];
    need_gpu();
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_to_device(weights(-1), grd_cuda(0));
    const grd_tensor *y = grd_multinomial(grd_rng_create(6), x, SAMPLES);
    cr_assert_eq(grd_read_i64(y, drawn, ROWS * SAMPLES), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < ROWS * SAMPLES; i++) {
        const int64_t row = i / SAMPLES;
        cr_assert_neq((row * CLASSES + drawn[i]) % 3, 0);
        cr_assert(row % 2 || drawn[i] < 700);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(cuda_random, a_row_without_weights_is_named)
{
    need_gpu();
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_to_device(weights(37), grd_cuda(0));
    cr_assert_null(grd_multinomial(grd_rng_create(6), x, 2));
    cr_assert(strstr(grd_error_message(), "the weights of row 37 of [40, 5000] are all 0"), "%s",
              grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_ARGUMENT);
}
