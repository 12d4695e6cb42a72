/* The walk: lists the nodes below the roots and counts their consumers, orders them, then computes
 * gradients from the roots down. Lists run through the visits: nothing recurses. */
#include "autograd/walk.h"

#include "autograd/hooks.h"
#include "autograd/trace.h"

#include <stdio.h>

static bool fail_freed(const grdi_walk *w, const grdi_node *node)
{
    return grdi_fail(GRD_ERROR_GRAPH, w->op,
                     "the graph was freed by an earlier walk, first of all %s%s (pass "
                     ".retain_graph to that walk, or compute the result again)",
                     node->op, grdi_site_text(node).chars);
}

grdi_visit *grdi_visit_of(const grdi_walk *w, const grdi_node *node)
{
    return node->visit && node->visit->walk == w ? node->visit : NULL;
}

/* Room for one more visit. */
static grdi_visit *new_visit(grdi_walk *w)
{
    enum { ROOM = sizeof w->blocks->at / sizeof w->blocks->at[0] };
    if (!w->blocks || w->blocks->used == ROOM) {
        grdi_visits *block = grdi_allocate(sizeof *block);
        if (!block)
            return grdi_fail_memory(w->op, sizeof *block);
        block->next = w->blocks;
        block->used = 0;
        w->blocks = block;
    }
    return &w->blocks->at[w->blocks->used++];
}

grdi_visit *grdi_walk_visit(grdi_walk *w, grdi_node *node)
{
    grdi_visit *v = grdi_visit_of(w, node);
    if (v)
        return v;
    v = new_visit(w);
    if (!v)
        return NULL;
    *v = (grdi_visit){ .node = grdi_retain_local(node), .walk = w, .outer = node->visit };
    node->visit = v;
    *(w->last ? &w->last->next : &w->visits) = v;
    w->last = v;
    if (w->region && node->region != w->region) {
        v->bound = true;
        w->bounds++;
    }
    return v;
}

/* The visit of a node's input, which there is once `find` is done. */
static grdi_visit *input_visit(const grdi_visit *v, int i)
{
    return v->node->inputs[i] ? v->node->inputs[i]->visit : NULL;
}

bool grdi_wants(const grdi_node *node, int input)
{
    return node->inputs[input] && node->inputs[input]->visit->wanted;
}

/* How many inputs the walk follows. */
static int followed(const grdi_visit *v)
{
    return v->bound ? 0 : v->node->count;
}

/* Visits all nodes below the roots, which are visited already, and counts each one's consumers. */
bool grdi_walk_find(grdi_walk *w)
{
    for (grdi_visit *v = w->visits; v; v = v->next) {
        if (v->node->freed && !v->bound)
            return fail_freed(w, v->node);
        for (int i = 0; i < followed(v); i++) {
            if (!v->node->inputs[i])
                continue;
            grdi_visit *input = grdi_walk_visit(w, v->node->inputs[i]);
            if (!input)
                return false;
            input->pending++;
        }
    }
    return true;
}

static bool is_collected(const grdi_walk *w, const grdi_visit *v)
{
    return v->target || (w->collect_leaves && (!v->node->derivative || v->node->retains));
}

/* The roots without consumers: a root may lie below another. */
static grdi_visit *first_ready(const grdi_walk *w)
{
    grdi_visit *ready = NULL;
    for (grdi_visit *v = w->visits; v && v->root; v = v->next) {
        if (v->pending)
            continue;
        v->order = ready;
        ready = v;
    }
    return ready;
}

/* All visits, such that inputs come before their consumers. */
static grdi_visit *inputs_first(const grdi_walk *w)
{
    grdi_visit *ready = first_ready(w), *sorted = NULL;
    while (ready) {
        grdi_visit *v = ready;
        ready = v->order;
        v->order = sorted;
        sorted = v;
        for (int i = 0; i < followed(v); i++) {
            grdi_visit *input = input_visit(v, i);
            if (input && --input->pending == 0) {
                input->order = ready;
                ready = input;
            }
        }
    }
    return sorted;
}

