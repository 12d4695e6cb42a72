/* Graphs as text and pictures: small ones whole, layouts by their properties. */
#include "view/graph.h"
#include "nn/files.h"
#include "tests/autograd/expect.h"
#include "tests/counter.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(graph, .init = begin, .fini = end);

static grd_tensor *leaf(double value, const char *name)
{
    return grd_require_grad(grd_tensor_set_name(grd_scalar(value), name));
}

/* y = x x + 2 x, without call sites. */
static grd_tensor *diamond(grd_tensor *x)
{
    grd_tensor *left = grd_tensor_set_name((grd_mul)(x, x), "left");
    grd_tensor *two = grd_tensor_set_name(grd_scalar(2), "two");
    return grd_tensor_set_name((grd_add)(left, (grd_mul)(two, x)), "y");
}

/* What grd_graph_dump writes with this ending; the scope's. */
static const char *dumped(const char *ending, const grd_tensor *root,
                          const grd_graph_options *options)
{
    char path[64];
    snprintf(path, sizeof path, "graph_test.%s", ending);
    cr_assert_eq(grd_graph_dump(path, root, options), GRD_OK, "%s", grd_error_message());
    const grdi_bytes *bytes = grdi_file_read("test", path, 1 << 24);
    cr_assert(bytes, "%s", grd_error_message());
    unlink(path);
    return (const char *)bytes->data;
}

static void expect_in(const char *text, const char *part)
{
    cr_assert(strstr(text, part), "\"%s\" is not in: %s", part, text);
}

/* ---- Small ones, whole ---- */

Test(graph, dot_of_a_diamond)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *y = diamond(leaf(3, "x"));
    grd_backward(y);
    cr_assert_str_eq(
        dumped("dot", y, &(grd_graph_options){ .trace = trace, .title = "A \"diamond\"" }),
        "digraph gradus {\n"
        "  label=\"A \\\"diamond\\\"\";\n"
        "  labelloc=t;\n"
        "  fontname=\"sans-serif\";\n"
        "  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\"];\n"
        "  n0 [label=\"x\\nleaf \xc2\xb7 f32 []\", tooltip=\"leaf x\\nf32 []\\n"
        "values: min 3, max 3, mean 3, norm 3\\ngradient: min 8, max 8, mean 8, norm 8\\n\", "
        "fillcolor=\"#dfe9fd\", color=\"#2456cf\"];\n"
        "  n1 [label=\"left\\nmul \xc2\xb7 f32 []\\nsaves 8 B\", tooltip=\"mul left\\nf32 []\\n"
        "values: min 9, max 9, mean 9, norm 9\\ngradient: min 1, max 1, mean 1, norm 1\\n"
        "saves input 0 [] (4 B), input 1 [] (4 B)\\ny = a b: da = dy b, db = dy a\\n\", "
        "fillcolor=\"#ffffff\", color=\"#8a95a5\"];\n"
        "  n2 [label=\"two\\nconstant \xc2\xb7 f32 []\", tooltip=\"constant two\\nf32 []\\n"
        "values: min 2, max 2, mean 2, norm 2\\n\", "
        "fillcolor=\"#eef0f3\", color=\"#c3cad4\"];\n"
        "  n3 [label=\"mul\\nf32 []\\nsaves 4 B\", tooltip=\"mul\\nf32 []\\n"
        "values: min 6, max 6, mean 6, norm 6\\ngradient: min 1, max 1, mean 1, norm 1\\n"
        "saves input 0 [] (4 B)\\ny = a b: da = dy b, db = dy a\\n\", "
        "fillcolor=\"#ffffff\", color=\"#8a95a5\"];\n"
        "  n4 [label=\"y\\nadd \xc2\xb7 f32 []\", tooltip=\"add y\\nf32 []\\n"
        "values: min 15, max 15, mean 15, norm 15\\ngradient: min 1, max 1, mean 1, norm 1\\n"
        "y = a + b: da = dy, db = dy\\n\", "
        "fillcolor=\"#ffffff\", color=\"#8a95a5\", penwidth=2.5];\n"
        "  n0 -> n1;\n  n0 -> n1;\n  n2 -> n3;\n  n0 -> n3;\n  n1 -> n4;\n  n3 -> n4;\n"
        "}\n");
}

