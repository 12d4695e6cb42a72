#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(copy);

grd_status grdi_cuda_copy(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    static const char *const from[GRD_DTYPE_COUNT] = {
        [GRD_F32] = "copy_from_f32",   [GRD_F64] = "copy_from_f64", [GRD_F16] = "copy_from_f16",
        [GRD_BF16] = "copy_from_bf16", [GRD_I64] = "copy_from_i64", [GRD_BOOL] = "copy_from_bool",
    };
    return grdi_cuda_map_1(device, &grdi_cuda_image_copy,
                           y->dtype == x->dtype ? "copy" : from[x->dtype], y, x);
}

grd_status grdi_cuda_fill(grd_device *device, const grdi_array *y, double value)
{
    int64_t n = grdi_count(y);
    return grdi_cuda_launch(device, &grdi_cuda_image_copy, "fill", y->dtype,
                            grdi_cuda_size_for(device, n, GRDI_CUDA_EACH),
                            (void *[]){ &n, (void *)y, &value });
}
