#include "tools/step.h"
#include "nn/files.h"
#include "nn/optimizer.h"
#include "tools/evaluate.h"

#include <math.h>
#include <stdlib.h>

/* What the first steps fetch, kernels and memory, is there after so many. */
enum { EAGER_STEPS = 2 };

bool stepper_begin(stepper *t, const options *o)
{
    *t = (stepper){ .o = o,
                    .batches = calloc((size_t)o->accumulate, sizeof *t->batches),
                    .eager = EAGER_STEPS };
    return t->batches;
}

static bool is_late(const stepper *t)
{
    return t->results;
}

/* Losses of a step, then sums of squares of its gradients. */
static int64_t width_of(const stepper *t)
{
    return t->o->accumulate + 2 * grd_module_num_parameters(t->s.model);
}

void stepper_set_up(stepper *t)
{
    t->s = make_setup(t->o);
    t->layers = layers_of(t->s.model);
    grd_device *device = grd_tensor_device(grd_module_parameter_at(t->s.model, 0).tensor);
    if (!device || device == grd_cpu() || t->s.scaler)
        return; /* a scaler waits in each step */
    const grd_shape shape = GRD_SHAPE(MOST_STARTED, width_of(t));
    t->results = grd_cast(grd_zeros(shape), GRD_F64);
    t->read = grdi_scratch("train", (size_t)(shape.size[0] * shape.size[1]), sizeof *t->read);
    if (t->o->cuda_graph == 1)
        t->graph = grd_cuda_graph_create(device);
}

void stepper_end(stepper *t)
{
    free(t->batches);
}

/* Step i takes batches i * accumulate and on; with --overfit-batch always the first ones. */
static double next_batches(stepper *t)
{
    const int64_t first = t->o->overfit_batch == 1 ? 0 : t->step * t->o->accumulate;
    double tokens = 0;
    for (int64_t i = 0; i < t->o->accumulate; i++) {
        t->batches[i] = grd_batch_at(t->s.train, first + i);
        tokens += (double)t->batches[i].tokens;
    }
    return tokens > 0 ? tokens : 1;
}

/* Notes numbers among the results of the step that is being started, from `first` on. */
static void note(const stepper *t, int64_t first, const grd_tensor *x)
{
    const int64_t count = grd_tensor_count(x);
    grd_tensor *row = grd_select(t->results, 0, t->started);
    grd_copy_(grd_slice(row, 0, first, first + count, 1), grd_reshape(x, GRD_SHAPE(count)));
}

/* Adds the batch's share of the gradients of the mean loss over the step's tokens. */
static void accumulate(stepper *t, int64_t i, step_report *report)
{
    const grd_batch batch = t->batches[i];
    grd_scope *pass = grd_scope_begin();
    const grd_tensor *sum = summed_loss(grd_forward(t->s.model, batch.inputs), batch);
    const grd_tensor *loss = grd_mul_scalar(sum, 1 / report->tokens);
    grd_backward(t->s.scaler ? grd_grad_scaler_scale(t->s.scaler, loss) : loss);
    if (is_late(t))
        note(t, i, grd_detach(loss));
    else
        report->loss += grd_item(loss);
    grd_scope_end(pass);
}

static void clip(stepper *t, step_report *report)
{
    const double most = t->o->clip_norm > 0 ? t->o->clip_norm : INFINITY;
    if (!is_late(t)) {
        report->grad_norm = grd_clip_grad_norms(t->s.model, most, t->layers.norms, t->layers.count);
        return;
    }
    grd_tensor *norm;
    const grd_tensor *sums = grdi_clip_gradients("clip_grad_norms", t->s.model, most, &norm);
    if (sums)
        note(t, t->o->accumulate, sums);
}

/* Gradients that are not finite have no norm: NAN. */
static void step_scaled(stepper *t, step_report *report)
{
    grd_grad_scaler *scaler = t->s.scaler;
    const int64_t skipped = grd_grad_scaler_skipped_steps(scaler);
    report->loss_scale = grd_grad_scaler_get_scale(scaler);
    grd_grad_scaler_unscale(scaler, t->s.optimizer);
    clip(t, report);
    grd_grad_scaler_step(scaler, t->s.optimizer, report->lr);
    grd_grad_scaler_update(scaler);
    report->skipped = grd_grad_scaler_skipped_steps(scaler) > skipped;
    if (!report->skipped)
        return;
    report->grad_norm = NAN;
    for (int64_t i = 0; i < t->layers.count; i++)
        t->layers.norms[i].norm = NAN;
}

/* What a graph does of a step: all but to make its batches. */
static void compute(stepper *t, step_report *report)
{
    const bool in_graph = t->graph && t->eager == 0;
    if (in_graph)
        grd_cuda_graph_begin(t->graph);
    for (int64_t i = 0; i < t->o->accumulate; i++)
        accumulate(t, i, report);
    if (t->s.scaler) {
        step_scaled(t, report);
    } else {
        clip(t, report);
        grd_optimizer_step(t->s.optimizer, report->lr);
    }
    if (in_graph)
        grd_cuda_graph_launch(t->graph);
    t->eager -= t->eager > 0;
}

bool train_step(stepper *t)
{
    const double start = seconds_now();
    step_report *report = &t->report[t->started];
    grd_scope *scope = grd_scope_begin();
    *report = (step_report){ .tokens = next_batches(t),
                             .lr = grd_schedule_at(&t->s.schedule, t->step),
                             .layers = t->layers };
    compute(t, report);
    if (grd_scope_end(scope) != GRD_OK)
        return false;
    report->step = ++t->step;
    t->started++;
    t->busy += seconds_now() - start;
    return true;
}

bool stepper_is_full(const stepper *t)
{
    return t->started == (is_late(t) ? MOST_STARTED : 1);
}

int64_t stepper_wait(stepper *t)
{
    const double start = seconds_now();
    const int64_t count = t->started;
    grd_scope *scope = grd_scope_begin();
    const bool done = !is_late(t) || grd_read_f64(grd_slice(t->results, 0, 0, count, 1), t->read,
                                                  count * width_of(t)) == GRD_OK;
    if (grd_scope_end(scope) != GRD_OK || !done)
        return -1;
    t->busy += seconds_now() - start;
    for (int64_t i = 0; i < count; i++)
        t->report[i].seconds = t->busy / (double)count;
    t->started = 0;
    t->busy = 0;
    return count;
}

step_report stepper_tell(stepper *t, int64_t i)
{
    step_report report = t->report[i];
    if (!is_late(t))
        return report;
    const double *row = t->read + i * width_of(t);
    for (int64_t b = 0; b < t->o->accumulate; b++)
        report.loss += row[b];
    for (int64_t l = 0; l < t->layers.count; l++)
        t->layers.norms[l].norm = 0;
    const grdi_norm_parts parts = { t->layers.norms, t->layers.count };
    report.grad_norm =
        grdi_norm_of_sums("clip_grad_norms", t->s.model, &parts, row + t->o->accumulate);
    for (int64_t l = 0; l < t->layers.count; l++)
        t->layers.norms[l].norm = sqrt(t->layers.norms[l].norm);
    return report;
}
