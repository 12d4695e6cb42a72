#include "tensor/front.h"

#include <stdio.h>

/* x as one row: it is contiguous. */
static grdi_array flat(const grd_tensor *x)
{
    grdi_array row = { .data = x->array.data, .dtype = x->array.dtype, .rank = 1 };
    row.dim[0] = (grdi_dim){ grdi_count(&x->array), 1 };
    return row;
}

/* Whether `other` can be read or written beside x, element for element. */
static bool fits(const char *op, const grd_tensor *x, const grd_tensor *other, const char *what)
{
    const grd_shape shape = grdi_array_shape(&x->array);
    if (!grdi_same_kind(op, x, other))
        return false;
    if (!grdi_has_shape(&other->array, &shape))
        return grdi_fail(GRD_ERROR_SHAPE, op, "the parameter is %s, its %s %s",
                         grdi_size_text(x).chars, what, grdi_size_text(other).chars);
    if (!grdi_is_contiguous(&x->array) || !grdi_is_contiguous(&other->array))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "the parameter and its %s must be contiguous",
                         what);
    return true;
}

bool grdi_sgd_step(grd_tensor *x, grd_tensor *b, const grd_tensor *dx, const grdi_sgd *numbers)
{
    if (!x || !dx)
        return grdi_fail_null("sgd");
    if (!fits("sgd", x, dx, "gradient") || (b && !fits("sgd", x, b, "momentum")) ||
        !grdi_may_write("sgd", x) || (b && !grdi_may_write("sgd", b)))
        return false;
    grd_device *device = grdi_device(x);
    const grdi_array to = flat(x), momentum = b ? flat(b) : to, from = flat(dx);
    return GRDI_LAUNCH(device, sgd, x->array.dtype,
                       (device, &to, b ? &momentum : NULL, &from, numbers)) == GRD_OK;
}

bool grdi_adam_step(grd_tensor *x, grd_tensor *m, grd_tensor *v, const grd_tensor *dx,
                    const grdi_adam *numbers)
{
    if (!x || !m || !v || !dx)
        return grdi_fail_null("adam");
    if (!fits("adam", x, dx, "gradient") || !fits("adam", x, m, "first moment") ||
        !fits("adam", x, v, "second moment") || !grdi_may_write("adam", x) ||
        !grdi_may_write("adam", m) || !grdi_may_write("adam", v))
        return false;
    grd_device *device = grdi_device(x);
    const grdi_array to = flat(x), first = flat(m), second = flat(v), from = flat(dx);
    return GRDI_LAUNCH(device, adam, x->array.dtype,
                       (device, &to, &first, &second, &from, numbers)) == GRD_OK;
}

bool grdi_square_sum(grd_tensor *sums, int64_t row, const grd_tensor *x, grdi_refusal *refused)
{
    grd_device *device = grdi_device(x);
    if (!grdi_may_write("square_sum", sums))
        return false;
    if (grdi_device(sums) != device)
        return grdi_fail(GRD_ERROR_DEVICE, "square_sum", "gradients lie on %s and on %s",
                         grdi_device(sums)->name, device->name);
    if (!grdi_is_contiguous(&x->array) && !(x = grdi_copy(x)))
        return false;
    grdi_array to = flat(sums);
    const grdi_array from = flat(x);
    to.data = (double *)to.data + 2 * row;
    to.dim[0].size = 2;
    return GRDI_LAUNCH(device, square_sum, x->array.dtype, (device, &to, &from, refused)) ==
               GRD_OK &&
           (!refused || grdi_none_refused(refused));
}

grd_tensor *grdi_clip_factor(const char *op, const grd_tensor *sums, double most)
{
    grd_device *device = grdi_device(sums);
    grd_tensor *y = grdi_tensor_create(op, &(grd_shape){ 1, { 3 } }, GRD_F64, device);
    grdi_refusal refused = grdi_refusal_of(op, GRD_ERROR_NOT_FINITE, sums);
    snprintf(refused.text, sizeof refused.text, "the norm is too large for f64");
    if (!y || GRDI_LAUNCH(device, clip_factor, GRD_F64,
                          (device, &y->array, &sums->array, most, &refused)) != GRD_OK)
        return NULL;
    return grdi_none_refused(&refused) ? y : NULL;
}

bool grdi_scale_by(grd_tensor *x, const grd_tensor *factor)
{
    grd_device *device = grdi_device(x);
    if (!grdi_may_write("scale_by", x))
        return false;
    grdi_array array = x->array;
    grdi_merge(&array, 1);
    return GRDI_LAUNCH(device, scale_by, array.dtype, (device, &array, &array, &factor->array)) ==
           GRD_OK;
}
