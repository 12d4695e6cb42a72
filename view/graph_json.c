#include "view/graph.h"
#include "view/page.h"

#include <math.h>
#include <string.h>

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *shape_of(const grd_shape *shape)
{
    json_t *sizes = json_array();
    for (int64_t d = 0; d < shape->rank; d++)
        json_array_append_new(sizes, json_integer(shape->size[d]));
    return sizes;
}

static json_t *number_or_null(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

json_t *grdi_summary_json(const grdi_summary *s)
{
    if (s->known != GRDI_KNOWN)
        return json_string(s->known == GRDI_CHANGED ? "changed in place since" : "not computed");
    return json_pack("{s:o, s:o, s:o, s:o, s:I}", "min", number_or_null(s->min), "max",
                     number_or_null(s->max), "mean", number_or_null(s->mean), "norm",
                     number_or_null(s->norm), "not_finite", (json_int_t)s->not_finite);
}

static json_t *saved_of(const grdi_graph *g, const grdi_box *box)
{
    const grdi_traced *item = grdi_traced_at(g->trace, box->item);
    json_t *list = json_array();
    for (int64_t i = 0; i < item->num_saved && box->kind == GRDI_BOX_OP; i++) {
        const grdi_traced_saved *saved = &grdi_traced_saved_at(g->trace, item)[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:I}", "what", grdi_saved_text(saved).chars, "dtype",
                            grdi_dtype_name(saved->dtype), "shape", shape_of(&saved->shape),
                            "bytes", (json_int_t)saved->bytes));
    }
    return list;
}

static json_t *inputs_of(const grdi_box *box)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < box->num_inputs; i++)
        json_array_append_new(list,
                              box->inputs[i] < 0 ? json_null() : json_integer(box->inputs[i]));
    return list;
}

/* What only an op has, and what only a module. */
static bool add_own(const grdi_graph *g, const grdi_box *box, json_t *node)
{
    const grdi_node *made = grdi_traced_at(g->trace, box->item)->node;
    if (box->kind == GRDI_BOX_MODULE)
        return json_object_set_new(node, "ops", json_integer(box->ops)) == 0 &&
               json_object_set_new(node, "parameters", json_integer(box->values)) == 0;
    if (box->kind != GRDI_BOX_OP)
        return true;
    json_t *file = made->file ? grdi_page_text(made->file, strlen(made->file)) : json_null();
    return json_object_set_new(node, "rule", text_or_null(made->derivative->rule)) == 0 &&
           json_object_set_new(node, "saved", saved_of(g, box)) == 0 &&
           json_object_set_new(node, "file", file) == 0 &&
           json_object_set_new(node, "line", made->file ? json_integer(made->line) : json_null()) ==
               0;
}

static json_t *node_of(const grdi_graph *g, int64_t b)
{
    static const char *const kinds[] = { "leaf", "constant", "op", "module" };
    const grdi_box *box = &g->boxes[b];
    json_t *node = json_pack(
        "{s:I, s:s, s:s, s:o, s:o, s:s, s:o, s:b, s:o, s:o, s:o, s:I}", "id", (json_int_t)b, "kind",
        kinds[box->kind], "op", box->op, "name", text_or_null(box->name), "module",
        text_or_null(box->module), "dtype", grdi_dtype_name(box->dtype), "shape",
        shape_of(&box->shape), "requires_grad", box->kind != GRDI_BOX_CONSTANT, "inputs",
        inputs_of(box), "values", grdi_summary_json(&box->of_value), "gradient",
        grdi_summary_json(&box->of_gradient), "saved_bytes", (json_int_t)box->saved_bytes);
    if (node && add_own(g, box, node))
        return node;
    json_decref(node);
    return NULL;
}

json_t *grdi_graph_json(const grdi_graph *g)
{
    json_t *nodes = json_array();
    for (int64_t b = 0; b < g->count; b++)
        if (json_array_append_new(nodes, node_of(g, b)) != 0) {
            json_decref(nodes);
            return NULL;
        }
    return json_pack("{s:s, s:s, s:I, s:b, s:o}", "format", "gradus graph 1", "title", g->title,
                     "root", (json_int_t)g->root, "walked", g->walk >= 0, "nodes", nodes);
}
