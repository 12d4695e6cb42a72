/* Watching a walk, at the price of a test of a pointer where nobody watches. */
#ifndef GRDI_HOOKS_H
#define GRDI_HOOKS_H

#include "autograd/node.h"

typedef struct grdi_hook {
    grd_gradient_hook call;
    void *user;
    struct grdi_hook *next;
} grdi_hook;

void grdi_hooks_free(grdi_hook *hooks);

/* Hands *dy, the whole gradient, to the node's hooks in order; what they put in its place is owned
 * as it was. */
bool grdi_call_hooks(const grdi_node *node, grd_tensor **dy);

/* Shows a step to the scope's watch; false, with an error, if that stops the walk. */
bool grdi_show_step(grdi_node *node, int64_t index, int64_t total, const grd_tensor *dy,
                    grd_tensor *const dx[]);

/* anomaly.c: whether the scope wants values checked, and doing it: `what` has a NaN at ... */
static inline bool grdi_checks_values(void)
{
    return grdi_self.scope && grdi_self.scope->modes.anomaly;
}

bool grdi_check_values(const char *op, const char *what, const grd_tensor *x);

#endif
