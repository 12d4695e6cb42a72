/* f(inputs), computed again where its gradient is needed.
 *
 * f is recorded both times. What it makes is of a region of the graph of its own, and where its
 * graph leaves the region (inputs, parameters, whatever it found by way of user) are the inputs of
 * the one node that takes the graph's place: so a walk sees what f depends on as it sees the inputs
 * of any op. The first graph is only looked at, and gone when f's scope ends. */
#include "autograd/walk.h"
#include "tensor/rng.h"

typedef struct recomputation {
    grdi_object object;
    grd_function f;
    void *user;
    grdi_modes modes; /* under which f was computed first */
    grdi_draws draws; /* and the numbers that it drew */
    int64_t count;
    grdi_saved_tensor inputs[];
} recomputation;

static size_t size_for(int64_t inputs)
{
    return sizeof(recomputation) + (size_t)inputs * sizeof(grdi_saved_tensor);
}

static void recomputation_destroy(void *object)
{
    recomputation *r = object;
    grdi_draws_release(&r->draws);
    for (int64_t i = 0; i < r->count; i++)
        grdi_release(r->inputs[i].tensor);
    grdi_free(r, size_for(r->count));
}

static const grdi_type recomputation_type = { "recomputation", recomputation_destroy };

static recomputation *recomputation_create(grd_function f, void *user, grd_list inputs)
{
    recomputation *r = grdi_allocate(size_for(inputs.count));
    if (!r)
        return grdi_fail_memory("recompute", size_for(inputs.count));
    grdi_object_init(&r->object, &recomputation_type);
    r->f = f;
    r->user = user;
    r->modes = grdi_self.scope->modes;
    r->draws.count = 0;
    r->count = inputs.count;
    for (int64_t i = 0; i < r->count; i++)
        r->inputs[i] = grdi_save(inputs.at[i]);
    return r;
}

/* A number that no other region has. */
static uint32_t new_region(void)
{
    static atomic_uint last;
    const uint32_t region = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return region ? region : new_region();
}

/* f(inputs), made in `region`. */
static grd_tensor *call(const recomputation *r, uint32_t region, const grd_tensor *const inputs[])
{
    const uint32_t around = grdi_self.region;
    grdi_self.region = region;
    grd_tensor *y = r->f(inputs, r->user);
    grdi_self.region = around;
    return y ? y : grdi_fail(GRD_ERROR_ARGUMENT, "recompute", "the function returned NULL");
}

/* Where the walk ended, in the order in which it came there: w->bounds nodes. */
static void list_bounds(const grdi_walk *w, grdi_node *nodes[])
{
    for (const grdi_visit *v = w->visits; v; v = v->next)
        if (v->bound)
            *nodes++ = v->node;
}

/* ---- Backward ---- */

/* f(inputs) again, as it was computed first. */
static grd_tensor *compute_with(const recomputation *r, uint32_t region, const grd_tensor *inputs[])
{
    for (int64_t i = 0; i < r->count; i++)
        if (!(inputs[i] = grdi_unchanged(&r->inputs[i], "recompute", "input", i)))
            return NULL;
    uint64_t now[GRDI_MAX_DRAWS];
    grd_scope scope;
    grdi_scope_open(&scope);
    const grdi_modes now_set = scope.modes;
    scope.modes = r->modes;
    scope.modes.anomaly |= now_set.anomaly;
    scope.modes.trace = now_set.trace;
    grdi_draws_rewind(&r->draws, now);
    grd_tensor *y = call(r, region, inputs);
    grdi_draws_restore(&r->draws, now);
    return grd_scope_return(&scope, y);
}

static grd_tensor *compute_again(const recomputation *r, uint32_t region)
{
    const size_t bytes = (size_t)r->count * sizeof(grd_tensor *);
    const grd_tensor **inputs = r->count ? grdi_allocate(bytes) : NULL;
    if (r->count && !inputs)
        return grdi_fail_memory("recompute", bytes);
    grd_tensor *y = compute_with(r, region, inputs);
    grdi_free(inputs, bytes);
    return y;
}

