/* A gradient scaler from inside, for checkpoints. */
#ifndef GRDI_GRAD_SCALER_H
#define GRDI_GRAD_SCALER_H

#include "tensor/object.h"
#include <gradus/optim.h>

struct grd_grad_scaler {
    grdi_object object;
    grd_grad_scaler_options options; /* none is 0 */
    float scale;                     /* as PyTorch's: growth beyond f32 is left out */
    int64_t growth_tracker;          /* finite updates since the scale last changed */
    int64_t skipped_steps;
    int64_t round; /* updates so far: what an optimizer notes belongs to one */
    bool looked;   /* at gradients, in this round */
    bool found_inf;
};

#endif
