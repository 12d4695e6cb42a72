/* The gradients of a tree's parameters: their norms, and changing all of them. */
#include "nn/optimizer.h"
#include "tensor/front.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
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

static void word_not_finite(char *text, size_t size, grd_named parameter)
{
    snprintf(text, size, "the gradient of %s %s is not finite; nothing was changed", parameter.name,
             grdi_size_text(parameter.tensor).chars);
}

/* What is not finite is told from the sums where the host reads them at once, and by the device
 * where it need not read them at all: there the first comes first, since what is told first stands.
 * Else the last does: what changes them all next, in their order, finds the first in the caches. */
static bool launch(const char *op, const grd_module *module, grd_tensor *sums)
{
    const bool late = !grdi_device(sums)->in_host;
    const int64_t count = grd_module_num_parameters(module);
    for (int64_t n = 0; n < count; n++) {
        const int64_t i = late ? n : count - 1 - n;
        const grd_named parameter = grd_module_parameter_at(module, i);
        const grd_tensor *gradient = grd_tensor_grad(parameter.tensor);
        if (!gradient)
            continue;
        grdi_refusal refused = grdi_refusal_of(op, GRD_ERROR_NOT_FINITE, gradient);
        if (late)
            word_not_finite(refused.text, sizeof refused.text, parameter);
        if (!grdi_square_sum(sums, i, gradient, late ? &refused : NULL))
            return false;
    }
    return true;
}

static bool fail_not_finite(const char *op, grd_named parameter)
{
    char text[448];
    word_not_finite(text, sizeof text, parameter);
    return grdi_fail(GRD_ERROR_NOT_FINITE, op, "%s", text);
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

double grdi_norm_of_sums(const char *op, const grd_module *module, const grdi_norm_parts *parts,
                         const double *sums)
{
    double sum = 0;
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_named parameter = grd_module_parameter_at(module, i);
        if (sums[2 * i + 1] > 0) {
            fail_not_finite(op, parameter);
            return NAN;
        }
        sum += sums[2 * i];
        share(parts, parameter.name, sums[2 * i]);
    }
    return sqrt(sum);
}

static double read_norm(const char *op, const grd_module *module, const grdi_norm_parts *parts,
                        const grd_tensor *sums)
{
    const int64_t count = grd_tensor_count(sums);
    const size_t bytes = (size_t)count * sizeof(double);
    double *host = grdi_allocate(bytes), norm = NAN;
    if (!host)
        grdi_fail_memory(op, bytes);
    else if (grd_read_f64(sums, host, count) == GRD_OK)
        norm = grdi_norm_of_sums(op, module, parts, host);
    grdi_free(host, bytes);
    return norm;
}

grd_tensor *grdi_gradient_sums(const char *op, const grd_module *module)
{
    grd_device *device = NULL;
    if (!module)
        grdi_fail_null(op);
    if (grdi_latched())
        return NULL;
    if (!count_gradients(module, &device))
        return NULL;
    const grd_shape shape = { 2, { grd_module_num_parameters(module), 2 } };
    grd_tensor *sums = grdi_full(op, &shape, 0, GRD_F64, device);
    return sums && launch(op, module, sums) ? sums : NULL;
}

double grdi_gradient_norm(const char *op, const grd_module *module, const grdi_norm_parts *parts)
{
    const grd_tensor *sums = grdi_gradient_sums(op, module);
    return sums ? read_norm(op, module, parts, sums) : grdi_latched() ? NAN : 0;
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

static void scale_all_by(const grd_module *module, const grd_tensor *factor)
{
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        grd_tensor *parameter = grd_module_parameter_at(module, i).tensor;
        if (grd_tensor_grad(parameter))
            grdi_scale_by((grd_tensor *)grd_tensor_grad(parameter), factor);
    }
}

grd_tensor *grdi_clip_gradients(const char *op, grd_module *module, double max_norm,
                                grd_tensor **norm)
{
    if (!(max_norm > 0))
        grdi_fail(GRD_ERROR_ARGUMENT, op, "max_norm is %g", max_norm);
    grd_tensor *sums = grdi_gradient_sums(op, module);
    grd_tensor *numbers = sums ? grdi_clip_factor(op, sums, max_norm) : NULL;
    if (!numbers)
        return NULL;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    if (max_norm < INFINITY)
        scale_all_by(module, grd_select(numbers, 0, 1));
    if (grd_scope_end(&scope) != GRD_OK)
        return NULL;
    *norm = grd_select(numbers, 0, 0);
    return sums;
}

/* On the processor the norm says whether there is anything to scale. */
static double clip_here(const char *op, grd_module *module, double max_norm,
                        const grdi_norm_parts *parts)
{
    const double norm = grdi_gradient_norm(op, module, parts);
    if (isinf(norm))
        grdi_fail(GRD_ERROR_NOT_FINITE, op, "the norm is too large for f64");
    const double factor = max_norm / (norm + 1e-6);
    if (!grdi_latched() && factor < 1)
        scale_all(module, factor);
    return norm;
}

static double clip_there(const char *op, grd_module *module, double max_norm,
                         const grdi_norm_parts *parts)
{
    grd_tensor *norm;
    const grd_tensor *sums = grdi_clip_gradients(op, module, max_norm, &norm);
    return sums ? read_norm(op, module, parts, sums) : 0;
}

static double clip(const char *op, grd_module *module, double max_norm,
                   const grdi_norm_parts *parts)
{
    grd_device *device = NULL;
    if (!module)
        grdi_fail_null(op);
    else if (!(max_norm > 0))
        grdi_fail(GRD_ERROR_ARGUMENT, op, "max_norm is %g", max_norm);
    if (grdi_latched())
        return NAN;
    if (!count_gradients(module, &device))
        return 0;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    const double norm = device->in_host ? clip_here(op, module, max_norm, parts)
                                        : clip_there(op, module, max_norm, parts);
    return grd_scope_end(&scope) == GRD_OK ? norm : NAN;
}

grd_tensor *grd_clip_grad(grd_module *module, double max_norm)
{
    grd_tensor *norm = NULL;
    if (!grdi_clip_gradients("clip_grad", module, max_norm, &norm) && !grdi_latched())
        return grdi_full("clip_grad", &(grd_shape){ 0 }, 0, GRD_F64, grd_cpu());
    return norm;
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
