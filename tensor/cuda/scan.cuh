/* Sums over the threads of a block, in an order that is always the same. */
#ifndef GRDI_CUDA_SCAN_CUH
#define GRDI_CUDA_SCAN_CUH

#include "tensor/cuda/kernel.cuh"

/* The sum of the values of the threads before this one, and of all. */
template <class T> struct sums {
    T before, all;
};

/* All threads of the block call it, whole warps; `shared` has a place for each warp. */
template <class T> __device__ inline sums<T> scan(T value, T *shared)
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    T sum = value;
#pragma unroll
    for (unsigned d = 1; d < 32; d *= 2) {
        const T left = __shfl_up_sync(~0u, sum, d);
        if (lane >= d)
            sum += left;
    }
    const T left = __shfl_up_sync(~0u, sum, 1u);
    sums<T> found = { T(0), T(0) };
    if (lane == 31)
        shared[warp] = sum;
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / 32; w++) {
        if (w == warp)
            found.before = lane > 0 ? found.all + left : found.all;
        found.all += shared[w];
    }
    __syncthreads();
    return found;
}

#endif
