/* What encoding and decoding archives share of libhdf5, which is Debian's, serves one thread at a
 * time and shows nowhere else. */
#ifndef GRDI_ARCHIVE_HDF5_H
#define GRDI_ARCHIVE_HDF5_H

#define H5_USE_110_API
#include "nn/archive.h"

#include <hdf5.h>

enum { GRDI_PATH_SIZE = 4608 };

/* What is open, to be closed in one go on every way out. */
typedef struct grdi_ids {
    int count;
    hid_t id[12];
} grdi_ids;

hid_t grdi_keep(grdi_ids *open, hid_t id); /* returns id; a negative one is not kept */
void grdi_close(grdi_ids *open);

/* libhdf5's settings while it is used: it prints nothing and loads no plugins. */
typedef struct grdi_session {
    H5E_auto2_t print;
    void *print_data;
    unsigned plugins;
} grdi_session;

void grdi_session_begin(grdi_session *session);
void grdi_session_end(const grdi_session *session);

/* Access to a file in memory. */
hid_t grdi_memory_access(grdi_ids *open);

/* Types of the caller's to close. */
hid_t grdi_file_type(grd_dtype dtype);
hid_t grdi_memory_type(grd_dtype dtype); /* the same in the machine's byte order */
hid_t grdi_text_type(size_t bytes);

#endif
