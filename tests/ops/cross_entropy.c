#include "tests/op_cases.h"

#include <math.h>

/* The loss of each row: -sum over classes of q log(p), q being 1 - smoothing for the target plus
 * smoothing / C for all; 0 if the target is `ignored`. Returns how many rows count. */
static long row_losses(const plain x[], double smoothing, double ignored, plain *loss)
{
    const long classes = x[0].size[x[0].rank - 1];
    long counted = 0;
    *loss = x[1];
    for (long row = 0; row < count_of(&x[1]); row++) {
        const double *logits = x[0].value + row * classes;
        double sum = 0;
        for (long c = 0; c < classes; c++)
            sum += exp(logits[c]);
        loss->value[row] = 0;
        if (x[1].value[row] == ignored)
            continue;
        counted++;
        for (long c = 0; c < classes; c++) {
            const double q =
                (c == (long)x[1].value[row] ? 1 - smoothing : 0) + smoothing / (double)classes;
            loss->value[row] -= q * log(exp(logits[c]) / sum);
        }
    }
    return counted;
}

static double total(const plain *x)
{
    double sum = 0;
    for (long i = 0; i < count_of(x); i++)
        sum += x->value[i];
    return sum;
}

static void mean_reference(const plain x[], plain *y)
{
    static plain loss;
    const long counted = row_losses(x, 0, -100, &loss);
    *y = (plain){ .value = { total(&loss) / (double)counted } };
}

static void none_reference(const plain x[], plain *y)
{
    row_losses(x, 0, -100, y);
}

static void smooth_ignoring_mean_reference(const plain x[], plain *y)
{
    static plain loss;
    const long counted = row_losses(x, 0.2, 1, &loss);
    *y = (plain){ .value = { total(&loss) / (double)counted } };
}

static void smooth_ignoring_sum_reference(const plain x[], plain *y)
{
    static plain loss;
    row_losses(x, 0.2, 1, &loss);
    *y = (plain){ .value = { total(&loss) } };
}

static void smooth_ignoring_none_reference(const plain x[], plain *y)
{
    row_losses(x, 0.2, 1, y);
}

static void zero_reference(const plain x[], plain *y)
{
    (void)x;
    *y = (plain){ 0 };
}

static grd_tensor *run_default(const grd_tensor *const x[])
{
    return grd_cross_entropy(x[0], x[1], NULL);
}

static grd_tensor *run_none(const grd_tensor *const x[])
{
    return grd_cross_entropy(x[0], x[1], &(grd_cross_entropy_options){ .reduction = GRD_NONE });
}

static grd_tensor *smooth_ignoring(const grd_tensor *const x[], grd_reduction reduction)
{
    return grd_cross_entropy(x[0], x[1],
                             &(grd_cross_entropy_options){ .reduction = reduction,
                                                           .ignore_index = GRD_SET(1),
                                                           .label_smoothing = 0.2 });
}

static grd_tensor *run_smooth_ignoring_mean(const grd_tensor *const x[])
{
    return smooth_ignoring(x, GRD_MEAN);
}

static grd_tensor *run_smooth_ignoring_sum(const grd_tensor *const x[])
{
    return smooth_ignoring(x, GRD_SUM);
}

static grd_tensor *run_smooth_ignoring_none(const grd_tensor *const x[])
{
    return smooth_ignoring(x, GRD_NONE);
}

/* All targets are 0. */
static grd_tensor *run_all_ignored(const grd_tensor *const x[])
{
    return grd_cross_entropy(x[0], x[1],
                             &(grd_cross_entropy_options){ .ignore_index = GRD_SET(0) });
}

static grd_tensor *run_gradient(const grd_tensor *const x[])
{
    grd_tensor *logits = grd_require_grad(grd_detach(x[0])), *dx = NULL;
    const grd_tensor *y = smooth_ignoring((const grd_tensor *[]){ logits, x[1] }, GRD_MEAN);
    return grd_grad(GRD_LIST(y), GRD_LIST(logits), NULL, &dx) == GRD_OK ? dx : NULL;
}

/* (softmax - q) / the rows that count, zero in the others. */
static void gradient_reference(const plain x[], plain *dx)
{
    const long classes = x[0].size[x[0].rank - 1];
    static plain loss;
    const long counted = row_losses(x, 0.2, 1, &loss);
    *dx = x[0];
    for (long i = 0; i < count_of(dx); i++) {
        const long row = i / classes, target = (long)x[1].value[row];
        double sum = 0;
        for (long c = 0; c < classes; c++)
            sum += exp(x[0].value[row * classes + c] - x[0].value[i]);
        const double q = (i % classes == target ? 0.8 : 0) + 0.2 / (double)classes;
        dx->value[i] = target == 1 ? 0 : (1 / sum - q) / (double)counted;
    }
}

static void mse_mean_reference(const plain x[], plain *y)
{
    *y = (plain){ 0 };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[0] += pow(x[0].value[i] - x[1].value[i], 2) / (double)count_of(&x[0]);
}

static void mse_sum_reference(const plain x[], plain *y)
{
    mse_mean_reference(x, y);
    y->value[0] *= (double)count_of(&x[0]);
}

static void mse_none_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = pow(x[0].value[i] - x[1].value[i], 2);
}

static grd_tensor *run_mse_mean(const grd_tensor *const x[])
{
    return grd_mse_loss(x[0], x[1], GRD_MEAN);
}

