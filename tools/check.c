/* gradus check: attention's specification and its five checks; of a model, its gradients too. */
#include "tools/check.h"
#include "nn/transformer.h"
#include "tools/checkpoints.h"
#include "tools/setup.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <string.h>

/* Of the run's data; of a model whose data are unknown, random tokens. */
static grd_batch batch_for(const options *o, const grd_transformer_options *made)
{
    if (o->task || o->text)
        return grd_batch_at(make_data(o, GRD_TRAIN, NULL, o->batch_size), 0);
    grd_rng *rng = grd_rng_create((uint64_t)o->seed);
    const grd_shape shape = GRD_SHAPE(o->batch_size, made->context);
    return (grd_batch){ grd_randint(rng, 0, made->vocab_size, shape),
                        grd_randint(rng, 0, made->vocab_size, shape),
                        o->batch_size * made->context };
}

/* ---- What is checked ---- */

typedef struct work {
    const options *o;
    const plant *planted;
    origin from;
    json_t *modules;
    bool harmless; /* the plant is no mistake for one of them */
} work;

static void check_one(work *w, const char *path, grd_module *module)
{
    const grd_mha_options *made = grdi_mha_options("check", module);
    const char *why =
        made && w->planted && w->planted->harmless ? w->planted->harmless(made) : NULL;
    if (w->harmless)
        return; /* it was said */
    if (why) {
        complain("--plant %s: it would be no mistake here: %s", w->planted->name, why);
        w->harmless = true;
    } else if (made) {
        json_array_append_new(w->modules, check_module(path, module, made, &w->from, w->planted));
    }
}

/* Every attention below, by its path. */
static void check_below(work *w, grd_module *module)
{
    if (grdi_is_mha(module)) {
        grdi_text path = grdi_module_text(module);
        path.chars[strcspn(path.chars, " ")] = '\0';
        check_one(w, path.chars, module);
        return;
    }
    for (int64_t i = 0; i < module->entries.count; i++)
        if (grdi_entry_at(module, i)->kind == GRDI_CHILD)
            check_below(w, grdi_entry_at(module, i)->child);
}

static grd_mha_options wanted(const options *o)
{
    return (grd_mha_options){ .embed_dim = o->embed_dim,
                              .num_heads = o->num_heads,
                              .layout = layout_named(o->module_layout),
                              .kdim = o->module_kdim,
                              .vdim = o->module_vdim,
                              .dropout = o->dropout,
                              .no_bias = o->bias == 0,
                              .add_bias_kv = o->module_bias_kv == 1,
                              .add_zero_attn = o->module_zero_attn == 1 };
}

/* ---- The document ---- */

static json_t *plant_of(const work *w)
{
    bool caught = json_array_size(w->modules) > 0;
    size_t i;
    json_t *module;
    const int at = w->planted->check;
    const char *name = "";
    json_array_foreach(w->modules, i, module)
    {
        const json_t *check = json_array_get(json_object_get(module, "checks"), (size_t)at);
        name = json_string_value(json_object_get(check, "name"));
        caught = caught && !json_is_true(json_object_get(check, "passed"));
    }
    return json_pack("{s:s, s:s, s:s, s:i, s:s, s:b}", "name", w->planted->name, "summary",
                     w->planted->summary, "lesson", w->planted->lesson, "number", at + 1, "check",
                     name, "caught", caught);
}

static bool passed(const json_t *modules, const json_t *gradients)
{
    bool all = !gradients || json_is_true(json_object_get(gradients, "passed"));
    size_t i;
    json_t *module;
    json_array_foreach(modules, i, module)
    {
        all = all && json_is_true(json_object_get(module, "passed"));
    }
    return all;
}

static json_t *document_of(const work *w, json_t *gradients)
{
    json_t *document =
        json_pack("{s:b, s:O}", "passed", passed(w->modules, gradients), "modules", w->modules);
    if (w->planted)
        json_object_set_new(document, "plant", plant_of(w));
    if (gradients)
        json_object_set(document, "gradients", gradients);
    return document;
}

