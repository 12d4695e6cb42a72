/* Where boxes are drawn: in layers, so that every edge points down; in an order within a layer that
 * has few crossings; and across such that edges are straight where they can be.
 *
 * An edge that passes layers has a bend in each, and what one box gives to several others shares
 * them. A point is a box or such a bend; the edges between points join neighbouring layers. */
#include "nn/files.h"
#include "view/graph.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_POINTS = 100000,
    BETWEEN_LAYERS = 44,
    BETWEEN_BOXES = 26,
    OF_BEND = 10, /* as wide as */
    MARGIN = 28,
    ORDERINGS = 12,
    PLACINGS = 24
};

/* A box, or a bend. */
typedef struct point {
    int64_t box;          /* -1: a bend */
    int64_t layer, at;    /* which it is in its layer */
    int64_t above, below; /* first edge in the lists; -1: none */
    double x, width;      /* of its middle */
    double wanted;
} point;

/* Between neighbouring layers. */
typedef struct edge {
    int64_t from, to;                 /* points */
    int64_t next_of_from, next_of_to; /* in the lists of each */
} edge;

typedef struct layout {
    grdi_graph *g;
    int64_t *layer; /* of each box */
    int64_t *bend;  /* of each box: its first, from which the others follow; -1: none */
    point *points;
    edge *edges;
    int64_t num_points, num_edges, num_layers;
    int64_t **order, *size; /* of each layer */
    double *top, *height;
} layout;

/* ---- Layers ---- */

static int64_t deepest_input(const layout *l, const grdi_box *box)
{
    int64_t deepest = -1;
    for (int64_t i = 0; i < box->num_inputs; i++)
        if (box->inputs[i] >= 0 && l->layer[box->inputs[i]] > deepest)
            deepest = l->layer[box->inputs[i]];
    return deepest;
}

/* Each box below all that it reads; what reads nothing right above the first that reads it. */
static bool assign_layers(layout *l)
{
    const grdi_graph *g = l->g;
    int64_t *first = grdi_scratch(g->op, (size_t)g->count, sizeof *first);
    if (!first)
        return false;
    for (int64_t b = 0; b < g->count; b++) {
        l->layer[b] = deepest_input(l, &g->boxes[b]) + 1;
        first[b] = INT64_MAX;
        for (int64_t i = 0; i < g->boxes[b].num_inputs; i++) {
            const int64_t input = g->boxes[b].inputs[i];
            if (input >= 0 && l->layer[b] < first[input])
                first[input] = l->layer[b];
        }
    }
    for (int64_t b = 0; b < g->count; b++) {
        if (l->layer[b] == 0 && first[b] < INT64_MAX)
            l->layer[b] = first[b] - 1;
        l->num_layers = l->layer[b] >= l->num_layers ? l->layer[b] + 1 : l->num_layers;
    }
    return true;
}

/* ---- Points and edges ---- */

/* The lowest layer that reads each box. */
static void find_lowest(const layout *l, int64_t *lowest)
{
    for (int64_t b = 0; b < l->g->count; b++)
        lowest[b] = l->layer[b];
    for (int64_t b = 0; b < l->g->count; b++)
        for (int64_t i = 0; i < l->g->boxes[b].num_inputs; i++) {
            const int64_t input = l->g->boxes[b].inputs[i];
            if (input >= 0 && l->layer[b] > lowest[input])
                lowest[input] = l->layer[b];
        }
}

static int64_t add_point(layout *l, int64_t box, int64_t layer)
{
    l->points[l->num_points] = (point){
        .box = box,
        .layer = layer,
        .at = l->size[layer]++,
        .above = -1,
        .below = -1,
        .width = box < 0 ? OF_BEND : l->g->boxes[box].width,
    };
    return l->num_points++;
}

static void join(layout *l, int64_t from, int64_t to)
{
    edge *e = &l->edges[l->num_edges];
    *e = (edge){ from, to, l->points[from].below, l->points[to].above };
    l->points[from].below = l->points[to].above = l->num_edges++;
}

/* The point of a box, or its bend, that what reads the box in this layer is joined to. */
static int64_t last_point(const layout *l, int64_t box, int64_t layer)
{
    const int64_t down = layer - 1 - l->layer[box];
    return down == 0 ? box : l->bend[box] + down - 1;
}

