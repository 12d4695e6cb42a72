#include "tensor/cpu/loops.h"

#include <math.h>

/* The mean is taken off in two steps: `shift` is near it, and the rest is small enough for what
 * f32 rounds away not to matter. */

void GRDI_LOOP(norm_f32)(int64_t n, float *y, const float *x, const float *weight,
                         const float *bias, bool centre, double eps, double stats[2])
{
    float shift = 0, sum = 0, squares = 0;
    for (int64_t i = 0; centre && i < n; i++)
        shift += x[i];
    shift /= (float)n;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] - shift;
        squares += (x[i] - shift) * (x[i] - shift);
    }
    const float rest = centre ? sum / (float)n : 0;
    const float var = squares / (float)n - rest * rest;
    const float factor = 1 / sqrtf((var < 0 ? 0 : var) + (float)eps);
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - shift - rest) * factor * weight[i] + bias[i];
    stats[0] = (double)shift + (double)rest;
    stats[1] = (double)factor;
}

void GRDI_LOOP(norm_backward_f32)(int64_t n, float *dx, float *dweight, float *dbias,
                                  const float *dy, const float *x, const float *weight, bool centre,
                                  const double stats[2])
{
    const float shift = (float)stats[0], rest = (float)(stats[0] - (double)shift);
    const float factor = (float)stats[1];
    float sum = 0, product = 0;
    for (int64_t i = 0; i < n; i++) {
        const float normal = (x[i] - shift - rest) * factor, g = dy[i] * weight[i];
        sum += g;
        product += g * normal;
        dweight[i] += dy[i] * normal;
        dbias[i] += dy[i];
    }
    const float mean = centre ? sum / (float)n : 0, slope = product / (float)n;
    for (int64_t i = 0; i < n; i++)
        dx[i] = factor * (dy[i] * weight[i] - mean - (x[i] - shift - rest) * factor * slope);
}
