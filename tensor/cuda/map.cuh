/* Element by element: each thread computes some elements of the result. */
#ifndef GRDI_CUDA_MAP_CUH
#define GRDI_CUDA_MAP_CUH

#include "tensor/cuda/kernel.cuh"

__device__ inline int64_t thread_of_grid()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline int64_t threads_of_grid()
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* i / by and i % by of numbers that are not negative: most have 32 bits. */
struct split {
    int64_t quotient, rest;
};

__device__ inline split divided(int64_t i, int64_t by)
{
    if ((i | by) >> 32 == 0) {
        const unsigned quotient = (unsigned)i / (unsigned)by;
        return { quotient, (unsigned)i - quotient * (unsigned)by };
    }
    return { i / by, i % by };
}

/* Where in memory the i-th element lies, in row-major order. Few divisions have 64 bits. */
__device__ inline int64_t offset_of(const grdi_array &x, int64_t i)
{
    int64_t offset = 0;
    if (i < INT32_MAX) {
        unsigned left = (unsigned)i;
#pragma unroll 1
        for (int d = x.rank - 1; d > 0; d--) {
            const unsigned size = (unsigned)x.dim[d].size, quotient = left / size;
            offset += (int64_t)(left - quotient * size) * x.dim[d].stride;
            left = quotient;
        }
        return x.rank ? offset + (int64_t)left * x.dim[0].stride : 0;
    }
#pragma unroll 1
    for (int d = x.rank - 1; d >= 0; d--) {
        offset += i % x.dim[d].size * x.dim[d].stride;
        i /= x.dim[d].size;
    }
    return offset;
}

/* An element as it is stored, which put and number leave as it is. */
template <class T> struct stored {
    T value;
};

/* As many elements as one instruction moves. */
template <class T, int N> struct alignas(sizeof(T) * N) pack {
    T at[N];
};

__device__ inline bool is_whole(const grdi_array &x)
{
    return (x.rank == 0 || (x.rank == 1 && x.dim[0].stride == 1)) && (uintptr_t)x.data % 16 == 0;
}

template <class... T> struct largest;
template <class T> struct largest<T> {
    static const int size = sizeof(T);
};
template <class T, class... Rest> struct largest<T, Rest...> {
    static const int rest = largest<Rest...>::size;
    static const int size = (int)sizeof(T) > rest ? (int)sizeof(T) : rest;
};

template <class Y, class F, int N, class... X>
__device__ inline void map_pack(pack<Y, N> *to, F f, const pack<X, N> &...from)
{
#pragma unroll
    for (int v = 0; v < N; v++)
        put(&to->at[v], f(number(from.at[v])...));
}

/* y = f(x...), n elements of the types Y and X... . */
template <class Y, class... X, class F, class... Array>
__device__ inline void map(int64_t n, F f, const grdi_array &y, const Array &...x)
{
    constexpr int N = largest<Y, X...>::size == 8 ? 2 : 4;
    const int64_t first = thread_of_grid(), step = threads_of_grid();
    int64_t done = 0;
    if (is_whole(y) && (is_whole(x) && ...)) {
#pragma unroll 1
        for (int64_t i = first; i < n / N; i += step)
            map_pack((pack<Y, N> *)y.data + i, f, ((const pack<X, N> *)x.data)[i]...);
        done = n / N * N;
    }
#pragma unroll 1
    for (int64_t i = done + first; i < n; i += step)
        put((Y *)y.data + offset_of(y, i), f(number(((const X *)x.data)[offset_of(x, i)])...));
}

#endif
