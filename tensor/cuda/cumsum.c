#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(cumsum);

grd_status grdi_cuda_cumsum(grd_device *device, const grdi_array *y, const grdi_array *x,
                            bool reverse)
{
    static const char *const from[GRD_DTYPE_COUNT] = {
        [GRD_F32] = "cumsum_f32",   [GRD_F64] = "cumsum_f64", [GRD_F16] = "cumsum_f16",
        [GRD_BF16] = "cumsum_bf16", [GRD_I64] = "cumsum_i64", [GRD_BOOL] = "cumsum_bool",
    };
    const int64_t count = grdi_count(y), length = y->dim[y->rank - 1].size;
    if (count == 0)
        return GRD_OK;
    int64_t rows = count / length;
    return grdi_cuda_launch(device, &grdi_cuda_image_cumsum, from[x->dtype], y->dtype,
                            grdi_cuda_block_a_row(device, rows, length, 4, 512),
                            (void *[]){ &rows, (void *)y, (void *)x, &reverse });
}
