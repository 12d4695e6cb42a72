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

grdi_cuda_size grdi_cuda_block_a_row(grd_device *device, int64_t rows, int64_t length, int64_t each,
                                     unsigned most)
{
    unsigned threads = 32;
    while (threads < most && threads * each < length)
        threads *= 2;
    const int64_t at_once = (int64_t)grdi_cuda_of(device)->multiprocessors * (2048 / threads);
    return (grdi_cuda_size){ (unsigned)(rows < at_once ? rows : at_once), threads, 0 };
}
