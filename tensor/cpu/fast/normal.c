#include "tensor/cpu/loops.h"

#include <math.h>
#include <string.h>

/* In steps without branches, which the compiler makes vectors of. */

static inline uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline double of_word(uint32_t x)
{
    return (double)(int32_t)(x ^ 0x80000000) + 0x1p31;
}

/* log(x / 2^32) for 1 <= x <= 2^32: x = m 2^e, log(m) = 2 artanh(s) with s = (m - 1) / (m + 1),
 * |s| < 0.172, by its series; e and 32 cancel first, or digits were lost near 1. */
static inline double log_of_share(double x)
{
    const double two_to_52 = 0x1p52, log_2 = 0x1.62e42fep-1, log_2_rest = 0x1.f473de6af278fp-30;
    const uint64_t bits = bits_of(x), power = (bits - bits_of(0.70710678118654752)) >> 52;
    const double m = of_bits(bits - (power << 52));
    const double e = of_bits(power | bits_of(two_to_52)) - two_to_52 - 32;
    const double s = (m - 1) / (m + 1), square = s * s;
    double p = 1. / 23;
    p = p * square + 1. / 21;
    p = p * square + 1. / 19;
    p = p * square + 1. / 17;
    p = p * square + 1. / 15;
    p = p * square + 1. / 13;
    p = p * square + 1. / 11;
    p = p * square + 1. / 9;
    p = p * square + 1. / 7;
    p = p * square + 1. / 5;
    p = p * square + 1. / 3;
    return e * log_2 + (2 * s + (2 * s * square * p + e * log_2_rest));
}

/* The series of sin and cos, |x| <= pi / 4. */
static inline double sin_near(double x)
{
    const double square = x * x;
    double p = 1 / 355687428096000.;
    p = p * square - 1 / 1307674368000.;
    p = p * square + 1 / 6227020800.;
    p = p * square - 1 / 39916800.;
    p = p * square + 1 / 362880.;
    p = p * square - 1 / 5040.;
    p = p * square + 1 / 120.;
    p = p * square - 1 / 6.;
    return x + x * square * p;
}

static inline double cos_near(double x)
{
    const double square = x * x;
    double p = 1 / 20922789888000.;
    p = p * square - 1 / 87178291200.;
    p = p * square + 1 / 479001600.;
    p = p * square - 1 / 3628800.;
    p = p * square + 1 / 40320.;
    p = p * square - 1 / 720.;
    p = p * square + 1 / 24.;
    p = p * square - 1. / 2;
    return 1 + square * p;
}

/* The angle is so many quarters of a turn and at most half of one more. That rest is a whole number
 * of the word's units, so that nothing is lost where the sine or the cosine is small. */
void GRDI_LOOP(normal)(int64_t n, double *y, const uint32_t *words)
{
    const double unit = 6.283185307179586476925 * 0x1p-32;
    const uint64_t sign = 0x8000000000000000;
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n / 2; i++) {
        const double radius = sqrt(-2 * log_of_share(of_word(words[2 * i]) + 1));
        const uint32_t ahead = words[2 * i + 1] + 0x20000000;
        const double rest = unit * (double)((int32_t)(ahead & 0x3fffffff) - 0x20000000);
        const uint64_t quarters = ahead >> 30, swap = 0 - (quarters & 1);
        const uint64_t s = bits_of(sin_near(rest)), c = bits_of(cos_near(rest));
        const uint64_t x = (s & swap) | (c & ~swap), z = (c & swap) | (s & ~swap);
        y[2 * i] = radius * of_bits(x ^ ((quarters + 1) << 62 & sign));
        y[2 * i + 1] = radius * of_bits(z ^ (quarters << 62 & sign));
    }
}
