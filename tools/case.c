#include "tools/case.h"
#include "nn/module.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const char parameters[] = "parameters/";

bool case_refuse(const grdi_archive *file, const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    grd_fail(GRD_ERROR_FORMAT, file->op, "%s: %s", file->file, words);
    return false;
}

/* The nearest name, however far. */
static grdi_text closest(const grdi_nearest *nearest, const char *name)
{
    grdi_text text = grdi_nearest_text(nearest);
    if (!nearest->name)
        return text;
    snprintf(text.chars, sizeof text.chars,
             text.chars[0] ? " (did you mean \"%s\"?)" : " (the closest that is known: \"%s\")",
             name);
    return text;
}

/* ---- Attributes ---- */

int case_module(const grdi_archive *file, const char *const modules[])
{
    const grdi_value *e = grdi_get(file, "module", GRDI_TEXT);
    grdi_nearest nearest = { .wanted = e ? e->text : "" };
    for (int i = 0; e && modules[i]; i++) {
        if (strcmp(e->text, modules[i]) == 0)
            return i;
        grdi_nearest_try(&nearest, modules[i]);
    }
    if (e)
        case_refuse(file, "module: \"%.80s\" is not known%s", e->text,
                    closest(&nearest, nearest.name).chars);
    return -1;
}

/* By its name in files, to the letter. */
static const option *option_of(const char *path, int commands)
{
    char key[64];
    const option *row = option_named(path, commands);
    return row && strcmp(key_of(row, key), path) == 0 ? row : NULL;
}

static bool refuse_attribute(const grdi_archive *file, const char *path, int commands)
{
    char wanted[128], key[64];
    snprintf(wanted, sizeof wanted, "%s", path);
    for (char *c = wanted; *c; c++)
        *c = *c == '_' ? '-' : *c;
    grdi_nearest nearest = { .wanted = wanted };
    for (size_t i = 0; i < num_options(); i++)
        if (option_at(i)->commands & commands)
            grdi_nearest_try(&nearest, option_at(i)->name);
    const char *name = nearest.name ? key_of(option_named(nearest.name, commands), key) : NULL;
    return case_refuse(file, "unknown attribute %.200s%s", path, closest(&nearest, name).chars);
}

static bool read_attribute(const grdi_archive *file, const grdi_value *e, int commands, options *o)
{
    char number[64], label[512];
    const option *row = option_of(e->path, commands);
    if (!row)
        return refuse_attribute(file, e->path, commands);
    if ((row->kind == TEXT) != (e->kind == GRDI_TEXT))
        return case_refuse(file, "attribute %s must be a %s", e->path,
                           row->kind == TEXT ? "string" : "number");
    if (e->kind == GRDI_INTEGER)
        snprintf(number, sizeof number, "%" PRId64, e->integer);
    else if (e->kind == GRDI_REAL)
        snprintf(number, sizeof number, "%.17g", e->real);
    snprintf(label, sizeof label, "%s: %s", file->file, e->path);
    return set_option(o, row, e->kind == GRDI_TEXT ? e->text : number, FROM_CONFIG, label);
}

bool case_attributes(const grdi_archive *file, int commands, options *o)
{
    for (int i = 0; i < file->count; i++) {
        const grdi_value *e = &file->values[i];
        const bool attribute = e->kind != GRDI_ARRAY && e->kind != GRDI_DOCUMENT;
        if (attribute && strcmp(e->path, "module") != 0 && !read_attribute(file, e, commands, o))
            return false;
    }
    return true;
}

bool case_states(const options *o, const char *name, int commands)
{
    return o->source[option_index(option_named(name, commands))] >= FROM_CONFIG;
}

bool case_requires(const grdi_archive *file, const options *o, const char *name, int commands)
{
    char key[64];
    return case_states(o, name, commands) ||
           case_refuse(file, "attribute %s is missing", key_of(option_named(name, commands), key));
}

/* ---- Datasets ---- */

/* Its name as a parameter; NULL if it lies elsewhere. */
static const char *parameter_name(const char *path)
{
    const size_t length = strlen(parameters);
    return strncmp(path, parameters, length) == 0 ? path + length : NULL;
}

static bool knows(const char *path, const char *const datasets[], const grd_module *model,
                  grdi_nearest *nearest)
{
    const char *name = model ? parameter_name(path) : NULL;
    nearest->wanted = name ? name : path;
    for (int64_t i = 0; name && i < grd_module_num_parameters(model); i++) {
        const char *known = grd_module_parameter_at(model, i).name;
        if (strcmp(name, known) == 0)
            return true;
        grdi_nearest_try(nearest, known);
    }
    for (int i = 0; !name && datasets[i]; i++) {
        if (strcmp(path, datasets[i]) == 0)
            return true;
        grdi_nearest_try(nearest, datasets[i]);
    }
    return false;
}

bool case_knows_all(const grdi_archive *file, const char *const datasets[], const grd_module *model)
{
    for (int i = 0; i < file->count; i++) {
        const grdi_value *e = &file->values[i];
        grdi_nearest nearest = { 0 };
        if (e->kind != GRDI_ARRAY && e->kind != GRDI_DOCUMENT)
            continue;
        if (!knows(e->path, datasets, model, &nearest))
            return case_refuse(file, "unknown dataset %.200s%s", e->path,
                               closest(&nearest, nearest.name).chars);
        if (e->kind == GRDI_DOCUMENT)
            return case_refuse(file, "%s must hold numbers, not text", e->path);
    }
    return true;
}

const grdi_value *case_array(const grdi_archive *file, const char *path, const grd_shape *shape)
{
    const grdi_value *e = grdi_get(file, path, GRDI_ARRAY);
    if (!e || grdi_shape_equal(&e->shape, shape))
        return e;
    return grd_fail(GRD_ERROR_SHAPE, file->op, "%s: %s is %s, expected %s", file->file, path,
                    grdi_shape_text(&e->shape).chars, grdi_shape_text(shape).chars);
}

static bool copy_parameter(const grdi_archive *file, grd_named parameter)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", parameters, parameter.name);
    const grd_shape needed = grd_tensor_shape(parameter.tensor);
    const grdi_value *e = case_array(file, path, &needed);
    if (!e)
        return false;
    if (e->dtype == GRD_I64 || e->dtype == GRD_BOOL)
        return case_refuse(file, "%s is %s, expected floating numbers", path,
                           grdi_dtype_name(e->dtype));
    const grd_dtype dtype = grd_tensor_dtype(parameter.tensor);
    return grd_copy_(parameter.tensor, grd_cast(grdi_value_tensor(file, e), dtype)) == GRD_OK;
}

bool case_parameters(const grdi_archive *file, grd_module *model)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    for (int64_t i = 0; i < grd_module_num_parameters(model); i++)
        if (!copy_parameter(file, grd_module_parameter_at(model, i)))
            break;
    return grd_scope_end(scope) == GRD_OK;
}

void case_put(grdi_archive *result, const char *prefix, const char *name, const grd_tensor *x)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", prefix, name);
    grdi_put_tensor(result, path, x);
}
