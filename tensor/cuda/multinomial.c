#include "tensor/cuda/first.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(multinomial);

static grd_status draw(grd_device *device, const grdi_array *y, const grdi_array *weights,
                       grdi_draw at, int64_t *zero)
{
    const int64_t most = 4 * (int64_t)grdi_cuda_of(device)->multiprocessors;
    const int64_t blocks = y->dim[0].size < most ? y->dim[0].size : most;
    const size_t bytes = (size_t)(blocks * weights->dim[1].size) * sizeof(double);
    double *room = grdi_cuda_allocate(device, bytes);
    if (!room)
        return GRD_ERROR_MEMORY;
    const grd_status status =
        grdi_cuda_launch(device, &grdi_cuda_image_multinomial, "multinomial", weights->dtype,
                         (grdi_cuda_size){ (unsigned)blocks, 512, 0 },
                         (void *[]){ (void *)y, (void *)weights, &room, &at, &zero });
    grdi_cuda_free(device, room, bytes);
    return status;
}

grd_status grdi_cuda_multinomial(grd_device *device, const grdi_array *y, const grdi_array *weights,
                                 grdi_draw at, int64_t *zero)
{
    *zero = -1;
    if (grdi_count(y) == 0)
        return GRD_OK;
    int64_t *first = grdi_cuda_first(device);
    if (!first)
        return GRD_ERROR_MEMORY;
    return grdi_cuda_first_read(device, first, draw(device, y, weights, at, first), zero);
}
