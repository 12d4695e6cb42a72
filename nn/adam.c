/* Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), whose decay is decoupled. */
#include "nn/optimizer.h"
#include "tensor/front.h"

#include <math.h>

enum { BETA1, BETA2, EPS, WEIGHT_DECAY, DECAY_MATRICES_ONLY };

static bool step(const grd_optimizer *self, grdi_slot *slot, double lr, const grd_tensor *gradient)
{
    const double *option = self->option, steps = (double)slot->steps;
    const grdi_adam numbers = {
        .shrink = 1 - lr * slot->weight_decay,
        .beta1 = option[BETA1],
        .beta2 = option[BETA2],
        .step = lr / (1 - pow(option[BETA1], steps)),
        .root = 1 / sqrt(1 - pow(option[BETA2], steps)),
        .eps = option[EPS],
        .bad = self->bad,
    };
    return grdi_adam_step(slot->master, slot->moment[0], slot->moment[1], gradient, &numbers);
}

static const grdi_algorithm adam = {
    .name = "adam",
    .moments = { "m", "v" },
    .options = { "beta1", "beta2", "eps", "weight_decay", "decay_matrices_only" },
    .step = step,
};

static const grdi_algorithm adamw = {
    .name = "adamw",
    .moments = { "m", "v" },
    .options = { "beta1", "beta2", "eps", "weight_decay", "decay_matrices_only" },
    .step = step,
};

static bool check(const char *op, const grd_adam_options *o)
{
    if (!(o->betas[0] >= 0 && o->betas[0] < 1 && o->betas[1] > 0 && o->betas[1] < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "betas are %g and %g: the first must be in [0, 1), the second in (0, 1)",
                         o->betas[0], o->betas[1]);
    if (!(o->eps >= 0 && isfinite(o->eps)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "eps is %g", o->eps);
    if (!(o->weight_decay >= 0 && isfinite(o->weight_decay)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "weight_decay is %g", o->weight_decay);
    return true;
}

static grd_optimizer *create(const grdi_algorithm *algorithm, grd_module *module,
                             const grd_adam_options *options)
{
    grd_adam_options chosen = *options;
    if (chosen.betas[0] == 0 && chosen.betas[1] == 0) {
        chosen.betas[0] = 0.9;
        chosen.betas[1] = 0.999;
    }
    if (!module)
        return grdi_fail_null(algorithm->name);
    if (!check(algorithm->name, &chosen))
        return NULL;
    const double values[GRDI_MAX_OPTIONS] = {
        chosen.betas[0],
        chosen.betas[1],
        chosen.eps > 0 ? chosen.eps : 1e-8,
        chosen.weight_decay,
        chosen.decay_matrices_only,
    };
    const grdi_grouping grouping = { chosen.groups, chosen.weight_decay,
                                     chosen.decay_matrices_only };
    return grdi_optimizer_create(algorithm, 2, module, values, &grouping);
}

grd_optimizer *grd_adam_create(grd_module *module, const grd_adam_options *options)
{
    const grd_adam_options defaults = { 0 };
    if (options && options->weight_decay != 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, "adam",
                         "weight_decay is %g: adam has none (use grd_adamw_create)",
                         options->weight_decay);
    return create(&adam, module, options ? options : &defaults);
}

grd_optimizer *grd_adamw_create(grd_module *module, const grd_adam_options *options)
{
    if (!options || options->weight_decay == 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, "adamw",
                         "weight_decay is required (torch: 0.01); without decay use "
                         "grd_adam_create");
    return create(&adamw, module, options);
}
