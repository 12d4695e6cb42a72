/* Which boxes a graph is drawn as: one for each op, leaf and constant, or one for a module and all
 * that ran in it. */
#include "nn/files.h"
#include "view/graph.h"

#include <stdlib.h>
#include <string.h>

/* What is known of each item while boxes are made. */
typedef struct making {
    grdi_graph *g;
    const grd_trace *trace;
    int64_t root, collapse;
    bool *reached;
    int64_t *box;     /* that the item is in; -1: none yet */
    int64_t *user;    /* of a leaf: the call that all who read it are in; NOBODY: not read yet */
    int64_t *next;    /* item in the same box */
    int64_t *of_call; /* a call's box */
    int64_t *first;   /* item of a box */
} making;
enum { NOBODY = -2 };

static int64_t *indices(const char *op, int64_t count, int64_t value)
{
    int64_t *all = grdi_scratch(op, (size_t)count + 1, sizeof *all);
    for (int64_t i = 0; all && i < count; i++)
        all[i] = value;
    return all;
}

/* The call, around this item, that is drawn as one box; -1: none is. */
static int64_t drawn_call(const making *m, int64_t item)
{
    int64_t call = grdi_traced_at(m->trace, item)->call;
    if (m->collapse <= 0)
        return -1;
    while (call >= 0 && grdi_traced_call_at(m->trace, call)->depth >= m->collapse)
        call = grdi_traced_call_at(m->trace, call)->parent;
    return call >= 0 && grdi_traced_call_at(m->trace, call)->depth == m->collapse - 1 ? call : -1;
}

/* Marks what lies below the root. */
static bool reach(making *m)
{
    int64_t *open = indices(m->g->op, m->trace->items.count, -1), count = 0;
    if (!open)
        return false;
    open[count++] = m->root;
    m->reached[m->root] = true;
    while (count > 0) {
        const grdi_traced *item = grdi_traced_at(m->trace, open[--count]);
        for (int64_t i = 0; i < item->num_inputs; i++) {
            const int64_t input = grdi_traced_inputs(m->trace, item)[i];
            if (input < 0 || m->reached[input])
                continue;
            m->reached[input] = true;
            open[count++] = input;
        }
    }
    return true;
}

static void note_users(making *m)
{
    for (int64_t i = 0; i < m->trace->items.count; i++) {
        const grdi_traced *item = grdi_traced_at(m->trace, i);
        for (int64_t j = 0; j < item->num_inputs && m->reached[i]; j++) {
            const int64_t input = grdi_traced_inputs(m->trace, item)[j];
            if (input >= 0)
                m->user[input] = m->user[input] == NOBODY || m->user[input] == drawn_call(m, i)
                                     ? drawn_call(m, i)
                                     : -1;
        }
    }
}

/* A module's own parameter is drawn within it. */
static bool is_inside(const making *m, int64_t i)
{
    return grdi_traced_at(m->trace, i)->name >= 0 && m->user[i] >= 0;
}

static grdi_box *new_box(making *m, grdi_box_kind kind, int64_t item)
{
    grdi_box *box = &m->g->boxes[m->g->count];
    *box = (grdi_box){ .kind = kind, .item = item, .key = item, .call = -1 };
    m->first[m->g->count++] = -1;
    return box;
}

static int64_t box_of_call(making *m, int64_t call, int64_t item)
{
    if (m->of_call[call] < 0) {
        m->of_call[call] = m->g->count;
        new_box(m, GRDI_BOX_MODULE, item)->call = call;
    }
    return m->of_call[call];
}

static int64_t box_of_item(making *m, int64_t i)
{
    const grdi_traced *item = grdi_traced_at(m->trace, i);
    const grdi_box_kind kind = !item->node              ? GRDI_BOX_CONSTANT
                               : item->node->derivative ? GRDI_BOX_OP
                                                        : GRDI_BOX_LEAF;
    const int64_t call = kind == GRDI_BOX_OP ? drawn_call(m, i) : is_inside(m, i) ? m->user[i] : -1;
    if (call >= 0)
        return box_of_call(m, call, i);
    new_box(m, kind, i)->call = item->call;
    return m->g->count - 1;
}

/* From the last item to the first, so that a box lists its items in order. */
static void fill_boxes(making *m)
{
    for (int64_t i = m->trace->items.count - 1; i >= 0; i--) {
        if (!m->reached[i])
            continue;
        const int64_t b = m->box[i] = box_of_item(m, i);
        m->next[i] = m->first[b];
        m->first[b] = i;
    }
}

/* The item by which a module is left: the last that another box reads, or the root; unless there is
 * one, the last in it. */
static bool find_ways_out(making *m)
{
    int64_t *out = indices(m->g->op, m->g->count, -1);
    if (!out)
        return false;
    for (int64_t i = 0; i < m->trace->items.count; i++) {
        const grdi_traced *item = grdi_traced_at(m->trace, i);
        for (int64_t j = 0; j < item->num_inputs && m->reached[i]; j++) {
            const int64_t input = grdi_traced_inputs(m->trace, item)[j];
            if (input >= 0 && m->box[input] != m->box[i] && input > out[m->box[input]])
                out[m->box[input]] = input;
        }
    }
    out[m->box[m->root]] = m->root;
    for (int64_t b = 0; b < m->g->count; b++)
        if (out[b] >= 0)
            m->g->boxes[b].item = out[b];
    return true;
}

