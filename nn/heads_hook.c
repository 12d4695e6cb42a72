/* Showing heads to who watches them, at the price of a test of a pointer a scope where nobody
 * does. */
#include "nn/attention.h"
#include <gradus/heads.h>

grd_status grd_on_heads(grd_scope *scope, grd_heads_hook hook, void *user)
{
    if (!scope)
        grdi_fail_null("on_heads");
    else if (!grdi_scope_is_open(scope))
        grdi_fail(GRD_ERROR_SCOPE, "on_heads", "this scope is not open on this thread");
    if (!grdi_latched()) {
        scope->on_heads = hook;
        scope->heads_user = user;
    }
    return grdi_self.latched;
}

/* The first scope that watches, from this one outwards; NULL: none does. */
static const grd_scope *watching(const grd_scope *scope)
{
    while (scope && !scope->on_heads && !scope->heads_unwatched)
        scope = scope->parent;
    return scope && scope->on_heads ? scope : NULL;
}

/* Whether a hook may put `given` in the place of the output. */
static bool fits(const grd_module *self, const grd_tensor *output, const grd_tensor *given)
{
    const grd_shape shape = grd_tensor_shape(output);
    if (!grdi_same_kind("on_heads", output, given))
        return false;
    return grdi_has_shape(&given->array, &shape) ||
           grdi_fail(GRD_ERROR_SHAPE, "on_heads", "%s: the hook gave %s for heads of %s",
                     grdi_module_text(self).chars, grdi_size_text(given).chars,
                     grdi_shape_text(&shape).chars);
}

/* What the scope's hook leaves of the output; NULL with an error latched. */
static grd_tensor *show(const grd_scope *scope, const grd_heads *heads)
{
    grd_scope inner; /* the heads of what a hook runs are not shown */
    grdi_scope_open(&inner);
    inner.heads_unwatched = true;
    grd_tensor *given = scope->on_heads(heads, scope->heads_user);
    if (given && !grdi_latched())
        fits(heads->module, heads->output, given);
    if (!grdi_hand_over(&inner, &given, 1))
        return NULL;
    return given ? given : heads->output;
}

static grd_tensor *show_all(const grd_module *self, grdi_sdpa_call *call, grd_tensor *output)
{
    grd_module *module = (grd_module *)self;
    if (call->packed && !grdi_sdpa_unpack(call, grdi_mha_options(call->op, self)->num_heads))
        return NULL;
    const grd_scope *scope = watching(grdi_self.scope);
    for (; scope && output; scope = watching(scope->parent))
        output = show(scope, &(grd_heads){ .module = module,
                                           .query = (grd_tensor *)call->query,
                                           .key = (grd_tensor *)call->key,
                                           .value = (grd_tensor *)call->value,
                                           .output = output,
                                           .call = call });
    return output;
}

grd_attention grdi_show_heads(const grd_module *self, grdi_sdpa_call *call, grd_attention made)
{
    if (made.output && watching(grdi_self.scope))
        made.output = show_all(self, call, made.output);
    return made;
}

/* ---- For hooks ---- */

/* The call that heads are of, to be repeated; NULL with an error latched. */
static const grdi_sdpa_call *call_of(const char *op, const grd_heads *heads)
{
    if (!heads || !heads->call)
        return grdi_fail_null(op);
    return grdi_may_make(op) ? heads->call : NULL;
}

grd_tensor *grd_heads_weights(const grd_heads *heads)
{
    const grdi_sdpa_call *call = call_of("heads_weights", heads);
    if (!call)
        return NULL;
    const grd_sdpa_options options = { .mask = call->options->mask,
                                       .scale = call->options->scale,
                                       .softcap = call->options->softcap,
                                       .weights = GRD_PER_HEAD };
    const int64_t masked_rows = grdi_self.masked_rows; /* they were counted once */
    grd_scope scope;
    grdi_scope_open(&scope);
    const grd_attention again = grdi_sdpa(&(grdi_sdpa_call){ .op = "heads_weights",
                                                             .options = &options,
                                                             .query = heads->query,
                                                             .key = heads->key,
                                                             .value = heads->value,
                                                             .appended = call->appended });
    grdi_self.masked_rows = masked_rows;
    return grd_scope_return(&scope, again.weights);
}

/* All pairs, each with an element of its own. */
static grd_tensor *pairs_of(grdi_sdpa_call *call, grd_shape scores)
{
    grd_device *device = grdi_device(call->query);
    const grd_tensor *keep = grdi_sdpa_see(call) ? grdi_keep_of(&call->visible, device) : NULL;
    if (grdi_latched())
        return NULL;
    return keep ? grd_clone(grd_expand(keep, scores))
                : grdi_full(call->op, &scores, 1, GRD_BOOL, device);
}

grd_tensor *grd_heads_visible(const grd_heads *heads)
{
    const grdi_sdpa_call *made = call_of("heads_visible", heads);
    if (!made)
        return NULL;
    grdi_sdpa_call call = { .op = "heads_visible",
                            .options = made->options,
                            .query = heads->query,
                            .key = heads->key,
                            .appended = made->appended };
    grd_shape scores = grd_tensor_shape(heads->query);
    scores.size[scores.rank - 1] = grd_tensor_size(heads->key, -2);
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    return grd_scope_return(&scope, pairs_of(&call, scores));
}