static void join_all(layout *l)
{
    for (int64_t b = 0; b < l->g->count; b++) {
        const grdi_box *box = &l->g->boxes[b];
        for (int64_t i = 0; i < box->num_inputs; i++)
            if (box->inputs[i] >= 0)
                join(l, last_point(l, box->inputs[i], l->layer[b]), b);
    }
}

static void add_bends(layout *l, const int64_t *lowest)
{
    for (int64_t b = 0; b < l->g->count; b++) {
        l->bend[b] = lowest[b] > l->layer[b] + 1 ? l->num_points : -1;
        int64_t above = b;
        for (int64_t layer = l->layer[b] + 1; layer < lowest[b]; layer++) {
            const int64_t bend = add_point(l, -1, layer);
            join(l, above, bend);
            above = bend;
        }
    }
}

static bool make_order(layout *l)
{
    const char *op = l->g->op;
    for (int64_t i = 0; i < l->num_layers; i++) {
        l->order[i] = grdi_scratch(op, (size_t)l->size[i], sizeof **l->order);
        if (!l->order[i])
            return false;
    }
    for (int64_t p = 0; p < l->num_points; p++)
        l->order[l->points[p].layer][l->points[p].at] = p;
    return true;
}

static bool make_points(layout *l)
{
    const char *op = l->g->op;
    int64_t *lowest = grdi_scratch(op, (size_t)l->g->count, sizeof *lowest);
    if (!lowest)
        return false;
    find_lowest(l, lowest);
    int64_t points = l->g->count, edges = 0;
    for (int64_t b = 0; b < l->g->count; b++) {
        points += lowest[b] > l->layer[b] ? lowest[b] - l->layer[b] - 1 : 0;
        edges += l->g->boxes[b].num_inputs;
    }
    if (points > MOST_POINTS)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "a graph of %lld boxes is too large to be drawn (collapse modules, or "
                         "write .json or .dot)",
                         (long long)l->g->count);
    l->points = grdi_scratch(op, (size_t)points, sizeof *l->points);
    l->edges = grdi_scratch(op, (size_t)(points + edges), sizeof *l->edges);
    l->order = grdi_scratch(op, (size_t)l->num_layers, sizeof *l->order);
    l->size = grdi_scratch(op, (size_t)l->num_layers, sizeof *l->size);
    if (grdi_latched())
        return false;
    memset(l->size, 0, (size_t)l->num_layers * sizeof *l->size);
    for (int64_t b = 0; b < l->g->count; b++)
        add_point(l, b, l->layer[b]);
    add_bends(l, lowest);
    join_all(l);
    return make_order(l);
}

/* ---- Order within layers ---- */

/* How much a point matters: long edges are to be straight, and leaves stand aside for what flows.
 */
static double weight_of(const point *p)
{
    return p->box < 0 ? 4 : p->above < 0 ? 0.05 : 1;
}

/* The mean place, across or in their order, of a point's neighbours above, or below; `fallback` if
 * it has none. */
static double mean_of(const layout *l, const point *p, bool above, bool across, double fallback)
{
    double sum = 0, weights = 0;
    for (int64_t e = above ? p->above : p->below; e >= 0;
         e = above ? l->edges[e].next_of_to : l->edges[e].next_of_from) {
        const point *other = &l->points[above ? l->edges[e].from : l->edges[e].to];
        const double weight = across ? weight_of(other) : 1;
        sum += weight * (across ? other->x : (double)other->at);
        weights += weight;
    }
    return weights > 0 ? sum / weights : fallback;
}

/* Sorted by what is wanted, stably, by insertion: layers are nearly sorted after the first time. */
static void sort_layer(layout *l, int64_t layer)
{
    int64_t *order = l->order[layer];
    for (int64_t i = 1; i < l->size[layer]; i++) {
        const int64_t moved = order[i];
        int64_t j = i;
        for (; j > 0 && l->points[order[j - 1]].wanted > l->points[moved].wanted; j--)
            order[j] = order[j - 1];
        order[j] = moved;
    }
    for (int64_t i = 0; i < l->size[layer]; i++)
        l->points[order[i]].at = i;
}

