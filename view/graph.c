#include "view/graph.h"
#include "nn/files.h"
#include "nn/module.h"
#include "nn/utf8.h"
#include "view/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void grdi_graph_scope(grd_scope *scope)
{
    grdi_scope_open(scope);
    scope->modes.no_grad = true;
    scope->modes.trace = NULL;
    scope->modes.anomaly = false; /* what is shown may be no number */
    scope->unwatched = true;
}

/* ---- Words ---- */

/* Where the text is cut, so that `most` characters stay. */
static size_t cut_at(const char *text, size_t size, size_t most)
{
    size_t at = 0, taken;
    for (size_t i = 0; i < most && at < size; i++, at += taken)
        grdi_utf8_next(text + at, size - at, &taken);
    return at;
}

char *grdi_shown(const char *op, const char *text, size_t most)
{
    json_t *safe = grdi_page_text(text, strlen(text));
    if (!safe)
        return grdi_fail_memory(op, strlen(text));
    const char *from = json_string_value(safe);
    const size_t size = json_string_length(safe);
    const size_t end = most ? cut_at(from, size, most) : size;
    char *shown = grdi_scratch(op, end + 4, 1);
    if (shown)
        snprintf(shown, end + 4, "%.*s%s", (int)end, from, end < size ? "\xe2\x80\xa6" : "");
    json_decref(safe);
    return shown;
}

grdi_text grdi_bytes_text(int64_t bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1000 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        size /= 1000;
    grdi_text text;
    snprintf(text.chars, sizeof text.chars, "%.3g %s", size, units[unit]);
    return text;
}

/* ---- Numbers ---- */

static void add_up(grdi_summary *s, const double *values, int64_t count)
{
    double sum = 0, squares = 0;
    int64_t finite = 0;
    s->min = s->max = s->mean = s->norm = NAN;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            continue;
        finite++;
        s->min = fmin(s->min, values[i]); /* of a number and NAN: the number */
        s->max = fmax(s->max, values[i]);
        sum += values[i];
        squares += values[i] * values[i];
    }
    s->not_finite = count - finite;
    s->mean = finite ? sum / (double)finite : NAN;
    s->norm = finite ? sqrt(squares) : NAN;
}

bool grdi_summarize(const char *op, const grd_tensor *x, grdi_summary *s)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    const int64_t count = grdi_count(&x->array);
    double *values = grdi_scratch(op, (size_t)count + 1, sizeof *values);
    const grd_tensor *wide = values ? grdi_cast(x, GRD_F64) : NULL;
    if (wide && grd_read_f64(wide, values, count) == GRD_OK) {
        add_up(s, values, count);
        s->known = GRDI_KNOWN;
    }
    return grd_scope_end(&scope) == GRD_OK;
}

/* x, whose numbers are as they were noted; NULL if they were changed, or if there is none. */
static const grd_tensor *unchanged(const grd_tensor *x, uint32_t version, grdi_summary *s)
{
    const bool same = x && x->storage->version == version;
    s->known = x && !same ? GRDI_CHANGED : GRDI_NOT_COMPUTED;
    return same ? x : NULL;
}

/* ---- What a box shows ---- */

static const char *name_of(const grdi_graph *g, const grdi_traced *item)
{
    const char *name = grdi_traced_text(g->trace, item->name);
    name = name ? name : item->value ? grd_tensor_name(item->value) : NULL;
    return name ? grdi_shown(g->op, name, 64) : NULL;
}

static void describe_tensor(const grdi_graph *g, grdi_box *box, const grdi_traced *item)
{
    box->dtype = item->node ? item->node->dtype : item->value->array.dtype;
    box->shape = item->node ? item->node->shape : grdi_array_shape(&item->value->array);
    box->value = unchanged(item->value, item->version, &box->of_value);
    if (box->kind != GRDI_BOX_MODULE)
        box->name = name_of(g, item);
}

static void describe_place(const grdi_graph *g, grdi_box *box)
{
    const grd_trace *trace = g->trace;
    if (box->call < 0)
        return;
    const grdi_traced_call *call = grdi_traced_call_at(trace, box->call);
    const char *path = grdi_traced_text(trace, call->path);
    const char *kind = grdi_traced_text(trace, call->kind);
    box->module = grdi_shown(g->op, *path ? path : kind, 200);
    if (box->kind == GRDI_BOX_MODULE) {
        box->name = box->module;
        box->op = grdi_shown(g->op, kind, 64);
    }
}

bool grdi_box_describe(const grdi_graph *g, grdi_box *box, const grd_tensor *gradient,
                       uint32_t version)
{
    static const char *const ops[] = { "leaf", "constant" };
    const grdi_traced *item = grdi_traced_at(g->trace, box->item);
    describe_tensor(g, box, item);
    if (box->kind != GRDI_BOX_MODULE)
        box->op = box->kind == GRDI_BOX_OP ? grdi_shown(g->op, item->node->op, 64) : ops[box->kind];
    describe_place(g, box);
    box->gradient = unchanged(gradient, version, &box->of_gradient);
    if (box->value && !grdi_summarize(g->op, box->value, &box->of_value))
        return false;
    return (!box->gradient || grdi_summarize(g->op, box->gradient, &box->of_gradient)) &&
           !grdi_latched();
}
