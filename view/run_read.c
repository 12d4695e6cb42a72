/* metrics.jsonl, line by line. */
#include "view/run.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char op[] = "view_run";
enum { CHUNK = 1 << 20 }; /* a line is no longer */

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

static void empty(grdi_run *run)
{
    grdi_free(run->values, bytes_of(run->room, run->width));
    grdi_free(run->names, (size_t)run->width * sizeof *run->names);
    const grdi_run fresh = { 0 };
    memcpy((char *)run + sizeof run->folder, (const char *)&fresh + sizeof run->folder,
           sizeof fresh - sizeof run->folder);
}

void grdi_run_end(grdi_run *run)
{
    empty(run);
}

/* ---- The table ---- */

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

/* The row behind the last, all NaN. NULL: out of memory. */
static double *next_row(grdi_run *run)
{
    if (run->rows == run->room &&
        !resize(run, run->room ? 2 * run->room : 1024, run->width ? run->width : 16))
        return NULL;
    double *row = run->values + run->rows * run->width;
    for (int64_t i = 0; i < run->width; i++)
        row[i] = NAN;
    return row;
}

/* The column of a layer, a new one if need be; 0: there are too many, or no memory. Layers come in
 * the same order in each line, so the one that is expected is looked at first. */
static int64_t column_of(grdi_run *run, const char *name, int64_t expected)
{
    if (expected < run->layers && strcmp(run->names[expected], name) == 0)
        return GRDI_RUN_LAYERS + expected;
    for (int64_t i = 0; i < run->layers; i++)
        if (strcmp(run->names[i], name) == 0)
            return GRDI_RUN_LAYERS + i;
    const int64_t column = GRDI_RUN_LAYERS + run->layers;
    if (run->layers == GRDI_RUN_MOST_LAYERS || strlen(name) >= GRDI_RUN_NAME)
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
    strcpy(run->names[run->layers++], name);
    return column;
}

/* ---- A line ---- */

/* Notes what is wrong with the line that was read last. */
static bool blame(grdi_run *run, const char *what)
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
        quoted ^= line[i] == '"' && (i == 0 || line[i - 1] != '\\');
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
        snprintf(what, sizeof what, "%s is not a number", keys[i]);
        if (!number(json_object_get(root, keys[i]), &row[i]))
            return blame(run, what);
    }
    return true;
}

static bool take_layers(grdi_run *run, json_t *norms)
{
    const char *name;
    json_t *value;
    int64_t place = 0;
    if (norms && !json_is_object(norms) && !json_is_null(norms))
        return blame(run, "grad_norms is not an object");
    json_object_foreach(norms, name, value)
    {
        double norm;
        if (!number(value, &norm))
            return blame(run, "a norm in grad_norms is not a number");
        const int64_t column = column_of(run, name, place++);
        if (grdi_latched())
            return false;
        if (column)
            run->values[run->rows * run->width + column] = norm;
    }
    return true;
}

/* Forgets the rows from this step on: the run was taken back to before it. */
static void go_back(grdi_run *run, double step)
{
    while (run->rows > 0 && grdi_run_value(run, run->rows - 1, GRDI_RUN_STEP) >= step)
        run->rows--;
    while (run->resumes > 0 && run->resumed[run->resumes - 1] >= step)
        run->resumes--;
}

static void note_resume(grdi_run *run, double step)
{
    if (run->resumes == GRDI_RUN_RESUMES)
        memmove(run->resumed, run->resumed + 1, sizeof run->resumed - sizeof run->resumed[0]);
    else
        run->resumes++;
    run->resumed[run->resumes - 1] = step;
}

/* Tokens are counted up from the row before. */
static void count_tokens(grdi_run *run, double *row)
{
    const double before = run->rows ? grdi_run_value(run, run->rows - 1, GRDI_RUN_TOKENS) : 0;
    row[GRDI_RUN_TOKENS] += before;
}

static bool take_line(grdi_run *run, json_t *root)
{
    const json_t *step = json_object_get(root, "step");
    const double number = (double)json_integer_value(step);
    if (!root)
        return blame(run, "not JSON");
    if (!json_is_object(root))
        return blame(run, "not a JSON object");
    if (!json_is_integer(step) || number < 0 || number > 9007199254740992.0)
        return blame(run, "step is not a whole number from 0 to 2^53");
    const bool back = run->rows && number <= grdi_run_value(run, run->rows - 1, GRDI_RUN_STEP);
    double *row = next_row(run);
    if (!row || !take_numbers(run, root, row) ||
        !take_layers(run, json_object_get(root, "grad_norms")))
        return false;
    row = run->values + run->rows * run->width;
    row[GRDI_RUN_STEP] = number;
    if (back) {
        char what[80];
        const int64_t rows = run->rows;
        go_back(run, number);
        snprintf(what, sizeof what, "goes back to step %.0f, so %lld lines before it were left out",
                 number, (long long)(rows - run->rows));
        blame(run, what);
        memmove(run->values + run->rows * run->width, row, bytes_of(1, run->width));
        row = run->values + run->rows * run->width;
    }
    count_tokens(run, row);
    if (json_is_true(json_object_get(root, "resumed")))
        note_resume(run, number);
    run->rows++;
    return true;
}

