/* Files: read whole, and replaced whole or not at all. */
#ifndef GRDI_FILES_H
#define GRDI_FILES_H

#include "tensor/tensor.h"
#include <sys/stat.h>
#include <sys/types.h>

/* Bytes of the scope. */
typedef struct grdi_bytes {
    grdi_object object;
    size_t size;
    _Alignas(max_align_t) unsigned char data[];
} grdi_bytes;

grdi_bytes *grdi_bytes_create(const char *op, size_t size);

/* An unset array of the scope. */
void *grdi_scratch(const char *op, size_t count, size_t size);

/* All of a regular file, followed by a zero byte that `size` does not count. NULL with
 * GRD_ERROR_NO_FILE, or GRD_ERROR_IO: anything else, also more than `limit` bytes. A link is
 * followed: what counts is what it leads to. */
grdi_bytes *grdi_file_read(const char *op, const char *path, size_t limit);

/* Replaces the file: a temporary beside it is written, flushed, compared and renamed, and the
 * folder flushed. When false with GRD_ERROR_IO the old file is as it was, unless all that failed
 * was the folder's flush: then the new one is there, whole, but a power failure may undo it.
 * Temporaries of this file that a killed process left are removed. A link is followed. */
bool grdi_file_write(const char *op, const char *path, const void *data, size_t size);

/* ---- For files that are read in another way ---- */

/* Latches what the system said last: "PATH: cannot WHAT: ...". NULL. */
void *grdi_file_fail(const char *op, const char *path, const char *what);
/* Reads up to `size` bytes, fewer only at the file's end; -1 with errno. */
ssize_t grdi_file_take(int file, void *data, size_t size);

/* The calls by which files.c reaches the system; tests put failing ones here. */
typedef struct grdi_system {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*fstat)(int file, struct stat *status);
    ssize_t (*read)(int file, void *data, size_t size);
    ssize_t (*write)(int file, const void *data, size_t size);
    int (*fchmod)(int file, mode_t mode);
    int (*fsync)(int file);
    int (*close)(int file);
    int (*rename)(const char *from, const char *to);
} grdi_system;
extern grdi_system grdi_system_calls;

#endif
