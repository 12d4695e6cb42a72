#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

/* Elements of x, b and dx in vectors, whole or the first n. */
typedef struct sgd_numbers {
    vec lr, momentum, decay;
    bool nesterov;
} sgd_numbers;

static vec sgd_step(vec x, vec *b, vec dx, const sgd_numbers *s)
{
    const vec d = mul_add(s->decay, x, dx);
    *b = mul_add(s->momentum, *b, d);
    return x - s->lr * (s->nesterov ? mul_add(s->momentum, *b, d) : *b);
}

static void sgd_plain(int64_t n, float *x, const float *dx, const sgd_numbers *s)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec at = load(x + i);
        store(x + i, at - s->lr * mul_add(s->decay, at, load(dx + i)));
    }
    if (i < n) {
        const vec at = load_part(x + i, n - i, all(0)), d = load_part(dx + i, n - i, all(0));
        store_part(x + i, n - i, at - s->lr * mul_add(s->decay, at, d));
    }
}

void GRDI_LOOP(sgd_f32)(int64_t n, float *x, float *b, const float *dx, const grdi_sgd *numbers)
{
    const sgd_numbers s = { all((float)numbers->lr), all((float)numbers->momentum),
                            all((float)numbers->weight_decay), numbers->nesterov };
    if (!b) {
        sgd_plain(n, x, dx, &s);
        return;
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec sum = load(b + i);
        store(x + i, sgd_step(load(x + i), &sum, load(dx + i), &s));
        store(b + i, sum);
    }
    if (i < n) {
        vec sum = load_part(b + i, n - i, all(0));
        const vec at = load_part(x + i, n - i, all(0)), d = load_part(dx + i, n - i, all(0));
        store_part(x + i, n - i, sgd_step(at, &sum, d, &s));
        store_part(b + i, n - i, sum);
    }
}

typedef struct adam_numbers {
    vec beta1, rest1, beta2, rest2, shrink, step, root, eps;
} adam_numbers;

static vec adam_step(vec x, vec *m, vec *v, vec dx, const adam_numbers *s)
{
    *m = mul_add(s->beta1, *m, s->rest1 * dx);
    *v = mul_add(s->beta2, *v, s->rest2 * dx * dx);
    return s->shrink * x - s->step * *m / mul_add(s->root, square_root(*v), s->eps);
}

/* The memory of elements to come, a line of the cache at a time: the processor foresees so many
 * streams only in part, and none beyond its page. */
static inline void ask_ahead(const float *x, const float *m, const float *v, const float *dx)
{
    __builtin_prefetch(x, 1);
    __builtin_prefetch(m, 1);
    __builtin_prefetch(v, 1);
    __builtin_prefetch(dx);
}

void GRDI_LOOP(adam_f32)(int64_t n, float *x, float *m, float *v, const float *dx,
                         const grdi_adam *numbers)
{
    enum { LINE = 16, AHEAD = 256 };
    const adam_numbers s = {
        all((float)numbers->beta1),  all((float)(1 - numbers->beta1)),
        all((float)numbers->beta2),  all((float)(1 - numbers->beta2)),
        all((float)numbers->shrink), all((float)numbers->step),
        all((float)numbers->root),   all((float)numbers->eps),
    };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        if (i % LINE == 0)
            ask_ahead(x + i + AHEAD, m + i + AHEAD, v + i + AHEAD, dx + i + AHEAD);
        vec first = load(m + i), second = load(v + i);
        store(x + i, adam_step(load(x + i), &first, &second, load(dx + i), &s));
        store(m + i, first);
        store(v + i, second);
    }
    if (i < n) {
        const vec none = all(0), d = load_part(dx + i, n - i, none);
        vec first = load_part(m + i, n - i, none), second = load_part(v + i, n - i, none);
        store_part(x + i, n - i, adam_step(load_part(x + i, n - i, none), &first, &second, d, &s));
        store_part(m + i, n - i, first);
        store_part(v + i, n - i, second);
    }
}
