#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(random);

static grd_status draw(grd_device *device, const char *kernel, const grdi_array *y,
                       void *arguments[])
{
    return grdi_cuda_map(device, &grdi_cuda_image_random, kernel, y->dtype, grdi_count(y),
                         arguments);
}

grd_status grdi_cuda_uniform(grd_device *device, const grdi_array *y, grdi_draw at)
{
    return draw(device, "uniform", y, (void *[]){ NULL, (void *)y, &at });
}

grd_status grdi_cuda_normal(grd_device *device, const grdi_array *y, grdi_draw at)
{
    return draw(device, "normal", y, (void *[]){ NULL, (void *)y, &at });
}

grd_status grdi_cuda_random_integers(grd_device *device, const grdi_array *y, int64_t low,
                                     uint64_t range, grdi_draw at)
{
    return draw(device, "random_integers", y, (void *[]){ NULL, (void *)y, &low, &range, &at });
}

grd_status grdi_cuda_bernoulli(grd_device *device, const grdi_array *y, const grdi_array *p,
                               grdi_draw at)
{
    return draw(device, "bernoulli", y, (void *[]){ NULL, (void *)y, (void *)p, &at });
}

grd_status grdi_cuda_dropout(grd_device *device, const grdi_array *y, const grdi_array *x, double p,
                             grdi_draw at)
{
    uint32_t dropped = (uint32_t)(p * 0x1p32);
    double scale = 1 / (1 - p);
    return draw(device, "dropout", y,
                (void *[]){ NULL, (void *)y, (void *)x, &dropped, &scale, &at });
}
