/* Watching a walk: hooks, kept gradients, steps, anomalies. */
#include "autograd/node.h"
#include "tests/autograd/expect.h"
#include "tests/fake_device.h"

#include <math.h>
#include <string.h>

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    grd_scope_end(scope);
}

TestSuite(hooks, .init = begin, .fini = end);

static grd_tensor *leaf(double value)
{
    return grd_require_grad(grd_scalar(value));
}

static grd_tensor *note(const grd_tensor *gradient, void *seen)
{
    *(double *)seen = *(double *)seen * 10 + grd_item(gradient);
    return NULL;
}

static grd_tensor *twice(const grd_tensor *gradient, void *unused)
{
    (void)unused;
    return grd_mul_scalar(gradient, 2);
}

static grd_tensor *of_another_shape(const grd_tensor *gradient, void *unused)
{
    (void)gradient;
    (void)unused;
    return grd_ones(GRD_SHAPE(3));
}

static grd_tensor *failing(const grd_tensor *gradient, void *unused)
{
    (void)gradient;
    (void)unused;
    return grd_fail(GRD_ERROR_STATE, "my_hook", "it does not like this one");
}

Test(hooks, run_in_order_and_replace)
{
    double seen = 0;
    grd_tensor *x = leaf(3), *y = grd_mul(x, x);
    cr_assert_eq(grd_on_gradient(y, note, &seen), GRD_OK);
    cr_assert_eq(grd_on_gradient(y, twice, NULL), GRD_OK);
    cr_assert_eq(grd_on_gradient(y, note, &seen), GRD_OK);
    cr_assert_eq(grd_on_gradient(x, twice, NULL), GRD_OK);
    cr_assert_eq(grd_backward(grd_mul_scalar(y, 4)), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(seen, 48, "4 before, 8 after");
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 8 * 6 * 2);
}

Test(hooks, a_leaf_is_told_once_a_walk_of_all)
{
    double seen = 0;
    grd_tensor *x = leaf(3);
    grd_on_gradient(x, note, &seen);
    cr_assert_eq(grd_backward(grd_add(grd_mul(x, x), x)), GRD_OK);
    cr_assert_eq(seen, 7);
    cr_assert_eq(grd_backward(grd_add(x, x)), GRD_OK);
    cr_assert_eq(seen, 72, "its own part, not what is collected");
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 9);
}

Test(hooks, bad_ones_are_named)
{
    grd_tensor *x = leaf(3), *y = grd_mul(x, x);
    cr_assert_eq(grd_on_gradient(grd_scalar(1), note, NULL), GRD_ERROR_GRAPH);
    expect_message("on_gradient: [] does not require grad (grd_require_grad, before it is used)");
    grd_error_take();
    cr_assert_eq(grd_on_gradient(x, NULL, NULL), GRD_ERROR_ARGUMENT);
    grd_error_take();

    grd_on_gradient(y, of_another_shape, NULL);
    cr_assert_eq(grd_backward(y), GRD_ERROR_SHAPE);
    expect_message(
        "on_gradient: the hook gave [3] for a gradient of [] (NULL leaves it as it is) (in backward of mul, ");
    grd_error_take();
    grd_tensor *z = grd_mul(x, x);
    grd_on_gradient(z, failing, NULL);
    cr_assert_eq(grd_backward(z), GRD_ERROR_STATE);
    expect_message("my_hook: it does not like this one");
    grd_error_take();
    cr_assert_null(grd_tensor_grad(x), "a walk that failed collects nothing");
}

Test(hooks, retained_gradients_are_collected)
{
    grd_tensor *x = leaf(3), *y = grd_mul(x, x);
    cr_assert_null(grd_retain_grad(grd_scalar(1)));
    expect_message("retain_grad: [] does not require grad");
    grd_error_take();
    cr_assert_eq(grd_retain_grad(y), y);
    const grd_backward_options retain = { .retain_graph = true };
    cr_assert_eq(grd_backward_with(grd_mul_scalar(y, 5), &retain), GRD_OK);
    cr_assert_eq(grd_item(grd_tensor_grad(y)), 5);
    cr_assert_eq(grd_backward(grd_mul_scalar(y, 5)), GRD_OK);
    cr_assert_eq(grd_item(grd_tensor_grad(y)), 10);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 60);
    grd_zero_grad(y);
    cr_assert_null(grd_tensor_grad(y));
}

typedef struct seen_steps {
    char ops[64];
    int64_t total;
    int stop_at;
    bool complete; /* everything that a step should show was there */
} seen_steps;

