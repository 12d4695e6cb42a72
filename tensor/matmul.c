#include "tensor/front.h"

#include <stdio.h>

/* BLAS reads a matrix whose rows or columns are dense; anything else is copied first. */
static bool is_dense_matrix(const grdi_array *x)
{
    const grdi_dim row = x->dim[x->rank - 2], column = x->dim[x->rank - 1];
    const bool by_rows = column.stride == 1 && row.stride >= column.size;
    const bool by_columns = row.stride == 1 && column.stride >= row.size;
    return by_rows || by_columns;
}

/* One row or one column is dense whatever the stride that it never uses. */
static void set_unused_stride(grdi_array *x)
{
    grdi_dim *row = &x->dim[x->rank - 2], *column = &x->dim[x->rank - 1];
    if (row->size == 1)
        row->stride = column->stride == 1 ? column->size : 1;
    else if (column->size == 1)
        column->stride = row->stride == 1 ? row->size : 1;
}

/* A vector as a matrix of one row, or of one column. */
static grdi_array as_matrix(const grdi_array *x, bool as_column)
{
    grdi_array matrix = *x;
    if (x->rank == 1) {
        matrix.rank = 2;
        matrix.dim[as_column] = (grdi_dim){ 1, 1 };
        matrix.dim[!as_column] = x->dim[0];
    }
    set_unused_stride(&matrix);
    return matrix;
}

bool grdi_dense_matrix(const grd_tensor *x, bool as_column, grdi_array *matrix)
{
    *matrix = as_matrix(&x->array, as_column);
    if (is_dense_matrix(matrix))
        return true;
    x = grdi_copy(x);
    if (x)
        *matrix = as_matrix(&x->array, as_column);
    return x;
}

static bool fail_of_inner_sizes(const grd_tensor *a, const grd_tensor *b, bool transposed,
                                int64_t rows)
{
    char hint[80] = "did you mean transpose(b)?";
    if (!transposed)
        snprintf(hint, sizeof hint, "%lld and %lld should be equal",
                 (long long)grd_tensor_size(a, -1), (long long)rows);
    return grdi_fail(GRD_ERROR_SHAPE, "matmul", "inner sizes differ: a is %s, b is %s (%s)",
                     grdi_size_text(a).chars, grdi_size_text(b).chars, hint);
}

static bool check(const grd_tensor *a, const grd_tensor *b)
{
    if (!grdi_same_kind("matmul", a, b))
        return false;
    if (!a->array.rank || !b->array.rank)
        return grdi_fail(GRD_ERROR_SHAPE, "matmul",
                         "a scalar has no rows (use mul): a is %s, b is %s",
                         grdi_size_text(a).chars, grdi_size_text(b).chars);

    const int64_t inner = a->array.dim[a->array.rank - 1].size;
    const bool vector = b->array.rank == 1;
    const grdi_dim *of_b = b->array.dim + b->array.rank - 1;
    if (inner != of_b[vector ? 0 : -1].size)
        return fail_of_inner_sizes(a, b, !vector && inner == of_b->size,
                                   of_b[vector ? 0 : -1].size);
    return true;
}

bool grdi_product_shape(const grdi_array *a, const grdi_array *b, grd_shape *shape)
{
    grd_shape of_b = grdi_array_shape(b);
    *shape = grdi_array_shape(a);
    shape->rank -= 2;
    of_b.rank -= 2;
    if (!grdi_broadcast(shape, &of_b))
        return false;
    shape->size[shape->rank++] = a->dim[a->rank - 2].size;
    shape->size[shape->rank++] = b->dim[b->rank - 1].size;
    return true;
}

grdi_array grdi_over_batch(const grdi_array *x, grd_shape batch)
{
    batch.size[batch.rank - 2] = x->dim[x->rank - 2].size;
    batch.size[batch.rank - 1] = x->dim[x->rank - 1].size;
    return grdi_array_expand(x, &batch);
}

/* A batch whose rows follow each other, as one matrix; false if it is none. */
static bool flatten_rows(grdi_array *x)
{
    const grdi_dim column = x->dim[x->rank - 1];
    grdi_dim row = x->dim[x->rank - 2];
    for (int d = x->rank - 3; d >= 0; d--) {
        if (x->dim[d].size != 1 && x->dim[d].stride != row.stride * row.size)
            return false;
        row.size *= x->dim[d].size;
    }
    grdi_array flat = { .data = x->data, .dtype = x->dtype, .rank = 2, .dim = { row, column } };
    set_unused_stride(&flat);
    if (!is_dense_matrix(&flat))
        return false;
    *x = flat;
    return true;
}

