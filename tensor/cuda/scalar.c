#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(scalar);

static grd_status run(grd_device *device, const char *kernel, const grdi_array *y,
                      void *arguments[])
{
    return grdi_cuda_map(device, &grdi_cuda_image_scalar, kernel, y->dtype, grdi_count(y),
                         arguments);
}

grd_status grdi_cuda_affine(grd_device *device, const grdi_array *y, const grdi_array *x,
                            double scale, double offset)
{
    return run(device, "affine", y, (void *[]){ NULL, (void *)y, (void *)x, &scale, &offset });
}

grd_status grdi_cuda_scale_by(grd_device *device, const grdi_array *y, const grdi_array *x,
                              const grdi_array *factor)
{
    return run(device, "scale_by", y,
               (void *[]){ NULL, (void *)y, (void *)x, (void *)&factor->data });
}

grd_status grdi_cuda_div_scalar(grd_device *device, const grdi_array *y, const grdi_array *x,
                                double b)
{
    return run(device, "div_scalar", y, (void *[]){ NULL, (void *)y, (void *)x, &b });
}

grd_status grdi_cuda_pow_scalar(grd_device *device, const grdi_array *y, const grdi_array *x,
                                double b)
{
    return run(device, "pow_scalar", y, (void *[]){ NULL, (void *)y, (void *)x, &b });
}

grd_status grdi_cuda_clamp(grd_device *device, const grdi_array *y, const grdi_array *x, double low,
                           double high)
{
    return run(device, "clamp", y, (void *[]){ NULL, (void *)y, (void *)x, &low, &high });
}

grd_status grdi_cuda_add_scaled(grd_device *device, const grdi_array *y, const grdi_array *a,
                                const grdi_array *b, double factor)
{
    return run(device, "add_scaled", y,
               (void *[]){ NULL, (void *)y, (void *)a, (void *)b, &factor });
}
