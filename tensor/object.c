#include "tensor/object.h"

#include <assert.h>
#include <pthread.h>

_Thread_local grdi_thread grdi_self;

void grdi_object_init(grdi_object *object, const grdi_type *type)
{
    atomic_init(&object->references, 1);
    atomic_init(&object->scope, NULL);
    object->type = type;
    object->next = NULL;
}

void grdi_bury(grdi_object *object)
{
    object->next = grdi_self.dead;
    grdi_self.dead = object;
    if (grdi_self.burying)
        return;

    grdi_self.burying = true;
    while ((object = grdi_self.dead)) {
        grdi_self.dead = object->next;
        object->type->destroy(object);
    }
    grdi_self.burying = false;
}

void grdi_scope_open(grd_scope *scope)
{
    scope->parent = grdi_self.scope;
    scope->objects = NULL;
    scope->watch = NULL;
    scope->on_heads = NULL;
    scope->masked_rows = grdi_self.masked_rows;
    scope->unwatched = scope->heads_unwatched = scope->pooled = false;
    if (scope->parent)
        scope->modes = scope->parent->modes;
    else
        scope->modes = (grdi_modes){ .device = grdi_default_device(), .dtype = GRD_F32 };
    grdi_self.scope = scope;
}

bool grdi_may_make(const char *op)
{
    if (!grdi_self.scope)
        grdi_fail(GRD_ERROR_SCOPE, op, "no scope is open (call grd_scope_begin first)");
    return !grdi_latched();
}

void grdi_scope_own(grdi_object *object)
{
    grd_scope *scope = grdi_self.scope;
    assert(scope && !object->scope);
    atomic_store_explicit(&object->scope, scope, memory_order_relaxed);
    object->next = scope->objects;
    scope->objects = object;
}

grd_scope *grd_scope_begin_with(const grd_scope_options *options)
{
    const grd_scope_options chosen = options ? *options : (grd_scope_options){ 0 };
    if (chosen.dtype && chosen.dtype != GRD_F32 && chosen.dtype != GRD_F64)
        return grdi_fail(GRD_ERROR_DTYPE, "scope_begin", "a scope's dtype is f32 or f64, not %d",
                         (int)chosen.dtype);
    grd_scope *scope = grdi_allocate(sizeof *scope);
    if (!scope)
        return grdi_fail_memory("scope_begin", sizeof *scope);

    grdi_scope_open(scope);
    scope->pooled = true;
    if (chosen.dtype)
        scope->modes.dtype = chosen.dtype;
    if (chosen.device)
        scope->modes.device = chosen.device;
    scope->modes.no_grad |= chosen.no_grad;
    scope->modes.anomaly |= chosen.anomaly;
    scope->modes.strict_kernels |= chosen.strict_kernels;
    return scope;
}

grd_scope *grd_scope_begin(void)
{
    return grd_scope_begin_with(NULL);
}

grd_scope *grd_scope_begin_no_grad(void)
{
    return grd_scope_begin_with(&(grd_scope_options){ .no_grad = true });
}

bool grdi_scope_is_open(const grd_scope *scope)
{
    const grd_scope *open = grdi_self.scope;
    while (open && open != scope)
        open = open->parent;
    return open;
}

void grdi_scope_empty(grd_scope *scope)
{
    for (grdi_object *object = scope->objects, *next; object; object = next) {
        next = object->next;
        atomic_store_explicit(&object->scope, NULL, memory_order_relaxed);
        grdi_release(object);
    }
}

static void free_scope(grd_scope *scope)
{
    grdi_scope_empty(scope);
    if (scope->pooled)
        grdi_free(scope, sizeof *scope);
}

void grdi_scope_unstack(grd_scope *scope)
{
    for (grd_scope *inner; (inner = grdi_self.scope) != scope;) {
        grdi_self.scope = inner->parent;
        free_scope(inner);
    }
    grdi_self.scope = scope->parent;
}

/* Listed, so that ending one twice, or by a wrong address, is an error and not a crash. */
static struct {
    pthread_mutex_t lock;
    grd_scope *first;
} detached = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool take_detached(const grd_scope *scope)
{
    pthread_mutex_lock(&detached.lock);
    grd_scope **at = &detached.first;
    while (*at && *at != scope)
        at = &(*at)->parent;
    const bool found = *at;
    if (found)
        *at = scope->parent;
    pthread_mutex_unlock(&detached.lock);
    return found;
}

grd_scope *grd_scope_detach(grd_scope *scope)
{
    if (!scope)
        return grdi_fail_null("scope_detach");
    if (!grdi_scope_is_open(scope))
        return grdi_fail(GRD_ERROR_SCOPE, "scope_detach", "this scope is not open on this thread");
    grdi_scope_unstack(scope);
    pthread_mutex_lock(&detached.lock);
    scope->parent = detached.first;
    detached.first = scope;
    pthread_mutex_unlock(&detached.lock);
    return scope;
}

grd_status grd_scope_end(grd_scope *scope)
{
    const bool open = scope && grdi_scope_is_open(scope);
    if (open)
        grdi_scope_unstack(scope);
    if (open || (scope && take_detached(scope)))
        free_scope(scope);
    else if (scope)
        grdi_fail(GRD_ERROR_SCOPE, "scope_end", "this scope is not open on this thread");
    return grdi_self.latched;
}

/* Whether ending `scope`, which is open, ends `owner` too. */
static bool ends_with(const grd_scope *owner, const grd_scope *scope)
{
    const grd_scope *ended = grdi_self.scope;
    while (ended != owner && ended != scope)
        ended = ended->parent;
    return ended == owner;
}

grd_tensor *grd_scope_return(grd_scope *scope, grd_tensor *result)
{
    grdi_object *object = (grdi_object *)result;
    if (!scope || !grdi_scope_is_open(scope))
        return grdi_fail(GRD_ERROR_SCOPE, "scope_return", "this scope is not open on this thread");
    if (!object || !ends_with(atomic_load_explicit(&object->scope, memory_order_relaxed), scope)) {
        grd_scope_end(scope);
        return result;
    }

    grdi_retain(object);
    grd_scope_end(scope);
    if (grdi_self.scope) {
        grdi_scope_own(object);
        return result;
    }
    grdi_release(object);
    return grdi_fail(GRD_ERROR_SCOPE, "scope_return",
                     "no scope is open around this one (use grd_keep)");
}
