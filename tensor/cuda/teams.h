/* How kernels are launched whose teams of threads do a row each: teams.cuh is their other half. */
#ifndef GRDI_CUDA_TEAMS_H
#define GRDI_CUDA_TEAMS_H

#include "tensor/cuda/launch.h"

/* Threads for a row of n elements: a warp, or a block. */
int grdi_cuda_team(int64_t n);

/* The size at which teams walk over rows. */
grdi_cuda_size grdi_cuda_size_for_rows(grd_device *device, int64_t rows, int team);

/* Rows of x along its last dimension. */
int64_t grdi_cuda_rows(const grdi_array *x);

/* x, or an array without data for NULL, as kernels take it. */
grdi_array grdi_cuda_array_or_none(const grdi_array *x);

#endif
