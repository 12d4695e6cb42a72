/* gradus train --replay: the run that a case file states, step by step. */
#include "nn/archive.h"
#include "nn/module.h"
#include "tools/setup.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct replay {
    options o; /* the case's */
    const grdi_archive *file;
    grd_tensor *tokens, *targets; /* (steps, B, T) */
    grd_module *model;
    grd_optimizer *optimizer;
    grd_schedule schedule;
    double *losses, *grad_norms; /* of each step */
} replay;

static bool refuse(const replay *r, const char *what)
{
    grd_fail(GRD_ERROR_FORMAT, "replay", "%s: %s", r->file->file, what);
    return false;
}

static bool read_attribute(replay *r, const grdi_value *e)
{
    char number[64], label[256], nearest[128];
    const option *row = option_named(e->path, REPLAY);
    const char *text = e->kind == GRDI_TEXT ? e->text : number;
    snprintf(label, sizeof label, "%s: %s", r->file->file, e->path);
    if (strcmp(e->path, "module") == 0)
        return (e->kind == GRDI_TEXT && strcmp(text, "toy_transformer") == 0) ||
               refuse(r, "module is not toy_transformer");
    if (!row) {
        grd_fail(GRD_ERROR_FORMAT, "replay", "%s: unknown attribute %s%s", r->file->file, e->path,
                 nearest_option(e->path, REPLAY, true, nearest));
        return false;
    }
    if (e->kind == GRDI_INTEGER)
        snprintf(number, sizeof number, "%" PRId64, e->integer);
    else if (e->kind == GRDI_REAL)
        snprintf(number, sizeof number, "%.17g", e->real);
    return set_option(&r->o, row, text, FROM_CONFIG, label);
}

static bool read_attributes(replay *r)
{
    for (int i = 0; i < r->file->count; i++) {
        const grdi_value *e = &r->file->values[i];
        if (e->kind != GRDI_ARRAY && !read_attribute(r, e))
            return false;
    }
    for (size_t i = 0; i < num_options(); i++) {
        char key[64], words[128];
        if (!(option_at(i)->commands & REPLAY) || r->o.source[i] == FROM_CONFIG)
            continue;
        snprintf(words, sizeof words, "attribute %s is missing", key_of(option_at(i), key));
        return refuse(r, words);
    }
    return grdi_get(r->file, "module", GRDI_TEXT);
}

/* i64 (steps, B, T); NULL with an error latched. */
static grd_tensor *read_tokens(const replay *r, const char *name)
{
    const grdi_value *e = grdi_get(r->file, name, GRDI_ARRAY);
    if (e && (e->dtype != GRD_I64 || e->shape.rank != 3))
        return grd_fail(GRD_ERROR_FORMAT, "replay", "%s: %s must be int64 (steps, B, T)",
                        r->file->file, name);
    return e ? grdi_value_tensor(r->file, e) : NULL;
}

static bool copy_parameter(const replay *r, grd_named parameter)
{
    char path[512];
    snprintf(path, sizeof path, "parameters/%s", parameter.name);
    const grdi_value *e = grdi_get(r->file, path, GRDI_ARRAY);
    if (!e)
        return false;
    const grd_shape needed = grd_tensor_shape(parameter.tensor);
    if (!grdi_shape_equal(&e->shape, &needed)) {
        grd_fail(GRD_ERROR_SHAPE, "replay", "%s: %s is %s, expected %s", r->file->file, path,
                 grdi_shape_text(&e->shape).chars, grdi_shape_text(&needed).chars);
        return false;
    }
    const grd_tensor *value = grdi_value_tensor(r->file, e);
    const grd_dtype dtype = grd_tensor_dtype(parameter.tensor);
    return grd_copy_(parameter.tensor, grd_cast(value, dtype)) == GRD_OK;
}

/* Whether something in the case has this path; the nearest that has, if not. */
static bool is_known(const replay *r, const char *path, grdi_nearest *nearest)
{
    static const char *const fixed[] = { "tokens", "targets" };
    for (int i = 0; i < 2; i++) {
        if (strcmp(path, fixed[i]) == 0)
            return true;
        grdi_nearest_try(nearest, fixed[i]);
    }
    for (int64_t i = 0; i < grd_module_num_parameters(r->model); i++) {
        const char *name = grd_module_parameter_at(r->model, i).name;
        if (strncmp(path, "parameters/", 11) == 0 && strcmp(path + 11, name) == 0)
            return true;
        if (strncmp(path, "parameters/", 11) == 0)
            grdi_nearest_try(nearest, name);
    }
    return false;
}

