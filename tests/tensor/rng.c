#include "tensor/rng.h"
#include "tensor/cpu/loops.h"
#include "tensor/philox.h"
#include <gradus/gradus.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Random123's kat_vectors: counter, key, result. */
static const struct {
    uint32_t counter[4], key[2], result[4];
} known[] = {
    { { 0 }, { 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { ~0u, ~0u, ~0u, ~0u }, { ~0u, ~0u }, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
      { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

Test(rng, philox_gives_the_published_numbers)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t block[4];
        memcpy(block, known[i].counter, sizeof block);
        grdi_philox(block, (uint64_t)known[i].key[1] << 32 | known[i].key[0]);
        cr_assert_arr_eq(block, known[i].result, sizeof block);
    }
}

Test(rng, the_loop_gives_the_same_blocks)
{
    enum { BLOCKS = 37 };
    const uint64_t key = 0x123456789abcdef0, start = 0xfffffffffffffff0;
    uint32_t words[4 * BLOCKS];
    grdi_loops_of(grd_cpu())->philox(BLOCKS, words, key, start, 1);
    for (uint64_t b = 0; b < BLOCKS; b++) {
        uint32_t block[4] = { (uint32_t)(start + b), (uint32_t)((start + b) >> 32), 1, 0 };
        grdi_philox(block, key);
        cr_assert_arr_eq(&words[4 * b], block, sizeof block);
    }
}

enum { MANY = 100003 };

static float *values_of(const grd_tensor *x)
{
    float *values = malloc(MANY * sizeof *values);
    cr_assert_eq(grd_read_f32(x, values, MANY), GRD_OK, "%s", grd_error_message());
    return values;
}

/* The mean of (x - shift)^power, and that it is `expected` within 5 standard errors. */
static void expect_moment(const float *x, double shift, int power, double expected,
                          double deviation)
{
    double sum = 0;
    for (int i = 0; i < MANY; i++)
        sum += pow((double)x[i] - shift, power);
    cr_assert_lt(fabs(sum / MANY - expected), 5 * deviation / sqrt(MANY), "moment %d: %g, not %g",
                 power, sum / MANY, expected);
}

/* 100 bins of [0, 1): with 99 degrees of freedom, above 160 once in 10,000 seeds. */
static void expect_even(const float *x)
{
    double counts[100] = { 0 }, chi_square = 0;
    for (int i = 0; i < MANY; i++)
        counts[(int)(x[i] * 100)]++;
    for (int b = 0; b < 100; b++)
        chi_square += pow(counts[b] - MANY / 100., 2) / (MANY / 100.);
    cr_assert(chi_square > 50 && chi_square < 160, "chi-square %g", chi_square);
}

Test(rng, numbers_are_spread_as_they_should)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(1);
    float *uniform = values_of(grd_rand(rng, GRD_SHAPE(MANY)));
    float *normal = values_of(grd_randn(rng, GRD_SHAPE(MANY)));
    float *dropped = values_of(grd_dropout(grd_ones(GRD_SHAPE(MANY)), 0.2, rng));
    for (int i = 0; i < MANY; i++)
        cr_assert(uniform[i] >= 0 && uniform[i] < 1);
    expect_even(uniform);
    expect_moment(uniform, 0.5, 1, 0, sqrt(1 / 12.));
    expect_moment(normal, 0, 1, 0, 1);
    expect_moment(normal, 0, 2, 1, sqrt(2));
    expect_moment(normal, 0, 3, 0, sqrt(15));
    expect_moment(normal, 0, 4, 3, sqrt(96));
    expect_moment(dropped, 0, 1, 1, 0.5);
    for (int i = 0; i < MANY; i++) /* Phi(x) is uniform */
        normal[i] = fminf((float)(erfc(-normal[i] / sqrt(2)) / 2), 0x1.fffffep-1f);
    expect_even(normal);
    free(uniform);
    free(normal);
    free(dropped);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* How often each of `classes` is drawn, and that it is as often as it should: chi-square with
 * classes - 1 degrees of freedom, which is beyond 5 deviations in no case that one will see. */
static void expect_classes(const grd_tensor *x, int classes, const double *probabilities)
{
    int64_t *values = malloc(MANY * sizeof *values);
    double *counts = calloc((size_t)classes, sizeof *counts), chi_square = 0;
    cr_assert_eq(grd_read_i64(x, values, MANY), GRD_OK, "%s", grd_error_message());
    for (int i = 0; i < MANY; i++) {
        cr_assert(values[i] >= 0 && values[i] < classes);
        counts[values[i]]++;
    }
    for (int c = 0; c < classes; c++) {
        const double expected = MANY * (probabilities ? probabilities[c] : 1. / classes);
        chi_square += pow(counts[c] - expected, 2) / expected;
    }
    cr_assert_lt(chi_square, classes - 1 + 5 * sqrt(2. * (classes - 1)));
    free(values);
    free(counts);
}

Test(rng, classes_are_drawn_as_often_as_they_should)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(11);
    const grd_tensor *weights = grd_from_f32((float[]){ 1, 2, 3, 4 }, 4, GRD_SHAPE(1, 4));
    const grd_tensor *drawn = grd_multinomial(rng, weights, MANY);
    expect_classes(drawn, 4, (double[]){ 0.1, 0.2, 0.3, 0.4 });
    expect_classes(grd_randint(rng, 0, 1000, GRD_SHAPE(MANY)), 1000, NULL);
    const grd_tensor *p = grd_full(GRD_SHAPE(MANY), 0.3);
    expect_classes(grd_cast(grd_bernoulli(rng, p), GRD_I64), 2, (double[]){ 0.7, 0.3 });

    /* Where the 120 orders of five lie among them. */
    int64_t orders[MANY], order[5];
    for (int i = 0; i < MANY; i++) {
        grd_scope *step = grd_scope_begin();
        cr_assert_eq(grd_read_i64(grd_randperm(rng, 5), order, 5), GRD_OK);
        orders[i] = 0;
        for (int a = 0; a < 5; a++) {
            orders[i] *= 5 - a;
            for (int b = a + 1; b < 5; b++)
                orders[i] += order[b] < order[a];
        }
        grd_scope_end(step);
    }
    expect_classes(grd_from_i64(orders, MANY, GRD_SHAPE(MANY)), 120, NULL);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(rng, integers_fill_the_widest_range)
{
    grd_scope *scope = grd_scope_begin();
    int64_t x[1000], most = INT64_MIN, least = INT64_MAX;
    grd_rng *rng = grd_rng_create(2);
    cr_assert_eq(grd_read_i64(grd_randint(rng, INT64_MIN, INT64_MAX, GRD_SHAPE(1000)), x, 1000),
                 GRD_OK);
    for (int i = 0; i < 1000; i++) {
        most = x[i] > most ? x[i] : most;
        least = x[i] < least ? x[i] : least;
    }
    cr_assert(most > INT64_MAX / 100 * 95 && least < INT64_MIN / 100 * 95);
    cr_assert_eq(grd_item(grd_randint(rng, 7, 8, GRD_SCALAR)), 7);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(rng, threads_change_no_number)
{
    grd_scope *scope = grd_scope_begin();
    float *first[5] = { NULL };
    for (int threads = 1; threads <= 4; threads *= 2) {
        grd_device_set_threads(grd_cpu(), threads);
        grd_rng *rng = grd_rng_create(5);
        float *now[] = { values_of(grd_rand(rng, GRD_SHAPE(MANY))),
                         values_of(grd_randn(rng, GRD_SHAPE(MANY))),
                         values_of(grd_dropout(grd_ones(GRD_SHAPE(MANY)), 0.5, rng)),
                         values_of(grd_bernoulli(rng, grd_rand(rng, GRD_SHAPE(MANY)))),
                         values_of(grd_cast(grd_randint(rng, -99, 99, GRD_SHAPE(MANY)), GRD_F32)) };
        for (int i = 0; i < 5; i++) {
            if (threads == 1)
                first[i] = now[i];
            cr_assert_arr_eq(now[i], first[i], MANY * sizeof(float));
            if (threads > 1)
                free(now[i]);
        }
    }
    for (int i = 0; i < 5; i++)
        free(first[i]);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* Whether two streams go on alike. */
static bool alike(grd_rng *a, grd_rng *b)
{
    float x[8], y[8];
    const bool read = grd_read_f32(grd_rand(a, GRD_SHAPE(8)), x, 8) == GRD_OK &&
                      grd_read_f32(grd_rand(b, GRD_SHAPE(8)), y, 8) == GRD_OK;
    cr_assert(read, "%s", grd_error_message());
    return memcmp(x, y, sizeof x) == 0;
}

Test(rng, a_split_is_a_stream_of_its_own)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(3);
    grd_rng *weights = grd_rng_split(rng, "weights"), *data = grd_rng_split(rng, "data");
    cr_assert_not(alike(weights, data));
    cr_assert_not(alike(grd_rng_split(rng, ""), rng));
    cr_assert_not(alike(grd_rng_split(rng, "weights"), grd_rng_split(weights, "weights")));
    cr_assert_not(alike(grd_rng_split(grd_rng_create(4), "data"), grd_rng_split(rng, "data")));
    cr_assert(alike(grd_rng_split(rng, "data"), grd_rng_split(rng, "data")));
    cr_assert_eq(rng->state.counter, 2, "only draws advance");
    cr_assert_null(grd_rng_split(rng, NULL));
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_ARGUMENT);
}

Test(rng, the_state_is_all_there_is)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(9), *resumed = grd_rng_create(0);
    grd_tensor *x = grd_randn(rng, GRD_SHAPE(5));
    cr_assert_eq(rng->state.counter, 2);
    resumed->state = rng->state;
    cr_assert(alike(rng, resumed));
    cr_assert_not_null(grd_dropout(x, 0, rng));
    cr_assert(alike(rng, resumed), "p = 0 draws nothing");

    cr_assert_null(grd_rand(rng, GRD_SHAPE(-1)));
    cr_assert_null(grd_rand(rng, GRD_SHAPE(5)), "latched");
    cr_assert_eq(grd_error_take(), GRD_ERROR_SHAPE);
    cr_assert(alike(rng, resumed), "a failure draws nothing");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
