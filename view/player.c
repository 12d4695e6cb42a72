/* The page that steps through a graph, forward and backward: all that it shows is computed here,
 * and assets/player.js draws it. */
#include "nn/files.h"
#include "view/graph.h"
#include "view/page.h"

#include <string.h>

enum {
    FEW = 64,   /* numbers of a tensor that is shown whole */
    CORNER = 32 /* rows and columns of a larger one */
};

typedef struct player {
    grdi_graph g;
    json_t *tensors;
    grdi_places places; /* of those */
    float *corners;     /* of larger ones, one after the other */
    int64_t num_corners, room;
    int64_t *part, *parts; /* of an event, of an item */
} player;

/* ---- Tensors ---- */

static json_t *numbers_of(const double *values, int64_t count)
{
    json_t *numbers = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(numbers, grdi_page_real(values[i]));
    return numbers;
}

/* x of two dimensions at least, the others at their first index; as far as it is shown. */
static grd_tensor *corner_of(const grd_tensor *x)
{
    grd_tensor *y = grd_cast(x, GRD_F32);
    while (y && grd_tensor_rank(y) > 2)
        y = grd_select(y, 0, 0);
    if (y && grd_tensor_rank(y) < 2)
        y = grd_unsqueeze(y, 0);
    for (int dim = 0; dim < 2 && y; dim++)
        if (grd_tensor_size(y, dim) > CORNER)
            y = grd_slice(y, dim, 0, CORNER, 1);
    return y ? grd_contiguous(y) : NULL;
}

/* Adds the corner to those there are, and says so in `entry`. */
static bool add_corner(player *p, const grd_tensor *x, json_t *entry)
{
    const grd_tensor *corner = corner_of(x);
    if (!corner)
        return false;
    const int64_t count = grd_tensor_count(corner);
    if (p->num_corners + count > p->room) {
        const int64_t room = 2 * p->room + CORNER * CORNER;
        float *wider = grdi_allocate((size_t)room * sizeof *wider);
        if (!wider)
            return grdi_fail_memory(p->g.op, (size_t)room * sizeof *wider);
        if (p->num_corners)
            memcpy(wider, p->corners, (size_t)p->num_corners * sizeof *wider);
        grdi_free(p->corners, (size_t)p->room * sizeof *wider);
        p->corners = wider;
        p->room = room;
    }
    json_object_set_new(entry, "corner",
                        json_pack("[I, I]", (json_int_t)grd_tensor_size(corner, 0),
                                  (json_int_t)grd_tensor_size(corner, 1)));
    json_object_set_new(entry, "at", json_integer(p->num_corners));
    if (grd_read_f32(corner, p->corners + p->num_corners, count) != GRD_OK)
        return false;
    p->num_corners += count;
    return true;
}

static bool add_numbers(player *p, const grd_tensor *x, json_t *entry)
{
    double values[FEW];
    const int64_t count = grd_tensor_count(x);
    const grd_tensor *wide = grd_cast(x, GRD_F64);
    if (count > FEW)
        return add_corner(p, x, entry);
    if (!wide || grd_read_f64(wide, values, count) != GRD_OK)
        return false;
    json_object_set_new(entry, "numbers", numbers_of(values, count));
    return true;
}

/* Where x stands among the page's tensors, each of which is there once; null for none. */
static json_t *tensor_at(player *p, const grd_tensor *x, const grdi_summary *known)
{
    if (!x || grdi_latched())
        return json_null();
    const int64_t found = grdi_places_find(&p->places, x);
    if (found >= 0)
        return json_integer(found);
    grdi_summary summary = known ? *known : (grdi_summary){ 0 };
    const int64_t index = (int64_t)json_array_size(p->tensors);
    if (!grdi_places_add(&p->places, x, index) || (!known && !grdi_summarize(p->g.op, x, &summary)))
        return json_null();
    json_t *sizes = json_array();
    for (int64_t d = 0; d < grd_tensor_rank(x); d++)
        json_array_append_new(sizes, json_integer(grd_tensor_size(x, d)));
    json_t *entry = json_pack("{s:s, s:o, s:o}", "dtype", grdi_dtype_name(x->array.dtype), "shape",
                              sizes, "summary", grdi_summary_json(&summary));
    grd_scope scope;
    grdi_scope_open(&scope);
    if (entry)
        add_numbers(p, x, entry);
    grd_scope_end(&scope);
    json_array_append_new(p->tensors, entry);
    return json_integer(index);
}

