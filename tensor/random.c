#include "tensor/front.h"
#include "tensor/rng.h"

#include <float.h>

/* Random kernels number elements in row-major order: they see one long row. */
static grdi_array flat(const grd_tensor *x)
{
    grdi_array row;
    const grd_shape length = { 1, { grdi_count(&x->array) } };
    grdi_array_init(&row, &length, x->array.dtype);
    row.data = x->array.data;
    return row;
}

/* A tensor of the scope's device for numbers of `rng`. */
static grd_tensor *fresh(const char *op, const grd_rng *rng, const grd_shape *shape,
                         grd_dtype dtype)
{
    if (!rng)
        return grdi_fail_null(op);
    if (!grdi_may_make(op))
        return NULL;
    const grdi_modes *modes = &grdi_self.scope->modes;
    return grdi_tensor_create(op, shape, dtype ? dtype : modes->dtype, modes->device);
}

/* y when it was drawn; a failure leaves the stream where it was. */
static grd_tensor *drawn(grd_tensor *y, grd_rng *rng, grd_status status)
{
    if (status != GRD_OK)
        return NULL;
    grdi_rng_advance(rng, grdi_count(&y->array));
    return y;
}

grd_tensor *grd_rand(grd_rng *rng, grd_shape shape)
{
    grd_tensor *y = fresh("rand", rng, &shape, GRD_DTYPE_UNSET);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(y);
    const grdi_array row = flat(y);
    return drawn(y, rng,
                 GRDI_LAUNCH(device, uniform, row.dtype, (device, &row, grdi_rng_next(rng))));
}

grd_tensor *grd_randn(grd_rng *rng, grd_shape shape)
{
    grd_tensor *y = fresh("randn", rng, &shape, GRD_DTYPE_UNSET);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(y);
    const grdi_array row = flat(y);
    return drawn(y, rng,
                 GRDI_LAUNCH(device, normal, row.dtype, (device, &row, grdi_rng_next(rng))));
}

grd_tensor *grd_randint(grd_rng *rng, int64_t low, int64_t high, grd_shape shape)
{
    if (rng && low >= high)
        return grdi_fail(GRD_ERROR_ARGUMENT, "randint", "there is no number in [%lld, %lld)",
                         (long long)low, (long long)high);
    grd_tensor *y = fresh("randint", rng, &shape, GRD_I64);
    if (!y)
        return NULL;
    grd_device *device = grdi_device(y);
    const grdi_array row = flat(y);
    const uint64_t range = (uint64_t)high - (uint64_t)low;
    return drawn(y, rng,
                 GRDI_LAUNCH(device, random_integers, GRD_I64,
                             (device, &row, low, range, grdi_rng_next(rng))));
}

/* Fisher and Yates: element i, from the last down, changes places with one of those up to it. */
static void shuffle(int64_t *values, int64_t n, grdi_draw at)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t other =
            (int64_t)grdi_scaled(grdi_random_bits(at, (uint64_t)i), (uint64_t)i + 1);
        const int64_t value = values[i];
        values[i] = values[other];
        values[other] = value;
    }
}

/* On the host, since each step depends on those before. */
grd_tensor *grd_randperm(grd_rng *rng, int64_t n)
{
    grd_tensor *y = fresh("randperm", rng, &(grd_shape){ 1, { n } }, GRD_I64);
    if (!y)
        return NULL;
    const size_t bytes = (size_t)n * sizeof(int64_t);
    int64_t *values = grdi_allocate(bytes);
    if (!values)
        return grdi_fail_memory("randperm", bytes);
    shuffle(values, n, grdi_rng_next(rng));
    const bool done = grdi_upload("randperm", y, values);
    grdi_free(values, bytes);
    return drawn(y, rng, done ? GRD_OK : grdi_self.latched);
}

