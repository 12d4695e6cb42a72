/* Recomputing in backward gives what keeping would have given. */
#include "tests/autograd/expect.h"

typedef struct layer {
    grd_tensor *weight;
    grd_rng *rng;
    int calls;
} layer;

static grd_tensor *run(const grd_tensor *const *in, void *user)
{
    layer *l = user;
    l->calls++;
    grd_tensor *h = grd_tanh(grd_matmul(in[0], l->weight));
    if (l->rng)
        h = grd_dropout(h, 0.5, l->rng);
    return grd_mul(h, in[1]);
}

/* sum(x' x') where x' is the layer applied twice; gradients of x, scale and weight go to out. */
static double twice(layer *l, bool recomputed, double out[3])
{
    grd_scope *scope = grd_scope_begin();
    l->rng = l->rng ? grd_rng_create(5) : NULL;
    grd_tensor *x = grd_require_grad(grd_randn(grd_rng_create(2), GRD_SHAPE(4, 3)));
    grd_tensor *scale = grd_require_grad(grd_scalar(0.7));
    const grd_tensor *y = x;
    for (int i = 0; i < 2; i++)
        y = recomputed ? grd_recompute(run, l, GRD_LIST(y, scale)) : run(GRD_LIST(y, scale).at, l);
    grd_tensor *loss = grd_sum(grd_mul(y, y));
    const double value = grd_item(loss);
    cr_assert_eq(grd_backward(loss), GRD_OK, "%s", grd_error_message());
    const grd_tensor *from[] = { x, scale, l->weight };
    for (int i = 0; i < 3; i++)
        out[i] = grd_item(grd_sum(grd_square(grd_tensor_grad(from[i]))));
    grd_zero_grad(l->weight);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    return value;
}

static layer layer_create(void)
{
    return (layer){ .weight = grd_require_grad(grd_randn(grd_rng_create(1), GRD_SHAPE(3, 3))) };
}

Test(recompute, equals_keeping_and_reaches_what_the_function_captures)
{
    double kept[3], again[3];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    layer l = layer_create();
    for (int dropped = 0; dropped < 2; dropped++) {
        l.rng = dropped ? grd_rng_create(5) : NULL;
        const double value = twice(&l, false, kept);
        l.calls = 0;
        cr_assert_eq(twice(&l, true, again), value);
        cr_assert_eq(l.calls, 4);
        for (int i = 0; i < 3; i++)
            cr_assert_float_eq(again[i], kept[i], 1e-12 * kept[i], "%d: %g, not %g", i, again[i],
                               kept[i]);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *recomputed(const grd_tensor *const *in, void *user)
{
    return grd_recompute(run, user, (grd_list){ 2, in });
}

Test(recompute, is_differentiated_twice)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    layer l = layer_create();
    grd_tensor *x = grd_randn(grd_rng_create(2), GRD_SHAPE(2, 3)), *scale = grd_scalar(0.7);
    const grd_gradcheck_report first = grd_gradcheck(recomputed, &l, GRD_LIST(x, scale), NULL);
    const grd_gradcheck_report second = grd_gradgradcheck(recomputed, &l, GRD_LIST(x, scale), NULL);
    cr_assert(first.passed, "%s, %s", first.text, grd_error_message());
    cr_assert(second.passed, "%s, %s", second.text, grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* Even where no input requires grad, as in a model's first layer. */
Test(recompute, grad_finds_what_is_captured)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    layer l = layer_create();
    const grd_tensor *x = grd_ones(GRD_SHAPE(2, 3)), *scale = grd_scalar(2);
    grd_tensor *dw[2];
    for (int i = 0; i < 2; i++) {
        const grd_list in = GRD_LIST(x, scale);
        const grd_tensor *y = i ? grd_recompute(run, &l, in) : run(in.at, &l);
        cr_assert_eq(grd_grad(GRD_LIST(grd_sum(y)), GRD_LIST(l.weight), NULL, &dw[i]), GRD_OK, "%s",
                     grd_error_message());
    }
    cr_assert_lt(grd_item(grd_sum(grd_square(grd_sub(dw[0], dw[1])))), 1e-24);
    cr_assert_null(grd_tensor_grad(l.weight));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *fails_later(const grd_tensor *const *in, void *calls)
{
    if ((*(int *)calls)++)
        return grd_fail(GRD_ERROR_STATE, "fails_later", "not again");
    return grd_mul(in[0], in[0]);
}

Test(recompute, a_failure_leaves_gradients_alone)
{
    int calls = 0;
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(2));
    cr_assert_null(grd_recompute(NULL, NULL, GRD_LIST(x)));
    grd_error_take();
    cr_assert_null(grd_recompute(fails_later, &calls, (grd_list){ 0 }));
    expect_message("recompute: 0 inputs are not in 1..16");
    grd_error_take();
    grd_tensor *y = grd_recompute(fails_later, &calls, GRD_LIST(x));
    cr_assert_eq(grd_backward(grd_add(y, x)), GRD_ERROR_STATE);
    expect_message("fails_later: not again");
    cr_assert_null(grd_tensor_grad(x));
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_STATE);
}
