/* A line of metrics.jsonl. */
#include "view/run.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool grdi_run_blame(grdi_run *run, const char *what)
{
    if (run->faults < GRDI_RUN_FAULTS) {
        grdi_run_fault *fault = &run->fault[run->faults];
        fault->line = run->lines;
        snprintf(fault->what, sizeof fault->what, "%s", what);
    }
    run->faults++;
    return false;
}

/* Turns NaN and Infinity, which Python writes and JSON lacks, into empty texts of their length.
 * Whether there were any. */
static bool blank_words(char *line, size_t size)
{
    static const char *const words[] = { "-Infinity", "Infinity", "NaN" };
    bool found = false, quoted = false;
    for (size_t i = 0; i < size; i++) {
        quoted ^= line[i] == '"';
        i += quoted && line[i] == '\\'; /* what follows ends no text */
        for (size_t w = 0; !quoted && w < sizeof words / sizeof words[0]; w++) {
            const size_t length = strlen(words[w]);
            if (size - i < length || memcmp(line + i, words[w], length) != 0)
                continue;
            memset(line + i, ' ', length);
            line[i] = line[i + 1] = '"';
            i += length - 1;
            found = true;
            break;
        }
    }
    return found;
}

static json_t *parse(char *line, size_t size)
{
    json_t *root = json_loadb(line, size, 0, NULL);
    return root || !blank_words(line, size) ? root : json_loadb(line, size, 0, NULL);
}

/* A number, or nothing: null, "" (blanked) or left out. */
static bool number(const json_t *value, double *to)
{
    const bool nothing =
        !value || json_is_null(value) || (json_is_string(value) && !*json_string_value(value));
    *to = nothing ? NAN : json_number_value(value);
    return nothing || json_is_number(value);
}

static bool take_numbers(grdi_run *run, const json_t *root, double *row)
{
    static const char *const keys[] = {
        [GRDI_RUN_TOKENS] = "tokens",       [GRDI_RUN_LOSS] = "loss",
        [GRDI_RUN_VAL_LOSS] = "val_loss",   [GRDI_RUN_LR] = "lr",
        [GRDI_RUN_GRAD_NORM] = "grad_norm", [GRDI_RUN_SPEED] = "tokens_per_second",
    };
    for (int i = GRDI_RUN_TOKENS; i < GRDI_RUN_LAYERS; i++) {
        char what[64];
        if (number(json_object_get(root, keys[i]), &row[i]))
            continue;
        snprintf(what, sizeof what, "%s is not a number", keys[i]);
        return grdi_run_blame(run, what);
    }
    return true;
}

static bool take_layers(grdi_run *run, json_t *norms)
{
    const char *name;
    json_t *value;
    int64_t place = 0;
    if (norms && !json_is_object(norms) && !json_is_null(norms))
        return grdi_run_blame(run, "grad_norms is not an object");
    json_object_foreach(norms, name, value)
    {
        double norm;
        if (!number(value, &norm))
            return grdi_run_blame(run, "a norm in grad_norms is not a number");
        const int64_t column = grdi_run_layer(run, name, strlen(name), place++);
        if (grdi_latched())
            return false;
        if (column)
            run->values[run->rows * run->width + column] = norm;
    }
    return true;
}

/* Fills the next row from a line in any form. False: it is blamed, or out of memory. */
static bool take_line(grdi_run *run, const json_t *root, bool *resumed)
{
    const json_t *step = json_object_get(root, "step");
    const double number = (double)json_integer_value(step);
    if (!root)
        return grdi_run_blame(run, "not JSON");
    if (!json_is_object(root))
        return grdi_run_blame(run, "not a JSON object");
    if (!json_is_integer(step) || number < 0 || number > GRDI_RUN_LAST_STEP)
        return grdi_run_blame(run, "step is not a whole number from 0 to 2^53");
    double *row = grdi_run_next_row(run);
    if (!row || !take_numbers(run, root, row) ||
        !take_layers(run, json_object_get(root, "grad_norms")))
        return false;
    run->values[run->rows * run->width + GRDI_RUN_STEP] = number;
    *resumed = json_is_true(json_object_get(root, "resumed"));
    return true;
}

/* ---- The row that a line gave, among those before ---- */

/* Forgets the rows from its step on: the run was taken back to before it. */
static void go_back(grdi_run *run)
{
    char what[sizeof run->fault->what];
    const size_t bytes = (size_t)run->width * sizeof *run->values;
    const double *row = run->values + run->rows * run->width, step = row[GRDI_RUN_STEP];
    const int64_t rows = run->rows;
    while (run->rows > 0 && grdi_run_value(run, run->rows - 1, GRDI_RUN_STEP) >= step)
        run->rows--;
    while (run->resumes > 0 && run->resumed[run->resumes - 1] >= step)
        run->resumes--;
    if (run->rows == rows)
        return;
    snprintf(what, sizeof what, "goes back to step %.0f, so %lld lines before it were left out",
             step, (long long)(rows - run->rows));
    grdi_run_blame(run, what);
    memmove(run->values + run->rows * run->width, row, bytes);
}

static void note_resume(grdi_run *run, double step)
{
    if (run->resumes == GRDI_RUN_RESUMES)
        memmove(run->resumed, run->resumed + 1, sizeof run->resumed - sizeof run->resumed[0]);
    else
        run->resumes++;
    run->resumed[run->resumes - 1] = step;
}

static void add_row(grdi_run *run, bool resumed)
{
    go_back(run);
    double *row = run->values + run->rows * run->width;
    row[GRDI_RUN_TOKENS] += run->rows ? grdi_run_value(run, run->rows - 1, GRDI_RUN_TOKENS) : 0;
    if (resumed)
        note_resume(run, row[GRDI_RUN_STEP]);
    run->rows++;
}

void grdi_run_line(grdi_run *run, char *line, size_t size)
{
    bool resumed = false;
    run->lines++;
    if (strspn(line, " \t\r") == size)
        return;
    if (strlen(line) == size && grdi_run_quick(run, line, &resumed)) {
        add_row(run, resumed);
        return;
    }
    if (grdi_latched())
        return;
    json_t *root = parse(line, size);
    if (take_line(run, root, &resumed))
        add_row(run, resumed);
    json_decref(root);
}