grd_tensor *grdi_bernoulli(grd_rng *rng, const grd_tensor *p)
{
    if (!rng || !p)
        return grdi_fail_null("bernoulli");
    if (!grdi_has_kind("bernoulli", "p", p, GRDI_FLOATS) ||
        !grdi_check_range("bernoulli", "p", p, 0, 1, "in [0, 1]"))
        return NULL;
    grd_device *device = grdi_device(p);
    const grd_shape shape = grdi_array_shape(&p->array);
    if (!grdi_is_contiguous(&p->array) && !(p = grdi_copy(p)))
        return NULL;
    grd_tensor *y = grdi_tensor_create("bernoulli", &shape, p->array.dtype, device);
    if (!y)
        return NULL;
    const grdi_array to = flat(y), from = flat(p);
    return drawn(
        y, rng, GRDI_LAUNCH(device, bernoulli, to.dtype, (device, &to, &from, grdi_rng_next(rng))));
}

/* Weights as a contiguous matrix, in `rows`; NULL if they are none. */
static const grd_tensor *checked_weights(const grd_tensor *weights, grdi_array *rows)
{
    if (!grdi_has_kind("multinomial", "weights", weights, GRDI_FLOATS))
        return NULL;
    if (weights->array.rank < 1)
        return grdi_fail(GRD_ERROR_SHAPE, "multinomial", "weights have no dimension of classes");
    if (!grdi_check_range("multinomial", "weights", weights, 0, DBL_MAX, "finite and >= 0") ||
        (!grdi_is_contiguous(&weights->array) && !(weights = grdi_copy(weights))))
        return NULL;
    const int64_t classes = weights->array.dim[weights->array.rank - 1].size;
    const int64_t count = grdi_count(&weights->array);
    grdi_array_init(rows, &(grd_shape){ 2, { classes ? count / classes : 0, classes } },
                    weights->array.dtype);
    rows->data = weights->array.data;
    return weights;
}

grd_tensor *grd_multinomial(grd_rng *rng, const grd_tensor *weights, int64_t samples)
{
    grdi_array rows;
    if (!rng || !weights)
        return grdi_fail_null("multinomial");
    grd_shape shape = grdi_array_shape(&weights->array);
    if (!(weights = checked_weights(weights, &rows)))
        return NULL;
    shape.size[shape.rank - 1] = samples;
    grd_device *device = grdi_device(weights);
    grd_tensor *y = grdi_tensor_create("multinomial", &shape, GRD_I64, device);
    if (!y)
        return NULL;
    int64_t zero = -1;
    grdi_array to;
    grdi_array_init(&to, &(grd_shape){ 2, { rows.dim[0].size, samples } }, GRD_I64);
    to.data = y->array.data;
    if (rows.dim[1].size == 0 && grdi_count(&y->array))
        return grdi_fail(GRD_ERROR_SHAPE, "multinomial", "%s has no classes to choose from",
                         grdi_size_text(weights).chars);
    if (GRDI_LAUNCH(device, multinomial, rows.dtype,
                    (device, &to, &rows, grdi_rng_next(rng), &zero)) != GRD_OK)
        return NULL;
    if (zero >= 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, "multinomial",
                         "the weights of row %lld of %s are all 0", (long long)zero,
                         grdi_size_text(weights).chars);
    return drawn(y, rng, GRD_OK);
}

grd_tensor *grdi_dropout(const grd_tensor *x, double p, grdi_draw at)
{
    grd_device *device = grdi_device(x);
    const grd_dtype dtype = x->array.dtype;
    const grd_shape shape = grdi_array_shape(&x->array);
    if (!grdi_is_contiguous(&x->array) && !(x = grdi_copy(x)))
        return NULL;
    grd_tensor *y = grdi_tensor_create("dropout", &shape, dtype, device);
    if (!y)
        return NULL;
    const grdi_array to = flat(y), from = flat(x);
    return GRDI_LAUNCH(device, dropout, dtype, (device, &to, &from, p, at)) == GRD_OK ? y : NULL;
}
