/* Optimizers from inside: for the algorithms and for checkpoints. */
#ifndef GRDI_OPTIMIZER_H
#define GRDI_OPTIMIZER_H

#include "nn/module.h"
#include <gradus/optim.h>

/* ---- For checkpoints ---- */

/* A tensor that an optimizer keeps for a parameter. It may be written to (grd_copy_). */
typedef struct grdi_moment {
    const char *kind;      /* "m", "v", "momentum", "master"; NULL past the end */
    const char *parameter; /* its dotted name; lives as long as the optimizer */
    grd_tensor *tensor;    /* of the parameter's shape and device, f64 for f64 and f32 otherwise */
    int64_t *steps;        /* that the parameter took part in; its moments share it. May be set. */
} grdi_moment;

int64_t grdi_optimizer_num_moments(const grd_optimizer *self);
grdi_moment grdi_optimizer_moment(const grd_optimizer *self, int64_t i);

/* "sgd", "adam", "adamw", and its options: beta1, beta2, ...; NULL past the last. */
const char *grdi_optimizer_algorithm(const grd_optimizer *self);
typedef struct grdi_option {
    const char *name;
    double value;
} grdi_option;
grdi_option grdi_optimizer_option(const grd_optimizer *self, int i);

/* ---- For the algorithms ---- */

enum { GRDI_MAX_MOMENTS = 2, GRDI_MAX_OPTIONS = 5 };

/* A parameter, what is kept for it, and what its group says of it. */
typedef struct grdi_slot {
    const char *name;
    grd_tensor *parameter;                /* the module holds it */
    grd_tensor *master;                   /* what is stepped: it, or its copy in f32; held */
    grd_tensor *moment[GRDI_MAX_MOMENTS]; /* held, of the master's dtype */
    grd_dtype dtype; /* the parameter's, and where it was, when this was made */
    grd_device *device;
    int64_t steps;
    double lr_factor, weight_decay;
} grdi_slot;

typedef struct grdi_algorithm {
    const char *name;
    const char *moments[GRDI_MAX_MOMENTS]; /* their kinds */
    const char *options[GRDI_MAX_OPTIONS];
    /* Changes slot's master and moments; its steps count this one already. The gradient is of the
     * master's dtype. */
    bool (*step)(const grd_optimizer *self, grdi_slot *slot, double lr, const grd_tensor *gradient);
} grdi_algorithm;

/* What a gradient scaler has done with the gradients of this step. */
typedef struct grdi_unscaled {
    grd_grad_scaler *by; /* held; NULL: none ever did */
    int64_t round;       /* of the scaler's: what follows belongs to it */
    bool done, found_inf, stepped;
} grdi_unscaled;

struct grd_optimizer {
    grdi_object object;
    const grdi_algorithm *algorithm;
    grd_module *module; /* held */
    size_t bytes;       /* of the block: this, the slots, their names */
    double option[GRDI_MAX_OPTIONS];
    int num_moments; /* of each slot */
    grdi_unscaled unscaled;
    int64_t num_slots;
    grdi_slot slots[];
};

/* Of which options a slot's own are made. */
typedef struct grdi_grouping {
    const grd_group *groups; /* GRD_MAX_GROUPS */
    double weight_decay;
    bool decay_matrices_only;
} grdi_grouping;

/* With num_moments zeroed tensors for each parameter that is not frozen; options as in the
 * algorithm's list. */
grd_optimizer *grdi_optimizer_create(const grdi_algorithm *algorithm, int num_moments,
                                     grd_module *module, const double options[],
                                     const grdi_grouping *grouping);

/* ---- Gradients of a tree: gradients.c ---- */

/* Parts of the tree whose sums of squares are wanted too: added to their norm. */
typedef struct grdi_norm_parts {
    grd_grad_norm *parts;
    int64_t count;
} grdi_norm_parts;

/* The norm of all gradients of module's parameters, in f64 and in a fixed order, and how many
 * there are. One that is not finite is an error that names its parameter; NaN then. */
double grdi_gradient_norm(const char *op, const grd_module *module, const grdi_norm_parts *parts,
                          int64_t *count);

#endif
