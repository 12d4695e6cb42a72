/* One step of training. */
#ifndef GRADUS_TOOLS_STEP_H
#define GRADUS_TOOLS_STEP_H

#include "tools/progress.h"
#include "tools/setup.h"

typedef struct stepper {
    const options *o;
    setup s;
    layers layers;
    grd_batch *batches; /* of one step */
    int64_t step;       /* steps done */
} stepper;

bool stepper_begin(stepper *t, const options *o); /* false: out of memory */
void stepper_set_up(stepper *t);                  /* in the scope of the run; failures latch */
void stepper_end(stepper *t);

/* False with an error latched. */
bool train_step(stepper *t, step_report *report);

#endif
