#include "tensor/object.h"
#include <gradus/optim.h>

#include <math.h>

static const double pi = 3.14159265358979323846;

static bool check(const grd_schedule *s, int64_t step)
{
    const char *op = "schedule_at";
    if ((unsigned)s->shape > GRD_COSINE)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "there is no shape %d", (int)s->shape);
    if (!(s->lr >= 0 && isfinite(s->lr)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "lr is %g", s->lr);
    if (!(s->min_lr >= 0 && s->min_lr <= s->lr))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "min_lr is %g, not from 0 to lr, %g", s->min_lr,
                         s->lr);
    if (s->warmup_steps < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "warmup_steps is %lld",
                         (long long)s->warmup_steps);
    if (s->shape != GRD_CONSTANT && (s->total_steps <= 0 || s->total_steps < s->warmup_steps))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "total_steps is %lld, with %lld of warm-up",
                         (long long)s->total_steps, (long long)s->warmup_steps);
    if (step < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "step is %lld", (long long)step);
    return true;
}

double grd_schedule_at(const grd_schedule *s, int64_t step)
{
    if (!s)
        grdi_fail_null("schedule_at");
    if (grdi_latched() || !check(s, step))
        return NAN;
    if (step < s->warmup_steps)
        return s->lr * (double)(step + 1) / (double)s->warmup_steps;
    if (s->shape == GRD_CONSTANT)
        return s->lr;
    const double decay = (double)(s->total_steps - s->warmup_steps);
    const double f = step >= s->total_steps ? 1 : (double)(step - s->warmup_steps) / decay;
    const double left = s->shape == GRD_LINEAR ? 1 - f : (1 + cos(pi * f)) / 2;
    return s->min_lr + (s->lr - s->min_lr) * left;
}
