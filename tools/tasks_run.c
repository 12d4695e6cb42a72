/* One toy: trained until unseen sequences are right, then measured. */
#include "tools/evaluate.h"
#include "tools/signals.h"
#include "tools/step.h"
#include "tools/tasks.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

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
    if (t->weight_decay > 0)
        o->weight_decay = t->weight_decay;
    o->batch_size = BATCH;
    o->steps = asked->task_steps > 0 ? asked->task_steps : t->steps;
    o->seed = asked->seed;
    o->threads = asked->threads;
    return set_option(o, option_named("task", TRAIN), t->task, FROM_COMMAND, "task") &&
           set_option(o, option_named("device", TRAIN), asked->device, FROM_COMMAND, "device");
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

/* Half as many steps again, in which the learning rate falls to 0: at the edge of the target, and
 * at the full rate, it would be luck whether the next sequences are right. */
static int64_t settle(stepper *s)
{
    const int64_t last = s->step + s->step / 2;
    s->s.schedule = (grd_schedule){
        .shape = GRD_COSINE, .lr = s->o->lr, .warmup_steps = s->step, .total_steps = last
    };
    return last;
}

static bool train(const toy *t, stepper *s, toy_result *result)
{
    progress p;
    bool going = true;
    int64_t last = s->o->steps;
    const clock_t start = clock();
    result->steps = -1;
    progress_begin(&p, 0, s->o->steps, s->o->steps / 4);
    while (going && s->step < last) {
        going = train_step(s) && stepper_wait(s) == 1 && !caught_signal();
        if (!going)
            break;
        const step_report report = stepper_tell(s, 0);
        progress_step(&p, &report);
        const bool due = s->step % t->every == 0 || s->step == s->o->steps;
        if (due && result->steps < 0 && try_unseen(s, &p, &going)) {
            result->steps = s->step;
            p.total = last = settle(s);
        }
    }
    progress_end(&p);
    result->seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    return going;
}

/* ---- Measuring ---- */

static grd_data *unseen(const stepper *s, int64_t batch_size, uint64_t seed)
{
    return grd_data_task(s->o->task, &(grd_task_options){ .part = GRD_VALIDATION,
                                                          .batch_size = batch_size,
                                                          .seed = (uint64_t)s->o->seed + seed });
}

/* Scores of one layer's heads in one pattern. */
static bool score_layer(const grd_tensor *weights, const grd_score_options *options,
                        int64_t pattern, int64_t count, toy_head *heads)
{
    grd_head_scores scores[MOST_TOY_HEADS];
    if (grd_score_heads(weights, options, scores, count) != GRD_OK)
        return false;
    for (int64_t h = 0; h < count; h++)
        heads[h].scores[pattern] = scores[h].patterns[GRD_PATTERN_OWN];
    return true;
}

static int best_in(const toy_result *r, int64_t pattern)
{
    int best = 0;
    for (int h = 1; h < r->num_heads; h++)
        if (r->heads[h].scores[pattern].score > r->heads[best].scores[pattern].score)
            best = h;
    return best;
}

static bool score(const toy *t, const grd_data *data, grd_module *model, grd_batch batch,
                  toy_result *r)
{
    const grd_transformer_output out =
        grd_transformer_forward(model, batch.inputs, &(grd_mha_args){ .weights = GRD_PER_HEAD });
    const int64_t context = grd_data_context(data);
    const grd_mask mask = { .causal = grd_data_causal(data) };
    const grd_tensor *visible = grd_mask_visible(&mask, GRD_SHAPE(1, 1, context, context));
    r->num_patterns = grd_data_num_patterns(data);
    for (int64_t i = 0; i < r->num_patterns; i++) {
        const grd_task_pattern p = grd_data_pattern(data, i, batch.inputs);
        const grd_score_options options = { .visible = visible,
                                            .pattern = p.keys,
                                            .queries = p.queries };
        r->patterns[i] = p.name;
        for (int64_t layer = 0; layer < t->layers; layer++)
            if (!p.keys || !out.logits ||
                !score_layer(out.layers[layer].weights, &options, i, t->heads,
                             &r->heads[layer * t->heads]))
                return false;
        r->best[i] = best_in(r, i);
    }
    return true;
}

static grd_tensor *loss_of(grd_module *model, void *user)
{
    const grd_batch *batch = user;
    return grd_cross_entropy(grd_forward(model, batch->inputs), batch->targets, NULL);
}

static bool ablate(const toy *t, grd_module *model, grd_batch batch, toy_result *r)
{
    const grd_head_effects all = grd_ablate_heads(model, loss_of, &batch);
    r->num_heads = all.num_heads;
    for (int64_t i = 0; i < all.num_heads; i++) {
        r->heads[i] = (toy_head){ i / t->heads, i % t->heads, .effect = all.heads[i] };
        r->heads[i].effect.module = NULL;
    }
    return all.heads;
}

static grd_tensor *zeros(const grd_heads *heads, void *unused)
{
    (void)unused;
    return grd_zeros_like(heads->output);
}

static grd_tensor *means(const grd_heads *heads, void *unused)
{
    (void)unused;
    const grd_tensor *mean = grd_mean_dims(heads->output, GRD_DIMS(0, 2), GRD_KEEP_DIMS);
    return grd_expand(mean, grd_tensor_shape(heads->output));
}

/* The loss with something in the place of all heads; NULL: with the heads. */
static double loss_with(grd_module *model, grd_batch batch, grd_heads_hook hook)
{
    grd_scope *scope = grd_scope_begin();
    grd_on_heads(scope, hook, NULL);
    const double loss = grd_item(loss_of(model, &batch));
    grd_scope_end(scope);
    return loss;
}

/* What the answers cost without the heads that should give them. */
static void take_away(const toy *t, grd_module *model, grd_batch batch, toy_result *r)
{
    const grd_head_effect *best = &r->heads[r->best[0]].effect;
    r->zero = best->zero;
    r->mean = best->mean;
    if (!t->together)
        return;
    grd_module_eval(model);
    const double loss = loss_with(model, batch, NULL);
    r->zero = loss_with(model, batch, zeros) - loss;
    r->mean = loss_with(model, batch, means) - loss;
}

static bool measure(const toy *t, const stepper *s, toy_result *r)
{
    const grd_data *data = unseen(s, MEASURED, 2), *fresh = unseen(s, BATCH, 1);
    grd_module *model = s->s.model;
    r->parameters = grd_module_num_values(model);
    r->right = evaluate(model, fresh, 0).right;
    grd_scope *scope = grd_scope_begin_no_grad();
    const grd_batch batch = grd_batch_at(data, 0);
    const bool done = ablate(t, model, batch, r) && score(t, data, model, batch, r);
    if (done)
        take_away(t, model, batch, r);
    return grd_scope_end(scope) == GRD_OK && done && !caught_signal();
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
        done = grd_scope_end(NULL) == GRD_OK && train(t, &s, result) && measure(t, &s, result);
        done = grd_scope_end(scope) == GRD_OK && done;
    }
    stepper_end(&s);
    options_free(&o);
    return done;
}
