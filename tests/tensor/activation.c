/* The loops of exp, erf and the activations, in every set: how exact they are, at every length, and
 * what becomes of values that are no numbers. */
#include "tensor/cpu/loops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

static const double pi = 3.14159265358979324;

static double sigma(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double normal(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

static double twice_u(double x)
{
    return 2 * sqrt(2 / pi) * (x + 0.044715 * x * x * x);
}

static double gelu(double x)
{
    return x * normal(x);
}

static double gelu_slope(double x)
{
    return normal(x) + x * exp(-x * x / 2) / sqrt(2 * pi);
}

static double gelu_tanh(double x)
{
    return x * sigma(twice_u(x));
}

static double gelu_tanh_slope(double x)
{
    const double s = sigma(twice_u(x)), rest = sigma(-twice_u(x));
    return s + x * s * rest * 2 * sqrt(2 / pi) * (1 + 0.134145 * x * x);
}

static double silu(double x)
{
    return x * sigma(x);
}

static double silu_slope(double x)
{
    return sigma(x) * (1 + x * sigma(-x));
}

typedef void forward(int64_t n, float *y, const float *x);
typedef void backward(int64_t n, float *dx, const float *dy, const float *x);

/* What a loop computes, on which numbers, and how far off it may be: so many units in the last
 * place of the result, or of 1 (and of the input, if that is larger) where it cancels. */
typedef struct function {
    const char *name;
    double (*exact)(double x);
    size_t forward, backward; /* the loop; 0: none */
    double from, to, ulps;
    bool cancels;
} function;

#define LOOP_OF(name) offsetof(grdi_loops, name)

/* clang-format off */
static const function functions[] = {
    { "exp", exp, LOOP_OF(exp_f32), 0, -104, 88.7, 1.5, false },
    { "erf", erf, LOOP_OF(erf_f32), 0, -5, 5, 2, false },
    { "tanh", tanh, LOOP_OF(tanh_f32), 0, -12, 12, 2.5, false },
    { "sigmoid", sigma, LOOP_OF(sigmoid_f32), 0, -87, 20, 3, false },
    { "gelu", gelu, LOOP_OF(gelu_f32), 0, -13, 14, 7, false },
    { "gelu_tanh", gelu_tanh, LOOP_OF(gelu_tanh_f32), 0, -10, 10, 3, true },
    { "silu", silu, LOOP_OF(silu_f32), 0, -80, 20, 4, false },
    { "gelu_backward", gelu_slope, 0, LOOP_OF(gelu_backward_f32), -14, 14, 4, true },
    { "gelu_tanh_backward", gelu_tanh_slope, 0, LOOP_OF(gelu_tanh_backward_f32), -10, 10, 4, true },
    { "silu_backward", silu_slope, 0, LOOP_OF(silu_backward_f32), -80, 20, 4, true },
};
/* clang-format on */

enum { FUNCTIONS = sizeof functions / sizeof functions[0], SETS = 3, MOST = 512 };

static const char *const sets[SETS] = { "baseline", "avx2", "avx512" };

/* y = f(x), or the slope times dy. */
static void compute(const function *f, int set, int64_t n, float *y, const float *dy,
                    const float *x)
{
    const grdi_loops *loops = grdi_choose_loops(sets[set]);
    if (f->forward)
        (*(forward *const *)((const char *)loops + f->forward))(n, y, x);
    else
        (*(backward *const *)((const char *)loops + f->backward))(n, y, dy, x);
}

static double last_place(double x)
{
    int exponent;
    frexp(fmax(fabs(x), 0x1p-126), &exponent);
    return ldexp(1, exponent - 24);
}

static void expect_near(const function *f, int set, double x, double found, double exact)
{
    const double size = f->cancels ? fmax(fmax(1, fabs(x)), fabs(exact)) : exact;
    const double error = fabs(found - exact) / last_place(size);
    cr_assert(error <= f->ulps, "%s of %.9g by %s: %.9g is %.1f units off %.9g", f->name, x,
              sets[set], found, error, exact);
}

Test(activation, results_are_exact_to_a_few_units_in_the_last_place)
{
    float x[MOST], y[MOST], dy[MOST];
    for (int i = 0; i < MOST; i++)
        dy[i] = 1;
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < FUNCTIONS; k++)
            for (int block = 0; block < 64; block++) {
                const function *f = &functions[k];
                const double step = (f->to - f->from) / (64 * MOST);
                for (int i = 0; i < MOST; i++)
                    x[i] = (float)(f->from + step * (block * MOST + i));
                compute(f, s, MOST, y, dy, x);
                for (int i = 0; i < MOST; i++)
                    expect_near(f, s, (double)x[i], (double)y[i], f->exact((double)x[i]));
            }
}

/* Ever smaller numbers of both signs, down to 0. */
Test(activation, near_zero_too)
{
    float x[MOST], y[MOST], dy[MOST];
    for (int i = 0; i < MOST; i++) {
        dy[i] = 1;
        x[i] = ldexpf(i % 2 ? -1.3f : 1.1f, -i / 3);
    }
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < FUNCTIONS; k++) {
            compute(&functions[k], s, MOST, y, dy, x);
            for (int i = 0; i < MOST; i++)
                expect_near(&functions[k], s, (double)x[i], (double)y[i],
                            functions[k].exact((double)x[i]));
        }
}

