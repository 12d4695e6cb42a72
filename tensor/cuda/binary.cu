#include "tensor/cuda/map.cuh"

#define KERNEL_OF(dtype, type, name, value)                                                        \
    GRDI_KERNEL(name##_##dtype, int64_t n, grdi_array y, grdi_array left, grdi_array right)        \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        map<type, type, type>(                                                                     \
            n, [](T a, T b) -> T { return value; }, y, left, right);                               \
    }
#define FLOATS(name, value) KERNELS_OF_FLOATS(KERNEL_OF, name, value)
FLOATS(add, a + b)
FLOATS(sub, a - b)
FLOATS(mul, a *b)
FLOATS(div, a / b)
FLOATS(pow, pow(a, b))
FLOATS(maximum, a > b || a != a ? a : b)
FLOATS(minimum, a < b || a != a ? a : b)

/* Integers wrap around. */
KERNEL_OF(i64, int64_t, add, (T)((uint64_t)a + (uint64_t)b))
KERNEL_OF(i64, int64_t, sub, (T)((uint64_t)a - (uint64_t)b))
KERNEL_OF(i64, int64_t, mul, (T)((uint64_t)a *(uint64_t)b))
KERNEL_OF(i64, int64_t, maximum, a > b ? a : b)
KERNEL_OF(i64, int64_t, minimum, a < b ? a : b)
