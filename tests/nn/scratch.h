/* A folder of the test's own, under the build's or the system's temporary one. */
#ifndef TESTS_NN_SCRATCH_H
#define TESTS_NN_SCRATCH_H

#include <stddef.h>

void scratch_begin(void); /* for .init */
void scratch_end(void);   /* for .fini: removes it with all files in it */

/* The path of a file in it; eight may be in use at a time. */
const char *scratch_path(const char *name);
void scratch_write(const char *name, const void *data, size_t size);
/* The whole file, at most so many bytes; returns its size, -1 if there is none. */
long scratch_read(const char *name, void *data, size_t size);
int scratch_files(void); /* how many there are, hidden ones too */

#endif
