/* The module tree from inside: for layers, optimizers and checkpoints. */
#ifndef GRDI_MODULE_H
#define GRDI_MODULE_H

#include "tensor/tensor.h"
#include <gradus/nn.h>
#include <stddef.h>

/* ---- Kinds: the library's own modules ---- */

/* What distinguishes a module of the library from one that a user calls by the same name. */
typedef struct grdi_kind {
    const char *name; /* "Linear" */
    size_t data_size;
    grd_module_function forward; /* NULL: it takes more than one input */
} grdi_kind;

/* A module of this kind, its data zeroed, owned by the innermost scope. */
grd_module *grdi_module_create(const grdi_kind *kind);

/* The data of a module that must be of this kind; otherwise an error that names path and kind. */
void *grdi_module_data_of(const char *op, const grd_module *self, const grdi_kind *kind);

/* "blocks.0.linear1 (Linear)", for messages; "Linear" for the root. */
grdi_text grdi_module_text(const grd_module *self);

/* Whether a dropout of probability p in self drops now, and what it then draws from. False with an
 * error latched if p > 0 and nobody said whether self trains, or what it draws from. */
bool grdi_module_drops(const grd_module *self, double p, grd_rng **rng);

/* Whether self and what is below drop, and what from, so that it can be put back: the innermost
 * scope's, to be put back before that ends. Nothing latches while putting back; NULL does nothing.
 */
typedef struct grdi_noted_modes grdi_noted_modes;
grdi_noted_modes *grdi_modes_note(const char *op, grd_module *self);
void grdi_modes_put_back(const grdi_noted_modes *noted);

/* Whether self is `above` or somewhere in it. */
bool grdi_module_is_below(const grd_module *self, const grd_module *above);

/* Where self starts and ends to run, so that a trace knows which ops are its own: a forward that is
 * not grd_forward calls both itself, whatever comes of it. */
void grdi_module_enter(const grd_module *self);
void grdi_module_leave(const grd_module *self);

/* Calls the hooks of self with its output: a forward that is not grd_forward does it itself. */
void grdi_module_call_hooks(grd_module *self, const grd_tensor *y);

/* Takes away the parameters of `old` names and puts new ones in the place of the first; these
 * require grad if it did. False with an error latched, and nothing changed. */
typedef struct grdi_parameters {
    int count;
    const char *const *names;
    grd_tensor *const *values; /* of those put in */
} grdi_parameters;
bool grdi_module_exchange(grd_module *self, const grdi_parameters *old,
                          const grdi_parameters *fresh);

/* ---- State: what a checkpoint stores, and what an optimizer trains ---- */

/* A parameter or buffer under its dotted name. */
typedef struct grdi_state {
    const char *name; /* lives until the tree changes */
    grd_tensor *tensor;
    bool is_buffer;
} grdi_state;

/* Parameters and buffers in the order of torch's state_dict: a module's own parameters, its
 * buffers, then its children's. A tensor that has several names is listed once, under the first.
 * 0, with an error latched, when out of memory. */
int64_t grdi_module_num_states(const grd_module *self);
grdi_state grdi_module_state(const grd_module *self, int64_t i); /* zeros past the end */

/* Whether `name` matches: * stands for any characters, ? for one. */
bool grdi_matches(const char *pattern, const char *name);

/* " (did you mean \"head.weight\"?)", or "" if no candidate is near. */
typedef struct grdi_nearest {
    const char *wanted, *name;
    int distance;
} grdi_nearest;
void grdi_nearest_try(grdi_nearest *nearest, const char *candidate);
grdi_text grdi_nearest_text(const grdi_nearest *nearest);

/* ---- The tree itself: module.c, listing.c ---- */

enum { GRDI_NAME_BYTES = 64, GRDI_MAX_DEPTH = 64 };
enum { GRDI_PATH_BYTES = GRDI_NAME_BYTES * (GRDI_MAX_DEPTH + 1) }; /* and the tensor's */

typedef enum grdi_entry_kind { GRDI_PARAMETER, GRDI_BUFFER, GRDI_CHILD } grdi_entry_kind;

typedef struct grdi_entry {
    char name[GRDI_NAME_BYTES];
    grdi_entry_kind kind;
    union {
        grdi_object *held; /* one reference */
        grd_tensor *tensor;
        grd_module *child;
    };
} grdi_entry;

typedef struct grdi_hook {
    grd_forward_hook call;
    void *user;
} grdi_hook;

/* An array that grows; items is typed by its use. */
typedef struct grdi_items {
    void *items;
    int64_t count, capacity;
} grdi_items;

typedef struct grdi_listing grdi_listing;

typedef enum grdi_mode { GRDI_MODE_UNSAID, GRDI_TRAINING, GRDI_EVALUATING } grdi_mode;

struct grd_module {
    grdi_object object;
    const grdi_kind *kind; /* NULL: a user's */
    char kind_name[GRDI_NAME_BYTES];
    grd_module_function forward;
    grdi_items entries; /* grdi_entry, in the order added */
    grdi_items parents; /* grd_module *, not held: for paths, and to say that the tree changed */
    grdi_items hooks;   /* grdi_hook */
    grdi_mode mode;
    grd_rng *rng;                  /* held */
    grdi_listing *_Atomic listing; /* NULL: to be made */
    size_t bytes;                  /* of the block */
    _Alignas(max_align_t) char data[];
};

static inline grdi_entry *grdi_entry_at(const grd_module *self, int64_t i)
{
    return (grdi_entry *)self->entries.items + i;
}

void grdi_listing_free(grdi_listing *listing);

#endif
