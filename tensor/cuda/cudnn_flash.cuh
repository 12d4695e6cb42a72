/* What the kernels around cuDNN's attention are told; cudnn_flash.cu is their half on the GPU. */
#ifndef GRDI_CUDA_CUDNN_FLASH_CUH
#define GRDI_CUDA_CUDNN_FLASH_CUH

#include "tensor/backend.h"

/* Which keys queries see by their places: grdi_flash, and sizes. */
typedef struct grdi_cudnn_seen {
    int samples, heads, queries, keys;
    int64_t left, right, offset; /* small enough to be added to */
    bool by_length;
    const int64_t *lengths; /* NULL: all keys */
    int64_t length;         /* their stride */
} grdi_cudnn_seen;

#endif
