#include "autograd/node.h"
#include <gradus/nn.h>

#include <math.h>

static const int64_t ignored_by_default = -100; /* as PyTorch's */

static bool check_reduction(const char *op, grd_reduction reduction)
{
    if (reduction == GRD_MEAN || reduction == GRD_SUM || reduction == GRD_NONE)
        return true;
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "%d is no grd_reduction", (int)reduction);
}

/* One for each row that counts, else zero: (...) as (..., 1) of dy's dtype. */
static grd_tensor *counting(const grd_tensor *targets, const grdi_weighing *how,
                            const grd_tensor *dy)
{
    const grd_tensor *counts = grd_ne_scalar(targets, (double)how->ignore_index);
    return grd_unsqueeze(grd_cast(counts, grd_tensor_dtype(dy)), -1);
}

/* What the classes' probabilities should be; any where the target is ignored. */
static grd_tensor *wanted(const grd_tensor *targets, const grdi_weighing *how,
                          const grd_tensor *logits)
{
    const int64_t classes = grd_tensor_size(logits, -1);
    const grd_tensor *ignored = grd_eq_scalar(targets, (double)how->ignore_index);
    const grd_tensor *chosen = grd_one_hot(grd_masked_fill(targets, ignored, 0), classes);
    const grd_tensor *q = grd_cast(chosen, grd_tensor_dtype(logits));
    return grd_add_scalar(grd_mul_scalar(q, 1 - how->smoothing), how->smoothing / (double)classes);
}

/* y = -sum(q log(softmax(x))): dx = dy (softmax(x) - q), for a mean divided by the rows that
 * count, and zero in those that do not. */
static void cross_entropy_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const grdi_weighing *how = grdi_attributes(node);
    const grd_tensor *x = grdi_saved(node, 0), *targets = grdi_saved_extra(node, 0);
    if (!grdi_recording()) {
        dx[0] = grdi_cross_entropy_backward(dy, x, targets, grdi_saved_extra(node, 1), how);
        return;
    }
    const grd_tensor *counts = counting(targets, how, dy);
    const grd_tensor *wrong = grd_sub(grd_softmax(x, -1), wanted(targets, how, x));
    const grd_tensor *scale = grd_tensor_rank(dy) ? grd_unsqueeze(dy, -1) : dy;
    if (how->mean)
        scale = grd_div(scale, grd_clamp(grd_sum(counts), 1, INFINITY));
    dx[0] = grd_mul(wrong, grd_mul(counts, scale));
}

static const grdi_derivative cross_entropy = {
    .op = "cross_entropy",
    .rule = "y = -sum(q log(softmax(x))): dx = dy (softmax(x) - q), divided by the rows for a mean",
    .needs = { GRDI_INPUT(0) },
    .attributes = sizeof(grdi_weighing),
    .backward = cross_entropy_backward,
};

grd_tensor *grd_cross_entropy(const grd_tensor *logits, const grd_tensor *targets,
                              const grd_cross_entropy_options *options)
{
    const grd_cross_entropy_options chosen = options ? *options : (grd_cross_entropy_options){ 0 };
    const grd_maybe_int ignore = chosen.ignore_index;
    const grdi_weighing how = {
        .ignore_index = ignore.set ? ignore.value : ignored_by_default,
        .smoothing = chosen.label_smoothing,
        .mean = chosen.reduction == GRD_MEAN,
    };
    if (!check_reduction("cross_entropy", chosen.reduction))
        return NULL;
    if (!(how.smoothing >= 0 && how.smoothing <= 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, "cross_entropy", "label_smoothing %g is not in 0..1",
                         how.smoothing);
    const bool each = chosen.reduction == GRD_NONE;
    grd_tensor *stats = NULL, *y = grdi_cross_entropy(logits, targets, each, &how, &stats);
    return grdi_record_saving(&cross_entropy, y, (const grd_tensor *[]){ logits }, 1, &how,
                              (const grd_tensor *[]){ targets, stats }, 2);
}

/* Made of public ops, since nothing of it is dear. */
grd_tensor *grd_mse_loss(const grd_tensor *x, const grd_tensor *target, grd_reduction reduction)
{
    if (!x || !target)
        return grdi_fail_null("mse_loss");
    const grd_shape shape = grd_tensor_shape(x);
    if (!check_reduction("mse_loss", reduction) || !grdi_same_kind("mse_loss", x, target))
        return NULL;
    if (!grdi_has_shape(&target->array, &shape))
        return grdi_fail(GRD_ERROR_SHAPE, "mse_loss", "x is %s, but target %s",
                         grdi_size_text(x).chars, grdi_size_text(target).chars);
    grd_tensor *squares = grd_square(grd_sub(x, target));
    return reduction == GRD_NONE  ? squares
           : reduction == GRD_SUM ? grd_sum(squares)
                                  : grd_mean(squares);
}