/* ---- Steps ---- */

/* Which of the gradients that its item gets each event of the walk hands on, from 1; and of how
 * many.
 */
static bool count_parts(player *p)
{
    const grd_trace *trace = p->g.trace;
    p->part = grdi_scratch(p->g.op, (size_t)trace->events.count + 1, sizeof *p->part);
    p->parts = grdi_scratch(p->g.op, (size_t)trace->items.count, sizeof *p->parts);
    if (!p->part || !p->parts)
        return false;
    memset(p->parts, 0, (size_t)trace->items.count * sizeof *p->parts);
    for (int64_t e = 0; e < trace->events.count; e++) {
        const grdi_traced_event *event = grdi_traced_event_at(trace, e);
        if (event->walk == p->g.walk && event->from >= 0)
            p->part[e] = ++p->parts[event->to];
    }
    return true;
}

static const grd_tensor *unchanged(const grdi_traced_event *event)
{
    return event->gradient->storage->version == event->version ? event->gradient : NULL;
}

/* What a box hands to others, in the order of the walk. */
static json_t *sent_by(player *p, int64_t box)
{
    json_t *list = json_array();
    const grdi_graph *g = &p->g;
    for (int64_t e = 0; e < g->trace->events.count; e++) {
        const grdi_traced_event *event = grdi_traced_event_at(g->trace, e);
        if (event->walk != g->walk || event->from < 0 || g->box_of[event->from] != box ||
            g->box_of[event->to] == box)
            continue;
        json_array_append_new(
            list,
            json_pack("{s:I, s:i, s:o, s:I, s:I}", "to", (json_int_t)g->box_of[event->to], "input",
                      event->input, "gradient", tensor_at(p, unchanged(event), NULL), "part",
                      (json_int_t)p->part[e], "parts", (json_int_t)p->parts[event->to]));
    }
    return list;
}

static json_t *forward_steps(const player *p)
{
    json_t *list = json_array();
    for (int64_t b = 0; b < p->g.count; b++)
        if (p->g.boxes[b].kind >= GRDI_BOX_OP)
            json_array_append_new(list, json_integer(b));
    return list;
}

/* A box when the gradient of what it gives is whole. */
static json_t *backward_steps(player *p)
{
    json_t *list = json_array();
    const grdi_graph *g = &p->g;
    for (int64_t e = 0; e < g->trace->events.count; e++) {
        const grdi_traced_event *event = grdi_traced_event_at(g->trace, e);
        const int64_t box = g->box_of[event->to];
        if (event->walk != g->walk || event->from >= 0 || box < 0 ||
            g->boxes[box].item != event->to)
            continue;
        json_array_append_new(list, json_pack("{s:I, s:o, s:o}", "box", (json_int_t)box, "gradient",
                                              tensor_at(p, unchanged(event), NULL), "sent",
                                              sent_by(p, box)));
    }
    return list;
}

/* ---- The drawing ---- */

static json_t *point_list(const double *points, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < 2 * count; i++)
        json_array_append_new(list, json_real(points[i]));
    return list;
}

static json_t *lines_of(const grdi_box *box)
{
    json_t *list = json_array();
    const grdi_box_text text = grdi_box_text_of(box);
    for (int i = 0; i < text.count; i++)
        json_array_append_new(list, json_string(text.line[i]));
    return list;
}

static json_t *boxes_of(player *p)
{
    json_t *list = json_array();
    for (int64_t b = 0; b < p->g.count; b++) {
        const grdi_box *box = &p->g.boxes[b];
        json_array_append_new(list,
                              json_pack("{s:[f, f, f, f], s:o, s:o, s:o}", "place", box->x, box->y,
                                        box->width, box->height, "lines", lines_of(box), "value",
                                        tensor_at(p, box->value, &box->of_value), "gradient",
                                        tensor_at(p, box->gradient, &box->of_gradient)));
    }
    return list;
}

