/* Without and under create_graph derivatives may go ways of their own: a fused kernel, or ops that
 * can be differentiated again. gradcheck sees the first, gradgradcheck only the slope of the
 * second; here the two are held against each other. */
#include "tools/gradcheck.h"

#include <math.h>

enum { MAX_VARIABLES = 64 };

/* The floating inputs and all parameters. */
static grd_list variables_of(const checked_use *use, grd_list inputs,
                             const grd_tensor *at[MAX_VARIABLES])
{
    grd_list list = { 0, at };
    for (int64_t i = 0; i < inputs.count; i++)
        if (grd_tensor_dtype(inputs.at[i]) == GRD_F64)
            at[list.count++] = grd_require_grad((grd_tensor *)inputs.at[i]);
    const int64_t parameters = use->module ? grd_module_num_parameters(use->module) : 0;
    if (list.count + parameters > MAX_VARIABLES)
        return grd_fail(GRD_ERROR_ARGUMENT, use->c->name, "more than %d variables", MAX_VARIABLES),
               (grd_list){ 0, NULL };
    for (int64_t i = 0; i < parameters; i++)
        at[list.count++] = grd_module_parameter_at(use->module, i).tensor;
    return list;
}

/* The largest |a - b| / (1 + |a|); NULL stands for zeros. */
static double difference(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b)
        return a || b ? grd_item(grd_max(grd_abs(a ? a : b))) : 0;
    const grd_tensor *scale = grd_add_scalar(grd_abs(a), 1);
    return grd_item(grd_max(grd_div(grd_abs(grd_sub(a, b)), scale)));
}

/* Both gradients, along one direction of y. */
static void walk_twice(const grd_tensor *y, grd_list variables, grd_tensor **plain,
                       grd_tensor **recorded)
{
    const grd_tensor *dy = grd_randn(grd_rng_create(5), grd_tensor_shape(y));
    grd_grad_options how = { .gradients = GRD_LIST(dy),
                             .retain_graph = true,
                             .allow_unused = true };
    grd_grad(GRD_LIST(y), variables, &how, plain);
    how.create_graph = true;
    grd_grad(GRD_LIST(y), variables, &how, recorded);
}

double compare_walks(const checked_use *use, grd_list inputs)
{
    const grd_tensor *x[MAX_VARIABLES];
    grd_tensor *plain[MAX_VARIABLES] = { NULL }, *recorded[MAX_VARIABLES] = { NULL };
    const grd_list variables = variables_of(use, inputs, x);
    const grd_tensor *y = use->c->f(inputs.at, (void *)use);
    double worst = 0;
    if (grd_tensor_requires_grad(y))
        walk_twice(y, variables, plain, recorded);
    for (int64_t i = 0; i < variables.count; i++) {
        const double now = difference(plain[i], recorded[i]);
        worst = now <= worst ? worst : now; /* NaN is worst */
    }
    return grd_scope_end(NULL) == GRD_OK ? worst : NAN; /* the latched error */
}