/* The document, with single quotes for double ones and without the white space that lays it out. */
static const char *squeezed(const char *text)
{
    char *to = grdi_scratch("test", strlen(text) + 1, 1), *at = to;
    for (; *text; text++)
        if (*text == '\n')
            text += strspn(text + 1, " ");
        else
            *at++ = *text == '"' ? '\'' : *text;
    *at = '\0';
    return to;
}

Test(graph, json_of_an_untraced_square)
{
    const float values[] = { 1, -2 };
    grd_tensor *x = grd_require_grad(grd_from_f32(values, 2, GRD_SHAPE(2)));
    cr_assert_str_eq(
        squeezed(dumped("json", (grd_sum)((grd_square)(x)), NULL)),
        "{'format': 'gradus graph 1','title': 'Graph','root': 2,'walked': false,'nodes': ["
        "{'id': 0,'kind': 'leaf','op': 'leaf','name': null,'module': null,'dtype': 'f32',"
        "'shape': [2],'requires_grad': true,'inputs': [],"
        "'values': {'min': -2.0,'max': 1.0,'mean': -0.5,'norm': 2.23606798,'not_finite': 0},"
        "'gradient': 'not computed','saved_bytes': 0},"
        "{'id': 1,'kind': 'op','op': 'square','name': null,'module': null,'dtype': 'f32',"
        "'shape': [2],'requires_grad': true,'inputs': [0],"
        "'values': 'not computed','gradient': 'not computed','saved_bytes': 8,"
        "'rule': 'y = x^2: dx = 2 x dy',"
        "'saved': [{'what': 'input 0','dtype': 'f32','shape': [2],'bytes': 8}],"
        "'file': null,'line': null},"
        "{'id': 2,'kind': 'op','op': 'sum','name': null,'module': null,'dtype': 'f32',"
        "'shape': [],'requires_grad': true,'inputs': [1],"
        "'values': {'min': 5.0,'max': 5.0,'mean': 5.0,'norm': 5.0,'not_finite': 0},"
        "'gradient': 'not computed','saved_bytes': 0,"
        "'rule': 'y = sum(x): dx = dy, the same for all that were summed',"
        "'saved': [],'file': null,'line': null}]}");
}

/* ---- What is known ---- */

static json_t *document(const grd_tensor *root, const grd_graph_options *options)
{
    json_t *read = json_loads(dumped("json", root, options), 0, NULL);
    cr_assert(read);
    return read;
}

static json_t *node_named(json_t *graph, const char *key, const char *value)
{
    size_t i;
    json_t *node;
    json_array_foreach(json_object_get(graph, "nodes"), i, node)
    {
        const char *is = json_string_value(json_object_get(node, key));
        if (is && strcmp(is, value) == 0)
            return node;
    }
    cr_assert(false, "no node with %s %s", key, value);
    return NULL;
}

static double stat_of(json_t *node, const char *what, const char *which)
{
    return json_real_value(json_object_get(json_object_get(node, what), which));
}

Test(graph, statistics_leave_out_what_is_not_finite)
{
    const float values[] = { 1, NAN, 3, -INFINITY };
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = grd_require_grad(grd_from_f32(values, 4, GRD_SHAPE(4)));
    grd_tensor *y = grd_sum(grd_mul_scalar(x, 2));
    json_t *graph = document(y, &(grd_graph_options){ .trace = trace });
    json_t *node = node_named(graph, "op", "mul_scalar");
    cr_assert_eq(stat_of(node, "values", "min"), 2);
    cr_assert_eq(stat_of(node, "values", "max"), 6);
    cr_assert_eq(stat_of(node, "values", "mean"), 4);
    cr_assert_float_eq(stat_of(node, "values", "norm"), sqrt(40), 1e-8);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(node, "values"), "not_finite")),
                 2);
    node = node_named(graph, "op", "sum");
    cr_assert(json_is_null(json_object_get(json_object_get(node, "values"), "min")));
    json_decref(graph);
    expect_in(dumped("dot", y, &(grd_graph_options){ .trace = trace }), "values: 1 not finite");
    expect_in(dumped("svg", y, &(grd_graph_options){ .trace = trace }), "g-bad");
}

