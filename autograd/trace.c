#include "autograd/trace.h"

#include <string.h>

/* ---- Beginning and ending ---- */

static void trace_destroy(void *object)
{
    grd_trace *trace = object;
    for (int64_t i = 0; i < trace->items.count; i++) {
        grdi_release_local(grdi_traced_at(trace, i)->node);
        grdi_release(grdi_traced_at(trace, i)->value);
    }
    for (int64_t i = 0; i < trace->events.count; i++)
        grdi_release(grdi_traced_event_at(trace, i)->gradient);
    grdi_list_free(&trace->items, sizeof(grdi_traced));
    grdi_list_free(&trace->inputs, sizeof(int64_t));
    grdi_list_free(&trace->saved, sizeof(grdi_traced_saved));
    grdi_list_free(&trace->calls, sizeof(grdi_traced_call));
    grdi_list_free(&trace->events, sizeof(grdi_traced_event));
    grdi_list_free(&trace->text, 1);
    grdi_places_free(&trace->places);
    grdi_free(trace, sizeof *trace);
}

static const grdi_type trace_type = { "trace", trace_destroy };

grd_trace *grdi_trace_create(const char *op)
{
    grd_trace *trace = grdi_allocate(sizeof *trace);
    if (!trace)
        return grdi_fail_memory(op, sizeof *trace);
    memset(trace, 0, sizeof *trace);
    grdi_object_init(&trace->object, &trace_type);
    trace->call = -1;
    return trace;
}

grd_trace *grd_trace_begin(void)
{
    const char *op = "trace_begin";
    if (!grdi_may_make(op))
        return NULL;
    if (grdi_tracing())
        return grdi_fail(GRD_ERROR_STATE, op, "a trace is open already (grd_trace_end)");
    grd_trace *trace = grdi_trace_create(op);
    if (!trace)
        return NULL;
    grdi_scope_own(&trace->object);
    grdi_self.scope->modes.trace = trace;
    trace->open = true;
    return trace;
}

grd_status grd_trace_end(grd_trace *trace)
{
    if (!trace)
        grdi_fail_null("trace_end");
    else if (!trace->open)
        grdi_fail(GRD_ERROR_STATE, "trace_end", "this trace was ended already");
    if (!trace || !trace->open)
        return grdi_self.latched;
    for (grd_scope *scope = grdi_self.scope; scope; scope = scope->parent)
        if (scope->modes.trace == trace)
            scope->modes.trace = NULL;
    trace->open = false;
    return grdi_self.latched;
}

/* ---- Items ---- */

/* A new item; `key` is the node or the constant. */
static int64_t add_item(grd_trace *trace, const void *key)
{
    const int64_t index = trace->items.count;
    grdi_traced *item = grdi_list_add(&trace->items, sizeof *item);
    if (!item)
        return -1;
    item->call = item->name = -1;
    if (grdi_places_add(&trace->places, key, index))
        return index;
    trace->items.count--;
    return -1;
}

static void keep_value(grdi_traced *item, const grd_tensor *value)
{
    if (item->value || !value)
        return;
    item->value = grdi_retain((void *)value);
    item->version = value->storage->version;
}

/* The node's item, new if it has none. */
static int64_t item_of_node(grd_trace *trace, grdi_node *node, const grd_tensor *value)
{
    int64_t index = grdi_places_find(&trace->places, node);
    if (index < 0) {
        index = add_item(trace, node);
        if (index < 0)
            return -1;
        grdi_traced_at(trace, index)->node = grdi_retain_local(node);
        grdi_traced_at(trace, index)->expanded = !node->derivative;
    }
    keep_value(grdi_traced_at(trace, index), value);
    return index;
}

static int64_t item_of_constant(grd_trace *trace, const grd_tensor *value)
{
    int64_t index = grdi_places_find(&trace->places, value);
    if (index < 0 && (index = add_item(trace, value)) >= 0) {
        grdi_traced_at(trace, index)->expanded = true;
        keep_value(grdi_traced_at(trace, index), value);
    }
    return index;
}

/* ---- What a node knows ---- */