static bool watch(const grd_backward_step *step, void *user)
{
    seen_steps *seen = user;
    strcat(strcat(seen->ops, step->op), " ");
    seen->total = step->total;
    seen->complete &= step->doutput && step->inputs.count == step->dinputs.count && step->line > 0;
    if (strcmp(step->op, "mul") == 0)
        seen->complete &= step->inputs.at[0] && grd_item(step->dinputs.at[0]) == 3;
    return step->index != seen->stop_at;
}

Test(hooks, a_watch_sees_every_step_within_its_scope)
{
    seen_steps seen = { .stop_at = -1, .complete = true };
    grd_tensor *x = leaf(3);
    grd_scope *inner = grd_scope_begin();
    cr_assert_eq(grd_on_backward(inner, watch, &seen), GRD_OK);
    cr_assert_eq(grd_backward(grd_add(grd_mul(x, x), x)), GRD_OK, "%s", grd_error_message());
    cr_assert_str_eq(seen.ops, "add mul ");
    cr_assert(seen.total == 2 && seen.complete);
    seen.stop_at = 1;
    cr_assert_eq(grd_backward(grd_add(grd_mul(x, x), x)), GRD_ERROR_STATE);
    expect_message("on_backward: the watch stopped the walk at step 1 of 2");
    grd_error_take();
    grd_scope_end(inner);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 7, "only the walk that ended counts");
    cr_assert_eq(grd_backward(grd_mul(x, x)), GRD_OK);
    cr_assert_str_eq(seen.ops, "add mul add mul ");
    cr_assert_eq(grd_on_backward(inner, watch, NULL), GRD_ERROR_SCOPE);
    grd_error_take();
}

Test(hooks, anomalies_are_named_forward)
{
    const float values[] = { 1, 2, -1, 4 };
    grd_tensor *x = grd_require_grad(grd_from_f32(values, 4, GRD_SHAPE(2, 2)));
    cr_assert(grd_log(x), "not asked for");
    grd_scope *careful = grd_scope_begin_with(&(grd_scope_options){ .anomaly = true });
    cr_assert_null(grd_sum(grd_log(x)));
    expect_message("log: the result [2, 2] has its first NaN at [1, 0] at ");
    expect_message("hooks.c:");
    cr_assert_eq(grd_scope_end(careful), GRD_ERROR_NOT_FINITE);
    grd_error_take();
}

Test(hooks, anomalies_are_named_backward)
{
    grd_tensor *x = leaf(0);
    grd_scope *careful = grd_scope_begin_with(&(grd_scope_options){ .anomaly = true });
    grd_tensor *y = grd_mul(grd_sqrt(x), grd_scalar(0)); /* 0 times infinity */
    cr_assert_eq(grd_backward(y), GRD_ERROR_NOT_FINITE);
    expect_message("div: the result [] has its first NaN at [] (in backward of sqrt, "
                   "called at ");
    grd_error_take();
    cr_assert_null(grd_tensor_grad(x));
    grd_scope_end(careful);
}

Test(hooks, a_million_hooked_ops)
{
    double seen = 0;
    grd_tensor *x = leaf(1), *y = x;
    for (int i = 0; i < 1000000; i++) {
        y = grd_add(y, x);
        if (i % 1000 == 0)
            grd_on_gradient(y, note, &seen);
        seen = 0;
    }
    cr_assert_eq(grd_backward(y), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 1000001);
    cr_assert_gt(seen, 0);
}

static grd_tensor *walks(const grd_tensor *gradient, void *leaf_of_mine)
{
    grd_tensor *mine = leaf_of_mine, *dx = NULL;
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ 0 });
    (void)gradient;
    cr_assert_eq(grd_grad(GRD_LIST(mine), GRD_LIST(mine), NULL, &dx), GRD_OK, "%s",
                 grd_error_message());
    cr_assert_eq(grd_item(dx), 1);
    grd_scope_end(inner);
    return NULL;
}

Test(hooks, a_hook_may_walk)
{
    grd_tensor *x = leaf(2), *y = grd_mul(x, x);
    grd_on_gradient(y, walks, x);
    cr_assert_eq(grd_backward(grd_mul(y, x)), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 12);
}

static grd_tensor *in_its_place(const grd_tensor *gradient, void *given)
{
    (void)gradient;
    return given;
}

Test(hooks, a_gradient_that_is_put_in_place_has_no_history)
{
    grd_tensor *x = leaf(3), *y = grd_mul(x, x);
    grd_on_gradient(y, in_its_place, x);
    grd_on_gradient(x, in_its_place, x);
    cr_assert_eq(grd_backward(y), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 3);
    cr_assert_not(grd_tensor_requires_grad(grd_tensor_grad(x)));
    cr_assert_neq(grd_tensor_grad(x), x);
}