/* An element's bits depend on nothing but the element: not on the length, its place, or whether the
 * result overwrites an input. Behind the end nothing is written. */
Test(activation, every_length_gives_the_same_bits)
{
    enum { LENGTH = 70 };
    float x[LENGTH], dy[LENGTH], alone[LENGTH], y[LENGTH + 1];
    for (int i = 0; i < LENGTH; i++) {
        x[i] = (float)(i * 37 % LENGTH - LENGTH / 2) / 5;
        dy[i] = (float)(i % 7) - 3;
    }
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < FUNCTIONS; k++) {
            for (int i = 0; i < LENGTH; i++)
                compute(&functions[k], s, 1, &alone[i], &dy[i], &x[i]);
            for (int n = 0; n <= LENGTH; n++) {
                y[n] = 77;
                compute(&functions[k], s, n, y, dy, x);
                cr_assert(memcmp(y, alone, (size_t)n * sizeof *y) == 0 && y[n] == 77,
                          "%s by %s at %d", functions[k].name, sets[s], n);
                memcpy(y, x, (size_t)n * sizeof *y);
                compute(&functions[k], s, n, y, dy, y);
                cr_assert(memcmp(y, alone, (size_t)n * sizeof *y) == 0);
                memcpy(y, dy, (size_t)n * sizeof *y);
                compute(&functions[k], s, n, y, functions[k].forward ? dy : y, x);
                cr_assert(memcmp(y, alone, (size_t)n * sizeof *y) == 0);
            }
        }
}

/* What becomes of inf, -inf, the largest number and its negative, and -0. */
static const struct {
    const char *name;
    float inf, minus_inf, largest, smallest, minus_zero;
} limits[FUNCTIONS] = {
    { "exp", INFINITY, 0, INFINITY, 0, 1 },
    { "erf", 1, -1, 1, -1, -0.0f },
    { "tanh", 1, -1, 1, -1, -0.0f },
    { "sigmoid", 1, 0, 1, 0, 0.5f },
    { "gelu", INFINITY, NAN, 0x1.fffffep127f, -0.0f, -0.0f },
    { "gelu_tanh", INFINITY, NAN, 0x1.fffffep127f, -0.0f, -0.0f },
    { "silu", INFINITY, NAN, 0x1.fffffep127f, -0.0f, -0.0f },
    { "gelu_backward", 1, 0, 1, 0, 0.5f },
    { "gelu_tanh_backward", 1, 0, 1, 0, 0.5f },
    { "silu_backward", 1, 0, 1, 0, 0.5f },
};

static bool is_wanted(float x, float found, float wanted)
{
    if (isnan(wanted))
        return isnan(found);
    if (fabsf(wanted) == 0.5f) /* in 0 of either sign */
        return fabsf(found - wanted) <= 2e-7f;
    return found == wanted && (x != 0 || !signbit(found) == !signbit(wanted));
}

Test(activation, no_numbers)
{
    const float x[] = { INFINITY, -INFINITY, 0x1.fffffep127f, -0x1.fffffep127f, -0.0f, NAN };
    const float dy[] = { 1, 1, 1, 1, 1, 1 };
    float y[6];
    for (int s = 0; s < SETS; s++)
        for (int k = 0; k < FUNCTIONS; k++) {
            cr_assert_str_eq(limits[k].name, functions[k].name);
            compute(&functions[k], s, 6, y, dy, x);
            const float wanted[] = { limits[k].inf,      limits[k].minus_inf,  limits[k].largest,
                                     limits[k].smallest, limits[k].minus_zero, NAN };
            for (int i = 0; i < 6; i++)
                cr_assert(is_wanted(x[i], y[i], wanted[i]), "%s of %g by %s: %g, not %g",
                          limits[k].name, (double)x[i], sets[s], (double)y[i], (double)wanted[i]);
        }
}

Test(activation, exp_reaches_the_smallest_numbers_and_infinity)
{
    const float x[] = { -87.5f, -95, -103.2f, -104, -200, 88.72f, 88.73f, 1000 };
    float y[8];
    for (int s = 0; s < SETS; s++) {
        grdi_choose_loops(sets[s])->exp_f32(8, y, x);
        for (int i = 0; i < 8; i++) {
            const double exact = exp((double)x[i]);
            if (exact > 0x1.fffffep127)
                cr_assert(isinf(y[i]), "%g", (double)y[i]);
            else
                cr_assert(fabs((double)y[i] - exact) <= 1.2e-7 * exact + 0x1p-149);
        }
    }
}
