#include "tensor/cpu/fast/each.h"
#include "tensor/cpu/loops.h"

#include <float.h>
#include <math.h>

/* Where x lies outside of what a vector computes, its elements come from the C library one by one,
 * and those beside them do not: what an element becomes depends on nothing but itself. */
static inline __attribute__((always_inline)) vec with_rest(vec x, vec y, float low, float high,
                                                           float (*plain)(float x))
{
    float from[LANES], to[LANES];
    if (all_within(x, low, high))
        return y;
    store(from, x);
    store(to, y);
    for (int k = 0; k < LANES; k++)
        if (!(from[k] >= low && from[k] <= high))
            to[k] = plain(from[k]);
    return load(to);
}

/* Bits wrap around, also of what is no such x. */
typedef uint32_t bits_vec __attribute__((vector_size(sizeof(vec))));

/* x = (1 + f) 2^n for positive normal x, sqrt(1/2) <= 1 + f < sqrt(2); returns f. */
static inline vec log_parts(vec x, vec *n)
{
    const bits_vec bits = (bits_vec)x;
    const whole_vec exponent = (whole_vec)(bits - 0x3f3504f3u) >> 23;
    *n = __builtin_convertvector(exponent, vec);
    return (vec)(bits - ((bits_vec)exponent << 23)) - all(1);
}

/* log(1 + f) = f - f^2 / 2 + f^3 P(f): P of degree 7, minimax in relative error of the logarithm
 * (5.8e-9). log(2) in two parts, of which the first has few bits. */
static inline vec log_of(vec x)
{
    vec n;
    const vec f = log_parts(x, &n), square = f * f;
    vec p = mul_add(all(-0.0763449743f), f, all(0.12761578f));
    p = mul_add(p, f, all(-0.131601825f));
    p = mul_add(p, f, all(0.142017573f));
    p = mul_add(p, f, all(-0.166233569f));
    p = mul_add(p, f, all(0.200012267f));
    p = mul_add(p, f, all(-0.250008196f));
    p = mul_add(p, f, all(0.333333313f));
    vec y = mul_add(n, all(-2.12194440e-4f), p * (f * square));
    y = f + mul_add(square, all(-0.5f), y);
    return with_rest(x, mul_add(n, all(0.693359375f), y), FLT_MIN, FLT_MAX, logf);
}

void GRDI_LOOP(log_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, log_of);
}

/* sin(x + turns pi / 2). x = n pi / 2 + r, |r| <= pi / 4 and a little; pi / 2 in three parts. As
 * far as `turning`, n times the first takes no more bits off x than cancel. Polynomials in r^2,
 * minimax in relative error (4.4e-9 and 1.4e-10). */
static const float turning = 32768;
static inline vec wave(vec x, int turns)
{
    const vec n =
        nearest(x * all(0.636619772f)) + all(0); /* not -0, whose r would be 0 for x = -0 */
    vec r = mul_add(n, all(-1.57079637f), x);
    r = mul_add(n, all(4.37113883e-8f), r);
    r = mul_add(n, all(1.71512451e-15f), r);
    const vec square = r * r;
    vec s = mul_add(all(-0.000195030691f), square, all(0.00833207089f));
    s = mul_add(mul_add(s, square, all(-0.166666538f)), square * r, r);
    vec c = mul_add(all(2.44191961e-5f), square, all(-0.00138871942f));
    c = mul_add(mul_add(c, square, all(0.0416666418f)), square, all(-0.5f));
    c = mul_add(c, square, all(1));
    const whole_vec quarter = __builtin_convertvector(n, whole_vec) + turns;
    const vec y = where_negative((vec)(quarter << 31), c, s);
    return (vec)((whole_vec)y ^ ((quarter & 2) << 30));
}

/* x itself near 0, for the sign of -0 and for the smallest numbers. */
static inline vec sin_of(vec x)
{
    const vec y = where_less(magnitude(x), all(0x1p-12f), x, wave(x, 0));
    return with_rest(x, y, -turning, turning, sinf);
}

void GRDI_LOOP(sin_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, sin_of);
}

static inline vec cos_of(vec x)
{
    return with_rest(x, wave(x, 1), -turning, turning, cosf);
}

void GRDI_LOOP(cos_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, cos_of);
}

/* log2(1 + f) = s Q(s^2), s = f / (2 + f): Q of degree 4, minimax in relative error (4.2e-12). */
static inline wide log2_near(wide f)
{
    const wide s = f / (f + wide_all(2)), square = s * s;
    wide q = wide_mul_add(wide_all(0.34072801044902695), square, wide_all(0.41167282678274653));
    q = wide_mul_add(q, square, wide_all(0.57708358327106568));
    q = wide_mul_add(q, square, wide_all(0.96179667335005481));
    q = wide_mul_add(q, square, wide_all(2.8853900817900802));
    return q * s;
}

/* a^b = 2^(b log2(a)) for positive normal a and finite b; the exponent in f64, since its digits
 * before the point are lost to those behind it. */
static inline vec power(vec a, vec b)
{
    vec n;
    const vec f = log_parts(a, &n);
    const wide low = low_half(b) * (low_half(n) + log2_near(low_half(f)));
    const wide high = high_half(b) * (high_half(n) + log2_near(high_half(f)));
    const vec whole = nearest(within(narrow(low, high), 160));
    const vec rest = narrow(low - low_half(whole), high - high_half(whole));
    return scale_far(exp2_near(within(rest, 1)), whole);
}

/* The same for all a and b. Of a negative a that has a power, by a whole b, with `whole`: else the
 * C library knows. */
static inline vec power_of(vec a, vec b, bool whole, bool odd)
{
    const vec base = whole ? magnitude(a) : a;
    vec y = power(base, b);
    if (odd)
        y = with_sign(y, a);
    if (all_within(base, FLT_MIN, FLT_MAX) && all_within(b, -FLT_MAX, FLT_MAX))
        return y;
    float from[LANES], by[LANES], to[LANES];
    store(from, a);
    store(by, b);
    store(to, y);
    for (int k = 0; k < LANES; k++) {
        const float size = whole ? fabsf(from[k]) : from[k];
        if (!(size >= FLT_MIN && size <= FLT_MAX && fabsf(by[k]) <= FLT_MAX))
            to[k] = powf(from[k], by[k]);
    }
    return load(to);
}

void GRDI_LOOP(pow_f32)(int64_t n, float *y, const float *a, const float *b)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, power_of(load(a + i), load(b + i), false, false));
    if (i < n) {
        const vec base = load_part(a + i, n - i, all(1)), by = load_part(b + i, n - i, all(1));
        store_part(y + i, n - i, power_of(base, by, false, false));
    }
}

void GRDI_LOOP(pow_scalar_f32)(int64_t n, float *y, const float *x, float b)
{
    const bool whole = truncf(b) == b, odd = fabsf(fmodf(b, 2)) == 1;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, power_of(load(x + i), all(b), whole, odd));
    if (i < n)
        store_part(y + i, n - i, power_of(load_part(x + i, n - i, all(1)), all(b), whole, odd));
}
