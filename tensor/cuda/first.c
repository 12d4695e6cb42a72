#include "tensor/cuda/first.h"

int64_t *grdi_cuda_first(grd_device *device)
{
    const grdi_array place = { .data = grdi_cuda_allocate(device, sizeof(int64_t)),
                               .dtype = GRD_I64 };
    if (!place.data || grdi_cuda_fill(device, &place, -1) == GRD_OK)
        return place.data;
    grdi_cuda_free(device, place.data, sizeof(int64_t));
    return NULL;
}

grd_status grdi_cuda_first_read(grd_device *device, int64_t *first, grd_status status,
                                int64_t *position)
{
    if (status == GRD_OK)
        status = grdi_cuda_download(device, position, first, sizeof *position);
    grdi_cuda_free(device, first, sizeof *first);
    return status;
}
