#include "tensor/front.h"

/* `shape` with its -1, if it has one, made to fit x's elements. */
static bool complete(const char *op, const grd_tensor *x, const grd_shape *shape, grd_shape *full)
{
    int64_t open = -1;
    size_t bytes;
    *full = *shape;
    for (int64_t d = 0; d < shape->rank && d < GRD_MAX_RANK; d++) {
        if (shape->size[d] != -1)
            continue;
        if (open >= 0)
            return grdi_fail(GRD_ERROR_SHAPE, op, "only one size may be -1: %s",
                             grdi_shape_text(shape).chars);
        open = d;
        full->size[d] = 1;
    }
    if (!grdi_shape_bytes(op, full, x->array.dtype, &bytes))
        return false;
    const int64_t count = grdi_count(&x->array);
    const int64_t others = (int64_t)(bytes / grdi_dtype_size(x->array.dtype));
    if (open >= 0 && others == 0)
        return grdi_fail(GRD_ERROR_SHAPE, op, "-1 could be any size beside a 0: %s",
                         grdi_shape_text(shape).chars);
    if (open >= 0)
        full->size[open] = count / others;
    if (open >= 0 ? count % others != 0 : count != others)
        return grdi_fail(GRD_ERROR_SHAPE, op, "element counts differ: %s to %s",
                         grdi_size_text(x).chars, grdi_shape_text(shape).chars);
    return true;
}

/* Describes x's elements, in row-major order, as an array of `shape`, which has as many. False
 * where x's strides do not allow it: each run of dimensions that lie in one stride must be a
 * product of the last sizes left. */
static bool restride(grdi_array *y, const grdi_array *x, const grd_shape *shape)
{
    grdi_array_init(y, shape, x->dtype);
    y->data = x->data;
    if (grdi_is_contiguous(x))
        return true;
    int to = y->rank - 1;
    int64_t run = 1, described = 1, stride = x->dim[x->rank - 1].stride;
    for (int d = x->rank - 1; d >= 0; d--) {
        run *= x->dim[d].size;
        if (d > 0 && (x->dim[d - 1].size == 1 || x->dim[d - 1].stride == run * stride))
            continue;
        for (; to >= 0 && (described < run || y->dim[to].size == 1); to--) {
            y->dim[to].stride = described * stride;
            described *= y->dim[to].size;
        }
        if (described != run)
            return false;
        run = described = 1;
        stride = d > 0 ? x->dim[d - 1].stride : 0;
    }
    return true;
}

grd_tensor *grdi_view(const grd_tensor *x, const grd_shape *shape)
{
    grd_shape full;
    grdi_array array;
    if (!x)
        return grdi_fail_null("view");
    if (!complete("view", x, shape, &full))
        return NULL;
    if (!restride(&array, &x->array, &full))
        return grdi_fail(GRD_ERROR_SHAPE, "view",
                         "%s, which is not contiguous, cannot be seen as %s without a copy (use "
                         "grd_reshape)",
                         grdi_size_text(x).chars, grdi_shape_text(&full).chars);
    return grdi_tensor_view("view", x, &array);
}

grd_tensor *grdi_reshape(const grd_tensor *x, const grd_shape *shape)
{
    grd_shape full;
    grdi_array array;
    if (!x)
        return grdi_fail_null("reshape");
    if (!complete("reshape", x, shape, &full))
        return NULL;
    if (!restride(&array, &x->array, &full)) {
        if (!(x = grdi_copy(x)))
            return NULL;
        restride(&array, &x->array, &full);
    }
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

grd_tensor *grdi_permute(const grd_tensor *x, const grd_dims *order)
{
    unsigned seen;
    if (!x)
        return grdi_fail_null("permute");
    if (order->count != x->array.rank)
        return grdi_fail(GRD_ERROR_ARGUMENT, "permute", "%lld dimensions are given for %s",
                         (long long)order->count, grdi_size_text(x).chars);
    if (!grdi_dim_bits("permute", x, order, &seen))
        return NULL;

    grdi_array array = x->array;
    for (int d = 0; d < array.rank; d++) {
        const int64_t from = order->dim[d];
        array.dim[d] = x->array.dim[from < 0 ? from + array.rank : from];
    }
    return grdi_tensor_view("permute", x, &array);
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

/* As Python: negative positions count from the end, and what lies outside is cut off. */
static int64_t clamped(int64_t position, int64_t size)
{
    if (position < 0)
        position += size;
    return position < 0 ? 0 : position < size ? position : size;
}

bool grdi_resolve_range(const char *op, const grd_tensor *x, int64_t dim, int64_t start,
                        int64_t stop, int64_t step, grdi_range *range)
{
    if (!grdi_resolve_dim(op, x, dim, &range->dim))
        return false;
    if (step < 1)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "step is %lld and should be positive",
                         (long long)step);
    const int64_t size = x->array.dim[range->dim].size;
    const int64_t first = clamped(start, size), end = clamped(stop, size);
    range->start = first;
    range->step = step;
    range->size = first < end ? (end - first - 1) / step + 1 : 0;
    return true;
}

grdi_array grdi_array_slice(const grdi_array *x, const grdi_range *range)
{
    grdi_array part = *x;
    grdi_dim *dim = &part.dim[range->dim];
    dim->size = range->size;
    if (grdi_count(&part)) /* else there is no memory to point into */
        part.data =
            (char *)part.data + range->start * dim->stride * (int64_t)grdi_dtype_size(part.dtype);
    if (range->size > 1) /* else a step can be of any length */
        dim->stride *= range->step;
    return part;
}

grd_tensor *grdi_slice(const grd_tensor *x, const grdi_range *range)
{
    const grdi_array part = grdi_array_slice(&x->array, range);
    return grdi_tensor_view("slice", x, &part);
}

bool grdi_resolve_index(const char *op, const grd_tensor *x, int64_t dim, int64_t index,
                        grdi_range *range)
{
    if (!grdi_resolve_dim(op, x, dim, &range->dim))
        return false;
    const int64_t size = x->array.dim[range->dim].size;
    if (index < -size || index >= size)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "index %lld is outside dimension %d of %s (%lld to %lld)",
                         (long long)index, range->dim, grdi_size_text(x).chars, (long long)-size,
                         (long long)size - 1);
    range->start = index < 0 ? index + size : index;
    range->step = range->size = 1;
    return true;
}

grd_tensor *grdi_select(const grd_tensor *x, const grdi_range *range)
{
    grdi_array part = grdi_array_slice(&x->array, range);
    grdi_drop_dim(&part, range->dim);
    return grdi_tensor_view("select", x, &part);
}

grd_tensor *grdi_squeeze(const grd_tensor *x, int64_t dim)
{
    int gone = 0;
    if (!x)
        return grdi_fail_null("squeeze");
    if (!grdi_resolve_dim("squeeze", x, dim, &gone))
        return NULL;
    grdi_array array = x->array;
    if (array.dim[gone].size == 1)
        grdi_drop_dim(&array, gone);
    return grdi_tensor_view("squeeze", x, &array);
}

grd_tensor *grdi_unsqueeze(const grd_tensor *x, int64_t dim)
{
    int added = 0;
    if (!x)
        return grdi_fail_null("unsqueeze");
    if (!grdi_resolve_new_dim("unsqueeze", x, dim, &added))
        return NULL;
    grdi_array array = x->array;
    for (int d = array.rank++; d > added; d--)
        array.dim[d] = array.dim[d - 1];
    array.dim[added] = (grdi_dim){ 1, 1 };
    return grdi_tensor_view("unsqueeze", x, &array);
}
