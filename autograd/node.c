#include "autograd/hooks.h"
#include "autograd/trace.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* How many bits are set: a few at most, so no instruction set is asked to count them. */
static int bits(unsigned mask)
{
    int count = 0;
    for (; mask; mask &= mask - 1)
        count++;
    return count;
}

static grdi_saved_tensor *saved_tensors(grdi_node *node)
{
    return (grdi_saved_tensor *)(node->inputs + node->count);
}

void grdi_node_free_graph(grdi_node *node)
{
    if (!node->derivative)
        return;
    for (int i = 0; i < node->kept; i++)
        grdi_release(saved_tensors(node)[i].tensor);
    for (int i = 0; i < node->count; i++)
        grdi_release_local(node->inputs[i]);
    grdi_release(node->call);
    node->call = NULL;
    node->kept = node->count = 0;
    node->freed = true;
}

static void node_destroy(void *object)
{
    grdi_node *node = object;
    grdi_node_free_graph(node);
    grdi_release(node->grad);
    grdi_hooks_free(node->hooks);
    grdi_free(node, node->bytes);
}

static const grdi_type node_type = { "graph node", node_destroy };

static grdi_node *node_create(const grdi_derivative *derivative, const char *op,
                              const grd_tensor *y, int count, int kept)
{
    const size_t attributes = derivative ? derivative->attributes : 0;
    const size_t bytes = sizeof(grdi_node) + (size_t)count * sizeof(grdi_node *) +
                         (size_t)kept * sizeof(grdi_saved_tensor) + attributes;
    grdi_node *node = grdi_allocate(bytes);
    if (!node)
        return grdi_fail_memory(op, bytes);

    /* Field by field: clearing the block costs more than the rest of this function. */
    grdi_object_init(&node->object, &node_type);
    node->derivative = derivative;
    node->op = op;
    node->file = NULL;
    node->line = node->kept = 0;
    node->saved_mask = 0;
    node->count = count;
    node->dtype = y->array.dtype;
    node->bytes = bytes;
    node->freed = false;
    node->retains = false;
    node->region = grdi_self.region;
    node->visit = NULL;
    node->grad = NULL;
    node->hooks = NULL;
    node->call = NULL;
    node->shape.rank = y->array.rank;
    for (int d = 0; d < y->array.rank; d++)
        node->shape.size[d] = y->array.dim[d].size;
    return node;
}

grdi_node *grdi_leaf_create(const grd_tensor *x)
{
    return node_create(NULL, "leaf", x, 0, 0);
}

grdi_text grdi_site_text(const grdi_node *node)
{
    grdi_text text = { "" };
    if (node->file)
        snprintf(text.chars, sizeof text.chars, " at %s:%d", node->file, node->line);
    return text;
}

bool grdi_recording(void)
{
    return grdi_self.scope && !grdi_self.scope->modes.no_grad;
}

/* What must be saved for the inputs that require grad; *any tells whether one does. */
static unsigned saved_for(const grdi_derivative *derivative, const grd_tensor *const inputs[],
                          int count, bool *any)
{
    unsigned mask = 0, absent = 0;
    *any = false;
    for (int i = 0; i < count; i++) {
        if (!inputs[i]) {
            absent |= GRDI_INPUT(i);
        } else if (inputs[i]->history) {
            *any = true;
            mask |= i < (int)sizeof derivative->needs ? derivative->needs[i] : 0u;
        }
    }
    return mask & ~(absent & (GRDI_OUTPUT - 1));
}

grdi_saved_tensor grdi_save(const grd_tensor *x)
{
    return (grdi_saved_tensor){ grdi_retain((void *)x), x->storage->version };
}

static void save(grdi_node *node, const grd_tensor *x)
{
    saved_tensors(node)[node->kept++] = grdi_save(x);
}

/* Saves y's values without its history: y refers to the node, which must not refer to y. */
static bool save_output(grdi_node *node, const grd_tensor *y)
{
    grd_tensor *alias = grdi_tensor_alias(node->derivative->op, y, &y->array);
    if (alias)
        save(node, alias);
    grdi_release(alias);
    return alias;
}

/* y, which was just recorded, in the trace too, if one is open. */
static grd_tensor *noted(grd_tensor *y, const grd_tensor *const inputs[])
{
    grd_trace *trace = grdi_tracing();
    return !trace || grdi_trace_record(trace, y, inputs) ? y : NULL;
}

grd_tensor *grdi_record(const grdi_derivative *derivative, grd_tensor *y,
                        const grd_tensor *const inputs[], int count, const void *attributes)
{
    return grdi_record_saving(derivative, y, inputs, count, attributes, NULL, 0);
}

