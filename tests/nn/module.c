#include "nn/module.h"

#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* y = x w, element by element: a module of one parameter. */
typedef struct scale {
    grd_tensor *weight;
} scale;

static grd_tensor *scale_forward(grd_module *self, const grd_tensor *x)
{
    const scale *m = grd_module_data(self);
    return grd_mul(x, m->weight);
}

static grd_module *scale_create(double value)
{
    grd_module *self = grd_module_create("Scale", sizeof(scale), scale_forward);
    scale *m = grd_module_data(self);
    if (m)
        m->weight = grd_module_add_parameter(self, "weight", grd_full(GRD_SHAPE(2), value));
    return self;
}

static grd_tensor *pair_forward(grd_module *self, const grd_tensor *x)
{
    return grd_forward(grd_module_get(self, "second"),
                       grd_forward(grd_module_get(self, "first"), x));
}

static grd_module *pair_create(void)
{
    grd_module *self = grd_module_create("Pair", 0, pair_forward);
    grd_module_add(self, "first", scale_create(2));
    grd_module_add(self, "second", scale_create(3));
    return self;
}

static void expect_names(const grd_module *self, const char *const names[], int64_t count)
{
    cr_assert_eq(grdi_module_num_states(self), count, "%d", (int)grdi_module_num_states(self));
    for (int64_t i = 0; i < count; i++)
        cr_assert_str_eq(grdi_module_state(self, i).name, names[i]);
    cr_assert_null(grdi_module_state(self, count).name);
    cr_assert_null(grdi_module_state(self, -1).name);
}
#define EXPECT_NAMES(self, ...)                                                                    \
    expect_names(self, (const char *const[]){ __VA_ARGS__ },                                       \
                 sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

Test(module, a_tree_runs_and_is_named)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *net = pair_create();
    grd_tensor *y = grd_forward(net, grd_ones(GRD_SHAPE(3, 2)));
    cr_assert_eq(grd_item(grd_sum(y)), 36);
    EXPECT_NAMES(net, "first.weight", "second.weight");
    cr_assert_eq(grd_module_num_parameters(net), 2);
    cr_assert_eq(grd_module_num_values(net), 4);
    cr_assert_eq(grd_module_parameter(net, "second.weight"),
                 grd_module_parameter_at(net, 1).tensor);
    cr_assert(grd_tensor_requires_grad(grd_module_parameter(net, "first.weight")));

    grd_module *outer = grd_module_create("Outer", 0, NULL);
    cr_assert_eq(grd_module_add(outer, "net", net), net);
    EXPECT_NAMES(outer, "net.first.weight", "net.second.weight");
    EXPECT_NAMES(net, "first.weight", "second.weight");
    cr_assert_str_eq(grdi_module_text(grd_module_get(outer, "net.second")).chars,
                     "net.second (Scale)");
    cr_assert_str_eq(grdi_module_text(outer).chars, "Outer");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module, lists_in_torchs_order_and_sees_what_is_added_later)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *root = grd_module_create("Root", 0, NULL);
    grd_module *child = grd_module_add(root, "child", scale_create(1));
    EXPECT_NAMES(root, "child.weight");
    grd_module_add_buffer(root, "seen", grd_zeros(GRD_SCALAR));
    grd_module_add_parameter(root, "bias", grd_zeros(GRD_SHAPE(2)));
    EXPECT_NAMES(root, "bias", "seen", "child.weight");
    grd_module_add_buffer(child, "mean", grd_zeros(GRD_SHAPE(5)));
    EXPECT_NAMES(root, "bias", "seen", "child.weight", "child.mean");
    cr_assert(grdi_module_state(root, 1).is_buffer && !grdi_module_state(root, 2).is_buffer);
    cr_assert_eq(grd_module_num_parameters(root), 2);
    cr_assert_eq(grd_module_num_values(root), 4, "buffers are not counted");
    cr_assert_eq(grd_tensor_count(grd_module_parameter(root, "child.mean")), 5);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module, a_tied_tensor_is_listed_once)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *net = pair_create();
    grd_tensor *shared = grd_module_parameter(net, "first.weight");
    cr_assert_eq(grd_module_add_parameter(net, "head", shared), shared);
    grd_module_add(net, "again", grd_module_get(net, "second"));
    EXPECT_NAMES(net, "head", "second.weight");
    cr_assert_eq(grd_module_num_values(net), 4);
    cr_assert_eq(grd_module_parameter(net, "first.weight"), shared);
    cr_assert_eq(grd_module_parameter(net, "again.weight"),
                 grd_module_parameter(net, "second.weight"));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module, lives_as_long_as_its_holder)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *net = grd_module_create("Net", 0, NULL), *kept;
    grd_scope *inner = grd_scope_begin();
    kept = grd_module_add(net, "kept", scale_create(5));
    grd_module *gone = grd_module_create("Gone", 0, NULL);
    grd_module_add(gone, "kept", kept);
    grd_scope_end(inner);
    EXPECT_NAMES(net, "kept.weight");
    cr_assert_str_eq(grdi_module_text(kept).chars, "kept (Scale)");
    cr_assert_eq(grd_item(grd_sum(grd_forward(kept, grd_ones(GRD_SHAPE(2))))), 10);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static void note(grd_module *self, const grd_tensor *y, void *user)
{
    double *seen = user;
    cr_assert_not_null(self);
    *seen = 10 * *seen + grd_item(grd_sum(y));
}

