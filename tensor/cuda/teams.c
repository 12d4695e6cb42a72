#include "tensor/cuda/teams.h"

enum { WARP = 32, LONGEST_OF_WARP = 1024 };

int grdi_cuda_team(int64_t n)
{
    return n <= LONGEST_OF_WARP ? WARP : GRDI_CUDA_THREADS;
}

grdi_cuda_size grdi_cuda_size_for_rows(grd_device *device, int64_t rows, int team)
{
    return grdi_cuda_size_for(device, rows * team, 1);
}

int64_t grdi_cuda_rows(const grdi_array *x)
{
    int64_t rows = 1;
    for (int d = 0; d < x->rank - 1; d++)
        rows *= x->dim[d].size;
    return rows;
}

grdi_array grdi_cuda_array_or_none(const grdi_array *x)
{
    return x ? *x : (grdi_array){ .data = NULL };
}
