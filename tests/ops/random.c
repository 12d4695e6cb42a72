/* The references have a Philox of their own: they check which numbers are drawn, not only how they
 * are spread. */
#include "tests/op_cases.h"

#include <math.h>

enum { SEED = 42 };

/* Philox4x32-10 with key SEED: word i % 4 of block i / 4. */
static uint32_t word(long i, uint32_t lane)
{
    uint32_t c[4] = { (uint32_t)(i / 4), 0, lane, 0 }, k[2] = { SEED, 0 };
    for (int round = 0; round < 10; round++) {
        const uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
        const uint32_t next[4] = { (uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                                   (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a };
        for (int j = 0; j < 4; j++)
            c[j] = next[j];
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return c[i % 4];
}

static void uniform_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = word(i, 0) / 4294967296. + floor(word(i, 1) / 2048.) / 9007199254740992.;
}

static grd_tensor *run_uniform(const grd_tensor *const x[])
{
    return grd_rand(grd_rng_create(SEED), grd_tensor_shape(x[0]));
}

static void normal_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++) {
        const double radius = sqrt(-2 * log((word(i / 2 * 2, 0) + 1.) / 4294967296.));
        const double angle = 2 * acos(-1) * word(i / 2 * 2 + 1, 0) / 4294967296.;
        y->value[i] = radius * (i % 2 ? sin(angle) : cos(angle));
    }
}

static grd_tensor *run_normal(const grd_tensor *const x[])
{
    return grd_randn(grd_rng_create(SEED), grd_tensor_shape(x[0]));
}

static void dropout_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = word(i, 0) / 4294967296. < 0.4 ? 0 : x[0].value[i] / 0.6;
}

static grd_tensor *run_dropout(const grd_tensor *const x[])
{
    return grd_dropout(x[0], 0.4, grd_rng_create(SEED));
}

static void same_reference(const plain x[], plain *y)
{
    *y = x[0];
}

static grd_tensor *run_dropout_of_nothing(const grd_tensor *const x[])
{
    return grd_dropout(x[0], 0, grd_rng_create(SEED));
}

static grd_tensor *run_dropout_of_all(const grd_tensor *const x[])
{
    return grd_dropout(x[0], 1, grd_rng_create(SEED));
}

static grd_tensor *run_dropout_without(const grd_tensor *const x[])
{
    return grd_dropout(x[0], 0.5, NULL);
}

static grd_tensor *run_rand_without(const grd_tensor *const x[])
{
    return grd_rand(NULL, grd_tensor_shape(x[0]));
}

/* clang-format off */
static const op_case cases[] = {
    { "rand", "uniform", run_uniform, uniform_reference, 1, { S2(3, 7) }, .no_derivative = true },
    { "rand of none", "uniform", run_uniform, uniform_reference, 1, { S2(3, 0) }, .no_derivative = true },
    { "randn", "normal", run_normal, normal_reference, 1, { S2(3, 7) }, .no_derivative = true },
    { "randn of one", "normal", run_normal, normal_reference, 1, { S0 }, .no_derivative = true },
    { "dropout", "dropout", run_dropout, dropout_reference, 1, { S2(3, 7) } },
    { "dropout of none", "dropout", run_dropout, dropout_reference, 1, { S2(0, 7) } },
    { "dropout, p 0", "dropout", run_dropout_of_nothing, same_reference, 1, { S2(3, 7) } },
};

static const bad_case bad[] = {
    { "dropout: p is 1, not in [0, 1)", run_dropout_of_all, { S1(2) } },
    { "dropout: an argument is NULL", run_dropout_without, { S1(2) } },
    { "rand: an argument is NULL", run_rand_without, { S1(2) } },
};
/* clang-format on */

const op_family random_family = OP_FAMILY(cases, bad);
