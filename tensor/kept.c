#include "tensor/front.h"

typedef grd_status kept_kernel(grd_device *, const grdi_array *, const grdi_array *,
                               const grdi_array *, const grdi_array *);

/* What distinguishes the two: y = a b^T over the pairs, or y = a b with pairs in a. */
typedef struct kept {
    const char *op;
    bool products;
} kept;

static bool check(const kept *what, const grd_tensor *a, const grd_tensor *b,
                  const grd_tensor *keep)
{
    if (!a || !b || !keep)
        return grdi_fail_null(what->op);
    if (!grdi_same_kind(what->op, a, b))
        return false;
    if (keep->array.dtype != GRD_BOOL)
        return grdi_fail(GRD_ERROR_DTYPE, what->op, "keep is %s, not bool",
                         grdi_dtype_name(keep->array.dtype));
    if (a->array.rank < 2 || b->array.rank < 2)
        return grdi_fail(GRD_ERROR_SHAPE, what->op, "both need two dimensions: a is %s, b is %s",
                         grdi_size_text(a).chars, grdi_size_text(b).chars);
    return true;
}

/* a and b as matrices that multiply; b is transposed for products. */
static bool matrices(const kept *what, const grd_tensor *a, const grd_tensor *b, grdi_array of[2],
                     grd_shape *shape)
{
    if (!grdi_dense_matrix(a, false, &of[0]) || !grdi_dense_matrix(b, false, &of[1]))
        return false;
    grdi_dim *last = of[1].dim + of[1].rank - 2, row = last[0];
    if (what->products) {
        last[0] = last[1];
        last[1] = row;
    }
    if (of[0].dim[of[0].rank - 1].size != last[0].size ||
        !grdi_product_shape(&of[0], &of[1], shape))
        return grdi_fail(GRD_ERROR_SHAPE, what->op, "a %s does not fit b %s",
                         grdi_size_text(a).chars, grdi_size_text(b).chars);
    return true;
}

static bool expand_keep(const kept *what, const grd_tensor *keep, const grd_shape *shape,
                        grdi_array *expanded)
{
    grd_shape common = grdi_array_shape(&keep->array);
    if (!grdi_broadcast(&common, shape) || !grdi_shape_equal(&common, shape))
        return grdi_fail(GRD_ERROR_SHAPE, what->op, "keep %s does not broadcast to %s",
                         grdi_size_text(keep).chars, grdi_shape_text(shape).chars);
    *expanded = grdi_array_expand(&keep->array, shape);
    return true;
}

static grd_tensor *product(const kept *what, const grd_tensor *a, const grd_tensor *b,
                           const grd_tensor *keep)
{
    grdi_array of[2], shown;
    grd_shape shape, pairs;
    if (!check(what, a, b, keep) || !matrices(what, a, b, of, &shape))
        return NULL;
    pairs = shape;
    if (!what->products)
        pairs.size[pairs.rank - 1] = of[0].dim[of[0].rank - 1].size;
    if (!expand_keep(what, keep, &pairs, &shown))
        return NULL;

    grd_device *device = grdi_device(a);
    const grd_dtype dtype = a->array.dtype;
    grd_tensor *y = grdi_tensor_create(what->op, &shape, dtype, device);
    if (!y)
        return NULL;
    const grdi_array left = grdi_over_batch(&of[0], shape), right = grdi_over_batch(&of[1], shape);
    kept_kernel *kernel =
        what->products ? device->kernels->kept_products : device->kernels->kept_sums;
    const grd_status status =
        kernel ? kernel(device, &y->array, &left, &right, &shown) : GRD_ERROR_UNSUPPORTED;
    return grdi_launched(status, what->op, dtype, device) == GRD_OK ? y : NULL;
}

grd_tensor *grdi_kept_products(const grd_tensor *a, const grd_tensor *b, const grd_tensor *keep)
{
    return product(&(kept){ "kept_products", true }, a, b, keep);
}

grd_tensor *grdi_kept_sums(const grd_tensor *a, const grd_tensor *b, const grd_tensor *keep)
{
    return product(&(kept){ "kept_sums", false }, a, b, keep);
}
