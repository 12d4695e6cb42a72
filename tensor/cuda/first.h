/* Where on a GPU the first of something is: kernels make it smaller (first.cuh). */
#ifndef GRDI_CUDA_FIRST_H
#define GRDI_CUDA_FIRST_H

#include "tensor/cuda/launch.h"

/* A place on the device that holds -1, for none yet; NULL with an error latched. */
int64_t *grdi_cuda_first(grd_device *device);

/* What it holds once all work is done, if `status`, that of the work, is good; frees it. */
grd_status grdi_cuda_first_read(grd_device *device, int64_t *first, grd_status status,
                                int64_t *position);

#endif