static int show(const work *w, json_t *gradients)
{
    json_t *document = document_of(w, gradients);
    if (!document)
        return complain("out of memory"), EXIT_FAILED;
    const bool fine = json_is_true(json_object_get(document, "passed"));
    if (w->o->json == 1) {
        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else {
        print_check(document);
    }
    json_decref(document);
    return fine ? 0 : EXIT_FAILED;
}

/* ---- A model, or one module ---- */

static json_t *check_model(work *w, const char *path)
{
    const options *o = w->o;
    grd_module *model = path ? grd_load_transformer(path) : make_setup(o).model;
    const grd_transformer_options *made = model ? grdi_transformer_options("check", model) : NULL;
    if (!made)
        return NULL;
    check_below(w, model);
    return w->planted ? NULL : check_flow(model, batch_for(o, made), made->num_heads);
}

static bool all_hold(const json_t *constraints)
{
    size_t i;
    json_t *row;
    json_array_foreach(constraints, i, row)
    {
        if (!json_is_true(json_object_get(row, "holds")))
            return false;
    }
    return true;
}

static void check_alone(work *w)
{
    const grd_mha_options options = wanted(w->o);
    grd_module *module = grd_mha_create(grd_rng_create((uint64_t)w->o->seed), &options);
    if (module) {
        check_one(w, "", module);
        return;
    }
    json_t *constraints = check_constraints(&options, &w->from);
    if (w->o->json != 1 && !all_hold(constraints))
        print_constraints(constraints);
    json_decref(constraints);
}

static int check(options *o, const char *path, const plant *planted)
{
    const bool alone = !path && !o->task && !o->text;
    work w = { o, planted, { o, path != NULL, alone }, json_array(), false };
    json_t *gradients = NULL;
    grd_scope *scope = open_scope(o);
    if (alone)
        check_alone(&w);
    else
        gradients = check_model(&w, path);
    int status = grd_scope_end(scope) == GRD_OK ? 0 : complain_of_library();
    if (status == 0)
        status = w.harmless ? EXIT_USAGE : show(&w, gradients);
    json_decref(gradients);
    json_decref(w.modules);
    return status;
}

/* ---- Options ---- */

/* Options that the checkpoint knows better than the table; not where it was trained. */
static int take_over(options *o, const char *path)
{
    int64_t step;
    options trained;
    options_init(&trained);
    int status = read_checkpoint_options(&trained, path, &step);
    for (size_t i = 0; status == 0 && i < num_options(); i++) {
        char text[64];
        const option *row = option_at(i);
        if ((row->commands & CHECK) && (row->commands & TRAIN) && row->change != LOCAL &&
            row != option_named("device", CHECK) && o->source[i] == FROM_TABLE &&
            !set_option(o, row, option_text(&trained, row, text), FROM_CHECKPOINT, row->name))
            status = EXIT_FAILED;
    }
    options_free(&trained);
    return status;
}

/* What only one module on its own can be told. */
static bool check_options(const options *o, bool alone)
{
    static const char *const single[] = { "layout", "kdim", "vdim", "add-bias-kv",
                                          "add-zero-attn" };
    for (size_t i = 0; i < sizeof single / sizeof single[0] && !alone; i++)
        if (o->source[option_index(option_named(single[i], CHECK))] == FROM_COMMAND)
            return complain("--%s: a model says that itself; leave out the model, or this",
                            single[i]);
    return true;
}

static bool find_plant(const options *o, const plant **planted)
{
    grdi_nearest nearest = { .wanted = o->plant };
    *planted = o->plant ? plant_named(o->plant) : NULL;
    if (!o->plant || *planted)
        return true;
    for (int i = 0; i < num_plants; i++)
        grdi_nearest_try(&nearest, plants[i].name);
    return complain("--plant: there is no mistake \"%s\"%s; --list-plants shows them", o->plant,
                    grdi_nearest_text(&nearest).chars);
}

static int list_plants(const options *o)
{
    if (o->json != 1)
        return print_plants(), 0;
    json_t *list = json_array();
    for (int i = 0; i < num_plants; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i}", "name", plants[i].name,
                                              "summary", plants[i].summary, "lesson",
                                              plants[i].lesson, "number", plants[i].check + 1));
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
    return 0;
}

int run_check(options *o)
{
    const plant *planted;
    if (o->list_plants == 1)
        return list_plants(o);
    const bool has_file = o->weights || o->num_arguments > 0, has_data = o->task || o->text;
    const char *path = has_file ? weights_of(o) : NULL;
    if ((has_file && !path) || !find_plant(o, &planted) ||
        !check_options(o, !has_file && !has_data) || (has_data && check_data_options(o) != 0) ||
        check_precision(o) != 0)
        return EXIT_USAGE;
    const int status = path ? take_over(o, path) : 0;
    return status == 0 ? check(o, path, planted) : status;
}
