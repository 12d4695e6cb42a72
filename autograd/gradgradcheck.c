#include "autograd/gradcheck.h"

static const char op[] = "gradgradcheck";

static grd_tensor *direction(const grd_tensor *like, int of)
{
    const int64_t count = grdi_count(&like->array);
    const size_t bytes = (size_t)count * sizeof(double);
    double *values = grdi_allocate(bytes);
    if (!values)
        return grdi_fail_memory(op, bytes);
    for (int64_t i = 0; i < count; i++)
        values[i] = grdi_direction_at(i, of);
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.device = grdi_device(like);
    grd_tensor *result = grd_from_f64(values, count, grd_tensor_shape(like));
    grdi_free(values, bytes);
    return grd_scope_return(&scope, result);
}

/* Adds direction . (v^T d y / d x) to *sum. */
static bool add_directional(const grd_tensor *y, const grd_tensor *x, const grd_tensor *v,
                            grd_tensor **sum)
{
    grd_tensor *dx = NULL;
    const grd_grad_options how = { .gradients = { 1, &v },
                                   .create_graph = true,
                                   .allow_unused = true };
    if (grd_grad(GRD_LIST(y), GRD_LIST(x), &how, &dx) != GRD_OK)
        return false;
    if (!dx)
        return true;
    grd_tensor *part = grd_sum(grd_mul(dx, direction(dx, GRDI_OF_INPUT)));
    *sum = *sum ? grd_add(*sum, part) : part;
    return *sum;
}

/* (inputs..., v) -> sum over variables of direction . (v^T d f / d variable): a scalar whose
 * gradient runs through every second derivative. */
static grd_tensor *directional_gradient(const grd_tensor *const *inputs, void *first)
{
    const grdi_checked *checked = first;
    const int64_t count = checked->inputs.count;
    const grd_tensor *y = checked->f(inputs, checked->user), *v = inputs[count];
    grd_tensor *sum = NULL;
    if (!y)
        return NULL;
    for (int64_t i = 0; i < count + checked->parameters.count && y->history; i++) {
        const grd_tensor *x = i < count ? inputs[i] : checked->parameters.at[i - count];
        if (grdi_is_checked(x) && !add_directional(y, x, v, &sum))
            return NULL;
    }
    return sum ? sum : grd_sum(grd_mul_scalar(v, 0));
}

static const grd_tensor *result_gradient(const grd_tensor *const *inputs, void *first)
{
    const grdi_checked *checked = first;
    const grd_tensor *y = checked->f(inputs, checked->user);
    if (!y)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "the function returned NULL");
    return direction(y, GRDI_OF_OUTPUT);
}

grd_gradcheck_report grdi_gradgradcheck(const grdi_checked *checked,
                                        const grd_gradcheck_options *options)
{
    const grdi_checked second = {
        .f = checked->f ? directional_gradient : NULL,
        .user = (void *)checked,
        .inputs = { checked->inputs.count + 1, checked->inputs.at },
        .parameters = checked->parameters,
        .names = checked->names,
    };
    return grdi_check(op, &second, result_gradient, options);
}
