#include "tensor/cuda/first.h"
#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(anomaly);

grd_status grdi_cuda_first_nan(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    const grd_status status = grdi_cuda_fill(device, y, -1);
    if (status != GRD_OK || !grdi_is_floating(x->dtype))
        return status;
    return grdi_cuda_map(device, &grdi_cuda_image_anomaly, "first_nan", x->dtype, grdi_count(x),
                         (void *[]){ NULL, (void *)y, (void *)x });
}

grd_status grdi_cuda_check_range(grd_device *device, const grdi_array *x, double low, double high,
                                 grdi_refusal *refused)
{
    if (grdi_count(x) == 0)
        return GRD_OK;
    int64_t *first = grdi_cuda_first(device);
    if (!first)
        return GRD_ERROR_MEMORY;
    grdi_refusal *letter = grdi_cuda_of(device)->letter;
    grd_status status =
        grdi_cuda_map(device, &grdi_cuda_image_anomaly, "check_range", x->dtype, grdi_count(x),
                      (void *[]){ NULL, &first, (void *)x, &low, &high });
    if (status == GRD_OK)
        status = grdi_cuda_launch(device, &grdi_cuda_image_anomaly, "check_range_refuse", x->dtype,
                                  (grdi_cuda_size){ 1, 1, 0 },
                                  (void *[]){ &letter, refused, &first, (void *)x });
    grdi_cuda_free(device, first, sizeof *first);
    return status;
}
