/* What a trace notes, and that it changes nothing. */
#include "autograd/trace.h"
#include "tests/autograd/expect.h"
#include "tests/counter.h"

#include <glob.h>
#include <string.h>

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(trace, .init = begin, .fini = end);

static grd_tensor *leaf(double value, const char *name)
{
    return grd_require_grad(grd_tensor_set_name(grd_scalar(value), name));
}

static const char *op_of(const grd_trace *trace, int64_t item)
{
    const grdi_node *node = grdi_traced_at(trace, item)->node;
    return node ? node->op : "constant";
}

/* "0 leaf, 1 constant, 2 mul(0 1)", of all items. */
static const char *told(const grd_trace *trace)
{
    static char text[1024];
    char *at = text;
    *at = '\0';
    for (int64_t i = 0; i < trace->items.count; i++) {
        const grdi_traced *item = grdi_traced_at(trace, i);
        at += sprintf(at, "%s%d %s", i ? ", " : "", (int)i, op_of(trace, i));
        for (int64_t j = 0; j < item->num_inputs; j++)
            at += sprintf(at, "%s%d%s", j ? " " : "(", (int)grdi_traced_inputs(trace, item)[j],
                          j + 1 < item->num_inputs ? "" : ")");
    }
    return text;
}

/* "w0: 2 whole, 2>0 ..." of all events. */
static const char *walked(const grd_trace *trace)
{
    static char text[1024];
    char *at = text;
    *at = '\0';
    for (int64_t i = 0; i < trace->events.count; i++) {
        const grdi_traced_event *e = grdi_traced_event_at(trace, i);
        if (e->from < 0)
            at += sprintf(at, "%s%d", i ? ", " : "", (int)e->to);
        else
            at += sprintf(at, " %d>%d", (int)e->from, (int)e->to);
        at += sprintf(at, " %g", grd_item(e->gradient));
    }
    return text;
}

Test(trace, notes_ops_and_what_they_read)
{
    grd_tensor *x = leaf(3, "x"), *two = grd_scalar(2);
    cr_assert(grd_mul(x, two));
    grd_trace *trace = grd_trace_begin();
    grd_tensor *y = grd_mul(x, two), *z = grd_add(y, x);
    cr_assert(grd_mul(two, two));
    grd_scope *inner = grd_scope_begin();
    cr_assert(grd_square(z));
    grd_scope_end(inner);
    cr_assert_eq(grd_trace_end(trace), GRD_OK);
    cr_assert(grd_square(z));
    cr_assert_str_eq(told(trace), "0 leaf, 1 constant, 2 mul(0 1), 3 add(2 0), 4 square(3)");
    cr_assert_eq(grdi_traced_at(trace, 1)->value, two);
    cr_assert_eq(grdi_traced_at(trace, 0)->value, x);
    cr_assert_eq(grd_item(grdi_traced_at(trace, 4)->value), 81, "though its scope has ended");
    grd_tensor_set_name(z, "z");
    cr_assert_str_eq(grd_tensor_name(grdi_traced_at(trace, 3)->value), "z", "named later");
}

Test(trace, notes_what_is_saved)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(2, 3)));
    grd_tensor *y = grd_div(x, grd_require_grad(grd_full(GRD_SHAPE(3), 2)));
    grd_backward(grd_sum(grd_layer_norm(y, NULL, NULL, 1e-5)));
    const grdi_traced *div = grdi_traced_at(trace, 2), *norm = grdi_traced_at(trace, 3);
    cr_assert_eq(div->num_saved, 2);
    const grdi_traced_saved *saved = grdi_traced_saved_at(trace, div);
    cr_assert(saved[0].input == 1 && saved[0].bytes == 12 && saved[0].shape.rank == 1);
    cr_assert(saved[1].input == GRDI_SAVED_OUTPUT && saved[1].bytes == 24);
    cr_assert_eq(norm->num_saved, 2);
    saved = grdi_traced_saved_at(trace, norm);
    cr_assert(saved[0].input == 0 && saved[1].input == GRDI_SAVED_EXTRA);
    cr_assert_eq(norm->num_inputs, 3);
    cr_assert_eq(grdi_traced_inputs(trace, norm)[1], -1, "no weight was given");
}

