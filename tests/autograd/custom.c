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
    expect_message("first of all first at ");
    grd_error_take();

    y = grd_custom(&first_op, GRD_LIST(a, b), NULL);
    grd_scope *no_grad = grd_scope_begin_no_grad();
    cr_assert_eq(grd_fill_(b, 7), GRD_OK);
    grd_scope_end(no_grad);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    expect_message("first: the saved tensor 0 [] was changed in place by fill_ at ");
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
    expect_message("flat_op: has no derivative, and input 0 requires grad (use grd_detach)");
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

/* y = a b, where only what is asked for is computed. */
static grd_tensor *product_forward(grd_call *call, const grd_tensor *const *in)
{
    cr_assert(grd_call_wants(call, 0) && !grd_call_wants(call, 1));
    return grd_mul(in[0], in[1]);
}

static void product_backward(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    cr_assert(grd_call_wants(call, 0) && !grd_call_wants(call, 1));
    din[0] = grd_mul(dy, grd_call_input(call, 1));
    din[1] = grd_ones(GRD_SHAPE(7)); /* ignored */
    cr_assert_eq(grd_call_save((grd_call *)call, dy), GRD_ERROR_STATE);
    expect_message("call_save: only the forward of product can save");
    grd_error_take();
    cr_assert_null(grd_call_saved(call, 0));
    expect_message("call_saved: there is no saved tensor 0: product has 0");
    grd_error_take();
    cr_assert_null(grd_call_input(call, 2));
    expect_message("call_input: there is no input 2: product has 2");
    grd_error_take();
    cr_assert_not(grd_call_wants(call, -1));
    grd_error_take();
}

Test(custom, knows_what_is_wanted)
{
    static const grd_custom_op op = { "product", product_forward, product_backward, 0 };
    grd_scope *scope = grd_scope_begin();
    grd_tensor *a = grd_require_grad(grd_scalar(3)), *b = grd_scalar(5);
    cr_assert_eq(grd_backward(grd_custom(&op, GRD_LIST(a, b), NULL)), GRD_OK, "%s",
                 grd_error_message());
    cr_assert_eq(grd_item(grd_tensor_grad(a)), 5);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* y = x^2 m where m is drawn, and saved. */
static grd_tensor *noisy_forward(grd_call *call, const grd_tensor *const *in)
{
    grd_rng *const *rng = grd_call_settings(call);
    grd_tensor *m = grd_rand(*rng, grd_tensor_shape(in[0])), *y = grd_mul(grd_square(in[0]), m);
    grd_call_save(call, m);
    grd_call_save(call, y);
    return y;
}

static void noisy_backward(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    const grd_tensor *x = grd_call_input(call, 0), *m = grd_call_saved(call, 0);
    din[0] = grd_mul(dy, grd_mul_scalar(grd_mul(x, m), 2));
}

static grd_tensor *noisy(const grd_tensor *const *in, void *unused)
{
    static const grd_custom_op op = { "noisy", noisy_forward, noisy_backward, sizeof(grd_rng *) };
    (void)unused;
    grd_rng *rng = grd_rng_create(3);
    return grd_custom(&op, GRD_LIST(in[0]), &rng);
}

Test(custom, draws_the_same_numbers_when_called_again)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_tensor *x = grd_randn(grd_rng_create(1), GRD_SHAPE(2, 3));
    const grd_gradcheck_report first = grd_gradcheck(noisy, NULL, GRD_LIST(x), NULL);
    const grd_gradcheck_report second = grd_gradgradcheck(noisy, NULL, GRD_LIST(x), NULL);
    cr_assert(first.passed, "%s", first.text);
    cr_assert(second.passed, "%s", second.text);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *positive_forward(grd_call *call, const grd_tensor *const *in)
{
    (void)call;
    return grd_gt_scalar(in[0], 0);
}

static grd_tensor *saves_too_much(grd_call *call, const grd_tensor *const *in)
{
    for (int i = 0; i < 17; i++)
        grd_call_save(call, in[0]);
    return grd_mul(in[0], in[0]);
}

Test(custom, limits)
{
    static const grd_custom_op positive = { "positive", positive_forward, first_backward, 0 };
    static const grd_custom_op greedy = { "greedy", saves_too_much, first_backward, 0 };
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(3));
    const grd_tensor *y = grd_custom(&positive, GRD_LIST(x), NULL);
    cr_assert(y && !grd_tensor_requires_grad(y), "truths have no gradient");
    cr_assert_null(grd_custom(&greedy, GRD_LIST(x), NULL));
    expect_message("call_save: greedy saves more than 16 tensors");
    grd_error_take();
    const grd_tensor *many[17];
    for (int i = 0; i < 17; i++)
        many[i] = x;
    cr_assert_null(grd_custom(&first_op, (grd_list){ 17, many }, NULL));
    expect_message("first: 17 inputs are not in 1..16");
    grd_error_take();
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static void f64_backward(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    (void)call;
    din[0] = grd_cast(dy, GRD_F64);
}

Test(custom, a_gradient_of_another_dtype_is_an_error)
{
    static const grd_custom_op op = { "to_f64", same, f64_backward, 0 };
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(3));
    cr_assert_eq(grd_backward(grd_custom(&op, GRD_LIST(x), NULL)), GRD_ERROR_GRAPH);
    expect_message(
        "to_f64: its derivative gave f64 for input 0, which is f32 (grd_cast it) (in backward of to_f64, ");
    grd_error_take();
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
