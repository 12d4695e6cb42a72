/* gradus view attention: a checkpoint's attention on a text, or on sequences of its task. */
#include "nn/transformer.h"
#include "tools/checkpoints.h"
#include "tools/setup.h"
#include "tools/terminal.h"
#include "tools/tools.h"
#include "view/attention_model.h"
#include "view/page.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SCORED = 64,          /* sequences that heads are scored on */
    SCORED_TOKENS = 4096, /* of a text no more than in so many tokens, but one */
    SHOWN = 8,            /* of them on the page, if it stays small */
    SMALL = 1 << 20,      /* weights on the page until then */
    LARGE_PAGE = 20,      /* in MB: browsers grow slow */
    MEGABYTE = 1000000,
};

/* All that the command works with. */
typedef struct look {
    const options *o;
    options *trained; /* how the checkpoint was made, with what the command line changes */
    const char *path;
    int64_t step;
    grd_module *model;
    const grd_transformer_options *made;
    const grd_tokenizer *tokenizer;
    char title[256], source[256];
    grdi_model_view view;
    grdi_model_attention seen;
} look;

static bool is_given(const options *o, const char *name)
{
    return o->source[option_index(option_named(name, VIEW_ATTENTION))] == FROM_COMMAND;
}

/* ---- Options ---- */

static bool ends_with(const char *path, const char *ending, const char *option)
{
    const char *dot = path ? strrchr(path, '.') : NULL;
    return !path || (dot && strcmp(dot, ending) == 0) ||
           complain("--%s %s: the name does not end in %s", option, path, ending);
}

/* Pictures alone make no page. */
static bool has_page(const options *o)
{
    return o->output || !(o->terminal == 1 || o->png || o->svg || o->csv);
}

static bool check_options(const options *o)
{
    if (o->num_arguments != 1)
        return complain("name one checkpoint: gradus view attention run/weights.h5");
    if (!ends_with(o->png, ".png", "png") || !ends_with(o->svg, ".svg", "svg") ||
        !ends_with(o->csv, ".csv", "csv"))
        return false;
    if (o->input && o->task)
        return complain("--input and --task exclude each other");
    if (o->input && (is_given(o, "length") || is_given(o, "samples")))
        return complain("--%s is of a task, and --input is one text",
                        is_given(o, "length") ? "length" : "samples");
    return o->open != 1 || has_page(o) ||
           complain("--open shows a page: say --output page.html too");
}

static bool override(options *trained, const options *o, const char *name)
{
    char text[64];
    const option *from = option_named(name, VIEW_ATTENTION), *to = option_named(name, TRAIN);
    return o->source[option_index(from)] != FROM_COMMAND ||
           set_option(trained, to, option_text(o, from, text), FROM_COMMAND, name);
}

/* ---- What is looked at ---- */

static void take_input(look *l)
{
    const grd_tensor *tokens = grd_encode(l->tokenizer, l->o->input);
    const int64_t count = grd_tensor_count(tokens);
    if (!tokens)
        return;
    if (count == 0 || count > l->made->context) {
        grd_fail(GRD_ERROR_ARGUMENT, "input", "%" PRId64 " tokens: the model takes 1 to %" PRId64,
                 count, l->made->context);
        return;
    }
    l->view.tokens = grd_unsqueeze(tokens, 0);
    l->view.targets = grdi_view_next(l->model, l->view.tokens);
    snprintf(l->source, sizeof l->source, "a text of %" PRId64 " tokens", count);
}

/* As many as keep the page small, unless it was said. */
static int64_t samples_of(const look *l, int64_t length, int64_t batch)
{
    const int64_t each = length * length * l->made->num_heads * l->made->num_layers;
    const int64_t fitting = SMALL / each < 1 ? 1 : SMALL / each < SHOWN ? SMALL / each : SHOWN;
    const int64_t wanted = l->o->samples > 0 ? l->o->samples : fitting;
    return wanted < batch ? wanted : batch;
}

static bool knows(const look *l, const grd_data *data)
{
    const int64_t size = grd_data_vocab_size(data);
    if (!data || size == l->made->vocab_size)
        return data != NULL;
    grd_fail(GRD_ERROR_MISMATCH, "view_attention",
             "the data have %" PRId64 " symbols, but the model knows %" PRId64
             " tokens: it was trained on something else (say --input TEXT, or its own --task)",
             size, l->made->vocab_size);
    return false;
}

/* How many sequences heads are scored on; of a text so many that a pass stays quick. */
static int64_t scored_of(const look *l)
{
    const int64_t fitting = l->trained->text ? SCORED_TOKENS / l->made->context : SCORED;
    const int64_t usual = fitting < 1 ? 1 : fitting < SCORED ? fitting : SCORED;
    return l->o->samples > usual ? l->o->samples : usual;
}

