/* The walk, for those who start one: backward, grad, and derivatives that walk inside a walk. */
#ifndef GRDI_WALK_H
#define GRDI_WALK_H

#include "autograd/node.h"

/* What a walk knows of a node. Apart from the node, so that a walk may run inside another (from a
 * hook, or to recompute) although both reach the same leaves. */
typedef struct grdi_visit {
    grdi_node *node; /* one reference */
    struct grdi_walk *walk;
    struct grdi_visit *outer; /* the surrounding walk's visit of this node */
    struct grdi_visit *next;  /* all visits of this walk */
    struct grdi_visit *order; /* the ready ones, then the topological order */
    int pending;              /* consumers whose gradient is still to come */
    bool root, target, wanted;
    bool bound;            /* the walk does not go below it */
    grd_tensor *dy;        /* the sum so far; owned */
    grd_tensor *collected; /* a target's or a leaf's result; owned */
} grdi_visit;

typedef struct grdi_walk {
    const char *op; /* whom errors name */
    bool collect_leaves, retain, create;
    grd_list targets; /* whose gradients are collected; all require grad */
    /* The walk that this one runs inside of, to be merged with it: then it collects that one's
     * targets too, and does not go below its own. NULL: it stands alone. */
    const struct grdi_walk *outer;
    int64_t steps, total;
    grdi_visit *visits, **last;
    grdi_visit *order; /* of those that matter, the roots first */
} grdi_walk;

/* Collects the gradients of the sum of roots, each weighed by its gradient (none, or a NULL: 1).
 * The caller leaves the walk, whatever comes of it. */
bool grdi_walk_run(grdi_walk *w, grd_list roots, grd_list gradients);
void grdi_walk_leave(grdi_walk *w);

/* This walk's visit of the node; NULL if it has none. */
grdi_visit *grdi_visit_of(const grdi_walk *w, const grdi_node *node);

/* Leaves `inner` and adds what it collected of leaves and of outer targets to `outer`; the targets
 * of its own stay in gradients[i], owned by the caller, NULL where nothing came. */
bool grdi_walk_merge(grdi_walk *outer, grdi_walk *inner, grd_tensor *gradients[]);

#endif
