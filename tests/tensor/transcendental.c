/* The loops of log, sin, cos and pow, in every set: over the bit patterns of f32, how exact they
 * are and what becomes of values that are no numbers; and that neighbours change no bit. */
#include "tensor/cpu/loops.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 3, MOST = 1 << 12 };

static const char *const sets[SETS] = { "baseline", "avx2", "avx512" };

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The same kind of result for no number, infinity and 0, its sign included; else so many units in
 * the last place off at most. */
static bool is_near(float found, double exact, double ulps)
{
    const float wanted = (float)exact;
    if (isnan(wanted))
        return isnan(found);
    if (isinf(wanted) || wanted == 0) /* which a neighbour of the limit may be too */
        return (found == wanted && !signbit(found) == !signbit(wanted)) ||
               fabs((double)nextafterf(wanted, 1) - exact) < ulps * fabs(exact) * 0x1p-23;
    int exponent;
    frexp(fmax(fabs(exact), FLT_MIN), &exponent);
    return fabs((double)found - exact) <= ulps * ldexp(1, exponent - 24);
}

static const struct {
    const char *name;
    double (*exact)(double x);
    size_t loop;
    double ulps;
} functions[] = {
    { "log", log, offsetof(grdi_loops, log_f32), 1 },
    { "sin", sin, offsetof(grdi_loops, sin_f32), 1.6 },
    { "cos", cos, offsetof(grdi_loops, cos_f32), 1.6 },
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

typedef void unary(int64_t n, float *y, const float *x);

static unary *loop_of(int function, int set)
{
    const char *loops = (const char *)grdi_choose_loops(sets[set]);
    return *(unary *const *)(loops + functions[function].loop);
}

/* Every step-th of all 2^32 patterns; TEST_PATTERNS=1 takes them all, in a quarter of an hour. */
static void sweep(int function, int set, uint64_t step)
{
    static float x[MOST], y[MOST];
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32;) {
        int n = 0;
        for (; n < MOST && bits < UINT64_C(1) << 32; n++, bits += step)
            x[n] = of_bits((uint32_t)bits);
        loop_of(function, set)(n, y, x);
        for (int i = 0; i < n; i++) {
            const double exact = functions[function].exact((double)x[i]);
            cr_assert(is_near(y[i], exact, functions[function].ulps), "%s of %a by %s: %a, not %a",
                      functions[function].name, (double)x[i], sets[set], (double)y[i], exact);
        }
    }
}

Test(transcendental, over_all_patterns)
{
    const char *asked = getenv("TEST_PATTERNS");
    const uint64_t step = asked ? strtoull(asked, NULL, 10) : 4099;
    for (int f = 0; f < FUNCTIONS; f++)
        for (int set = asked ? 1 : 0; set < SETS; set++) /* the baseline's are the C library's */
            if (set == 0 || loop_of(f, set) != loop_of(f, set - 1))
                sweep(f, set, step);
}

static uint32_t draw(void)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 32);
}

/* Of any pattern, but no signalling NaN, which f64 would not keep. */
static float any_number(void)
{
    const float x = of_bits(draw());
    return isnan(x) ? NAN : x;
}

static float between(float low, float high)
{
    return low + (high - low) * (float)(draw() >> 8) * 0x1p-24f;
}

static void expect_powers(int set, const float *a, const float *b, const float *y)
{
    for (int i = 0; i < MOST; i++)
        cr_assert(is_near(y[i], pow((double)a[i], (double)b[i]), 1), "%a ^ %a by %s: %a",
                  (double)a[i], (double)b[i], sets[set], (double)y[i]);
}

/* Any patterns; near 1, where large exponents matter; whole exponents, of negative numbers too. */
Test(transcendental, pow)
{
    static float a[MOST], b[MOST], y[MOST];
    for (int set = 0; set < SETS; set++)
        for (int block = 0; block < 60; block++) {
            for (int i = 0; i < MOST; i++) {
                a[i] = block % 3 == 0 ? any_number()
                                      : (block % 3 == 1 ? expf(between(-1, 1)) : between(-9, 9));
                b[i] = block % 3 == 2 ? rintf(between(-9, 9)) : between(-120, 120);
            }
            grdi_choose_loops(sets[set])->pow_f32(MOST, y, a, b);
            expect_powers(set, a, b, y);
        }
}

Test(transcendental, pow_of_one_exponent)
{
    static const float exponents[] = { -3, -2.5f, -1,   -0.5f,    0,         0.5f, 1,
                                       2,  2.3f,  3e9f, INFINITY, -INFINITY, NAN,  101 };
    static float a[MOST], b[MOST], y[MOST];
    for (int set = 0; set < SETS; set++)
        for (size_t e = 0; e < sizeof exponents / sizeof exponents[0]; e++) {
            for (int i = 0; i < MOST; i++) {
                a[i] = i % 2 ? any_number() : between(-2, 2);
                b[i] = exponents[e];
            }
            grdi_choose_loops(sets[set])->pow_scalar_f32(MOST, y, a, b[0]);
            expect_powers(set, a, b, y);
        }
}