static bool note_saved(grd_trace *trace, grdi_traced_saved what, const grd_tensor *saved)
{
    grdi_traced_saved *noted = grdi_list_add(&trace->saved, sizeof *noted);
    if (!noted)
        return false;
    *noted = what;
    noted->dtype = saved->array.dtype;
    noted->shape = grdi_array_shape(&saved->array);
    noted->bytes = grdi_count(&saved->array) * (int64_t)grdi_dtype_size(saved->array.dtype);
    return true;
}

/* Input i of the node: as it was given, or as far as the node has it. */
static int64_t item_of_input(grd_trace *trace, const grdi_node *node, int i,
                             const grd_tensor *const inputs[])
{
    const grd_tensor *x = inputs               ? inputs[i]
                          : i < GRDI_MAX_SAVED ? grdi_peek(node, GRDI_INPUT(i))
                                               : NULL;
    if (node->inputs[i])
        return item_of_node(trace, node->inputs[i], x);
    return x ? item_of_constant(trace, x) : -1;
}

static bool note_all_saved(grd_trace *trace, const grdi_node *node)
{
    bool done = true;
    for (int i = 0; i < node->kept && done; i++) {
        int which;
        const grd_tensor *saved = grdi_kept(node, i, &which);
        done = note_saved(trace, (grdi_traced_saved){ .input = which }, saved);
    }
    return done;
}

static bool expand(grd_trace *trace, int64_t index, const grd_tensor *const inputs[])
{
    const grdi_node *node = grdi_traced_at(trace, index)->node;
    const int64_t first_saved = trace->saved.count;
    if (!note_all_saved(trace, node))
        return false;
    /* An input is an item before its consumer counts as noted. Making one may move the lists. */
    const int64_t first = trace->inputs.count;
    for (int i = 0; i < node->count; i++)
        if (!grdi_list_add(&trace->inputs, sizeof(int64_t)))
            return false;
    for (int i = 0; i < node->count; i++) {
        const int64_t input = item_of_input(trace, node, i, inputs);
        if (input < 0 && grdi_latched())
            return false;
        ((int64_t *)trace->inputs.at)[first + i] = input;
    }
    grdi_traced *item = grdi_traced_at(trace, index);
    item->first_input = first;
    item->num_inputs = node->count;
    item->first_saved = first_saved;
    item->num_saved = trace->saved.count - first_saved;
    item->expanded = true;
    keep_value(item, grdi_peek(node, GRDI_OUTPUT));
    return true;
}

bool grdi_trace_record(grd_trace *trace, grd_tensor *y, const grd_tensor *const inputs[])
{
    grdi_node *node = grdi_history(y);
    /* Inputs first, so that items stand in the order in which they were made. */
    for (int i = 0; i < node->count; i++)
        if (item_of_input(trace, node, i, inputs) < 0 && grdi_latched())
            return false;
    const int64_t index = item_of_node(trace, node, y);
    if (index < 0 || !expand(trace, index, inputs))
        return false;
    grdi_traced_at(trace, index)->call = trace->call;
    return true;
}

/* ---- Modules ---- */

/* Copies the words, which end with a NULL, one after the other; -1 with an error latched. */
static int64_t add_text(grd_trace *trace, const char *const words[])
{
    const int64_t first = trace->text.count;
    for (; *words; words++)
        for (const char *c = *words; *c; c++) {
            char *added = grdi_list_add(&trace->text, 1);
            if (!added)
                return -1;
            *added = *c;
        }
    return grdi_list_add(&trace->text, 1) ? first : -1;
}

bool grdi_trace_enter(grd_trace *trace, const void *module, const char *path, const char *kind)
{
    const int64_t at_path = add_text(trace, (const char *const[]){ path, NULL });
    const int64_t at_kind = at_path < 0 ? -1 : add_text(trace, (const char *const[]){ kind, NULL });
    grdi_traced_call *call = at_kind < 0 ? NULL : grdi_list_add(&trace->calls, sizeof *call);
    if (!call)
        return false;
    *call = (grdi_traced_call){
        .module = module, .path = at_path, .kind = at_kind, .parent = trace->call
    };
    if (trace->call >= 0)
        call->depth = grdi_traced_call_at(trace, trace->call)->depth + 1;
    trace->call = trace->calls.count - 1;
    return true;
}

