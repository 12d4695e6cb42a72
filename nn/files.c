#define _DEFAULT_SOURCE /* realpath, DT_REG */
#include "nn/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

grdi_system grdi_system_calls = {
    .open = system_open,
    .fstat = fstat,
    .read = read,
    .write = write,
    .fchmod = fchmod,
    .fsync = fsync,
    .close = close,
    .rename = rename,
};

/* A temporary of `name` is `.name.NUMBERS.gradus-tmp`, with at most so much of the name. */
#define SUFFIX ".gradus-tmp"
enum { NAME_PART = 200 };

static void bytes_destroy(void *object)
{
    grdi_bytes *bytes = object;
    grdi_free(bytes, sizeof *bytes + bytes->size + 1);
}

static const grdi_type bytes_type = { "bytes", bytes_destroy };

grdi_bytes *grdi_bytes_create(const char *op, size_t size)
{
    if (!grdi_may_make(op))
        return NULL;
    if (size > SIZE_MAX / 2)
        return grdi_fail_memory(op, size);
    grdi_bytes *bytes = grdi_allocate(sizeof *bytes + size + 1);
    if (!bytes)
        return grdi_fail_memory(op, sizeof *bytes + size + 1);
    grdi_object_init(&bytes->object, &bytes_type);
    bytes->size = size;
    bytes->data[size] = '\0';
    grdi_scope_own(&bytes->object);
    return bytes;
}

void *grdi_scratch(const char *op, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    grdi_bytes *scratch = grdi_bytes_create(op, bytes);
    return scratch ? scratch->data : NULL;
}

void *grdi_file_fail(const char *op, const char *path, const char *what)
{
    char reason[128];
    const int code = errno;
    if (strerror_r(code, reason, sizeof reason) != 0)
        snprintf(reason, sizeof reason, "error %d", code);
    return grdi_fail(GRD_ERROR_IO, op, "%s: cannot %s: %s", path, what, reason);
}