static grd_tensor *run_mse_sum(const grd_tensor *const x[])
{
    return grd_mse_loss(x[0], x[1], GRD_SUM);
}

static grd_tensor *run_mse_none(const grd_tensor *const x[])
{
    return grd_mse_loss(x[0], x[1], GRD_NONE);
}

static grd_tensor *run_mse_of_another_kind(const grd_tensor *const x[])
{
    return grd_mse_loss(x[0], x[1], (grd_reduction)7);
}

/* Targets as the cases below have them: ones in i64. */
static grd_tensor *run_ones(const grd_tensor *const x[])
{
    return grd_cross_entropy(x[0], grd_cast(x[1], GRD_I64), NULL);
}

static grd_tensor *run_one_off(const grd_tensor *const x[])
{
    const int64_t targets[] = { 1, 0, -100, 2, 3, 0 };
    return grd_cross_entropy(x[0], grd_from_i64(targets, 6, GRD_SHAPE(2, 3)), NULL);
}

static grd_tensor *run_too_smooth(const grd_tensor *const x[])
{
    return grd_cross_entropy(x[0], x[1], &(grd_cross_entropy_options){ .label_smoothing = 1.5 });
}

static grd_tensor *run_logits_alone(const grd_tensor *const x[])
{
    return grd_cross_entropy(x[0], NULL, NULL);
}

static grd_tensor *run_integer_logits(const grd_tensor *const x[])
{
    return grd_cross_entropy(grd_cast(x[0], GRD_I64), grd_cast(x[1], GRD_I64), NULL);
}

/* clang-format off */
#define CLASSES(shape, rows) 2, { shape, rows }, { REAL, INDEX }
static const op_case cases[] = {
    { "cross_entropy", "cross_entropy", run_default, mean_reference, CLASSES(S2(6, 5), S1(6)),
      .limit = 5 },
    { "cross_entropy, batched", "cross_entropy", run_default, mean_reference,
      CLASSES(S3(2, 3, 21), S2(2, 3)), .limit = 21 },
    { "cross_entropy, one row", "cross_entropy", run_default, mean_reference, CLASSES(S1(4), S0),
      .limit = 4 },
    { "cross_entropy, each", "cross_entropy", run_none, none_reference,
      CLASSES(S3(2, 3, 4), S2(2, 3)), .limit = 4 },
    { "cross_entropy, each of none", "cross_entropy", run_none, none_reference,
      CLASSES(S2(0, 4), S1(0)), .limit = 4 },
    { "cross_entropy, smooth, ignoring", "cross_entropy", run_smooth_ignoring_mean,
      smooth_ignoring_mean_reference, CLASSES(S2(9, 3), S1(9)), .limit = 3 },
    { "cross_entropy, smooth, ignoring, sum", "cross_entropy", run_smooth_ignoring_sum,
      smooth_ignoring_sum_reference, CLASSES(S2(9, 3), S1(9)), .limit = 3, .f32_error = 8e-6 },
    { "cross_entropy, smooth, ignoring, each", "cross_entropy", run_smooth_ignoring_none,
      smooth_ignoring_none_reference, CLASSES(S3(3, 3, 3), S2(3, 3)), .limit = 3 },
    { "cross_entropy, all ignored", "cross_entropy", run_all_ignored, zero_reference,
      CLASSES(S2(3, 3), S1(3)), .limit = 1 },
    { "cross_entropy, backward", "cross_entropy_backward", run_gradient, gradient_reference,
      CLASSES(S2(9, 21), S1(9)), .limit = 3, .no_derivative = true },
    { "mse_loss", "square", run_mse_mean, mse_mean_reference, 2, { S2(2, 3), S2(2, 3) } },
    { "mse_loss, sum", "square", run_mse_sum, mse_sum_reference, 2, { S2(2, 3), S2(2, 3) } },
    { "mse_loss, each", "square", run_mse_none, mse_none_reference, 2, { S2(2, 3), S2(2, 3) } },
};

static const bad_case bad[] = {
    { "cross_entropy: targets[1, 1] is 3, but there are 3 classes, from 0 on", run_one_off,
      { S3(2, 3, 3) } },
    { "cross_entropy: targets[0] is 1, but there are 1 classes, from 0 on", run_ones,
      { S2(2, 1), S1(2) } },
    { "cross_entropy: targets are classes in i64, not f32 (grd_cast them)", run_default,
      { S2(2, 3), S1(2) } },
    { "cross_entropy: logits are i64, not floating (grd_cast them)", run_integer_logits,
      { S2(2, 3), S1(2) } },
    { "cross_entropy: logits are (..., C), targets (...), but logits are [2, 3], targets [2, 3]",
      run_ones, { S2(2, 3), S2(2, 3) } },
    { "cross_entropy: logits are (..., C), targets (...), but logits are [], targets [1]",
      run_ones, { S0, S1(1) } },
    { "cross_entropy: label_smoothing 1.5 is not in 0..1", run_too_smooth, { S2(2, 3), S1(2) } },
    { "cross_entropy: an argument is NULL", run_logits_alone, { S2(2, 3) } },
    { "mse_loss: x is [2, 3], but target [3]", run_mse_mean, { S2(2, 3), S1(3) } },
    { "mse_loss: 7 is no grd_reduction", run_mse_of_another_kind, { S1(3), S1(3) } },
};
/* clang-format on */

const op_family cross_entropy_family = OP_FAMILY(cases, bad);
