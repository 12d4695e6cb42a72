#include "autograd/node.h"

#include <stdio.h>
#include <string.h>

enum { MAX_SAVED = 16 };

typedef struct kept_tensor {
    grd_tensor *tensor;
    uint32_t version;
} kept_tensor;

/* One use of an op, kept by its node. Its settings stand behind it. */
struct grd_call {
    grdi_object object;
    const grd_custom_op *op;
    int count, saved_count;
    kept_tensor inputs[GRDI_MAX_INPUTS], saved[MAX_SAVED];
};

static void release_kept(kept_tensor *kept, int count)
{
    for (int i = 0; i < count; i++)
        grdi_release(kept[i].tensor);
}

static void call_destroy(void *object)
{
    grd_call *call = object;
    release_kept(call->inputs, call->count);
    release_kept(call->saved, call->saved_count);
    grdi_free(call, sizeof *call + call->op->settings_size);
}

static const grdi_type call_type = { "custom op", call_destroy };

static kept_tensor keep(const grd_tensor *x)
{
    return (kept_tensor){ grdi_retain((void *)x), x->storage->version };
}

static grd_call *call_create(const grd_custom_op *op, const grd_tensor *const inputs[], int count,
                             const void *settings)
{
    const size_t bytes = sizeof(grd_call) + op->settings_size;
    grd_call *call = grdi_allocate(bytes);
    if (!call)
        return grdi_fail_memory(op->name, bytes);
    grdi_object_init(&call->object, &call_type);
    call->op = op;
    call->count = call->saved_count = 0;
    for (; call->count < count; call->count++)
        call->inputs[call->count] = keep(inputs[call->count]);
    if (op->settings_size)
        memcpy(call + 1, settings, op->settings_size);
    return call;
}

static const grd_tensor *unchanged(const grd_call *call, const kept_tensor *kept, const char *what,
                                   int64_t i)
{
    const uint32_t found = kept->tensor->storage->version;
    if (found == kept->version)
        return kept->tensor;
    return grdi_fail(GRD_ERROR_GRAPH, call->op->name,
                     "the %s %lld %s was changed in place: expected version %u, found %u", what,
                     (long long)i, grdi_size_text(kept->tensor).chars, kept->version, found);
}

grd_status grd_call_save(grd_call *call, const grd_tensor *x)
{
    if (!call || !x)
        grdi_fail_null("call_save");
    else if (call->saved_count == MAX_SAVED)
        grdi_fail(GRD_ERROR_ARGUMENT, "call_save", "%s saves more than %d tensors", call->op->name,
                  (int)MAX_SAVED);
    if (!grdi_latched())
        call->saved[call->saved_count++] = keep(x);
    return grdi_self.latched;
}

static bool exists(const char *op, int64_t i, int64_t count)
{
    if (i >= 0 && i < count)
        return true;
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "there is no %lld among %lld", (long long)i,
                     (long long)count);
}

const grd_tensor *grd_call_saved(const grd_call *call, int64_t i)
{
    if (!call)
        return grdi_fail_null("call_saved");
    return exists("call_saved", i, call->saved_count)
               ? unchanged(call, &call->saved[i], "saved tensor", i)
               : NULL;
}

const grd_tensor *grd_call_input(const grd_call *call, int64_t i)
{
    if (!call)
        return grdi_fail_null("call_input");
    return exists("call_input", i, call->count) ? unchanged(call, &call->inputs[i], "input", i)
                                                : NULL;
}

const void *grd_call_settings(const grd_call *call)
{
    return call && call->op->settings_size ? call + 1 : NULL;
}

/* y = forward(inputs) in a scope of its own, as a tensor that no one else holds. */
static grd_tensor *forward(grd_call *call, bool recorded)
{
    const grd_tensor *inputs[GRDI_MAX_INPUTS];
    for (int i = 0; i < call->count; i++)
        if (!(inputs[i] = grd_call_input(call, i)))
            return NULL;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = !recorded;
    grd_tensor *y = call->op->forward(call, inputs);
    if (!y)
        grdi_fail(GRD_ERROR_ARGUMENT, call->op->name, "its forward returned NULL");
    y = y ? grdi_tensor_view(call->op->name, y, &y->array) : NULL;
    return grd_scope_return(&scope, y);
}

/* What backward reads of tensors that forward saved must lead to the inputs when it is to be
 * differentiated itself, so forward runs again and is recorded. */
static grd_call *recorded_call(const grd_call *call)
{
    const grd_tensor *inputs[GRDI_MAX_INPUTS];
    for (int i = 0; i < call->count; i++)
        inputs[i] = call->inputs[i].tensor;
    grd_call *again = call_create(call->op, inputs, call->count, call + 1);
    if (again && !forward(again, true)) {
        grdi_release(again);
        return NULL;
    }
    return again;
}

/* An entry that the op left NULL is a zero gradient. */
static void fill_zeros(grdi_node *node, const grd_call *call, grd_tensor *dx[])
{
    for (int i = 0; i < call->count; i++)
        if (grdi_wants(node, i) && !dx[i] && !grdi_latched())
            dx[i] = grd_zeros_like(call->inputs[i].tensor);
}

static void custom_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_call *call = (grd_call *)node->call, *used = call;
    if (grdi_recording() && call->saved_count)
        used = recorded_call(call);
    if (!used)
        return;
    call->op->backward(used, dy, dx);
    fill_zeros(node, call, dx);
    if (used != call)
        grdi_release(used);
}

static const grdi_derivative custom = { .op = "custom", .backward = custom_backward };

/* Records y under the op's own name. */
static grd_tensor *record(grd_call *call, grd_tensor *y, grd_list inputs)
{
    grdi_derivative named = custom;
    named.op = call->op->name;
    if (!call->op->backward)
        named.backward = NULL;
    y = grdi_record(&named, y, inputs.at, call->count, NULL);
    if (!y || !y->history)
        return y;
    grdi_node *node = grdi_history(y);
    node->derivative = &custom;
    node->call = grdi_retain(call);
    return y;
}

static bool check(const grd_custom_op *op, grd_list inputs, const void *settings)
{
    if (!op || !op->name || !op->forward)
        return grdi_fail_null("custom");
    if (op->settings_size && !settings)
        return grdi_fail(GRD_ERROR_ARGUMENT, op->name, "its settings are NULL");
    if (inputs.count < 1 || inputs.count > GRDI_MAX_INPUTS)
        return grdi_fail(GRD_ERROR_ARGUMENT, op->name, "%lld inputs are not in 1..%d",
                         (long long)inputs.count, (int)GRDI_MAX_INPUTS);
    for (int64_t i = 0; i < inputs.count; i++)
        if (!inputs.at[i])
            return grdi_fail_null(op->name);
    return true;
}

grd_tensor *grd_custom(const grd_custom_op *op, grd_list inputs, const void *settings)
{
    if (!grdi_may_make("custom") || !check(op, inputs, settings))
        return NULL;
    grd_call *call = call_create(op, inputs.at, (int)inputs.count, settings);
    if (!call)
        return NULL;
    grd_tensor *y = record(call, forward(call, false), inputs);
    grdi_release(call);
    return y;
}