/* Marks what the walk outside wants of the node's inputs, which must be where this one ended. */
static bool mark_wanted(const grdi_walk *w, const grdi_node *node)
{
    bool same = w->bounds == node->count;
    for (int i = 0; i < node->count && same; i++) {
        grdi_visit *v = grdi_visit_of(w, node->inputs[i]);
        same = v && v->bound;
        if (same)
            v->target = v->outer && v->outer->wanted;
    }
    return same || grdi_fail(GRD_ERROR_GRAPH, "recompute",
                             "the function depends on other tensors than when it was called first");
}

static bool take(const grdi_walk *w, const grdi_node *node, grd_tensor *dx[])
{
    for (int i = 0; i < node->count; i++) {
        const grdi_visit *v = grdi_visit_of(w, node->inputs[i]);
        if (v->collected && !(dx[i] = grdi_walk_result(w, v)))
            return false;
    }
    return true;
}

/* y = f(x): computed again, and walked through. */
static void recompute_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const recomputation *r = (const recomputation *)node->call;
    const bool create = grdi_recording();
    grdi_walk w = { .op = "recompute", .retain = create, .create = create, .region = new_region() };
    const grd_tensor *y = compute_again(r, w.region);
    if (y && grdi_walk_enter(&w, y, dy) && grdi_walk_find(&w) && mark_wanted(&w, node) &&
        grdi_walk_compute(&w))
        take(&w, node, dx);
    grdi_walk_leave(&w);
}

static const grdi_derivative recompute = {
    .op = "recompute",
    .rule = "y = f(x), not kept: f is computed again and walked from dy down",
    .backward = recompute_backward,
};

/* ---- Forward ---- */

/* The values of y with one node for its whole graph, as far as `w` went. */
static grd_tensor *record_bounds(recomputation *r, const grd_tensor *y, const grdi_walk *w)
{
    const size_t bytes = (size_t)w->bounds * sizeof(grdi_node *);
    grdi_node **bounds = grdi_allocate(bytes);
    if (!bounds)
        return grdi_fail_memory("recompute", bytes);
    list_bounds(w, bounds);
    grd_tensor *result = grdi_tensor_view("recompute", y, &y->array);
    if (result)
        result =
            grdi_record_call(&recompute, recompute.op, result, bounds, (int)w->bounds, &r->object);
    grdi_free(bounds, bytes);
    return result;
}

/* y, with a node if it depends on anything outside. */
static grd_tensor *record(recomputation *r, const grd_tensor *y, uint32_t region)
{
    grdi_walk w = { .op = "recompute", .region = region };
    grd_tensor *result = NULL;
    if (!y->history)
        return grdi_tensor_view("recompute", y, &y->array);
    if (grdi_walk_visit(&w, grdi_history(y)) && grdi_walk_find(&w))
        result = w.bounds ? record_bounds(r, y, &w) : grdi_tensor_view("recompute", y, &y->array);
    grdi_walk_leave(&w);
    return result;
}

static grd_tensor *compute(recomputation *r, const grd_tensor *const inputs[])
{
    const uint32_t region = new_region();
    grd_scope scope;
    grdi_scope_open(&scope);
    grdi_draws_begin(&r->draws);
    const grd_tensor *y = call(r, region, inputs);
    grdi_draws_end(&r->draws);
    if (r->draws.overflow)
        grdi_fail(GRD_ERROR_ARGUMENT, "recompute",
                  "the function draws from more than %d generators", (int)GRDI_MAX_DRAWS);
    grd_tensor *result = y && !grdi_latched() ? record(r, y, region) : NULL;
    return grd_scope_return(&scope, result);
}

grd_tensor *grd_recompute(grd_function f, void *user, grd_list inputs)
{
    if (!f || (inputs.count && !inputs.at))
        return grdi_fail_null("recompute");
    if (!grdi_may_make("recompute"))
        return NULL;
    if (inputs.count < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, "recompute", "%lld inputs", (long long)inputs.count);
    for (int64_t i = 0; i < inputs.count; i++)
        if (!inputs.at[i])
            return grdi_fail_null("recompute");
    recomputation *r = recomputation_create(f, user, inputs);
    if (!r)
        return NULL;
    grd_tensor *y = compute(r, inputs.at);
    grdi_release(r);
    return y;
}
