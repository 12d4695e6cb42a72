#include "nn/module.h"

#include "autograd/trace.h"

#include <stdio.h>
#include <string.h>

/* ---- Arrays that grow ---- */

/* Makes room for one more item; false when out of memory. */
static bool reserve(const char *op, grdi_items *array, size_t item)
{
    if (array->count < array->capacity)
        return true;
    const int64_t capacity = array->capacity ? 2 * array->capacity : 4;
    void *items = grdi_allocate((size_t)capacity * item);
    if (!items)
        return grdi_fail_memory(op, (size_t)capacity * item);
    if (array->count)
        memcpy(items, array->items, (size_t)array->count * item);
    grdi_free(array->items, (size_t)array->capacity * item);
    array->items = items;
    array->capacity = capacity;
    return true;
}

static void free_items(grdi_items *array, size_t item)
{
    grdi_free(array->items, (size_t)array->capacity * item);
}

static grd_module **parent_at(const grd_module *self, int64_t i)
{
    return (grd_module **)self->parents.items + i;
}

/* ---- Making and freeing ---- */

/* Forgets one of the places that `child` has in `parent`. */
static void unlink_parent(grd_module *child, const grd_module *parent)
{
    grdi_items *parents = &child->parents;
    for (int64_t i = 0; i < parents->count; i++) {
        if (*parent_at(child, i) != parent)
            continue;
        for (parents->count--; i < parents->count; i++)
            *parent_at(child, i) = *parent_at(child, i + 1);
        return;
    }
}

static void module_destroy(void *object)
{
    grd_module *self = object;
    for (int64_t i = 0; i < self->entries.count; i++) {
        grdi_entry *entry = grdi_entry_at(self, i);
        if (entry->kind == GRDI_CHILD)
            unlink_parent(entry->child, self);
        grdi_release(entry->held);
    }
    free_items(&self->entries, sizeof(grdi_entry));
    free_items(&self->parents, sizeof(grd_module *));
    free_items(&self->hooks, sizeof(grdi_hook));
    grdi_listing_free(self->listing);
    grdi_release(self->rng);
    grdi_free(self, self->bytes);
}

static const grdi_type module_type = { "module", module_destroy };

static grd_module *create(const grdi_kind *kind, const char *name, size_t data_size,
                          grd_module_function forward)
{
    if (!grdi_may_make("module_create"))
        return NULL;
    const size_t bytes = sizeof(grd_module) + data_size;
    grd_module *self = bytes > data_size ? grdi_allocate(bytes) : NULL;
    if (!self)
        return grdi_fail_memory("module_create", bytes);

    memset(self, 0, bytes);
    grdi_object_init(&self->object, &module_type);
    self->kind = kind;
    snprintf(self->kind_name, sizeof self->kind_name, "%s", name);
    self->forward = forward;
    self->bytes = bytes;
    grdi_scope_own(&self->object);
    return self;
}

grd_module *grdi_module_create(const grdi_kind *kind)
{
    return create(kind, kind->name, kind->data_size, kind->forward);
}

grd_module *grd_module_create(const char *kind, size_t data_size, grd_module_function forward)
{
    return kind ? create(NULL, kind, data_size, forward) : grdi_fail_null("module_create");
}

void *grd_module_data(const grd_module *self)
{
    return self ? (void *)self->data : NULL;
}

void *grdi_module_data_of(const char *op, const grd_module *self, const grdi_kind *kind)
{
    if (!self)
        return grdi_fail_null(op);
    if (self->kind != kind)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "the module must be a %s, not %s", kind->name,
                         grdi_module_text(self).chars);
    return (void *)self->data;
}

/* ---- Paths ---- */

static const char *name_in(const grd_module *parent, const grd_module *child)
{
    for (int64_t i = 0; i < parent->entries.count; i++)
        if (grdi_entry_at(parent, i)->child == child)
            return grdi_entry_at(parent, i)->name;
    return "?";
}