Test(trace, notes_a_walk)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(3, "x"), *y = grd_mul(x, x);
    grd_backward(grd_add(y, x));
    cr_assert_str_eq(told(trace), "0 leaf, 1 mul(0 0), 2 add(1 0)");
    cr_assert_str_eq(walked(trace), "2 1 2>1 1 2>0 1, 1 1 1>0 3 1>0 3, 0 7");
    cr_assert_eq(trace->walks, 1);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 7);
}

Test(trace, numbers_walks_within_walks)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(3, "x"), *dx;
    const grd_grad_options again = { .create_graph = true };
    cr_assert_eq(grd_grad(GRD_LIST(grd_square(x)), GRD_LIST(x), &again, &dx), GRD_OK);
    cr_assert_eq(grd_backward(dx), GRD_OK);
    cr_assert_eq(trace->walks, 2);
    const grdi_traced_event *last = grdi_traced_event_at(trace, trace->events.count - 1);
    cr_assert(last->walk == 1 && grd_item(last->gradient) == 2);
}

static grd_tensor *squared(const grd_tensor *const *in, void *unused)
{
    (void)unused;
    return grd_square(grd_sin(in[0]));
}

Test(trace, recomputation_is_one_node_and_is_walked_inside)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(3, "x");
    grd_tensor *y = grd_recompute(squared, NULL, GRD_LIST(x));
    const int64_t root = grdi_trace_reach(trace, "test", y);
    cr_assert_str_eq(op_of(trace, root), "recompute");
    cr_assert_eq(grd_backward(y), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(trace->walks, 2);
}

/* The graph is as a trace that was open would have it, but for the constants that no node keeps. */
Test(trace, looks_back_at_a_graph_that_was_not_traced)
{
    grd_tensor *x = leaf(3, "x"), *two = grd_scalar(2);
    grd_tensor *z = grd_sub(grd_add(grd_mul(x, two), x), two);
    grd_trace *trace = grdi_trace_create("test");
    cr_assert_eq(grdi_trace_reach(trace, "test", z), 0);
    cr_assert_str_eq(told(trace), "0 sub(1 -1), 1 add(2 3), 2 mul(3 4), 3 leaf, 4 constant");
    cr_assert_eq(grdi_traced_at(trace, 0)->value, z, "the root is known");
    cr_assert_null(grdi_traced_at(trace, 1)->value, "the sum is not");
    cr_assert_eq(grdi_traced_at(trace, 4)->value, two);
    grdi_release(trace);
}

Test(trace, says_where_an_older_part_was_freed)
{
    grd_tensor *x = leaf(3, "x"), *y = grd_square(x);
    grd_trace *trace = grd_trace_begin();
    grd_tensor *z = grd_square(y);
    cr_assert_eq(grd_backward(y), GRD_OK);
    cr_assert_geq(grdi_trace_reach(trace, "test", z), 0, "the walk was noted");
    grd_trace_end(trace);
    grd_tensor *w = grd_square(leaf(2, "w"));
    cr_assert_eq(grd_backward(w), GRD_OK);
    cr_assert_eq(grdi_trace_reach(trace, "test", w), -1);
    expect_message(
        "test: the graph was freed by an earlier walk (pass .retain_graph to it, or open "
        "a trace before the graph is made); first freed: square at ");
    grd_error_take();
}

Test(trace, ends_with_its_scope_and_not_before)
{
    cr_assert_null(grdi_tracing());
    grd_scope *inner = grd_scope_begin();
    cr_assert_not_null(grd_trace_begin());
    cr_assert_null(grd_trace_begin());
    expect_message("trace_begin: a trace is open already (grd_trace_end)");
    grd_error_take();
    grd_scope *innermost = grd_scope_begin();
    cr_assert_not_null(grdi_tracing());
    grd_scope_end(innermost);
    cr_assert_not_null(grdi_tracing());
    grd_scope_end(inner);
    cr_assert_null(grdi_tracing());
}

Test(trace, may_be_ended_from_an_inner_scope)
{
    grd_trace *trace = grd_trace_begin();
    grd_scope *inner = grd_scope_begin();
    cr_assert_eq(grd_trace_end(trace), GRD_OK);
    cr_assert_null(grdi_tracing());
    cr_assert_eq(grd_trace_end(trace), GRD_ERROR_STATE);
    expect_message("trace_end: this trace was ended already");
    grd_error_take();
    cr_assert_not_null(grd_trace_begin(), "another may follow");
    grd_scope_end(inner);
    cr_assert_null(grdi_tracing());
    cr_assert_eq(grd_trace_end(NULL), GRD_ERROR_ARGUMENT);
    grd_error_take();
}

