/* Conversions between all dtypes, each rounded once, as the processor's (tensor/cpu/convert.h). */
#ifndef GRDI_CUDA_CONVERT_CUH
#define GRDI_CUDA_CONVERT_CUH

#include "tensor/cuda/kernel.cuh"

__device__ inline float float_of(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

__device__ inline unsigned bits_of(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* x as f32 such that rounding it once more, to far fewer bits, rounds x once: cut off towards zero,
 * with the last bit set if that lost anything (Boldo and Melquiond, "round to odd"). */
__device__ inline float odd(double x)
{
    const float near = (float)x;
    if ((double)near == x || x != x)
        return near;
    return float_of((bits_of(near) - (fabs((double)near) > fabs(x))) | 1u);
}

/* The same for an integer that f64 may be too short for. */
__device__ inline double odd(int64_t x)
{
    const uint64_t size = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    const uint64_t kept = size >> 53 ? (size >> 11 | ((size & 0x7ff) != 0)) << 11 : size;
    return x < 0 ? -(double)kept : (double)kept;
}

/* A number as what is stored of it: To is a stored type, From one that is computed with. */
template <class To, class From> struct conversion {
    __device__ static To of(From x)
    {
        return (To)x;
    }
};

template <class From> struct conversion<bool, From> {
    __device__ static bool of(From x)
    {
        return x != 0;
    }
};

/* A NaN, or what does not fit, becomes the smallest integer. */
template <class From> struct conversion<int64_t, From> {
    __device__ static int64_t of(From x)
    {
        return x >= (From)-0x1p63 && x < (From)0x1p63 ? (int64_t)x : INT64_MIN;
    }
};

template <> struct conversion<int64_t, int64_t> {
    __device__ static int64_t of(int64_t x)
    {
        return x;
    }
};

template <> struct conversion<int64_t, bool> {
    __device__ static int64_t of(bool x)
    {
        return x;
    }
};

__device__ inline float before_16(float x)
{
    return x;
}

__device__ inline float before_16(double x)
{
    return odd(x);
}

__device__ inline float before_16(int64_t x)
{
    return odd(odd(x));
}

__device__ inline float before_16(bool x)
{
    return x;
}

template <class From> struct conversion<f16, From> {
    __device__ static f16 of(From x)
    {
        f16 y;
        put(&y, before_16(x));
        return y;
    }
};

template <class From> struct conversion<bf16, From> {
    __device__ static bf16 of(From x)
    {
        bf16 y;
        put(&y, before_16(x));
        return y;
    }
};

template <class To, class From> __device__ inline To converted(From x)
{
    return conversion<To, From>::of(x);
}

#endif
