#include "tensor/front.h"

/* A condition that chooses among the elements of x. */
static bool is_condition(const char *op, const char *name, const grd_tensor *condition,
                         const grd_tensor *x)
{
    if (!grdi_has_kind(op, name, condition, GRDI_BOOLS))
        return false;
    if (grdi_device(condition) != grdi_device(x))
        return grdi_fail(GRD_ERROR_DEVICE, op, "devices differ: %s is on %s, the values on %s",
                         name, grdi_device(condition)->name, grdi_device(x)->name);
    return true;
}

static bool stretch(grd_shape *shape, const grd_tensor *x)
{
    const grd_shape other = grdi_array_shape(&x->array);
    return grdi_broadcast(shape, &other);
}

/* Room for the result, and all arrays in its shape. */
static grd_tensor *begin(const char *op, const grd_tensor *const x[], int count,
                         const grd_shape *shape, grd_dtype dtype, grdi_array arrays[])
{
    grd_tensor *y = grdi_tensor_create(op, shape, dtype, grdi_device(x[0]));
    if (!y)
        return NULL;
    arrays[0] = y->array;
    for (int i = 0; i < count; i++)
        arrays[i + 1] = grdi_array_expand(&x[i]->array, shape);
    grdi_merge(arrays, count + 1);
    return y;
}

grd_tensor *grdi_where(const grd_tensor *condition, const grd_tensor *a, const grd_tensor *b)
{
    if (!condition || !a || !b)
        return grdi_fail_null("where");
    if (!is_condition("where", "condition", condition, a) || !grdi_same_kind("where", a, b))
        return NULL;
    grd_shape shape = grdi_array_shape(&condition->array);
    if (!stretch(&shape, a) || !stretch(&shape, b))
        return grdi_fail(
            GRD_ERROR_SHAPE, "where", "shapes do not broadcast: condition is %s, a is %s, b is %s",
            grdi_size_text(condition).chars, grdi_size_text(a).chars, grdi_size_text(b).chars);
    grdi_array arrays[4];
    const grd_dtype dtype = a->array.dtype;
    grd_tensor *y =
        begin("where", (const grd_tensor *[]){ condition, a, b }, 3, &shape, dtype, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(a);
    const grd_status status =
        GRDI_LAUNCH(device, where, dtype, (device, &arrays[0], &arrays[1], &arrays[2], &arrays[3]));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_masked_fill(const grd_tensor *x, const grd_tensor *mask, double value)
{
    if (!x || !mask)
        return grdi_fail_null("masked_fill");
    const grd_dtype dtype = x->array.dtype;
    if (!is_condition("masked_fill", "mask", mask, x) || !grdi_fits("masked_fill", value, dtype))
        return NULL;
    grd_shape shape = grdi_array_shape(&x->array);
    if (!stretch(&shape, mask))
        return grdi_fail(GRD_ERROR_SHAPE, "masked_fill",
                         "shapes do not broadcast: x is %s, mask is %s", grdi_size_text(x).chars,
                         grdi_size_text(mask).chars);
    grdi_array arrays[3];
    grd_tensor *y =
        begin("masked_fill", (const grd_tensor *[]){ x, mask }, 2, &shape, dtype, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_status status = GRDI_LAUNCH(device, masked_fill, dtype,
                                          (device, &arrays[0], &arrays[1], &arrays[2], value));
    return status == GRD_OK ? y : NULL;
}
