/* Conversions between all dtypes, each rounded once, as the processor's (tensor/cpu/convert.h). */
#ifndef GRDI_CUDA_CONVERT_CUH
#define GRDI_CUDA_CONVERT_CUH

#include "tensor/cuda/kernel.cuh"
#include "tensor/bits.h"

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
    return odd_f32(x);
}

__device__ inline float before_16(int64_t x)
{
    return odd_f32(odd_f64(x));
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
