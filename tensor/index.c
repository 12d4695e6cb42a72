#include "tensor/front.h"

#include <stdio.h>

bool grdi_check_range(const char *op, const char *name, const grd_tensor *x, double low,
                      double high, const char *allowed)
{
    grd_device *device = grdi_device(x);
    grdi_array array = x->array;
    grdi_refusal refused = grdi_refusal_of(op, GRD_ERROR_ARGUMENT, x);
    snprintf(refused.text, sizeof refused.text, "%s" GRDI_AT " is " GRDI_VALUE ", not %s", name,
             allowed);
    grdi_merge(&array, 1);
    if (grdi_latched() || GRDI_LAUNCH(device, check_range, array.dtype,
                                      (device, &array, low, high, &refused)) != GRD_OK)
        return false;
    return grdi_none_refused(&refused);
}

bool grdi_check_index(const char *op, const grd_tensor *index, int64_t size)
{
    char allowed[64];
    if (index->array.dtype != GRD_I64)
        return grdi_fail(GRD_ERROR_DTYPE, op, "index is %s, not i64 (cast it first)",
                         grdi_dtype_name(index->array.dtype));
    snprintf(allowed, sizeof allowed, "in [0, %lld)", (long long)size);
    return grdi_check_range(op, "index", index, 0, (double)size - 1, allowed);
}

static bool same_device(const char *op, const grd_tensor *x, const grd_tensor *index)
{
    if (grdi_device(x) == grdi_device(index))
        return true;
    return grdi_fail(GRD_ERROR_DEVICE, op, "devices differ: x is on %s, index is on %s",
                     grdi_device(x)->name, grdi_device(index)->name);
}

/* x, or a contiguous copy; its dimensions before, at and after `dim` as three. */
static bool in_three(const grd_tensor *x, int dim, grdi_array *three)
{
    if (!grdi_is_contiguous(&x->array) && !(x = grdi_copy(x)))
        return false;
    grd_shape shape = { 3, { 1, 1, 1 } };
    for (int d = 0; d < x->array.rank; d++)
        shape.size[d < dim ? 0 : d == dim ? 1 : 2] *= x->array.dim[d].size;
    grdi_array_init(three, &shape, x->array.dtype);
    three->data = x->array.data;
    return true;
}

/* The same for a row of indices. */
static bool in_one(const grd_tensor *index, grdi_array *one)
{
    if (!grdi_is_contiguous(&index->array) && !(index = grdi_copy(index)))
        return false;
    grdi_array_init(one, &(grd_shape){ 1, { grdi_count(&index->array) } }, GRD_I64);
    one->data = index->array.data;
    return true;
}

/* y = x at the indices of dimension dim, which are in their range; y has `shape`. */
static grd_tensor *take(const char *op, const grd_tensor *x, int dim, const grd_tensor *index,
                        const grd_shape *shape)
{
    grd_device *device = grdi_device(x);
    grdi_array to, from, at;
    const grd_dtype dtype = x->array.dtype;
    grd_tensor *y = grdi_tensor_create(op, shape, dtype, device);
    if (!y || !in_three(x, dim, &from) || !in_one(index, &at))
        return NULL;
    to = from;
    to.data = y->array.data;
    to.dim[1].size = at.dim[0].size;
    to.dim[0].stride = to.dim[1].size * to.dim[1].stride;
    const grd_status status = GRDI_LAUNCH(device, index_select, dtype, (device, &to, &from, &at));
    return status == GRD_OK ? y : NULL;
}

grd_tensor *grdi_index_select(const grd_tensor *x, int64_t dim, const grd_tensor *index)
{
    int along = 0;
    if (!x || !index)
        return grdi_fail_null("index_select");
    if (!grdi_resolve_dim("index_select", x, dim, &along))
        return NULL;
    if (index->array.rank != 1)
        return grdi_fail(GRD_ERROR_SHAPE, "index_select", "index is %s, not of one dimension",
                         grdi_size_text(index).chars);
    if (!same_device("index_select", x, index) ||
        !grdi_check_index("index_select", index, x->array.dim[along].size))
        return NULL;
    grd_shape shape = grdi_array_shape(&x->array);
    shape.size[along] = index->array.dim[0].size;
    return take("index_select", x, along, index, &shape);
}

