/* metrics.jsonl: a line for each step, as docs/training.md says. */
#ifndef GRADUS_TOOLS_METRICS_H
#define GRADUS_TOOLS_METRICS_H

#include "tools/progress.h"

#include <stdio.h>

typedef struct metrics {
    FILE *file;
    double best;    /* the least val_loss of lines that were kept or written; INFINITY: none */
    double flushed; /* when */
    bool resumed;   /* the next line is the first of a run that goes on */
} metrics;

/* Opens the file, keeps the lines of steps up to `step` and drops what follows, so that no step
 * appears twice. False after a message; also when another process writes it. */
bool metrics_open(metrics *m, const char *path, int64_t step);
bool metrics_write(metrics *m, const step_report *report, double val_loss); /* NAN: none */
bool metrics_flush(metrics *m, bool durably);
void metrics_close(metrics *m);

#endif
