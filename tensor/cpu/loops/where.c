#include "tensor/cpu/loops.h"

void GRDI_LOOP(where_f32)(int64_t n, float *y, const bool *condition, const float *a,
                          const float *b)
{
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = condition[i] ? a[i] : b[i];
}

void GRDI_LOOP(masked_fill_f32)(int64_t n, float *y, const float *x, const bool *mask, float value)
{
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = mask[i] ? value : x[i];
}
