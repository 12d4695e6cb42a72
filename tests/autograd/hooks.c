/* Watching a walk: hooks, kept gradients, steps, anomalies. */
#include "autograd/node.h"
#include "tests/autograd/expect.h"

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
    expect_message("on_gradient: [] does not require grad (grd_require_grad)");
    grd_error_take();
    cr_assert_eq(grd_on_gradient(x, NULL, NULL), GRD_ERROR_ARGUMENT);
    grd_error_take();

    grd_on_gradient(y, of_another_shape, NULL);
    cr_assert_eq(grd_backward(y), GRD_ERROR_SHAPE);
    expect_message("on_gradient: the hook gave [3] for a gradient of [] (in backward of mul, ");
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