static bool read_parameters(const replay *r)
{
    for (int i = 0; i < r->file->count; i++) {
        const grdi_value *e = &r->file->values[i];
        const char *name = strncmp(e->path, "parameters/", 11) == 0 ? e->path + 11 : e->path;
        grdi_nearest nearest = { .wanted = name };
        if (e->kind != GRDI_ARRAY || is_known(r, e->path, &nearest))
            continue;
        grd_fail(GRD_ERROR_FORMAT, "replay", "%s: unknown dataset %s%s", r->file->file, e->path,
                 grdi_nearest_text(&nearest).chars);
        return false;
    }
    grd_scope *scope = grd_scope_begin_no_grad();
    for (int64_t i = 0; i < grd_module_num_parameters(r->model); i++)
        if (!copy_parameter(r, grd_module_parameter_at(r->model, i)))
            break;
    return grd_scope_end(scope) == GRD_OK;
}

static bool read_case(replay *r, const char *path)
{
    r->file = grdi_archive_read("replay", path);
    if (!r->file || !read_attributes(r))
        return false;
    r->tokens = read_tokens(r, "tokens");
    r->targets = read_tokens(r, "targets");
    const grd_shape a = grd_tensor_shape(r->tokens), b = grd_tensor_shape(r->targets);
    if (r->tokens && r->targets && !grdi_shape_equal(&a, &b))
        return refuse(r, "tokens and targets have different shapes");
    r->o.steps = a.size[0];
    r->model = make_model(&r->o, grd_rng_create(0), r->o.vocab_size, r->o.context,
                          r->o.causal == 1 ? GRD_CAUSAL : GRD_BIDIRECTIONAL);
    if (!r->model || !read_parameters(r))
        return false;
    r->optimizer = make_optimizer(&r->o, r->model);
    r->schedule = make_schedule(&r->o);
    return r->optimizer;
}

static void retrace_step(const replay *r, int64_t t)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *logits = grd_forward(r->model, grd_select(r->tokens, 0, t));
    const grd_tensor *loss = grd_cross_entropy(logits, grd_select(r->targets, 0, t), NULL);
    grd_backward(loss);
    r->losses[t] = grd_item(loss);
    r->grad_norms[t] = grd_clip_grad_norm(r->model, r->o.clip_norm > 0 ? r->o.clip_norm : INFINITY);
    grd_optimizer_step(r->optimizer, grd_schedule_at(&r->schedule, t));
    grd_scope_end(scope);
}

static grd_status retrace(replay *r, const char *path)
{
    grdi_archive *result = grdi_archive_create("replay", path);
    const grd_shape steps = GRD_SHAPE(r->o.steps);
    r->losses = grdi_put_array(result, "losses", GRD_F64, &steps);
    r->grad_norms = grdi_put_array(result, "grad_norms", GRD_F64, &steps);
    for (int64_t t = 0; r->grad_norms && t < r->o.steps; t++)
        retrace_step(r, t);
    for (int64_t i = 0; i < grd_module_num_parameters(r->model); i++) {
        char name[512];
        const grd_named parameter = grd_module_parameter_at(r->model, i);
        snprintf(name, sizeof name, "parameters/%s", parameter.name);
        grdi_put_tensor(result, name, parameter.tensor);
    }
    grdi_archive_write(result);
    return grd_scope_end(NULL);
}

/* What the case states cannot be said on the command line too. */
static bool only_its_own(const options *o)
{
    static const char *const allowed = " replay output dtype device threads ";
    for (size_t i = 0; i < num_options(); i++) {
        char name[66];
        snprintf(name, sizeof name, " %s ", option_at(i)->name);
        if (o->source[i] >= FROM_CONFIG && !strstr(allowed, name))
            return complain("--%s: with --replay the case file says it", option_at(i)->name);
    }
    return true;
}

static int replay_into(replay *r, const options *o)
{
    grd_scope *scope = open_scope(o);
    /* A bad attribute has been told already; everything else is latched. */
    const bool fine = read_case(r, o->replay) && retrace(r, o->output) == GRD_OK;
    const bool latched = grd_scope_end(scope) != GRD_OK;
    if (latched)
        return complain_of_library();
    return fine ? 0 : EXIT_FAILED;
}

int run_replay(options *o)
{
    replay r = { 0 };
    if (!o->replay || !o->output)
        return complain("--replay CASE.h5 and --output RESULT.h5 belong together"), EXIT_USAGE;
    if (!only_its_own(o))
        return EXIT_USAGE;
    options_init(&r.o);
    const int status = replay_into(&r, o);
    options_free(&r.o);
    return status;
}