Test(graph, values_changed_in_place_are_not_shown)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(3, "x"), *y = grd_square(x);
    grd_scope *plain = grd_scope_begin_no_grad();
    cr_assert_eq(grd_fill_(x, 4), GRD_OK, "%s", grd_error_message());
    grd_scope_end(plain);
    json_t *graph = document(y, &(grd_graph_options){ .trace = trace });
    cr_assert_str_eq(json_string_value(json_object_get(node_named(graph, "name", "x"), "values")),
                     "changed in place since");
    json_decref(graph);
}

Test(graph, gradients_are_those_of_the_last_walk_from_the_root)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(3, "x"), *y = grd_square(x), *z = grd_mul_scalar(y, 2);
    const grd_backward_options retain = { .retain_graph = true };
    cr_assert_eq(grd_backward_with(z, &retain), GRD_OK);
    cr_assert_eq(grd_backward(y), GRD_OK);
    json_t *graph = document(z, &(grd_graph_options){ .trace = trace });
    cr_assert_eq(stat_of(node_named(graph, "op", "square"), "gradient", "max"), 2);
    cr_assert_eq(stat_of(node_named(graph, "name", "x"), "gradient", "max"), 12);
    json_decref(graph);
    graph = document(y, &(grd_graph_options){ .trace = trace });
    cr_assert_eq(stat_of(node_named(graph, "name", "x"), "gradient", "max"), 6);
    json_decref(graph);
}

Test(graph, an_untraced_walk_leaves_gradients_in_leaves)
{
    grd_tensor *x = leaf(3, "x"), *y = grd_square(x);
    const grd_backward_options retain = { .retain_graph = true };
    cr_assert_eq(grd_backward_with(y, &retain), GRD_OK);
    json_t *graph = document(y, NULL);
    cr_assert_eq(stat_of(node_named(graph, "name", "x"), "gradient", "max"), 6);
    cr_assert_str_eq(
        json_string_value(json_object_get(node_named(graph, "op", "square"), "gradient")),
        "not computed");
    json_decref(graph);
}

Test(graph, tells_the_call_site)
{
    grd_tensor *x = leaf(3, "x"), *y = grd_square(x);
    const int line = __LINE__ - 1;
    json_t *graph = document(y, NULL), *node = node_named(graph, "op", "square");
    expect_in(json_string_value(json_object_get(node, "file")), "graph.c");
    cr_assert_eq(json_integer_value(json_object_get(node, "line")), line);
    json_decref(graph);
}

/* ---- Modules ---- */

static grd_tensor *loss_of(grd_module *net, const grd_tensor *x)
{
    return grd_sum(grd_forward(net, grd_relu(grd_forward(net, x))));
}

static grd_tensor *two_layers(grd_module *self, const grd_tensor *x)
{
    return grd_forward(grd_module_get(self, "last"),
                       grd_relu(grd_forward(grd_module_get(self, "first"), x)));
}

static grd_module *net(void)
{
    grd_rng *rng = grd_rng_create(1);
    grd_module *made = grd_module_create("Net", 0, two_layers);
    cr_assert(grd_module_add(made, "first", grd_linear_create(rng, 3, 4, NULL)));
    cr_assert(grd_module_add(made, "last", grd_linear_create(rng, 4, 3, NULL)));
    return made;
}

static size_t count_kind(json_t *graph, const char *kind)
{
    size_t i, count = 0;
    json_t *node;
    json_array_foreach(json_object_get(graph, "nodes"), i, node)
    {
        count += strcmp(json_string_value(json_object_get(node, "kind")), kind) == 0;
    }
    return count;
}

