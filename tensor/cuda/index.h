/* What kernels and launchers of sums at indices have in common. */
#ifndef GRDI_CUDA_INDEX_H
#define GRDI_CUDA_INDEX_H

#include "tensor/backend.h"

/* Threads of a block, and how many indices it looks at at a time. */
enum { GRDI_CUDA_ADDERS = 128, GRDI_CUDA_TILE = 512 };

/* Many sums along one dimension: `y`, `x` and `index` without it, and what it has. */
typedef struct grdi_cuda_scatter {
    grdi_array y, x, index;
    int64_t count, sequences;
    int64_t x_stride, index_stride;
    grdi_dim along; /* what the indices move in */
} grdi_cuda_scatter;

#endif
