/* What the launcher and the kernel of matrix products share. */
#ifndef GRDI_CUDA_MATMUL_H
#define GRDI_CUDA_MATMUL_H

enum { GRDI_CUDA_TILE = 64, GRDI_CUDA_MATMUL_THREADS = 256 };

#endif