grd_tensor *grdi_embedding(const grd_tensor *index, const grd_tensor *weight)
{
    if (!index || !weight)
        return grdi_fail_null("embedding");
    if (weight->array.rank != 2)
        return grdi_fail(GRD_ERROR_SHAPE, "embedding", "weight is %s, not of two dimensions",
                         grdi_size_text(weight).chars);
    if (index->array.rank == GRD_MAX_RANK)
        return grdi_fail(GRD_ERROR_SHAPE, "embedding",
                         "index %s has all the dimensions that there can be",
                         grdi_size_text(index).chars);
    if (!same_device("embedding", weight, index) ||
        !grdi_check_index("embedding", index, weight->array.dim[0].size))
        return NULL;
    grd_shape shape = grdi_array_shape(&index->array);
    shape.size[shape.rank++] = weight->array.dim[1].size;
    return take("embedding", weight, 0, index, &shape);
}

static grd_tensor *as_dtype(grd_tensor *y, grd_dtype dtype)
{
    return !y || y->array.dtype == dtype ? y : grdi_cast(y, dtype);
}

bool grdi_index_add_to(grd_tensor *y, const grd_tensor *x, int dim, const grd_tensor *index)
{
    grd_device *device = grdi_device(y);
    grdi_array to, from, at;
    if (!in_three(y, dim, &to) || !in_three(x, dim, &from) || !in_one(index, &at))
        return false;
    from.dim[0] = (grdi_dim){ to.dim[0].size, at.dim[0].size * to.dim[2].size };
    from.dim[1] = (grdi_dim){ at.dim[0].size, to.dim[2].size };
    from.dim[2] = to.dim[2];
    return GRDI_LAUNCH(device, index_add, y->array.dtype, (device, &to, &from, &at)) == GRD_OK;
}

grd_tensor *grdi_index_add(const grd_tensor *x, const grd_shape *shape, int dim,
                           const grd_tensor *index)
{
    const grd_dtype dtype = x->array.dtype;
    grd_tensor *y = grdi_full("index_add", shape, 0, grdi_summed_in(dtype), grdi_device(x));
    return y && grdi_index_add_to(y, x, dim, index) ? as_dtype(y, dtype) : NULL;
}

/* Whether index can address x along `dim`: of its rank, and elsewhere no larger than it. */
static bool index_fits(const char *op, const grd_tensor *x, int dim, const grd_tensor *index)
{
    bool fits = index->array.rank == x->array.rank;
    for (int d = 0; fits && d < x->array.rank; d++)
        fits = d == dim || index->array.dim[d].size <= x->array.dim[d].size;
    if (fits)
        return same_device(op, x, index) && grdi_check_index(op, index, x->array.dim[dim].size);
    return grdi_fail(GRD_ERROR_SHAPE, op,
                     "index %s does not fit x, %s: it should have as many dimensions and, but for "
                     "dimension %d, no larger ones",
                     grdi_size_text(index).chars, grdi_size_text(x).chars, dim);
}

/* What indices along `dim` address: x cut to index's sizes, and not moving along dim. */
static grdi_array addressed(const grdi_array *x, int dim, const grdi_array *index)
{
    grdi_array still = *x;
    for (int d = 0; d < x->rank; d++)
        still.dim[d].size = index->dim[d].size;
    still.dim[dim].stride = 0;
    return still;
}

grd_tensor *grdi_gather(const grd_tensor *x, int64_t dim, const grd_tensor *index)
{
    int along = 0;
    if (!x || !index)
        return grdi_fail_null("gather");
    if (!grdi_resolve_dim("gather", x, dim, &along) || !index_fits("gather", x, along, index))
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_shape shape = grdi_array_shape(&index->array);
    grd_tensor *y = grdi_tensor_create("gather", &shape, x->array.dtype, device);
    if (!y)
        return NULL;
    grdi_array arrays[] = { y->array, addressed(&x->array, along, &index->array), index->array };
    const grdi_dim addressed_by = x->array.dim[along];
    grdi_merge(arrays, 3);
    const grd_status status = GRDI_LAUNCH(
        device, gather, x->array.dtype, (device, &arrays[0], &arrays[1], addressed_by, &arrays[2]));
    return status == GRD_OK ? y : NULL;
}

