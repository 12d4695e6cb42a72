/* What someone who is new to it does wrong, and what is said of it: each message whole, with the
 * places in it. "%d" in a message stands for the line of the function that makes the mistake: it
 * keeps all on one line, so that each place is the same. */
#include "tests/autograd/expect.h"

#include <stdio.h>

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    grd_scope_end(scope);
}

TestSuite(learner, .init = begin, .fini = end);

/* A leaf [2], named w; a constant [2]. */
static grd_tensor *leaf(void)
{
    return grd_require_grad(grd_tensor_set_name(grd_ones(GRD_SHAPE(2)), "w"));
}

static grd_tensor *constant(void)
{
    return grd_ones(GRD_SHAPE(2));
}

static int line; /* of the mistake */
#define HERE (line = __LINE__)

/* ---- In place ---- */

static void change_a_leaf(void)
{
    HERE, grd_add_(leaf(), constant());
}

static void change_a_result(void)
{
    HERE, grd_mul_scalar_(grd_exp(leaf()), 2);
}

static void add_a_leaf_in_place(void)
{
    HERE, grd_add_(constant(), leaf());
}

static void change_what_was_saved(void)
{
    grd_tensor *a = constant(), *w = leaf();
    /* clang-format off */
    HERE; const grd_tensor *y = grd_sum(grd_mul(w, a)); grd_fill_(a, 3); grd_backward(y);
    /* clang-format on */
}

static void change_a_saved_result(void)
{
    grd_scope *unrecorded = NULL;
    grd_tensor *w = leaf();
    /* clang-format off */
    HERE; grd_tensor *y = grd_exp(w); unrecorded = grd_scope_begin_no_grad(); grd_fill_(y, 3); grd_scope_end(unrecorded); grd_backward(grd_sum(y));
    /* clang-format on */
}

static void step_before_backward(void)
{
    grd_tensor *w = leaf(), *velocity = grd_zeros_like(w);
    (void)velocity;
    grd_scope *unrecorded = NULL;
    /* clang-format off */
    HERE; const grd_tensor *y = grd_sum(grd_square(w)); unrecorded = grd_scope_begin_no_grad(); grd_add_scaled_(w, constant(), -0.1); grd_scope_end(unrecorded); grd_backward(y);
    /* clang-format on */
}

/* ---- Walks ---- */

static void backward_twice(void)
{
    /* clang-format off */
    HERE; const grd_tensor *y = grd_sum(leaf()); grd_backward(y); grd_backward(y);
    /* clang-format on */
}

static void backward_through_a_freed_part(void)
{
    /* clang-format off */
    HERE; const grd_tensor *w = leaf(), *y = grd_mul(w, w); grd_backward(grd_sum(y)); grd_backward(grd_sum(y));
    /* clang-format on */
}

static void backward_of_many(void)
{
    HERE, grd_backward(grd_mul_scalar(leaf(), 2));
}

static void backward_without_grad(void)
{
    HERE, grd_backward(grd_sum(constant()));
}

static void backward_of_detached(void)
{
    HERE, grd_backward(grd_sum(grd_detach(grd_exp(leaf()))));
}

static void backward_under_no_grad(void)
{
    grd_scope *unrecorded = grd_scope_begin_no_grad();
    HERE, grd_backward(grd_sum(leaf()));
    grd_scope_end(unrecorded);
}

static void backward_of_an_index(void)
{
    HERE, grd_backward(grd_argmax(leaf(), 0));
}

static void backward_of_a_comparison(void)
{
    HERE, grd_backward(grd_sum(grd_gt_scalar(leaf(), 0.5)));
}

static void wrong_shape_of_the_gradient(void)
{
    const grd_backward_options o = { .gradient = grd_ones(GRD_SHAPE(3)) };
    HERE, grd_backward_with(grd_exp(leaf()), &o);
}

static void wrong_type_of_the_gradient(void)
{
    const grd_backward_options o = { .gradient = grd_cast(constant(), GRD_F64) };
    HERE, grd_backward_with(grd_exp(leaf()), &o);
}

