#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

/* Both directions: rows of C logits, R of them. */
typedef struct losses {
    const grdi_array *logits, *dx, *dy;
    const int64_t *targets;
    const grdi_weighing *how;
    const grdi_loops *loops;
    int64_t classes;
    double *lse, *loss; /* [R] each */
    double scale;       /* of the gradient, where all rows have the same */
} losses;

/* What a row's loss is made of. */
typedef struct row_sums {
    double max, rest, x; /* the largest; log(sum(exp(x - max))); the sum of x */
} row_sums;

static row_sums sums_f64(int64_t n, const double *x)
{
    row_sums sums = { -INFINITY, 0, 0 };
    double exps = 0;
    for (int64_t i = 0; i < n; i++) {
        sums.max = x[i] > sums.max ? x[i] : sums.max;
        sums.x += x[i];
    }
    for (int64_t i = 0; i < n; i++)
        exps += exp(x[i] - sums.max);
    sums.rest = log(exps);
    return sums;
}

static row_sums sums_f32(const grdi_loops *loops, int64_t n, const float *x, bool all)
{
    const float max = loops->max_f32(n, x);
    return (row_sums){ (double)max, log((double)loops->exp_sum_f32(n, x, max)),
                       all ? loops->sum_f32(n, x) : 0 };
}

/* log(sum(exp(x))) less the expected x, each less the largest, which loses no digits. */
static double loss_of(const losses *in, const row_sums *sums, double x)
{
    const double smoothing = in->how->smoothing;
    const double loss = sums->rest - (1 - smoothing) * (x - sums->max);
    if (smoothing == 0)
        return loss; /* what is not the target may be -inf */
    return loss - smoothing * (sums->x / (double)in->classes - sums->max);
}

static void row(const losses *in, int64_t i, void *buffer)
{
    const int64_t n = in->classes, target = in->targets[i];
    const bool counts = target != in->how->ignore_index;
    row_sums sums;
    double x;
    if (in->logits->dtype == GRD_F64) {
        const double *values = grdi_load_f64(in->logits, i * n, 1, n, buffer);
        sums = sums_f64(n, values);
        x = counts ? values[target] : 0;
    } else {
        const float *values = grdi_load_f32(in->logits, i * n, 1, n, buffer);
        sums = sums_f32(in->loops, n, values, in->how->smoothing != 0);
        x = counts ? (double)values[target] : 0;
    }
    in->lse[i] = sums.max + sums.rest;
    in->loss[i] = counts ? loss_of(in, &sums, x) : 0;
}

static grd_status rows(void *context, int64_t first, int64_t last)
{
    const losses *in = context;
    const size_t bytes = (size_t)in->classes * sizeof(double);
    void *buffer = grdi_allocate(bytes);
    if (!buffer)
        return GRD_ERROR_MEMORY;
    for (int64_t i = first; i < last; i++)
        row(in, i, buffer);
    grdi_free(buffer, bytes);
    return GRD_OK;
}

/* How many rows count. */
static int64_t check_targets(const int64_t *targets, int64_t rows, int64_t classes,
                             int64_t ignore_index, grdi_refusal *refused)
{
    int64_t counted = 0;
    for (int64_t i = 0; i < rows; i++) {
        if (targets[i] == ignore_index)
            continue;
        if (targets[i] < 0 || targets[i] >= classes) {
            refused->position = i;
            refused->integer = targets[i];
            break;
        }
        counted++;
    }
    return counted;
}

/* y from each row's loss; over all of them in their order. */
static void store_losses(const grdi_array *y, const losses *in, int64_t rows, int64_t counted)
{
    if (y->rank) {
        grdi_store_f64(y, 0, 1, rows, in->loss);
        return;
    }
    double sum = 0;
    for (int64_t i = 0; i < rows; i++)
        sum += in->loss[i];
    if (in->how->mean)
        sum /= counted ? (double)counted : 1;
    grdi_store_f64(y, 0, 1, 1, &sum);
}

