/* Initial values. */
#include "nn/module.h"
#include <gradus/ops.h>

#include <math.h>

/* Opens a scope in which values for x are made alike and may be written to it. */
static void open_scope_for(grd_scope *scope, const grd_tensor *x)
{
    grdi_scope_open(scope);
    scope->modes.no_grad = true;
    scope->modes.device = grdi_device(x);
    scope->modes.dtype = x->array.dtype == GRD_F64 ? GRD_F64 : GRD_F32;
}

static void initialize(grd_named parameter, grd_initializer init, grd_rng *rng, void *user)
{
    grd_scope scope;
    open_scope_for(&scope, parameter.tensor);
    const grd_status status = init(parameter, rng, user);
    if (status != GRD_OK)
        grdi_fail(status, "module_initialize", "the initializer refused %s", parameter.name);
    grd_scope_end(&scope);
}

grd_status grd_module_initialize(grd_module *self, const char *pattern, grd_initializer init,
                                 grd_rng *rng, void *user)
{
    const char *op = "module_initialize";
    if (!self || !pattern || !init)
        grdi_fail_null(op);
    int64_t matched = 0;
    grdi_nearest nearest = { .wanted = pattern };
    for (int64_t i = 0; !grdi_latched() && i < grd_module_num_parameters(self); i++) {
        const grd_named parameter = grd_module_parameter_at(self, i);
        grdi_nearest_try(&nearest, parameter.name);
        if (!grdi_matches(pattern, parameter.name))
            continue;
        matched++;
        initialize(parameter, init, rng, user);
    }
    if (!matched && !grdi_latched())
        grdi_fail(GRD_ERROR_ARGUMENT, op, "\"%.80s\" matches no parameter of %s%s", pattern,
                  grdi_module_text(self).chars, grdi_nearest_text(&nearest).chars);
    return grdi_self.latched;
}

grd_status grd_init_normal(grd_named parameter, grd_rng *rng, void *deviation)
{
    const char *op = "init_normal";
    const double *chosen = deviation;
    grd_tensor *x = parameter.tensor;
    if (!x || !rng || !chosen)
        grdi_fail_null(op);
    else if (!(*chosen >= 0 && isfinite(*chosen)))
        grdi_fail(GRD_ERROR_ARGUMENT, op, "the deviation is %g", *chosen);
    if (grdi_latched())
        return grdi_self.latched;
    grd_scope scope;
    open_scope_for(&scope, x);
    grd_copy_(x, grd_mul_scalar(grd_randn(rng, grd_tensor_shape(x)), *chosen));
    return grd_scope_end(&scope);
}

/* For a weight (out, in, ...): sqrt(6 / (fan_in + fan_out)), Glorot and Bengio, 2010. */
static double xavier_bound(const grd_tensor *x)
{
    const int64_t out = grd_tensor_size(x, 0), in = grd_tensor_size(x, 1);
    const double each = out && in ? (double)grd_tensor_count(x) / ((double)out * (double)in) : 0;
    return sqrt(6 / (each * (double)(out + in)));
}

grd_status grd_init_xavier_uniform(grd_named parameter, grd_rng *rng, void *unused)
{
    const char *op = "init_xavier_uniform";
    grd_tensor *x = parameter.tensor;
    (void)unused;
    if (!x || !rng)
        grdi_fail_null(op);
    else if (grd_tensor_rank(x) < 2)
        grdi_fail(GRD_ERROR_SHAPE, op, "%s is %s: it needs two dimensions or more",
                  parameter.name ? parameter.name : "the parameter", grdi_size_text(x).chars);
    if (grdi_latched() || !grd_tensor_count(x))
        return grdi_self.latched;
    const double bound = xavier_bound(x);
    grd_scope scope;
    open_scope_for(&scope, x);
    const grd_tensor *values = grd_rand(rng, grd_tensor_shape(x));
    grd_copy_(x, grd_add_scalar(grd_mul_scalar(values, 2 * bound), -bound));
    return grd_scope_end(&scope);
}