/* Whether the walk calls a derivative there. */
static bool is_step(const grdi_visit *v)
{
    return v->node->derivative && !v->bound;
}

/* Puts consumers first and drops what no result depends on. */
static void sort(grdi_walk *w)
{
    for (grdi_visit *v = inputs_first(w), *next; v; v = next) {
        next = v->order;
        v->wanted = is_collected(w, v);
        for (int i = 0; i < followed(v) && !v->wanted; i++)
            v->wanted = input_visit(v, i) && input_visit(v, i)->wanted;
        if (v->wanted) {
            v->order = w->order;
            w->order = v;
            w->total += is_step(v);
        }
    }
}

/* Sums dx over the dimensions along which an input of `shape` was broadcast. */
static grd_tensor *undo_broadcast(grd_tensor *dx, const grd_shape *shape)
{
    const grd_shape from = grd_tensor_shape(dx);
    grd_dims dims = { 0 };
    const int64_t added = from.rank - shape->rank;
    for (int64_t d = 0; d < from.rank; d++)
        if (d < added || (added >= 0 && shape->size[d - added] == 1))
            dims.dim[dims.count++] = d;
    dx = dims.count ? grd_sum_dims(dx, dims, GRD_KEEP_DIMS) : dx;
    return added > 0 ? grd_reshape(dx, *shape) : dx;
}

static bool fits(const grd_tensor *dx, const grdi_node *input)
{
    return dx && dx->array.dtype == input->dtype && grdi_has_shape(&dx->array, &input->shape);
}

/* dx as a gradient of input i, or an error: a derivative may return anything by mistake. */
static grd_tensor *fitted(grd_tensor *dx, const grdi_node *node, int i)
{
    const grdi_node *input = node->inputs[i];
    const grd_shape *shape = &input->shape;
    const char *op = node->op;
    if (dx && dx->array.dtype != input->dtype)
        return grdi_fail(GRD_ERROR_GRAPH, op,
                         "its derivative gave %s for input %d, which is %s (grd_cast it)",
                         grdi_dtype_name(dx->array.dtype), i, grdi_dtype_name(input->dtype));
    if (!dx)
        return NULL;
    grd_tensor *fit = undo_broadcast(dx, shape);
    if (!fit || grdi_has_shape(&fit->array, shape))
        return fit;
    return grdi_fail(
        GRD_ERROR_GRAPH, op,
        "its derivative gave %s for input %d, which is %s: a gradient has the shape of its "
        "input",
        grdi_size_text(dx).chars, i, grdi_shape_text(shape).chars);
}

/* Adds dx, which may be the gradient of `from` passed on as it is, to what `to` has so far. */
static bool add_gradient(grdi_visit *to, grd_tensor *dx, grdi_visit *from)
{
    if (dx && to->dy)
        dx = grd_add(to->dy, dx);
    if (!dx)
        return false;
    if (from && dx == from->dy)
        from->dy = NULL;
    else
        grdi_retain(dx);
    grdi_release(to->dy);
    to->dy = dx;
    return true;
}

/* Tells where the latched failure happened. */
static bool fail_at(const grdi_node *node)
{
    const grdi_text site = grdi_site_text(node);
    grdi_error_context(" (in backward of %s%s%s)", node->op, site.chars[0] ? ", called" : "",
                       site.chars);
    return false;
}

/* Fits what the derivative gave for input i, in *dx, to it, and adds it there. */
static bool add_input_gradient(const grdi_walk *w, grdi_visit *v, int i, grd_tensor **dx)
{
    const char *op = v->node->op;
    if (!fits(*dx, v->node->inputs[i]))
        *dx = fitted(*dx, v->node, i);
    if (!*dx)
        return grdi_fail(GRD_ERROR_GRAPH, op, "gradient %d is missing", i);
    if (grdi_checks_values()) {
        char what[40];
        snprintf(what, sizeof what, "the gradient of input %d", i);
        if (!grdi_check_values(op, what, *dx))
            return false;
    }
    if (w->trace && !grdi_trace_hand_on(w->trace, w->traced, v->node, i, *dx))
        return false;
    return add_gradient(input_visit(v, i), *dx, v);
}