/* What C's pow says of pairs of these, all of them. */
Test(transcendental, pow_of_no_numbers)
{
    static const float values[] = { 0,        -0.0f,  1,       -1,       INFINITY, -INFINITY,
                                    NAN,      0.5f,   2,       -2,       3,        FLT_MIN,
                                    -FLT_MIN, 1e-40f, FLT_MAX, -FLT_MAX, 0x1p24f,  16777215 };
    enum { VALUES = sizeof values / sizeof values[0] };
    float a[VALUES], y[VALUES], z[VALUES];
    for (int set = 0; set < SETS; set++)
        for (int i = 0; i < VALUES; i++) {
            for (int j = 0; j < VALUES; j++)
                a[j] = values[i];
            grdi_choose_loops(sets[set])->pow_f32(VALUES, y, a, values);
            grdi_choose_loops(sets[set])->pow_scalar_f32(VALUES, z, values, values[i]);
            for (int j = 0; j < VALUES; j++) {
                cr_assert(is_near(y[j], pow((double)values[i], (double)values[j]), 1),
                          "%g ^ %g: %g", (double)values[i], (double)values[j], (double)y[j]);
                cr_assert(is_near(z[j], pow((double)values[j], (double)values[i]), 1),
                          "%g ^ %g: %g", (double)values[j], (double)values[i], (double)z[j]);
            }
        }
}

/* An element's bits depend on nothing but the element: not on the length, its place, or neighbours
 * that only the C library knows. Behind the end nothing is written. */
Test(transcendental, every_length_gives_the_same_bits)
{
    enum { LENGTH = 70 };
    float x[LENGTH], b[LENGTH], alone[LENGTH], powers[LENGTH], y[LENGTH + 1];
    for (int i = 0; i < LENGTH; i++) {
        x[i] = i % 9 == 5 ? 1e-40f : i % 11 == 3 ? 1e30f : between(0.1f, 20);
        b[i] = i % 13 == 7 ? NAN : between(-3, 3);
    }
    for (int set = 0; set < SETS; set++)
        for (int f = 0; f < FUNCTIONS; f++) {
            const grdi_loops *loops = grdi_choose_loops(sets[set]);
            for (int i = 0; i < LENGTH; i++) {
                loop_of(f, set)(1, &alone[i], &x[i]);
                loops->pow_f32(1, &powers[i], &x[i], &b[i]);
            }
            for (int n = 0; n <= LENGTH; n++) {
                y[n] = 77;
                loop_of(f, set)(n, y, x);
                cr_assert(memcmp(y, alone, (size_t)n * sizeof *y) == 0 && y[n] == 77);
                loops->pow_f32(n, y, x, b);
                cr_assert(memcmp(y, powers, (size_t)n * sizeof *y) == 0 && y[n] == 77);
                memcpy(y, x, (size_t)n * sizeof *y);
                loops->pow_f32(n, y, y, b);
                cr_assert(memcmp(y, powers, (size_t)n * sizeof *y) == 0);
            }
        }
}

/* The word's angle less its whole quarters, so that the reference is exact where a sine is 0. */
static double exact_normal(uint32_t of_radius, uint32_t of_angle, bool sine)
{
    const double radius = sqrt(-2 * log(((double)of_radius + 1) / 4294967296.));
    const uint32_t ahead = of_angle + (1u << 29), quarters = (ahead >> 30) - sine;
    const double rest = ((double)(ahead & 0x3fffffff) - 536870912.) / 2147483648. * acos(-1);
    const double turned[4] = { cos(rest), -sin(rest), -cos(rest), sin(rest) };
    return radius * turned[quarters & 3];
}

/* Each radius with each angle where something begins or ends, and random ones. */
Test(transcendental, normal_numbers_are_those_of_their_words)
{
    static const uint32_t edges[] = { 0,          1,          0x1fffffff, 0x20000000, 0x3fffffff,
                                      0x40000000, 0x5a82799a, 0x80000000, 0xb504f332, 0xb504f333,
                                      0xbfffffff, 0xc0000000, 0xdfffffff, 0xe0000000, 0xffffffff };
    enum { EDGES = sizeof edges / sizeof edges[0], PAIRS = EDGES * EDGES + 1000 };
    static uint32_t words[2 * PAIRS];
    static double y[2 * PAIRS + 1];
    for (int i = 0; i < 2 * PAIRS; i++)
        words[i] = i < 2 * EDGES * EDGES ? edges[i % 2 ? i / 2 % EDGES : i / 2 / EDGES]
                                         : (uint32_t)i * 2654435761u;
    for (int set = 0; set < SETS; set++) {
        y[2 * PAIRS] = 77;
        grdi_choose_loops(sets[set])->normal(2 * PAIRS, y, words);
        for (int i = 0; i < 2 * PAIRS; i++) {
            const double exact = exact_normal(words[i / 2 * 2], words[i / 2 * 2 + 1], i % 2);
            cr_assert_float_eq(y[i], exact, 5e-15, "%s: %u, %u: %.17g, not %.17g", sets[set],
                               words[i / 2 * 2], words[i / 2 * 2 + 1], y[i], exact);
        }
        cr_assert_eq(y[2 * PAIRS], 77);
    }
}
