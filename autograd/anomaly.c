#include "autograd/hooks.h"

/* Where x's first NaN is, row-major; -1: nowhere, -2: an error is latched. */
static int64_t first_nan(const char *op, const grd_tensor *x)
{
    int64_t position = -2;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.anomaly = false;
    if (grd_read_i64(grdi_first_nan(op, x), &position, 1) != GRD_OK)
        position = -2;
    grd_scope_end(&scope);
    return position;
}

bool grdi_check_values(const char *op, const char *what, const grd_tensor *x)
{
    const grd_dtype dtype = x->array.dtype;
    if (dtype == GRD_I64 || dtype == GRD_BOOL)
        return true;
    int64_t position = first_nan(op, x);
    if (position < 0)
        return position == -1;
    grd_shape index = grdi_array_shape(&x->array);
    for (int64_t d = index.rank - 1; d >= 0; d--) {
        const int64_t size = index.size[d];
        index.size[d] = position % size;
        position /= size;
    }
    return grdi_fail(GRD_ERROR_NOT_FINITE, op, "%s %s has its first NaN at %s", what,
                     grdi_size_text(x).chars, grdi_shape_text(&index).chars);
}
