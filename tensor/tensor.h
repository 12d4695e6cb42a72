/* The tensor, and what its front ends share. */
#ifndef GRDI_TENSOR_H
#define GRDI_TENSOR_H

#include "tensor/backend.h"
#include "tensor/object.h"
#include <gradus/ops.h>

/* A device's memory, shared by all views of it. */
typedef struct grdi_storage {
    grdi_object object;
    grd_device *device;
    void *data; /* NULL when bytes == 0 */
    size_t bytes;
    uint32_t version;   /* counts writes in place */
    const char *writer; /* the op of the last one */
} grdi_storage;

struct grd_tensor {
    grdi_object object;
    atomic_int keeps; /* by the user: each is one reference */
    grdi_storage *storage;
    char *name;           /* for messages; NULL: it has none */
    grdi_object *history; /* how it was computed, for whoever needs that; NULL: no one does */
    grdi_array array;
};

/* A tensor with fresh, unset memory, owned by the innermost scope. */
grd_tensor *grdi_tensor_create(const char *op, const grd_shape *shape, grd_dtype dtype,
                               grd_device *device);

/* The same in the shape of x, which is contiguous, on its device; dtype is no wider than x's. */
grd_tensor *grdi_tensor_like(const char *op, const grd_tensor *x, grd_dtype dtype);

/* A tensor on x's storage, owned by the innermost scope; `array` describes its elements. */
grd_tensor *grdi_tensor_view(const char *op, const grd_tensor *x, const grdi_array *array);

/* The same, owned by the caller alone. */
grd_tensor *grdi_tensor_alias(const char *op, const grd_tensor *x, const grdi_array *array);

static inline grd_device *grdi_device(const grd_tensor *x)
{
    return x->storage->device;
}

/* The same of x's shape, on x's device, if x is of one of these kinds (below): the result of an op
 * of x alone. `arrays` gets it and x, merged. */
grd_tensor *grdi_tensor_beside(const char *op, const grd_tensor *x, unsigned kinds, grd_dtype dtype,
                               grdi_array arrays[2]);

/* The same for a and b, of one dtype and device, and of the shape that they broadcast to. */
grd_tensor *grdi_tensor_between(const char *op, const grd_tensor *a, const grd_tensor *b,
                                unsigned kinds, grd_dtype dtype, grdi_array arrays[3]);

/* A tensor filled with `value`, whatever the scope's dtype and device. */
grd_tensor *grdi_full(const char *op, const grd_shape *shape, double value, grd_dtype dtype,
                      grd_device *device);

/* Whether op may change x in place; counts the change. False with an error latched. */
bool grdi_may_write(const char *op, grd_tensor *x);

/* Runs a kernel: GRDI_LAUNCH(device, softmax, dtype, (device, &y, &x)) is its status, and a
 * failure is latched as the op's; the other for an op that is not called as its kernel is. */
