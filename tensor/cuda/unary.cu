#include "tensor/cuda/map.cuh"

#define KERNEL_OF(dtype, type, name, value)                                                        \
    GRDI_KERNEL(name##_##dtype, int64_t n, grdi_array y, grdi_array a)                             \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        map<type, type>(                                                                           \
            n, [](T x) -> T { return value; }, y, a);                                              \
    }
#define FLOATS(name, value) KERNELS_OF_FLOATS(KERNEL_OF, name, value)
FLOATS(abs, fabs(x))
FLOATS(sign, x > 0 ? T(1) : x < 0 ? T(-1) : x)
FLOATS(square, x *x)
FLOATS(exp, exp(x))
FLOATS(log, log(x))
FLOATS(sqrt, sqrt(x))
FLOATS(rsqrt, T(1) / sqrt(x))
FLOATS(sin, sin(x))
FLOATS(cos, cos(x))

/* Integers wrap around. */
KERNEL_OF(i64, int64_t, abs, x < 0 ? (T)(0 - (uint64_t)x) : x)
KERNEL_OF(i64, int64_t, sign, (x > 0) - (x < 0))
KERNEL_OF(i64, int64_t, square, (T)((uint64_t)x *(uint64_t)x))
