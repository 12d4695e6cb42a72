#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(where);

grd_status grdi_cuda_where(grd_device *device, const grdi_array *y, const grdi_array *condition,
                           const grdi_array *a, const grdi_array *b)
{
    return grdi_cuda_map(device, &grdi_cuda_image_where, "where", y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, (void *)condition, (void *)a, (void *)b });
}

grd_status grdi_cuda_masked_fill(grd_device *device, const grdi_array *y, const grdi_array *x,
                                 const grdi_array *mask, double value)
{
    return grdi_cuda_map(device, &grdi_cuda_image_where, "masked_fill", y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, (void *)x, (void *)mask, &value });
}
