/* Kernels that work element by element, each of the dtype of what it writes: map.cuh is their other
 * half. */
#ifndef GRDI_CUDA_MAP_H
#define GRDI_CUDA_MAP_H

#include "tensor/cuda/launch.h"

/* Elements that a thread does before there are more blocks. */
enum { GRDI_CUDA_EACH = 4 };

/* Runs a kernel over n elements; the first of its arguments is n itself, which is set here. */
grd_status grdi_cuda_map(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                         grd_dtype dtype, int64_t n, void *arguments[]);

grd_status grdi_cuda_map_1(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                           const grdi_array *y, const grdi_array *x);
grd_status grdi_cuda_map_2(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                           const grdi_array *y, const grdi_array *a, const grdi_array *b);

#endif