static void grad_of_a_constant(void)
{
    grd_tensor *dx = NULL;
    HERE, grd_grad(GRD_LIST(grd_sum(leaf())), GRD_LIST(constant()), NULL, &dx);
}

static void grad_of_a_detached(void)
{
    grd_tensor *w = leaf(), *dx = NULL;
    HERE, grd_grad(GRD_LIST(grd_sum(w)), GRD_LIST(grd_detach(w)), NULL, &dx);
}

static void grad_of_what_was_not_used(void)
{
    grd_tensor *dx = NULL;
    HERE, grd_grad(GRD_LIST(grd_sum(leaf())), GRD_LIST(leaf()), NULL, &dx);
}

static void gradients_for_fewer_outputs(void)
{
    grd_tensor *w = leaf(), *dx = NULL;
    const grd_tensor *one = grd_scalar(1);
    const grd_grad_options o = { .gradients = GRD_LIST(one, one) };
    HERE, grd_grad(GRD_LIST(grd_sum(w)), GRD_LIST(w), &o, &dx);
}

/* ---- Leaves and their gradients ---- */

static void require_grad_of_integers(void)
{
    HERE, (void)grd_require_grad(grd_arange(0, 3, 1));
}

static void require_grad_of_a_result(void)
{
    HERE, (void)grd_require_grad(grd_exp(leaf()));
}

static void retain_grad_of_a_constant(void)
{
    HERE, (void)grd_retain_grad(constant());
}

static void read_before_backward(void)
{
    HERE, grd_item(grd_tensor_grad(leaf()));
}

static void print_before_backward(void)
{
    HERE, grd_print(stdout, grd_tensor_grad(leaf()));
}

static void item_of_many(void)
{
    HERE, grd_item(leaf());
}

/* ---- Shapes and types ---- */

static void add_of_other_sizes(void)
{
    HERE, (void)!grd_add(leaf(), grd_ones(GRD_SHAPE(4, 3)));
}

static void matmul_not_transposed(void)
{
    HERE, (void)!grd_matmul(grd_ones(GRD_SHAPE(2, 3)), grd_ones(GRD_SHAPE(4, 3)));
}

static void matmul_of_other_sizes(void)
{
    HERE, (void)!grd_matmul(grd_ones(GRD_SHAPE(2, 3)), grd_ones(GRD_SHAPE(4, 5)));
}

static void two_types(void)
{
    HERE, (void)!grd_mul(leaf(), grd_arange(0, 2, 1));
}

static void mean_of_integers(void)
{
    HERE, (void)!grd_mean(grd_arange(0, 2, 1));
}

static void exp_of_integers(void)
{
    HERE, (void)!grd_exp(grd_arange(0, 2, 1));
}

static void softmax_past_the_end(void)
{
    HERE, (void)!grd_softmax(leaf(), 1);
}

static void reshape_to_more(void)
{
    HERE, (void)!grd_reshape(leaf(), GRD_SHAPE(3));
}

static void weight_transposed(void)
{
    const grd_tensor *x = grd_ones(GRD_SHAPE(2, 3));
    HERE, (void)!grd_linear(x, grd_ones(GRD_SHAPE(3, 4)), NULL);
}

static void embedding_past_the_end(void)
{
    HERE, (void)!grd_embedding(grd_arange(0, 5, 1), grd_ones(GRD_SHAPE(3, 4)));
}

/* ---- Hooks and ops of one's own ---- */

static grd_tensor *another_shape(const grd_tensor *gradient, void *unused)
{
    (void)gradient;
    (void)unused;
    return grd_ones(GRD_SHAPE(3));
}

static grd_tensor *another_type(const grd_tensor *gradient, void *unused)
{
    (void)unused;
    return grd_cast(gradient, GRD_F64);
}

static void walk_with(grd_gradient_hook hook)
{
    grd_tensor *w = leaf();
    /* clang-format off */
    HERE; grd_tensor *y = grd_exp(w); grd_on_gradient(y, hook, NULL); grd_backward(grd_sum(y));
    /* clang-format on */
}

static void hook_of_another_shape(void)
{
    walk_with(another_shape);
}

