/* Progress on stderr: one line that is rewritten on a terminal, plain lines elsewhere. */
#ifndef GRADUS_TOOLS_PROGRESS_H
#define GRADUS_TOOLS_PROGRESS_H

#include "tools/layers.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    int64_t first, total, every; /* of steps; plain lines come every so many */
    double start, shown;         /* seconds */
    double loss, weight;         /* a decaying sum, and the sum of its weights */
    double tokens, busy;         /* the same of tokens, and of the seconds that they took */
    bool rewrites, coloured, open;
} progress;

/* What a finished step has to tell. */
typedef struct step_report {
    int64_t step; /* 1 for the first */
    double loss, lr, grad_norm;
    double loss_scale; /* 0: the loss was not scaled */
    bool skipped;      /* for gradients that were not finite */
    layers layers;     /* their norms */
    double tokens, seconds;
} step_report;

double seconds_now(void);
void progress_begin(progress *p, int64_t first, int64_t total, int64_t every);
void progress_step(progress *p, const step_report *report);
/* A line above the one that is rewritten. */
void progress_say(progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void progress_end(progress *p);

#endif
