/* A graph as it is shown: boxes and what flows between them, made of a trace. All of it is memory
 * of the scope that it was made in. */
#ifndef GRDI_VIEW_GRAPH_H
#define GRDI_VIEW_GRAPH_H

#include "autograd/trace.h"
#include <gradus/view.h>
#include <jansson.h>
#include <stdio.h>

/* What is known of a tensor's numbers. */
typedef enum grdi_known { GRDI_NOT_COMPUTED, GRDI_CHANGED, GRDI_KNOWN } grdi_known;

/* Of the finite ones; NAN where there is none. */
typedef struct grdi_summary {
    grdi_known known;
    double min, max, mean, norm;
    int64_t not_finite;
} grdi_summary;

typedef enum grdi_box_kind {
    GRDI_BOX_LEAF, /* collects a gradient */
    GRDI_BOX_CONSTANT,
    GRDI_BOX_OP,
    GRDI_BOX_MODULE, /* a call of one, with all that ran in it */
} grdi_box_kind;

typedef struct grdi_box {
    grdi_box_kind kind;
    int64_t item;    /* of the trace; of a module: the one that leaves it */
    int64_t call;    /* a module's own, or where the op was recorded; -1: none */
    int64_t key;     /* the last item in it, by which boxes are ordered */
    int64_t *inputs; /* boxes; -1: not kept by the graph */
    int64_t num_inputs;
    int64_t ops, values; /* of a module: ops, and numbers in parameters, in it */
    int64_t saved_bytes; /* for backward */
    const char *name;    /* safe to show; NULL: none */
    const char *op;      /* "matmul", "leaf", "constant"; the kind of a module */
    const char *module;  /* path, safe to show; NULL: none */
    grd_dtype dtype;
    grd_shape shape;
    const grd_tensor *value, *gradient; /* NULL: not computed, or changed since */
    grdi_summary of_value, of_gradient;
    /* Where it is drawn. */
    double x, y, width, height; /* its left upper corner */
} grdi_box;

typedef struct grdi_graph {
    const char *op; /* whom errors name */
    grd_trace *trace;
    grdi_box *boxes; /* inputs before those that read them */
    int64_t count, root;
    const int64_t *box_of; /* an item's box; -1: it is not below the root */
    int64_t walk;      /* of the trace, the last that started at the root or reached it; -1: none */
    const char *title; /* safe to show */
    double width, height;
} grdi_graph;

/* What the options ask for. False with an error latched. The caller's scope records nothing. */
bool grdi_graph_check(const char *op, const grd_tensor *root, const grd_graph_options *options);
bool grdi_graph_make(grdi_graph *g, const char *op, const grd_tensor *root,
                     const grd_graph_options *options);

bool grdi_summarize(const char *op, const grd_tensor *x, grdi_summary *summary);

/* Says all that the box's item knows; the gradient may be NULL. */
bool grdi_box_describe(const grdi_graph *g, grdi_box *box, const grd_tensor *gradient,
                       uint32_t version);

/* A scope of the caller's frame for such work: it records, traces and watches nothing. */
void grdi_graph_scope(grd_scope *scope);

/* What a text of anyone looks like, cut off after `most` characters (0: whole). NULL: out of
 * memory, latched. */
char *grdi_shown(const char *op, const char *text, size_t most);

/* "12.5 MB" */
grdi_text grdi_bytes_text(int64_t bytes);

/* ---- Layout ---- */

/* An edge's way: through a point in each layer between the boxes. */
typedef struct grdi_way {
    int64_t from, to;
    int input;            /* of `to` */
    const double *points; /* x, y pairs: leaves the one box, enters the other */
    int64_t num_points;
} grdi_way;

typedef struct grdi_layout {
    grdi_way *ways;
    int64_t num_ways;
} grdi_layout;

/* Places boxes, whose sizes are set, in layers: what is read stands above what reads it. Sets the
 * graph's size. GRD_ERROR_ARGUMENT: too large to be drawn. */
bool grdi_graph_layout(grdi_graph *g, grdi_layout *layout);

/* ---- Writing ---- */

/* What stands in a box, and its size. */
enum { GRDI_BOX_LINES = 3 };
typedef struct grdi_box_text {
    char line[GRDI_BOX_LINES][480];
    int count;
} grdi_box_text;
grdi_box_text grdi_box_text_of(const grdi_box *box);
void grdi_box_measure(grdi_box *box);
/* All that is known of a box, in lines: for those who point at it, or hear it. */
void grdi_box_tell(FILE *out, const grdi_graph *g, const grdi_box *box);

grdi_text grdi_saved_text(const grdi_traced_saved *saved); /* "input 0", "output", "extra" */

bool grdi_graph_svg(FILE *out, grdi_graph *g);
bool grdi_graph_dot(FILE *out, grdi_graph *g);
/* NULL: out of memory, not latched. */
json_t *grdi_summary_json(const grdi_summary *s);
json_t *grdi_graph_json(const grdi_graph *g);

#endif