static json_t *ways_of(const grdi_layout *layout)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < layout->num_ways; i++) {
        const grdi_way *way = &layout->ways[i];
        json_array_append_new(list, json_pack("{s:I, s:I, s:i, s:o}", "from", (json_int_t)way->from,
                                              "to", (json_int_t)way->to, "input", way->input,
                                              "points", point_list(way->points, way->num_points)));
    }
    return list;
}

static json_t *data_of(player *p, const grdi_layout *layout)
{
    json_t *boxes = boxes_of(p), *backward = backward_steps(p);
    if (grdi_latched()) {
        json_decref(boxes);
        json_decref(backward);
        return NULL;
    }
    return json_pack("{s:o, s:[f, f], s:o, s:o, s:o, s:o, s:O, s:o}", "graph",
                     grdi_graph_json(&p->g), "size", p->g.width, p->g.height, "boxes", boxes,
                     "ways", ways_of(layout), "forward", forward_steps(p), "backward", backward,
                     "tensors", p->tensors, "corners",
                     grdi_page_blob(p->corners, (size_t)p->num_corners * sizeof *p->corners));
}

/* ---- The page ---- */

static bool write_page(player *p, const char *path)
{
    static const char *const assets[] = { "player.css", "player.js", NULL };
    grdi_layout layout;
    for (int64_t b = 0; b < p->g.count; b++)
        grdi_box_measure(&p->g.boxes[b]);
    if (!grdi_graph_layout(&p->g, &layout) || !count_parts(p))
        return false;
    p->tensors = json_array();
    grdi_page page = { .title = p->g.title, .assets = assets, .data = data_of(p, &layout) };
    json_decref(p->tensors);
    const bool complete = page.data != NULL;
    return grdi_page_write(p->g.op, path, &page, complete);
}

/* Whether the trace has a walk that reached the root. */
static bool is_walked(const grd_trace *trace, const grd_tensor *root)
{
    const int64_t item = grdi_places_find(&trace->places, root->history);
    for (int64_t e = 0; e < trace->events.count; e++)
        if (grdi_traced_event_at(trace, e)->from < 0 && grdi_traced_event_at(trace, e)->to == item)
            return true;
    return false;
}

/* A walk from the root that the trace notes, and that leaves all gradients as they are. */
static bool walk(grd_trace *trace, const char *op, const grd_tensor *root)
{
    grdi_walk w = { .op = op, .collect_leaves = true, .retain = true };
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.trace = trace;
    grdi_walk_run(&w, (grd_list){ 1, &root }, (grd_list){ 0 }, (grd_list){ 0 });
    grdi_walk_leave(&w);
    return grd_scope_end(&scope) == GRD_OK;
}

/* The caller's trace, or one of our scope, with a walk in it. */
static grd_trace *walked_trace(const char *op, const grd_tensor *root, grd_trace *given)
{
    grd_trace *trace = given ? given : grdi_trace_create(op);
    if (trace && !given)
        grdi_scope_own(&trace->object);
    if (!trace || grdi_trace_reach(trace, op, root) < 0)
        return NULL;
    return is_walked(trace, root) || walk(trace, op, root) ? trace : NULL;
}

grd_status grd_view_backward(const char *path, const grd_tensor *root,
                             const grd_graph_options *options)
{
    const char *op = "view_backward";
    player p = { 0 };
    grd_scope scope;
    grd_graph_options chosen = options ? *options : (grd_graph_options){ 0 };
    chosen.title = chosen.title ? chosen.title : "Forward and backward, step by step";
    if (!path)
        return grdi_fail_null(op), grdi_self.latched;
    if (!grdi_may_make(op) || !grdi_graph_check(op, root, &chosen))
        return grdi_self.latched;
    grdi_graph_scope(&scope);
    chosen.trace = walked_trace(op, root, chosen.trace);
    if (chosen.trace && grdi_graph_make(&p.g, op, root, &chosen))
        write_page(&p, path);
    grdi_places_free(&p.places);
    grdi_free(p.corners, (size_t)p.room * sizeof *p.corners);
    return grd_scope_end(&scope);
}
