#define _POSIX_C_SOURCE 200809L
#include "tools/folder.h"
#include "nn/files.h"
#include "tools/checkpoints.h"
#include "tools/tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool join(char to[4096], const char *folder, const char *name)
{
    if (snprintf(to, 4096, "%s/%s", folder, name) < 4096)
        return true;
    return complain("%s: the name is too long", folder);
}

/* A note in words on what a resumed run changes; false where it may not. */
static bool accept_change(const options *o, const options *saved, const option *row)
{
    char a[64], b[64];
    const char *now = option_text(o, row, a), *before = option_text(saved, row, b);
    if (row->change == REFUSED)
        return complain("--%s is %s, but this run was started with %s: leave it out, or start a "
                        "run in another --out",
                        row->name, now ? now : "unset", before ? before : "unset");
    if (row->change == NOTED)
        note("note: --%s is %s from here on, it was %s", row->name, now ? now : "unset",
             before ? before : "unset");
    return true;
}

static bool adopt(options *o, const options *saved)
{
    bool fine = true;
    for (size_t i = 0; fine && i < num_options(); i++) {
        char text[64];
        const option *row = option_at(i);
        if (!(row->commands & TRAIN) || row->change == LOCAL || same_option(o, saved, row))
            continue;
        fine = o->source[i] == FROM_TABLE
                   ? set_option(o, row, option_text(saved, row, text), FROM_CHECKPOINT, row->name)
                   : accept_change(o, saved, row);
    }
    if (fine && o->min_lr == o->min_lr && o->total_steps == 0 && o->steps != saved->steps)
        note("note: the cosine ends at step %d now, it would have at %d", (int)o->steps,
             (int)saved->steps);
    return fine;
}

static int resume(folder *f, options *o)
{
    options saved;
    options_init(&saved);
    int status = read_checkpoint_options(&saved, f->weights, &f->saved);
    if (status == 0 && !adopt(o, &saved))
        status = EXIT_USAGE;
    options_free(&saved);
    return status;
}

int folder_find(folder *f, options *o)
{
    *f = (folder){ .path = o->out, .saved = -1 };
    if (!o->out)
        return o->resume ? complain("--resume needs --out"), EXIT_USAGE : 0;
    if (!join(f->weights, o->out, "weights.h5") || !join(f->best, o->out, "best.h5") ||
        !join(f->report, o->out, "report.html"))
        return EXIT_USAGE;
    struct stat status;
    if (stat(f->weights, &status) != 0)
        return 0;
    if (!o->resume) {
        complain("%s holds a run: --resume auto goes on with it, --resume never starts over",
                 o->out);
        return EXIT_FAILED;
    }
    return strcmp(o->resume, "auto") == 0 ? resume(f, o) : 0;
}

bool folder_continues(const folder *f)
{
    return f->saved >= 0;
}

bool make_folder(const char *path)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return complain("%s: the name is too long", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return complain("%s: %s", part, system_error());
        *slash = '/';
    }
    if (mkdir(part, 0777) == 0 || errno == EEXIST)
        return true;
    return complain("%s: %s", part, system_error());
}

/* After the metrics are locked: a run that is refused changes nothing. */
static bool write_config(const char *path, const char *config)
{
    if (grdi_file_write("train", path, config, strlen(config)))
        return true;
    complain_of_library();
    return false;
}

bool folder_open(folder *f, int64_t step, const char *config)
{
    char lines[4096], options[4096];
    if (!f->path)
        return true;
    if (!make_folder(f->path) || !join(lines, f->path, "metrics.jsonl") ||
        !join(options, f->path, "config.json") || !metrics_open(&f->metrics, lines, step) ||
        !write_config(options, config))
        return false;
    if (!folder_continues(f)) {
        unlink(f->weights);
        unlink(f->best);
    }
    return true;
}

void folder_close(folder *f)
{
    metrics_close(&f->metrics);
}