/* The layer to look at after i others, downwards or upwards. */
static int64_t layer_at(const layout *l, int64_t i, bool down)
{
    return down ? i : l->num_layers - 1 - i;
}

static void order_layers(layout *l)
{
    for (int sweep = 0; sweep < ORDERINGS; sweep++)
        for (int64_t i = 1; i < l->num_layers; i++) {
            const bool down = sweep % 2 == 0;
            const int64_t layer = layer_at(l, i, down);
            for (int64_t k = 0; k < l->size[layer]; k++) {
                point *p = &l->points[l->order[layer][k]];
                p->wanted = mean_of(l, p, down, false, (double)p->at);
            }
            sort_layer(l, layer);
        }
}

/* ---- Across ---- */

/* Points next to each other that move as one. */
typedef struct block {
    double sum, weight;
    int64_t count;
} block;

/* How far apart the middles of two neighbours are at least. */
static double apart(const layout *l, int64_t layer, int64_t k)
{
    const int64_t *order = l->order[layer];
    return (l->points[order[k - 1]].width + l->points[order[k]].width) / 2 + BETWEEN_BOXES;
}

/* Moves the points of a layer to where they want to be, in their order and apart, with the least
 * sum of squares: less what neighbours must be apart, places have to be ascending, and a point that
 * is not makes one block with those before it. */
static void settle(layout *l, int64_t layer, block *blocks)
{
    int64_t count = 0;
    double shift = 0;
    for (int64_t k = 0; k < l->size[layer]; k++) {
        const point *p = &l->points[l->order[layer][k]];
        const double weight = weight_of(p);
        shift += k ? apart(l, layer, k) : 0;
        blocks[count++] = (block){ weight * (p->wanted - shift), weight, 1 };
        while (count > 1 && blocks[count - 2].sum * blocks[count - 1].weight >
                                blocks[count - 1].sum * blocks[count - 2].weight) {
            blocks[count - 2].sum += blocks[count - 1].sum;
            blocks[count - 2].weight += blocks[count - 1].weight;
            blocks[count - 2].count += blocks[count - 1].count;
            count--;
        }
    }
    shift = 0;
    for (int64_t b = 0, k = 0; b < count; b++)
        for (int64_t i = 0; i < blocks[b].count; i++, k++) {
            shift += k ? apart(l, layer, k) : 0;
            l->points[l->order[layer][k]].x = blocks[b].sum / blocks[b].weight + shift;
        }
}

static bool place_across(layout *l)
{
    int64_t widest = 0;
    for (int64_t i = 0; i < l->num_layers; i++)
        widest = l->size[i] > widest ? l->size[i] : widest;
    block *blocks = grdi_scratch(l->g->op, (size_t)widest, sizeof *blocks);
    if (!blocks)
        return false;
    for (int64_t i = 0; i < l->num_layers; i++) {
        for (int64_t k = 0; k < l->size[i]; k++)
            l->points[l->order[i][k]].wanted = 0;
        settle(l, i, blocks);
    }
    for (int sweep = 0; sweep < PLACINGS; sweep++)
        for (int64_t i = 1; i < l->num_layers; i++) {
            const bool down = sweep % 2 == 0;
            const int64_t layer = layer_at(l, i, down);
            for (int64_t k = 0; k < l->size[layer]; k++) {
                point *p = &l->points[l->order[layer][k]];
                p->wanted = mean_of(l, p, down, true, p->x);
            }
            settle(l, layer, blocks);
        }
    return true;
}

/* ---- Down, and what comes of it ---- */

