#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const char *name;
    size_t size;
    unsigned kind;
} dtypes[GRD_DTYPE_COUNT] = {
    [GRD_F32] = { "f32", 4, GRDI_FLOATS },   [GRD_F64] = { "f64", 8, GRDI_FLOATS },
    [GRD_F16] = { "f16", 2, GRDI_FLOATS },   [GRD_BF16] = { "bf16", 2, GRDI_FLOATS },
    [GRD_I64] = { "i64", 8, GRDI_INTEGERS }, [GRD_BOOL] = { "bool", sizeof(bool), GRDI_BOOLS },
};

const char *grdi_dtype_name(grd_dtype dtype)
{
    return dtype && (unsigned)dtype < GRD_DTYPE_COUNT ? dtypes[dtype].name : "unknown dtype";
}

size_t grdi_dtype_size(grd_dtype dtype)
{
    return dtypes[dtype].size;
}

grdi_text grdi_shape_text(const grd_shape *shape)
{
    grdi_text text = { "[" };
    size_t used = 1;
    for (int d = 0; d < shape->rank && d < GRD_MAX_RANK; d++)
        used += (size_t)snprintf(text.chars + used, sizeof text.chars - used, d ? ", %lld" : "%lld",
                                 (long long)shape->size[d]);
    snprintf(text.chars + used, sizeof text.chars - used, "]");
    return text;
}

grdi_text grdi_size_text(const grd_tensor *x)
{
    const grd_shape shape = grdi_array_shape(&x->array);
    const grdi_text sizes = grdi_shape_text(&shape);
    grdi_text text = sizes;
    if (x->name) /* what is left beside the longest shape */
        snprintf(text.chars, sizeof text.chars, "%.60s %.180s", x->name, sizes.chars);
    return text;
}

grd_shape grdi_array_shape(const grdi_array *x)
{
    grd_shape shape;
    shape.rank = x->rank;
    for (int d = 0; d < x->rank; d++)
        shape.size[d] = x->dim[d].size;
    return shape;
}

int64_t grdi_count(const grdi_array *x)
{
    int64_t count = 1;
    for (int d = 0; d < x->rank; d++)
        count *= x->dim[d].size;
    return count;
}

bool grdi_has_shape(const grdi_array *x, const grd_shape *shape)
{
    bool equal = x->rank == shape->rank;
    for (int d = 0; equal && d < x->rank; d++)
        equal = x->dim[d].size == shape->size[d];
    return equal;
}

bool grdi_shape_equal(const grd_shape *a, const grd_shape *b)
{
    bool equal = a->rank == b->rank;
    for (int d = 0; equal && d < a->rank; d++)
        equal = a->size[d] == b->size[d];
    return equal;
}

bool grdi_is_contiguous(const grdi_array *x)
{
    int64_t expected = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        if (x->dim[d].size == 0)
            return true;
        if (x->dim[d].size != 1 && x->dim[d].stride != expected)
            return false;
        expected *= x->dim[d].size;
    }
    return true;
}

bool grdi_shape_bytes(const char *op, const grd_shape *shape, grd_dtype dtype, size_t *bytes)
{
    if (!dtype || (unsigned)dtype >= GRD_DTYPE_COUNT)
        return grdi_fail(GRD_ERROR_DTYPE, op, "%d is no dtype", (int)dtype);
    if (shape->rank < 0 || shape->rank > GRD_MAX_RANK)
        return grdi_fail(GRD_ERROR_SHAPE, op, "rank %lld is not in 0..%d", (long long)shape->rank,
                         GRD_MAX_RANK);

    /* Zeros count as ones, so that strides cannot overflow either. */
    int64_t extent = (int64_t)grdi_dtype_size(dtype);
    bool empty = false;
    for (int d = 0; d < shape->rank; d++) {
        const int64_t size = shape->size[d];
        if (size < 0)
            return grdi_fail(GRD_ERROR_SHAPE, op, "a size is negative: %s",
                             grdi_shape_text(shape).chars);
        empty = empty || size == 0;
        if (__builtin_mul_overflow(extent, size ? size : 1, &extent))
            return grdi_fail(GRD_ERROR_SHAPE, op, "%s is too large", grdi_shape_text(shape).chars);
    }
    *bytes = empty ? 0 : (size_t)extent;
    return true;
}

void grdi_array_init(grdi_array *x, const grd_shape *shape, grd_dtype dtype)
{
    x->data = NULL;
    x->dtype = dtype;
    x->rank = (int)shape->rank;
    int64_t stride = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        x->dim[d] = (grdi_dim){ shape->size[d], stride };
        stride *= shape->size[d] ? shape->size[d] : 1;
    }
}

bool grdi_resolve_dim(const char *op, const grd_tensor *x, int64_t dim, int *resolved)
{
    const int rank = x->array.rank;
    if (dim < -rank || dim >= rank)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "dimension %lld does not exist in %s",
                         (long long)dim, grdi_size_text(x).chars);
    *resolved = (int)(dim < 0 ? dim + rank : dim);
    return true;
}

bool grdi_resolve_new_dim(const char *op, const grd_tensor *x, int64_t dim, int *resolved)
{
    const int rank = x->array.rank;
    if (rank == GRD_MAX_RANK)
        return grdi_fail(GRD_ERROR_SHAPE, op, "%s has all the dimensions that there can be",
                         grdi_size_text(x).chars);
    if (dim < -rank - 1 || dim > rank)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "a new dimension %lld has no place in %s (%d to %d)", (long long)dim,
                         grdi_size_text(x).chars, -rank - 1, rank);
    *resolved = (int)(dim < 0 ? dim + rank + 1 : dim);
    return true;
}

