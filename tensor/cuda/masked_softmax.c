#include "tensor/cuda/teams.h"
#include "tensor/tensor.h"

#include <math.h>

GRDI_CUDA_IMAGE(masked_softmax);

grd_status grdi_cuda_masked_softmax(grd_device *device, const grdi_array *y, const grdi_array *lse,
                                    const grdi_array *x, const grdi_array *additive,
                                    const grdi_array *keep, double scale)
{
    int64_t rows = grdi_cuda_rows(x);
    int team = grdi_cuda_team(x->dim[x->rank - 1].size);
    grdi_array optional[] = { grdi_cuda_array_or_none(lse), grdi_cuda_array_or_none(additive),
                              grdi_cuda_array_or_none(keep) };
    if (grdi_count(x) == 0)
        return lse ? grdi_cuda_fill(device, lse, -INFINITY) : GRD_OK;
    return grdi_cuda_launch(device, &grdi_cuda_image_masked_softmax, "masked_softmax", y->dtype,
                            grdi_cuda_size_for_rows(device, rows, team),
                            (void *[]){ &rows, &team, (void *)y, &optional[0], (void *)x,
                                        &optional[1], &optional[2], &scale });
}

grd_status grdi_cuda_masked_softmax_backward(grd_device *device, const grdi_array *dx,
                                             const grdi_array *y, const grdi_array *dy,
                                             const grdi_array *keep, double scale)
{
    int64_t rows = grdi_count(dx) ? grdi_cuda_rows(dx) : 0;
    int team = grdi_cuda_team(dx->dim[dx->rank - 1].size);
    grdi_array mask = grdi_cuda_array_or_none(keep);
    return grdi_cuda_launch(
        device, &grdi_cuda_image_masked_softmax, "masked_softmax_backward", dx->dtype,
        grdi_cuda_size_for_rows(device, rows, team),
        (void *[]){ &rows, &team, (void *)dx, (void *)y, (void *)dy, &mask, &scale });
}
