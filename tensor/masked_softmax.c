#include "tensor/front.h"

enum { MOST = 4 };

/* Arrays of x's sizes, the outer dimensions merged where all allow it and the last one kept. */
typedef struct rows {
    grdi_array at[MOST];
    int count;
} rows;

static const grdi_array *add(rows *r, const grd_tensor *x, const grd_shape *shape)
{
    if (!x)
        return NULL;
    r->at[r->count] = grdi_array_expand(&x->array, shape);
    return &r->at[r->count++];
}

static void merge_outer(rows *r)
{
    int64_t stride[MOST];
    const int64_t n = r->at[0].dim[r->at[0].rank - 1].size;
    for (int i = 0; i < r->count; i++)
        stride[i] = r->at[i].dim[--r->at[i].rank].stride;
    grdi_merge(r->at, r->count);
    for (int i = 0; i < r->count; i++)
        r->at[i].dim[r->at[i].rank++] = (grdi_dim){ n, stride[i] };
}

static bool fits(const char *op, const char *what, const grd_tensor *x, const grd_shape *shape)
{
    if (!x)
        return true;
    grd_shape common = grdi_array_shape(&x->array);
    if (grdi_broadcast(&common, shape) && grdi_shape_equal(&common, shape))
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, op, "%s %s does not broadcast to %s", what,
                     grdi_size_text(x).chars, grdi_shape_text(shape).chars);
}

static bool check(const char *op, const grd_tensor *x, const grd_tensor *second,
                  const grd_tensor *keep, const grd_shape *shape)
{
    if (shape->rank < 1)
        return grdi_fail(GRD_ERROR_SHAPE, op, "a scalar has no rows");
    if (second && !grdi_same_kind(op, x, second))
        return false;
    if (keep && keep->array.dtype != GRD_BOOL)
        return grdi_fail(GRD_ERROR_DTYPE, op, "keep is %s, not bool",
                         grdi_dtype_name(keep->array.dtype));
    return fits(op, "additive", second, shape) && fits(op, "keep", keep, shape);
}

grd_tensor *grdi_masked_softmax(const grd_tensor *x, const grd_tensor *additive,
                                const grd_tensor *keep, double scale, grd_tensor **lse)
{
    static const char op[] = "masked_softmax";
    if (!x)
        return grdi_fail_null(op);
    const grd_shape shape = grdi_array_shape(&x->array);
    if (!check(op, x, additive, keep, &shape))
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    grd_tensor *y = grdi_tensor_create(op, &shape, dtype, device);
    grd_shape without = shape;
    without.rank--;
    if (!y || (lse && !(*lse = grdi_tensor_create(op, &without, dtype, device))))
        return NULL;

    rows r = { .count = 0 };
    const grdi_array *to = add(&r, y, &shape), *from = add(&r, x, &shape);
    const grdi_array *plus = add(&r, additive, &shape), *kept = add(&r, keep, &shape);
    merge_outer(&r);
    grdi_array sums = *to; /* one a row, row by row */
    if (lse) {
        sums.data = (*lse)->array.data;
        sums.rank--;
        for (int d = 0; d < sums.rank; d++)
            sums.dim[d].stride /= shape.size[shape.rank - 1] ? shape.size[shape.rank - 1] : 1;
    }
    const grd_status status = GRDI_LAUNCH(
        device, masked_softmax, dtype, (device, to, lse ? &sums : NULL, from, plus, kept, scale));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_masked_softmax_backward(const grd_tensor *y, const grd_tensor *dy,
                                         const grd_tensor *keep, double scale)
{
    static const char op[] = "masked_softmax_backward";
    if (!y || !dy)
        return grdi_fail_null(op);
    const grd_shape shape = grdi_array_shape(&y->array);
    if (!check(op, y, dy, keep, &shape))
        return NULL;
    grd_device *device = grdi_device(y);
    const grd_dtype dtype = y->array.dtype;
    grd_tensor *dx = grdi_tensor_create(op, &shape, dtype, device);
    if (!dx)
        return NULL;

    rows r = { .count = 0 };
    const grdi_array *to = add(&r, dx, &shape), *of_y = add(&r, y, &shape);
    const grdi_array *of_dy = add(&r, dy, &shape), *kept = add(&r, keep, &shape);
    merge_outer(&r);
    const grd_status status =
        GRDI_LAUNCH(device, masked_softmax_backward, dtype, (device, to, of_y, of_dy, kept, scale));
    return status == GRD_OK ? dx : NULL;
}
