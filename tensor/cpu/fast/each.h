/* What loops that compute element by element share. */
#ifndef GRDI_CPU_FAST_EACH_H
#define GRDI_CPU_FAST_EACH_H

#include "tensor/cpu/fast/vector.h"

/* y = f(x). Inlined, so that each use becomes a loop of its own. */
static inline __attribute__((always_inline)) void each(int64_t n, float *y, const float *x,
                                                       vec (*f)(vec x))
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, f(load(x + i)));
    if (i < n)
        store_part(y + i, n - i, f(load_part(x + i, n - i, all(1))));
}

/* x, but not beyond the limit, where what it is used for no longer changes. */
static inline vec within(vec x, float limit)
{
    return min(all(limit), max(all(-limit), x));
}

#endif
