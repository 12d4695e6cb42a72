/* The data of the page that steps through a graph; what it does with them is tested in a browser.
 */
#include "nn/files.h"
#include "tests/autograd/expect.h"
#include "tests/counter.h"

#include <jansson.h>
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

TestSuite(player, .init = begin, .fini = end);

static grd_tensor *leaf(double value, const char *name)
{
    return grd_require_grad(grd_tensor_set_name(grd_scalar(value), name));
}

/* What the page holds as JSON. */
static json_t *data_of(const grd_tensor *root, const grd_graph_options *options)
{
    static const char path[] = "player_test.html", start[] = "id=\"data\">";
    cr_assert_eq(grd_view_backward(path, root, options), GRD_OK, "%s", grd_error_message());
    const grdi_bytes *page = grdi_file_read("test", path, 1 << 26);
    cr_assert(page, "%s", grd_error_message());
    unlink(path);
    const char *from = strstr((const char *)page->data, start);
    cr_assert(from);
    from += strlen(start);
    json_t *data = json_loadb(from, (size_t)(strstr(from, "</script>") - from), 0, NULL);
    cr_assert(data);
    return data;
}

static json_t *get(json_t *from, const char *key)
{
    json_t *found = json_object_get(from, key);
    cr_assert(found, "no %s", key);
    return found;
}

static int64_t integer(json_t *from, const char *key)
{
    return json_integer_value(get(from, key));
}

static const char *name_of(json_t *data, int64_t box)
{
    json_t *node = json_array_get(get(get(data, "graph"), "nodes"), (size_t)box);
    const char *name = json_string_value(get(node, "name"));
    return name ? name : json_string_value(get(node, "op"));
}

static double number_at(json_t *data, int64_t tensor)
{
    json_t *entry = json_array_get(get(data, "tensors"), (size_t)tensor);
    return json_real_value(json_array_get(get(entry, "numbers"), 0));
}

/* "y 1: left 1 1/1, ..." of all steps backward. */
static const char *told(json_t *data)
{
    static char text[2048];
    char *at = text;
    size_t i, j;
    json_t *step, *sent;
    *at = '\0';
    json_array_foreach(get(data, "backward"), i, step)
    {
        at += sprintf(at, "%s%s %g", i ? "; " : "", name_of(data, integer(step, "box")),
                      number_at(data, integer(step, "gradient")));
        json_array_foreach(get(step, "sent"), j, sent)
        {
            at += sprintf(at, "%s %s %g %d/%d", j ? "," : ":", name_of(data, integer(sent, "to")),
                          number_at(data, integer(sent, "gradient")), (int)integer(sent, "part"),
                          (int)integer(sent, "parts"));
        }
    }
    return text;
}

/* y = x x + 3 x */
static grd_tensor *diamond(grd_tensor *x)
{
    grd_tensor *left = grd_tensor_set_name(grd_mul(x, x), "left");
    grd_tensor *right = grd_tensor_set_name(grd_mul_scalar(x, 3), "right");
    return grd_tensor_set_name(grd_add(left, right), "y");
}

static const char steps_of_diamond[] =
    "y 1: left 1 1/1, right 1 1/1; right 1: x 3 1/3; left 1: x 2 2/3, x 2 3/3; x 7";

Test(player, steps_through_a_traced_walk)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *y = diamond(leaf(2, "x"));
    cr_assert_eq(grd_backward(y), GRD_OK);
    json_t *data = data_of(y, &(grd_graph_options){ .trace = trace });
    cr_assert_str_eq(told(data), steps_of_diamond);
    cr_assert_eq(json_array_size(get(data, "forward")), 3);
    cr_assert_eq(json_array_size(get(data, "boxes")), 4);
    cr_assert_eq(json_array_size(get(data, "ways")), 5);
    json_decref(data);
}

Test(player, walks_itself_where_nothing_did_and_changes_no_gradient)
{
    grd_tensor *x = leaf(2, "x"), *y = diamond(x);
    json_t *data = data_of(y, NULL);
    cr_assert_str_eq(told(data), "y 1: mul 1 1/1, mul_scalar 1 1/1; mul_scalar 1: x 3 1/3; "
                                 "mul 1: x 2 2/3, x 2 3/3; x 7");
    json_decref(data);
    cr_assert_null(grd_tensor_grad(x));
    cr_assert_eq(grd_backward(y), GRD_OK, "the graph is still there");
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 7);
}

Test(player, an_open_trace_stays_open)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(2, "x");
    json_t *data = data_of(diamond(x), &(grd_graph_options){ .trace = trace });
    cr_assert_str_eq(told(data), steps_of_diamond);
    json_decref(data);
    cr_assert_eq(grd_trace_end(trace), GRD_OK);
}