static void hook_of_another_type(void)
{
    walk_with(another_type);
}

static void hook_on_a_constant(void)
{
    HERE, grd_on_gradient(constant(), another_shape, NULL);
}

static grd_tensor *twice(grd_call *call, const grd_tensor *const *in)
{
    (void)call;
    return grd_mul_scalar(in[0], 2);
}

static grd_tensor *nothing(grd_call *call, const grd_tensor *const *in)
{
    (void)call;
    (void)in;
    return NULL;
}

static void gives_five(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    (void)call;
    (void)dy;
    dx[0] = grd_ones(GRD_SHAPE(5));
}

static void gives_f64(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    (void)call;
    dx[0] = grd_cast(dy, GRD_F64);
}

static const grd_custom_op wrong_shape = { "mine", twice, gives_five, 0 };
static const grd_custom_op wrong_type = { "mine", twice, gives_f64, 0 };
static const grd_custom_op no_derivative = { "mine", twice, NULL, 0 };
static const grd_custom_op no_result = { "mine", nothing, gives_f64, 0 };

static void op_of_a_wrong_shape(void)
{
    HERE, grd_backward(grd_sum(grd_custom(&wrong_shape, GRD_LIST(leaf()), NULL)));
}

static void op_of_a_wrong_type(void)
{
    HERE, grd_backward(grd_sum(grd_custom(&wrong_type, GRD_LIST(leaf()), NULL)));
}

static void op_without_a_derivative(void)
{
    HERE, (void)!grd_custom(&no_derivative, GRD_LIST(leaf()), NULL);
}

static void op_without_a_result(void)
{
    HERE, (void)!grd_custom(&no_result, GRD_LIST(leaf()), NULL);
}

/* ---- All of them ---- */

#define SITE " at " __FILE__ ":%d"
#define FROZEN                                                                                     \
    " requires grad, and a change in place is not recorded (make a new tensor instead; or, to "    \
    "update a weight, do it between grd_scope_begin_no_grad and grd_scope_end)" SITE
#define NO_GRAD                                                                                    \
    "backward: the root [] does not require grad: no input did (grd_require_grad, before it is "   \
    "used), it was cut off by grd_detach, or it was made under no-grad" SITE
#define CHANGED(by)                                                                                \
    "was changed in place by " by SITE ": expected version 0, found 1 (change it after backward, " \
    "or change a grd_clone of it)"
#define FREED(first)                                                                               \
    "backward: the graph was freed by an earlier walk, first of all " first SITE                   \
    " (pass .retain_graph to that walk, or compute the result again)" SITE
#define WATCH "on_gradient: [2] does not require grad (grd_require_grad, before it is used)" SITE

