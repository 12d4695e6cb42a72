#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

grd_status grdi_cuda_map_1(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                           const grdi_array *y, const grdi_array *x)
{
    int64_t n = grdi_count(y);
    return grdi_cuda_launch(device, image, kernel, y->dtype,
                            grdi_cuda_size_for(device, n, GRDI_CUDA_EACH),
                            (void *[]){ &n, (void *)y, (void *)x });
}

grd_status grdi_cuda_map_2(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                           const grdi_array *y, const grdi_array *a, const grdi_array *b)
{
    int64_t n = grdi_count(y);
    return grdi_cuda_launch(device, image, kernel, y->dtype,
                            grdi_cuda_size_for(device, n, GRDI_CUDA_EACH),
                            (void *[]){ &n, (void *)y, (void *)a, (void *)b });
}
