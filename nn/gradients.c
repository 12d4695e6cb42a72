/* The gradients of a tree's parameters: their norm, and changing all of them. */
#include "nn/optimizer.h"
#include "tensor/front.h"

#include <math.h>

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

/* Row n of sums is that of the n-th gradient there is. */
static bool launch(const grd_module *module, grd_tensor *sums)
{
    int64_t row = 0;
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_tensor *gradient = grd_tensor_grad(grd_module_parameter_at(module, i).tensor);
        if (gradient && !grdi_square_sum(sums, row++, gradient))
            return false;
    }
    return true;
}

static bool fail_not_finite(const char *op, const grd_module *module, int64_t row)
{
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_named parameter = grd_module_parameter_at(module, i);
        if (grd_tensor_grad(parameter.tensor) && row-- == 0)
            return grdi_fail(GRD_ERROR_NOT_FINITE, op,
                             "the gradient of %s %s is not finite; nothing was changed",
                             parameter.name, grdi_size_text(parameter.tensor).chars);
    }
    return false;
}

/* The sum of all rows of sums [count, 2], read through `host`; NaN if an element is not finite. */
static double total(const char *op, const grd_module *module, const grd_tensor *sums, double *host,
                    int64_t count)
{
    double sum = 0;
    if (grd_read_f64(sums, host, 2 * count) != GRD_OK)
        return NAN;
    for (int64_t row = 0; row < count; row++) {
        if (host[2 * row + 1] > 0) {
            fail_not_finite(op, module, row);
            return NAN;
        }
        sum += host[2 * row];
    }
    return sum;
}

static double sum_of_squares(const char *op, const grd_module *module, grd_device *device,
                             int64_t count)
{
    const grd_shape shape = { 2, { count, 2 } };
    const size_t bytes = (size_t)count * 2 * sizeof(double);
    grd_tensor *sums = grdi_tensor_create(op, &shape, GRD_F64, device);
    if (!sums || !launch(module, sums))
        return NAN;
    double *host = grdi_allocate(bytes);
    if (!host)
        grdi_fail_memory(op, bytes);
    const double sum = host ? total(op, module, sums, host, count) : NAN;
    grdi_free(host, bytes);
    return sum;
}

double grdi_gradient_norm(const char *op, const grd_module *module, int64_t *count)
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
    const double sum = sum_of_squares(op, module, device, *count);
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

double grd_clip_grad_norm(grd_module *module, double max_norm)
{
    const char *op = "clip_grad_norm";
    int64_t count = 0;
    if (!(max_norm > 0))
        grdi_fail(GRD_ERROR_ARGUMENT, op, "max_norm is %g", max_norm);
    const double norm = grdi_gradient_norm(op, module, &count);
    if (isinf(norm))
        grdi_fail(GRD_ERROR_NOT_FINITE, op, "the norm is too large for f64");
    const double factor = max_norm / (norm + 1e-6);
    if (!grdi_latched() && factor < 1)
        scale_all(module, factor);
    return grdi_latched() ? NAN : norm;
}
