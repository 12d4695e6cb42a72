/* What a trace notes while it is open: every recorded op with its inputs, its values and the module
 * that ran, and every walk. A graph that was never traced is noted afterwards, as far as its nodes
 * know; so whoever shows a graph reads a trace. */
#ifndef GRDI_TRACE_H
#define GRDI_TRACE_H

#include "autograd/walk.h"

/* An array that grows; `at` is typed by its use. */
typedef struct grdi_list {
    void *at;
    int64_t count, capacity;
} grdi_list;

/* Where each object stands in a list: open addressing, keys by address. */
typedef struct grdi_places {
    struct grdi_place {
        const void *key; /* NULL: free */
        int64_t index;
    } * at;
    int64_t count, capacity; /* a power of two */
} grdi_places;

/* A tensor of the graph: the result of an op, a leaf, or a constant. */
typedef struct grdi_traced {
    grdi_node *node;                 /* held; NULL: a constant, which only `value` knows */
    grd_tensor *value;               /* held; NULL: not kept */
    uint32_t version;                /* of its storage when it was noted */
    bool expanded;                   /* inputs and what it saved are noted */
    int64_t call;                    /* of a module, where it was recorded; -1: none */
    int64_t name;                    /* of a parameter, in `text`; -1: none */
    int64_t first_input, num_inputs; /* in `inputs` */
    int64_t first_saved, num_saved;  /* in `saved` */
} grdi_traced;

/* What a node keeps for backward. */
typedef struct grdi_traced_saved {
    int input; /* GRDI_SAVED_OUTPUT, or less: an extra one */
    grd_dtype dtype;
    grd_shape shape;
    int64_t bytes;
} grdi_traced_saved;
enum { GRDI_SAVED_OUTPUT = -1, GRDI_SAVED_EXTRA = -2 };

/* A module while it runs. */
typedef struct grdi_traced_call {
    const void *module; /* not held: to be compared only */
    int64_t path, kind; /* in `text`; "" is the path of a module that no other holds */
    int64_t parent;     /* the call around it; -1: none */
    int depth;          /* calls around it */
} grdi_traced_call;

/* Of a walk: a node's gradient is whole (from < 0), or a derivative hands one on. */
typedef struct grdi_traced_event {
    int64_t walk, from, to;
    int input;            /* of `from` */
    grd_tensor *gradient; /* held */
    uint32_t version;
} grdi_traced_event;

struct grd_trace {
    grdi_object object;
    bool open;
    int64_t call;  /* that runs; -1: none */
    int64_t walks; /* begun so far */
    grdi_list items, inputs, saved, calls, events, text;
    grdi_places places; /* of nodes and constants among the items */
};

static inline grdi_traced *grdi_traced_at(const grd_trace *trace, int64_t i)
{
    return (grdi_traced *)trace->items.at + i;
}

static inline int64_t *grdi_traced_inputs(const grd_trace *trace, const grdi_traced *item)
{
    return (int64_t *)trace->inputs.at + item->first_input; /* items, or -1: not kept */
}

static inline grdi_traced_saved *grdi_traced_saved_at(const grd_trace *trace,
                                                      const grdi_traced *item)
{
    return (grdi_traced_saved *)trace->saved.at + item->first_saved;
}

static inline grdi_traced_call *grdi_traced_call_at(const grd_trace *trace, int64_t i)
{
    return (grdi_traced_call *)trace->calls.at + i;
}

static inline grdi_traced_event *grdi_traced_event_at(const grd_trace *trace, int64_t i)
{
    return (grdi_traced_event *)trace->events.at + i;
}

static inline const char *grdi_traced_text(const grd_trace *trace, int64_t at)
{
    return at < 0 ? NULL : (const char *)trace->text.at + at;
}

/* The trace that is open, for which there must be a scope; NULL: none. */
static inline grd_trace *grdi_tracing(void)
{
    return grdi_self.scope->modes.trace;
}

/* Functions that return bool are false, and those that return an item -1, with an error latched. */

/* Notes y, which was just recorded, and the op's inputs: tensors, of which some may be NULL, or,
 * where those are NULL, the node's. */
bool grdi_trace_record(grd_trace *trace, grd_tensor *y, const grd_tensor *const inputs[]);

/* A module starts and ends to run. Its parameters are named by what stands before each, and dot.
 * What `leave` finds left open, by an error, it closes. */
bool grdi_trace_enter(grd_trace *trace, const void *module, const char *path, const char *kind);
void grdi_trace_leave(grd_trace *trace, const void *module);
bool grdi_trace_name(grd_trace *trace, const grd_tensor *parameter, const char *path,
                     const char *name);

/* A node's gradient is whole; one of its derivative's, for input i, is handed on. */
bool grdi_trace_whole(grd_trace *trace, int64_t walk, grdi_node *node, grd_tensor *dy);
bool grdi_trace_hand_on(grd_trace *trace, int64_t walk, grdi_node *node, int i, grd_tensor *dx);

/* The root's item, with all that lies below it noted, which was not if the graph, or a part of it,
 * is older than the trace. GRD_ERROR_GRAPH: that part was freed. */
int64_t grdi_trace_reach(grd_trace *trace, const char *op, const grd_tensor *root);

/* A trace that is never open, of the caller alone: to be released. NULL: out of memory. */
grd_trace *grdi_trace_create(const char *op);

/* ---- trace_lists.c ---- */

/* A zeroed item more, NULL with an error latched; the list's may move. */
void *grdi_list_add(grdi_list *list, size_t item);
void grdi_list_free(grdi_list *list, size_t item);
int64_t grdi_places_find(const grdi_places *places, const void *key); /* -1: it is not there */
bool grdi_places_add(grdi_places *places, const void *key, int64_t index);
void grdi_places_free(grdi_places *places);

#endif
