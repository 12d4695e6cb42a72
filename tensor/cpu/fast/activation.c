#include "tensor/cpu/fast/each.h"
#include "tensor/cpu/loops.h"

/* dx = dy slope(x). */
static inline __attribute__((always_inline)) void each_slope(int64_t n, float *dx, const float *dy,
                                                             const float *x, vec (*slope)(vec x))
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(dx + i, load(dy + i) * slope(load(x + i)));
    if (i < n) {
        const vec last = slope(load_part(x + i, n - i, all(0)));
        store_part(dx + i, n - i, load_part(dy + i, n - i, all(0)) * last);
    }
}

/* s = 1 / (1 + e^-x); returns s, and 1 - s without cancelling. */
static inline vec sigmoid_parts(vec x, vec *rest)
{
    const vec e = exp_negative(-magnitude(x)), large = all(1) / (all(1) + e), small = e * large;
    *rest = where_negative(x, large, small);
    return where_negative(x, small, large);
}

/* Phi(-|x|) = G(|x|) e^(-x^2 / 2), the tail of the normal distribution; `bell` is the power of e.
 * G(t) = erfcx(t / sqrt(2)) / 2 is w P(w), w = 1 / (1 + c t): P of degree 8, minimax in relative
 * error (2.3e-8) for t up to 15, from where the power is 0. */
static inline vec normal_tail(vec x, vec *bell)
{
    const vec t = min(all(15), magnitude(x)), square = t * t;
    const vec lost = mul_add(t, t, -square), power = exp_negative(all(-0.5f) * square);
    const vec w = all(1) / mul_add(all(0.3465f), t, all(1));
    vec p = mul_add(all(-0.02862853f), w, all(0.14497304f));
    p = mul_add(p, w, all(-0.26663214f));
    p = mul_add(p, w, all(0.178707212f));
    p = mul_add(p, w, all(-0.0330729298f));
    p = mul_add(p, w, all(0.109813787f));
    p = mul_add(p, w, all(0.118051142f));
    p = mul_add(p, w, all(0.138568178f));
    p = mul_add(p, w, all(0.138220236f));
    *bell = mul_add(all(-0.5f) * lost, power, power);
    return *bell * (p * w);
}

void GRDI_LOOP(exp_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, exponential);
}

/* Near 0 an odd polynomial, minimax in relative error (4.0e-8). */
static inline vec erf_of(vec x)
{
    vec bell;
    const vec square = x * x, tail = normal_tail(x * all(1.41421356f), &bell);
    vec p = mul_add(all(-0.000563142239f), square, all(0.0049175513f));
    p = mul_add(p, square, all(-0.0267113112f));
    p = mul_add(p, square, all(0.112801798f));
    p = mul_add(p, square, all(-0.37612325f));
    p = mul_add(p, square, all(0.128379121f));
    const vec far = with_sign(mul_add(all(-2), tail, all(1)), x);
    return where_less(magnitude(x), all(1), mul_add(p, x, x), far);
}

void GRDI_LOOP(erf_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, erf_of);
}

/* The same (4.4e-9). */
static inline vec tanh_of(vec x)
{
    const vec t = magnitude(x), square = x * x, e = exp_negative(all(-2) * t);
    vec p = mul_add(all(-0.00570498733f), square, all(0.020639088f));
    p = mul_add(p, square, all(-0.0537397154f));
    p = mul_add(p, square, all(0.133314416f));
    p = mul_add(p, square, all(-0.333332807f));
    const vec far = with_sign((all(1) - e) / (all(1) + e), x);
    return where_less(t, all(0.625f), x * mul_add(p, square, all(1)), far);
}

void GRDI_LOOP(tanh_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, tanh_of);
}

static inline vec sigmoid_of(vec x)
{
    vec rest;
    return sigmoid_parts(x, &rest);
}

void GRDI_LOOP(sigmoid_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, sigmoid_of);
}

static inline vec gelu_of(vec x)
{
    vec bell;
    const vec tail = normal_tail(x, &bell);
    return x * where_negative(x, tail, all(1) - tail);
}

void GRDI_LOOP(gelu_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, gelu_of);
}

static inline vec gelu_slope(vec x)
{
    vec bell;
    const vec tail = normal_tail(x, &bell), near = within(x, 15);
    const vec sum = where_negative(x, tail, all(1) - tail);
    return mul_add(near * all(0.398942280f), bell, sum);
}

void GRDI_LOOP(gelu_backward_f32)(int64_t n, float *dx, const float *dy, const float *x)
{
    each_slope(n, dx, dy, x, gelu_slope);
}

/* 2 u = 2 sqrt(2 / pi) (x + 0.044715 x^3) */
static inline vec gelu_tanh_of(vec x)
{
    vec rest;
    const vec twice_u = x * mul_add(all(0.0713548163f), x * x, all(1.59576912f));
    return x * sigmoid_parts(twice_u, &rest);
}

void GRDI_LOOP(gelu_tanh_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, gelu_tanh_of);
}

static inline vec gelu_tanh_slope(vec x)
{
    vec rest;
    x = within(x, 15);
    const vec square = x * x, twice_u = x * mul_add(all(0.0713548163f), square, all(1.59576912f));
    const vec s = sigmoid_parts(twice_u, &rest);
    return mul_add(s * rest, x * mul_add(all(0.214064449f), square, all(1.59576912f)), s);
}

void GRDI_LOOP(gelu_tanh_backward_f32)(int64_t n, float *dx, const float *dy, const float *x)
{
    each_slope(n, dx, dy, x, gelu_tanh_slope);
}

static inline vec silu_of(vec x)
{
    vec rest;
    return x * sigmoid_parts(x, &rest);
}

void GRDI_LOOP(silu_f32)(int64_t n, float *y, const float *x)
{
    each(n, y, x, silu_of);
}

static inline vec silu_slope(vec x)
{
    vec rest;
    x = within(x, 104);
    const vec s = sigmoid_parts(x, &rest);
    return mul_add(s * rest, x, s);
}

void GRDI_LOOP(silu_backward_f32)(int64_t n, float *dx, const float *dy, const float *x)
{
    each_slope(n, dx, dy, x, silu_slope);
}
