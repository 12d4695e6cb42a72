#define _DEFAULT_SOURCE /* realpath */
/* The report of a run: what view/assets/report.js draws. */
#include "tensor/front.h"
#include "view/page.h"
#include "view/run.h"
#include <gradus/view.h>

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MOST_VALUES = 1 << 18, /* of a page: some 3 MB */
    MOST_VALIDATIONS = 1 << 15,
    MOST_CONFIG = 1 << 16,
    TOLD = 50 /* steps whose loss is not finite */
};

/* What is being made, and whether there was memory for all of it. */
typedef struct data {
    json_t *root;
    bool complete;
} data;

static void put(data *d, json_t *object, const char *key, json_t *value)
{
    d->complete = json_object_set_new(object, key, value) == 0 && d->complete;
}

static void append(data *d, json_t *array, json_t *value)
{
    d->complete = json_array_append_new(array, value) == 0 && d->complete;
}

/* An object or array of its own, under the key. */
static json_t *put_new(data *d, const char *key, json_t *value)
{
    put(d, d->root, key, value);
    return json_object_get(d->root, key);
}

static json_t *text_of(const char *text)
{
    return grdi_page_text(text, strlen(text));
}

/* ---- The options: config.json ---- */

/* The folder's configuration. NULL where there is none, or with words on what is wrong with it. */
static json_t *read_config(const grdi_run *run, const char **problem)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/config.json", run->folder);
    const grdi_bytes *bytes = grdi_file_read("view_run", path, MOST_CONFIG);
    *problem = NULL;
    if (!bytes && grd_last_error().status == GRD_ERROR_MEMORY)
        return NULL;
    if (!bytes) {
        *problem = grd_error_take() == GRD_ERROR_NO_FILE ? NULL : "cannot be read";
        return NULL;
    }
    json_t *root = json_loadb((const char *)bytes->data, bytes->size, 0, NULL);
    if (root && json_is_object(root))
        return root;
    *problem = "is damaged";
    json_decref(root);
    return NULL;
}

/* Of a value that is no text, number, truth or null: nothing. */
static void put_options(data *d, const json_t *config)
{
    const char *key;
    json_t *value, *options = put_new(d, "options", json_array());
    json_object_foreach((json_t *)config, key, value)
    {
        if (json_is_object(value) || json_is_array(value))
            continue;
        json_t *pair = json_array();
        d->complete = d->complete && pair;
        append(d, pair, text_of(key));
        append(d, pair,
               json_is_string(value)
                   ? grdi_page_text(json_string_value(value), json_string_length(value))
                   : json_incref(value));
        append(d, options, pair);
    }
}

/* ---- Figures ---- */

/* What is left, by the time that steps took lately. */
static double seconds_left(const grdi_run_figures *f, double total)
{
    return f->step_seconds * (total - (isnan(f->step) ? 0 : f->step));
}

static void put_figures(data *d, const grdi_run *run, double total, bool is_text)
{
    const grdi_run_figures f = grdi_run_figure(run);
    const struct {
        const char *key;
        double value;
    } figures[] = {
        { "step", f.step },
        { "loss", f.loss },
        { "smoothed", f.smoothed },
        { "best", f.best },
        { "best_step", f.best_step },
        { "val_loss", f.val_loss },
        { "val_step", f.val_step },
        { "perplexity", is_text ? exp(f.best) : NAN },
        { "tokens", f.tokens },
        { "seconds", f.seconds },
        { "speed", f.speed },
        { "total", total },
        { "left", seconds_left(&f, total) },
        { "not_finite", (double)f.not_finite },
    };
    json_t *object = put_new(d, "figures", json_object());
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        put(d, object, figures[i].key, grdi_page_real(figures[i].value));
}

static const char *state_of(const grdi_run *run, grdi_run_state state, double total)
{
    const double step = run->rows ? grdi_run_value(run, run->rows - 1, GRDI_RUN_STEP) : 0;
    if (state == GRDI_RUN_RUNNING)
        return "running";
    return isnan(total) ? "ended" : step >= total ? "finished" : "stopped";
}

/* ---- Points ---- */

static void put_points(data *d, const char *key, const grdi_run *run, bool validated, int64_t most)
{
    const grdi_run_points p = grdi_run_reduce(run, validated, most);
    const size_t bytes = (size_t)(p.count * (p.columns + 1)) * sizeof *p.values;
    json_t *points = put_new(d, key, json_object());
    put(d, points, "count", json_integer(p.count));
    put(d, points, "stride", json_integer(p.stride));
    put(d, points, "values", p.values ? grdi_page_blob(p.values, bytes) : NULL);
}

