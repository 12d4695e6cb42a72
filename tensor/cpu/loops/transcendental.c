#include "tensor/cpu/loops.h"

#include <math.h>

#define UNARY(name, value)                                                                         \
    void GRDI_LOOP(name)(int64_t n, float *y, const float *x)                                      \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = value;                                                                          \
    }
UNARY(log_f32, logf(x[i]))
UNARY(sin_f32, sinf(x[i]))
UNARY(cos_f32, cosf(x[i]))

void GRDI_LOOP(pow_f32)(int64_t n, float *y, const float *a, const float *b)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = powf(a[i], b[i]);
}

void GRDI_LOOP(pow_scalar_f32)(int64_t n, float *y, const float *x, float b)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = powf(x[i], b);
}
