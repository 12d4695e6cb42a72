#include "nn/checkpoint.h"

#include "tensor/front.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LISTED = 3 }; /* names in a message */

bool grdi_restore_init(grdi_restore *restore, const grdi_archive *archive, int64_t capacity)
{
    *restore = (grdi_restore){ .archive = archive };
    restore->tensors = grdi_scratch(archive->op, (size_t)capacity, sizeof *restore->tensors);
    return restore->tensors;
}

static bool may_become(const grdi_restore *restore, grd_dtype found, grd_dtype wanted)
{
    const bool integers =
        found == GRD_I64 || found == GRD_BOOL || wanted == GRD_I64 || wanted == GRD_BOOL;
    return found == wanted || (restore->convert && !integers);
}

static bool fits(const grdi_restore *restore, const grdi_value *value, const char *name,
                 const grd_tensor *to)
{
    const grdi_archive *archive = restore->archive;
    const grd_dtype dtype = grd_tensor_dtype(to);
    if (!grdi_has_shape(&to->array, &value->shape))
        return grdi_fail(GRD_ERROR_MISMATCH, archive->op, "%s: %s: found %s, expected %s",
                         archive->file, name, grdi_shape_text(&value->shape).chars,
                         grdi_size_text(to).chars);
    if (grdi_overlaps(&to->array))
        return grdi_fail(GRD_ERROR_STATE, archive->op,
                         "%s is an expanded view: its elements overlap", name);
    return may_become(restore, value->dtype, dtype) ||
           grdi_fail(GRD_ERROR_MISMATCH, archive->op, "%s: %s: found %s, expected %s",
                     archive->file, name, grdi_dtype_name(value->dtype), grdi_dtype_name(dtype));
}

static grd_tensor *stage(const grdi_archive *archive, const grdi_value *value, const grd_tensor *to)
{
    grd_tensor *from =
        grdi_tensor_create(archive->op, &value->shape, value->dtype, grdi_device(to));
    return from && grdi_upload(archive->op, from, value->data) ? from : NULL;
}

bool grdi_restore_add(grdi_restore *restore, const char *path, const char *name, grd_tensor *to)
{
    const grdi_archive *archive = restore->archive;
    const grdi_value *value = grdi_find(archive, path, GRDI_ARRAY);
    if (!value)
        return grdi_fail(GRD_ERROR_MISMATCH, archive->op, "%s: holds no %s", archive->file, name);
    grd_tensor *from = fits(restore, value, name, to) ? stage(archive, value, to) : NULL;
    if (from)
        restore->tensors[restore->count++] = (grdi_restored){ to, from };
    return from;
}

/* ---- The model ---- */

static const char prefix[] = "model/";

/* The name of the i-th value if it is one of the model's. */
static const char *model_name(const grdi_archive *archive, int i)
{
    const grdi_value *value = &archive->values[i];
    const size_t length = sizeof prefix - 1;
    return value->kind == GRDI_ARRAY && strncmp(value->path, prefix, length) == 0
               ? value->path + length
               : NULL;
}

static bool has_state(const grd_module *model, const char *name)
{
    const int64_t count = grdi_module_num_states(model);
    for (int64_t i = 0; i < count; i++)
        if (strcmp(grdi_module_state(model, i).name, name) == 0)
            return true;
    return false;
}

static bool holds(const grdi_archive *archive, const char *name)
{
    for (int i = 0; i < archive->count; i++) {
        const char *found = model_name(archive, i);
        if (found && strcmp(found, name) == 0)
            return true;
    }
    return false;
}

/* A list that ends in ", ..." when it is long. */
typedef struct names {
    char text[220];
    int count;
} names;

static void __attribute__((format(printf, 2, 3))) list(names *names, const char *format, ...)
{
    const size_t used = strlen(names->text);
    char *end = names->text + used;
    const size_t room = sizeof names->text - used;
    va_list arguments;
    if (names->count++ >= LISTED) {
        if (names->count == LISTED + 2)
            snprintf(end, room, ", ...");
        return;
    }
    const int comma = snprintf(end, room, names->count > 1 ? ", " : "");
    va_start(arguments, format);
    vsnprintf(end + comma, room - (size_t)comma, format, arguments);
    va_end(arguments);
}

/* The name, and the nearest of those that the file holds and the model does not have. */
static void list_missing(names *missing, const grdi_archive *archive, const grd_module *model,
                         const char *name)
{
    grdi_nearest nearest = { .wanted = name };
    for (int i = 0; i < archive->count && missing->count < LISTED; i++) {
        const char *found = model_name(archive, i);
        if (found && !has_state(model, found))
            grdi_nearest_try(&nearest, found);
    }
    list(missing, "%.60s%s", name, grdi_nearest_text(&nearest).chars);
}

static bool same_names(const grdi_archive *archive, const grd_module *model)
{
    names missing = { .count = 0 }, extra = { .count = 0 };
    const int64_t count = grdi_module_num_states(model);
    for (int64_t i = 0; i < count; i++) {
        const char *name = grdi_module_state(model, i).name;
        if (!holds(archive, name))
            list_missing(&missing, archive, model, name);
    }
    for (int i = 0; i < archive->count; i++) {
        const char *found = model_name(archive, i);
        if (found && !has_state(model, found))
            list(&extra, "%.60s", found);
    }
    if (!missing.count && !extra.count)
        return true;
    return grdi_fail(GRD_ERROR_MISMATCH, archive->op,
                     "%s: of the model's parameters it lacks %d%s%s, and it holds %d unknown%s%s",
                     archive->file, missing.count, missing.count ? ": " : "", missing.text,
                     extra.count, extra.count ? ": " : "", extra.text);
}

bool grdi_restore_model(grdi_restore *restore, const grd_module *model)
{
    if (!same_names(restore->archive, model))
        return false;
    const int64_t count = grdi_module_num_states(model);
    for (int64_t i = 0; i < count; i++) {
        char path[sizeof prefix + GRDI_PATH_BYTES];
        const grdi_state state = grdi_module_state(model, i);
        snprintf(path, sizeof path, "%s%s", prefix, state.name);
        if (!grdi_restore_add(restore, path, state.name, state.tensor))
            return false;
    }
    return !grdi_latched();
}

bool grdi_restore_commit(const grdi_restore *restore)
{
    grd_scope scope;
    if (grdi_latched())
        return false;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    bool done = true;
    for (int64_t i = 0; done && i < restore->count; i++) {
        const grdi_restored *tensor = &restore->tensors[i];
        done = grdi_may_write(restore->archive->op, tensor->to) &&
               grdi_copy_to(restore->archive->op, &tensor->to->array, tensor->from);
    }
    grd_scope_end(&scope);
    return done;
}