Test(player, shows_numbers_as_they_are)
{
    const float values[] = { 0.1f, NAN, -INFINITY, 1e-30f };
    grd_tensor *x = grd_require_grad(grd_from_f32(values, 4, GRD_SHAPE(2, 2)));
    json_t *data = data_of(grd_sum(grd_square(x)), NULL);
    json_t *box = json_array_get(get(data, "boxes"), 0);
    json_t *entry = json_array_get(get(data, "tensors"), (size_t)integer(box, "value"));
    json_t *numbers = get(entry, "numbers");
    cr_assert_eq(json_real_value(json_array_get(numbers, 0)), (double)0.1f);
    cr_assert_eq(json_real_value(json_array_get(numbers, 3)), (double)1e-30f);
    cr_assert_str_eq(json_string_value(json_array_get(numbers, 1)), "nan");
    cr_assert_str_eq(json_string_value(json_array_get(numbers, 2)), "-inf");
    cr_assert_eq(json_array_size(get(entry, "shape")), 2);
    json_decref(data);
}

Test(player, shows_a_corner_of_what_is_large)
{
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(3, 40, 50)));
    grd_tensor *row = grd_require_grad(grd_ones(GRD_SHAPE(100)));
    json_t *data = data_of(grd_add(grd_sum(grd_exp(x)), grd_sum(row)), NULL);
    int found = 0;
    size_t i;
    json_t *entry;
    json_array_foreach(get(data, "tensors"), i, entry)
    {
        json_t *corner = json_object_get(entry, "corner");
        if (!corner)
            continue;
        found++;
        cr_assert_eq(json_integer_value(json_array_get(corner, 1)), 32);
        cr_assert_eq(json_integer_value(json_array_get(corner, 0)),
                     json_array_size(get(entry, "shape")) == 3 ? 32 : 1);
    }
    cr_assert_geq(found, 3);
    cr_assert_gt(json_string_length(get(data, "corners")), 20);
    json_decref(data);
}

Test(player, a_module_is_one_step)
{
    grd_rng *rng = grd_rng_create(1);
    grd_module *layer = grd_linear_create(rng, 1, 1, NULL);
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(1, 1)));
    grd_trace *trace = grd_trace_begin();
    grd_tensor *y = grd_sum(grd_forward(layer, grd_tensor_set_name(x, "x")));
    cr_assert_eq(grd_backward(y), GRD_OK);
    json_t *data = data_of(y, &(grd_graph_options){ .trace = trace, .collapse = 1 });
    cr_assert_eq(json_array_size(get(data, "backward")), 3, "the sum, the layer, x");
    cr_assert_eq(json_array_size(get(data, "forward")), 2);
    json_decref(data);
}

static void expect_error(grd_status status, grd_status wanted, const char *words)
{
    cr_assert_eq(status, wanted, "%s", grd_error_message());
    expect_message(words);
    grd_error_take();
}

Test(player, bad_input_is_named)
{
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(2))), *y = grd_square(x);
    expect_error(grd_view_backward(NULL, y, NULL), GRD_ERROR_ARGUMENT, "view_backward");
    expect_error(grd_view_backward("a.html", NULL, NULL), GRD_ERROR_ARGUMENT, "view_backward");
    expect_error(grd_view_backward("a.html", grd_scalar(1), NULL), GRD_ERROR_GRAPH,
                 "view_backward: the root [] does not require grad");
    expect_error(grd_view_backward("a.html", y, NULL), GRD_ERROR_SHAPE,
                 "view_backward: the root [2], made by square at ");
    expect_error(grd_view_backward("a.html", grd_sum(y), &(grd_graph_options){ .collapse = -2 }),
                 GRD_ERROR_ARGUMENT, "collapse is -2");
    grd_tensor *loss = grd_sum(y);
    cr_assert_eq(grd_backward(loss), GRD_OK);
    expect_error(grd_view_backward("a.html", loss, NULL), GRD_ERROR_GRAPH,
                 "view_backward: the graph was freed by an earlier walk");
    cr_assert_neq(access("a.html", F_OK), 0);
}

static grd_status view_one(void)
{
    grd_scope *run = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(9, 9)));
    grd_tensor *y = x ? grd_sum(grd_mul(x, grd_exp(x))) : NULL;
    const grd_status status = y ? grd_view_backward("player_memory.html", y, NULL) : GRD_OK;
    (void)status;
    return grd_scope_end(run);
}

Test(player_memory, fails_at_every_allocation, .timeout = 120)
{
    fail_at_every_allocation(view_one, 100);
    unlink("player_memory.html");
}
