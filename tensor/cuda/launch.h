/* How the host runs the kernels of a .cu file. */
#ifndef GRDI_CUDA_LAUNCH_H
#define GRDI_CUDA_LAUNCH_H

#include "tensor/cuda/device.h"

/* What nvcc made of NAME.cu is grdi_cuda_image_NAME. */
#define GRDI_CUDA_IMAGE(name) extern const grdi_cuda_image grdi_cuda_image_##name

/* `blocks` of `threads` each, and what a block has of shared memory beyond what its kernel names.
 */
typedef struct grdi_cuda_size {
    unsigned blocks, threads, shared;
} grdi_cuda_size;

/* Runs the kernel NAME_DTYPE of an image, once what was launched before is done. `arguments` points
 * at each of its parameters. `kernel` is a literal: it is told from others by its address. No
 * blocks: nothing runs. */
grd_status grdi_cuda_launch(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                            grd_dtype dtype, grdi_cuda_size size, void *arguments[]);

enum { GRDI_CUDA_THREADS = 256 };

/* `wanted` blocks, or as many as keep the GPU busy. */
unsigned grdi_cuda_blocks_for(grd_device *device, int64_t wanted);

/* The size at which n elements are walked over, `each` by a thread at most. */
grdi_cuda_size grdi_cuda_size_for(grd_device *device, int64_t n, int64_t each);

#endif
