/* Random numbers on GPUs, the same bits as the processor's (tensor/rng.h). */
#ifndef GRDI_CUDA_PHILOX_CUH
#define GRDI_CUDA_PHILOX_CUH

#include "tensor/cuda/kernel.cuh"
#include "tensor/philox.h"

/* The upper or lower words of the four elements from 4 block on. */
struct four_words {
    uint32_t at[4];
};

__device__ inline four_words random_words(grdi_draw draw, int64_t block, uint32_t lane)
{
    const uint64_t number = draw.counter + (uint64_t)block;
    four_words w = { { (uint32_t)number, (uint32_t)(number >> 32), lane, GRDI_USE_DRAW } };
    grdi_philox(w.at, draw.key);
    return w;
}

/* All 64 bits of element i. */
__device__ inline uint64_t random_bits(grdi_draw draw, int64_t i)
{
    const four_words high = random_words(draw, i / 4, GRDI_HIGH);
    const four_words low = random_words(draw, i / 4, GRDI_LOW);
    const int k = (int)(i % 4);
    /* Chosen, not indexed, so that the words stay in registers. */
    const uint32_t above = k < 2 ? high.at[k == 1] : high.at[2 + (k == 3)];
    const uint32_t below = k < 2 ? low.at[k == 1] : low.at[2 + (k == 3)];
    return (uint64_t)above << 32 | below;
}

#endif
