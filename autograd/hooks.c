#include "autograd/hooks.h"

void grdi_hooks_free(grdi_hook *hooks)
{
    for (grdi_hook *next; hooks; hooks = next) {
        next = hooks->next;
        grdi_free(hooks, sizeof *hooks);
    }
}

/* The node of a tensor that is to be watched; NULL with an error if it has none. */
static grdi_node *watched(const char *op, const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null(op);
    if (grdi_latched())
        return NULL;
    if (!x->history)
        return grdi_fail(GRD_ERROR_GRAPH, op, "%s does not require grad (grd_require_grad)",
                         grdi_size_text(x).chars);
    return grdi_history(x);
}

grd_status grd_on_gradient(grd_tensor *x, grd_gradient_hook hook, void *user)
{
    grdi_node *node = watched("on_gradient", x);
    if (node && !hook)
        grdi_fail_null("on_gradient");
    if (!node || grdi_latched())
        return grdi_self.latched;
    grdi_hook *added = grdi_allocate(sizeof *added);
    if (!added) {
        grdi_fail_memory("on_gradient", sizeof *added);
        return grdi_self.latched;
    }
    *added = (grdi_hook){ .call = hook, .user = user };
    grdi_hook **last = &node->hooks;
    while (*last)
        last = &(*last)->next;
    *last = added;
    return grdi_self.latched;
}

grd_tensor *grd_retain_grad(grd_tensor *x)
{
    grdi_node *node = watched("retain_grad", x);
    if (!node)
        return NULL;
    node->retains = true;
    return x;
}

/* Whether a hook may put `given` in the place of a gradient of the node. */
static bool fits(const grdi_node *node, const grd_tensor *dy, const grd_tensor *given)
{
    if (!grdi_same_kind("on_gradient", dy, given))
        return false;
    if (!grdi_has_shape(&given->array, &node->shape))
        return grdi_fail(GRD_ERROR_SHAPE, "on_gradient", "the hook gave %s for a gradient of %s",
                         grdi_size_text(given).chars, grdi_shape_text(&node->shape).chars);
    return true;
}

bool grdi_call_hooks(const grdi_node *node, grd_tensor **dy)
{
    for (const grdi_hook *hook = node->hooks; hook; hook = hook->next) {
        grd_tensor *given = hook->call(*dy, hook->user);
        if (grdi_latched() || (given && !fits(node, *dy, given)))
            return false;
        if (!given)
            continue;
        grdi_retain(given);
        grdi_release(*dy);
        *dy = given;
    }
    return true;
}

grd_status grd_on_backward(grd_scope *scope, grd_backward_watch watch, void *user)
{
    if (!scope)
        grdi_fail_null("on_backward");
    else if (!grdi_scope_is_open(scope))
        grdi_fail(GRD_ERROR_SCOPE, "on_backward", "this scope is not open on this thread");
    if (!grdi_latched()) {
        scope->modes.watch = watch;
        scope->modes.watch_user = user;
    }
    return grdi_self.latched;
}

/* What is at hand of the node's inputs: those that it saved. */
static void saved_inputs(grdi_node *node, const grd_tensor *inputs[])
{
    for (int i = 0; i < node->count; i++)
        inputs[i] = i < GRDI_MAX_SAVED ? grdi_saved(node, i) : NULL;
}

bool grdi_show_step(grdi_node *node, int64_t index, int64_t total, const grd_tensor *dy,
                    grd_tensor *const dx[])
{
    const grdi_modes *modes = &grdi_self.scope->modes;
    const grd_tensor *inputs[GRDI_MAX_INPUTS];
    saved_inputs(node, inputs);
    const grd_backward_step step = {
        .op = node->op,
        .file = node->file,
        .line = node->line,
        .index = index,
        .total = total,
        .output = node->saved_mask & GRDI_OUTPUT ? grdi_saved_output(node) : NULL,
        .doutput = dy,
        .inputs = { node->count, inputs },
        .dinputs = { node->count, (const grd_tensor *const *)dx },
    };
    if (!modes->watch(&step, modes->watch_user))
        grdi_fail(GRD_ERROR_STATE, "on_backward", "the watch stopped the walk at step %lld of %lld",
                  (long long)index, (long long)total);
    return !grdi_latched();
}
