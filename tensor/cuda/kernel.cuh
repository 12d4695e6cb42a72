/* What every kernel is written with: the numbers that arrays hold, and those that are computed
 * with. nvcc compiles it for GPUs; the tests compile it for the processor, with a header of their
 * own in front that says what CUDA's words mean there (tests/cuda/emulation.h). */
#ifndef GRDI_CUDA_KERNEL_CUH
#define GRDI_CUDA_KERNEL_CUH

#include "tensor/backend.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>

/* A kernel: GRDI_KERNEL(name, parameters...) { body }. */
#define GRDI_KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)

/* The same, never launched with more threads to a block: it may use the registers of the others. */
#define GRDI_KERNEL_OF(threads, name, ...)                                                         \
    extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)

/* Memory that a block shares: GRDI_SHARED(float, sums, 32). Unset at first. */
#define GRDI_SHARED(type, name, count) __shared__ type name[count]

/* The same, as much as the launch says. */
#define GRDI_SHARED_REST(type, name) extern __shared__ __align__(16) type name[]
#endif

/* A number of 16 bits, which is computed with in f32. */
struct f16 {
    unsigned short bits;
};

struct bf16 {
    unsigned short bits;
};

#ifdef __CUDACC__
__device__ inline float number(f16 x)
{
    return __half2float(__ushort_as_half(x.bits));
}

__device__ inline float number(bf16 x)
{
    return __bfloat162float(__ushort_as_bfloat16(x.bits));
}

__device__ inline void put(f16 *to, float x)
{
    to->bits = __half_as_ushort(__float2half_rn(x));
}

__device__ inline void put(bf16 *to, float x)
{
    to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}
#else
inline float number(f16 x)
{
    return f16_to_float(x.bits);
}

inline float number(bf16 x)
{
    return bf16_to_float(x.bits);
}

inline void put(f16 *to, float x)
{
    to->bits = float_to_f16(x);
}

inline void put(bf16 *to, float x)
{
    to->bits = float_to_bf16(x);
}
#endif

/* Any other is computed with as it is. */
template <class T> __device__ inline T number(T x)
{
    return x;
}

template <class T> __device__ inline void put(T *to, T x)
{
    *to = x;
}

/* What elements of T are computed in. */
template <class T> struct computed {
    typedef T type;
};
template <> struct computed<f16> {
    typedef float type;
};
template <> struct computed<bf16> {
    typedef float type;
};
template <class T> using number_of = typename computed<T>::type;

/* KERNELS_OF_FLOATS(macro, ...) is macro(dtype, type, ...) for every floating dtype; the names are
 * those of grdi_dtype_name. */
#define KERNELS_OF_FLOATS(macro, ...)                                                              \
    macro(f16, f16, __VA_ARGS__) macro(bf16, bf16, __VA_ARGS__) macro(f32, float, __VA_ARGS__)     \
        macro(f64, double, __VA_ARGS__)
#define KERNELS_OF_NUMBERS(macro, ...)                                                             \
    KERNELS_OF_FLOATS(macro, __VA_ARGS__) macro(i64, int64_t, __VA_ARGS__)

#endif
