#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(attention_mask);

grd_status grdi_cuda_attention_mask(grd_device *device, const grdi_array *y, const grdi_mask *mask)
{
    const int64_t count = grdi_count(y), length = y->dim[y->rank - 1].size;
    if (count == 0)
        return GRD_OK;
    int64_t rows = count / length;
    return grdi_cuda_launch(device, &grdi_cuda_image_attention_mask, "attention_mask",
                            mask->additive.data ? mask->additive.dtype : GRD_F32,
                            grdi_cuda_block_a_row(device, rows, length, 4, 256),
                            (void *[]){ &rows, (void *)y, (void *)mask });
}
