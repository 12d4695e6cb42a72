/* The gradients of a tree's parameters: their norms, and changing all of them. */
#include "nn/optimizer.h"
#include "tensor/front.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static int64_t count_gradients(const grd_module *module, grd_device **device)
{
    int64_t count = 0;
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_tensor *gradient = grd_tensor_grad(grd_module_parameter_at(module, i).tensor);
        if (gradient && !count++)
            *device = grdi_device(gradient);
    }
    return count;
}

/* Row n of sums is that of the n-th gradient there is. The last comes first: what changes them all
 * next, in their order, finds the first in the caches. */
static bool launch(const grd_module *module, grd_tensor *sums)
{
    int64_t row = grd_tensor_size(sums, 0);
    for (int64_t i = grd_module_num_parameters(module) - 1; i >= 0; i--) {
        const grd_tensor *gradient = grd_tensor_grad(grd_module_parameter_at(module, i).tensor);
        if (gradient && !grdi_square_sum(sums, --row, gradient))
            return false;
    }
    return true;
}

static bool fail_not_finite(const char *op, grd_named parameter)
{
    return grdi_fail(GRD_ERROR_NOT_FINITE, op,
                     "the gradient of %s %s is not finite; nothing was changed", parameter.name,
                     grdi_size_text(parameter.tensor).chars);
}

/* Whether path is the parameter's name, or that of a module above it. */
static bool holds(const char *path, const char *name)
{
    const size_t length = strlen(path);
    return strncmp(name, path, length) == 0 && (!name[length] || name[length] == '.');
}

/* Adds a parameter's sum of squares to the parts that it belongs to. */
static void share(const grdi_norm_parts *parts, const char *name, double squares)
{
    for (int64_t i = 0; i < parts->count; i++)
        if (holds(parts->parts[i].path, name))
            parts->parts[i].norm += squares;
}

/* The sum of all rows of sums [count, 2], read through `host`; NaN if an element is not finite. */
static double total(const char *op, const grd_module *module, const grdi_norm_parts *parts,
                    const grd_tensor *sums, double *host)
{
    double sum = 0;
    if (grd_read_f64(sums, host, 2 * grd_tensor_size(sums, 0)) != GRD_OK)
        return NAN;
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_named parameter = grd_module_parameter_at(module, i);
        if (!grd_tensor_grad(parameter.tensor))
            continue;
        if (host[1] > 0) {
            fail_not_finite(op, parameter);
            return NAN;
        }
        sum += host[0];
        share(parts, parameter.name, host[0]);
        host += 2;
    }
    return sum;
}

static double sum_of_squares(const char *op, const grd_module *module, const grdi_norm_parts *parts,
                             grd_device *device, int64_t count)
{
    const grd_shape shape = { 2, { count, 2 } };
    const size_t bytes = (size_t)count * 2 * sizeof(double);
    grd_tensor *sums = grdi_tensor_create(op, &shape, GRD_F64, device);
    if (!sums || !launch(module, sums))
        return NAN;
    double *host = grdi_allocate(bytes);
    if (!host)
        grdi_fail_memory(op, bytes);
    const double sum = host ? total(op, module, parts, sums, host) : NAN;
    grdi_free(host, bytes);
    return sum;
}

double grdi_gradient_norm(const char *op, const grd_module *module, const grdi_norm_parts *parts,
                          int64_t *count)
{
    grd_device *device = NULL;
    if (!module)
        grdi_fail_null(op);
    if (grdi_latched())
        return NAN;
    *count = count_gradients(module, &device);
    if (!*count)
        return 0;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    const double sum = sum_of_squares(op, module, parts, device, *count);
    grd_scope_end(&scope);
    return sqrt(sum);
}

static void scale_all(const grd_module *module, double factor)
{
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        grd_tensor *parameter = grd_module_parameter_at(module, i).tensor;
        if (grd_tensor_grad(parameter))
            grd_mul_scalar_((grd_tensor *)grd_tensor_grad(parameter), factor);
    }
}

grd_status grd_scale_grad(grd_module *module, double factor)
{
    if (!module)
        grdi_fail_null("scale_grad");
    else if (!isfinite(factor))
        grdi_fail(GRD_ERROR_ARGUMENT, "scale_grad", "the factor is %g", factor);
    if (!grdi_latched())
        scale_all(module, factor);
    return grdi_self.latched;
}

static double clip(const char *op, grd_module *module, double max_norm,
                   const grdi_norm_parts *parts)
{
    int64_t count = 0;
    if (!(max_norm > 0))
        grdi_fail(GRD_ERROR_ARGUMENT, op, "max_norm is %g", max_norm);
    const double norm = grdi_gradient_norm(op, module, parts, &count);
    if (isinf(norm))
        grdi_fail(GRD_ERROR_NOT_FINITE, op, "the norm is too large for f64");
    const double factor = max_norm / (norm + 1e-6);
    if (!grdi_latched() && factor < 1)
        scale_all(module, factor);
    return grdi_latched() ? NAN : norm;
}

double grd_clip_grad_norm(grd_module *module, double max_norm)
{
    return clip("clip_grad_norm", module, max_norm, &(grdi_norm_parts){ 0 });
}

static bool leads_somewhere(const grd_module *module, const char *path)
{
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++)
        if (holds(path, grd_module_parameter_at(module, i).name))
            return true;
    return false;
}

static bool fail_path(const char *op, const grd_module *module, const char *path)
{
    grdi_nearest nearest = { .wanted = path };
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++)
        grdi_nearest_try(&nearest, grd_module_parameter_at(module, i).name);
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "no parameter lies below \"%s\"%s", path,
                     grdi_nearest_text(&nearest).chars);
}

/* Each path must be one of the tree, so that a misspelt one does not pass for a norm of 0. */
static bool check_paths(const char *op, const grd_module *module, const grdi_norm_parts *parts)
{
    for (int64_t i = 0; i < parts->count && !grdi_latched(); i++) {
        if (!parts->parts[i].path)
            return grdi_fail_null(op);
        if (!leads_somewhere(module, parts->parts[i].path))
            return fail_path(op, module, parts->parts[i].path);
    }
    return !grdi_latched();
}

double grd_clip_grad_norms(grd_module *module, double max_norm, grd_grad_norm *parts,
                           int64_t num_parts)
{
    const char *op = "clip_grad_norms";
    const grdi_norm_parts all = { parts, parts ? num_parts : 0 };
    if (!module || (!parts && num_parts > 0))
        grdi_fail_null(op);
    else if (num_parts < 0)
        grdi_fail(GRD_ERROR_ARGUMENT, op, "num_parts is %" PRId64, num_parts);
    for (int64_t i = 0; i < all.count; i++)
        parts[i].norm = 0;
    const bool fine = !grdi_latched() && check_paths(op, module, &all);
    const double norm = fine ? clip(op, module, max_norm, &all) : NAN;
    for (int64_t i = 0; i < all.count; i++)
        parts[i].norm = isnan(norm) ? NAN : sqrt(parts[i].norm);
    return norm;
}
