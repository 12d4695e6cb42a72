#include "tensor/cuda/convert.cuh"
#include "tensor/cuda/map.cuh"

/* Each of the dtype that is compared; how is a grdi_comparison. */
template <class T> __device__ inline bool holds(T a, T b, int how)
{
    switch (how) {
    case GRDI_EQ:
        return a == b;
    case GRDI_NE:
        return a != b;
    case GRDI_LT:
        return a < b;
    case GRDI_LE:
        return a <= b;
    case GRDI_GT:
        return a > b;
    default:
        return a >= b;
    }
}

#define COMPARE(dtype, type)                                                                       \
    GRDI_KERNEL(compare_##dtype, int64_t n, grdi_array y, grdi_array left, grdi_array right,       \
                int how)                                                                           \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        map<bool, type, type>(                                                                     \
            n, [how](T a, T b) { return holds(a, b, how); }, y, left, right);                      \
    }                                                                                              \
    GRDI_KERNEL(compare_scalar_##dtype, int64_t n, grdi_array y, grdi_array x, double scalar,      \
                int how)                                                                           \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        const T b = number(converted<type>(scalar));                                               \
        map<bool, type>(                                                                           \
            n, [b, how](T a) { return holds(a, b, how); }, y, x);                                  \
    }
COMPARE(f16, f16)
COMPARE(bf16, bf16)
COMPARE(f32, float)
COMPARE(f64, double)
COMPARE(i64, int64_t)
COMPARE(bool, bool)

GRDI_KERNEL(logical_and_bool, int64_t n, grdi_array y, grdi_array left, grdi_array right)
{
    map<bool, bool, bool>(
        n, [](bool a, bool b) -> bool { return a & b; }, y, left, right);
}

GRDI_KERNEL(logical_or_bool, int64_t n, grdi_array y, grdi_array left, grdi_array right)
{
    map<bool, bool, bool>(
        n, [](bool a, bool b) -> bool { return a | b; }, y, left, right);
}

GRDI_KERNEL(logical_not_bool, int64_t n, grdi_array y, grdi_array x)
{
    map<bool, bool>(
        n, [](bool a) { return !a; }, y, x);
}

#define ISFINITE(dtype, type, ...)                                                                 \
    GRDI_KERNEL(isfinite_##dtype, int64_t n, grdi_array y, grdi_array x)                           \
    {                                                                                              \
        map<bool, type>(                                                                           \
            n, [](number_of<type> a) { return fabs(a) < (number_of<type>)INFINITY; }, y, x);       \
    }
KERNELS_OF_FLOATS(ISFINITE, )