/* Writes the path backwards from the end of `chars`, as far as it fits; returns where it starts. */
static char *write_path(const grd_module *self, char *chars, size_t size)
{
    char *at = chars + size - 1;
    for (*at = '\0'; self->parents.count; self = *parent_at(self, 0)) {
        const char *name = name_in(*parent_at(self, 0), self);
        const size_t length = strlen(name), dot = *at != '\0';
        if (length + dot > (size_t)(at - chars))
            break;
        if (dot)
            *--at = '.';
        at -= length;
        memcpy(at, name, length);
    }
    return at;
}

grdi_text grdi_module_text(const grd_module *self)
{
    char path[sizeof(grdi_text) - GRDI_NAME_BYTES - 4];
    const char *start = write_path(self, path, sizeof path);
    grdi_text text;
    snprintf(text.chars, sizeof text.chars, *start ? "%s (%s)" : "%s%s", start, self->kind_name);
    return text;
}

/* ---- Adding ---- */

static bool is_name(const char *name)
{
    const size_t length = strlen(name);
    bool good = length > 0 && length < GRDI_NAME_BYTES;
    for (size_t i = 0; good && i < length; i++)
        good = (unsigned char)name[i] > ' ' && name[i] != 127 && !strchr("./*?", name[i]);
    return good;
}

/* Whether self may get an entry of this name. */
static bool may_add(const char *op, const grd_module *self, const char *name, const void *added)
{
    static const char *const what[] = { "parameter", "buffer", "module" };
    if (!self || !name || !added)
        return grdi_fail_null(op);
    if (grdi_latched())
        return false;
    if (!is_name(name))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "\"%.80s\" is no name: 1 to 63 characters without spaces and . / * ?",
                         name);
    for (int64_t i = 0; i < self->entries.count; i++)
        if (strcmp(grdi_entry_at(self, i)->name, name) == 0)
            return grdi_fail(GRD_ERROR_ARGUMENT, op, "%s has a %s \"%s\" already",
                             grdi_module_text(self).chars, what[grdi_entry_at(self, i)->kind],
                             name);
    return true;
}

/* After a change below self, lists of names are out of date. */
static void forget_listings(grd_module *self)
{
    grdi_listing_free(self->listing);
    self->listing = NULL;
    for (int64_t i = 0; i < self->parents.count; i++)
        forget_listings(*parent_at(self, i));
}

/* For which there is room. */
static void append(grd_module *self, const char *name, grdi_entry_kind kind, void *added)
{
    grdi_entry *entry = grdi_entry_at(self, self->entries.count++);
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->kind = kind;
    entry->held = grdi_retain(added);
    forget_listings(self);
}

static int levels_above(const grd_module *self)
{
    int most = 0;
    for (int64_t i = 0; i < self->parents.count; i++) {
        const int levels = 1 + levels_above(*parent_at(self, i));
        most = levels > most ? levels : most;
    }
    return most;
}

static int levels_below(const grd_module *self)
{
    int most = 0;
    for (int64_t i = 0; i < self->entries.count; i++) {
        const grdi_entry *entry = grdi_entry_at(self, i);
        const int levels = entry->kind == GRDI_CHILD ? 1 + levels_below(entry->child) : 0;
        most = levels > most ? levels : most;
    }
    return most;
}

bool grdi_module_is_below(const grd_module *self, const grd_module *above)
{
    bool found = self == above;
    for (int64_t i = 0; i < self->parents.count && !found; i++)
        found = grdi_module_is_below(*parent_at(self, i), above);
    return found;
}

