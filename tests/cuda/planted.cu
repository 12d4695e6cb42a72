/* A sum by one block, right and with a mistake: what the emulation is there to find. */
#include "tensor/cuda/kernel.cuh"

enum flaw {
    RIGHT,
    NO_BARRIER_BEFORE,
    NO_BARRIER_AFTER,
    READS_BEYOND,
    WRITES_BEYOND,
    HALF_A_BARRIER
};

__device__ inline float sum_of_warp(float x)
{
    for (int bits = 16; bits; bits /= 2)
        x += __shfl_xor_sync(~0u, x, bits);
    return x;
}

/* The sum of x over the block, for all of its threads. */
__device__ inline float sum_of_block(float x, float *sums, int flaw)
{
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    x = sum_of_warp(x);
    if (lane == 0)
        sums[warp] = x;
    if (flaw == HALF_A_BARRIER && warp % 2)
        __syncwarp();
    else if (flaw != NO_BARRIER_BEFORE)
        __syncthreads();
    x = sum_of_warp(lane < (int)blockDim.x / 32 ? sums[lane] : 0);
    if (flaw != NO_BARRIER_AFTER)
        __syncthreads();
    return x;
}

/* y[i] = (i + 1) times the sum of x [n], for each i of the block's threads that is below 3. */
GRDI_KERNEL(planted_f32, float *y, const float *x, int n, int flaw)
{
    GRDI_SHARED(float, sums, 32);
    for (int turn = 0; turn < 3; turn++) {
        float sum = 0;
        for (int i = (int)threadIdx.x; i < n + (flaw == READS_BEYOND); i += (int)blockDim.x)
            sum += x[i] * (float)(turn + 1);
        sum = sum_of_block(sum, sums, flaw);
        if (threadIdx.x == 0)
            y[turn + (flaw == WRITES_BEYOND)] = sum;
    }
}
