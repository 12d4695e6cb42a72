/* The report of a run while it goes on: a page that is written anew every few seconds. */
#ifndef GRADUS_TOOLS_REPORT_H
#define GRADUS_TOOLS_REPORT_H

#include "view/run.h"

typedef struct report {
    grdi_run run;
    const char *path; /* of the page; NULL: none is written */
    double written;   /* when it was, last */
    double every;     /* seconds */
    double share;     /* of the time that writing may take, at most */
} report;

/* For the run in `folder`; path must outlive it. False: latched. */
bool report_begin(report *r, const char *folder, const char *path, double share);
void report_end(report *r);

bool report_is_due(const report *r);
/* Reads what is new and writes the page. The more that costs, the less often it becomes due. False:
 * latched. */
bool report_write(report *r, grdi_run_state state);

#endif
