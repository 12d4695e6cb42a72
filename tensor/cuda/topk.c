#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(topk);

grd_status grdi_cuda_topk(grd_device *device, const grdi_array *values, const grdi_array *index,
                          const grdi_array *x)
{
    const int64_t count = grdi_count(values), length = x->dim[x->rank - 1].size;
    if (count == 0)
        return GRD_OK;
    const int64_t k = values->dim[values->rank - 1].size;
    int64_t rows = count / k;
    const grdi_cuda_size size = grdi_cuda_block_a_row(device, rows, length, 4, 1024);
    const size_t bytes = size.blocks * (size_t)k * 2 * sizeof(int64_t);
    int64_t *room = grdi_cuda_allocate(device, bytes);
    if (!room)
        return GRD_ERROR_MEMORY;
    const grd_status status =
        grdi_cuda_launch(device, &grdi_cuda_image_topk, "topk", x->dtype, size,
                         (void *[]){ &rows, (void *)values, (void *)index, (void *)x, &room });
    grdi_cuda_free(device, room, bytes);
    return status;
}
