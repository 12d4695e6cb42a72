#include "tensor/cuda/launch.h"
#include "tensor/cuda/reduce.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(sum);

grd_status grdi_cuda_sum(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced,
                         double factor)
{
    const grdi_cuda_reducer reducer = { .image = &grdi_cuda_image_sum,
                                        .rows = "sum",
                                        .columns = "sum_columns",
                                        .joined = "sum",
                                        .partial = grdi_is_floating(x->dtype) ? GRD_F64 : GRD_I64,
                                        .by_value = true,
                                        .factor = factor };
    return grdi_cuda_reduce(device, &reducer, y, x, reduced);
}

static grd_status squares(grd_device *device, const double *means, const grdi_array *y,
                          const grdi_array *x, int reduced, double factor)
{
    const grdi_cuda_reducer reducer = { .image = &grdi_cuda_image_sum,
                                        .rows = "squares",
                                        .columns = "squares_columns",
                                        .joined = "sum",
                                        .partial = GRD_F64,
                                        .by_value = true,
                                        .factor = factor,
                                        .means = means };
    return grdi_cuda_reduce(device, &reducer, y, x, reduced);
}

grd_status grdi_cuda_var(grd_device *device, const grdi_array *y, const grdi_array *x, int reduced,
                         double factor)
{
    const int64_t results = grdi_count(y), count = results ? grdi_count(x) / results : 0;
    const size_t bytes = (size_t)results * sizeof(double);
    grdi_array means = { .dtype = GRD_F64, .rank = 1, .dim = { { results, 1 } } };
    if (!grdi_is_floating(x->dtype))
        return GRD_ERROR_UNSUPPORTED;
    if (!results)
        return GRD_OK;
    if (!(means.data = grdi_cuda_allocate(device, bytes)))
        return GRD_ERROR_MEMORY;
    grd_status status = grdi_cuda_sum(device, &means, x, reduced, 1 / (double)count);
    if (status == GRD_OK)
        status = squares(device, means.data, y, x, reduced, factor);
    grdi_cuda_free(device, means.data, bytes);
    return status;
}