Test(hooks, are_part_of_grad_and_of_what_it_records)
{
    double seen = 0;
    grd_tensor *x = leaf(3), *y = grd_mul(x, x), *dx[2];
    const grd_grad_options create = { .create_graph = true };
    grd_on_gradient(y, twice, NULL);
    grd_on_gradient(x, note, &seen);
    grd_retain_grad(y);
    cr_assert_eq(grd_grad(GRD_LIST(grd_mul(y, y)), GRD_LIST(x, y), &create, dx), GRD_OK);
    cr_assert_eq(grd_item(dx[1]), 2 * 2 * 9);
    cr_assert_eq(grd_item(dx[0]), 2 * 4 * 27);
    cr_assert_eq(seen, 216);
    cr_assert(!grd_tensor_grad(x) && !grd_tensor_grad(y), "only backward collects");
    cr_assert_eq(grd_grad(GRD_LIST(dx[0]), GRD_LIST(x), NULL, dx), GRD_OK, "%s",
                 grd_error_message());
    /* dx = 8 x y, whose gradient goes through the hook of y too: 8 y + 2 (8 x) 2 x */
    cr_assert_eq(grd_item(dx[0]), 8 * 9 + 2 * 8 * 3 * 2 * 3);
}

typedef struct inner_walk {
    const grd_tensor *root, *leaf;
    bool retain;
    double found;
} inner_walk;

static grd_tensor *walks_too(const grd_tensor *gradient, void *user)
{
    inner_walk *inner = user;
    grd_tensor *dx = NULL;
    (void)gradient;
    const grd_grad_options options = { .retain_graph = inner->retain };
    grd_grad(GRD_LIST(inner->root), GRD_LIST(inner->leaf), &options, &dx);
    inner->found = dx ? grd_item(dx) : NAN;
    return NULL;
}

Test(hooks, may_walk_the_graph_that_is_being_walked)
{
    grd_tensor *x = leaf(2), *y = grd_mul(x, x), *z = grd_mul(y, x);
    inner_walk inner = { z, x, true, 0 };
    grd_on_gradient(y, walks_too, &inner);
    cr_assert_eq(grd_on_gradient(z, note, &inner.found), GRD_OK);
    grd_tensor *w = grd_mul(z, z);
    const grd_backward_options retain = { .retain_graph = true };
    inner.root = grd_mul(x, x); /* another graph, which ends in the same leaf */
    cr_assert_eq(grd_backward_with(w, &retain), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(inner.found, 4);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 6 * 32);

    inner = (inner_walk){ grd_mul(x, x), x, false, 0 };
    grd_tensor *v = grd_mul(y, y);
    cr_assert_eq(grd_backward_with(v, &retain), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(inner.found, 4);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 6 * 32 + 4 * 8);
}

static grd_tensor *frees(const grd_tensor *gradient, void *root_once)
{
    grd_tensor **root = root_once, *taken = *root;
    (void)gradient;
    *root = NULL;
    if (taken)
        cr_assert_eq(grd_backward(taken), GRD_OK, "%s", grd_error_message());
    return NULL;
}

Test(hooks, one_that_frees_the_graph_is_an_error)
{
    grd_tensor *x = leaf(2), *y = grd_mul(x, x), *other = grd_add(y, y);
    grd_tensor *z = grd_mul(y, x);
    grd_on_gradient(z, frees, &other);
    cr_assert_eq(grd_backward(z), GRD_ERROR_GRAPH);
    expect_message("the graph was freed by an earlier walk");
    grd_error_take();
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 8, "the hook's walk alone");

    grd_tensor *u = grd_mul(x, x), *v = grd_exp(u); /* the node that is being used */
    other = grd_mul(v, v);
    grd_on_gradient(v, frees, &other);
    cr_assert_eq(grd_backward(v), GRD_ERROR_GRAPH);
    grd_error_take();
}

static bool counts(const grd_backward_step *step, void *count)
{
    (void)step;
    ++*(int *)count;
    return true;
}

static bool walks_itself(const grd_backward_step *step, void *user)
{
    grd_tensor *x = leaf(3), *dx = NULL;
    (void)step;
    cr_assert_eq(grd_grad(GRD_LIST(grd_mul(x, x)), GRD_LIST(x), NULL, &dx), GRD_ERROR_GRAPH,
                 "a watch records nothing");
    cr_assert_eq(grd_error_take(), GRD_ERROR_GRAPH);
    return counts(step, user);
}