/* x with dimension dim moved to the last but one place. */
static void move_dim(grdi_array *x, int dim)
{
    const grdi_dim moved = x->dim[dim];
    const int last = x->rank - 1;
    if (last == 0) {
        x->dim[x->rank++] = (grdi_dim){ 1, 1 };
        return;
    }
    for (int d = dim; d < last; d++)
        x->dim[d] = x->dim[d + 1];
    x->dim[last] = x->dim[last - 1];
    x->dim[last - 1] = moved;
}

/* y [index] += source along dim; the indices are in range, and y's dtype is one to sum in. */
static bool scatter(const char *op, const grdi_array *y, int dim, const grdi_array *index,
                    const grdi_array *source, grd_device *device)
{
    const grdi_dim along = y->dim[dim];
    grdi_array to = addressed(y, dim, index), from = *source, at = *index;
    for (int d = 0; d < from.rank; d++)
        from.dim[d].size = at.dim[d].size;
    move_dim(&to, dim);
    move_dim(&from, dim);
    move_dim(&at, dim);
    const grd_status status = device->kernels->scatter_add
                                  ? device->kernels->scatter_add(device, &to, &from, along, &at)
                                  : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, y->dtype, device) == GRD_OK;
}

static bool source_fits(const grd_tensor *source, const grd_tensor *index)
{
    bool fits = source->array.rank == index->array.rank;
    for (int d = 0; fits && d < index->array.rank; d++)
        fits = source->array.dim[d].size >= index->array.dim[d].size;
    return fits || grdi_fail(GRD_ERROR_SHAPE, "scatter_add", "source %s is smaller than index, %s",
                             grdi_size_text(source).chars, grdi_size_text(index).chars);
}

grd_tensor *grdi_scatter_add(const grd_tensor *x, int64_t dim, const grd_tensor *index,
                             const grd_tensor *source)
{
    int along = 0;
    if (!x || !index || !source)
        return grdi_fail_null("scatter_add");
    if (!grdi_resolve_dim("scatter_add", x, dim, &along) ||
        !grdi_same_kind("scatter_add", x, source) || !index_fits("scatter_add", x, along, index) ||
        !source_fits(source, index))
        return NULL;
    const grd_dtype dtype = x->array.dtype;
    grd_tensor *y =
        grdi_summed_in(dtype) == dtype ? grdi_copy(x) : grdi_cast(x, grdi_summed_in(dtype));
    if (!y ||
        !scatter("scatter_add", &y->array, along, &index->array, &source->array, grdi_device(x)))
        return NULL;
    return as_dtype(y, dtype);
}

grd_tensor *grdi_one_hot(const grd_tensor *index, int64_t classes)
{
    if (!index)
        return grdi_fail_null("one_hot");
    if (classes < 1)
        return grdi_fail(GRD_ERROR_ARGUMENT, "one_hot", "%lld classes", (long long)classes);
    const int rank = index->array.rank;
    if (rank == GRD_MAX_RANK)
        return grdi_fail(GRD_ERROR_SHAPE, "one_hot", "%s has all the dimensions that there can be",
                         grdi_size_text(index).chars);
    if (!grdi_check_index("one_hot", index, classes))
        return NULL;
    grd_device *device = grdi_device(index);
    grd_shape shape = grdi_array_shape(&index->array);
    shape.size[shape.rank++] = classes;
    grd_tensor *y = grdi_full("one_hot", &shape, 0, GRD_I64, device);
    const grd_tensor *one = grdi_full("one_hot", &(grd_shape){ 0 }, 1, GRD_I64, device);
    if (!y || !one)
        return NULL;
    grdi_array at = index->array;
    at.dim[at.rank++] = (grdi_dim){ 1, 1 };
    const grd_shape sizes = grdi_array_shape(&at);
    const grdi_array ones = grdi_array_expand(&one->array, &sizes);
    return scatter("one_hot", &y->array, rank, &at, &ones, device) ? y : NULL;
}