void grdi_trace_leave(grd_trace *trace, const void *module)
{
    int64_t call = trace->call;
    while (call >= 0 && grdi_traced_call_at(trace, call)->module != module)
        call = grdi_traced_call_at(trace, call)->parent;
    if (call >= 0)
        trace->call = grdi_traced_call_at(trace, call)->parent;
}

bool grdi_trace_name(grd_trace *trace, const grd_tensor *parameter, const char *path,
                     const char *name)
{
    if (!parameter->history)
        return true;
    const int64_t index = item_of_node(trace, grdi_history(parameter), parameter);
    if (index < 0 || grdi_traced_at(trace, index)->name >= 0)
        return index >= 0;
    const char *const words[] = { path, *path ? "." : "", name, NULL };
    const int64_t at = add_text(trace, words);
    grdi_traced_at(trace, index)->name = at;
    return at >= 0;
}

/* ---- Walks ---- */

static bool add_event(grd_trace *trace, grdi_traced_event noted)
{
    grdi_traced_event *event = grdi_list_add(&trace->events, sizeof *event);
    if (!event)
        return false;
    *event = noted;
    event->version = noted.gradient->storage->version;
    grdi_retain(noted.gradient);
    return true;
}

bool grdi_trace_whole(grd_trace *trace, int64_t walk, grdi_node *node, grd_tensor *dy)
{
    const int64_t index = item_of_node(trace, node, NULL);
    if (index < 0)
        return false;
    if (!grdi_traced_at(trace, index)->expanded && !node->freed && !expand(trace, index, NULL))
        return false;
    return add_event(trace,
                     (grdi_traced_event){ .walk = walk, .from = -1, .to = index, .gradient = dy });
}

bool grdi_trace_hand_on(grd_trace *trace, int64_t walk, grdi_node *node, int i, grd_tensor *dx)
{
    const int64_t from = item_of_node(trace, node, NULL);
    const int64_t to = from < 0 ? -1 : item_of_node(trace, node->inputs[i], NULL);
    return to >= 0 &&
           add_event(trace, (grdi_traced_event){
                                .walk = walk, .from = from, .to = to, .input = i, .gradient = dx });
}

/* ---- Looking back ---- */

static bool expand_later(grd_trace *trace, const char *op, int64_t index)
{
    const grdi_node *node = grdi_traced_at(trace, index)->node;
    if (grdi_traced_at(trace, index)->expanded)
        return true;
    if (node->freed)
        return grdi_fail(GRD_ERROR_GRAPH, op,
                         "the graph was freed by an earlier walk (pass .retain_graph to it, or "
                         "open a trace before the graph is made); first freed: %s at %s:%d",
                         node->op, node->file ? node->file : "?", node->line);
    return expand(trace, index, NULL);
}

/* What is still to be looked at, and what was put there ever. */
typedef struct search {
    grdi_list open, seen; /* items; a byte an item */
} search;

static bool look_at(search *s, int64_t index)
{
    while (s->seen.count <= index)
        if (!grdi_list_add(&s->seen, 1))
            return false;
    char *seen = (char *)s->seen.at + index;
    if (*seen)
        return true;
    int64_t *added = grdi_list_add(&s->open, sizeof *added);
    if (!added)
        return false;
    *seen = 1;
    *added = index;
    return true;
}

static bool expand_below(grd_trace *trace, search *s, const char *op)
{
    while (s->open.count > 0) {
        const int64_t index = ((int64_t *)s->open.at)[--s->open.count];
        if (!expand_later(trace, op, index))
            return false;
        const grdi_traced *item = grdi_traced_at(trace, index);
        for (int64_t i = 0; i < item->num_inputs; i++)
            if (grdi_traced_inputs(trace, item)[i] >= 0 &&
                !look_at(s, grdi_traced_inputs(trace, item)[i]))
                return false;
    }
    return true;
}

int64_t grdi_trace_reach(grd_trace *trace, const char *op, const grd_tensor *root)
{
    search s = { 0 };
    const int64_t index = item_of_node(trace, grdi_history(root), root);
    const bool done = index >= 0 && look_at(&s, index) && expand_below(trace, &s, op);
    grdi_list_free(&s.open, sizeof(int64_t));
    grdi_list_free(&s.seen, 1);
    return done ? index : -1;
}
