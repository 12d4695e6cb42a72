#include "tensor/cpu/loops.h"

/* Independent: y is one of the inputs or apart from both, which the compiler cannot know. */
#define BINARY(name, value)                                                                        \
    void GRDI_LOOP(name)(int64_t n, float *y, const float *a, const float *b)                      \
    {                                                                                              \
        GRDI_INDEPENDENT                                                                           \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = value;                                                                          \
    }

BINARY(add_f32, a[i] + b[i])
BINARY(sub_f32, a[i] - b[i])
BINARY(mul_f32, a[i] * b[i])
BINARY(div_f32, a[i] / b[i])
BINARY(maximum_f32, a[i] > b[i] || a[i] != a[i] ? a[i] : b[i])
BINARY(minimum_f32, a[i] < b[i] || a[i] != a[i] ? a[i] : b[i])
BINARY(tanh_backward_f32, a[i] * (1 - b[i] * b[i]))
BINARY(sigmoid_backward_f32, a[i] * b[i] * (1 - b[i]))
BINARY(relu_backward_f32, b[i] <= 0 ? 0 : a[i])
