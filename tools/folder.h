/* The folder of a run: the newest weights.h5, best.h5, metrics.jsonl, config.json, report.html. */
#ifndef GRADUS_TOOLS_FOLDER_H
#define GRADUS_TOOLS_FOLDER_H

#include "tools/metrics.h"
#include "tools/options.h"

typedef struct folder {
    const char *path; /* NULL: nothing is saved */
    char weights[4096], best[4096], report[4096];
    metrics metrics;
    int64_t saved; /* step of weights.h5; -1: there is none */
} folder;

/* Looks whether the run goes on: if so, takes what the command line leaves open from the
 * checkpoint, and refuses or notes what it changes. An exit status. */
int folder_find(folder *f, options *o);
bool folder_continues(const folder *f);
/* Makes the folder, opens its metrics for a run at `step` and notes the run's options, as JSON.
 * False after a message. */
bool folder_open(folder *f, int64_t step, const char *config);
void folder_close(folder *f);

/* With the folders above it; that it exists is fine. False after a message. */
bool make_folder(const char *path);

#endif
