/* Steps of training. On the processor a step is done when it was started; on a GPU the host goes
 * on, and what came of the steps is read some time later, of many at once. */
#ifndef GRADUS_TOOLS_STEP_H
#define GRADUS_TOOLS_STEP_H

#include "tools/progress.h"
#include "tools/setup.h"

enum { MOST_STARTED = 64 };

typedef struct stepper {
    const options *o;
    setup s;
    layers layers;
    grd_batch *batches;               /* of one step */
    int64_t step;                     /* steps started */
    int64_t started;                  /* and not waited for */
    step_report report[MOST_STARTED]; /* of those; of a GPU's without what it computes */
    double busy;                      /* seconds that they took */
    grd_tensor *results; /* of them, on a GPU: f64 (MOST_STARTED, losses and sums of squares) */
    double *read;        /* the same, once they were waited for */
    grd_cuda_graph *graph;
    int64_t eager; /* steps to do before there are graphs */
} stepper;

bool stepper_begin(stepper *t, const options *o); /* false: out of memory */
void stepper_set_up(stepper *t);                  /* in the scope of the run; failures latch */
void stepper_end(stepper *t);

/* Starts a step. False with an error latched. */
bool train_step(stepper *t);
/* Whether what was started has to be waited for before the next step. */
bool stepper_is_full(const stepper *t);
/* Waits for what was started: the number of steps that can be told, or -1 with an error latched. */
int64_t stepper_wait(stepper *t);
/* What came of one of them; its layers are set until the next one is asked for. */
step_report stepper_tell(stepper *t, int64_t i);

#endif