static void take_data(look *l)
{
    const options *t = l->trained;
    const int64_t batch = scored_of(l);
    const grd_data *train = t->text ? make_data(t, GRD_TRAIN, NULL, batch) : NULL;
    const grd_data *data = t->text && !train ? NULL : make_data(t, GRD_VALIDATION, train, batch);
    if (!knows(l, data))
        return;
    const grd_batch drawn = grd_batch_at(data, 0);
    l->view.tokens = drawn.inputs;
    l->view.targets = drawn.targets;
    l->tokenizer = grd_data_tokenizer(data);
    snprintf(l->source, sizeof l->source,
             "%" PRId64 " sequences of %.120s that it was not trained on",
             grd_tensor_size(drawn.inputs, 0), t->task ? t->task : t->text);
}

static void take_tokens(look *l)
{
    if (l->o->input)
        take_input(l);
    else
        take_data(l);
    if (!l->view.tokens)
        return;
    const int64_t batch = grd_tensor_size(l->view.tokens, 0);
    l->view.shown = samples_of(l, grd_tensor_size(l->view.tokens, 1), batch);
    l->view.texts = grdi_view_texts("view_attention", l->tokenizer,
                                    grd_slice(l->view.tokens, 0, 0, l->view.shown, 1));
}

/* ---- Baselines ---- */

static bool has_baseline(const options *o)
{
    return o->baseline && strcmp(o->baseline, "uniform") != 0;
}

/* The model as it was made, before its first step: by the same options and seed. */
static void take_initial(look *l)
{
    l->view.baseline = grd_transformer_create(grd_rng_create((uint64_t)l->trained->seed), l->made);
}

static void take_mean(look *l)
{
    l->view.baseline = l->model;
    l->view.baseline_mean = true;
}

/* The same tokens at other positions: what is left of a pattern is the positions' own. */
static void take_shuffled(look *l)
{
    grd_rng *rng = grd_rng_create((uint64_t)l->trained->seed);
    const grd_tensor *order = grd_randperm(rng, grd_tensor_size(l->view.tokens, 1));
    l->view.baseline = l->model;
    l->view.baseline_tokens = order ? grd_index_select(l->view.tokens, 1, order) : NULL;
}

static const struct {
    const char *word, *name;
    void (*take)(look *l);
} baselines[] = {
    { "initial", "initial weights", take_initial },
    { "mean", "the mean over all sequences", take_mean },
    { "shuffled", "the same tokens shuffled", take_shuffled },
};
enum { BASELINES = sizeof baselines / sizeof baselines[0] };

/* BASELINES: of a file. */
static size_t baseline_of(const options *o)
{
    size_t i = 0;
    while (i < BASELINES && strcmp(o->baseline, baselines[i].word) != 0)
        i++;
    return i;
}

static const char *name_of_baseline(const options *o)
{
    const size_t i = baseline_of(o);
    return i < BASELINES ? baselines[i].name : o->baseline;
}

static void take_baseline(look *l)
{
    if (!has_baseline(l->o))
        return;
    const size_t i = baseline_of(l->o);
    if (i < BASELINES)
        baselines[i].take(l);
    else
        l->view.baseline = grd_load_transformer(l->o->baseline);
}

/* ---- What is written ---- */

static json_t *text_of(const char *text)
{
    return grdi_page_text(text, strlen(text));
}

static json_t *more_of(const look *l)
{
    char sizes[160];
    snprintf(sizes, sizeof sizes,
             "%" PRId64 " layers of %" PRId64 " heads, %s, after %" PRId64 " steps",
             l->made->num_layers, l->made->num_heads,
             l->made->direction == GRD_CAUSAL ? "causal" : "bidirectional", l->step);
    return json_pack("{s:[o,o,o], s:o, s:o, s:o, s:{s:I, s:I, s:I}}", "about", text_of(l->path),
                     text_of(sizes), text_of(l->source), "loss",
                     grdi_page_real(l->seen.effects.num_heads ? l->seen.effects.loss : NAN),
                     "scored", text_of(l->source), "scores", grdi_model_scores(&l->seen), "open",
                     "layer", (json_int_t)l->o->layer, "head", (json_int_t)l->o->head, "sample",
                     (json_int_t)l->o->sample);
}

static void tell_size(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return;
    const double size = (double)status.st_size / MEGABYTE;
    note("wrote %s, %.1f MB", path, size);
    if (size > LARGE_PAGE)
        note("more than %d MB: browsers will be slow with it; fewer --samples, or a shorter text, "
             "make it smaller",
             LARGE_PAGE);
}

static void write_page(const look *l)
{
    const options *o = l->o;
    const char *path = o->output ? o->output : "attention.html";
    const grd_view_attention_options page = {
        .layers = l->seen.layers,
        .num_layers = l->seen.num_layers,
        .query_tokens = l->view.texts,
        .mask = &l->seen.mask,
        .title = l->title,
        .baseline = has_baseline(o) ? name_of_baseline(o) : NULL,
        .details = l->seen.details,
    };
    if (grdi_view_attention(path, &page, more_of(l)))
        tell_size(path);
}

