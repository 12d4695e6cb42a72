#include "tensor/cuda/launch.h"
#include "tensor/cuda/reduce.h"

GRDI_CUDA_IMAGE(extreme);

static grdi_cuda_reducer largest(bool positions)
{
    return (grdi_cuda_reducer){ .image = &grdi_cuda_image_extreme,
                                .rows = "max",
                                .columns = "max_columns",
                                .joined = "max_joined",
                                .partial = GRD_I64,
                                .positions = positions };
}

grd_status grdi_cuda_max(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced)
{
    const grdi_cuda_reducer reducer = largest(false);
    return grdi_cuda_reduce(device, &reducer, y, x, reduced);
}

grd_status grdi_cuda_argmax(grd_device *device, const grdi_array *y, const grdi_array *x,
                            int reduced)
{
    const grdi_cuda_reducer reducer = largest(true);
    return grdi_cuda_reduce(device, &reducer, y, x, reduced);
}

grd_status grdi_cuda_min(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced)
{
    const grdi_cuda_reducer reducer = { .image = &grdi_cuda_image_extreme,
                                        .rows = "min",
                                        .columns = "min_columns",
                                        .joined = "min_joined",
                                        .partial = GRD_I64 };
    return grdi_cuda_reduce(device, &reducer, y, x, reduced);
}
