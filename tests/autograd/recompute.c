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

/* The weight comes in by way of user, but is an input of what is checked. */
static grd_tensor *captures_an_input(const grd_tensor *const *in, void *user)
{
    layer *l = user;
    l->weight = (grd_tensor *)in[2];
    return grd_recompute(run, l, (grd_list){ 2, in });
}

Test(recompute, what_is_captured_is_differentiated_twice)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(2);
    layer l = { 0 };
    const grd_list in =
        GRD_LIST(grd_randn(rng, GRD_SHAPE(2, 3)), grd_scalar(0.7), grd_randn(rng, GRD_SHAPE(3, 3)));
    const grd_gradcheck_report first = grd_gradcheck(captures_an_input, &l, in, NULL);
    const grd_gradcheck_report second = grd_gradgradcheck(captures_an_input, &l, in, NULL);
    cr_assert(first.passed, "%s, %s", first.text, grd_error_message());
    cr_assert(second.passed, "%s, %s", second.text, grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *note(const grd_tensor *gradient, void *calls)
{
    (void)gradient;
    ++*(int *)calls;
    return NULL;
}

static grd_tensor *times_weight(const grd_tensor *const *in, void *user)
{
    return grd_mul(in[0], ((const layer *)user)->weight);
}

/* The weight is the result of an op, whose own graph belongs to the walk outside. */
Test(recompute, what_is_captured_may_have_a_graph_and_hooks)
{
    int calls = 0;
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(3)), *w = grd_require_grad(grd_scalar(2)), *dw;
    layer l = { .weight = grd_mul(w, w) };
    grd_on_gradient(w, note, &calls);
    grd_on_gradient(l.weight, note, &calls);
    grd_retain_grad(l.weight);
    grd_tensor *y = grd_recompute(times_weight, &l, GRD_LIST(x));
    y = grd_recompute(times_weight, &l, GRD_LIST(y)); /* x w^4 */
    const grd_grad_options retain = { .retain_graph = true };
    cr_assert_eq(grd_grad(GRD_LIST(y), GRD_LIST(l.weight), &retain, &dw), GRD_OK);
    cr_assert_eq(grd_item(dw), 2 * 3 * 4);
    cr_assert_eq(calls, 1);
    cr_assert_eq(grd_backward(grd_add(y, l.weight)), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(calls, 3, "each once, with all of it");
    cr_assert_eq(grd_item(grd_tensor_grad(l.weight)), 2 * 3 * 4 + 1);
    cr_assert_eq(grd_item(grd_tensor_grad(w)), 4 * 3 * 8 + 4);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 16);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(recompute, depends_on_what_the_function_depends_on)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_scalar(3), *w = grd_require_grad(grd_scalar(2));
    layer l = { .weight = grd_scalar(5) };
    cr_assert_not(grd_tensor_requires_grad(grd_recompute(times_weight, &l, GRD_LIST(x))));
    l.weight = w;
    cr_assert(grd_tensor_requires_grad(grd_recompute(times_weight, &l, GRD_LIST(x))));
    grd_scope *no_grad = grd_scope_begin_no_grad();
    cr_assert_not(grd_tensor_requires_grad(grd_recompute(times_weight, &l, GRD_LIST(x))));
    grd_scope_end(no_grad);

    grd_tensor *y = grd_recompute(times_weight, &l, GRD_LIST(x));
    l.weight = x;
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    expect_message("the root [] does not require grad");
    grd_error_take();
    l.weight = grd_require_grad(grd_scalar(7));
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    expect_message("recompute: the function depends on other tensors than when it was called first "
                   "(in backward of recompute, called at ");
    grd_error_take();
    l.weight = w;
    cr_assert_eq(grd_fill_(x, 4), GRD_OK);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    expect_message("recompute: the saved input 0 [] was changed in place");
    grd_error_take();
    cr_assert_null(grd_tensor_grad(w));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *drops(const grd_tensor *const *in, void *rng)
{
    return grd_dropout(in[0], 0.5, rng);
}

Test(recompute, draws_the_same_numbers_every_time)
{
    float first[64], again[64], next[64];
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(3);
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(64)));
    grd_tensor *y = grd_recompute(drops, rng, GRD_LIST(x));
    cr_assert_eq(grd_read_f32(y, first, 64), GRD_OK);
    const grd_backward_options retain = { .retain_graph = true };
    for (int i = 0; i < 3; i++) {
        grd_zero_grad(x);
        cr_assert_eq(grd_backward_with(grd_sum(y), &retain), GRD_OK);
        cr_assert_eq(grd_read_f32(grd_tensor_grad(x), again, 64), GRD_OK);
        cr_assert_eq(memcmp(first, again, sizeof first), 0, "walk %d", i);
    }
    cr_assert_eq(grd_read_f32(grd_dropout(x, 0.5, rng), next, 64), GRD_OK);
    grd_rng *other = grd_rng_create(3);
    const grd_tensor *skipped = grd_dropout(x, 0.5, other);
    cr_assert(skipped);
    cr_assert_eq(grd_read_f32(grd_dropout(x, 0.5, other), again, 64), GRD_OK);
    cr_assert_eq(memcmp(next, again, sizeof next), 0, "backward draws nothing");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

