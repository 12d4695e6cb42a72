#include "autograd/walk.h"
#include "tensor/rng.h"

/* Everything that a recomputation needs but its inputs, which the node saves. */
typedef struct recomputation {
    grdi_object object;
    grd_function f;
    void *user;
    int count;
    grdi_draws draws; /* of the first computation */
} recomputation;

static void recomputation_destroy(void *object)
{
    recomputation *r = object;
    grdi_draws_release(&r->draws);
    grdi_free(r, sizeof *r);
}

static const grdi_type recomputation_type = { "recomputation", recomputation_destroy };

/* The inputs again, each cut off from what made it by a node of its own, at which the walk inside
 * stops: a leaf, or, where gradients are recorded, a view that leads to the input. */
static bool copy_inputs(grdi_node *node, int count, grd_tensor *copies[])
{
    for (int i = 0; i < count; i++) {
        grd_tensor *x = grdi_saved_extra(node, i);
        const bool wanted = grdi_wants(node, i);
        if (!x)
            return false;
        if (grdi_recording()) /* what the gradient depends on, wanted or not, must stay connected */
            copies[i] = wanted ? grd_view(x, grd_tensor_shape(x)) : x;
        else
            copies[i] = wanted ? grd_require_grad(grd_detach(x)) : grd_detach(x);
        if (!copies[i])
            return false;
    }
    return true;
}

static grd_tensor *compute_again(recomputation *r, grd_tensor *copies[])
{
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = false;
    grdi_draws_swap(&r->draws);
    grd_tensor *y = r->f((const grd_tensor *const *)copies, r->user);
    grdi_draws_swap(&r->draws);
    return grd_scope_return(&scope, y);
}

/* Walks through y = f(copies) inside the walk that is under way. */
static void walk_inside(grdi_node *node, grd_tensor *const copies[], int count, const grd_tensor *y,
                        const grd_tensor *dy, grd_tensor *dx[])
{
    grdi_walk *outer = node->visit->walk;
    const grd_tensor *targets[GRDI_MAX_INPUTS];
    grd_tensor *gradients[GRDI_MAX_INPUTS];
    grdi_walk inner = { .op = "recompute",
                        .collect_leaves = outer->collect_leaves,
                        .create = outer->create,
                        .retain = outer->create,
                        .targets = { 0, targets },
                        .outer = outer };
    for (int i = 0; i < count; i++)
        if (grdi_wants(node, i))
            targets[inner.targets.count++] = copies[i];
    if (!grdi_walk_run(&inner, GRD_LIST(y), GRD_LIST(dy))) {
        grdi_walk_leave(&inner);
        return;
    }
    grdi_walk_merge(outer, &inner, gradients);
    for (int i = 0, next = 0; i < count; i++) {
        if (!grdi_wants(node, i))
            continue;
        grd_tensor *gradient = gradients[next++];
        if (gradient) {
            dx[i] = grdi_tensor_view("recompute", gradient, &gradient->array);
            if (dx[i])
                dx[i]->history = grdi_retain_local(gradient->history);
            grdi_release(gradient);
        } else {
            dx[i] = grd_zeros_like(copies[i]);
        }
    }
}

/* y = f(x): computed again, now with a graph, and walked. */
static void recompute_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    recomputation *r = (recomputation *)node->call;
    grd_tensor *copies[GRDI_MAX_INPUTS];
    if (!copy_inputs(node, r->count, copies))
        return;
    grd_tensor *y = compute_again(r, copies);
    if (y && !y->history) {
        for (int i = 0; i < r->count; i++)
            dx[i] = grd_zeros_like(copies[i]);
        return;
    }
    if (y)
        walk_inside(node, copies, r->count, y, dy, dx);
}

static const grdi_derivative recompute = {
    .op = "recompute",
    .backward = recompute_backward,
    .captures = true,
};

static recomputation *recomputation_create(grd_function f, void *user, int count)
{
    recomputation *r = grdi_allocate(sizeof *r);
    if (!r)
        return grdi_fail_memory("recompute", sizeof *r);
    grdi_object_init(&r->object, &recomputation_type);
    r->f = f;
    r->user = user;
    r->count = count;
    return r;
}

/* f(inputs) without a graph, as a tensor that no one else holds. */
static grd_tensor *compute(recomputation *r, const grd_tensor *const inputs[])
{
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    grdi_draws_begin(&r->draws);
    grd_tensor *y = r->f(inputs, r->user);
    grdi_draws_end(&r->draws);
    if (!y)
        grdi_fail(GRD_ERROR_ARGUMENT, "recompute", "the function returned NULL");
    else if (r->draws.overflow)
        grdi_fail(GRD_ERROR_ARGUMENT, "recompute",
                  "the function draws from more than %d generators", (int)GRDI_MAX_DRAWS);
    y = y ? grdi_tensor_view("recompute", y, &y->array) : NULL;
    return grd_scope_return(&scope, y);
}

static bool check_inputs(grd_list inputs)
{
    if (inputs.count < 1 || inputs.count > GRDI_MAX_INPUTS)
        return grdi_fail(GRD_ERROR_ARGUMENT, "recompute", "%lld inputs are not in 1..%d",
                         (long long)inputs.count, (int)GRDI_MAX_INPUTS);
    for (int64_t i = 0; i < inputs.count; i++)
        if (!inputs.at[i])
            return grdi_fail_null("recompute");
    return true;
}

grd_tensor *grd_recompute(grd_function f, void *user, grd_list inputs)
{
    if (!f)
        return grdi_fail_null("recompute");
    if (!grdi_may_make("recompute") || !check_inputs(inputs))
        return NULL;
    const int count = (int)inputs.count;
    recomputation *r = recomputation_create(f, user, count);
    if (!r)
        return NULL;
    grd_tensor *y = compute(r, inputs.at);
    y = grdi_record_saving(&recompute, y, inputs.at, count, NULL, inputs.at, count);
    if (y && y->history)
        grdi_history(y)->call = grdi_retain(r);
    grdi_release(r);
    return y;
}
