#include "tensor/cuda/teams.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(softmax);

static grd_status launch(grd_device *device, const char *kernel, const grdi_array *y,
                         const grdi_array *x, const grdi_array *z)
{
    int64_t rows = grdi_count(y) ? grdi_cuda_rows(x) : 0;
    int team = grdi_cuda_team(x->dim[x->rank - 1].size);
    return grdi_cuda_launch(device, &grdi_cuda_image_softmax, kernel, y->dtype,
                            grdi_cuda_size_for_rows(device, rows, team),
                            (void *[]){ &rows, &team, (void *)y, (void *)x, (void *)z });
}

grd_status grdi_cuda_softmax(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    return launch(device, "softmax", y, x, NULL);
}

grd_status grdi_cuda_log_softmax(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    return launch(device, "log_softmax", y, x, NULL);
}

grd_status grdi_cuda_softmax_backward(grd_device *device, const grdi_array *dx, const grdi_array *y,
                                      const grdi_array *dy)
{
    return launch(device, "softmax_backward", dx, y, dy);
}

grd_status grdi_cuda_log_softmax_backward(grd_device *device, const grdi_array *dx,
                                          const grdi_array *y, const grdi_array *dy)
{
    return launch(device, "log_softmax_backward", dx, y, dy);
}

grd_status grdi_cuda_logsumexp(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    return launch(device, "logsumexp", y, x, NULL);
}