ssize_t grdi_file_take(int file, void *data, size_t size)
{
    size_t got = 0;
    while (got < size) {
        const ssize_t n = grdi_system_calls.read(file, (char *)data + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static bool write_fully(int file, const void *data, size_t size)
{
    for (size_t put = 0; put < size;) {
        const ssize_t n = grdi_system_calls.write(file, (const char *)data + put, size - put);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return false;
        put += (size_t)n;
    }
    return true;
}

static bool flush(int file)
{
    int result;
    do
        result = grdi_system_calls.fsync(file);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

/* ---- Reading ---- */

static grdi_bytes *read_open(const char *op, const char *path, int file, size_t limit)
{
    struct stat status;
    if (grdi_system_calls.fstat(file, &status) != 0)
        return grdi_file_fail(op, path, "read");
    if (!S_ISREG(status.st_mode))
        return grdi_fail(GRD_ERROR_IO, op, "%s: not a regular file", path);
    if ((uintmax_t)status.st_size > limit)
        return grdi_fail(GRD_ERROR_IO, op, "%s: %lld bytes are more than the %zu allowed", path,
                         (long long)status.st_size, limit);

    grdi_bytes *bytes = grdi_bytes_create(op, (size_t)status.st_size);
    if (!bytes)
        return NULL;
    char beyond;
    const ssize_t got = grdi_file_take(file, bytes->data, bytes->size);
    const ssize_t more = got < 0 ? -1 : grdi_file_take(file, &beyond, 1);
    if (got < 0 || more < 0)
        return grdi_file_fail(op, path, "read");
    if ((size_t)got != bytes->size || more != 0)
        return grdi_fail(GRD_ERROR_IO, op, "%s: changed its size while it was read", path);
    return bytes;
}

grdi_bytes *grdi_file_read(const char *op, const char *path, size_t limit)
{
    if (!grdi_may_make(op))
        return NULL;
    /* O_NONBLOCK: a pipe without a writer must not hang. */
    const int file = grdi_system_calls.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (file < 0 && errno == ENOENT)
        return grdi_fail(GRD_ERROR_NO_FILE, op, "%s: there is no such file", path);
    if (file < 0)
        return grdi_file_fail(op, path, "open");
    grdi_bytes *bytes = read_open(op, path, file, limit);
    grdi_system_calls.close(file);
    return bytes;
}

/* ---- Writing ---- */

/* A file to be replaced, and its temporary. */
typedef struct replacement {
    const char *op;
    char target[PATH_MAX]; /* links resolved */
    size_t name;           /* where the last part of `target` starts */
    char temporary[PATH_MAX + 64];
    int file, lock; /* two descriptors of the temporary: the lock outlives the close */
} replacement;

static bool resolve(replacement *r, const char *path)
{
    if (!realpath(path, r->target)) {
        if (errno != ENOENT)
            return grdi_file_fail(r->op, path, "write");
        if (strlen(path) >= sizeof r->target)
            return grdi_fail(GRD_ERROR_IO, r->op, "the path is too long: %.60s...", path);
        strcpy(r->target, path);
    }
    const char *slash = strrchr(r->target, '/');
    r->name = slash ? (size_t)(slash + 1 - r->target) : 0;
    if (!r->target[r->name])
        return grdi_fail(GRD_ERROR_IO, r->op, "%s: names no file", path);
    return true;
}

static void folder_of(const replacement *r, char folder[PATH_MAX])
{
    snprintf(folder, PATH_MAX, "%.*s", r->name ? (int)r->name : 1, r->name ? r->target : ".");
}

/* A writer holds a lock on its temporary, so one that can be locked was left by a dead process. */
static void reap_one(const char *temporary)
{
    const int file = open(temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return;
    if (flock(file, LOCK_EX | LOCK_NB) == 0)
        unlink(temporary);
    close(file);
}

static bool is_temporary_of(const char *entry, const char *name)
{
    const size_t whole = strlen(entry), suffix = strlen(SUFFIX);
    const size_t length = strnlen(name, NAME_PART), start = length + 2;
    return whole > start + suffix && entry[0] == '.' && strncmp(entry + 1, name, length) == 0 &&
           entry[length + 1] == '.' &&
           strspn(entry + start, "0123456789-") == whole - start - suffix &&
           strcmp(entry + whole - suffix, SUFFIX) == 0;
}

/* What cannot be removed is left: it harms nothing but the free space. */
static void reap(const replacement *r)
{
    char path[2 * PATH_MAX];
    char name[PATH_MAX];
    folder_of(r, name);
    DIR *folder = opendir(name);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (is_temporary_of(entry->d_name, r->target + r->name)) {
            snprintf(path, sizeof path, "%.*s%s", (int)r->name, r->target, entry->d_name);
            reap_one(path);
        }
    closedir(folder);
}

/* False when another writer of this file took the temporary for a dead one's before it was locked.
 */
static bool lock_temporary(replacement *r)
{
    struct stat status;
    flock(r->file, LOCK_EX);
    r->lock = fcntl(r->file, F_DUPFD_CLOEXEC, 0);
    return fstat(r->file, &status) != 0 || status.st_nlink > 0;
}

static void close_temporary(replacement *r)
{
    if (r->file >= 0)
        grdi_system_calls.close(r->file);
    if (r->lock >= 0)
        close(r->lock);
    r->file = r->lock = -1;
}

static bool open_temporary(replacement *r, mode_t mode)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(r->temporary, sizeof r->temporary, "%.*s.%.*s.%ld-%ld-%d" SUFFIX, (int)r->name,
                 r->target, NAME_PART, r->target + r->name, (long)getpid(), now.tv_nsec, attempt);
        r->file = grdi_system_calls.open(r->temporary,
                                         O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (r->file >= 0 && lock_temporary(r))
            return true;
        if (r->file < 0 && errno != EEXIST)
            break;
        close_temporary(r);
    }
    return grdi_file_fail(r->op, r->target, "create a temporary beside it");
}

/* A replaced file keeps its permissions; a new one gets what the umask leaves. */
static bool create_temporary(replacement *r)
{
    struct stat old;
    const bool replaces = stat(r->target, &old) == 0;
    if (replaces && !S_ISREG(old.st_mode))
        return grdi_fail(GRD_ERROR_IO, r->op, "%s: not a regular file", r->target);
    if (!open_temporary(r, replaces ? 0600 : 0666))
        return false;
    if (replaces && grdi_system_calls.fchmod(r->file, old.st_mode & 0777) != 0)
        return grdi_file_fail(r->op, r->temporary, "set its permissions");
    return true;
}

static bool holds(replacement *r, const void *data, size_t size)
{
    char block[4096];
    if (lseek(r->file, 0, SEEK_SET) != 0)
        return grdi_file_fail(r->op, r->temporary, "read back");
    for (size_t at = 0; at < size; at += sizeof block) {
        const size_t wanted = size - at < sizeof block ? size - at : sizeof block;
        const ssize_t got = grdi_file_take(r->file, block, wanted);
        if (got < 0)
            return grdi_file_fail(r->op, r->temporary, "read back");
        if ((size_t)got != wanted || memcmp(block, (const char *)data + at, wanted) != 0)
            return grdi_fail(GRD_ERROR_IO, r->op, "%s: does not hold what was written to it",
                             r->temporary);
    }
    return true;
}

/* Closed before the rename, since closing may fail too. */
static bool fill(replacement *r, const void *data, size_t size)
{
    if (!write_fully(r->file, data, size))
        return grdi_file_fail(r->op, r->target, "write");
    if (!holds(r, data, size))
        return false;
    if (!flush(r->file))
        return grdi_file_fail(r->op, r->target, "flush");
    const int file = r->file;
    r->file = -1;
    return grdi_system_calls.close(file) == 0 || grdi_file_fail(r->op, r->target, "close");
}

/* The folder is opened before the rename: what can fail does so while the old file is there. */
static bool put_in_place(replacement *r)
{
    char name[PATH_MAX];
    folder_of(r, name);
    const int folder = grdi_system_calls.open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (folder < 0)
        return grdi_file_fail(r->op, r->target, "open its folder");
    const bool renamed = grdi_system_calls.rename(r->temporary, r->target) == 0;
    if (!renamed)
        grdi_file_fail(r->op, r->target, "replace");
    else if (!flush(folder) && errno != EINVAL && errno != ENOTSUP) /* not all systems can */
        grdi_file_fail(r->op, r->target, "flush the folder of");
    grdi_system_calls.close(folder);
    return renamed;
}

bool grdi_file_write(const char *op, const char *path, const void *data, size_t size)
{
    replacement r = { .op = op, .file = -1, .lock = -1 };
    if (grdi_latched() || !resolve(&r, path))
        return false;
    reap(&r);
    const bool created = create_temporary(&r);
    const bool placed = created && fill(&r, data, size) && put_in_place(&r);
    if (r.lock >= 0 && !placed)
        unlink(r.temporary);
    close_temporary(&r);
    return !grdi_latched();
}
