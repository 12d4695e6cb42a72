/* Archives: a small tree of named values, in memory and as an HDF5 file. A checkpoint is one behind
 * a header (checkpoint.h), a case file is one that another program wrote. */
#ifndef GRDI_ARCHIVE_H
#define GRDI_ARCHIVE_H

#include "nn/files.h"

/* What a name stands for. Array and document are datasets, the others attributes. */
typedef enum grdi_value_kind {
    GRDI_ARRAY,
    GRDI_DOCUMENT, /* text of any length */
    GRDI_INTEGER,
    GRDI_REAL,
    GRDI_TEXT
} grdi_value_kind;

/* Paths have no leading slash: "model/norm.weight". The last part of an attribute's path is its
 * name, the rest the group or dataset that it belongs to: "step" belongs to the root. */
typedef struct grdi_value {
    char *path;
    grdi_value_kind kind;
    grd_dtype dtype; /* of an array */
    grd_shape shape;
    union {
        void *data; /* an array's elements, row by row */
        char *text; /* UTF-8, with a final zero that `bytes` does not count */
        int64_t integer;
        double real;
    };
    size_t bytes; /* of data or text */
} grdi_value;

/* The scope's. Names `file` in messages, `op` in errors; op is static. */
typedef struct grdi_archive {
    grdi_object object;
    const char *op;
    char *file;
    bool variable_text; /* text attributes are encoded with variable length, as h5py likes them */
    grdi_value *values; /* groups are not listed */
    int count, capacity;
} grdi_archive;

grdi_archive *grdi_archive_create(const char *op, const char *file);

/* Put a value under a path that is not taken; false or NULL with an error latched. A group is made
 * when a path needs it; a dataset comes before its attributes. */
bool grdi_put_integer(grdi_archive *archive, const char *path, int64_t integer);
bool grdi_put_real(grdi_archive *archive, const char *path, double real);
bool grdi_put_text(grdi_archive *archive, const char *path, const char *text);
bool grdi_put_document(grdi_archive *archive, const char *path, const char *text, size_t bytes);
/* Text or document of so many bytes, unset if text is NULL. Returns the copy. */
char *grdi_put_chars(grdi_archive *archive, const char *path, grdi_value_kind kind,
                     const char *text, size_t bytes);
/* Returns the elements, unset. */
void *grdi_put_array(grdi_archive *archive, const char *path, grd_dtype dtype,
                     const grd_shape *shape);
/* What they take; false, without an error, when it is more than can be counted. */
bool grdi_array_bytes(const grd_shape *shape, grd_dtype dtype, size_t *bytes);
/* x's elements as they are, whatever its device and strides. */
bool grdi_put_tensor(grdi_archive *archive, const char *path, const grd_tensor *x);

/* Exactly this path and kind, or NULL. */
const grdi_value *grdi_find(const grdi_archive *archive, const char *path, grdi_value_kind kind);
/* The same, and GRD_ERROR_FORMAT when it is missing. */
const grdi_value *grdi_get(const grdi_archive *archive, const char *path, grdi_value_kind kind);

/* A tensor of the scope with the array's elements, on the scope's device. */
grd_tensor *grdi_value_tensor(const grdi_archive *archive, const grdi_value *value);

/* The HDF5 file as bytes of the scope, behind `reserve` unset bytes. The same values in the same
 * order give the same bytes. */
grdi_bytes *grdi_archive_encode(const grdi_archive *archive, size_t reserve);

/* Who wrote the file decides what is accepted. Neither: links other than hard ones, data outside
 * the file, references, names that hold control characters. */
typedef enum grdi_origin {
    /* What grdi_archive_encode writes and nothing else: no filters, no chunks. */
    GRDI_OURS,
    /* As h5py writes them: numbers of any width (integers become i64, small floats f32), bool
     * enums, text of variable length; chunks, deflate, shuffle, fletcher32; up to 1 GiB in all. */
    GRDI_FOREIGN
} grdi_origin;

/* Reads the HDF5 file that starts at image[0]; the scope's. NULL with GRD_ERROR_FORMAT. */
grdi_archive *grdi_archive_decode(const char *op, const char *file, const unsigned char *image,
                                  size_t size, grdi_origin origin);

/* A foreign file read whole; and an archive written as a plain HDF5 file, as grdi_file_write. */
grdi_archive *grdi_archive_read(const char *op, const char *path);
bool grdi_archive_write(const grdi_archive *archive);

#endif
