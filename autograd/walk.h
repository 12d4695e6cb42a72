/* The walk, for those who start one: backward, grad, and derivatives that walk inside a walk. */
#ifndef GRDI_WALK_H
#define GRDI_WALK_H

#include "autograd/node.h"

/* What a walk knows of a node. Apart from the node, so that a walk may run inside another (from a
 * hook, or to recompute) although both reach the same nodes. */
typedef struct grdi_visit {
    grdi_node *node; /* one reference */
    struct grdi_walk *walk;
    struct grdi_visit *outer; /* the surrounding walk's visit of this node */
    struct grdi_visit *next;  /* all visits of this walk */
    struct grdi_visit *order; /* the ready ones, then the topological order */
    int pending;              /* consumers whose gradient is still to come */
    bool root, target, wanted;
    bool bound;            /* outside the walk's region: it does not go below */
    grd_tensor *dy;        /* the sum so far; owned */
    grd_tensor *collected; /* a target's or a leaf's result; owned */
} grdi_visit;

/* Where they are made, a block of memory for several. */
typedef struct grdi_visits {
    struct grdi_visits *next;
    int used;
    grdi_visit at[31];
} grdi_visits;

typedef struct grdi_walk {
    const char *op; /* whom errors name */
    bool collect_leaves, retain, create, watched;
    uint32_t region; /* the walk ends where nodes are of another; 0: it goes on to the leaves */
    int64_t bounds;  /* nodes where it ends so */
    int64_t steps, total;
    struct grd_trace *trace; /* notes the walk as number `traced`; NULL: none does */
    int64_t traced;
    grdi_visit *visits, *last;
    grdi_visits *blocks; /* that hold them */
    grdi_visit *order;   /* of those that matter, the roots first */
} grdi_walk;

/* Collects the gradients of targets, all of which require grad, of the sum of roots, each weighed
 * by its gradient (none, or a NULL: 1). The caller leaves the walk, whatever comes of it. */
bool grdi_walk_run(grdi_walk *w, grd_list roots, grd_list gradients, grd_list targets);
void grdi_walk_leave(grdi_walk *w);

/* The same in steps: enter or visit every root, find what lies below, mark targets, compute. */
bool grdi_walk_enter(grdi_walk *w, const grd_tensor *root, const grd_tensor *gradient);
grdi_visit *grdi_walk_visit(grdi_walk *w, grdi_node *node); /* NULL when out of memory */
bool grdi_walk_find(grdi_walk *w);
bool grdi_walk_compute(grdi_walk *w);

/* This walk's visit of the node; NULL if it has none. */
grdi_visit *grdi_visit_of(const grdi_walk *w, const grdi_node *node);

/* What was collected, as a tensor of the innermost scope, with its history. */
grd_tensor *grdi_walk_result(const grdi_walk *w, const grdi_visit *v);

#endif