static void read_line(grdi_run *run, char *line, size_t size)
{
    run->lines++;
    if (strspn(line, " \t\r") == size)
        return;
    json_t *root = parse(line, size);
    take_line(run, root);
    json_decref(root);
}

/* ---- The file ---- */

static void *fail_open(const char *path)
{
    return errno != ENOENT
               ? grdi_file_fail(op, path, "open")
               : grdi_fail(GRD_ERROR_NO_FILE, op,
                           "%s: there is no such file (name a folder of gradus train --out)", path);
}

/* How much of a chunk are whole lines; all of it where a line is longer. */
static size_t whole_part(const char *chunk, size_t size)
{
    size_t whole = size;
    while (whole > 0 && chunk[whole - 1] != '\n')
        whole--;
    return whole == 0 && size == CHUNK ? size : whole;
}

static void take_chunk(grdi_run *run, char *chunk, size_t size)
{
    size_t at = 0;
    for (char *end; !grdi_latched() && (end = memchr(chunk + at, '\n', size - at));
         at = (size_t)(end - chunk) + 1) {
        *end = '\0';
        if (!run->skips)
            read_line(run, chunk + at, (size_t)(end - chunk) - at);
        run->skips = false;
    }
    if (at == size)
        return;
    if (!run->skips) {
        run->lines++;
        blame(run, "longer than a MiB");
    }
    run->skips = true;
}

/* Before the lines are taken, which changes them. */
static void remember(grdi_run *run, const char *chunk, size_t taken)
{
    const size_t all = sizeof run->before, some = taken < all ? taken : all;
    memmove(run->before, run->before + some, all - some);
    memcpy(run->before + all - some, chunk + taken - some, some);
    run->offset += (int64_t)taken;
}

/* The rest, which no newline ends: a line of a process that was killed, or of one that goes on. */
static void take_rest(grdi_run *run, char *rest, size_t size, bool ended)
{
    const int64_t faults = run->faults, lines = run->lines;
    run->cut_off = size > 0 && ended;
    if (size == 0 || !ended || run->skips)
        return;
    rest[size] = '\0';
    read_line(run, rest, size);
    run->cut_off = run->faults > faults;
    if (run->cut_off) {
        run->faults = faults;
        run->lines = lines;
    }
}

static bool read_chunks(grdi_run *run, int file, const char *path, char *chunk, bool ended)
{
    for (ssize_t got = CHUNK; got == CHUNK && !grdi_latched();) {
        if (lseek(file, run->offset, SEEK_SET) < 0 ||
            (got = grdi_file_take(file, chunk, CHUNK)) < 0)
            return grdi_file_fail(op, path, "read");
        const size_t whole = whole_part(chunk, (size_t)got);
        remember(run, chunk, whole);
        take_chunk(run, chunk, whole);
        if (got < CHUNK && !grdi_latched())
            take_rest(run, chunk + whole, (size_t)got - whole, ended);
    }
    return !grdi_latched();
}

/* Whether the file still holds, where we stopped, what it held then: a run that was started anew or
 * went on from a checkpoint has cut it. */
static bool is_same(const grdi_run *run, int file)
{
    char now[sizeof run->before];
    const int64_t some = run->offset < (int64_t)sizeof now ? run->offset : (int64_t)sizeof now;
    if (lseek(file, run->offset - some, SEEK_SET) < 0 ||
        grdi_file_take(file, now, (size_t)some) != some)
        return false;
    return memcmp(now, run->before + sizeof now - some, (size_t)some) == 0;
}

static bool read_file(grdi_run *run, int file, const char *path, bool ended)
{
    struct stat status;
    if (grdi_system_calls.fstat(file, &status) != 0)
        return grdi_file_fail(op, path, "read");
    if (!S_ISREG(status.st_mode))
        return grdi_fail(GRD_ERROR_IO, op, "%s: not a regular file", path);
    if (!is_same(run, file))
        empty(run);
    char *chunk = grdi_allocate(CHUNK + 1);
    if (!chunk)
        return grdi_fail_memory(op, CHUNK + 1);
    const bool done = read_chunks(run, file, path, chunk, ended);
    grdi_free(chunk, CHUNK + 1);
    return done;
}

static int open_metrics(const grdi_run *run, char path[PATH_MAX + 64])
{
    snprintf(path, PATH_MAX + 64, "%s/metrics.jsonl", run->folder);
    return grdi_system_calls.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
}

bool grdi_run_read(grdi_run *run, bool ended)
{
    char path[PATH_MAX + 64];
    if (grdi_latched())
        return false;
    const int file = open_metrics(run, path);
    if (file < 0)
        return fail_open(path);
    const bool done = read_file(run, file, path, ended);
    grdi_system_calls.close(file);
    return done;
}
