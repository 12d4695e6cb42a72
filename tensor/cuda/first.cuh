/* The first position of something: the smallest, kept as unsigned, so that -1 is none. */
#ifndef GRDI_CUDA_FIRST_CUH
#define GRDI_CUDA_FIRST_CUH

#include "tensor/cuda/map.cuh"

__device__ inline void note_first(int64_t *first, int64_t position)
{
    atomicMin((unsigned long long *)first, (unsigned long long)position);
}

/* Notes the first of n elements, row-major, that `is_it` says yes to. */
template <class T, class Is>
__device__ inline void find_first(int64_t n, const grdi_array &x, int64_t *first, Is is_it)
{
    constexpr int N = sizeof(T) == 8 ? 2 : 4;
    int64_t done = 0;
    if (is_whole(x)) {
        done = n / N * N;
#pragma unroll 1
        for (int64_t i = thread_of_grid(); i < n / N; i += threads_of_grid()) {
            const pack<T, N> here = ((const pack<T, N> *)x.data)[i];
#pragma unroll
            for (int v = 0; v < N; v++)
                if (is_it(number(here.at[v])))
                    note_first(first, i * N + v);
        }
    }
#pragma unroll 1
    for (int64_t i = done + thread_of_grid(); i < n; i += threads_of_grid())
        if (is_it(number(((const T *)x.data)[offset_of(x, i)])))
            note_first(first, i);
}

#endif