static const struct {
    void (*make)(void);
    grd_status status;
    const char *message;
} mistakes[] = {
    { change_a_leaf, GRD_ERROR_STATE, "add_: x, w [2]," FROZEN },
    { change_a_result, GRD_ERROR_STATE, "mul_scalar_: x, [2]," FROZEN },
    { add_a_leaf_in_place, GRD_ERROR_STATE,
      "add_: y, w [2], requires grad, and a change in place is not recorded (use grd_detach for "
      "its values alone, or an op that makes a new tensor)" SITE },
    { change_what_was_saved, GRD_ERROR_GRAPH,
      "mul: the saved input 1 [2] " CHANGED("fill_") " (in backward of mul, called" SITE ")" SITE },
    { change_a_saved_result, GRD_ERROR_GRAPH,
      "exp: the saved output [2] " CHANGED("fill_") " (in backward of exp, called" SITE ")" SITE },
    { step_before_backward, GRD_ERROR_GRAPH,
      "square: the saved input 0 w [2] " CHANGED("add_scaled_") " (in backward of square, "
                                                                "called" SITE ")" SITE },
    { backward_twice, GRD_ERROR_GRAPH, FREED("sum") },
    { backward_through_a_freed_part, GRD_ERROR_GRAPH, FREED("mul") },
    { backward_of_many, GRD_ERROR_SHAPE,
      "backward: the root [2], made by mul_scalar" SITE ", has 2 elements, not one: pass its "
      "gradient, or sum it (grd_sum, grd_mean)" SITE },
    { backward_without_grad, GRD_ERROR_GRAPH, NO_GRAD },
    { backward_of_detached, GRD_ERROR_GRAPH, NO_GRAD },
    { backward_under_no_grad, GRD_ERROR_GRAPH, NO_GRAD },
    { backward_of_an_index, GRD_ERROR_GRAPH,
      "backward: the root [] does not require grad: it is i64, and whole numbers and truths have "
      "no gradient" SITE },
    { backward_of_a_comparison, GRD_ERROR_GRAPH,
      "backward: the root [] does not require grad: it is i64, and whole numbers and truths have "
      "no gradient" SITE },
    { wrong_shape_of_the_gradient, GRD_ERROR_SHAPE,
      "backward: the root is [2], its gradient [3]: they should be equal" SITE },
    { wrong_type_of_the_gradient, GRD_ERROR_DTYPE,
      "backward: the root is f32, its gradient f64 (grd_cast it)" SITE },
    { grad_of_a_constant, GRD_ERROR_GRAPH,
      "grad: input 0, [2], does not require grad (grd_require_grad, before it is used; a "
      "grd_detach has no graph)" SITE },
    { grad_of_a_detached, GRD_ERROR_GRAPH,
      "grad: input 0, [2], does not require grad (grd_require_grad, before it is used; a "
      "grd_detach has no graph)" SITE },
    { grad_of_what_was_not_used, GRD_ERROR_GRAPH,
      "grad: no output depends on input 0, w [2] (.allow_unused gives NULL for it)" SITE },
    { gradients_for_fewer_outputs, GRD_ERROR_ARGUMENT, "grad: 2 gradients for 1 outputs" SITE },
    { require_grad_of_integers, GRD_ERROR_DTYPE,
      "require_grad: [3] is i64, and only floating tensors have gradients (grd_cast it to f32 or "
      "f64 first)" SITE },
    { require_grad_of_a_result, GRD_ERROR_GRAPH,
      "require_grad: [2] is the result of a recorded op, exp" SITE ", and requires grad already "
      "(grd_retain_grad keeps its gradient; a grd_detach of it can be a leaf)" SITE },
    { retain_grad_of_a_constant, GRD_ERROR_GRAPH,
      "retain_grad: [2] does not require grad (grd_require_grad, before it is used)" SITE },
    { read_before_backward, GRD_ERROR_ARGUMENT,
      "item: an argument is NULL (as a gradient is until grd_backward has been called)" SITE },
    { print_before_backward, GRD_ERROR_ARGUMENT,
      "print: an argument is NULL (as a gradient is until grd_backward has been called)" SITE },
    { item_of_many, GRD_ERROR_SHAPE, "item: w [2] has 2 elements, not 1" SITE },
    { add_of_other_sizes, GRD_ERROR_SHAPE,
      "add: shapes do not broadcast: a is w [2], b is [4, 3] (sizes 2 and 3 of dimension -1 should "
      "be equal, or one of them 1)" SITE },
    { matmul_not_transposed, GRD_ERROR_SHAPE,
      "matmul: inner sizes differ: a is [2, 3], b is [4, 3] (did you mean transpose(b)?)" SITE },
    { matmul_of_other_sizes, GRD_ERROR_SHAPE,
      "matmul: inner sizes differ: a is [2, 3], b is [4, 5] (3 and 4 should be equal)" SITE },
    { two_types, GRD_ERROR_DTYPE,
      "mul: dtypes differ: a is f32, b is i64 (grd_cast one of them)" SITE },
    { mean_of_integers, GRD_ERROR_DTYPE, "mean: i64 has no mean (grd_cast it to f32 or f64)" SITE },
    { exp_of_integers, GRD_ERROR_DTYPE,
      "exp: x is i64 and should be floating (cast it first)" SITE },
    { softmax_past_the_end, GRD_ERROR_ARGUMENT,
      "softmax: dimension 1 does not exist in w [2]" SITE },
    { reshape_to_more, GRD_ERROR_SHAPE, "reshape: element counts differ: w [2] to [3]" SITE },
    { weight_transposed, GRD_ERROR_SHAPE,
      "linear: weight (out, in) [3, 4] takes 4 features, but x is [2, 3]" SITE },
    { embedding_past_the_end, GRD_ERROR_ARGUMENT, "embedding: index[3] is 3, not in [0, 3)" SITE },
    { hook_of_another_shape, GRD_ERROR_SHAPE,
      "on_gradient: the hook gave [3] for a gradient of [2] (NULL leaves it as it is) (in backward "
      "of exp, called" SITE ")" SITE },
    { hook_of_another_type, GRD_ERROR_DTYPE,
      "on_gradient: the hook gave f64 for a gradient of f32 (grd_cast it) (in backward of exp, "
      "called" SITE ")" SITE },
    { hook_on_a_constant, GRD_ERROR_GRAPH, WATCH },
    { op_of_a_wrong_shape, GRD_ERROR_GRAPH,
      "mine: its derivative gave [5] for input 0, which is [2]: a gradient has the shape of its "
      "input (in backward of mine, called" SITE ")" SITE },
    { op_of_a_wrong_type, GRD_ERROR_GRAPH,
      "mine: its derivative gave f64 for input 0, which is f32 (grd_cast it) (in backward of "
      "mine, called" SITE ")" SITE },
    { op_without_a_derivative, GRD_ERROR_GRAPH,
      "mine: has no derivative, and input 0 requires grad (use grd_detach)" SITE },
    { op_without_a_result, GRD_ERROR_ARGUMENT,
      "mine: its forward returned NULL (grd_fail says why)" SITE },
};