Test(hooks, watches_of_all_scopes_around_look)
{
    int outside = 0, inside = 0;
    grd_tensor *x = leaf(3);
    grd_scope *outer = grd_scope_begin(), *inner = grd_scope_begin();
    cr_assert_eq(grd_on_backward(outer, counts, &outside), GRD_OK);
    cr_assert_eq(grd_backward(grd_mul(x, grd_mul(x, x))), GRD_OK);
    cr_assert(outside == 2 && inside == 0);
    cr_assert_eq(grd_on_backward(inner, walks_itself, &inside), GRD_OK);
    cr_assert_eq(grd_backward(grd_mul(x, x)), GRD_OK, "%s", grd_error_message());
    cr_assert(outside == 3 && inside == 1);
    cr_assert_eq(grd_on_backward(inner, NULL, NULL), GRD_OK);
    cr_assert_eq(grd_backward(grd_mul(x, x)), GRD_OK);
    cr_assert(outside == 4 && inside == 1);
    grd_scope_end(outer);
    cr_assert_eq(grd_backward(grd_mul(x, x)), GRD_OK);
    cr_assert(outside == 4 && inside == 1);
}

static bool expects_no_inputs(const grd_backward_step *step, void *unused)
{
    (void)unused;
    return !step->inputs.at[0] && step->inputs.at[1] && step->dinputs.at[0] && !step->dinputs.at[1];
}

/* The changed input is not needed for the gradient that is asked for. */
Test(hooks, a_watch_does_not_mind_what_the_walk_does_not)
{
    grd_tensor *a = leaf(3), *b = leaf(4), *da;
    grd_tensor *y = grd_mul(a, b);
    grd_on_backward(scope, expects_no_inputs, NULL);
    grd_scope *no_grad = grd_scope_begin_no_grad();
    cr_assert_eq(grd_fill_(a, 7), GRD_OK);
    grd_scope_end(no_grad);
    cr_assert_eq(grd_grad(GRD_LIST(y), GRD_LIST(a), NULL, &da), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item(da), 4);
}

static grd_tensor *itself(grd_call *call, const grd_tensor *const *in)
{
    (void)call;
    return (grd_tensor *)in[0];
}

static void gives_nan(const grd_call *call, const grd_tensor *dy, grd_tensor **dinputs)
{
    const float values[] = { 1, 2, NAN, 4, NAN, 6 };
    (void)call;
    (void)dy;
    dinputs[1] = grd_from_f32(values, 6, GRD_SHAPE(2, 3));
}

Test(hooks, anomalies_come_from_anywhere)
{
    static const grd_custom_op op = { "gives_nan", itself, gives_nan, 0 };
    const grd_tensor *nan = grd_scalar(NAN);
    grd_scope *careful = grd_scope_begin_with(&(grd_scope_options){ .anomaly = true });
    grd_tensor *x = leaf(2), *wide = grd_require_grad(grd_ones(GRD_SHAPE(2, 3)));
    cr_assert_eq(grd_backward(grd_sum(grd_custom(&op, GRD_LIST(wide, wide), NULL))),
                 GRD_ERROR_NOT_FINITE);
    expect_message("gives_nan: the gradient of input 1 [2, 3] has its first NaN at [0, 2] (in "
                   "backward of gives_nan, called at ");
    grd_error_take();
    cr_assert_eq(grd_backward_with(grd_mul(x, x), &(grd_backward_options){ .gradient = nan }),
                 GRD_ERROR_NOT_FINITE);
    expect_message("backward: the root's gradient [] has its first NaN at []");
    grd_error_take();
    grd_tensor *y = grd_mul(x, x);
    grd_on_gradient(y, in_its_place, (void *)nan);
    cr_assert_eq(grd_backward(y), GRD_ERROR_NOT_FINITE);
    expect_message("on_gradient: what the hook gave [] has its first NaN at [] (in backward of "
                   "mul, called at ");
    grd_error_take();
    cr_assert_eq(grd_mul_(grd_ones(GRD_SHAPE(2)), nan), GRD_ERROR_NOT_FINITE);
    expect_message("mul_: the result [2] has its first NaN at [0] at ");
    grd_error_take();
    cr_assert_null(grd_tensor_grad(x));
    cr_assert(grd_tensor_requires_grad(grd_log(x)), "infinities are no anomalies");
    cr_assert(isinf(grd_item(grd_log(grd_scalar(0)))));
    cr_assert_eq(grd_scope_end(careful), GRD_OK);
}

Test(hooks, anomalies_are_found_on_any_device)
{
    grd_scope *careful =
        grd_scope_begin_with(&(grd_scope_options){ .anomaly = true, .device = fake_device() });
    const float values[] = { 1, -2, -1, 4 };
    grd_tensor *x = grd_require_grad(grd_from_f32(values, 4, GRD_SHAPE(2, 2)));
    cr_assert_null(grd_log(grd_transpose(x, 0, 1)));
    expect_message("log: the result [2, 2] has its first NaN at [0, 1] at ");
    grd_error_take();
    cr_assert_eq(grd_scope_end(careful), GRD_OK);
}
