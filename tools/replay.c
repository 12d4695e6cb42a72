/* gradus train --replay: the run that a case file states, step by step. */
#include "tools/case.h"
#include "tools/setup.h"
#include "tools/tools.h"

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

/* A case states everything that a run depends on. */
static bool read_attributes(replay *r)
{
    static const char *const modules[] = { "toy_transformer", NULL };
    if (case_module(r->file, modules) < 0 || !case_attributes(r->file, REPLAY, &r->o))
        return false;
    for (size_t i = 0; i < num_options(); i++)
        if ((option_at(i)->commands & REPLAY) &&
            !case_requires(r->file, &r->o, option_at(i)->name, REPLAY))
            return false;
    return true;
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

static bool read_case(replay *r, const char *path)
{
    static const char *const datasets[] = { "tokens", "targets", NULL };
    r->file = case_read("replay", path);
    if (!r->file || !read_attributes(r))
        return false;
    r->tokens = read_tokens(r, "tokens");
    r->targets = read_tokens(r, "targets");
    const grd_shape a = grd_tensor_shape(r->tokens), b = grd_tensor_shape(r->targets);
    if (r->tokens && r->targets && !grdi_shape_equal(&a, &b))
        return case_refuse(r->file, "tokens and targets have different shapes");
    r->o.steps = a.size[0];
    r->model = make_model(&r->o, grd_rng_create(0), r->o.vocab_size, r->o.context,
                          r->o.causal == 1 ? GRD_CAUSAL : GRD_BIDIRECTIONAL);
    if (!r->model || !case_knows_all(r->file, datasets, r->model) ||
        !case_parameters(r->file, r->model))
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
        const grd_named parameter = grd_module_parameter_at(r->model, i);
        case_put(result, "parameters", parameter.name, parameter.tensor);
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
