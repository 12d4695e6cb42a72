#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(make);

grd_status grdi_cuda_arange(grd_device *device, const grdi_array *y, int64_t start, int64_t step)
{
    return grdi_cuda_map(device, &grdi_cuda_image_make, "arange", y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, &start, &step });
}

grd_status grdi_cuda_linspace(grd_device *device, const grdi_array *y, double first, double last)
{
    return grdi_cuda_map(device, &grdi_cuda_image_make, "linspace", y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, &first, &last });
}

grd_status grdi_cuda_band(grd_device *device, const grdi_array *y, const grdi_array *x, int64_t low,
                          int64_t high)
{
    return grdi_cuda_map(device, &grdi_cuda_image_make, "band", y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, (void *)x, &low, &high });
}
