/* A transformer's attention: its debug path, which keeps weights, watched head by head. */
#include "view/attention_model.h"
#include "nn/files.h"
#include "nn/module.h"
#include "nn/transformer.h"
#include "view/page.h"

#include <stdio.h>
#include <string.h>

/* ---- One pass, watched ---- */

/* What a hook saw of each layer, in their order; held. */
typedef struct watched {
    grd_heads *layers;
    int64_t count, most;
} watched;

static grd_tensor *watch(const grd_heads *heads, void *user)
{
    watched *w = user;
    if (w->count == w->most)
        return NULL;
    grd_heads *kept = &w->layers[w->count++];
    *kept = (grd_heads){ .module = heads->module,
                         .query = grd_keep(heads->query),
                         .key = grd_keep(heads->key),
                         .value = grd_keep(heads->value) };
    return NULL;
}

static void let_go(watched *w)
{
    for (int64_t i = 0; i < w->count; i++) {
        grd_release(w->layers[i].query);
        grd_release(w->layers[i].key);
        grd_release(w->layers[i].value);
    }
}

static const grd_mha_args per_head = { .weights = GRD_PER_HEAD };

/* The first samples of x, which may be all. */
static grd_tensor *first(const grd_tensor *x, int64_t count)
{
    return grd_slice(x, 0, 0, count, 1);
}

/* ---- What is found ---- */

static bool make_room(const char *op, grdi_model_attention *seen)
{
    const size_t count = (size_t)seen->num_layers, heads = (size_t)seen->num_heads;
    seen->layers = grdi_scratch(op, count, sizeof *seen->layers);
    seen->details = grdi_scratch(op, count, sizeof *seen->details);
    seen->checks = grdi_scratch(op, count, sizeof *seen->checks);
    seen->names = grdi_scratch(op, count, sizeof *seen->names);
    seen->scores = grdi_scratch(op, count, sizeof *seen->scores);
    for (size_t i = 0; seen->scores && i < count; i++)
        seen->scores[i] = grdi_scratch(op, heads, sizeof **seen->scores);
    return !grdi_latched();
}

static void describe(const grdi_model_view *v, grdi_model_attention *seen, const watched *w,
                     int64_t i)
{
    const grd_heads *heads = &w->layers[i];
    const grdi_text path = grdi_module_text(heads->module);
    snprintf(seen->names[i], sizeof seen->names[i], "%.*s", (int)strcspn(path.chars, " "),
             path.chars);
    seen->checks[i] = grd_check_mha(heads->module);
    seen->details[i] = (grd_attention_view_layer){ .name = seen->names[i],
                                                   .query = first(heads->query, v->shown),
                                                   .key = first(heads->key, v->shown),
                                                   .value = first(heads->value, v->shown),
                                                   .checks = &seen->checks[i] };
}

static bool score(const grdi_model_view *v, grdi_model_attention *seen, const grd_tensor *weights,
                  int64_t i)
{
    const grd_score_options options = {
        .visible = grd_mask_visible(&seen->mask, grd_tensor_shape(weights)),
        .query_tokens = v->tokens,
    };
    return options.visible &&
           grd_score_heads(weights, &options, seen->scores[i], seen->num_heads) == GRD_OK;
}

static void take(const grdi_model_view *v, grdi_model_attention *seen, const watched *w,
                 const grd_attention *layers)
{
    for (int64_t i = 0; i < seen->num_layers && !grdi_latched(); i++) {
        describe(v, seen, w, i);
        seen->layers[i] = (grd_attention){ .weights = first(layers[i].weights, v->shown) };
        score(v, seen, layers[i].weights, i);
    }
}

/* In the innermost scope. */
static void run(const char *op, const grdi_model_view *v, grdi_model_attention *seen)
{
    watched w = { .layers = grdi_scratch(op, (size_t)seen->num_layers, sizeof *w.layers),
                  .most = seen->num_layers };
    if (!w.layers || grd_on_heads(grdi_self.scope, watch, &w) != GRD_OK)
        return;
    const grd_transformer_output out = grd_transformer_forward(v->model, v->tokens, &per_head);
    grd_on_heads(grdi_self.scope, NULL, NULL);
    if (out.layers)
        take(v, seen, &w, out.layers);
    let_go(&w);
}

/* The mean over samples, for as many as are shown. */
static grd_tensor *mean_of(const grd_tensor *weights, int64_t shown)
{
    grd_shape shape = grd_tensor_shape(weights);
    shape.size[0] = shown;
    return grd_expand(grd_mean_dims(weights, GRD_DIMS(0), GRD_KEEP_DIMS), shape);
}