#define GRDI_LAUNCH(device, kernel, dtype, arguments)                                              \
    GRDI_LAUNCH_FOR(#kernel, device, kernel, dtype, arguments)
#define GRDI_LAUNCH_FOR(op, device, kernel, dtype, arguments)                                      \
    grdi_launched((device)->kernels->kernel ? (device)->kernels->kernel arguments                  \
                                            : GRD_ERROR_UNSUPPORTED,                               \
                  op, dtype, device)
grd_status grdi_launched(grd_status status, const char *op, grd_dtype dtype,
                         const grd_device *device);

/* What an op will say of an element of x, once its text is written; and whether the kernel refused
 * none: else that is latched. */
grdi_refusal grdi_refusal_of(const char *op, grd_status status, const grd_tensor *x);
bool grdi_none_refused(const grdi_refusal *refused);

/* Whole ops, of the dtype of their inputs, for kernels that need nothing else. */
typedef grd_status grdi_unary_kernel(grd_device *, const grdi_array *, const grdi_array *);
typedef grd_status grdi_binary_kernel(grd_device *, const grdi_array *, const grdi_array *,
                                      const grdi_array *);
grd_tensor *grdi_unary(const char *op, grdi_unary_kernel *kernel, unsigned kinds,
                       const grd_tensor *x);
grd_tensor *grdi_binary(const char *op, grdi_binary_kernel *kernel, unsigned kinds,
                        const grd_tensor *a, const grd_tensor *b);

/* shape.c: descriptions of arrays. Functions that return false or NULL have latched the error. */

typedef struct grdi_text {
    char chars[256]; /* eight sizes of 20 characters fit */
} grdi_text;

const char *grdi_dtype_name(grd_dtype dtype);
size_t grdi_dtype_size(grd_dtype dtype);
grdi_text grdi_shape_text(const grd_shape *shape);
grdi_text grdi_size_text(const grd_tensor *x); /* "[4, 8]", "weight [4, 8]" if it has a name */

grd_shape grdi_array_shape(const grdi_array *x);
int64_t grdi_count(const grdi_array *x);
bool grdi_shape_equal(const grd_shape *a, const grd_shape *b);
bool grdi_has_shape(const grdi_array *x, const grd_shape *shape);
bool grdi_is_contiguous(const grdi_array *x);

/* Whether a dimension repeats its elements: writes through it would collide. */
bool grdi_overlaps(const grdi_array *x);

/* Checks rank and sizes and gives the element and byte count, which fit 63 bits. */
bool grdi_shape_bytes(const char *op, const grd_shape *shape, grd_dtype dtype, size_t *bytes);

/* A contiguous array of this shape, without data. */
void grdi_array_init(grdi_array *x, const grd_shape *shape, grd_dtype dtype);

/* Maps -rank..rank-1 to 0..rank-1. */
bool grdi_resolve_dim(const char *op, const grd_tensor *x, int64_t dim, int *resolved);

/* The same for a dimension to be added: maps -rank - 1..rank to 0..rank. */
bool grdi_resolve_new_dim(const char *op, const grd_tensor *x, int64_t dim, int *resolved);

/* The same as a set of bits; no dims at all mean every dimension. */
bool grdi_dim_bits(const char *op, const grd_tensor *x, const grd_dims *dims, unsigned *bits);

/* Whether `value` is whole, for an i64, or 0 or 1, for a bool; other dtypes round it. */
bool grdi_fits(const char *op, double value, grd_dtype dtype);

/* Kinds of dtypes, as a set of bits. */
enum { GRDI_FLOATS = 1, GRDI_INTEGERS = 2, GRDI_BOOLS = 4, GRDI_NUMBERS = 3, GRDI_ANY = 7 };

bool grdi_is_floating(grd_dtype dtype);
grd_dtype grdi_summed_in(grd_dtype dtype); /* f32 for f16 and bf16, any other itself */

/* Whether x, which the op calls `name`, is of one of these kinds. */
bool grdi_has_kind(const char *op, const char *name, const grd_tensor *x, unsigned kinds);

bool grdi_same_kind(const char *op, const grd_tensor *a, const grd_tensor *b); /* dtype, device */

/* The common shape of the first `ranks` dimensions; false without an error if there is none. */
bool grdi_broadcast(grd_shape *shape, const grd_shape *other);

/* x with stride 0 where it is stretched to `shape`, which it must broadcast to. */
grdi_array grdi_array_expand(const grdi_array *x, const grd_shape *shape);

void grdi_drop_dim(grdi_array *x, int dim);

/* x with dimension `dim` moved to the end. */
grdi_array grdi_with_dim_last(const grdi_array *x, int dim);

/* Merges dimensions that are adjacent in all `count` arrays (of the same sizes), for long loops. */
void grdi_merge(grdi_array arrays[], int count);

/* The same for all but the last dimension, which is a row; at most GRDI_MAX_MERGED arrays. */
enum { GRDI_MAX_MERGED = 4 };
void grdi_merge_rows(grdi_array arrays[], int count);

#endif
