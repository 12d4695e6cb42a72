#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

#include <math.h>

/* Sums side by side, since one would wait for the one before; short rows feel it most. */

static float sum_row(int64_t n, const float *x)
{
    vec a = all(0), b = all(0), c = all(0), d = all(0);
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        a += load(x + i);
        b += load(x + i + LANES);
        c += load(x + i + 2 * LANES);
        d += load(x + i + 3 * LANES);
    }
    for (; i < n; i += LANES)
        a += load_first(x + i, n - i);
    return sum_of((a + b) + (c + d));
}

/* The sums of x - shift and of its squares. */
static void moments(int64_t n, const float *x, float shift, float *first, float *second)
{
    vec sum[2] = { all(0), all(0) }, squares[2] = { all(0), all(0) };
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const vec d = load(x + i) - all(shift), e = load(x + i + LANES) - all(shift);
        sum[0] += d;
        sum[1] += e;
        squares[0] = mul_add(d, d, squares[0]);
        squares[1] = mul_add(e, e, squares[1]);
    }
    for (; i < n; i += LANES) {
        const vec next = n - i < LANES ? load_part(x + i, n - i, all(shift)) : load(x + i);
        const vec d = next - all(shift);
        sum[0] += d;
        squares[0] = mul_add(d, d, squares[0]);
    }
    *first = sum_of(sum[0] + sum[1]);
    *second = sum_of(squares[0] + squares[1]);
}

/* How a row was normalised, as vectors. */
typedef struct norm {
    vec shift, rest, factor;
} norm;

static inline vec normal(const norm *m, vec x)
{
    return (x - m->shift - m->rest) * m->factor;
}

static void apply(int64_t n, float *y, const float *x, const norm *m, const float *weight,
                  const float *bias)
{
    const vec none = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        ask_for(x + n + i);
        store(y + i, mul_add(normal(m, load(x + i)), load(weight + i), load(bias + i)));
    }
    if (i < n) {
        const vec z = normal(m, load_part(x + i, n - i, none));
        const vec w = load_part(weight + i, n - i, none), b = load_part(bias + i, n - i, none);
        store_part(y + i, n - i, mul_add(z, w, b));
    }
}

void GRDI_LOOP(norm_f32)(int64_t n, float *y, const float *x, const float *weight,
                         const float *bias, bool centre, double eps, double stats[2])
{
    const float share = 1 / (float)n; /* divided first: a row waits for each step */
    const float shift = centre ? sum_row(n, x) * share : 0;
    float sum, squares;
    moments(n, x, shift, &sum, &squares);
    const float rest = centre ? sum * share : 0;
    const float var = squares * share - rest * rest;
    const float factor = 1 / sqrtf((var < 0 ? 0 : var) + (float)eps);
    const norm m = { all(shift), all(rest), all(factor) };
    apply(n, y, x, &m, weight, bias);
    stats[0] = (double)shift + (double)rest;
    stats[1] = (double)factor;
}

/* Adds to dweight and dbias, and to the sums of g = dy weight and of g times the normalised x. */
static inline void add_terms(const norm *m, vec x, vec dy, vec weight, vec *dweight, vec *dbias,
                             vec *sum, vec *product)
{
    const vec z = normal(m, x), g = dy * weight;
    *sum += g;
    *product = mul_add(g, z, *product);
    *dweight = mul_add(dy, z, *dweight);
    *dbias += dy;
}

static void sum_terms(int64_t n, const norm *m, float *dweight, float *dbias, const float *dy,
                      const float *x, const float *weight, float sums[2])
{
    vec sum = all(0), product = all(0), w, b;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        w = load(dweight + i);
        b = load(dbias + i);
        add_terms(m, load(x + i), load(dy + i), load(weight + i), &w, &b, &sum, &product);
        store(dweight + i, w);
        store(dbias + i, b);
    }
    if (i < n) {
        const int64_t left = n - i;
        const vec none = all(0);
        w = load_part(dweight + i, left, none);
        b = load_part(dbias + i, left, none);
        add_terms(m, load_part(x + i, left, none), load_part(dy + i, left, none),
                  load_part(weight + i, left, none), &w, &b, &sum, &product);
        store_part(dweight + i, left, w);
        store_part(dbias + i, left, b);
    }
    sums[0] = sum_of(sum);
    sums[1] = sum_of(product);
}

/* dx = factor (dy weight - mean - z slope) of one vector. */
static inline vec gradient(const norm *m, vec x, vec dy, vec weight, float mean, float slope)
{
    return m->factor * (mul_add(dy, weight, all(-mean)) - normal(m, x) * all(slope));
}

void GRDI_LOOP(norm_backward_f32)(int64_t n, float *dx, float *dweight, float *dbias,
                                  const float *dy, const float *x, const float *weight, bool centre,
                                  const double stats[2])
{
    const float shift = (float)stats[0], rest = (float)(stats[0] - (double)shift);
    const norm m = { all(shift), all(rest), all((float)stats[1]) };
    float sums[2];
    sum_terms(n, &m, dweight, dbias, dy, x, weight, sums);
    const float mean = centre ? sums[0] / (float)n : 0, slope = sums[1] / (float)n;
    const vec none = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(dx + i, gradient(&m, load(x + i), load(dy + i), load(weight + i), mean, slope));
    if (i < n)
        store_part(dx + i, n - i,
                   gradient(&m, load_part(x + i, n - i, none), load_part(dy + i, n - i, none),
                            load_part(weight + i, n - i, none), mean, slope));
}
