#include "tensor/cpu/loops.h"

void GRDI_LOOP(affine_f32)(int64_t n, float *y, const float *x, float scale, float offset)
{
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = scale * x[i] + offset;
}

void GRDI_LOOP(div_scalar_f32)(int64_t n, float *y, const float *x, float b)
{
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / b;
}

void GRDI_LOOP(clamp_f32)(int64_t n, float *y, const float *x, float low, float high)
{
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        const float raised = x[i] < low ? low : x[i];
        y[i] = raised > high ? high : raised;
    }
}

void GRDI_LOOP(add_scaled_f32)(int64_t n, float *y, const float *a, const float *b, float factor)
{
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + factor * b[i];
}
