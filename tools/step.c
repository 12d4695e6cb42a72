#include "tools/step.h"
#include "tools/evaluate.h"

#include <math.h>
#include <stdlib.h>

bool stepper_begin(stepper *t, const options *o)
{
    *t = (stepper){ .o = o, .batches = calloc((size_t)o->accumulate, sizeof *t->batches) };
    return t->batches;
}

void stepper_set_up(stepper *t)
{
    t->s = make_setup(t->o);
    t->layers = layers_of(t->s.model);
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

/* Adds the batch's share of the gradients of the mean loss over `tokens`; returns its share of
 * that loss. */
static double accumulate(const stepper *t, grd_batch batch, double tokens)
{
    grd_scope *pass = grd_scope_begin();
    const grd_tensor *sum = summed_loss(grd_forward(t->s.model, batch.inputs), batch);
    const grd_tensor *loss = grd_mul_scalar(sum, 1 / tokens);
    grd_backward(t->s.scaler ? grd_grad_scaler_scale(t->s.scaler, loss) : loss);
    const double value = grd_item(loss);
    grd_scope_end(pass);
    return value;
}

static void clip(const stepper *t, step_report *report)
{
    report->grad_norm =
        grd_clip_grad_norms(t->s.model, t->o->clip_norm > 0 ? t->o->clip_norm : INFINITY,
                            t->layers.norms, t->layers.count);
}

/* Gradients that are not finite have no norm: NAN. */
static void step_scaled(const stepper *t, step_report *report)
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

bool train_step(stepper *t, step_report *report)
{
    const double start = seconds_now();
    grd_scope *scope = grd_scope_begin();
    *report = (step_report){ .tokens = next_batches(t), .layers = t->layers };
    for (int64_t i = 0; i < t->o->accumulate; i++)
        report->loss += accumulate(t, t->batches[i], report->tokens);
    report->lr = grd_schedule_at(&t->s.schedule, t->step);
    if (t->s.scaler) {
        step_scaled(t, report);
    } else {
        clip(t, report);
        grd_optimizer_step(t->s.optimizer, report->lr);
    }
    if (grd_scope_end(scope) != GRD_OK)
        return false;
    report->step = ++t->step;
    report->seconds = seconds_now() - start;
    return true;
}
