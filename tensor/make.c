#include "tensor/front.h"

/* A tensor for the scope's device; dtype UNSET: the scope's. */
static grd_tensor *fresh(const char *op, const grd_shape *shape, grd_dtype dtype)
{
    if (!grdi_may_make(op))
        return NULL;
    const grdi_modes *modes = &grdi_self.scope->modes;
    return grdi_tensor_create(op, shape, dtype ? dtype : modes->dtype, modes->device);
}

/* How many numbers lie from start on, `step` apart, before stop. Unsigned: a difference may not fit
 * 63 bits. */
static uint64_t numbers_between(int64_t start, int64_t stop, int64_t step)
{
    const bool up = step > 0;
    if (up ? start >= stop : start <= stop)
        return 0;
    const uint64_t from = (uint64_t)start, to = (uint64_t)stop;
    const uint64_t distance = up ? to - from : from - to;
    const uint64_t stride = up ? (uint64_t)step : 0 - (uint64_t)step;
    return (distance - 1) / stride + 1;
}

grd_tensor *grd_arange(int64_t start, int64_t stop, int64_t step)
{
    if (step == 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, "arange", "step is 0");
    const uint64_t count = numbers_between(start, stop, step);
    if (count > INT64_MAX)
        return grdi_fail(GRD_ERROR_SHAPE, "arange", "%lld to %lld by %lld are too many numbers",
                         (long long)start, (long long)stop, (long long)step);
    grd_tensor *y = fresh("arange", &(grd_shape){ 1, { (int64_t)count } }, GRD_I64);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(y);
    const grd_status status =
        GRDI_LAUNCH(device, arange, GRD_I64, (device, &y->array, start, step));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grd_linspace(double first, double last, int64_t count)
{
    grd_tensor *y = fresh("linspace", &(grd_shape){ 1, { count } }, GRD_DTYPE_UNSET);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(y);
    const grd_status status =
        GRDI_LAUNCH(device, linspace, y->array.dtype, (device, &y->array, first, last));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grd_eye(int64_t n)
{
    if (!grdi_may_make("eye"))
        return NULL;
    const grdi_modes *modes = &grdi_self.scope->modes;
    grd_tensor *y = grdi_full("eye", &(grd_shape){ 2, { n, n } }, 0, modes->dtype, modes->device);
    if (!y)
        return NULL;
    grdi_array diagonal = y->array;
    diagonal.rank = 1;
    diagonal.dim[0] = (grdi_dim){ n, n + 1 };
    const grd_status status =
        GRDI_LAUNCH(modes->device, fill, modes->dtype, (modes->device, &diagonal, 1));
    return status == GRD_OK ? y : NULL;
}