/* ---- What flows between them ---- */

static bool has(const int64_t *list, int64_t count, int64_t wanted)
{
    for (int64_t i = 0; i < count; i++)
        if (list[i] == wanted)
            return true;
    return false;
}

/* The boxes that a box reads: an op's in order, even twice; a module's once. */
static int64_t list_inputs(const making *m, int64_t b, int64_t *to)
{
    const bool module = m->g->boxes[b].kind == GRDI_BOX_MODULE;
    int64_t count = 0;
    for (int64_t i = m->first[b]; i >= 0; i = m->next[i]) {
        const grdi_traced *item = grdi_traced_at(m->trace, i);
        for (int64_t j = 0; j < item->num_inputs; j++) {
            const int64_t input = grdi_traced_inputs(m->trace, item)[j];
            const int64_t from = input < 0 ? -1 : m->box[input];
            if (!module || (from >= 0 && from != b && !has(to, count, from)))
                to[count++] = from;
        }
    }
    return count;
}

static void count_members(const making *m, int64_t b)
{
    grdi_box *box = &m->g->boxes[b];
    for (int64_t i = m->first[b]; i >= 0; i = m->next[i]) {
        const grdi_traced *item = grdi_traced_at(m->trace, i);
        const bool is_op = item->node && item->node->derivative;
        box->ops += is_op;
        if (box->kind == GRDI_BOX_MODULE && !is_op && item->value)
            box->values += grdi_count(&item->value->array);
        for (int64_t s = 0; s < item->num_saved; s++)
            box->saved_bytes += grdi_traced_saved_at(m->trace, item)[s].bytes;
        if (i > box->key)
            box->key = i;
    }
}

static bool connect(making *m)
{
    int64_t *inputs = indices(m->g->op, m->trace->inputs.count, -1);
    if (!inputs)
        return false;
    for (int64_t b = 0; b < m->g->count; b++) {
        grdi_box *box = &m->g->boxes[b];
        box->inputs = inputs;
        box->num_inputs = list_inputs(m, b, inputs);
        inputs += box->num_inputs;
        count_members(m, b);
    }
    return true;
}

/* ---- Their order ---- */

/* A place in a list of boxes below which all are listed. */
typedef struct visit {
    int64_t box, next; /* input to be looked at */
} visit;

/* Boxes below the root, inputs first; how many. */
static int64_t list_below(const grdi_graph *g, int64_t root, visit *stack, bool *seen,
                          int64_t *order)
{
    int64_t depth = 1, count = 0;
    stack[0] = (visit){ root, 0 };
    seen[root] = true;
    while (depth > 0) {
        visit *top = &stack[depth - 1];
        const grdi_box *box = &g->boxes[top->box];
        if (top->next == box->num_inputs) {
            order[count++] = top->box;
            depth--;
            continue;
        }
        const int64_t input = box->inputs[top->next++];
        if (input < 0 || seen[input])
            continue;
        seen[input] = true;
        stack[depth++] = (visit){ input, 0 };
    }
    return count;
}

/* Whether each box was recorded after all that it reads. */
static bool is_recorded(const grdi_graph *g)
{
    for (int64_t b = 0; b < g->count; b++)
        for (int64_t i = 0; i < g->boxes[b].num_inputs; i++) {
            const int64_t input = g->boxes[b].inputs[i];
            if (input >= 0 && g->boxes[input].key >= g->boxes[b].key)
                return false;
        }
    return true;
}

/* A box, and what it is sorted by. */
typedef struct ranked {
    int64_t key, box;
} ranked;