enum { MANY = 40 };

static grd_tensor *sum_of_many(const grd_tensor *const *in, void *terms)
{
    grd_tensor **at = terms, *sum = grd_mul(in[0], grd_scalar(1)); /* of the scope's dtype */
    for (int i = 0; i < MANY; i++)
        sum = grd_add(sum, grd_mul(at[i], in[0]));
    return sum;
}

static grd_tensor *inner(const grd_tensor *const *in, void *terms)
{
    grd_tensor *y = grd_recompute(sum_of_many, terms, GRD_LIST(in[0]));
    return grd_recompute(sum_of_many, terms, GRD_LIST(y));
}

/* Nested, in the modes of the first time, over more tensors than ops have inputs. */
Test(recompute, may_be_nested_and_depend_on_many)
{
    grd_tensor *terms[MANY];
    grd_scope *scope = grd_scope_begin();
    grd_scope *f64 = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    for (int i = 0; i < MANY; i++)
        terms[i] = grd_require_grad(grd_scalar(0.25));
    grd_tensor *x = grd_require_grad(grd_scalar(2));
    grd_tensor *y = grd_keep(grd_recompute(inner, terms, GRD_LIST(x))); /* x (1 + sum)^2 */
    x = grd_keep(x);
    for (int i = 0; i < MANY; i++)
        grd_keep(terms[i]);
    cr_assert_eq(grd_scope_end(f64), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item(y), 2 * 121);
    cr_assert_eq(grd_backward(y), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 121);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(grd_item(grd_tensor_grad(terms[i])), 2 * 2 * 11);
        grd_release(terms[i]);
    }
    grd_release(x);
    grd_release(y);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static grd_tensor *itself(const grd_tensor *const *in, void *other)
{
    return other ? other : (grd_tensor *)in[0];
}

Test(recompute, may_return_what_it_was_given)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(2)), *w = grd_require_grad(grd_scalar(3));
    cr_assert_eq(grd_backward(grd_recompute(itself, NULL, GRD_LIST(x))), GRD_OK);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 1);
    cr_assert_eq(grd_backward(grd_recompute(itself, w, (grd_list){ 0 })), GRD_OK, "%s",
                 grd_error_message());
    cr_assert_eq(grd_item(grd_tensor_grad(w)), 1);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 1);
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
    cr_assert_null(grd_recompute(fails_later, &calls, (grd_list){ -1, GRD_LIST(x).at }));
    expect_message("recompute: -1 inputs");
    grd_error_take();
    cr_assert_null(grd_recompute(fails_later, &calls, GRD_LIST(x, NULL)));
    expect_message("recompute: an argument is NULL");
    grd_error_take();
    grd_tensor *y = grd_recompute(fails_later, &calls, GRD_LIST(x));
    cr_assert_eq(grd_backward(grd_add(y, x)), GRD_ERROR_STATE);
    expect_message("fails_later: not again");
    cr_assert_null(grd_tensor_grad(x));
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_STATE);
}
