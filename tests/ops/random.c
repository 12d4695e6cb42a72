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

static void bernoulli_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = word(i, 0) / 4294967296. < (1 + x[0].value[i]) / 2;
}

static grd_tensor *run_bernoulli(const grd_tensor *const x[])
{
    const grd_tensor *p = grd_mul_scalar(grd_add_scalar(x[0], 1), 0.5);
    return grd_bernoulli(grd_rng_create(SEED), p);
}

/* The upper 64 bits of a product of 64 bits and less than 32. */
static double scaled(long i, uint64_t range)
{
    const uint64_t carried = (word(i, 1) * range) >> 32;
    return (double)((word(i, 0) * range + carried) >> 32);
}

static void integers_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = -3 + scaled(i, 10);
}

static grd_tensor *run_integers(const grd_tensor *const x[])
{
    return grd_randint(grd_rng_create(SEED), -3, 7, grd_tensor_shape(x[0]));
}

static void permutation_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = (double)i;
    for (long i = count_of(y) - 1; i > 0; i--) {
        const long other = (long)scaled(i, (uint64_t)i + 1);
        const double value = y->value[i];
        y->value[i] = y->value[other];
        y->value[other] = value;
    }
}

static grd_tensor *run_permutation(const grd_tensor *const x[])
{
    return grd_randperm(grd_rng_create(SEED), grd_tensor_count(x[0]));
}

enum { SAMPLES = 9 };

/* By adding up from the left until the sum is passed. */
static void multinomial_reference(const plain x[], plain *y)
{
    const long classes = x[0].size[x[0].rank - 1];
    *y = x[0];
    y->size[y->rank - 1] = SAMPLES;
    for (long i = 0; i < count_of(y); i++) {
        const double *w = &x[0].value[i / SAMPLES * classes];
        double whole = 0, sum = w[0];
        for (long c = 0; c < classes; c++)
            whole += w[c];
        const double u = word(i, 0) / 4294967296. + floor(word(i, 1) / 2048.) / 9007199254740992.;
        long chosen = 0;
        while (sum <= u * whole)
            sum += w[++chosen];
        y->value[i] = (double)chosen;
    }
}

static grd_tensor *run_multinomial(const grd_tensor *const x[])
{
    return grd_multinomial(grd_rng_create(SEED), x[0], SAMPLES);
}

/* Class 1 alone has a weight. */
static void sure_reference(const plain x[], plain *y)
{
    (void)x;
    *y = (plain){ 1, { 4 }, { 1, 1, 1, 1 } };
}

static grd_tensor *run_sure(const grd_tensor *const x[])
{
    (void)x;
    const grd_tensor *weights = grd_from_f64((double[]){ 0, 1e-300, 0 }, 3, GRD_SHAPE(3));
    return grd_multinomial(grd_rng_create(SEED), weights, 4);
}

static grd_tensor *run_no_integers(const grd_tensor *const x[])
{
    return grd_randint(grd_rng_create(SEED), 4, 4, grd_tensor_shape(x[0]));
}

static grd_tensor *run_unlikely(const grd_tensor *const x[])
{
    return grd_bernoulli(grd_rng_create(SEED), grd_add_scalar(x[0], 0.5));
}

static grd_tensor *run_integer_probability(const grd_tensor *const x[])
{
    return grd_bernoulli(grd_rng_create(SEED), grd_cast(x[0], GRD_I64));
}

static grd_tensor *run_underivable(const grd_tensor *const x[])
{
    return grd_bernoulli(grd_rng_create(SEED), grd_require_grad((grd_tensor *)x[0]));
}

static grd_tensor *run_negative_permutation(const grd_tensor *const x[])
{
    (void)x;
    return grd_randperm(grd_rng_create(SEED), -1);
}

static grd_tensor *weighted(double a, double b, double c, double d)
{
    const grd_tensor *weights = grd_from_f64((double[]){ a, b, c, d }, 4, GRD_SHAPE(2, 2));
    return grd_multinomial(grd_rng_create(SEED), weights, 3);
}