/* y = a b + bias, where y's memory holds the matrices of `shape`. */
static grd_tensor *multiply(const char *op, grd_tensor *y, const grd_shape *shape, grdi_array a,
                            grdi_array b, const grdi_array *bias)
{
    if (!y)
        return NULL;
    grdi_array to;
    grdi_array_init(&to, shape, a.dtype);
    to.data = y->array.data;
    if (b.rank == 2 && flatten_rows(&a)) {
        flatten_rows(&to);
    } else {
        a = grdi_over_batch(&a, *shape);
        b = grdi_over_batch(&b, *shape);
    }
    grd_device *device = grdi_device(y);
    const grd_status status = device->kernels->matmul
                                  ? device->kernels->matmul(device, &to, &a, &b, bias)
                                  : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, a.dtype, device) == GRD_OK ? y : NULL;
}

/* Where a or b was a vector, y lacks the dimension that it would have given. */
static grd_shape without_vectors(grd_shape shape, bool row, bool column)
{
    if (row)
        shape.size[shape.rank - 2] = shape.size[shape.rank - 1];
    shape.rank -= row + column;
    return shape;
}

grd_tensor *grdi_matmul(const grd_tensor *a, const grd_tensor *b)
{
    grdi_array of_a, of_b;
    grd_shape shape;
    if (!a || !b)
        return grdi_fail_null("matmul");
    if (!check(a, b) || !grdi_dense_matrix(a, false, &of_a) || !grdi_dense_matrix(b, true, &of_b))
        return NULL;
    if (!grdi_product_shape(&of_a, &of_b, &shape))
        return grdi_fail(GRD_ERROR_SHAPE, "matmul", "batches do not broadcast: a is %s, b is %s",
                         grdi_size_text(a).chars, grdi_size_text(b).chars);

    const grd_shape result = without_vectors(shape, a->array.rank == 1, b->array.rank == 1);
    grd_tensor *y = grdi_tensor_create("matmul", &result, a->array.dtype, grdi_device(a));
    return multiply("matmul", y, &shape, of_a, of_b, NULL);
}

static bool check_linear(const grd_tensor *x, const grd_tensor *weight, const grd_tensor *bias)
{
    const grdi_array *w = &weight->array;
    if (!grdi_same_kind("linear", x, weight) || (bias && !grdi_same_kind("linear", x, bias)))
        return false;
    if (w->rank != 2)
        return grdi_fail(GRD_ERROR_SHAPE, "linear", "weight is (out, in), not %s",
                         grdi_size_text(weight).chars);
    if (!x->array.rank || x->array.dim[x->array.rank - 1].size != w->dim[1].size)
        return grdi_fail(
            GRD_ERROR_SHAPE, "linear", "weight (out, in) %s takes %lld features, but x is %s",
            grdi_size_text(weight).chars, (long long)w->dim[1].size, grdi_size_text(x).chars);
    if (bias && (bias->array.rank != 1 || bias->array.dim[0].size != w->dim[0].size))
        return grdi_fail(GRD_ERROR_SHAPE, "linear", "bias is [%lld] for the weight %s, not %s",
                         (long long)w->dim[0].size, grdi_size_text(weight).chars,
                         grdi_size_text(bias).chars);
    return true;
}

/* weight^T, on weight's memory if its rows or columns are dense. */
static bool transposed_matrix(const grd_tensor *weight, grdi_array *matrix)
{
    if (!grdi_dense_matrix(weight, false, matrix))
        return false;
    const grdi_dim row = matrix->dim[0];
    matrix->dim[0] = matrix->dim[1];
    matrix->dim[1] = row;
    return true;
}

grd_tensor *grdi_linear(const grd_tensor *x, const grd_tensor *weight, const grd_tensor *bias)
{
    grdi_array of_x, of_weight;
    grd_shape shape;
    if (!x || !weight)
        return grdi_fail_null("linear");
    if (!check_linear(x, weight, bias) || !grdi_dense_matrix(x, false, &of_x) ||
        !transposed_matrix(weight, &of_weight))
        return NULL;
    if (bias && !grdi_is_contiguous(&bias->array) && !(bias = grdi_copy(bias)))
        return NULL;

    grdi_product_shape(&of_x, &of_weight, &shape);
    const grd_shape result = without_vectors(shape, x->array.rank == 1, false);
    grd_tensor *y = grdi_tensor_create("linear", &result, x->array.dtype, grdi_device(x));
    return multiply("linear", y, &shape, of_x, of_weight, bias ? &bias->array : NULL);
}
