/* Word of an element that an op refuses, left where the host looks when it next waits. */
#ifndef GRDI_CUDA_REFUSAL_CUH
#define GRDI_CUDA_REFUSAL_CUH

#include "tensor/cuda/kernel.cuh"

template <class T> __device__ inline void set_value(grdi_refusal *refused, T value)
{
    refused->real = (double)value;
    refused->is_real = true;
}

__device__ inline void set_value(grdi_refusal *refused, int64_t value)
{
    refused->integer = value;
}

/* By one thread of a kernel, of which one runs at a time, so that the first word stands. `letter`
 * lies in the host's memory; its position is written last, since that is what the host asks. */
__device__ inline void leave_word(grdi_refusal *letter, grdi_refusal refused, int64_t position)
{
    volatile int64_t *told = &letter->position;
    if (*told >= 0)
        return;
    refused.position = -1;
    *letter = refused;
    __threadfence_system();
    *told = position;
}

#endif