static bool add_input_gradients(grdi_walk *w, grdi_visit *v, grd_tensor *dx[])
{
    grdi_node *node = v->node;
    const int count = node->count;
    /* For the watch alone: a derivative may hand it on. */
    grd_tensor *dy = w->watched ? grdi_retain(v->dy) : NULL;
    for (int i = 0; i < count; i++)
        dx[i] = NULL;
    node->derivative->backward(node, v->dy, dx);
    bool done = !node->freed || fail_freed(w, node);
    for (int i = 0; i < count && done; i++)
        if (grdi_wants(node, i))
            done = add_input_gradient(w, v, i, &dx[i]);
        else
            dx[i] = NULL;
    done = done && !grdi_latched() && (!dy || grdi_show_step(w, v, dy, dx));
    grdi_release(dy);
    w->steps++;
    return done || fail_at(node);
}

/* Whether x is all that refers to its memory, so that it may change. */
static bool is_private(const grd_tensor *x)
{
    return atomic_load(&x->object.references) == 1 &&
           atomic_load(&x->storage->object.references) == 1 && grdi_is_contiguous(&x->array);
}

/* Adds the gradient of the only input in place, where that is possible and no one wants to see
 * it. */
static bool add_in_place(grdi_walk *w, grdi_visit *v)
{
    const grdi_derivative *derivative = v->node->derivative;
    if (!derivative->add || w->create || w->watched || w->trace || grdi_checks_values())
        return false;
    const grdi_visit *to = input_visit(v, 0);
    if (!to || !to->wanted || !to->dy || !is_private(to->dy) ||
        !derivative->add(v->node, v->dy, to->dy))
        return false;
    w->steps++;
    return true;
}

static bool call_derivative(grdi_walk *w, grdi_visit *v)
{
    grd_tensor *few[GRDI_MAX_INPUTS];
    if (add_in_place(w, v))
        return true;
    if (v->node->count <= GRDI_MAX_INPUTS)
        return add_input_gradients(w, v, few);
    const size_t bytes = (size_t)v->node->count * sizeof *few;
    grd_tensor **many = grdi_allocate(bytes);
    if (!many)
        return grdi_fail_memory(w->op, bytes);
    const bool done = add_input_gradients(w, v, many);
    grdi_free(many, bytes);
    return done;
}

/* What to do with a node's gradient, which is whole. */
static bool use_gradient(grdi_walk *w, grdi_visit *v)
{
    if (v->node->hooks && !v->bound && !grdi_call_hooks(v->node, &v->dy))
        return fail_at(v->node);
    if (w->trace && !v->bound && !grdi_trace_whole(w->trace, w->traced, v->node, v->dy))
        return false;
    if (is_collected(w, v))
        v->collected = grdi_retain(v->dy);
    if (!is_step(v))
        return true;
    if (v->node->freed) /* by a walk inside this one */
        return fail_freed(w, v->node);
    return call_derivative(w, v);
}

/* In a scope whose objects end with the step. */
static bool step(grdi_walk *w, grdi_visit *v, grd_scope *scope)
{
    const bool done = use_gradient(w, v);
    grdi_scope_clear(scope);
    grdi_release(v->dy);
    v->dy = NULL;
    if (done && !w->retain && is_step(v))
        grdi_node_free_graph(v->node);
    return done;
}

bool grdi_walk_compute(grdi_walk *w)
{
    sort(w);
    w->watched = grdi_is_watched();
    w->trace = grdi_tracing();
    w->traced = w->trace ? w->trace->walks++ : 0;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = !w->create;
    bool done = true;
    for (grdi_visit *v = w->order; v && done; v = v->order)
        done = step(w, v, &scope);
    grdi_scope_close(&scope);
    return done;
}

