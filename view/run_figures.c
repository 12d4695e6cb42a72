/* What a run's rows say in a few figures. */
#include "view/run.h"

#include <math.h>

/* The mean of the last losses, weighted as the program's bar does. */
static double smoothed(const grdi_run *run)
{
    const double keep = 0.95;
    double sum = 0, weight = 0;
    for (int64_t i = 0; i < run->rows; i++) {
        const double loss = grdi_run_value(run, i, GRDI_RUN_LOSS);
        if (isnan(loss))
            continue;
        sum = keep * sum + loss;
        weight = keep * weight + 1;
    }
    return weight > 0 ? sum / weight : NAN;
}

static void find_validation(grdi_run_figures *f, const grdi_run *run)
{
    for (int64_t i = 0; i < run->rows; i++) {
        const double loss = grdi_run_value(run, i, GRDI_RUN_VAL_LOSS);
        const double step = grdi_run_value(run, i, GRDI_RUN_STEP);
        if (isnan(loss))
            continue;
        f->val_loss = loss;
        f->val_step = step;
        if (isnan(f->best) || loss < f->best) {
            f->best = loss;
            f->best_step = step;
        }
    }
}

/* Seconds of a step; NaN where tokens or speed are unknown. */
static double seconds_of(const grdi_run *run, int64_t row)
{
    const double now = grdi_run_value(run, row, GRDI_RUN_TOKENS);
    const double before = row ? grdi_run_value(run, row - 1, GRDI_RUN_TOKENS) : 0;
    const double seconds = (now - before) / grdi_run_value(run, row, GRDI_RUN_SPEED);
    return seconds >= 0 && isfinite(seconds) ? seconds : NAN;
}

static void add_times(grdi_run_figures *f, const grdi_run *run)
{
    enum { LATELY = 50 };
    const int64_t first = run->rows > LATELY ? run->rows - LATELY : 0;
    double lately = 0;
    for (int64_t i = 0; i < run->rows; i++) {
        f->seconds += seconds_of(run, i);
        lately += i >= first ? seconds_of(run, i) : 0;
    }
    if (!run->rows)
        return;
    const double before = first ? grdi_run_value(run, first - 1, GRDI_RUN_TOKENS) : 0;
    f->tokens = grdi_run_value(run, run->rows - 1, GRDI_RUN_TOKENS);
    f->speed = (f->tokens - before) / lately;
    f->step_seconds = lately / (double)(run->rows - first);
}

grdi_run_figures grdi_run_figure(const grdi_run *run)
{
    grdi_run_figures f = { .smoothed = smoothed(run), .step = NAN, .loss = NAN };
    f.best = f.best_step = f.val_loss = f.val_step = f.speed = f.step_seconds = NAN;
    for (int64_t i = 0; i < run->rows; i++)
        f.not_finite += isnan(grdi_run_value(run, i, GRDI_RUN_LOSS));
    if (run->rows) {
        f.step = grdi_run_value(run, run->rows - 1, GRDI_RUN_STEP);
        f.loss = grdi_run_value(run, run->rows - 1, GRDI_RUN_LOSS);
    }
    find_validation(&f, run);
    add_times(&f, run);
    return f;
}
