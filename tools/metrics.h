/* metrics.jsonl: a line for each step, {"step", "loss", "val_loss", "lr", "grad_norm",
 * "tokens_per_second"}; val_loss null where nothing was validated. */
#ifndef GRADUS_TOOLS_METRICS_H
#define GRADUS_TOOLS_METRICS_H

#include "tools/progress.h"

#include <stdio.h>

typedef struct metrics {
    FILE *file;
    double best; /* the least val_loss of lines that were kept or written; INFINITY: none */
} metrics;

/* Opens the file, keeps the lines of steps up to `step` and drops what follows, so that no step
 * appears twice. False after a message; also when another process writes it. */
bool metrics_open(metrics *m, const char *path, int64_t step);
bool metrics_write(metrics *m, const step_report *report, double val_loss); /* NAN: none */
bool metrics_flush(metrics *m, bool durably);
void metrics_close(metrics *m);

#endif
