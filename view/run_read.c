/* metrics.jsonl, as far as it is there. */
#include "view/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char op[] = "view_run";
enum { CHUNK = 1 << 20 }; /* a line is no longer */

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
            grdi_run_line(run, chunk + at, (size_t)(end - chunk) - at);
        run->skips = false;
    }
    if (at == size)
        return;
    if (!run->skips) {
        run->lines++;
        grdi_run_blame(run, "longer than a MiB");
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
    grdi_run_line(run, rest, size);
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
        grdi_run_empty(run);
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
