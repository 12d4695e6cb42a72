#include "tensor/backend.h"

grd_status grdi_cpu_arange(grd_device *device, const grdi_array *y, int64_t start, int64_t step)
{
    (void)device;
    int64_t *data = y->data;
    for (int64_t i = 0; i < y->dim[0].size; i++)
        data[i] = start + i * step;
    return GRD_OK;
}

/* From the nearer end, so that both are exact. */
static double between(double first, double last, int64_t n, int64_t i)
{
    const double step = (last - first) / (double)(n - 1);
    return i < (n + 1) / 2 ? first + step * (double)i : last - step * (double)(n - 1 - i);
}

grd_status grdi_cpu_linspace(grd_device *device, const grdi_array *y, double first, double last)
{
    (void)device;
    const int64_t n = y->dim[0].size;
    if (y->dtype != GRD_F32 && y->dtype != GRD_F64)
        return GRD_ERROR_UNSUPPORTED;
    for (int64_t i = 0; i < n; i++) {
        const double value = n == 1 ? first : between(first, last, n, i);
        if (y->dtype == GRD_F64)
            ((double *)y->data)[i] = value;
        else
            ((float *)y->data)[i] = (float)value;
    }
    return GRD_OK;
}