void grdi_walk_leave(grdi_walk *w)
{
    for (grdi_visit *v = w->visits; v; v = v->next) {
        v->node->visit = v->outer;
        grdi_release(v->dy);
        grdi_release(v->collected);
        grdi_release_local(v->node);
    }
    for (grdi_visits *block = w->blocks, *next; block; block = next) {
        next = block->next;
        grdi_free(block, sizeof *block);
    }
}

grd_tensor *grdi_walk_result(const grdi_walk *w, const grdi_visit *v)
{
    grd_tensor *dx = grdi_tensor_view(w->op, v->collected, &v->collected->array);
    if (dx)
        dx->history = grdi_retain_local(v->collected->history);
    return dx;
}

/* The gradient to start from: `given`, or 1 for a root with one element. */
static const grd_tensor *root_gradient(const char *op, const grd_tensor *root,
                                       const grd_tensor *given)
{
    const grd_shape shape = grdi_array_shape(&root->array);
    const grdi_node *node = grdi_history(root);
    if (!given && grdi_count(&root->array) != 1)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "the root %s, made by %s%s, has %lld elements, not one: pass its "
                         "gradient, or sum it (grd_sum, grd_mean)",
                         grdi_size_text(root).chars, node->op, grdi_site_text(node).chars,
                         (long long)grdi_count(&root->array));
    if (!given)
        return grdi_full(op, &shape, 1, root->array.dtype, grdi_device(root));
    if (given->array.dtype != root->array.dtype)
        return grdi_fail(GRD_ERROR_DTYPE, op, "the root is %s, its gradient %s (grd_cast it)",
                         grdi_dtype_name(root->array.dtype), grdi_dtype_name(given->array.dtype));
    if (!grdi_same_kind(op, root, given))
        return NULL;
    if (!grdi_has_shape(&given->array, &shape))
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "the root is %s, its gradient %s: they should be equal",
                         grdi_size_text(root).chars, grdi_size_text(given).chars);
    return !grdi_checks_values() || grdi_check_values(op, "the root's gradient", given) ? given
                                                                                        : NULL;
}

static bool fail_unrecorded(const grdi_walk *w, const grd_tensor *root)
{
    if (!grdi_is_floating(root->array.dtype))
        return grdi_fail(GRD_ERROR_GRAPH, w->op,
                         "the root %s does not require grad: it is %s, and whole numbers and "
                         "truths have no gradient",
                         grdi_size_text(root).chars, grdi_dtype_name(root->array.dtype));
    return grdi_fail(GRD_ERROR_GRAPH, w->op,
                     "the root %s does not require grad: no input did (grd_require_grad, before "
                     "it is used), it was cut off by grd_detach, or it was made under no-grad",
                     grdi_size_text(root).chars);
}

bool grdi_walk_enter(grdi_walk *w, const grd_tensor *root, const grd_tensor *gradient)
{
    if (!root)
        return grdi_fail_null(w->op);
    if (!root->history)
        return fail_unrecorded(w, root);
    grdi_visit *v = grdi_walk_visit(w, grdi_history(root));
    if (!v)
        return false;
    v->root = true;
    return add_gradient(v, (grd_tensor *)root_gradient(w->op, root, gradient), NULL);
}

static void mark_targets(const grdi_walk *w, grd_list targets)
{
    for (int64_t i = 0; i < targets.count; i++) {
        grdi_visit *v = grdi_visit_of(w, grdi_history(targets.at[i]));
        if (v)
            v->target = true;
    }
}

bool grdi_walk_run(grdi_walk *w, grd_list roots, grd_list gradients, grd_list targets)
{
    if (grdi_latched())
        return false;
    if (gradients.count && gradients.count != roots.count)
        return grdi_fail(GRD_ERROR_ARGUMENT, w->op, "%lld gradients for %lld outputs",
                         (long long)gradients.count, (long long)roots.count);
    for (int64_t i = 0; i < roots.count; i++)
        if (!grdi_walk_enter(w, roots.at[i], gradients.count ? gradients.at[i] : NULL))
            return false;
    if (!grdi_walk_find(w))
        return false;
    mark_targets(w, targets);
    return grdi_walk_compute(w);
}
