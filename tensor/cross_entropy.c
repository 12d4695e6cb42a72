#include "tensor/front.h"

#include <stdio.h>

static bool check(const grd_tensor *logits, const grd_tensor *targets)
{
    if (!logits || !targets)
        return grdi_fail_null("cross_entropy");
    if (!grdi_is_floating(logits->array.dtype))
        return grdi_fail(GRD_ERROR_DTYPE, "cross_entropy",
                         "logits are %s, not floating (grd_cast them)",
                         grdi_dtype_name(logits->array.dtype));
    if (targets->array.dtype != GRD_I64)
        return grdi_fail(GRD_ERROR_DTYPE, "cross_entropy",
                         "targets are classes in i64, not %s (grd_cast them)",
                         grdi_dtype_name(targets->array.dtype));
    if (grdi_device(logits) != grdi_device(targets))
        return grdi_fail(GRD_ERROR_DEVICE, "cross_entropy",
                         "devices differ: logits are on %s, targets on %s",
                         grdi_device(logits)->name, grdi_device(targets)->name);
    grd_shape rows = grdi_array_shape(&logits->array);
    rows.rank--;
    if (rows.rank < 0 || !grdi_has_shape(&targets->array, &rows))
        return grdi_fail(GRD_ERROR_SHAPE, "cross_entropy",
                         "logits are (..., C), targets (...), but logits are %s, targets %s",
                         grdi_size_text(logits).chars, grdi_size_text(targets).chars);
    return true;
}

/* x, contiguous, as [R, C] or [R]; false if copying it failed. */
static bool flat(const grd_tensor *x, int rank, grdi_array *array)
{
    if (!grdi_is_contiguous(&x->array) && !(x = grdi_copy(x)))
        return false;
    grd_shape shape = { rank, { 1, 1 } };
    for (int d = 0; d < x->array.rank; d++)
        shape.size[rank == 2 && d == x->array.rank - 1] *= x->array.dim[d].size;
    grdi_array_init(array, &shape, x->array.dtype);
    array->data = x->array.data;
    return true;
}

static grdi_refusal refusal_of(const grd_tensor *targets, int64_t classes)
{
    grdi_refusal refused = grdi_refusal_of("cross_entropy", GRD_ERROR_ARGUMENT, targets);
    snprintf(refused.text, sizeof refused.text,
             "targets" GRDI_AT " is " GRDI_VALUE ", but there are %lld classes, from 0 on",
             (long long)classes);
    return refused;
}

grd_tensor *grdi_cross_entropy(const grd_tensor *logits, const grd_tensor *targets, bool each,
                               const grdi_weighing *how, grd_tensor **stats)
{
    grdi_array of_logits, of_targets, of_y;
    if (!check(logits, targets) || !flat(logits, 2, &of_logits) || !flat(targets, 1, &of_targets))
        return NULL;
    grd_device *device = grdi_device(logits);
    const grd_dtype dtype = logits->array.dtype;
    const grd_shape shape = each ? grdi_array_shape(&targets->array) : (grd_shape){ 0 };
    const grd_shape rows = { 1, { of_targets.dim[0].size + 1 } };
    grd_tensor *y = grdi_tensor_create("cross_entropy", &shape, dtype, device);
    grd_tensor *kept = grdi_tensor_create("cross_entropy", &rows, GRD_F64, device);
    if (!y || !kept || !flat(y, each, &of_y))
        return NULL;

    grdi_refusal refused = refusal_of(targets, of_logits.dim[1].size);
    if (GRDI_LAUNCH(device, cross_entropy, dtype,
                    (device, &of_y, &kept->array, &of_logits, &of_targets, how, &refused)) !=
            GRD_OK ||
        !grdi_none_refused(&refused))
        return NULL;
    if (stats)
        *stats = kept;
    return y;
}

grd_tensor *grdi_cross_entropy_backward(const grd_tensor *dy, const grd_tensor *logits,
                                        const grd_tensor *targets, const grd_tensor *stats,
                                        const grdi_weighing *how)
{
    grdi_array of_logits, of_targets, of_dy, of_dx;
    if (!dy || !logits || !targets || !stats)
        return grdi_fail_null("cross_entropy");
    if (!flat(logits, 2, &of_logits) || !flat(targets, 1, &of_targets) ||
        !flat(dy, dy->array.rank > 0, &of_dy))
        return NULL;
    grd_device *device = grdi_device(logits);
    const grd_dtype dtype = logits->array.dtype;
    const grd_shape shape = grdi_array_shape(&logits->array);
    grd_tensor *dx = grdi_tensor_create("cross_entropy", &shape, dtype, device);
    if (!dx || !flat(dx, 2, &of_dx))
        return NULL;
    const grd_status status =
        GRDI_LAUNCH(device, cross_entropy_backward, dtype,
                    (device, &of_dx, &of_dy, &stats->array, &of_logits, &of_targets, how));
    return status == GRD_OK ? dx : NULL;
}
