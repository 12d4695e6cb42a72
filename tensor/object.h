/* What everything stands on: the thread's state, host memory, counted objects, scopes, failures. */
#ifndef GRDI_OBJECT_H
#define GRDI_OBJECT_H

#include "tensor/pool.h"

#include <gradus/tensor.h>
#include <stdatomic.h>

/* A counted object: the first member of every tensor, storage and graph node (and of modules and
 * generators, which also live in scopes). */
typedef struct grdi_type {
    const char *name;
    void (*destroy)(void *object); /* releases what it refers to and frees it; never fails */
} grdi_type;

typedef struct grdi_object {
    atomic_int references;
    const grdi_type *type;
    grd_scope *_Atomic scope; /* the scope that holds one of the references, or NULL */
    struct grdi_object *next; /* in that scope's list, later in the list of the dead */
} grdi_object;

void grdi_object_init(grdi_object *object, const grdi_type *type); /* with one reference */

static inline void *grdi_retain(void *object) /* NULL gives NULL */
{
    if (object)
        atomic_fetch_add_explicit(&((grdi_object *)object)->references, 1, memory_order_relaxed);
    return object;
}

/* The same for objects that only one thread at a time uses, such as graph nodes: not atomic. */
static inline void *grdi_retain_local(void *object)
{
    atomic_int *references = object ? &((grdi_object *)object)->references : NULL;
    if (references)
        atomic_store_explicit(references,
                              atomic_load_explicit(references, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    return object;
}

/* Destroys an object without references, and what dies by it, in a loop instead of by recursion:
 * so a chain of any length can be released. */
void grdi_bury(grdi_object *object);

static inline void grdi_release(void *object) /* NULL does nothing */
{
    grdi_object *released = object;
    if (!released)
        return;
    /* A sole owner need not pay for an atomic read-modify-write. */
    if (atomic_load_explicit(&released->references, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&released->references, 1, memory_order_acq_rel) == 1)
        grdi_bury(released);
}

static inline void grdi_release_local(void *object)
{
    grdi_object *released = object;
    if (!released)
        return;
    const int references = atomic_load_explicit(&released->references, memory_order_relaxed);
    if (references == 1)
        grdi_bury(released);
    else
        atomic_store_explicit(&released->references, references - 1, memory_order_relaxed);
}

struct grd_backward_step;
struct grd_heads;

/* What holds inside a scope. Inner scopes start with it, and it ends with the scope that set it. */
typedef struct grdi_modes {
    grd_device *device;
    grd_dtype dtype;
    bool no_grad, anomaly, strict_kernels;
    struct grd_trace *trace; /* notes what is recorded (autograd/trace.h); NULL: none is open */
} grdi_modes;

struct grd_scope {
    grd_scope *parent; /* on the thread's stack, or the next of the detached */
    grdi_object *objects;
    grdi_modes modes;
    bool (*watch)(const struct grd_backward_step *step, void *user); /* NULL: none, user is unset */
    void *watch_user;
    grd_tensor *(*on_heads)(const struct grd_heads *heads, void *user); /* the same of heads.h */
    void *heads_user;
    int64_t masked_rows; /* the thread's count when it began */
    bool unwatched;      /* by the watches of the scopes around, one of which is looking just now */
    bool heads_unwatched; /* the same of hooks on heads */
    bool pooled;
};

/* For a scope in the caller's frame, which costs no allocation; its modes may be changed. Ended by
 * grd_scope_end. */
void grdi_scope_open(grd_scope *scope);

grd_device *grdi_default_device(void); /* of a scope inside no other: device.c */

void grdi_scope_empty(grd_scope *scope);   /* releases what it owns */
void grdi_scope_unstack(grd_scope *scope); /* off the thread's stack, ending those inside it */

/* Whether op may make an object: nothing is latched, and a scope is open; or an error is latched.
 */
bool grdi_may_make(const char *op);

bool grdi_scope_is_open(const grd_scope *scope); /* on this thread */

/* Hands the caller's reference to the innermost scope; there must be one. */
void grdi_scope_own(grdi_object *object);

/* Latches a failure, unless one is latched already, and returns NULL. */
void *grdi_fail(grd_status status, const char *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *grdi_fail_memory(const char *op, size_t bytes);
void *grdi_fail_null(const char *op);
void *grdi_fail_nothing(const char *op); /* the same of what is to be read */

/* Appends " (during ...)" to what was latched last. */
void grdi_error_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Gives the latched failure a call site, if it has none. */
void grdi_note_site(const char *file, int line);

/* The last failure, latched or taken. */
typedef struct grdi_error {
    grd_status status;
    const char *op;
    const char *file;
    int line;
    struct grdi_words *words; /* NULL if there was no memory for them: the status speaks */
} grdi_error;

/* Where memory was changed in place, for the walk that minds it. Storages are compared, never read:
 * they may be gone. */
typedef struct grdi_change {
    const void *storage;
    const char *file;
    int line;
    uint32_t version; /* after the change */
} grdi_change;
enum { GRDI_CHANGES = 4 };

/* Gives the last change its call site, if it has none. */
void grdi_place_change(const char *file, int line);

/* The change that gave a storage this version; NULL if it has no call site, or is long past. */
const grdi_change *grdi_find_change(const void *storage, uint32_t version);

/* Small, so that the library can be loaded at run time; never NULL, so that errors can always be
 * recorded. What is big hangs off it. */
typedef struct grdi_thread {
    grd_status latched;
    grd_scope *scope;
    grdi_object *dead;
    bool burying;
    grdi_error error;
    grdi_cache *cache;
    char *warnings;           /* of the last load (nn/load.c), malloc's */
    struct grdi_draws *draws; /* notes which generators are drawn from; NULL: nobody asks */
    uint32_t region;          /* of the graph nodes that are made (autograd/node.h) */
    int64_t masked_rows;      /* queries of attention that saw no key, ever (nn/sdpa.c) */
    grdi_change changing;     /* has no call site yet; storage NULL: there is none */
    grdi_change changed[GRDI_CHANGES]; /* the last ones that have, in a ring */
    unsigned changes;
} grdi_thread;

extern _Thread_local grdi_thread grdi_self
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Host memory, aligned to 64 bytes. NULL when there is none; free takes the size asked for. */
static inline void *grdi_allocate(size_t bytes)
{
    return grdi_take(grdi_self.cache, bytes);
}

static inline void grdi_free(void *block, size_t bytes)
{
    if (block)
        grdi_put(grdi_self.cache, block, bytes);
}

/* The same as grd_scope_end, for a scope in the caller's frame and without asking how it went. */
static inline void grdi_scope_close(grd_scope *scope)
{
    if (grdi_self.scope == scope)
        grdi_self.scope = scope->parent;
    else
        grdi_scope_unstack(scope);
    if (scope->objects)
        grdi_scope_empty(scope);
}

/* As if the scope, which is the caller's, were closed and another opened in its place. */
static inline void grdi_scope_clear(grd_scope *scope)
{
    if (grdi_self.scope != scope) {
        grdi_scope_unstack(scope);
        grdi_self.scope = scope;
    }
    if (scope->objects) {
        grdi_scope_empty(scope);
        scope->objects = NULL;
    }
}

/* The latch holds where work starts, and nowhere else:
 *
 * - an object that is made (grdi_may_make), so every op;
 * - a write in place (grdi_may_write);
 * - a walk, a check of gradients, a read, marking a leaf.
 *
 * Past those a NULL is a failure of this very call. Functions that return a status return the
 * latched one, grdi_self.latched, which is GRD_OK exactly when they did their work. Scopes, counts
 * and freeing never ask. */
static inline bool grdi_latched(void)
{
    return __builtin_expect(grdi_self.latched != GRD_OK, 0);
}

#endif