Test(graph, modules_collapse_by_depth)
{
    grd_module *module = net();
    grd_tensor *x = grd_tensor_set_name(grd_ones(GRD_SHAPE(2, 3)), "x");
    grd_trace *trace = grd_trace_begin();
    grd_tensor *loss = loss_of(module, x);
    grd_graph_options options = { .trace = trace };
    json_t *graph = document(loss, &options);
    cr_assert_eq(count_kind(graph, "module"), 0);
    cr_assert_eq(count_kind(graph, "op"), 8);
    cr_assert_eq(count_kind(graph, "leaf"), 4);
    cr_assert_str_eq(
        json_string_value(json_object_get(node_named(graph, "name", "first.weight"), "kind")),
        "leaf");
    json_decref(graph);
    options.collapse = 1;
    graph = document(loss, &options);
    cr_assert_eq(count_kind(graph, "module"), 2, "each call is a box");
    cr_assert_eq(count_kind(graph, "op"), 2);
    cr_assert_eq(count_kind(graph, "constant"), 1);
    json_t *box = node_named(graph, "kind", "module");
    cr_assert_eq(json_integer_value(json_object_get(box, "ops")), 3);
    json_decref(graph);
    options.collapse = 2;
    graph = document(loss, &options);
    cr_assert_eq(count_kind(graph, "module"), 4);
    cr_assert_eq(count_kind(graph, "op"), 4, "relu of each call, the one between them, the sum");
    json_decref(graph);
}

Test(graph, a_modules_parameters_are_within_its_box)
{
    grd_module *module = net();
    grd_trace *trace = grd_trace_begin();
    grd_tensor *loss = grd_sum(grd_forward(module, leaf(1, "x")));
    if (grd_error_take() != GRD_OK) /* a scalar is no input of a linear layer */
        loss = grd_sum(grd_forward(module, grd_require_grad(grd_ones(GRD_SHAPE(2, 3)))));
    json_t *graph = document(loss, &(grd_graph_options){ .trace = trace, .collapse = 1 });
    cr_assert_eq(count_kind(graph, "leaf"), 1, "the input alone");
    json_t *box = node_named(graph, "kind", "module");
    cr_assert_eq(json_integer_value(json_object_get(box, "parameters")), 12 + 4 + 12 + 3);
    cr_assert_str_eq(json_string_value(json_object_get(box, "op")), "Net");
    cr_assert_eq(json_array_size(json_object_get(box, "inputs")), 1);
    json_decref(graph);
}

Test(graph, a_module_names_parameters_without_a_trace)
{
    grd_module *module = net();
    grd_tensor *loss = loss_of(module, grd_ones(GRD_SHAPE(2, 3)));
    json_t *graph = document(loss, &(grd_graph_options){ .module = module });
    json_t *node = node_named(graph, "name", "last.bias");
    cr_assert(json_is_object(json_object_get(node, "values")), "whose values it knows too");
    json_decref(graph);
}

/* ---- Words of anyone ---- */

Test(graph, hostile_names_do_no_harm)
{
    grd_tensor *x = leaf(3, "\"];}\\n<b>&'\n\xe2\x80\xae\x1b[2J");
    const grd_graph_options options = { .title = "</svg><script>\\\"" };
    const char *svg = dumped("svg", grd_square(x), &options);
    cr_assert_null(strstr(svg, "<script"));
    cr_assert_null(strchr(svg, '\x1b'));
    expect_in(svg, "&#60;b&#62;&#38;&#39;\\n\\u{202e}\\u{1b}[2J");
    const char *dot = dumped("dot", grd_square(x), &options);
    expect_in(dot, "label=\"</svg><script>\\\\\\\"\"");
    expect_in(dot, "[label=\"\\\"];}\\\\n<b>&'\\\\n\\\\u{202e}\\\\u{1b}[2J\\nleaf");
    json_t *graph = document(grd_square(x), &options);
    cr_assert(node_named(graph, "name", "\"];}\\n<b>&'\\n\\u{202e}\\u{1b}[2J"));
    json_decref(graph);
}

Test(graph, long_names_are_cut)
{
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const char *svg = dumped("svg", grd_square(leaf(3, name)), NULL);
    name[41] = '\0';
    cr_assert_null(strstr(strstr(svg, "<text class=\"g-text\" font-size=\"13\""), name));
}

Test(graph, the_same_graph_gives_the_same_bytes)
{
    static const char *const endings[] = { "svg", "dot", "json" };
    for (int i = 0; i < 3; i++) {
        grd_tensor *y = diamond(leaf(3, "x"));
        const char *first = dumped(endings[i], y, NULL);
        cr_assert_str_eq(first, dumped(endings[i], diamond(leaf(3, "x")), NULL));
    }
}

/* ---- Layout ---- */

