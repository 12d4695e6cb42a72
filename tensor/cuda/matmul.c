#include "tensor/cuda/matmul.h"
#include "tensor/cuda/teams.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(matmul);

static int64_t tiles_in(int64_t size)
{
    return (size + GRDI_CUDA_TILE - 1) / GRDI_CUDA_TILE;
}

grd_status grdi_cuda_matmul(grd_device *device, const grdi_array *y, const grdi_array *a,
                            const grdi_array *b, const grdi_array *bias)
{
    const int batch = y->rank - 2;
    int64_t tiles = tiles_in(y->dim[batch].size) * tiles_in(y->dim[batch + 1].size);
    for (int d = 0; d < batch; d++)
        tiles *= y->dim[d].size;
    grdi_array vector = grdi_cuda_array_or_none(bias);
    return grdi_cuda_launch(
        device, &grdi_cuda_image_matmul, "matmul", y->dtype,
        (grdi_cuda_size){ grdi_cuda_blocks_for(device, tiles), GRDI_CUDA_MATMUL_THREADS, 0 },
        (void *[]){ &tiles, (void *)y, (void *)a, (void *)b, &vector });
}
