#include "tensor/front.h"

static grd_tensor *copied(const char *op, const grd_tensor *x, grd_dtype dtype)
{
    grd_device *device = grdi_device(x);
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create(op, &shape, dtype, device);
    if (!y)
        return NULL;
    grdi_array arrays[] = { y->array, x->array };
    grdi_merge(arrays, 2);
    const grd_status status = GRDI_LAUNCH(device, copy, dtype, (device, &arrays[0], &arrays[1]));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_copy(const grd_tensor *x)
{
    return copied("copy", x, x->array.dtype);
}

grd_tensor *grdi_cast(const grd_tensor *x, grd_dtype dtype)
{
    return x ? copied("cast", x, dtype) : grdi_fail_null("cast");
}

grd_tensor *grdi_reshape(const grd_tensor *x, const grd_shape *shape)
{
    size_t bytes;
    if (!x)
        return grdi_fail_null("reshape");
    if (!grdi_shape_bytes("reshape", shape, x->array.dtype, &bytes))
        return NULL;
    if (bytes != (size_t)grdi_count(&x->array) * grdi_dtype_size(x->array.dtype))
        return grdi_fail(GRD_ERROR_SHAPE, "reshape", "element counts differ: %s to %s",
                         grdi_size_text(x).chars, grdi_shape_text(shape).chars);
    if (!grdi_is_contiguous(&x->array) && !(x = grdi_copy(x)))
        return NULL;

    grdi_array array;
    grdi_array_init(&array, shape, x->array.dtype);
    array.data = x->array.data;
    return grdi_tensor_view("reshape", x, &array);
}

grd_tensor *grdi_transpose(const grd_tensor *x, int64_t dim0, int64_t dim1)
{
    int from = 0, to = 0;
    if (!x)
        return grdi_fail_null("transpose");
    if (!grdi_resolve_dim("transpose", x, dim0, &from) ||
        !grdi_resolve_dim("transpose", x, dim1, &to))
        return NULL;

    grdi_array array = x->array;
    array.dim[from] = x->array.dim[to];
    array.dim[to] = x->array.dim[from];
    return grdi_tensor_view("transpose", x, &array);
}

grd_tensor *grdi_expand(const grd_tensor *x, const grd_shape *shape)
{
    size_t bytes;
    if (!x)
        return grdi_fail_null("expand");
    if (!grdi_shape_bytes("expand", shape, x->array.dtype, &bytes))
        return NULL;
    grd_shape common = grdi_array_shape(&x->array);
    if (!grdi_broadcast(&common, shape) || !grdi_shape_equal(&common, shape))
        return grdi_fail(GRD_ERROR_SHAPE, "expand", "%s does not broadcast to %s",
                         grdi_size_text(x).chars, grdi_shape_text(shape).chars);

    const grdi_array array = grdi_array_expand(&x->array, shape);
    return grdi_tensor_view("expand", x, &array);
}
