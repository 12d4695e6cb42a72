/* Watching a walk, at the price of a test of a pointer where nobody watches. */
#ifndef GRDI_HOOKS_H
#define GRDI_HOOKS_H

#include "autograd/walk.h"

typedef struct grdi_hook {
    grd_gradient_hook call;
    void *user;
    struct grdi_hook *next;
} grdi_hook;

void grdi_hooks_free(grdi_hook *hooks);

/* Hands *dy, the whole gradient, to the node's hooks in order; what they put in its place is owned
 * as it was. */
bool grdi_call_hooks(const grdi_node *node, grd_tensor **dy);

/* Whether a scope watches what is walked now. */
bool grdi_is_watched(void);

/* Shows a step, whose gradients are there, to the watches; false, with an error, if one stops the
 * walk. */
bool grdi_show_step(const grdi_walk *w, const grdi_visit *v, const grd_tensor *dy,
                    grd_tensor *const dx[]);

#endif
