/* Sums at indices, in the indices' order and without atomics: each target belongs to one block,
 * which walks over all indices and takes its own. What it takes it lists, so that it adds many at
 * a time. */
#ifndef GRDI_CUDA_INDEX_CUH
#define GRDI_CUDA_INDEX_CUH

#include "tensor/cuda/kernel.cuh"
#include "tensor/cuda/index.h"

/* An index that was found, and where. */
struct found {
    int64_t position, target;
};

/* Scattered evenly over 0..classes - 1, whatever step the targets have. */
__device__ inline unsigned class_of(int64_t target, unsigned classes)
{
    return __umulhi((unsigned)target * 0x9E3779B9u, classes);
}

/* The same, independent of it. */
__device__ inline unsigned part_of(int64_t target, unsigned parts)
{
    return __umulhi((unsigned)target * 0x85EBCA6Bu, parts);
}

/* Calls add(list, count) for the indices of one class, in their order, some at a time; the whole
 * block of GRDI_CUDA_ADDERS threads does it. target_at(i) is index i of n. */
template <class TargetAt, class Add>
__device__ inline void take_class(int64_t n, unsigned classes, unsigned own, TargetAt target_at,
                                  Add add)
{
    enum { EACH = GRDI_CUDA_TILE / GRDI_CUDA_ADDERS, WARPS = GRDI_CUDA_ADDERS / 32 };
    enum { ROOM = 2 * GRDI_CUDA_TILE };
    GRDI_SHARED(found, list, ROOM);
    GRDI_SHARED(unsigned, counts, EACH *WARPS);
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned held = 0;
#pragma unroll 1
    for (int64_t tile = 0; tile < n; tile += GRDI_CUDA_TILE) {
        found here[EACH];
        unsigned taken[EACH];
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            here[e].position = tile + e * GRDI_CUDA_ADDERS + threadIdx.x;
            here[e].target = here[e].position < n ? target_at(here[e].position) : -1;
        }
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            const bool is_own = here[e].target >= 0 && class_of(here[e].target, classes) == own;
            taken[e] = __ballot_sync(~0u, is_own);
            if (lane == 0)
                counts[e * WARPS + warp] = __popc(taken[e]);
        }
        __syncthreads();
#pragma unroll
        for (int e = 0; e < EACH; e++)
#pragma unroll
            for (unsigned w = 0; w < WARPS; w++) {
                if (w == warp && taken[e] >> lane & 1)
                    list[held + __popc(taken[e] & ((1u << lane) - 1))] = here[e];
                held += counts[e * WARPS + w];
            }
        __syncthreads();
        if (held > ROOM - GRDI_CUDA_TILE || tile + GRDI_CUDA_TILE >= n) {
            add(list, held);
            held = 0;
            __syncthreads();
        }
    }
}

#endif
