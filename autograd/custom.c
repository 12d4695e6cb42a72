#include "autograd/node.h"
#include "tensor/rng.h"

#include <stddef.h>
#include <string.h>

enum { MAX_SAVED = 16 };

/* One use of an op, kept by its node. */
struct grd_call {
    grdi_object object;
    const grd_custom_op *op;
    grdi_draws draws;     /* the numbers that forward drew */
    bool done, saves_own; /* forward is done; it saved what is no input */
    int count, saved_count;
    const grdi_node *node; /* while backward runs */
    grdi_saved_tensor inputs[GRDI_MAX_INPUTS], saved[MAX_SAVED];
    _Alignas(max_align_t) unsigned char settings[];
};

static void release_saved(const grdi_saved_tensor *saved, int count)
{
    for (int i = 0; i < count; i++)
        grdi_release(saved[i].tensor);
}

static void call_destroy(void *object)
{
    grd_call *call = object;
    grdi_draws_release(&call->draws);
    release_saved(call->inputs, call->count);
    release_saved(call->saved, call->saved_count);
    grdi_free(call, sizeof *call + call->op->settings_size);
}

static const grdi_type call_type = { "custom op", call_destroy };

static grd_call *call_create(const grd_custom_op *op, const void *settings)
{
    const size_t bytes = sizeof(grd_call) + op->settings_size;
    grd_call *call = grdi_allocate(bytes);
    if (!call)
        return grdi_fail_memory(op->name, bytes);
    memset(call, 0, sizeof *call);
    grdi_object_init(&call->object, &call_type);
    call->op = op;
    if (op->settings_size)
        memcpy(call->settings, settings, op->settings_size);
    return call;
}

/* ---- What forward and backward see ---- */

static bool is_input(const grd_call *call, const grd_tensor *x)
{
    for (int i = 0; i < call->count; i++)
        if (call->inputs[i].tensor == x)
            return true;
    return false;
}

grd_status grd_call_save(grd_call *call, const grd_tensor *x)
{
    if (!call || !x)
        grdi_fail_null("call_save");
    else if (call->done)
        grdi_fail(GRD_ERROR_STATE, "call_save", "only the forward of %s can save", call->op->name);
    else if (call->saved_count == MAX_SAVED)
        grdi_fail(GRD_ERROR_ARGUMENT, "call_save", "%s saves more than %d tensors", call->op->name,
                  (int)MAX_SAVED);
    if (grdi_latched())
        return grdi_self.latched;
    call->saved[call->saved_count++] = grdi_save(x);
    call->saves_own |= !is_input(call, x);
    return grdi_self.latched;
}

static bool exists(const char *op, const grd_call *call, int64_t i, const char *what, int count)
{
    if (!call)
        return grdi_fail_null(op);
    if (i >= 0 && i < count)
        return true;
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "there is no %s %lld: %s has %d", what, (long long)i,
                     call->op->name, count);
}

const grd_tensor *grd_call_saved(const grd_call *call, int64_t i)
{
    if (!exists("call_saved", call, i, "saved tensor", call ? call->saved_count : 0))
        return NULL;
    return grdi_unchanged(&call->saved[i], call->op->name, "tensor", i);
}

const grd_tensor *grd_call_input(const grd_call *call, int64_t i)
{
    if (!exists("call_input", call, i, "input", call ? call->count : 0))
        return NULL;
    return grdi_unchanged(&call->inputs[i], call->op->name, "input", i);
}

bool grd_call_wants(const grd_call *call, int64_t i)
{
    if (!exists("call_wants", call, i, "input", call ? call->count : 0))
        return false;
    return call->node ? grdi_wants(call->node, (int)i) : call->inputs[i].tensor->history != NULL;
}

const void *grd_call_settings(const grd_call *call)
{
    return call && call->op->settings_size ? call->settings : NULL;
}

/* ---- Running them ---- */

/* y = forward(inputs) in a scope of its own, as a tensor that no one else holds. */
static grd_tensor *forward(grd_call *call, const grd_tensor *const inputs[], int count,
                           bool recorded)
{
    for (; call->count < count; call->count++)
        call->inputs[call->count] = grdi_save(inputs[call->count]);
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = !recorded;
    grd_tensor *y = call->op->forward(call, inputs);
    call->done = true;
    if (!y)
        grdi_fail(GRD_ERROR_ARGUMENT, call->op->name,
                  "its forward returned NULL (grd_fail says why)");
    y = y ? grdi_tensor_view(call->op->name, y, &y->array) : NULL;
    return grd_scope_return(&scope, y);
}