static void place_boxes(layout *l)
{
    grdi_graph *g = l->g;
    double left = 0, right = 0, y = MARGIN;
    for (int64_t p = 0; p < l->num_points; p++) {
        const point *at = &l->points[p];
        const double from = at->x - at->width / 2, to = at->x + at->width / 2;
        left = p == 0 || from < left ? from : left;
        right = p == 0 || to > right ? to : right;
    }
    for (int64_t i = 0; i < l->num_layers; i++) {
        l->top[i] = y;
        l->height[i] = 0;
        for (int64_t k = 0; k < l->size[i]; k++) {
            const int64_t box = l->points[l->order[i][k]].box;
            if (box >= 0 && g->boxes[box].height > l->height[i])
                l->height[i] = g->boxes[box].height;
        }
        y += l->height[i] + BETWEEN_LAYERS;
    }
    for (int64_t p = 0; p < l->num_points; p++) {
        point *at = &l->points[p];
        at->x += MARGIN - left;
        if (at->box < 0)
            continue;
        grdi_box *box = &g->boxes[at->box];
        box->x = at->x - box->width / 2;
        box->y = l->top[at->layer] + (l->height[at->layer] - box->height) / 2;
    }
    g->width = right - left + 2 * MARGIN;
    g->height = y - BETWEEN_LAYERS + MARGIN;
}

/* Where the i-th input enters a box: side by side in the order in which they come from the left. */
static double entrance(const layout *l, const grdi_box *box, int64_t input)
{
    int64_t before = 0, count = 0;
    double x[2] = { 0, 0 };
    for (int64_t i = 0; i < box->num_inputs; i++) {
        if (box->inputs[i] < 0)
            continue;
        const int64_t layer = l->layer[box - l->g->boxes];
        x[0] = l->points[last_point(l, box->inputs[input], layer)].x;
        x[1] = l->points[last_point(l, box->inputs[i], layer)].x;
        before += x[1] < x[0] || (x[1] == x[0] && i < input);
        count++;
    }
    const double step =
        box->width / (double)(count + 1) < 28 ? box->width / (double)(count + 1) : 28;
    return box->x + box->width / 2 + step * ((double)before - (double)(count - 1) / 2);
}

static int64_t trace_way(const layout *l, const grdi_way *way, double *to)
{
    const grdi_box *from = &l->g->boxes[way->from], *into = &l->g->boxes[way->to];
    int64_t count = 0;
    to[count++] = from->x + from->width / 2;
    to[count++] = from->y + from->height;
    for (int64_t layer = l->layer[way->from] + 1; layer < l->layer[way->to]; layer++) {
        const double x = l->points[last_point(l, way->from, layer + 1)].x;
        to[count++] = x;
        to[count++] = l->top[layer];
        to[count++] = x;
        to[count++] = l->top[layer] + l->height[layer];
    }
    to[count++] = entrance(l, into, way->input);
    to[count++] = into->y;
    return count / 2;
}

static bool make_ways(const layout *l, grdi_layout *made)
{
    const grdi_graph *g = l->g;
    int64_t count = 0;
    for (int64_t b = 0; b < g->count; b++)
        count += g->boxes[b].num_inputs;
    made->num_ways = 0;
    made->ways = grdi_scratch(g->op, (size_t)count, sizeof *made->ways);
    for (int64_t b = 0; b < g->count && made->ways; b++)
        for (int i = 0; i < g->boxes[b].num_inputs; i++) {
            grdi_way way = { .from = g->boxes[b].inputs[i], .to = b, .input = i };
            if (way.from < 0)
                continue;
            const int64_t layers = l->layer[b] - l->layer[way.from];
            double *points = grdi_scratch(g->op, (size_t)(4 * layers + 4), sizeof *points);
            if (!points)
                return false;
            way.points = points;
            way.num_points = trace_way(l, &way, points);
            made->ways[made->num_ways++] = way;
        }
    return made->ways;
}

bool grdi_graph_layout(grdi_graph *g, grdi_layout *made)
{
    layout l = { .g = g };
    l.layer = grdi_scratch(g->op, (size_t)g->count, sizeof *l.layer);
    l.bend = grdi_scratch(g->op, (size_t)g->count, sizeof *l.bend);
    if (!l.layer || !l.bend || !assign_layers(&l))
        return false;
    l.top = grdi_scratch(g->op, (size_t)l.num_layers, sizeof *l.top);
    l.height = grdi_scratch(g->op, (size_t)l.num_layers, sizeof *l.height);
    if (!l.top || !l.height || !make_points(&l))
        return false;
    order_layers(&l);
    if (!place_across(&l))
        return false;
    place_boxes(&l);
    return make_ways(&l, made);
}