grd_status grdi_cpu_cross_entropy(grd_device *device, const grdi_array *y, const grdi_array *stats,
                                  const grdi_array *logits, const grdi_array *targets,
                                  const grdi_weighing *how, grdi_refusal *refused)
{
    const int64_t count = targets->dim[0].size, classes = logits->dim[1].size;
    const int64_t counted =
        check_targets(targets->data, count, classes, how->ignore_index, refused);
    if (refused->position >= 0)
        return GRD_OK;

    const size_t bytes = (size_t)(count + 1) * sizeof(double);
    double *loss = grdi_allocate(bytes);
    if (!loss)
        return GRD_ERROR_MEMORY;
    losses in = { .logits = logits,
                  .targets = targets->data,
                  .how = how,
                  .loops = grdi_loops_of(device),
                  .classes = classes,
                  .lse = stats->data,
                  .loss = loss };
    in.lse[count] = (double)counted;
    const grd_status status =
        classes ? grdi_parallel(count, grdi_grain(20 + 0.2 * (double)classes), rows, &in) : GRD_OK;
    for (int64_t i = 0; !classes && i < count; i++) /* all are ignored */
        loss[i] = 0;
    if (status == GRD_OK)
        store_losses(y, &in, count, counted);
    grdi_free(loss, bytes);
    return status;
}

static void backward_f64(const losses *in, int64_t i, double scale, double *buffer)
{
    const int64_t n = in->classes, target = in->targets[i];
    const double *x = grdi_load_f64(in->logits, i * n, 1, n, buffer);
    double *dx = grdi_target_f64(in->dx, i * n, 1, buffer);
    const double spread = in->how->smoothing / (double)n;
    for (int64_t j = 0; j < n; j++)
        dx[j] = scale * (exp(x[j] - in->lse[i]) - spread);
    dx[target] -= scale * (1 - in->how->smoothing);
    grdi_store_f64(in->dx, i * n, 1, n, dx);
}

static void backward_f32(const losses *in, int64_t i, float scale, float *buffer)
{
    const int64_t n = in->classes, target = in->targets[i];
    const float *x = grdi_load_f32(in->logits, i * n, 1, n, buffer);
    float *dx = grdi_target_f32(in->dx, i * n, 1, buffer);
    in->loops->cross_entropy_backward_f32(n, dx, x, in->lse[i], scale,
                                          (float)(in->how->smoothing / (double)n));
    dx[target] -= scale * (float)(1 - in->how->smoothing);
    grdi_store_f32(in->dx, i * n, 1, n, dx);
}

static void clear_row(const losses *in, int64_t i)
{
    const grdi_array *dx = in->dx;
    const size_t bytes = (size_t)in->classes * grdi_dtype_size(dx->dtype);
    memset((char *)dx->data + (size_t)i * bytes, 0, bytes);
}

static grd_status backward_rows(void *context, int64_t first, int64_t last)
{
    const losses *in = context;
    const size_t bytes = (size_t)in->classes * sizeof(double);
    void *buffer = grdi_allocate(bytes);
    if (!buffer)
        return GRD_ERROR_MEMORY;
    for (int64_t i = first; i < last; i++) {
        double own, scale = in->scale;
        if (in->dy->rank)
            scale *= *grdi_load_f64(in->dy, i, 1, 1, &own);
        if (in->targets[i] == in->how->ignore_index)
            clear_row(in, i);
        else if (in->dx->dtype == GRD_F64)
            backward_f64(in, i, scale, buffer);
        else
            backward_f32(in, i, (float)scale, buffer);
    }
    grdi_free(buffer, bytes);
    return GRD_OK;
}

grd_status grdi_cpu_cross_entropy_backward(grd_device *device, const grdi_array *dx,
                                           const grdi_array *dy, const grdi_array *stats,
                                           const grdi_array *logits, const grdi_array *targets,
                                           const grdi_weighing *how)
{
    const int64_t count = targets->dim[0].size;
    losses in = { .logits = logits,
                  .dx = dx,
                  .dy = dy,
                  .targets = targets->data,
                  .how = how,
                  .loops = grdi_loops_of(device),
                  .classes = logits->dim[1].size,
                  .lse = stats->data,
                  .scale = 1 };
    double all;
    if (grdi_is_empty(dx))
        return GRD_OK;
    if (!dy->rank)
        in.scale = *grdi_load_f64(dy, 0, 1, 1, &all);
    if (how->mean && in.lse[count] > 0)
        in.scale /= in.lse[count];
    return grdi_parallel(count, grdi_grain(20 + 0.2 * (double)in.classes), backward_rows, &in);
}