grd_module *grd_module_add(grd_module *parent, const char *name, grd_module *child)
{
    const char *op = "module_add";
    if (!may_add(op, parent, name, child))
        return NULL;
    if (grdi_module_is_below(parent, child))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "%s cannot hold itself: it would be \"%s\" in %s",
                         grdi_module_text(child).chars, name, grdi_module_text(parent).chars);
    if (levels_above(parent) + 1 + levels_below(child) > GRDI_MAX_DEPTH)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "modules nest at most %d deep", GRDI_MAX_DEPTH);
    if (!reserve(op, &parent->entries, sizeof(grdi_entry)) ||
        !reserve(op, &child->parents, sizeof(grd_module *)))
        return NULL;
    *parent_at(child, child->parents.count++) = parent;
    append(parent, name, GRDI_CHILD, child);
    return child;
}

grd_tensor *grd_module_add_parameter(grd_module *self, const char *name, grd_tensor *value)
{
    const char *op = "module_add_parameter";
    if (!may_add(op, self, name, value))
        return NULL;
    if (!grdi_is_contiguous(&value->array))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "\"%s\" %s is not contiguous: optimizers change parameters in place (pass "
                         "grd_contiguous of it)",
                         name, grdi_size_text(value).chars);
    if (!reserve(op, &self->entries, sizeof(grdi_entry)) || !grd_require_grad(value))
        return NULL;
    append(self, name, GRDI_PARAMETER, value);
    return value;
}

grd_tensor *grd_module_add_buffer(grd_module *self, const char *name, grd_tensor *value)
{
    const char *op = "module_add_buffer";
    if (!may_add(op, self, name, value))
        return NULL;
    if (grd_tensor_requires_grad(value))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "\"%s\" requires grad, and a buffer is not trained (pass grd_detach of "
                         "it)",
                         name);
    if (!reserve(op, &self->entries, sizeof(grdi_entry)))
        return NULL;
    append(self, name, GRDI_BUFFER, value);
    return value;
}

/* ---- Exchanging ---- */

static int64_t entry_named(const grd_module *self, const char *name)
{
    int64_t i = 0;
    while (i < self->entries.count && strcmp(grdi_entry_at(self, i)->name, name) != 0)
        i++;
    return i;
}

static void remove_entry(grd_module *self, int64_t i)
{
    grdi_release(grdi_entry_at(self, i)->held);
    self->entries.count--;
    memmove(grdi_entry_at(self, i), grdi_entry_at(self, i + 1),
            (size_t)(self->entries.count - i) * sizeof(grdi_entry));
    forget_listings(self);
}

/* Moves the last entry to place i. */
static void move_last(grd_module *self, int64_t i)
{
    const int64_t last = self->entries.count - 1;
    const grdi_entry moved = *grdi_entry_at(self, last);
    memmove(grdi_entry_at(self, i + 1), grdi_entry_at(self, i),
            (size_t)(last - i) * sizeof(grdi_entry));
    *grdi_entry_at(self, i) = moved;
}

bool grdi_module_exchange(grd_module *self, const grdi_parameters *old,
                          const grdi_parameters *fresh)
{
    const int64_t place = entry_named(self, old->names[0]), before = self->entries.count;
    const bool trained = grd_tensor_requires_grad(grdi_entry_at(self, place)->tensor);
    for (int i = 0; i < fresh->count; i++)
        if (!grd_module_add_parameter(self, fresh->names[i], fresh->values[i])) {
            while (self->entries.count > before)
                remove_entry(self, self->entries.count - 1);
            return false;
        }
    for (int i = 0; i < fresh->count && !trained; i++)
        grdi_leaf_forget(fresh->values[i]);
    for (int i = 0; i < fresh->count; i++)
        move_last(self, place);
    for (int i = 0; i < old->count; i++)
        remove_entry(self, entry_named(self, old->names[i]));
    return true;
}

/* ---- Running ---- */

grd_status grd_on_forward(grd_module *self, grd_forward_hook hook, void *user)
{
    if (!self || !hook)
        grdi_fail_null("on_forward");
    if (!grdi_latched() && reserve("on_forward", &self->hooks, sizeof hook))
        ((grdi_hook *)self->hooks.items)[self->hooks.count++] = (grdi_hook){ hook, user };
    return grdi_self.latched;
}

