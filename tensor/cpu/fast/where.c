#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

void GRDI_LOOP(where_f32)(int64_t n, float *y, const bool *condition, const float *a,
                          const float *b)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, choose(lanes_of(condition + i), load(a + i), load(b + i)));
    for (; i < n; i++)
        y[i] = condition[i] ? a[i] : b[i];
}

void GRDI_LOOP(masked_fill_f32)(int64_t n, float *y, const float *x, const bool *mask, float value)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, choose(lanes_of(mask + i), all(value), load(x + i)));
    for (; i < n; i++)
        y[i] = mask[i] ? value : x[i];
}
