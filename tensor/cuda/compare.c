#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(compare);

static grd_status run(grd_device *device, const char *kernel, grd_dtype dtype, const grdi_array *y,
                      void *arguments[])
{
    return grdi_cuda_map(device, &grdi_cuda_image_compare, kernel, dtype, grdi_count(y), arguments);
}

grd_status grdi_cuda_compare(grd_device *device, const grdi_array *y, const grdi_array *a,
                             const grdi_array *b, grdi_comparison how)
{
    int chosen = (int)how;
    return run(device, "compare", a->dtype, y,
               (void *[]){ NULL, (void *)y, (void *)a, (void *)b, &chosen });
}

grd_status grdi_cuda_compare_scalar(grd_device *device, const grdi_array *y, const grdi_array *x,
                                    double b, grdi_comparison how)
{
    int chosen = (int)how;
    return run(device, "compare_scalar", x->dtype, y,
               (void *[]){ NULL, (void *)y, (void *)x, &b, &chosen });
}

grd_status grdi_cuda_logical_and(grd_device *device, const grdi_array *y, const grdi_array *a,
                                 const grdi_array *b)
{
    return grdi_cuda_map_2(device, &grdi_cuda_image_compare, "logical_and", y, a, b);
}

grd_status grdi_cuda_logical_or(grd_device *device, const grdi_array *y, const grdi_array *a,
                                const grdi_array *b)
{
    return grdi_cuda_map_2(device, &grdi_cuda_image_compare, "logical_or", y, a, b);
}

grd_status grdi_cuda_logical_not(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    return grdi_cuda_map_1(device, &grdi_cuda_image_compare, "logical_not", y, x);
}

/* Integers are all finite. */
grd_status grdi_cuda_isfinite(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    if (!grdi_is_floating(x->dtype))
        return grdi_cuda_fill(device, y, 1);
    return run(device, "isfinite", x->dtype, y, (void *[]){ NULL, (void *)y, (void *)x });
}
