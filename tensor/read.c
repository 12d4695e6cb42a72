#include "tensor/front.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* x's elements as `dtype`, contiguous, in host memory. */
static bool download(const char *op, const grd_tensor *x, grd_dtype dtype, void *out)
{
    if (x->array.dtype != dtype)
        x = grdi_cast(x, dtype);
    else if (!grdi_is_contiguous(&x->array))
        x = grdi_copy(x);
    if (!x || !grdi_count(&x->array))
        return x;
    grd_device *device = grdi_device(x);
    const size_t bytes = (size_t)grdi_count(&x->array) * grdi_dtype_size(dtype);
    const grd_status status = device->download(device, out, x->array.data, bytes);
    return grdi_launched(status, op, dtype, device) == GRD_OK;
}

static grd_status read_all(const char *op, const grd_tensor *x, grd_dtype dtype, void *out,
                           int64_t count)
{
    if (!x || (!out && count))
        grdi_fail_null(op);
    else if (count != grdi_count(&x->array))
        grdi_fail(GRD_ERROR_SHAPE, op, "%s has %lld elements, not %lld", grdi_size_text(x).chars,
                  (long long)grdi_count(&x->array), (long long)count);
    if (grdi_latched())
        return grdi_self.latched;

    grd_scope scope;
    grdi_scope_open(&scope);
    download(op, x, dtype, out);
    return grd_scope_end(&scope);
}

grd_status grd_read_f32(const grd_tensor *x, float *out, int64_t count)
{
    return read_all("read_f32", x, GRD_F32, out, count);
}

grd_status grd_read_f64(const grd_tensor *x, double *out, int64_t count)
{
    return read_all("read_f64", x, GRD_F64, out, count);
}

double grd_item(const grd_tensor *x)
{
    double value = NAN;
    return read_all("item", x, GRD_F64, &value, 1) == GRD_OK ? value : NAN;
}

bool grdi_download(const char *op, const grd_tensor *x, void *out)
{
    return read_all(op, x, x->array.dtype, out, grdi_count(&x->array)) == GRD_OK;
}

bool grdi_upload(const char *op, grd_tensor *x, const void *values)
{
    assert(grdi_is_contiguous(&x->array));
    if (!grdi_count(&x->array))
        return true;
    grd_device *device = grdi_device(x);
    const size_t bytes = (size_t)grdi_count(&x->array) * grdi_dtype_size(x->array.dtype);
    const grd_status status = device->upload(device, x->array.data, values, bytes);
    return grdi_launched(status, op, x->array.dtype, device) == GRD_OK;
}
