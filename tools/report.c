#include "tools/report.h"
#include "tools/progress.h"

#include <math.h>

enum { SECONDS = 3 };

bool report_begin(report *r, const char *folder, const char *path, double share)
{
    *r = (report){ .path = path, .every = SECONDS, .share = share };
    return grdi_run_begin(&r->run, folder);
}

void report_end(report *r)
{
    grdi_run_end(&r->run);
    *r = (report){ 0 };
}

bool report_is_due(const report *r)
{
    return r->path && seconds_now() >= r->written + r->every;
}

/* Between slow steps the page cannot come sooner, so it tells how long the last one took to come.
 */
bool report_write(report *r, grdi_run_state state)
{
    const double start = seconds_now();
    const double refresh = r->written > 0 ? fmax(r->every, start - r->written) : r->every;
    const bool done = grdi_run_read(&r->run, state == GRDI_RUN_STOPPED) &&
                      grdi_run_write("view_run", r->path, &r->run, state, refresh);
    r->written = seconds_now();
    r->every = fmax(SECONDS, (r->written - start) / r->share);
    return done;
}
