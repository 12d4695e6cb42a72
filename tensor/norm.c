#include "tensor/front.h"

static bool check_vector(const char *op, const char *name, const grd_tensor *x,
                         const grd_tensor *vector)
{
    if (!vector)
        return true;
    if (!grdi_same_kind(op, x, vector))
        return false;
    const int64_t features = x->array.dim[x->array.rank - 1].size;
    if (vector->array.rank != 1 || vector->array.dim[0].size != features)
        return grdi_fail(GRD_ERROR_SHAPE, op, "%s is [%lld] for x %s, not %s", name,
                         (long long)features, grdi_size_text(x).chars,
                         grdi_size_text(vector).chars);
    return true;
}

static bool check(const char *op, const grd_tensor *x, const grd_tensor *weight,
                  const grd_tensor *bias)
{
    if (!x)
        return grdi_fail_null(op);
    if (!x->array.rank)
        return grdi_fail(GRD_ERROR_SHAPE, op, "x is a scalar: there is no last dimension");
    return check_vector(op, "weight", x, weight) && check_vector(op, "bias", x, bias);
}

/* [..., 2] for x [..., n]; in f64, so that a mean far from zero is exact enough. */
static grd_tensor *stats_for(const char *op, const grd_tensor *x)
{
    grd_shape shape = grdi_array_shape(&x->array);
    shape.size[shape.rank - 1] = 2;
    return grdi_tensor_create(op, &shape, GRD_F64, grdi_device(x));
}

/* The arrays of tensors whose rows belong together; NULL gives none. */
static void describe(int count, const grd_tensor *const x[], grdi_array arrays[])
{
    int used = 0;
    for (int i = 0; i < count; i++)
        if (x[i])
            arrays[used++] = x[i]->array;
    grdi_merge_rows(arrays, used);
}

static const grdi_array *array_of(const grd_tensor *x)
{
    return x ? &x->array : NULL;
}

static grd_tensor *forward(const char *op, bool centre, const grd_tensor *x,
                           const grd_tensor *weight, const grd_tensor *bias, double eps,
                           grd_tensor **stats)
{
    if (!check(op, x, weight, bias))
        return NULL;
    grd_device *device = grdi_device(x);
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create(op, &shape, x->array.dtype, device);
    if (!y || (stats && !(*stats = stats_for(op, x))))
        return NULL;

    grdi_array rows[3];
    const grd_tensor *tensors[] = { y, x, stats ? *stats : NULL };
    describe(3, tensors, rows);
    const grdi_array *of_stats = stats ? &rows[2] : NULL;
    grd_status status = GRD_ERROR_UNSUPPORTED;
    const grdi_kernels *kernels = device->kernels;
    if (centre && kernels->layer_norm)
        status = kernels->layer_norm(device, &rows[0], of_stats, &rows[1], array_of(weight),
                                     array_of(bias), eps);
    else if (!centre && kernels->rms_norm)
        status = kernels->rms_norm(device, &rows[0], of_stats, &rows[1], array_of(weight), eps);
    return grdi_launched(status, op, x->array.dtype, device) == GRD_OK ? y : NULL;
}

grd_tensor *grdi_layer_norm(const grd_tensor *x, const grd_tensor *weight, const grd_tensor *bias,
                            double eps, grd_tensor **stats)
{
    return forward("layer_norm", true, x, weight, bias, eps, stats);
}

grd_tensor *grdi_rms_norm(const grd_tensor *x, const grd_tensor *weight, double eps,
                          grd_tensor **stats)
{
    return forward("rms_norm", false, x, weight, NULL, eps, stats);
}

static bool backward(const char *op, bool centre, const grd_tensor *dy, const grd_tensor *x,
                     const grd_tensor *stats, const grd_tensor *weight, const bool wanted[3],
                     grd_tensor *dx[3])
{
    if (!dy || !x || !stats)
        return grdi_fail_null(op);
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    const grd_shape shape = grdi_array_shape(&x->array);
    const grd_shape row = { 1, { shape.size[shape.rank - 1] } };
    for (int i = 0; i < 3; i++)
        if ((i == 0 || wanted[i]) &&
            !(dx[i] = grdi_tensor_create(op, i ? &row : &shape, dtype, device)))
            return false;

    grdi_array rows[4];
    describe(4, (const grd_tensor *[]){ dx[0], dy, x, stats }, rows);
    grd_status status = GRD_ERROR_UNSUPPORTED;
    const grdi_kernels *kernels = device->kernels;
    if (centre && kernels->layer_norm_backward)
        status = kernels->layer_norm_backward(device, &rows[0], array_of(dx[1]), array_of(dx[2]),
                                              &rows[1], &rows[2], &rows[3], array_of(weight));
    else if (!centre && kernels->rms_norm_backward)
        status = kernels->rms_norm_backward(device, &rows[0], array_of(dx[1]), &rows[1], &rows[2],
                                            &rows[3], array_of(weight));
    return grdi_launched(status, op, dtype, device) == GRD_OK;
}

bool grdi_layer_norm_backward(const grd_tensor *dy, const grd_tensor *x, const grd_tensor *stats,
                              const grd_tensor *weight, const bool wanted[3], grd_tensor *dx[3])
{
    return backward("layer_norm", true, dy, x, stats, weight, wanted, dx);
}

bool grdi_rms_norm_backward(const grd_tensor *dy, const grd_tensor *x, const grd_tensor *stats,
                            const grd_tensor *weight, const bool wanted[2], grd_tensor *dx[2])
{
    const bool all[] = { wanted[0], wanted[1], false };
    grd_tensor *found[3] = { NULL };
    const bool done = backward("rms_norm", false, dy, x, stats, weight, all, found);
    dx[0] = found[0];
    dx[1] = found[1];
    return done;
}