/* Notes that self runs, and what the parameters below it are called, unless the module around has
 * said so. A failure latches, and so ends what the module would do. */
static void trace_module(grd_trace *trace, const grd_module *self)
{
    char chars[GRDI_PATH_BYTES];
    const char *path = write_path(self, chars, sizeof chars);
    const bool outermost = trace->call < 0;
    bool done = grdi_trace_enter(trace, self, path, self->kind_name);
    for (int64_t i = 0; outermost && done && i < grd_module_num_parameters(self); i++) {
        const grd_named named = grd_module_parameter_at(self, i);
        done = grdi_trace_name(trace, named.tensor, path, named.name);
    }
    for (int64_t i = 0; !outermost && done && i < self->entries.count; i++) {
        const grdi_entry *entry = grdi_entry_at(self, i);
        if (entry->kind == GRDI_PARAMETER)
            done = grdi_trace_name(trace, entry->tensor, path, entry->name);
    }
}

void grdi_module_enter(const grd_module *self)
{
    if (grdi_tracing())
        trace_module(grdi_tracing(), self);
}

void grdi_module_leave(const grd_module *self)
{
    if (grdi_tracing())
        grdi_trace_leave(grdi_tracing(), self);
}

void grdi_module_call_hooks(grd_module *self, const grd_tensor *y)
{
    for (int64_t i = 0; i < self->hooks.count; i++) {
        const grdi_hook hook = ((grdi_hook *)self->hooks.items)[i];
        hook.call(self, y, hook.user);
    }
}

grd_tensor *grd_forward(grd_module *self, const grd_tensor *x)
{
    if (!self || !x)
        return grdi_fail_null("forward");
    if (!grdi_may_make("forward"))
        return NULL;
    if (!self->forward)
        return grdi_fail(GRD_ERROR_ARGUMENT, "forward",
                         "%s is no module of one input: it has a function of its own, or only "
                         "holds others",
                         grdi_module_text(self).chars);
    grdi_module_enter(self);
    grd_tensor *y = self->forward(self, x);
    grdi_module_leave(self);
    if (!y)
        return grdi_fail(GRD_ERROR_STATE, "forward", "%s returned NULL without an error",
                         grdi_module_text(self).chars);
    grdi_module_call_hooks(self, y);
    return grdi_latched() ? NULL : y;
}

static void set_mode(grd_module *self, grdi_mode mode, grd_rng *rng)
{
    grdi_retain(rng);
    grdi_release(self->rng);
    self->rng = rng;
    self->mode = mode;
    for (int64_t i = 0; i < self->entries.count; i++)
        if (grdi_entry_at(self, i)->kind == GRDI_CHILD)
            set_mode(grdi_entry_at(self, i)->child, mode, rng);
}

grd_status grd_module_train(grd_module *self, grd_rng *rng)
{
    if (!self)
        grdi_fail_null("module_train");
    if (!grdi_latched())
        set_mode(self, GRDI_TRAINING, rng);
    return grdi_self.latched;
}

grd_status grd_module_eval(grd_module *self)
{
    if (!self)
        grdi_fail_null("module_eval");
    if (!grdi_latched())
        set_mode(self, GRDI_EVALUATING, NULL);
    return grdi_self.latched;
}

bool grdi_module_drops(const grd_module *self, double p, grd_rng **rng)
{
    if (p == 0 || self->mode == GRDI_EVALUATING)
        return false;
    if (self->mode == GRDI_MODE_UNSAID)
        return grdi_fail(GRD_ERROR_STATE, "forward",
                         "%s drops with p = %g: say first whether it does now, by grd_module_train "
                         "or grd_module_eval",
                         grdi_module_text(self).chars, p);
    if (!self->rng)
        return grdi_fail(GRD_ERROR_STATE, "forward",
                         "%s drops with p = %g, and grd_module_train was given no generator",
                         grdi_module_text(self).chars, p);
    *rng = self->rng;
    return true;
}
