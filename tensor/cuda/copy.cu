#include "tensor/cuda/convert.cuh"
#include "tensor/cuda/map.cuh"

#define WITHIN(dtype, type)                                                                        \
    GRDI_KERNEL(copy_##dtype, int64_t n, grdi_array y, grdi_array x)                               \
    {                                                                                              \
        map<stored<type>, stored<type>>(                                                           \
            n, [](stored<type> a) { return a; }, y, x);                                            \
    }
WITHIN(f16, unsigned short)
WITHIN(bf16, unsigned short)
WITHIN(f32, float)
WITHIN(f64, double)
WITHIN(i64, int64_t)
WITHIN(bool, bool)

/* copy_from_A_B: from A to B. */
#define CAST(to, to_type, from, from_type)                                                         \
    GRDI_KERNEL(copy_from_##from##_##to, int64_t n, grdi_array y, grdi_array x)                    \
    {                                                                                              \
        map<stored<to_type>, from_type>(                                                           \
            n, [](number_of<from_type> a) { return stored<to_type>{ converted<to_type>(a) }; }, y, \
            x);                                                                                    \
    }
#define CAST_ALL(to, type)                                                                         \
    CAST(to, type, f16, f16)                                                                       \
    CAST(to, type, bf16, bf16)                                                                     \
    CAST(to, type, f32, float)                                                                     \
    CAST(to, type, f64, double)                                                                    \
    CAST(to, type, i64, int64_t)                                                                   \
    CAST(to, type, bool, bool)
CAST_ALL(f16, f16)
CAST_ALL(bf16, bf16)
CAST_ALL(f32, float)
CAST_ALL(f64, double)
CAST_ALL(i64, int64_t)
CAST_ALL(bool, bool)

#define FILL(dtype, type)                                                                          \
    GRDI_KERNEL(fill_##dtype, int64_t n, grdi_array y, double value)                               \
    {                                                                                              \
        const type element = converted<type, double>(value);                                       \
        map<stored<type>>(                                                                         \
            n, [element] { return stored<type>{ element }; }, y);                                  \
    }
FILL(f16, f16)
FILL(bf16, bf16)
FILL(f32, float)
FILL(f64, double)
FILL(i64, int64_t)
FILL(bool, bool)