/* One of `count`, counted from 0. */
static bool has(const char *name, int64_t index, int64_t count)
{
    if (index < count)
        return true;
    grd_fail(GRD_ERROR_ARGUMENT, "view_attention",
             "--%s %" PRId64 ": there are %" PRId64 ", counted from 0", name, index, count);
    return false;
}

/* One sample and head of x (B, H, L, S). */
static grd_tensor *pick(const look *l, const grd_tensor *x)
{
    const grd_tensor *sample = grd_select(x, 0, l->o->sample);
    return sample ? grd_select(sample, 0, l->o->head) : NULL;
}

/* What is drawn as masked: pairs that are left out, but none that has weight. */
static grd_tensor *attended(const look *l, const grd_tensor *weights)
{
    const grd_tensor *visible =
        grd_mask_visible(&l->seen.mask, grd_tensor_shape(l->seen.layers[l->o->layer].weights));
    return visible ? grd_logical_or(pick(l, visible), grd_ne_scalar(weights, 0)) : NULL;
}

/* The chosen head, as files and in the terminal. */
static void draw(const look *l)
{
    const options *o = l->o;
    const grd_tensor *weights = pick(l, l->seen.layers[o->layer].weights);
    const char *const *labels = l->view.texts + o->sample * grd_tensor_size(weights, 0);
    const char *const files[] = { o->png, o->svg, o->csv };
    char title[192];
    snprintf(title, sizeof title, "%s, head %" PRId64 ", sample %" PRId64, l->seen.names[o->layer],
             o->head, o->sample);
    const grd_matrix_options how = {
        .title = o->title ? o->title : title,
        .rows = "queries",
        .columns = "keys",
        .row_labels = labels,
        .column_labels = labels,
        .attend = attended(l, weights),
        .width = terminal_columns(stdout),
        .colour = wants_true_colour(stdout),
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] && grd_view_matrix(files[i], weights, &how) == GRD_OK)
            note("wrote %s", files[i]);
    if (o->terminal == 1)
        grd_print_heatmap(stdout, weights, &how);
}

static void show(const look *l)
{
    const options *o = l->o;
    if (!has("layer", o->layer, l->seen.num_layers) || !has("head", o->head, l->seen.num_heads) ||
        !has("sample", o->sample, l->view.shown))
        return;
    if (has_page(o))
        write_page(l);
    draw(l);
}

/* ---- The command ---- */

static void load(look *l)
{
    l->model = grd_load_transformer(l->path);
    l->made = l->model ? grdi_transformer_options("view_attention", l->model) : NULL;
    l->tokenizer = l->made && l->o->input ? grd_load_tokenizer(l->path) : NULL;
    l->view.model = l->model;
}

/* What an error did not latch: that there is nothing to look at. */
static bool has_something(const look *l)
{
    return l->o->input || l->trained->task || l->trained->text ||
           complain("%s does not say what it was trained on: give --input TEXT or --task NAME",
                    l->path);
}

static int view(look *l)
{
    grd_scope *scope = open_scope(l->trained);
    grd_scope *looking = grd_scope_begin_no_grad();
    load(l);
    if (l->made)
        take_tokens(l);
    if (l->view.texts)
        take_baseline(l);
    if (l->view.texts && grdi_model_look("view_attention", &l->view, &l->seen))
        show(l);
    grd_scope_end(looking);
    return grd_scope_end(scope) == GRD_OK ? 0 : complain_of_library();
}

/* Another task than the model's has a length of its own. */
static bool take_task(options *trained, const options *o)
{
    const option *length = option_named("length", TRAIN), *text = option_named("text", TRAIN);
    const bool same = trained->task && strcmp(trained->task, o->task) == 0;
    return (same || set_option(trained, length, "0", FROM_COMMAND, "length")) &&
           override(trained, o, "task") && set_option(trained, text, NULL, FROM_COMMAND, "text");
}

static bool take_over(options *trained, const options *o)
{
    return (!o->task || take_task(trained, o)) && override(trained, o, "length") &&
           override(trained, o, "threads") && override(trained, o, "seed") &&
           set_option(trained, option_named("device", TRAIN), o->device, FROM_COMMAND, "device");
}

static void name_page(look *l)
{
    const char *what = l->o->input ? l->o->input : l->trained->task ? l->trained->task : NULL;
    snprintf(l->title, sizeof l->title, what ? "Attention on %.200s" : "Attention", what);
    if (l->o->title)
        snprintf(l->title, sizeof l->title, "%s", l->o->title);
}

int run_view_attention(options *o)
{
    if (!check_options(o))
        return EXIT_USAGE;
    options trained;
    options_init(&trained);
    look l = { .o = o, .trained = &trained, .path = o->arguments[0] };
    int status = read_checkpoint_options(&trained, l.path, &l.step);
    if (status == 0 && (!take_over(&trained, o) || !has_something(&l)))
        status = EXIT_USAGE;
    name_page(&l);
    if (status == 0)
        status = view(&l);
    if (status == 0 && o->open == 1)
        status = open_page(o->output ? o->output : "attention.html") ? 0 : EXIT_FAILED;
    options_free(&trained);
    return status;
}
