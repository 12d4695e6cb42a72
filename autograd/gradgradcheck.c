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

/* The variables that are differentiated, each once, and room for their gradients. */
typedef struct variables {
    int64_t count, room;
    const grd_tensor **at;
    grd_tensor **gradients;
} variables;

static void variables_close(variables *v)
{
    grdi_free(v->gradients, (size_t)v->room * sizeof(void *));
    grdi_free(v->at, (size_t)v->room * sizeof(void *));
}

static bool variables_open(variables *v, int64_t room)
{
    const size_t bytes = (size_t)room * sizeof(void *);
    *v = (variables){ 0, room, grdi_allocate(bytes), grdi_allocate(bytes) };
    if (v->at && v->gradients)
        return true;
    variables_close(v);
    return grdi_fail_memory(op, bytes);
}

static void add_variable(variables *v, const grd_tensor *x)
{
    for (int64_t i = 0; i < v->count; i++)
        if (v->at[i] == x)
            return;
    if (grdi_is_checked(x))
        v->at[v->count++] = x;
}

static void add_variables(variables *v, const grdi_checked *checked,
                          const grd_tensor *const *inputs)
{
    for (int64_t i = 0; i < checked->inputs.count; i++)
        add_variable(v, inputs[i]);
    for (int64_t i = 0; i < checked->parameters.count; i++)
        add_variable(v, checked->parameters.at[i]);
}

/* The sum over variables of direction . (v^T d y / d variable), by one walk; NULL if y depends on
 * none of them. */
static grd_tensor *along_directions(const grd_tensor *y, const grd_tensor *dy, variables *v)
{
    grd_tensor *sum = NULL;
    const grd_grad_options how = { .gradients = { 1, &dy },
                                   .create_graph = true,
                                   .allow_unused = true };
    if (grd_grad(GRD_LIST(y), (grd_list){ v->count, v->at }, &how, v->gradients) != GRD_OK)
        return NULL;
    for (int64_t i = 0; i < v->count; i++) {
        const grd_tensor *dx = v->gradients[i];
        if (!dx)
            continue;
        grd_tensor *part = grd_sum(grd_mul(dx, direction(dx, GRDI_OF_INPUT)));
        sum = sum ? grd_add(sum, part) : part;
    }
    return sum;
}

/* (inputs..., v) -> that sum: a scalar whose gradient runs through every second derivative. */
static grd_tensor *directional_gradient(const grd_tensor *const *inputs, void *first)
{
    const grdi_checked *checked = first;
    const int64_t count = checked->inputs.count;
    const grd_tensor *y = checked->f(inputs, checked->user), *dy = inputs[count];
    grd_tensor *sum = NULL;
    variables v;
    if (!y)
        return NULL;
    if (y->history && variables_open(&v, count + checked->parameters.count + 1)) {
        add_variables(&v, checked, inputs);
        sum = v.count ? along_directions(y, dy, &v) : NULL;
        variables_close(&v);
    }
    return sum || grdi_latched() ? sum : grd_sum(grd_mul_scalar(dy, 0));
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
