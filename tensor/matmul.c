#include "tensor/front.h"

/* BLAS reads a matrix whose rows or columns are dense; anything else is copied first. */
static bool is_dense_matrix(const grdi_array *x)
{
    const grdi_dim row = x->dim[x->rank - 2], column = x->dim[x->rank - 1];
    const bool by_rows = column.stride == 1 && row.stride >= column.size;
    const bool by_columns = row.stride == 1 && column.stride >= row.size;
    return by_rows || by_columns;
}

static bool check(const grd_tensor *a, const grd_tensor *b)
{
    if (!grdi_same_kind("matmul", a, b))
        return false;
    if (a->array.rank < 2 || b->array.rank < 2)
        return grdi_fail(GRD_ERROR_SHAPE, "matmul", "both need two dimensions: a is %s, b is %s",
                         grdi_size_text(a).chars, grdi_size_text(b).chars);

    const int64_t inner = a->array.dim[a->array.rank - 1].size;
    const grdi_dim *of_b = b->array.dim + b->array.rank - 2;
    if (inner != of_b[0].size)
        return grdi_fail(GRD_ERROR_SHAPE, "matmul", "inner sizes differ: a is %s, b is %s%s",
                         grdi_size_text(a).chars, grdi_size_text(b).chars,
                         inner == of_b[1].size ? " (did you mean transpose(b)?)" : "");
    return true;
}

/* The leading sizes of a and b, broadcast; the last two are left for the caller. */
static bool batch_shape(const grd_tensor *a, const grd_tensor *b, grd_shape *batch)
{
    grd_shape of_b = grdi_array_shape(&b->array);
    *batch = grdi_array_shape(&a->array);
    batch->rank -= 2;
    of_b.rank -= 2;
    if (!grdi_broadcast(batch, &of_b))
        return grdi_fail(GRD_ERROR_SHAPE, "matmul", "batches do not broadcast: a is %s, b is %s",
                         grdi_size_text(a).chars, grdi_size_text(b).chars);
    batch->rank += 2;
    return true;
}

/* x's matrices, repeated over the batch. */
static grdi_array over_batch(const grd_tensor *x, grd_shape batch)
{
    batch.size[batch.rank - 2] = x->array.dim[x->array.rank - 2].size;
    batch.size[batch.rank - 1] = x->array.dim[x->array.rank - 1].size;
    return grdi_array_expand(&x->array, &batch);
}

static const grd_tensor *dense(const grd_tensor *x)
{
    return is_dense_matrix(&x->array) ? x : grdi_copy(x);
}

grd_tensor *grdi_matmul(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("matmul");
    grd_shape shape;
    if (!check(a, b) || !batch_shape(a, b, &shape))
        return NULL;
    if (!(a = dense(a)) || !(b = dense(b)))
        return NULL;

    shape.size[shape.rank - 2] = a->array.dim[a->array.rank - 2].size;
    shape.size[shape.rank - 1] = b->array.dim[b->array.rank - 1].size;
    grd_device *device = grdi_device(a);
    const grd_dtype dtype = a->array.dtype;
    grd_tensor *y = grdi_tensor_create("matmul", &shape, dtype, device);
    if (!y)
        return NULL;
    const grdi_array of_a = over_batch(a, shape), of_b = over_batch(b, shape);
    const grd_status status = GRDI_LAUNCH(device, matmul, dtype, (device, &y->array, &of_a, &of_b));
    return status == GRD_OK ? y : NULL;
}
