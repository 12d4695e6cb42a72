/* Ops of one's own. */
#include "tests/autograd/expect.h"

/* y = x sigmoid(beta x), which saves the sigmoid. */
static grd_tensor *swish_forward(grd_call *call, const grd_tensor *const *in)
{
    const double *beta = grd_call_settings(call);
    grd_tensor *s = grd_sigmoid(grd_mul_scalar(in[0], *beta));
    grd_call_save(call, s);
    return grd_mul(in[0], s);
}

/* dx = dy s (1 + beta x (1 - s)) */
static void swish_backward(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    const double *beta = grd_call_settings(call);
    const grd_tensor *x = grd_call_input(call, 0), *s = grd_call_saved(call, 0);
    grd_tensor *slope = grd_mul(grd_mul_scalar(x, *beta), grd_add_scalar(grd_neg(s), 1));
    din[0] = grd_mul(dy, grd_mul(s, grd_add_scalar(slope, 1)));
}

static const grd_custom_op swish_op = { "swish", swish_forward, swish_backward, sizeof(double) };

static grd_tensor *swish(const grd_tensor *const *in, void *beta)
{
    return grd_custom(&swish_op, GRD_LIST(in[0]), beta);
}

Test(custom, is_differentiated_twice)
{
    double beta = 1.5;
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_tensor *x = grd_randn(grd_rng_create(1), GRD_SHAPE(2, 3));
    const grd_gradcheck_report first = grd_gradcheck(swish, &beta, GRD_LIST(x), NULL);
    const grd_gradcheck_report second = grd_gradgradcheck(swish, &beta, GRD_LIST(x), NULL);
    cr_assert(first.passed, "%s, %s", first.text, grd_error_message());
    cr_assert(second.passed, "%s, %s", second.text, grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(custom, copies_its_settings)
{
    double beta = 0;
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(3));
    grd_tensor *y = grd_custom(&swish_op, GRD_LIST(x), &beta);
    beta = 100;
    cr_assert_eq(grd_item(y), 1.5);
    cr_assert_eq(grd_backward(y), GRD_OK);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 0.5);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *first_forward(grd_call *call, const grd_tensor *const *in)
{
    grd_call_save(call, in[1]);
    return (grd_tensor *)in[0]; /* an input itself */
}

static void first_backward(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    din[0] = grd_mul(dy, grd_call_saved(call, 0));
}

static const grd_custom_op first_op = { "first", first_forward, first_backward, 0 };

Test(custom, may_return_an_input_and_leave_a_gradient_out)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *a = grd_require_grad(grd_scalar(3)), *b = grd_require_grad(grd_scalar(5));
    grd_tensor *y = grd_custom(&first_op, GRD_LIST(a, b), NULL);
    cr_assert_neq(y, a);
    cr_assert_eq(grd_backward(y), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item(grd_tensor_grad(a)), 5);
    cr_assert_eq(grd_item(grd_tensor_grad(b)), 0);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    expect_message("first freed: first at ");
    grd_error_take();

    y = grd_custom(&first_op, GRD_LIST(a, b), NULL);
    grd_scope *no_grad = grd_scope_begin_no_grad();
    cr_assert_eq(grd_fill_(b, 7), GRD_OK);
    grd_scope_end(no_grad);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    expect_message(
        "first: the saved tensor 0 [] was changed in place: expected version 0, found 1");
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_GRAPH);
}

static grd_tensor *nothing(grd_call *call, const grd_tensor *const *in)
{
    (void)call;
    (void)in;
    return NULL;
}

static grd_tensor *same(grd_call *call, const grd_tensor *const *in)
{
    (void)call;
    return (grd_tensor *)in[0];
}

Test(custom, mistakes_are_named)
{
    static const grd_custom_op null_op = { "null_op", nothing, NULL, 0 };
    static const grd_custom_op flat_op = { "flat_op", same, NULL, 0 };
    static const grd_custom_op no_forward = { "no_forward", NULL, NULL, 0 };
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(3));
    cr_assert_null(grd_custom(&null_op, GRD_LIST(grd_detach(x)), NULL));
    expect_message("null_op: its forward returned NULL");
    grd_error_take();
    cr_assert_null(grd_custom(&flat_op, GRD_LIST(x), NULL));
    expect_message("flat_op: has no derivative, and an input requires grad (use grd_detach)");
    grd_error_take();
    cr_assert(grd_custom(&flat_op, GRD_LIST(grd_detach(x)), NULL));
    cr_assert_null(grd_custom(&swish_op, GRD_LIST(x), NULL));
    expect_message("swish: its settings are NULL");
    grd_error_take();
    cr_assert_null(grd_custom(&no_forward, GRD_LIST(x), NULL));
    grd_error_take();
    cr_assert_null(grd_custom(&first_op, (grd_list){ 0 }, NULL));
    expect_message("first: 0 inputs are not in 1..16");
    grd_error_take();
    cr_assert_null(grd_custom(&first_op, GRD_LIST(x, NULL), NULL));
    grd_error_take();
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