static bool overlap(const grdi_box *a, const grdi_box *b)
{
    return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height &&
           b->y < a->y + a->height;
}

static void check_ways(const grdi_graph *g, const grdi_layout *layout)
{
    int64_t known = 0;
    for (int64_t b = 0; b < g->count; b++)
        for (int64_t i = 0; i < g->boxes[b].num_inputs; i++)
            known += g->boxes[b].inputs[i] >= 0;
    cr_assert_eq(layout->num_ways, known);
    for (int64_t i = 0; i < layout->num_ways; i++) {
        const grdi_way *way = &layout->ways[i];
        const grdi_box *from = &g->boxes[way->from], *to = &g->boxes[way->to];
        const double *end = way->points + 2 * (way->num_points - 1);
        cr_assert_float_eq(way->points[1], from->y + from->height, 1e-9);
        cr_assert_float_eq(end[1], to->y, 1e-9);
        cr_assert(end[0] > to->x && end[0] < to->x + to->width);
        for (int64_t p = 1; p < way->num_points; p++) {
            cr_assert_gt(way->points[2 * p + 1] + 1e-9, way->points[2 * p - 1]);
            cr_assert(way->points[2 * p] >= 0 && way->points[2 * p] <= g->width);
        }
        cr_assert_gt(end[1], way->points[1], "an edge points down");
    }
}

static void check_layout(const grd_tensor *root)
{
    grdi_graph g;
    grdi_layout layout;
    grd_scope inner;
    grdi_graph_scope(&inner);
    cr_assert(grdi_graph_make(&g, "test", root, NULL), "%s", grd_error_message());
    for (int64_t b = 0; b < g.count; b++)
        grdi_box_measure(&g.boxes[b]);
    cr_assert(grdi_graph_layout(&g, &layout), "%s", grd_error_message());
    for (int64_t a = 0; a < g.count; a++) {
        const grdi_box *box = &g.boxes[a];
        cr_assert(box->x >= 0 && box->y >= 0 && box->x + box->width <= g.width &&
                  box->y + box->height <= g.height);
        for (int64_t b = 0; b < a; b++)
            cr_assert_not(overlap(box, &g.boxes[b]));
    }
    check_ways(&g, &layout);
    cr_assert_eq(grd_scope_end(&inner), GRD_OK);
}

/* A graph of `count` ops, each of two of the last `near` results. */
static grd_tensor *random_graph(uint64_t seed, int count, int near)
{
    grd_tensor *made[200];
    grd_rng *rng = grd_rng_create(seed);
    int64_t picks[400];
    cr_assert_eq(grd_read_i64(grd_randint(rng, 0, near, GRD_SHAPE(400)), picks, 400), GRD_OK);
    for (int i = 0; i < 3; i++)
        made[i] = leaf(i, NULL);
    for (int i = 3; i < count; i++) {
        const int64_t a = i - 1 - picks[2 * i] % i, b = i - 1 - picks[2 * i + 1] % i;
        made[i] = i % 5 == 0 ? grd_mul(made[a], grd_scalar(1)) : grd_add(made[a], made[b]);
    }
    return made[count - 1];
}

Test(graph, boxes_lie_apart_and_edges_point_down, .timeout = 60)
{
    for (uint64_t seed = 0; seed < 40; seed++)
        check_layout(random_graph(seed, 4 + 4 * (int)seed, 3 + (int)seed % 20));
    grd_tensor *x = leaf(1, "x"), *y = x;
    for (int i = 0; i < 150; i++) /* edges of any length */
        y = grd_add(y, x);
    check_layout(y);
    check_layout(grd_square(x));
}

/* What flows through one op after the other goes straight down. */
Test(graph, a_chain_is_straight)
{
    grdi_graph g;
    grdi_layout layout;
    grd_tensor *y = grd_ones(GRD_SHAPE(2, 2));
    for (int i = 0; i < 6; i++)
        y = grd_relu(grd_matmul(y, grd_require_grad(grd_ones(GRD_SHAPE(2, 2)))));
    grd_scope inner;
    grdi_graph_scope(&inner);
    cr_assert(grdi_graph_make(&g, "test", y, NULL));
    for (int64_t b = 0; b < g.count; b++)
        grdi_box_measure(&g.boxes[b]);
    cr_assert(grdi_graph_layout(&g, &layout));
    double least = 1e9, most = 0;
    for (int64_t b = 0; b < g.count; b++)
        if (g.boxes[b].kind == GRDI_BOX_OP) {
            least = fmin(least, g.boxes[b].x + g.boxes[b].width / 2);
            most = fmax(most, g.boxes[b].x + g.boxes[b].width / 2);
        }
    cr_assert_lt(most - least, 60, "%g", most - least);
    grd_scope_end(&inner);
}

