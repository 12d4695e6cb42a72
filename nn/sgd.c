#include "nn/optimizer.h"
#include "tensor/front.h"

#include <math.h>

enum { MOMENTUM, WEIGHT_DECAY, NESTEROV };

static bool step(const grd_optimizer *self, grdi_slot *slot, double lr, const grd_tensor *gradient)
{
    const grdi_sgd numbers = {
        .lr = lr,
        .momentum = self->option[MOMENTUM],
        .weight_decay = slot->weight_decay,
        .nesterov = self->option[NESTEROV] > 0,
        .bad = self->bad,
    };
    return grdi_sgd_step(slot->master, slot->moment[0], gradient, &numbers);
}

static const grdi_algorithm sgd = {
    .name = "sgd",
    .moments = { "momentum" },
    .options = { "momentum", "weight_decay", "nesterov" },
    .step = step,
};

static bool check(const grd_sgd_options *o)
{
    if (!(o->momentum >= 0 && o->momentum < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, "sgd", "momentum is %g, not in [0, 1)", o->momentum);
    if (!(o->weight_decay >= 0 && isfinite(o->weight_decay)))
        return grdi_fail(GRD_ERROR_ARGUMENT, "sgd", "weight_decay is %g", o->weight_decay);
    if (o->nesterov && o->momentum == 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, "sgd", "nesterov needs a momentum");
    return true;
}

grd_optimizer *grd_sgd_create(grd_module *module, const grd_sgd_options *options)
{
    const grd_sgd_options chosen = options ? *options : (grd_sgd_options){ 0 };
    if (!module)
        return grdi_fail_null("sgd");
    if (!check(&chosen))
        return NULL;
    const double values[GRDI_MAX_OPTIONS] = { chosen.momentum, chosen.weight_decay,
                                              chosen.nesterov };
    const grdi_grouping grouping = { chosen.groups, chosen.weight_decay, false };
    return grdi_optimizer_create(&sgd, chosen.momentum > 0 ? 1 : 0, module, values, &grouping);
}
