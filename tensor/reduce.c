#include "tensor/reduce.h"

static grd_shape reduced_shape(const grdi_array *x, unsigned reduced, grd_keepdim keep)
{
    grd_shape shape = { 0 };
    for (int d = 0; d < x->rank; d++) {
        const bool gone = reduced & 1u << d;
        if (!gone || keep == GRD_KEEP_DIMS)
            shape.size[shape.rank++] = gone ? 1 : x->dim[d].size;
    }
    return shape;
}

/* Those dimensions of x that are in `bits`. */
static grdi_array some_dims(const grdi_array *x, unsigned bits)
{
    grdi_array some = { .data = x->data, .dtype = x->dtype };
    for (int d = 0; d < x->rank; d++)
        if (bits & 1u << d)
            some.dim[some.rank++] = x->dim[d];
    return some;
}

static void describe(grdi_reduction *r, const grdi_array *x, unsigned reduced)
{
    const grd_shape shape = reduced_shape(x, reduced, GRD_DROP_DIMS);
    grdi_array kept[2] = { [1] = some_dims(x, ~reduced) }, part = some_dims(x, reduced);
    grdi_array_init(&kept[0], &shape, r->y->array.dtype);
    kept[0].data = r->y->array.data;
    r->count = grdi_count(&part);
    grdi_merge(kept, 2);
    grdi_merge(&part, 1);
    r->to = kept[0];
    r->from = kept[1];
    r->reduced = part.rank;
    for (int d = 0; d < part.rank; d++)
        r->from.dim[r->from.rank++] = part.dim[d];
}

bool grdi_reduction_begin(const char *op, const grd_tensor *x, const grd_dims *dims,
                          grd_keepdim keep, grd_dtype dtype, grdi_reduction *r)
{
    unsigned reduced;
    if (!grdi_dim_bits(op, x, dims, &reduced))
        return false;
    const grd_shape shape = reduced_shape(&x->array, reduced, keep);
    r->y = grdi_tensor_create(op, &shape, dtype, grdi_device(x));
    if (r->y)
        describe(r, &x->array, reduced);
    return r->y;
}

bool grdi_reduction_has_elements(const char *op, const grd_tensor *x, const grd_dims *dims)
{
    unsigned reduced;
    if (!grdi_dim_bits(op, x, dims, &reduced))
        return false;
    for (int d = 0; d < x->array.rank; d++)
        if (reduced & 1u << d && x->array.dim[d].size == 0)
            return grdi_fail(GRD_ERROR_SHAPE, op, "dimension %d of %s is empty: there is no %s", d,
                             grdi_size_text(x).chars, op);
    return true;
}
