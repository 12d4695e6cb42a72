#define _GNU_SOURCE /* F_OFD_SETLK */
#include "tools/metrics.h"
#include "tools/tools.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The line's step if it is whole, or -1; its val_loss goes into best. */
static int64_t read_line(const char *line, double *val_loss)
{
    json_t *root = json_loads(line, 0, NULL);
    const json_t *step = json_object_get(root, "step"), *loss = json_object_get(root, "val_loss");
    const int64_t found =
        json_is_integer(step) && strchr(line, '\n') ? json_integer_value(step) : -1;
    *val_loss = json_is_number(loss) ? json_number_value(loss) : INFINITY;
    json_decref(root);
    return found;
}

/* Where the lines of later steps begin: lines in order, and one that is not whole, end it. */
static long end_of_kept(metrics *m, int64_t step)
{
    char *line = NULL;
    size_t capacity = 0;
    long end = 0;
    for (int64_t last = 0; getline(&line, &capacity, m->file) > 0; end = ftell(m->file)) {
        double val_loss;
        const int64_t found = read_line(line, &val_loss);
        if (found <= last || found > step)
            break;
        last = found;
        m->best = fmin(m->best, val_loss);
    }
    free(line);
    return end;
}

/* One run at a time: the system drops the lock when the process ends, however it ends. It belongs
 * to the open file, so that reading the same file for a report does not drop it. */
static bool lock(FILE *file)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fileno(file), F_OFD_SETLK, &whole) == 0;
}

bool metrics_open(metrics *m, const char *path, int64_t step)
{
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    *m = (metrics){ .file = file >= 0 ? fdopen(file, "r+") : NULL, .best = INFINITY };
    if (!m->file)
        return complain("%s: %s", path, system_error());
    if (!lock(m->file)) {
        metrics_close(m);
        return complain("%s: another run writes there", path);
    }
    const long end = end_of_kept(m, step);
    m->resumed = step > 0;
    if (fseek(m->file, end, SEEK_SET) != 0 || ftruncate(file, end) != 0)
        return complain("%s: %s", path, system_error());
    return true;
}

static void put_value(FILE *file, int digits, double x)
{
    if (isfinite(x))
        fprintf(file, "%.*g", digits, x);
    else
        fputs("null", file);
}

static void put_number(FILE *file, const char *name, double x)
{
    fprintf(file, ", \"%s\": ", name);
    put_value(file, 17, x);
}

/* Nine digits tell two floats apart, and keep the lines of a deep model short. */
static void put_layers(FILE *file, const layers *all)
{
    fputs(", \"grad_norms\": {", file);
    for (int64_t i = 0; i < all->count; i++) {
        fprintf(file, "%s\"%s\": ", i ? ", " : "", all->norms[i].path);
        put_value(file, 9, all->norms[i].norm);
    }
    fputc('}', file);
}

bool metrics_write(metrics *m, const step_report *r, double val_loss)
{
    if (!m->file)
        return true;
    fprintf(m->file, "{\"step\": %" PRId64, r->step);
    put_number(m->file, "loss", r->loss);
    put_number(m->file, "val_loss", val_loss);
    put_number(m->file, "lr", r->lr);
    put_number(m->file, "grad_norm", r->grad_norm);
    put_number(m->file, "tokens_per_second", r->tokens / r->seconds);
    put_number(m->file, "tokens", r->tokens);
    put_layers(m->file, &r->layers);
    if (r->loss_scale > 0)
        put_number(m->file, "loss_scale", r->loss_scale);
    if (r->skipped)
        fputs(", \"skipped\": true", m->file);
    fputs(m->resumed ? ", \"resumed\": true}\n" : "}\n", m->file);
    m->resumed = false;
    if (seconds_now() - m->flushed > 0.5) {
        fflush(m->file); /* for those who watch */
        m->flushed = seconds_now();
    }
    return !ferror(m->file) || complain("metrics.jsonl cannot be written");
}

bool metrics_flush(metrics *m, bool durably)
{
    if (!m->file || (fflush(m->file) == 0 && (!durably || fsync(fileno(m->file)) == 0)))
        return true;
    return complain("metrics.jsonl: %s", system_error());
}

void metrics_close(metrics *m)
{
    if (m->file)
        fclose(m->file);
    m->file = NULL;
}
