#include "tensor/front.h"

/* Whether both run over the same elements in the same order. */
static bool same_elements(const grdi_array *x, const grdi_array *y)
{
    bool same = x->data == y->data;
    for (int d = 0; same && d < x->rank; d++)
        same = x->dim[d].size <= 1 || x->dim[d].stride == y->dim[d].stride;
    return same;
}

/* The bytes from the first element to behind the last. */
static const char *end_of(const grdi_array *x)
{
    int64_t last = 0;
    for (int d = 0; d < x->rank; d++)
        last += (x->dim[d].size - 1) * x->dim[d].stride;
    return (const char *)x->data + (last + 1) * (int64_t)grdi_dtype_size(x->dtype);
}

/* Whether writing x element by element could change what of y is still to be read. */
static bool disturbs(const grd_tensor *x, const grd_tensor *y, const grdi_array *expanded)
{
    return x->storage == y->storage && grdi_count(&x->array) > 0 &&
           !same_elements(&x->array, expanded) && (const char *)x->array.data < end_of(expanded) &&
           (const char *)expanded->data < end_of(&x->array);
}

/* What is changed is asked itself (grdi_may_write). */
static bool is_unrecorded(const char *op, const char *name, const grd_tensor *x,
                          const grd_tensor *y)
{
    if (x == y || !y->history || (grdi_self.scope && grdi_self.scope->modes.no_grad))
        return true;
    return grdi_fail(GRD_ERROR_STATE, op,
                     "%s, %s, requires grad, and a change in place is not recorded (use grd_detach "
                     "for its values alone, or an op that makes a new tensor)",
                     name, grdi_size_text(y).chars);
}

static bool fits(const char *op, const grd_tensor *x, const grd_tensor *y, const char *name)
{
    const grd_shape shape = grdi_array_shape(&x->array), from = grdi_array_shape(&y->array);
    grd_shape common = shape;
    if (grdi_device(x) != grdi_device(y))
        return grdi_fail(GRD_ERROR_DEVICE, op, "devices differ: x is on %s, %s is on %s",
                         grdi_device(x)->name, name, grdi_device(y)->name);
    if (!grdi_broadcast(&common, &from) || !grdi_shape_equal(&common, &shape))
        return grdi_fail(GRD_ERROR_SHAPE, op, "%s is %s and does not broadcast to x, which is %s",
                         name, grdi_size_text(y).chars, grdi_size_text(x).chars);
    return true;
}

static bool same_dtype(const char *op, const grd_tensor *x, const grd_tensor *y)
{
    if (x->array.dtype == y->array.dtype)
        return true;
    return grdi_fail(GRD_ERROR_DTYPE, op, "dtypes differ: x is %s, y is %s (grd_cast y)",
                     grdi_dtype_name(x->array.dtype), grdi_dtype_name(y->array.dtype));
}

/* Describes x and y, with y in x's shape; y may be copied, into the innermost scope. */
static bool describe(const grd_tensor *x, const grd_tensor *y, grdi_array arrays[2])
{
    const grd_shape shape = grdi_array_shape(&x->array);
    arrays[0] = x->array;
    arrays[1] = grdi_array_expand(&y->array, &shape);
    if (disturbs(x, y, &arrays[1])) {
        y = grdi_copy(y);
        if (!y)
            return false;
        arrays[1] = grdi_array_expand(&y->array, &shape);
    }
    grdi_merge(arrays, 2);
    return true;
}

typedef grd_status change(grd_device *device, const grdi_array *x, const grdi_array *y,
                          double factor);

/* x = change(x, y), both of which the op may use. */
static grd_status run(const char *op, grd_tensor *x, const grd_tensor *y, change *f, double factor)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    grdi_array arrays[2];
    if (grdi_may_write(op, x) && describe(x, y, arrays))
        grdi_launched(f(grdi_device(x), &arrays[0], &arrays[1], factor), op, x->array.dtype,
                      grdi_device(x));
    if (!grdi_latched() && grdi_checks_values())
        grdi_check_values(op, "the result", x);
    return grd_scope_end(&scope);
}

static grd_status combine(const char *op, grd_tensor *x, const grd_tensor *y, change *f,
                          double factor)
{
    if (!x || !y) {
        grdi_fail_null(op);
        return grdi_self.latched;
    }
    if (!same_dtype(op, x, y) || !grdi_has_kind(op, "x", x, GRDI_NUMBERS) ||
        !grdi_fits(op, factor, x->array.dtype) || !fits(op, x, y, "y") ||
        !is_unrecorded(op, "y", x, y))
        return grdi_self.latched;
    return run(op, x, y, f, factor);
}

static grd_status add(grd_device *device, const grdi_array *x, const grdi_array *y, double factor)
{
    (void)factor;
    return device->kernels->add ? device->kernels->add(device, x, x, y) : GRD_ERROR_UNSUPPORTED;
}

grd_status grd_add_(grd_tensor *x, const grd_tensor *y)
{
    return combine("add_", x, y, add, 1);
}

static grd_status add_scaled(grd_device *device, const grdi_array *x, const grdi_array *y,
                             double factor)
{
    return device->kernels->add_scaled ? device->kernels->add_scaled(device, x, x, y, factor)
                                       : GRD_ERROR_UNSUPPORTED;
}

grd_status grd_add_scaled_(grd_tensor *x, const grd_tensor *y, double factor)
{
    return combine("add_scaled_", x, y, add_scaled, factor);
}

static grd_status mul(grd_device *device, const grdi_array *x, const grdi_array *y, double factor)
{
    (void)factor;
    return device->kernels->mul ? device->kernels->mul(device, x, x, y) : GRD_ERROR_UNSUPPORTED;
}

grd_status grd_mul_(grd_tensor *x, const grd_tensor *y)
{
    return combine("mul_", x, y, mul, 1);
}

static grd_status scale(grd_device *device, const grdi_array *x, const grdi_array *y, double factor)
{
    (void)y;
    return device->kernels->affine ? device->kernels->affine(device, x, x, factor, -0.0)
                                   : GRD_ERROR_UNSUPPORTED;
}

grd_status grd_mul_scalar_(grd_tensor *x, double factor)
{
    return combine("mul_scalar_", x, x, scale, factor);
}

static grd_status copy(grd_device *device, const grdi_array *x, const grdi_array *y, double factor)
{
    (void)factor;
    return device->kernels->copy ? device->kernels->copy(device, x, y) : GRD_ERROR_UNSUPPORTED;
}

grd_status grd_copy_(grd_tensor *x, const grd_tensor *from)
{
    if (!x || !from)
        grdi_fail_null("copy_");
    else if (fits("copy_", x, from, "from") && is_unrecorded("copy_", "from", x, from))
        return run("copy_", x, from, copy, 1);
    return grdi_self.latched;
}

static grd_status fill(grd_device *device, const grdi_array *x, const grdi_array *y, double value)
{
    (void)y;
    return device->kernels->fill ? device->kernels->fill(device, x, value) : GRD_ERROR_UNSUPPORTED;
}

grd_status grd_fill_(grd_tensor *x, double value)
{
    if (!x)
        grdi_fail_null("fill_");
    else if (grdi_fits("fill_", value, x->array.dtype))
        return run("fill_", x, x, fill, value);
    return grdi_self.latched;
}
