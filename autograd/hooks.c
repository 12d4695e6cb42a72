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
        return grdi_fail(GRD_ERROR_GRAPH, op,
                         "%s does not require grad (grd_require_grad, before it is used)",
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
    if (given->array.dtype != dy->array.dtype)
        return grdi_fail(GRD_ERROR_DTYPE, "on_gradient",
                         "the hook gave %s for a gradient of %s (grd_cast it)",
                         grdi_dtype_name(given->array.dtype), grdi_dtype_name(dy->array.dtype));
    if (!grdi_same_kind("on_gradient", dy, given))
        return false;
    if (!grdi_has_shape(&given->array, &node->shape))
        return grdi_fail(GRD_ERROR_SHAPE, "on_gradient",
                         "the hook gave %s for a gradient of %s (NULL leaves it as it is)",
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
        if (grdi_checks_values() && !grdi_check_values("on_gradient", "what the hook gave", given))
            return false;
        if (given->history && !grdi_recording() && !(given = grd_detach(given)))
            return false;
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
        scope->watch = watch;
        scope->watch_user = user;
    }
    return grdi_self.latched;
}

/* The first scope that watches, from this one outwards; NULL: none does. */
static const grd_scope *watching(const grd_scope *scope)
{
    while (scope && !scope->watch && !scope->unwatched)
        scope = scope->parent;
    return scope && scope->watch ? scope : NULL;
}

bool grdi_is_watched(void)
{
    return watching(grdi_self.scope);
}

static bool show(const grd_backward_step *step)
{
    const grd_scope *scope = watching(grdi_self.scope);
    grd_scope inner; /* what a watch walks is not watched */
    grdi_scope_open(&inner);
    inner.modes.no_grad = true;
    inner.unwatched = true;
    bool go_on = true;
    for (; scope && go_on && !grdi_latched(); scope = watching(scope->parent))
        go_on = scope->watch(step, scope->watch_user);
    if (!go_on)
        grdi_fail(GRD_ERROR_STATE, "on_backward", "the watch stopped the walk at step %lld of %lld",
                  (long long)step->index, (long long)step->total);
    return grd_scope_end(&inner) == GRD_OK;
}

static bool show_with(const grdi_walk *w, const grdi_node *node, const grd_tensor *dy,
                      grd_tensor *const dx[], const grd_tensor *inputs[])
{
    for (int i = 0; i < node->count; i++)
        inputs[i] = i < GRDI_MAX_SAVED ? grdi_peek(node, GRDI_INPUT(i)) : NULL;
    return show(&(grd_backward_step){
        .op = node->op,
        .file = node->file,
        .line = node->line,
        .index = w->steps,
        .total = w->total,
        .output = grdi_peek(node, GRDI_OUTPUT),
        .doutput = dy,
        .inputs = { node->count, inputs },
        .dinputs = { node->count, (const grd_tensor *const *)dx },
    });
}

bool grdi_show_step(const grdi_walk *w, const grdi_visit *v, const grd_tensor *dy,
                    grd_tensor *const dx[])
{
    const size_t bytes = (size_t)v->node->count * sizeof(grd_tensor *);
    const grd_tensor **inputs = grdi_allocate(bytes);
    if (!inputs)
        return grdi_fail_memory("on_backward", bytes);
    const bool done = show_with(w, v->node, dy, dx, inputs);
    grdi_free(inputs, bytes);
    return done;
}