Test(module, hooks_see_the_output)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *net = pair_create();
    double seen = 0;
    grd_on_forward(grd_module_get(net, "first"), note, &seen);
    for (int i = 0; i < 2; i++)
        grd_on_forward(net, note, &seen);
    cr_assert_not_null(grd_forward(net, grd_ones(GRD_SHAPE(1))));
    cr_assert_eq(seen, 412 + 120, "%g", seen);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static grd_tensor *forgetful(grd_module *self, const grd_tensor *x)
{
    (void)self;
    (void)x;
    return NULL;
}

Test(module, says_what_is_wrong_with_a_tree)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *net = pair_create(), *empty = grd_module_create("Empty", 0, NULL);
    grd_tensor *x = grd_ones(GRD_SHAPE(2));
    const grd_tensor *y = grd_mul(grd_module_parameter(net, "first.weight"), x);

    static const char *const bad_names[] = { "", "a.b", "a/b", "a*", "a b", "?", "\n" };
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++) {
        cr_assert_null(grd_module_add(net, bad_names[i], empty));
        expect_error(GRD_ERROR_ARGUMENT, "is no name: 1 to 63 characters without spaces and .");
    }
    char name[GRDI_NAME_BYTES + 1] = { 0 };
    memset(name, 'n', GRDI_NAME_BYTES);
    cr_assert_null(grd_module_add_buffer(net, name, x));
    expect_error(GRD_ERROR_ARGUMENT, "nnn\" is no name");
    name[GRDI_NAME_BYTES - 1] = '\0';
    cr_assert_eq(grd_module_add_buffer(net, name, x), x);

    cr_assert_null(grd_module_add(net, "first", empty));
    expect_error(GRD_ERROR_ARGUMENT, "module_add: Pair has a module \"first\" already");
    cr_assert_null(grd_module_add_buffer(grd_module_get(net, "first"), "weight", x));
    expect_error(GRD_ERROR_ARGUMENT,
                 "module_add_buffer: first (Scale) has a parameter \"weight\" already");
    cr_assert_null(grd_module_add(net, "self", net));
    expect_error(GRD_ERROR_ARGUMENT, "Pair cannot hold itself: it would be \"self\" in Pair");
    cr_assert_null(grd_module_add(grd_module_get(net, "first"), "up", net));
    expect_error(GRD_ERROR_ARGUMENT,
                 "Pair cannot hold itself: it would be \"up\" in first (Scale)");
    cr_assert_null(grd_module_add_parameter(net, "result", (grd_tensor *)y));
    expect_error(GRD_ERROR_GRAPH, "is the result of a recorded op");
    cr_assert_null(grd_module_add_buffer(net, "result", (grd_tensor *)y));
    expect_error(GRD_ERROR_ARGUMENT, "\"result\" requires grad, and a buffer is not trained");
    cr_assert_null(
        grd_module_add_parameter(net, "t", grd_transpose(grd_ones(GRD_SHAPE(2, 3)), 0, 1)));
    expect_error(GRD_ERROR_ARGUMENT, "module_add_parameter: \"t\" [3, 2] is not contiguous");

    cr_assert_null(grd_forward(empty, x));
    expect_error(GRD_ERROR_ARGUMENT, "forward: Empty is no module of one input");
    grd_module *odd = grd_module_add(net, "odd", grd_module_create("Odd", 0, forgetful));
    cr_assert_null(grd_forward(odd, x));
    expect_error(GRD_ERROR_STATE, "forward: odd (Odd) returned NULL without an error");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module, names_what_is_near_a_path_that_is_not_there)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *net = pair_create();
    cr_assert_null(grd_module_parameter(net, "first.wieght"));
    expect_error(GRD_ERROR_ARGUMENT, "module_parameter: Pair has no parameter \"first.wieght\" "
                                     "(did you mean \"first.weight\"?)");
    cr_assert_null(grd_module_parameter(grd_module_get(net, "first"), "x.unlike.anything"));
    expect_error(GRD_ERROR_ARGUMENT, "first (Scale) has no parameter \"x.unlike.anything\" at");
    cr_assert_null(grd_module_parameter(net, "first"));
    expect_error(GRD_ERROR_ARGUMENT, "Pair has no parameter \"first\" at");
    cr_assert_null(grd_module_parameter(net, "first.weight.more"));
    expect_error(GRD_ERROR_ARGUMENT, "no parameter");
    cr_assert_null(grd_module_get(net, "secnod"));
    expect_error(GRD_ERROR_ARGUMENT,
                 "module_get: Pair has no module \"secnod\" (did you mean \"second\"?)");
    cr_assert_null(grd_module_get(net, "first.weight"));
    expect_error(GRD_ERROR_ARGUMENT, "Pair has no module \"first.weight\"");
    cr_assert_null(grd_module_get(net, ""));
    expect_error(GRD_ERROR_ARGUMENT, "Pair has no module \"\"");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module, refuses_null_and_waits_for_the_latch)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *net = pair_create();
    grd_tensor *x = grd_ones(GRD_SHAPE(2));
    cr_assert_null(grd_module_create(NULL, 0, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "module_create: an argument is NULL");
    cr_assert_null(grd_module_add(NULL, "a", net));
    expect_error(GRD_ERROR_ARGUMENT, "module_add: an argument is NULL");
    cr_assert_null(grd_module_add(net, "a", NULL));
    expect_error(GRD_ERROR_ARGUMENT, "module_add: an argument is NULL");
    cr_assert_null(grd_module_add_parameter(net, NULL, x));
    expect_error(GRD_ERROR_ARGUMENT, "module_add_parameter: an argument is NULL");
    cr_assert_null(grd_module_add_buffer(net, "a", NULL));
    expect_error(GRD_ERROR_ARGUMENT, "module_add_buffer: an argument is NULL");
    cr_assert_null(grd_forward(net, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "forward: an argument is NULL");
    cr_assert_null(grd_module_get(NULL, "a"));
    expect_error(GRD_ERROR_ARGUMENT, "module_get: an argument is NULL");
    cr_assert_null(grd_module_parameter(net, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "module_parameter: an argument is NULL");
    cr_assert_eq(grd_on_forward(net, NULL, NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "on_forward: an argument is NULL");
    cr_assert_eq(grd_module_train(NULL, NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_train: an argument is NULL");
    cr_assert_eq(grd_module_eval(NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_eval: an argument is NULL");
    cr_assert_null(grd_module_data(NULL));
    cr_assert_eq(grd_module_num_parameters(NULL), 0);
    cr_assert_null(grd_module_parameter_at(NULL, 0).tensor);

    grd_fail(GRD_ERROR_STATE, "test", "latched");
    cr_assert(!grd_module_create("A", 0, NULL) && !grd_module_add(net, "a", net) &&
              !grd_module_add_buffer(net, "a", x) && !grd_forward(net, x) &&
              !grd_module_get(net, "first") && !grd_module_parameter(net, "first.weight"));
    cr_assert_eq(grd_module_num_parameters(net), 2, "asking goes on");
    expect_error(GRD_ERROR_STATE, "test: latched");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    cr_assert_null(grd_module_create("A", 0, NULL));
    expect_error(GRD_ERROR_SCOPE, "module_create: no scope is open");
}

Test(module, nests_to_a_limit)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *root = grd_module_create("Root", 0, NULL), *top = root;
    for (int depth = 1; depth <= GRDI_MAX_DEPTH; depth++) {
        grd_module *above = grd_module_create("Level", 0, NULL);
        grd_module_add(above, "a_name_as_long_as_names_may_be_in_a_tree_of_modules_63_bytes_al",
                       top);
        top = above;
        if (depth == 1)
            grd_module_add_parameter(root, "w", grd_zeros(GRD_SCALAR));
    }
    const size_t length = strlen(grd_module_parameter_at(top, 0).name);
    cr_assert_eq(length, (size_t)GRDI_MAX_DEPTH * GRDI_NAME_BYTES + 1, "%d", (int)length);
    cr_assert_lt(strlen(grdi_module_text(root).chars), sizeof(grdi_text));
    cr_assert_null(grd_module_add(grd_module_create("Over", 0, NULL), "a", top));
    expect_error(GRD_ERROR_ARGUMENT, "module_add: modules nest at most 64 deep");
    cr_assert_null(grd_module_add(root, "a", grd_module_create("Under", 0, NULL)));
    expect_error(GRD_ERROR_ARGUMENT, "module_add: modules nest at most 64 deep");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module, patterns)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        { "*", "", true },
        { "*", "a.b", true },
        { "", "", true },
        { "", "a", false },
        { "a", "a", true },
        { "?", "a", true },
        { "?", "", false },
        { "a?c", "abc", true },
        { "a?c", "ac", false },
        { "*.weight", "a", false },
        { "*.weight", "a.weight", true },
        { "*.weight", "a.weight.b", false },
        { "a*b*c", "a1b2b3c", true },
        { "a*b*c", "a1c2b", false },
        { "*a", "aaa", true },
        { "a**", "a", true },
        { "blocks.*.norm?.bias", "blocks.10.norm1.bias", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_eq(grdi_matches(cases[i].pattern, cases[i].name), cases[i].matches, "%s %s",
                     cases[i].pattern, cases[i].name);
}
