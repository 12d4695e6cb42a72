/* The rows of a run: a table that grows both ways. */
#include "view/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char op[] = "view_run";

bool grdi_run_begin(grdi_run *run, const char *folder)
{
    *run = (grdi_run){ 0 };
    if (snprintf(run->folder, sizeof run->folder, "%s", folder) < (int)sizeof run->folder)
        return true;
    return grdi_fail(GRD_ERROR_IO, op, "the path is too long: %.60s...", folder);
}

static size_t bytes_of(int64_t room, int64_t width)
{
    return (size_t)room * (size_t)width * sizeof(double);
}

void grdi_run_empty(grdi_run *run)
{
    grdi_free(run->values, bytes_of(run->room, run->width));
    grdi_free(run->names, (size_t)run->width * sizeof *run->names);
    const grdi_run fresh = { 0 };
    memcpy((char *)run + sizeof run->folder, (const char *)&fresh + sizeof run->folder,
           sizeof fresh - sizeof run->folder);
}

void grdi_run_end(grdi_run *run)
{
    grdi_run_empty(run);
}

static bool resize(grdi_run *run, int64_t room, int64_t width)
{
    double *values = grdi_allocate(bytes_of(room, width));
    grdi_run_name *names = grdi_allocate((size_t)width * sizeof *names);
    if (!values || !names) {
        grdi_free(values, bytes_of(room, width));
        grdi_free(names, (size_t)width * sizeof *names);
        return grdi_fail_memory(op, bytes_of(room, width));
    }
    for (int64_t i = 0; i < run->rows; i++)
        memcpy(values + i * width, run->values + i * run->width, bytes_of(1, run->width));
    if (run->names)
        memcpy(names, run->names, (size_t)run->layers * sizeof *names);
    grdi_free(run->values, bytes_of(run->room, run->width));
    grdi_free(run->names, (size_t)run->width * sizeof *run->names);
    run->values = values;
    run->names = names;
    run->room = room;
    run->width = width;
    return true;
}

double *grdi_run_next_row(grdi_run *run)
{
    if (run->rows == run->room &&
        !resize(run, run->room ? 2 * run->room : 1024, run->width ? run->width : 16))
        return NULL;
    double *row = run->values + run->rows * run->width;
    for (int64_t i = 0; i < run->width; i++)
        row[i] = NAN;
    return row;
}

static bool is_named(const grdi_run *run, int64_t layer, const char *name, size_t length)
{
    return strncmp(run->names[layer], name, length) == 0 && !run->names[layer][length];
}

int64_t grdi_run_layer(grdi_run *run, const char *name, size_t length, int64_t expected)
{
    if (expected < run->layers && is_named(run, expected, name, length))
        return GRDI_RUN_LAYERS + expected;
    for (int64_t i = 0; i < run->layers; i++)
        if (is_named(run, i, name, length))
            return GRDI_RUN_LAYERS + i;
    const int64_t column = GRDI_RUN_LAYERS + run->layers;
    if (run->layers == GRDI_RUN_MOST_LAYERS || length >= GRDI_RUN_NAME)
        return 0;
    if (column == run->width) {
        const int64_t before = run->width;
        run->rows++; /* the row that is being filled moves too */
        const bool done = resize(run, run->room, 2 * before);
        for (int64_t i = 0; done && i < run->rows; i++)
            for (int64_t j = before; j < run->width; j++)
                run->values[i * run->width + j] = NAN;
        run->rows--;
        if (!done)
            return 0;
    }
    memcpy(run->names[run->layers], name, length);
    run->names[run->layers++][length] = '\0';
    return column;
}