Test(learner, every_mistake_is_explained)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        char expected[1024];
        mistakes[i].make();
        snprintf(expected, sizeof expected, mistakes[i].message, line, line, line);
        cr_expect_str_eq(grd_error_message(), expected);
        cr_expect_eq(grd_error_take(), mistakes[i].status);
    }
}

/* Nothing that failed has left a gradient or a graph that is half walked. */
Test(learner, mistakes_leave_nothing_behind)
{
    grd_tensor *w = leaf(), *a = constant();
    const grd_tensor *y = grd_sum(grd_mul(w, a));
    grd_fill_(a, 3);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    grd_error_take();
    cr_assert_null(grd_tensor_grad(w));
    cr_assert_eq(grd_backward(grd_sum(grd_mul(w, a))), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item_at(grd_tensor_grad(w), GRD_DIMS(0)), 3);
}

/* ---- Where a change was ---- */

static grd_tensor *saved_by(grd_tensor *w, const grd_tensor *a)
{
    return grd_sum(grd_mul(w, a));
}

Test(learner, a_change_is_found_among_others)
{
    char expected[64];
    grd_tensor *w = leaf(), *a = constant(), *others[3] = { constant(), constant(), constant() };
    const grd_tensor *y = saved_by(w, a);
    grd_fill_(a, 1);
    HERE, grd_add_(a, constant());
    for (int i = 0; i < 3; i++)
        grd_fill_(others[i], 2);
    grd_backward(y);
    snprintf(expected, sizeof expected, "by add_ at " __FILE__ ":%d: expected", line);
    expect_message(expected);
    grd_error_take();
}

/* Too long ago, or by a program without call sites: the op at least. */
Test(learner, a_change_without_a_place_is_named)
{
    grd_tensor *w = leaf(), *a = constant(), *other = constant();
    const grd_tensor *y = saved_by(w, a);
    grd_fill_(a, 1);
    for (int i = 0; i < 4; i++)
        grd_fill_(other, 2);
    grd_backward(y);
    expect_message("mul: the saved input 1 [2] was changed in place by fill_: expected version 0");
    grd_error_take();
    a = constant();
    y = saved_by(w, a);
    (grd_fill_)(a, 1);
    (grd_fill_)(other, 1);
    grd_backward(y);
    expect_message("mul: the saved input 1 [2] was changed in place by fill_: expected version 0");
    grd_error_take();
}