static void compare(const grdi_model_view *v, grdi_model_attention *seen)
{
    const grd_tensor *tokens = v->baseline_tokens ? v->baseline_tokens : v->tokens;
    grd_module_eval(v->baseline);
    const grd_transformer_output out = grd_transformer_forward(
        v->baseline, v->baseline_mean ? tokens : first(tokens, v->shown), &per_head);
    for (int64_t i = 0; out.layers && i < seen->num_layers; i++)
        seen->details[i].baseline =
            v->baseline_mean ? mean_of(out.layers[i].weights, v->shown) : out.layers[i].weights;
}

/* The mean over what is asked for. */
static grd_tensor *loss_of(grd_module *model, void *user)
{
    const grdi_model_view *v = user;
    return grd_cross_entropy(grd_forward(model, v->tokens), v->targets, NULL);
}

static bool asks(const grdi_model_view *v)
{
    return v->targets && grd_item(grd_any_dims(grd_ne_scalar(v->targets, -100), (grd_dims){ 0 },
                                               GRD_DROP_DIMS)) != 0;
}

/* Whether the two have layers and heads to be compared one by one. */
static bool check_baseline(const char *op, const grd_transformer_options *model,
                           const grd_transformer_options *baseline)
{
    if (!baseline)
        return false;
    if (model->num_layers == baseline->num_layers && model->num_heads == baseline->num_heads)
        return true;
    return grdi_fail(GRD_ERROR_MISMATCH, op,
                     "the baseline has %lld layers of %lld heads, the model %lld of %lld: they "
                     "cannot be compared head by head",
                     (long long)baseline->num_layers, (long long)baseline->num_heads,
                     (long long)model->num_layers, (long long)model->num_heads);
}

bool grdi_model_look(const char *op, const grdi_model_view *v, grdi_model_attention *seen)
{
    const grd_transformer_options *made = grdi_transformer_options(op, v->model);
    if (!made ||
        (v->baseline && !check_baseline(op, made, grdi_transformer_options(op, v->baseline))))
        return false;
    *seen = (grdi_model_attention){ .num_layers = made->num_layers,
                                    .num_heads = made->num_heads,
                                    .mask = { .causal = made->direction == GRD_CAUSAL } };
    const int64_t masked_rows = grdi_self.masked_rows;
    grdi_noted_modes *modes = make_room(op, seen) ? grdi_modes_note(op, v->model) : NULL;
    if (!modes)
        return false;
    grd_module_eval(v->model);
    run(op, v, seen);
    if (v->baseline && !grdi_latched())
        compare(v, seen);
    if (!grdi_latched() && asks(v)) {
        grdi_model_view asked = *v;
        seen->effects = grd_ablate_heads(v->model, loss_of, &asked);
    }
    grdi_modes_put_back(modes);
    grdi_self.masked_rows = masked_rows;
    return !grdi_latched();
}

/* ---- For the page ---- */

static json_t *patterns_of(const grd_head_scores *s)
{
    json_t *all = json_object();
    for (int p = 0; p < GRD_NUM_PATTERNS; p++)
        if (s->patterns[p].queries > 0)
            json_object_set_new(all, grd_pattern_name((grd_pattern)p),
                                json_pack("{s:o, s:o, s:o, s:I}", "score",
                                          grdi_page_real(s->patterns[p].score), "uniform",
                                          grdi_page_real(s->patterns[p].uniform), "lift",
                                          grdi_page_real(s->patterns[p].lift), "queries",
                                          (json_int_t)s->patterns[p].queries));
    return all;
}

static json_t *head_of(const grdi_model_attention *seen, int64_t layer, int64_t head)
{
    const grd_head_scores *s = &seen->scores[layer][head];
    const int64_t at = layer * seen->num_heads + head;
    json_t *scores =
        json_pack("{s:o, s:o}", "entropy", grdi_page_real(s->entropy), "patterns", patterns_of(s));
    if (at < seen->effects.num_heads) {
        const grd_head_effect *e = &seen->effects.heads[at];
        json_object_set_new(scores, "zero", grdi_page_real(e->zero));
        json_object_set_new(scores, "mean", grdi_page_real(e->mean));
        json_object_set_new(scores, "uniform", grdi_page_real(e->uniform));
        json_object_set_new(scores, "importance", grdi_page_real(e->importance));
    }
    return scores;
}

json_t *grdi_model_scores(const grdi_model_attention *seen)
{
    json_t *layers = json_array();
    for (int64_t i = 0; i < seen->num_layers; i++) {
        json_t *heads = json_array();
        for (int64_t h = 0; h < seen->num_heads; h++)
            json_array_append_new(heads, head_of(seen, i, h));
        json_array_append_new(layers, heads);
    }
    return layers;
}
