#include "tensor/cuda/convert.cuh"
#include "tensor/cuda/map.cuh"

/* Elements are chosen as they are stored. */
#define WHERE(dtype, type)                                                                         \
    GRDI_KERNEL(where_##dtype, int64_t n, grdi_array y, grdi_array condition, grdi_array left,     \
                grdi_array right)                                                                  \
    {                                                                                              \
        typedef stored<type> T;                                                                    \
        map<T, bool, T, T>(                                                                        \
            n, [](bool first, T a, T b) { return first ? a : b; }, y, condition, left, right);     \
    }                                                                                              \
    GRDI_KERNEL(masked_fill_##dtype, int64_t n, grdi_array y, grdi_array x, grdi_array mask,       \
                double value)                                                                      \
    {                                                                                              \
        typedef stored<type> T;                                                                    \
        const T element = { converted<type>(value) };                                              \
        map<T, T, bool>(                                                                           \
            n, [element](T a, bool masked) { return masked ? element : a; }, y, x, mask);          \
    }
WHERE(f16, f16)
WHERE(bf16, bf16)
WHERE(f32, float)
WHERE(f64, double)
WHERE(i64, int64_t)
WHERE(bool, bool)
