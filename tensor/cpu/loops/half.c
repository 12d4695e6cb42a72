#include "tensor/cpu/half.h"
#include "tensor/cpu/loops.h"

#define CONVERT(name, to, from, value)                                                             \
    void GRDI_LOOP(name)(int64_t n, to * y, const from *x)                                         \
    {                                                                                              \
        GRDI_INDEPENDENT                                                                           \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = value;                                                                          \
    }
CONVERT(f16_of_f32, uint16_t, float, f16_of_f32(x[i]))
CONVERT(f32_of_f16, float, uint16_t, from_f16(x[i]))
