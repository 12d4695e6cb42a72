#include "tensor/front.h"

static grd_tensor *copied(const char *op, const grd_tensor *x, grd_dtype dtype)
{
    grd_device *device = grdi_device(x);
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create(op, &shape, dtype, device);
    return y && grdi_copy_to(op, &y->array, x) ? y : NULL;
}

bool grdi_copy_to(const char *op, const grdi_array *y, const grd_tensor *x)
{
    grd_device *device = grdi_device(x);
    grdi_array arrays[] = { *y, x->array };
    grdi_merge(arrays, 2);
    const grd_status status = device->kernels->copy
                                  ? device->kernels->copy(device, &arrays[0], &arrays[1])
                                  : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, y->dtype, device) == GRD_OK;
}

grd_tensor *grdi_copy(const grd_tensor *x)
{
    return copied("copy", x, x->array.dtype);
}

grd_tensor *grdi_copy_laid_out(const grd_tensor *x, const grdi_array *layout)
{
    grd_shape extent = { 1, { grdi_count(layout) > 0 } };
    bool repeats = false;
    for (int d = 0; d < layout->rank; d++) {
        repeats |= layout->dim[d].size > 1 && layout->dim[d].stride == 0;
        extent.size[0] += extent.size[0] ? (layout->dim[d].size - 1) * layout->dim[d].stride : 0;
    }
    if (repeats)
        return grdi_copy(x);
    const grd_tensor *memory = grdi_tensor_create("copy", &extent, x->array.dtype, grdi_device(x));
    if (!memory)
        return NULL;
    grdi_array array = *layout;
    array.dtype = x->array.dtype;
    array.data = memory->array.data;
    grd_tensor *y = grdi_tensor_view("copy", memory, &array);
    return y && grdi_copy_to("copy", &array, x) ? y : NULL;
}

grd_tensor *grdi_cast(const grd_tensor *x, grd_dtype dtype)
{
    return x ? copied("cast", x, dtype) : grdi_fail_null("cast");
}

grd_tensor *grdi_clone(const grd_tensor *x)
{
    return x ? copied("clone", x, x->array.dtype) : grdi_fail_null("clone");
}

grd_tensor *grdi_contiguous(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("contiguous");
    return grdi_is_contiguous(&x->array) ? grdi_tensor_view("contiguous", x, &x->array)
                                         : copied("contiguous", x, x->array.dtype);
}

grd_tensor *grdi_place(const grd_tensor *x, const grd_shape *shape, const grdi_range *range)
{
    if (!x)
        return grdi_fail_null("place");
    grd_tensor *y = grdi_full("place", shape, 0, x->array.dtype, grdi_device(x));
    if (!y)
        return NULL;
    const grdi_array part = grdi_array_slice(&y->array, range);
    return grdi_copy_to("place", &part, x) ? y : NULL;
}

/* Through the host: devices do not know each other. x is contiguous. */
static grd_status transfer(grd_device *to, void *data, const grd_tensor *x)
{
    grd_device *from = grdi_device(x);
    const size_t bytes = (size_t)grdi_count(&x->array) * grdi_dtype_size(x->array.dtype);
    if (!bytes)
        return GRD_OK;
    void *block = grdi_allocate(bytes);
    if (!block)
        return GRD_ERROR_MEMORY;
    grd_status status = from->download(from, block, x->array.data, bytes);
    if (status == GRD_OK)
        status = to->upload(to, data, block, bytes);
    grdi_free(block, bytes);
    return status;
}

grd_tensor *grdi_to_device(const grd_tensor *x, grd_device *device)
{
    if (!x || !device)
        return grdi_fail_null("to_device");
    if (device == grdi_device(x))
        return grdi_tensor_view("to_device", x, &x->array);
    const grd_shape shape = grdi_array_shape(&x->array);
    const grd_dtype dtype = x->array.dtype;
    if (!grdi_is_contiguous(&x->array) && !(x = grdi_copy(x)))
        return NULL;
    grd_tensor *y = grdi_tensor_create("to_device", &shape, dtype, device);
    if (!y)
        return NULL;
    const grd_status status = transfer(device, y->array.data, x);
    return grdi_launched(status, "to_device", dtype, device) == GRD_OK ? y : NULL;
}