/* ---- Wrong calls ---- */

static void expect_error(grd_status status, grd_status wanted, const char *words)
{
    cr_assert_eq(status, wanted, "%s", grd_error_message());
    expect_message(words);
    grd_error_take();
}

Test(graph, bad_input_is_named)
{
    grd_tensor *x = leaf(3, "x"), *y = grd_square(x);
    expect_error(grd_graph_dump(NULL, y, NULL), GRD_ERROR_ARGUMENT, "graph_dump");
    expect_error(grd_graph_dump("a.svg", NULL, NULL), GRD_ERROR_ARGUMENT, "graph_dump");
    expect_error(grd_graph_dump("a.png", y, NULL), GRD_ERROR_ARGUMENT,
                 "graph_dump: \"a.png\" ends with none of .svg, .dot and .json");
    expect_error(grd_graph_dump("svg", y, NULL), GRD_ERROR_ARGUMENT, "ends with none");
    expect_error(grd_graph_dump("a.svg", grd_scalar(1), NULL), GRD_ERROR_GRAPH,
                 "graph_dump: the root [] does not require grad: no input did, or it was made "
                 "under no-grad");
    expect_error(grd_graph_dump("a.svg", y, &(grd_graph_options){ .collapse = -1 }),
                 GRD_ERROR_ARGUMENT, "collapse is -1 (0: nothing, 1: whole models)");
    expect_error(grd_graph_dump("no/such/folder/a.svg", y, NULL), GRD_ERROR_IO, "no/such/folder");
    cr_assert_eq(grd_backward(y), GRD_OK);
    expect_error(grd_graph_dump("a.svg", y, NULL), GRD_ERROR_GRAPH,
                 "the graph was freed by an earlier walk (pass .retain_graph to it, or open a "
                 "trace before the graph is made)");
    cr_assert_neq(access("a.svg", F_OK), 0, "nothing was written");
}

Test(graph, too_large_to_be_drawn_is_an_error_that_says_what_to_do, .timeout = 60)
{
    grd_tensor *x = leaf(1, NULL), *z = leaf(1, NULL), *y = x;
    for (int i = 0; i < 60000; i++)
        y = grd_add_scalar(y, 1);
    y = grd_add(grd_mul(y, x), z);
    expect_error(grd_graph_dump("a.svg", y, NULL), GRD_ERROR_ARGUMENT,
                 "boxes is too large to be drawn (collapse modules, or write .json or .dot)");
    cr_assert(strlen(dumped("dot", y, NULL)) > 1000000);
}

static grd_status dump_all(void)
{
    grd_scope *run = grd_scope_begin();
    grd_trace *trace = grd_trace_begin();
    grd_rng *rng = grd_rng_create(1);
    grd_module *layer = grd_linear_create(rng, 3, 2, NULL);
    grd_tensor *y = layer ? grd_sum(grd_forward(layer, grd_ones(GRD_SHAPE(2, 3)))) : NULL;
    if (y && grd_backward(y) == GRD_OK) {
        const grd_graph_options options = { .trace = trace, .collapse = 1 };
        const bool done = grd_graph_dump("graph_memory.svg", y, &options) == GRD_OK &&
                          grd_graph_dump("graph_memory.json", y, &options) == GRD_OK &&
                          grd_graph_dump("graph_memory.dot", y, &options) == GRD_OK;
        (void)done;
    }
    return grd_scope_end(run);
}

Test(graph_memory, fails_at_every_allocation, .timeout = 120)
{
    fail_at_every_allocation(dump_all, 100);
    unlink("graph_memory.svg");
    unlink("graph_memory.dot");
    unlink("graph_memory.json");
}