static grd_tensor *run_negative_weight(const grd_tensor *const x[])
{
    (void)x;
    return weighted(1, 2, -1, 3);
}

static grd_tensor *run_nan_weight(const grd_tensor *const x[])
{
    (void)x;
    return weighted(1, NAN, 1, 3);
}

static grd_tensor *run_infinite_weight(const grd_tensor *const x[])
{
    (void)x;
    return weighted(1, 1, 1, INFINITY);
}

static grd_tensor *run_zero_weights(const grd_tensor *const x[])
{
    (void)x;
    return weighted(1, 1, 0, 0);
}

static grd_tensor *run_scalar_weight(const grd_tensor *const x[])
{
    return grd_multinomial(grd_rng_create(SEED), x[0], 1);
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
    { "randint", "random_integers", run_integers, integers_reference, 1, { S2(3, 7) }, .no_derivative = true },
    { "randperm", "random_integers", run_permutation, permutation_reference, 1, { S1(21) }, .no_derivative = true },
    { "randperm of none", "random_integers", run_permutation, permutation_reference, 1, { S1(0) }, .no_derivative = true },
    { "bernoulli", "bernoulli", run_bernoulli, bernoulli_reference, 1, { S2(3, 7) }, .no_derivative = true },
    { "bernoulli of none", "bernoulli", run_bernoulli, bernoulli_reference, 1, { S2(3, 0) }, .no_derivative = true },
    { "multinomial", "multinomial", run_multinomial, multinomial_reference, 1, { S2(4, 5) }, { POSITIVE }, .no_derivative = true },
    { "multinomial of one row", "multinomial", run_multinomial, multinomial_reference, 1, { S1(7) }, { POSITIVE }, .no_derivative = true },
    { "multinomial of no rows", "multinomial", run_multinomial, multinomial_reference, 1, { S2(0, 7) }, { POSITIVE }, .no_derivative = true },
    { "multinomial of a certainty", "multinomial", run_sure, sure_reference, 1, { S0 }, .no_derivative = true },
    { "dropout", "dropout", run_dropout, dropout_reference, 1, { S2(3, 7) } },
    { "dropout of none", "dropout", run_dropout, dropout_reference, 1, { S2(0, 7) } },
    { "dropout, p 0", "dropout", run_dropout_of_nothing, same_reference, 1, { S2(3, 7) } },
};

static const bad_case bad[] = {
    { "dropout: p is 1, not in [0, 1)", run_dropout_of_all, { S1(2) } },
    { "dropout: an argument is NULL", run_dropout_without, { S1(2) } },
    { "randint: there is no number in [4, 4)", run_no_integers, { S1(2) } },
    { "randperm: a size is negative: [-1]", run_negative_permutation, { S1(2) } },
    { "bernoulli: p[0] is 1.5, not in [0, 1]", run_unlikely, { S1(2) } },
    { "bernoulli: p is i64 and should be floating (cast it first)", run_integer_probability, { S1(2) } },
    { "bernoulli: has no derivative, and an input requires grad (use grd_detach)", run_underivable, { S1(2) } },
    { "multinomial: weights[1, 0] is -1, not finite and >= 0", run_negative_weight, { S0 } },
    { "multinomial: weights[0, 1] is nan, not finite and >= 0", run_nan_weight, { S0 } },
    { "multinomial: weights[1, 1] is inf, not finite and >= 0", run_infinite_weight, { S0 } },
    { "multinomial: the weights of row 1 of [2, 2] are all 0", run_zero_weights, { S0 } },
    { "multinomial: weights have no dimension of classes", run_scalar_weight, { S0 } },
    { "rand: an argument is NULL", run_rand_without, { S1(2) } },
};
/* clang-format on */

const op_family random_family = OP_FAMILY(cases, bad);
