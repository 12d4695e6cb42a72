#define _POSIX_C_SOURCE 200809L
/* gradus view run: a run's report, once or for as long as the run goes on. */
#include "tools/report.h"
#include "tools/signals.h"
#include "tools/tools.h"

#include <time.h>

/* Where the page goes: --output, or the folder's report.html. */
static const char *page_path(const options *o, char buffer[4096])
{
    const char *folder = o->arguments[0];
    if (o->output)
        return o->output;
    if (snprintf(buffer, 4096, "%s/report.html", folder) < 4096)
        return buffer;
    complain("%.60s...: the name is too long", folder);
    return NULL;
}

static grdi_run_state state_of(const report *r)
{
    return grdi_run_is_written(&r->run) ? GRDI_RUN_RUNNING : GRDI_RUN_STOPPED;
}

/* Writes the page anew until the run ends. False: latched. */
static bool follow(report *r)
{
    const struct timespec pause = { .tv_nsec = 200000000 };
    note("following %s: Ctrl-C ends that, not the run", r->run.folder);
    catch_signals();
    while (!caught_signal()) {
        const grdi_run_state state = state_of(r);
        if ((state == GRDI_RUN_STOPPED || report_is_due(r)) && !report_write(r, state))
            return false;
        if (state == GRDI_RUN_STOPPED)
            break;
        nanosleep(&pause, NULL);
    }
    return true;
}

static int view(report *r, const options *o)
{
    const grdi_run_state state = state_of(r);
    if (!report_write(r, state))
        return complain_of_library();
    note("wrote %s", r->path);
    const bool shown = o->open != 1 || open_page(r->path);
    if (state == GRDI_RUN_RUNNING && o->follow == 1 && !follow(r))
        return complain_of_library();
    return caught_signal() ? 128 + caught_signal() : shown ? 0 : EXIT_FAILED;
}

int run_view_run(options *o)
{
    char buffer[4096];
    report r;
    if (o->num_arguments != 1)
        return complain("name one folder of gradus train --out"), EXIT_USAGE;
    const char *path = page_path(o, buffer);
    if (!path)
        return EXIT_USAGE;
    if (!report_begin(&r, o->arguments[0], path, 0.1))
        return complain_of_library();
    const int status = view(&r, o);
    report_end(&r);
    return status;
}
