#include "tensor/cuda/convert.cuh"
#include "tensor/cuda/map.cuh"

/* In f32 squares and roots are worth a shorter way, as on the processor, of whose special cases
 * f64 keeps pow's. */
__device__ inline float power(float x, float b)
{
    return b == 2 ? x * x : b == 0.5f ? sqrt(x) : pow(x, b);
}

__device__ inline double power(double x, double b)
{
    return pow(x, b);
}

/* Numbers come as f64 and are rounded to what is computed in. Integers wrap around. */
#define SCALAR_OF(dtype, type, name, value)                                                        \
    GRDI_KERNEL(name##_##dtype, int64_t n, grdi_array y, grdi_array from, double number)           \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        const T b = converted<T>(number);                                                          \
        map<type, type>(                                                                           \
            n, [b](T x) -> T { return value; }, y, from);                                          \
    }
KERNELS_OF_FLOATS(SCALAR_OF, div_scalar, x / b)
KERNELS_OF_FLOATS(SCALAR_OF, pow_scalar, power(x, b))

#define TWO_SCALARS_OF(dtype, type, name, value)                                                   \
    GRDI_KERNEL(name##_##dtype, int64_t n, grdi_array y, grdi_array from, double first,            \
                double second)                                                                     \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        const T a = converted<T>(first), b = converted<T>(second);                                 \
        map<type, type>(                                                                           \
            n, [a, b](T x) -> T { return value; }, y, from);                                       \
    }
KERNELS_OF_FLOATS(TWO_SCALARS_OF, affine, a *x + b)
TWO_SCALARS_OF(i64, int64_t, affine, (T)((uint64_t)a *(uint64_t)x + (uint64_t)b))

#define SCALE_BY_OF(dtype, type, ...)                                                              \
    GRDI_KERNEL(scale_by_##dtype, int64_t n, grdi_array y, grdi_array from, const double *factor)  \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        const T a = converted<T>(*factor);                                                         \
        map<type, type>(                                                                           \
            n, [a](T x) -> T { return a * x; }, y, from);                                          \
    }
KERNELS_OF_FLOATS(SCALE_BY_OF, )

template <class T> __device__ inline T clamped(T x, T low, T high)
{
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
}
KERNELS_OF_FLOATS(TWO_SCALARS_OF, clamp, clamped(x, a, b))

/* An infinite bound is none, which no i64 says. */
GRDI_KERNEL(clamp_i64, int64_t n, grdi_array y, grdi_array from, double first, double second)
{
    const int64_t low = first < -0x1p63 ? INT64_MIN : (int64_t)first;
    const int64_t high = second >= 0x1p63 ? INT64_MAX : (int64_t)second;
    map<int64_t, int64_t>(
        n, [low, high](int64_t x) { return clamped(x, low, high); }, y, from);
}

#define ADD_SCALED_OF(dtype, type, value)                                                          \
    GRDI_KERNEL(add_scaled_##dtype, int64_t n, grdi_array y, grdi_array left, grdi_array right,    \
                double number)                                                                     \
    {                                                                                              \
        typedef number_of<type> T;                                                                 \
        const T factor = converted<T>(number);                                                     \
        map<type, type, type>(                                                                     \
            n, [factor](T a, T b) -> T { return value; }, y, left, right);                         \
    }
KERNELS_OF_FLOATS(ADD_SCALED_OF, a + factor * b)
ADD_SCALED_OF(i64, int64_t, (T)((uint64_t)a + (uint64_t)factor * (uint64_t)b))
