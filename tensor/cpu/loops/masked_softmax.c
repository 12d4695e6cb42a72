#include "tensor/cpu/loops.h"

#include <math.h>

void GRDI_LOOP(masked_softmax_f32)(int64_t n, float *y, float *lse, const float *x, float scale,
                                   const float *additive, const bool *keep)
{
    float max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        y[i] = keep && !keep[i] ? -INFINITY : scale * x[i] + (additive ? additive[i] : 0);
        max = y[i] > max || isnan(y[i]) ? y[i] : max;
    }
    const bool seen = max != -INFINITY;
    for (int64_t i = 0; i < n; i++)
        sum += y[i] = !seen || (keep && !keep[i]) ? 0 : expf(y[i] - max);
    for (int64_t i = 0; i < n; i++)
        y[i] = !seen || (keep && !keep[i]) ? 0 : y[i] / sum;
    if (lse)
        *lse = seen ? max + logf(sum) : -INFINITY;
}

void GRDI_LOOP(masked_softmax_backward_f32)(int64_t n, float *dx, const float *y, const float *dy,
                                            float scale, const bool *keep)
{
    float dot = 0;
    for (int64_t i = 0; i < n; i++)
        dot += keep && !keep[i] ? 0 : y[i] * dy[i];
    for (int64_t i = 0; i < n; i++)
        dx[i] = keep && !keep[i] ? 0 : scale * y[i] * (dy[i] - dot);
}