/* Tensors of its own that forward saved must lead to the inputs when what backward reads of them
 * is to be differentiated itself: so forward runs again, with the same random numbers, and is
 * recorded. */
static grd_call *recorded_call(const grd_call *call)
{
    const grd_tensor *inputs[GRDI_MAX_INPUTS];
    uint64_t now[GRDI_MAX_DRAWS];
    for (int i = 0; i < call->count; i++)
        if (!(inputs[i] = grd_call_input(call, i)))
            return NULL;
    if (call->draws.overflow)
        return grdi_fail(GRD_ERROR_ARGUMENT, call->op->name, "draws from more than %d generators",
                         (int)GRDI_MAX_DRAWS);
    grd_call *again = call_create(call->op, call->settings);
    if (!again)
        return NULL;
    grdi_draws_rewind(&call->draws, now);
    const bool done = forward(again, inputs, call->count, true);
    grdi_draws_restore(&call->draws, now);
    if (done)
        return again;
    grdi_release(again);
    return NULL;
}

/* An entry that the op left NULL is a zero gradient. */
static void fill_zeros(const grdi_node *node, const grd_call *call, grd_tensor *dx[])
{
    for (int i = 0; i < call->count; i++)
        if (grdi_wants(node, i) && !dx[i] && !grdi_latched())
            dx[i] = grd_zeros_like(call->inputs[i].tensor);
}

static void custom_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grd_call *kept = (grd_call *)node->call;
    grd_call *call = grdi_recording() && kept->saves_own ? recorded_call(kept) : grdi_retain(kept);
    if (!call)
        return;
    const grdi_node *around = call->node;
    call->node = node;
    call->op->backward(call, dy, dx);
    call->node = around;
    if (!node->freed)
        fill_zeros(node, call, dx);
    grdi_release(call);
}

static const grdi_derivative custom = { .op = "custom", .backward = custom_backward };

/* y with a node if it is to have one. */
static grd_tensor *record(grd_call *call, grd_tensor *y)
{
    grdi_node *nodes[GRDI_MAX_INPUTS];
    bool any = false;
    if (!y || (grdi_checks_values() && !grdi_check_values(call->op->name, "the result", y)))
        return NULL;
    for (int i = 0; i < call->count; i++)
        any |= (nodes[i] = grdi_history(call->inputs[i].tensor)) != NULL;
    if (!any || !grdi_recording() || !grdi_is_floating(y->array.dtype))
        return y;
    return grdi_record_call(&custom, call->op->name, y, nodes, call->count, &call->object);
}

static bool check_inputs(const grd_custom_op *op, grd_list inputs)
{
    if (inputs.count < 1 || inputs.count > GRDI_MAX_INPUTS)
        return grdi_fail(GRD_ERROR_ARGUMENT, op->name, "%lld inputs are not in 1..%d",
                         (long long)inputs.count, (int)GRDI_MAX_INPUTS);
    for (int64_t i = 0; i < inputs.count; i++) {
        if (!inputs.at[i])
            return grdi_fail_null(op->name);
        if (!op->backward && grdi_recording() && inputs.at[i]->history)
            return grdi_fail(GRD_ERROR_GRAPH, op->name,
                             "has no derivative, and input %lld requires grad (use grd_detach)",
                             (long long)i);
    }
    return true;
}

static bool check(const grd_custom_op *op, grd_list inputs, const void *settings)
{
    if (!op || !op->name || !op->forward)
        return grdi_fail_null("custom");
    if (op->settings_size && !settings)
        return grdi_fail(GRD_ERROR_ARGUMENT, op->name, "its settings are NULL");
    return check_inputs(op, inputs);
}

grd_tensor *grd_custom(const grd_custom_op *op, grd_list inputs, const void *settings)
{
    if (!grdi_may_make("custom") || !check(op, inputs, settings))
        return NULL;
    grd_call *call = call_create(op, settings);
    if (!call)
        return NULL;
    grdi_draws_begin(&call->draws);
    grd_tensor *y = forward(call, inputs.at, (int)inputs.count, false);
    grdi_draws_end(&call->draws);
    y = record(call, y);
    grdi_release(call);
    return y;
}
