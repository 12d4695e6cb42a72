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
        x ? grdi_fail_null(op) : grdi_fail_nothing(op);
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

/* For who asked for a type: floating types convert to each other, and nothing else does. */
static grd_status read_as(const char *op, const grd_tensor *x, grd_dtype dtype, void *out,
                          int64_t count)
{
    if (x && x->array.dtype != dtype &&
        !(grdi_is_floating(dtype) && grdi_is_floating(x->array.dtype)))
        grdi_fail(GRD_ERROR_DTYPE, op, "%s is %s, not %s (use grd_read_%s, or grd_cast before)",
                  grdi_size_text(x).chars, grdi_dtype_name(x->array.dtype), grdi_dtype_name(dtype),
                  grdi_is_floating(x->array.dtype) ? "f64" : grdi_dtype_name(x->array.dtype));
    return grdi_latched() ? grdi_self.latched : read_all(op, x, dtype, out, count);
}

grd_status grd_read_f32(const grd_tensor *x, float *out, int64_t count)
{
    return read_as("read_f32", x, GRD_F32, out, count);
}

grd_status grd_read_f64(const grd_tensor *x, double *out, int64_t count)
{
    return read_as("read_f64", x, GRD_F64, out, count);
}

grd_status grd_read_i64(const grd_tensor *x, int64_t *out, int64_t count)
{
    return read_as("read_i64", x, GRD_I64, out, count);
}

grd_status grd_read_bool(const grd_tensor *x, bool *out, int64_t count)
{
    return read_as("read_bool", x, GRD_BOOL, out, count);
}

double grd_item(const grd_tensor *x)
{
    double value = NAN;
    return read_all("item", x, GRD_F64, &value, 1) == GRD_OK ? value : NAN;
}

grd_tensor *grdi_pick(const char *op, const grd_tensor *x, const grd_dims *index)
{
    if (index->count != x->array.rank)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "%lld indices are given for %s",
                         (long long)index->count, grdi_size_text(x).chars);
    grdi_array part = x->array;
    for (int64_t d = 0; d < index->count; d++) {
        grdi_range range;
        if (!grdi_resolve_index(op, x, d, index->dim[d], &range))
            return NULL;
        part = grdi_array_slice(&part, &range);
    }
    return grdi_tensor_view(op, x, &part);
}

double grd_item_at(const grd_tensor *x, grd_dims index)
{
    double value = NAN;
    if (!x)
        grdi_fail_nothing("item_at");
    if (grdi_latched())
        return NAN;
    grd_scope scope;
    grdi_scope_open(&scope);
    x = grdi_pick("item_at", x, &index);
    if (x)
        read_all("item_at", x, GRD_F64, &value, 1);
    return grd_scope_end(&scope) == GRD_OK ? value : NAN;
}

static const void *data_of(const char *op, const grd_tensor *x, grd_dtype dtype)
{
    if (!x)
        return grdi_fail_nothing(op);
    if (grdi_latched())
        return NULL;
    if (x->array.dtype != dtype)
        return grdi_fail(GRD_ERROR_DTYPE, op, "%s is %s, not %s (use grd_cast)",
                         grdi_size_text(x).chars, grdi_dtype_name(x->array.dtype),
                         grdi_dtype_name(dtype));
    if (grdi_device(x) != grd_cpu())
        return grdi_fail(GRD_ERROR_DEVICE, op, "%s is on %s, not on the cpu (use grd_to_device)",
                         grdi_size_text(x).chars, grdi_device(x)->name);
    if (!grdi_is_contiguous(&x->array))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "%s is not contiguous (use grd_contiguous)",
                         grdi_size_text(x).chars);
    return x->array.data;
}

const float *grd_data_f32(const grd_tensor *x)
{
    return (const float *)data_of("data_f32", x, GRD_F32);
}

const double *grd_data_f64(const grd_tensor *x)
{
    return (const double *)data_of("data_f64", x, GRD_F64);
}

const int64_t *grd_data_i64(const grd_tensor *x)
{
    return (const int64_t *)data_of("data_i64", x, GRD_I64);
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