grd_tensor *grdi_record_saving(const grdi_derivative *derivative, grd_tensor *y,
                               const grd_tensor *const inputs[], int count, const void *attributes,
                               const grd_tensor *const extra[], int extras)
{
    bool any;
    if (!y || (grdi_checks_values() && !grdi_check_values(derivative->op, "the result", y)))
        return NULL;
    if (!grdi_recording())
        return y;
    const unsigned mask = saved_for(derivative, inputs, count, &any);
    if (!any)
        return y;
    if (!derivative->backward)
        return grdi_fail(GRD_ERROR_GRAPH, derivative->op,
                         "has no derivative, and an input requires grad (use grd_detach)");

    assert(!y->history && count <= GRDI_MAX_INPUTS);
    grdi_node *node = node_create(derivative, derivative->op, y, count, bits(mask) + extras);
    if (!node)
        return NULL;
    node->saved_mask = mask;
    for (int i = 0; i < count; i++)
        node->inputs[i] = inputs[i] ? grdi_retain_local(inputs[i]->history) : NULL;
    const unsigned of_inputs = mask & (GRDI_OUTPUT - 1);
    for (int i = 0; of_inputs >> i; i++)
        if (of_inputs & GRDI_INPUT(i))
            save(node, inputs[i]);
    if (mask & GRDI_OUTPUT && !save_output(node, y)) {
        grdi_release_local(node);
        return NULL;
    }
    for (int i = 0; i < extras; i++)
        save(node, extra[i]);
    if (derivative->attributes)
        memcpy((void *)grdi_attributes(node), attributes, derivative->attributes);
    y->history = &node->object;
    return noted(y, inputs);
}

grd_tensor *grdi_record_call(const grdi_derivative *derivative, const char *op, grd_tensor *y,
                             grdi_node *const inputs[], int count, grdi_object *call)
{
    assert(!y->history && !derivative->attributes);
    grdi_node *node = node_create(derivative, op, y, count, 0);
    if (!node)
        return NULL;
    for (int i = 0; i < count; i++)
        node->inputs[i] = grdi_retain_local(inputs[i]);
    node->call = grdi_retain(call);
    y->history = &node->object;
    return noted(y, NULL);
}

const grd_shape *grdi_input_shape(const grdi_node *node, int input)
{
    return &node->inputs[input]->shape;
}

const void *grdi_attributes(const grdi_node *node)
{
    return saved_tensors((grdi_node *)node) + node->kept;
}

grd_tensor *grdi_constant(const grd_tensor *like, double value)
{
    return grdi_full("constant", &(grd_shape){ 0 }, value, like->array.dtype, grdi_device(like));
}

grd_tensor *grdi_unchanged(const grdi_saved_tensor *saved, const char *op, const char *what,
                           int64_t number)
{
    if (saved->tensor->storage->version == saved->version)
        return saved->tensor;

    const grdi_storage *storage = saved->tensor->storage;
    const grdi_change *change = grdi_find_change(storage, storage->version);
    char which[32], by[256] = "";
    snprintf(which, sizeof which, number < 0 ? "%s" : "%s %lld", what, (long long)number);
    if (storage->writer && change)
        snprintf(by, sizeof by, " by %s at %s:%d", storage->writer, change->file, change->line);
    else if (storage->writer)
        snprintf(by, sizeof by, " by %s", storage->writer);
    return grdi_fail(GRD_ERROR_GRAPH, op,
                     "the saved %s %s was changed in place%s: expected version %u, found %u "
                     "(change it after backward, or change a grd_clone of it)",
                     which, grdi_size_text(saved->tensor).chars, by, saved->version,
                     storage->version);
}

static grd_tensor *unchanged(grdi_node *node, int slot, const char *what, int number)
{
    return grdi_unchanged(&saved_tensors(node)[slot], node->op, what, number);
}

static int slot_of(const grdi_node *node, unsigned bit)
{
    assert(node->saved_mask & bit);
    return bits(node->saved_mask & (bit - 1));
}

const grd_tensor *grdi_peek(const grdi_node *node, unsigned bit)
{
    if (!(node->saved_mask & bit))
        return NULL;
    const grdi_saved_tensor *saved = &saved_tensors((grdi_node *)node)[slot_of(node, bit)];
    return saved->tensor->storage->version == saved->version ? saved->tensor : NULL;
}

const grd_tensor *grdi_kept(const grdi_node *node, int i, int *which)
{
    int bit = 0;
    for (unsigned below = 0; below < (unsigned)i + 1 && bit <= GRDI_MAX_SAVED; bit++)
        below += node->saved_mask >> bit & 1;
    *which = i >= bits(node->saved_mask) ? GRDI_SAVED_EXTRA
             : bit - 1 == GRDI_MAX_SAVED ? GRDI_SAVED_OUTPUT
                                         : bit - 1;
    return saved_tensors((grdi_node *)node)[i].tensor;
}

grd_tensor *grdi_saved(grdi_node *node, int input)
{
    if (!(node->saved_mask & GRDI_INPUT(input)))
        return NULL;
    return unchanged(node, slot_of(node, GRDI_INPUT(input)), "input", input);
}

grd_tensor *grdi_saved_extra(grdi_node *node, int i)
{
    return unchanged(node, bits(node->saved_mask) + i, "extra", i);
}

grd_tensor *grdi_saved_output(grdi_node *node)
{
    grd_tensor *values = unchanged(node, slot_of(node, GRDI_OUTPUT), "output", -1);
    if (!values || !grdi_recording())
        return values;
    grd_tensor *y = grdi_tensor_view(node->derivative->op, values, &values->array);
    if (y)
        y->history = grdi_retain_local(node);
    return y;
}

grd_tensor *grd_at(grd_tensor *result, const char *file, int line)
{
    if (!result) {
        grdi_note_site(file, line);
    } else if (result->history && !grdi_history(result)->file) {
        grdi_history(result)->file = file;
        grdi_history(result)->line = line;
    }
    return result;
}
