#include "tensor/cpu/loops.h"

#include <math.h>

/* Independent: y is x or apart from it, which the compiler cannot know. */
#define UNARY(name, value)                                                                         \
    void GRDI_LOOP(name)(int64_t n, float *y, const float *x)                                      \
    {                                                                                              \
        GRDI_INDEPENDENT                                                                           \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = value;                                                                          \
    }

UNARY(abs_f32, fabsf(x[i]))
UNARY(sign_f32, x[i] > 0 ? 1 : x[i] < 0 ? -1 : x[i])
UNARY(square_f32, x[i] * x[i])
UNARY(sqrt_f32, sqrtf(x[i]))
UNARY(rsqrt_f32, 1 / sqrtf(x[i]))
UNARY(relu_f32, x[i] > 0 || x[i] != x[i] ? x[i] : 0)
