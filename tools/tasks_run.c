/* One toy: trained until unseen sequences are right, then measured. */
#include "tools/evaluate.h"
#include "tools/signals.h"
#include "tools/step.h"
#include "tools/tasks.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { BATCH = 64, MEASURED = 256 };

/* ---- Training ---- */

/* What gradus train would be told. */
static bool set_options(options *o, const toy *t, const options *asked)
{
    options_init(o);
    o->embed_dim = t->embed_dim;
    o->num_heads = t->heads;
    o->num_layers = t->layers;
    o->ff_dim = t->attention_only ? 1 : 0;
    o->weight_decay = t->weight_decay;
    o->batch_size = BATCH;
    o->steps = asked->task_steps > 0 ? asked->task_steps : t->steps;
    o->seed = asked->seed;
    o->threads = asked->threads;
    return set_option(o, option_named("task", TRAIN), t->task, FROM_COMMAND, "task");
}

/* A feed-forward part that adds nothing, and never will. */
static void silence(grd_module *block)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    grd_fill_(grd_module_parameter(block, "linear2.weight"), 0);
    grd_fill_(grd_module_parameter(block, "linear2.bias"), 0);
    grd_scope_end(scope);
    grd_module_freeze(grd_module_get(block, "linear1"));
    grd_module_freeze(grd_module_get(block, "linear2"));
}

static void shape_model(const toy *t, const setup *s)
{
    double deviation = t->deviation;
    if (deviation > 0)
        grd_module_initialize(s->model, "*embedding.weight", grd_init_normal, s->rng, &deviation);
    for (int64_t i = 0; i < t->layers && t->attention_only; i++) {
        char path[32];
        snprintf(path, sizeof path, "blocks.%" PRId64, i);
        silence(grd_module_get(s->model, path));
    }
}

/* Whether the target is reached; *going is false after a signal or an error. */
static bool try_unseen(const stepper *s, progress *p, bool *going)
{
    const evaluation e = evaluate(s->s.model, s->s.validation, 0);
    grd_module_train(s->s.model, s->s.rng);
    *going = !isnan(e.right);
    if (*going)
        progress_say(p, "step %" PRId64 "  %.1f%% of unseen sequences right", s->step,
                     100 * e.right);
    return e.right * 100 >= TOY_TARGET_PERCENT;
}

static bool train(const toy *t, stepper *s, toy_result *result)
{
    progress p;
    bool going = true;
    const double start = seconds_now();
    result->steps = -1;
    progress_begin(&p, 0, s->o->steps, s->o->steps / 4);
    while (going && result->steps < 0 && s->step < s->o->steps) {
        step_report report;
        going = train_step(s, &report) && !caught_signal();
        if (!going)
            break;
        progress_step(&p, &report);
        if ((s->step % t->every == 0 || s->step == s->o->steps) && try_unseen(s, &p, &going))
            result->steps = s->step;
    }
    progress_end(&p);
    result->seconds = seconds_now() - start;
    return going;
}

/* ---- Measuring ---- */

static grd_data *unseen(const stepper *s, int64_t batch_size, uint64_t seed)
{
    return grd_data_task(s->o->task, &(grd_task_options){ .part = GRD_VALIDATION,
                                                          .batch_size = batch_size,
                                                          .seed = (uint64_t)s->o->seed + seed });
}

/* The head of any layer that has most of its weight in the pattern. */
static bool find_head(const grd_transformer_output *out, const grd_score_options *options,
                      int64_t num_heads, toy_head *best)
{
    for (int64_t layer = 0; layer < out->num_layers; layer++) {
        grd_head_scores scores[16];
        if (grd_score_heads(out->layers[layer].weights, options, scores, num_heads) != GRD_OK)
            return false;
        for (int64_t h = 0; h < num_heads; h++) {
            const grd_pattern_score *s = &scores[h].patterns[GRD_PATTERN_OWN];
            if ((layer || h) && !(s->score > best->score.score))
                continue;
            best->layer = layer;
            best->head = h;
            best->score = *s;
        }
    }
    return true;
}

static bool find_heads(const toy *t, const grd_data *data, const stepper *s, grd_batch batch,
                       toy_result *result)
{
    const grd_transformer_output out = grd_transformer_forward(
        s->s.model, batch.inputs, &(grd_mha_args){ .weights = GRD_PER_HEAD });
    const int64_t context = grd_data_context(data);
    const grd_mask mask = { .causal = grd_data_causal(data) };
    const grd_tensor *visible = grd_mask_visible(&mask, GRD_SHAPE(1, 1, context, context));
    result->num_heads = grd_data_num_patterns(data);
    for (int64_t i = 0; i < result->num_heads; i++) {
        const grd_task_pattern p = grd_data_pattern(data, i, batch.inputs);
        const grd_score_options options = { .visible = visible,
                                            .pattern = p.keys,
                                            .queries = p.queries };
        result->heads[i].pattern = p.name;
        if (!out.logits || !visible || !p.keys ||
            !find_head(&out, &options, t->heads, &result->heads[i]))
            return false;
    }
    return true;
}

static grd_tensor *loss_of(grd_module *model, void *user)
{
    const grd_batch *batch = user;
    return grd_cross_entropy(grd_forward(model, batch->inputs), batch->targets, NULL);
}

static bool ablate(const toy *t, const stepper *s, grd_batch batch, toy_result *result)
{
    const grd_head_effects all = grd_ablate_heads(s->s.model, loss_of, &batch);
    const toy_head *best = &result->heads[0];
    if (!all.heads)
        return false;
    result->effect = all.heads[best->layer * t->heads + best->head];
    result->effect.module = NULL;
    return true;
}

static bool measure(const toy *t, const stepper *s, toy_result *result)
{
    const grd_data *data = unseen(s, MEASURED, 2);
    const grd_data *fresh = unseen(s, BATCH, 1);
    grd_module_eval(s->s.model);
    result->parameters = grd_module_num_values(s->s.model);
    result->right = evaluate(s->s.model, fresh, 0).right;
    grd_scope *scope = grd_scope_begin_no_grad();
    const grd_batch batch = grd_batch_at(data, 0);
    const bool done = find_heads(t, data, s, batch, result) && ablate(t, s, batch, result);
    return grd_scope_end(scope) == GRD_OK && done && !caught_signal();
}

double toy_score_wanted(const toy_head *head)
{
    const double uniform = head->score.uniform;
    return fmin(5 * uniform, (1 + uniform) / 2);
}

bool run_toy(const toy *t, const options *asked, toy_result *result)
{
    options o;
    stepper s = { 0 };
    *result = (toy_result){ 0 };
    const bool begun = set_options(&o, t, asked) && stepper_begin(&s, &o);
    grd_scope *scope = begun ? open_scope(&o) : NULL;
    bool done = false;
    if (scope) {
        s.s = make_setup(&o);
        shape_model(t, &s.s);
        done = grd_last_error().status == GRD_OK && train(t, &s, result) && measure(t, &s, result);
        done = grd_scope_end(scope) == GRD_OK && done;
    }
    stepper_end(&s);
    options_free(&o);
    return done;
}