static void put_layers(data *d, const grdi_run *run)
{
    json_t *names = put_new(d, "layers", json_array());
    for (int64_t i = 0; i < run->layers; i++)
        append(d, names, text_of(run->names[i]));
}

/* ---- What happened on the way ---- */

static void put_events(data *d, const grdi_run *run)
{
    json_t *resumed = put_new(d, "resumed", json_array());
    for (int64_t i = 0; i < run->resumes; i++)
        append(d, resumed, json_real(run->resumed[i]));
    json_t *steps = put_new(d, "not_finite", json_array());
    for (int64_t i = 0; i < run->rows && json_array_size(steps) < TOLD; i++)
        if (isnan(grdi_run_value(run, i, GRDI_RUN_LOSS)))
            append(d, steps, json_real(grdi_run_value(run, i, GRDI_RUN_STEP)));
}

static void put_faults(data *d, const grdi_run *run)
{
    json_t *faults = put_new(d, "faults", json_array());
    for (int64_t i = 0; i < run->faults && i < GRDI_RUN_FAULTS; i++) {
        json_t *fault = json_object();
        put(d, fault, "line", json_integer(run->fault[i].line));
        put(d, fault, "what", text_of(run->fault[i].what));
        append(d, faults, fault);
    }
    put(d, d->root, "num_faults", json_integer(run->faults));
    put(d, d->root, "cut_off", json_boolean(run->cut_off));
}

/* ---- The page ---- */

/* The folder's own name, also where it was called ".". */
static void title_of(const grdi_run *run, char name[PATH_MAX])
{
    char whole[PATH_MAX];
    const char *path = realpath(run->folder, whole) ? whole : run->folder;
    const char *slash = strrchr(path, '/');
    snprintf(name, PATH_MAX, "Training run: %.4000s", slash && slash[1] ? slash + 1 : path);
}

static void put_all(data *d, const grdi_run *run, grdi_run_state state, double refresh)
{
    const char *problem;
    json_t *config = read_config(run, &problem);
    const json_t *steps = json_object_get(config, "steps"), *text = json_object_get(config, "text");
    const double total = json_is_number(steps) ? json_number_value(steps) : NAN;
    put(d, d->root, "folder", text_of(run->folder));
    put(d, d->root, "state", json_string(state_of(run, state, total)));
    put(d, d->root, "rows", json_integer(run->rows));
    put(d, d->root, "problem", problem ? json_string(problem) : json_null());
    put_figures(d, run, total, json_is_string(text));
    put_options(d, config);
    put_layers(d, run);
    put_points(d, "points", run, false, MOST_VALUES);
    put_points(d, "validations", run, true, MOST_VALIDATIONS);
    put_events(d, run);
    put_faults(d, run);
    if (state == GRDI_RUN_RUNNING) {
        put(d, d->root, "written", json_integer((json_int_t)time(NULL)));
        put(d, d->root, "refresh", grdi_page_real(refresh));
    }
    json_decref(config);
}

bool grdi_run_write(const char *op, const char *path, const grdi_run *run, grdi_run_state state,
                    double refresh)
{
    static const char *const assets[] = { "report.css", "report_chart.js", "report.js", NULL };
    char title[PATH_MAX];
    grd_scope scope;
    if (grdi_latched())
        return false;
    grdi_scope_open(&scope);
    data d = { json_object(), true };
    d.complete = d.root;
    title_of(run, title);
    put_all(&d, run, state, refresh);
    grdi_page page = { .title = title, .assets = assets, .data = d.root };
    grdi_page_write(op, path, &page, d.complete);
    return grd_scope_end(&scope) == GRD_OK;
}

grd_status grd_view_run(const char *html_path, const char *run_folder)
{
    const char *op = "view_run";
    grdi_run run;
    if (!html_path || !run_folder)
        grdi_fail_null(op);
    if (grdi_latched() || !grdi_run_begin(&run, run_folder))
        return grdi_self.latched;
    const bool running = grdi_run_is_written(&run);
    if (grdi_run_read(&run, !running))
        grdi_run_write(op, html_path, &run, running ? GRDI_RUN_RUNNING : GRDI_RUN_STOPPED, 0);
    grdi_run_end(&run);
    return grdi_self.latched;
}