static int by_key(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/* Boxes in the order in which they were recorded, if they were; else inputs first. */
static ranked *rank(const grdi_graph *g, int64_t root)
{
    const size_t count = (size_t)g->count;
    visit *stack = grdi_scratch(g->op, count, sizeof *stack);
    bool *seen = grdi_scratch(g->op, count, sizeof *seen);
    int64_t *order = indices(g->op, g->count, -1);
    ranked *all = grdi_scratch(g->op, count, sizeof *all);
    if (!stack || !seen || !order || !all)
        return NULL;
    memset(seen, 0, count * sizeof *seen);
    list_below(g, root, stack, seen, order);
    const bool recorded = is_recorded(g);
    for (int64_t i = 0; i < g->count; i++)
        all[i] = (ranked){ recorded ? g->boxes[order[i]].key : i, order[i] };
    qsort(all, count, sizeof *all, by_key);
    return all;
}

static bool sort(making *m)
{
    grdi_graph *g = m->g;
    const ranked *all = rank(g, m->box[m->root]);
    int64_t *place = indices(g->op, g->count, -1);
    grdi_box *sorted = grdi_scratch(g->op, (size_t)g->count, sizeof *sorted);
    if (!all || !place || !sorted)
        return false;
    for (int64_t i = 0; i < g->count; i++) {
        sorted[i] = g->boxes[all[i].box];
        place[all[i].box] = i;
    }
    for (int64_t i = 0; i < g->count; i++)
        for (int64_t j = 0; j < sorted[i].num_inputs; j++) {
            int64_t *input = &sorted[i].inputs[j];
            *input = *input < 0 ? -1 : place[*input];
        }
    for (int64_t i = 0; i < m->trace->items.count; i++)
        m->box[i] = m->box[i] < 0 ? -1 : place[m->box[i]];
    g->root = m->box[m->root];
    g->box_of = m->box;
    g->boxes = sorted;
    return true;
}

/* ---- Gradients ---- */

/* What the last walk from the root, or through it, found for each item; without one, what leaves
 * collected. */
static const grdi_traced_event **whole_gradients(making *m)
{
    const grd_trace *trace = m->trace;
    const grdi_traced_event **of = grdi_scratch(m->g->op, (size_t)trace->items.count, sizeof *of);
    m->g->walk = -1;
    for (int64_t i = 0; of && i < trace->items.count; i++)
        of[i] = NULL;
    for (int64_t e = trace->events.count - 1; e >= 0 && m->g->walk < 0; e--)
        if (grdi_traced_event_at(trace, e)->from < 0 &&
            grdi_traced_event_at(trace, e)->to == m->root)
            m->g->walk = grdi_traced_event_at(trace, e)->walk;
    for (int64_t e = 0; of && e < trace->events.count; e++) {
        const grdi_traced_event *event = grdi_traced_event_at(trace, e);
        if (event->walk == m->g->walk && event->from < 0)
            of[event->to] = event;
    }
    return of;
}

static bool describe(making *m)
{
    const grdi_traced_event **of = whole_gradients(m);
    bool done = of;
    for (int64_t b = 0; b < m->g->count && done; b++) {
        grdi_box *box = &m->g->boxes[b];
        const grdi_traced_event *event = of[box->item];
        const grdi_node *node = grdi_traced_at(m->trace, box->item)->node;
        const grd_tensor *grad = event                    ? event->gradient
                                 : node && m->g->walk < 0 ? node->grad
                                                          : NULL;
        done = grdi_box_describe(m->g, box, grad,
                                 event  ? event->version
                                 : grad ? grad->storage->version
                                        : 0);
    }
    return done;
}

/* ---- All of it ---- */

static bool make_room(making *m)
{
    const char *op = m->g->op;
    const size_t items = (size_t)m->trace->items.count;
    m->reached = grdi_scratch(op, items, sizeof *m->reached);
    m->box = indices(op, (int64_t)items, -1);
    m->user = indices(op, (int64_t)items, NOBODY);
    m->next = indices(op, (int64_t)items, -1);
    m->first = indices(op, (int64_t)items, -1);
    m->of_call = indices(op, m->trace->calls.count, -1);
    m->g->boxes = grdi_scratch(op, items, sizeof *m->g->boxes);
    if (grdi_latched())
        return false;
    for (size_t i = 0; i < items; i++)
        m->reached[i] = false;
    return true;
}

static bool make_boxes(making *m)
{
    if (!make_room(m) || !reach(m))
        return false;
    note_users(m);
    fill_boxes(m);
    return find_ways_out(m) && connect(m) && sort(m) && describe(m);
}

bool grdi_graph_check(const char *op, const grd_tensor *root, const grd_graph_options *options)
{
    if (!root)
        return grdi_fail_null(op);
    if (!root->history)
        return grdi_fail(GRD_ERROR_GRAPH, op,
                         "the root %s does not require grad: no input did, or it was made under "
                         "no-grad",
                         grdi_size_text(root).chars);
    if (options->collapse < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "collapse is %lld (0: nothing, 1: whole models)",
                         (long long)options->collapse);
    return true;
}

/* The caller's trace, or one of our scope. */
static grd_trace *trace_of(const char *op, const grd_graph_options *options)
{
    grd_trace *trace = options->trace ? options->trace : grdi_trace_create(op);
    if (trace && !options->trace)
        grdi_scope_own(&trace->object);
    const grd_module *module = options->module;
    for (int64_t i = 0; trace && module && i < grd_module_num_parameters(module); i++) {
        const grd_named named = grd_module_parameter_at(module, i);
        if (!grdi_trace_name(trace, named.tensor, "", named.name))
            return NULL;
    }
    return grdi_latched() ? NULL : trace;
}

bool grdi_graph_make(grdi_graph *g, const char *op, const grd_tensor *root,
                     const grd_graph_options *options)
{
    const grd_graph_options chosen = options ? *options : (grd_graph_options){ 0 };
    *g = (grdi_graph){ .op = op };
    if (grdi_latched() || !grdi_graph_check(op, root, &chosen))
        return false;
    making m = { .g = g, .collapse = chosen.collapse };
    m.trace = g->trace = trace_of(op, &chosen);
    m.root = m.trace ? grdi_trace_reach(g->trace, op, root) : -1;
    g->title = grdi_shown(op, chosen.title ? chosen.title : "Graph", 0);
    return m.root >= 0 && g->title && make_boxes(&m);
}