bool grdi_dim_bits(const char *op, const grd_tensor *x, const grd_dims *dims, unsigned *bits)
{
    *bits = dims->count == 0 ? (1u << x->array.rank) - 1 : 0;
    for (int64_t i = 0; i < dims->count; i++) {
        int dim = 0;
        if (!grdi_resolve_dim(op, x, dims->dim[i], &dim))
            return false;
        if (*bits & 1u << dim)
            return grdi_fail(GRD_ERROR_ARGUMENT, op, "dimension %lld is given twice",
                             (long long)dims->dim[i]);
        *bits |= 1u << dim;
    }
    return true;
}

bool grdi_fits(const char *op, double value, grd_dtype dtype)
{
    const bool whole = value >= -0x1p63 && value < 0x1p63 && trunc(value) == value;
    if (dtype == GRD_I64 ? whole : dtype != GRD_BOOL || value == 0 || value == 1)
        return true;
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "%.17g is no %s (cast the tensor to f32 first)", value,
                     grdi_dtype_name(dtype));
}

bool grdi_is_floating(grd_dtype dtype)
{
    return dtypes[dtype].kind & GRDI_FLOATS;
}

grd_dtype grdi_summed_in(grd_dtype dtype)
{
    return dtype == GRD_F16 || dtype == GRD_BF16 ? GRD_F32 : dtype;
}

bool grdi_has_kind(const char *op, const char *name, const grd_tensor *x, unsigned kinds)
{
    static const char *const needed[GRDI_ANY] = {
        [GRDI_FLOATS] = "floating",
        [GRDI_INTEGERS] = "i64",
        [GRDI_BOOLS] = "bool",
        [GRDI_NUMBERS] = "floating or i64",
        [GRDI_FLOATS | GRDI_BOOLS] = "floating or bool",
        [GRDI_INTEGERS | GRDI_BOOLS] = "i64 or bool",
    };
    if (dtypes[x->array.dtype].kind & kinds)
        return true;
    return grdi_fail(GRD_ERROR_DTYPE, op, "%s is %s and should be %s (cast it first)", name,
                     grdi_dtype_name(x->array.dtype), needed[kinds]);
}

bool grdi_same_kind(const char *op, const grd_tensor *a, const grd_tensor *b)
{
    if (a->array.dtype != b->array.dtype)
        return grdi_fail(GRD_ERROR_DTYPE, op,
                         "dtypes differ: a is %s, b is %s (grd_cast one of them)",
                         grdi_dtype_name(a->array.dtype), grdi_dtype_name(b->array.dtype));
    if (grdi_device(a) != grdi_device(b))
        return grdi_fail(GRD_ERROR_DEVICE, op, "devices differ: a is on %s, b is on %s",
                         grdi_device(a)->name, grdi_device(b)->name);
    return true;
}

bool grdi_broadcast(grd_shape *shape, const grd_shape *other)
{
    const int64_t rank = shape->rank > other->rank ? shape->rank : other->rank;
    grd_shape result = { .rank = rank };
    for (int64_t d = 1; d <= rank; d++) {
        const int64_t a = d <= shape->rank ? shape->size[shape->rank - d] : 1;
        const int64_t b = d <= other->rank ? other->size[other->rank - d] : 1;
        if (a != b && a != 1 && b != 1)
            return false;
        result.size[rank - d] = a == 1 ? b : a;
    }
    *shape = result;
    return true;
}

grdi_array grdi_array_expand(const grdi_array *x, const grd_shape *shape)
{
    grdi_array expanded;
    expanded.data = x->data;
    expanded.dtype = x->dtype;
    expanded.rank = (int)shape->rank;
    const int added = expanded.rank - x->rank;
    for (int d = 0; d < expanded.rank; d++) {
        const bool own = d >= added && x->dim[d - added].size == shape->size[d];
        expanded.dim[d] = (grdi_dim){ shape->size[d], own ? x->dim[d - added].stride : 0 };
    }
    return expanded;
}

grdi_array grdi_with_dim_last(const grdi_array *x, int dim)
{
    grdi_array moved = *x;
    for (int d = dim; d < x->rank - 1; d++)
        moved.dim[d] = x->dim[d + 1];
    moved.dim[x->rank - 1] = x->dim[dim];
    return moved;
}

static bool mergeable(const grdi_array arrays[], int count, int d)
{
    for (int i = 0; i < count; i++)
        if (arrays[i].dim[d].stride != arrays[i].dim[d + 1].stride * arrays[i].dim[d + 1].size)
            return false;
    return true;
}

void grdi_drop_dim(grdi_array *x, int d)
{
    x->rank--;
    for (; d < x->rank; d++)
        x->dim[d] = x->dim[d + 1];
}

void grdi_merge(grdi_array arrays[], int count)
{
    for (int d = arrays[0].rank - 2; d >= 0; d--) {
        if (arrays[0].dim[d].size != 1 && !mergeable(arrays, count, d))
            continue;
        for (int i = 0; i < count; i++) {
            arrays[i].dim[d + 1].size *= arrays[i].dim[d].size;
            grdi_drop_dim(&arrays[i], d);
        }
    }
}

void grdi_merge_rows(grdi_array arrays[], int count)
{
    grdi_dim row[GRDI_MAX_MERGED];
    for (int i = 0; i < count; i++)
        row[i] = arrays[i].dim[--arrays[i].rank];
    grdi_merge(arrays, count);
    for (int i = 0; i < count; i++)
        arrays[i].dim[arrays[i].rank++] = row[i];
}
