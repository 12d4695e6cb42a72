/* Attention as a page. */
#include "view/attention.h"
#include "nn/files.h"
#include "tensor/front.h"
#include "view/page.h"

#include <stdio.h>
#include <string.h>

static const char op[] = "view_attention";

/* Texts of one list; layers that share them name the same. */
typedef struct list {
    const char *const *texts;
    int64_t count; /* of a sample */
} list;

typedef struct work {
    const grd_view_attention_options *o;
    int64_t weights, vectors; /* numbers in all layers */
    json_t *texts;            /* of each list: one of texts for each sample */
    list *lists;
    int64_t num_lists;
    bool incomplete; /* memory ran out for some of the data */
} work;

static void put(work *w, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        w->incomplete = true;
}

static void append(work *w, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        w->incomplete = true;
}

static json_t *text_of(const char *text)
{
    return grdi_page_text(text, strlen(text));
}

/* ---- Texts ---- */

static json_t *list_of(work *w, const char *const *texts, int64_t samples, int64_t count)
{
    json_t *list = json_array();
    for (int64_t b = 0; b < samples; b++) {
        json_t *sample = json_array();
        for (int64_t i = 0; i < count; i++)
            append(w, sample, text_of(texts[b * count + i]));
        append(w, list, sample);
    }
    return list;
}

/* The number of the list; null for positions. */
static json_t *number_of(work *w, const char *const *texts, int64_t samples, int64_t count)
{
    int64_t i = 0;
    if (!texts)
        return json_null();
    while (i < w->num_lists && (w->lists[i].texts != texts || w->lists[i].count != count))
        i++;
    if (i == w->num_lists) {
        w->lists[w->num_lists++] = (list){ texts, count };
        append(w, w->texts, list_of(w, texts, samples, count));
    }
    return json_integer((json_int_t)i);
}

/* ---- Layers ---- */

static int64_t count_weights(const grd_view_attention_options *o)
{
    int64_t count = 0;
    for (int64_t i = 0; i < o->num_layers; i++)
        count += grd_tensor_count(o->layers[i].weights);
    return count;
}

static int64_t count_vectors(const grd_view_attention_options *o)
{
    int64_t count = 0;
    for (int64_t i = 0; o->details && i < o->num_layers; i++)
        count += grd_tensor_count(o->details[i].query) + grd_tensor_count(o->details[i].key) +
                 grd_tensor_count(o->details[i].value);
    return count;
}

static json_t *name_of(const grdi_shown *shown, int64_t i)
{
    char name[32];
    snprintf(name, sizeof name, "layer %lld", (long long)i);
    return text_of(shown->told.name ? shown->told.name : name);
}

static json_t *describe(work *w, const grdi_shown *s, int64_t i)
{
    const int64_t *size = s->shape.size, own = size[3] - s->told.appended;
    const grdi_verdicts verdicts = grdi_view_judge(s);
    json_t *layer = grdi_view_layer_data(s, &verdicts, w->weights <= GRDI_VIEW_EXACT);
    put(w, layer, "name", name_of(s, i));
    put(w, layer, "queries", number_of(w, s->query_texts, size[0], size[2]));
    put(w, layer, "keys", number_of(w, s->key_texts, size[0], own));
    if (s->told.query && w->vectors <= GRDI_VIEW_VECTORS)
        put(w, layer, "vectors", grdi_view_vectors(s, w->vectors <= GRDI_VIEW_SINGLE));
    return layer;
}

/* One after the other, since a layer in f64 may be large. */
static json_t *layers_of(work *w)
{
    json_t *layers = json_array();
    for (int64_t i = 0; i < w->o->num_layers && !grdi_latched(); i++) {
        grdi_shown shown;
        grd_scope *scope = grd_scope_begin_no_grad();
        if (grdi_view_read(op, w->o, i, &shown))
            append(w, layers, describe(w, &shown, i));
        grd_scope_end(scope);
    }
    return layers;
}

/* ---- The page ---- */

static json_t *data_of(work *w)
{
    const char *baseline = w->o->baseline;
    json_t *data = json_object();
    put(w, data, "layers", layers_of(w));
    put(w, data, "texts", json_incref(w->texts));
    put(w, data, "vectors", json_integer((json_int_t)w->vectors));
    put(w, data, "vectorsMost", json_integer(GRDI_VIEW_VECTORS));
    put(w, data, "baseline", baseline ? text_of(baseline) : json_null());
    return data;
}

bool grdi_view_attention(const char *html_path, const grd_view_attention_options *o, json_t *more)
{
    static const char *const assets[] = {
        "attention.css",       "attention_data.js",  "attention_paint.js",
        "attention_map.js",    "attention_lines.js", "attention_neuron.js",
        "attention_tables.js", "attention.js",       NULL
    };
    if (!grdi_view_check(op, o)) {
        json_decref(more);
        return false;
    }
    work w = { .o = o,
               .weights = count_weights(o),
               .vectors = count_vectors(o),
               .texts = json_array(),
               .lists = grdi_scratch(op, 2 * (size_t)o->num_layers, sizeof *w.lists) };
    json_t *data = w.lists ? data_of(&w) : NULL;
    if (more && json_object_update(data, more) != 0)
        w.incomplete = true;
    json_decref(more);
    json_decref(w.texts);
    grdi_page page = { .title = o->title ? o->title : "Attention", .assets = assets, .data = data };
    return grdi_page_write(op, html_path, &page, !w.incomplete);
}

grd_status grd_view_attention(const char *html_path, const grd_view_attention_options *options)
{
    if (!html_path || !options)
        grdi_fail_null(op);
    if (grdi_latched())
        return grdi_self.latched;
    grd_scope scope;
    grdi_scope_open(&scope);
    grdi_view_attention(html_path, options, NULL);
    return grd_scope_end(&scope);
}