Test(trace, ends_while_an_error_is_latched)
{
    grd_trace *trace = grd_trace_begin();
    cr_assert_null(grd_add(NULL, NULL));
    cr_assert_eq(grd_trace_end(trace), GRD_ERROR_ARGUMENT, "the error that was");
    cr_assert_null(grdi_tracing());
    grd_error_take();
}

Test(trace, closes_calls_that_an_error_left_open)
{
    grd_trace *trace = grd_trace_begin();
    const char outer = 0, inner = 0, other = 0;
    cr_assert(grdi_trace_enter(trace, &outer, "", "Net"));
    cr_assert(grdi_trace_enter(trace, &inner, "layer", "Linear"));
    cr_assert(trace->call == 1 && grdi_traced_call_at(trace, 1)->depth == 1);
    grdi_trace_leave(trace, &other);
    cr_assert_eq(trace->call, 1, "one that was entered before the trace was open");
    grdi_trace_leave(trace, &outer);
    cr_assert_eq(trace->call, -1);
    cr_assert_str_eq(grdi_traced_text(trace, grdi_traced_call_at(trace, 1)->path), "layer");
}

Test(trace, thousands_of_items_are_found_again)
{
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(1, "x"), *y = x;
    for (int i = 0; i < 5000; i++)
        y = grd_add(y, x);
    cr_assert_eq(trace->items.count, 5001);
    cr_assert_eq(grdi_trace_reach(trace, "test", y), 5000);
    cr_assert_eq(grd_backward(y), GRD_OK);
    cr_assert_eq(trace->events.count, 5000 * 3 + 1);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 5001);
}

/* ---- Rules ---- */

/* Every derivative says its rule, in the form "y = ...: d...", of one line. */
static int check_rules(const char *pattern)
{
    static char text[1 << 16];
    glob_t files;
    int count = 0;
    cr_assert_eq(glob(pattern, 0, NULL, &files), 0, "%s", pattern);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *in = fopen(files.gl_pathv[i], "r");
        text[fread(text, 1, sizeof text - 1, in)] = '\0';
        fclose(in);
        for (char *at = text; (at = strstr(at, "const grdi_derivative ")); at++) {
            char op[64], rule[256] = "";
            char *stop = strstr(at, "};"), *named = strstr(at, ".op = \"");
            if (!stop || !named || named > stop)
                continue;
            cr_assert_eq(sscanf(named, ".op = \"%63[^\"]", op), 1);
            const char *said = strstr(at, ".rule =");
            if (said && said < stop)
                sscanf(strchr(said, '"'), "\"%255[^\"]", rule);
            if (strcmp(op, "custom") == 0 || strcmp(op, "bernoulli") == 0)
                continue; /* an op of one's own says nothing, and the other has no derivative */
            const char *colon = strstr(rule, ": ");
            cr_assert(strncmp(rule, "y = ", 4) == 0 && colon && strchr(colon, 'd'), "%s: \"%s\"",
                      op, rule);
            cr_assert_leq(strlen(rule), 100, "%s", rule);
            count++;
        }
    }
    globfree(&files);
    return count;
}

Test(trace, every_derivative_has_a_rule)
{
    cr_assert_gt(check_rules(TEST_GOLDEN "/../../autograd/*.c"), 70);
    cr_assert_geq(check_rules(TEST_GOLDEN "/../../nn/*.c"), 1);
}

/* ---- Memory ---- */

static grd_status trace_and_walk(void)
{
    grd_scope *run = grd_scope_begin();
    grd_trace *trace = grd_trace_begin();
    grd_tensor *x = leaf(2, "x"), *y = x;
    for (int i = 0; i < 20; i++)
        y = grd_mul(y, grd_scalar(1.5));
    grd_backward(grd_recompute(squared, NULL, GRD_LIST(y)));
    if (trace)
        grd_trace_end(trace);
    return grd_scope_end(run);
}

Test(trace_memory, fails_at_every_allocation)
{
    fail_at_every_allocation(trace_and_walk, 150);
}
