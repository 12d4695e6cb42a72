#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

grd_status grdi_cuda_map(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                         grd_dtype dtype, int64_t n, void *arguments[])
{
    arguments[0] = &n;
    return grdi_cuda_launch(device, image, kernel, dtype,
                            grdi_cuda_size_for(device, n, GRDI_CUDA_EACH), arguments);
}

grd_status grdi_cuda_map_1(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                           const grdi_array *y, const grdi_array *x)
{
    return grdi_cuda_map(device, image, kernel, y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, (void *)x });
}

grd_status grdi_cuda_map_2(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                           const grdi_array *y, const grdi_array *a, const grdi_array *b)
{
    return grdi_cuda_map(device, image, kernel, y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, (void *)a, (void *)b });
}
