#include "tensor/front.h"

/* One loop over all elements: what most calls are. */
static bool is_flat(const grdi_array *a, const grdi_array *b)
{
    int64_t count = 1;
    bool flat = a->rank == b->rank;
    for (int d = a->rank - 1; flat && d >= 0; d--) {
        flat = a->dim[d].size == b->dim[d].size && a->dim[d].stride == count &&
               b->dim[d].stride == count;
        count *= a->dim[d].size;
    }
    return flat;
}

static void flatten(grdi_array *flat, const grdi_array *x, int64_t count)
{
    flat->data = x->data;
    flat->dtype = x->dtype;
    flat->rank = 1;
    flat->dim[0] = (grdi_dim){ count, 1 };
}

static void describe(grdi_array arrays[3], const grd_tensor *x[3], const grd_shape *shape,
                     bool flat)
{
    const int64_t count = grdi_count(&x[0]->array);
    for (int i = 0; i < 3; i++)
        if (flat)
            flatten(&arrays[i], &x[i]->array, count);
        else
            arrays[i] = grdi_array_expand(&x[i]->array, shape);
    if (!flat)
        grdi_merge(arrays, 3);
}

/* Names the last dimension that does not fit. */
static bool fail_to_broadcast(const char *op, const grd_tensor *a, const grd_tensor *b)
{
    int d = -1;
    while (grd_tensor_size(a, d) == grd_tensor_size(b, d) || grd_tensor_size(a, d) == 1 ||
           grd_tensor_size(b, d) == 1)
        d--;
    return grdi_fail(GRD_ERROR_SHAPE, op,
                     "shapes do not broadcast: a is %s, b is %s (sizes %lld and %lld of dimension "
                     "%d should be equal, or one of them 1)",
                     grdi_size_text(a).chars, grdi_size_text(b).chars,
                     (long long)grd_tensor_size(a, d), (long long)grd_tensor_size(b, d), d);
}

static bool common_shape(const char *op, const grd_tensor *a, const grd_tensor *b, grd_shape *shape)
{
    const grd_shape of_b = grdi_array_shape(&b->array);
    *shape = grdi_array_shape(&a->array);
    return grdi_broadcast(shape, &of_b) || fail_to_broadcast(op, a, b);
}

grd_tensor *grdi_tensor_between(const char *op, const grd_tensor *a, const grd_tensor *b,
                                unsigned kinds, grd_dtype dtype, grdi_array arrays[3])
{
    if (!grdi_same_kind(op, a, b) || !grdi_has_kind(op, "a", a, kinds))
        return NULL;
    const bool flat = is_flat(&a->array, &b->array);
    grd_shape shape;
    if (!flat && !common_shape(op, a, b, &shape))
        return NULL;
    grd_tensor *y = flat ? grdi_tensor_like(op, a, dtype)
                         : grdi_tensor_create(op, &shape, dtype, grdi_device(a));
    if (y)
        describe(arrays, (const grd_tensor *[]){ y, a, b }, &shape, flat);
    return y;
}

grd_tensor *grdi_binary(const char *op, grdi_binary_kernel *kernel, unsigned kinds,
                        const grd_tensor *a, const grd_tensor *b)
{
    grdi_array arrays[3];
    grd_tensor *y = grdi_tensor_between(op, a, b, kinds, a->array.dtype, arrays);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(a);
    const grd_status status =
        kernel ? kernel(device, &arrays[0], &arrays[1], &arrays[2]) : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, op, a->array.dtype, device) == GRD_OK ? y : NULL;
}

grd_tensor *grdi_add(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("add");
    return grdi_binary("add", grdi_device(a)->kernels->add, GRDI_NUMBERS, a, b);
}

grd_tensor *grdi_sub(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("sub");
    return grdi_binary("sub", grdi_device(a)->kernels->sub, GRDI_NUMBERS, a, b);
}

grd_tensor *grdi_mul(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("mul");
    return grdi_binary("mul", grdi_device(a)->kernels->mul, GRDI_NUMBERS, a, b);
}

grd_tensor *grdi_div(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("div");
    return grdi_binary("div", grdi_device(a)->kernels->div, GRDI_FLOATS, a, b);
}

grd_tensor *grdi_pow(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("pow");
    return grdi_binary("pow", grdi_device(a)->kernels->pow, GRDI_FLOATS, a, b);
}

grd_tensor *grdi_maximum(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("maximum");
    return grdi_binary("maximum", grdi_device(a)->kernels->maximum, GRDI_NUMBERS, a, b);
}

grd_tensor *grdi_minimum(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return grdi_fail_null("minimum");
    return grdi_binary("minimum", grdi_device(a)->kernels->minimum, GRDI_NUMBERS, a, b);
}
