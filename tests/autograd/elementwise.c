/* Gradients where an op has a kink, a tie or a pole, and what records nothing. */
#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>

typedef grd_tensor *unary(const grd_tensor *x);
typedef grd_tensor *binary(const grd_tensor *a, const grd_tensor *b);

static grd_tensor *power_zero(const grd_tensor *x)
{
    return grd_pow_scalar(x, 0);
}

static grd_tensor *square(const grd_tensor *x)
{
    return grd_pow_scalar(x, 2);
}

static grd_tensor *within(const grd_tensor *x)
{
    return grd_clamp(x, -1, 2);
}

/* y' at x by the walk, and under create_graph, where public ops take the fused kernel's place. */
static void expect_slope(unary *op, double x, double wanted)
{
    for (int create = 0; create <= 1; create++) {
        grd_scope *scope = grd_scope_begin();
        const double dy[] = { 3 };
        const grd_tensor *weight = grd_from_f64(dy, 1, GRD_SCALAR);
        grd_tensor *leaf = grd_require_grad(grd_from_f64(&x, 1, GRD_SCALAR)), *dx = NULL;
        const grd_grad_options how = { .gradients = GRD_LIST(weight), .create_graph = create };
        cr_assert_eq(grd_grad(GRD_LIST(op(leaf)), GRD_LIST(leaf), &how, &dx), GRD_OK);
        const double found = grd_item(dx);
        cr_assert(fabs(found - 3 * wanted) < 1e-12, "at %g: %g, not %g", x, found, 3 * wanted);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

Test(elementwise_gradients, kinks)
{
    expect_slope((grd_relu), 0, 0);
    expect_slope((grd_relu), 1e-300, 1);
    expect_slope((grd_abs), 0, 0);
    expect_slope((grd_abs), -2, -1);
    expect_slope(within, -1, 1);
    expect_slope(within, 2, 1);
    expect_slope(within, 2.5, 0);
    expect_slope(power_zero, 0, 0);
    expect_slope(square, 0, 0);
    expect_slope((grd_gelu), 0, 0.5);
    expect_slope((grd_gelu), 40, 1);
    expect_slope((grd_gelu), -40, 0);
    expect_slope((grd_silu), 0, 0.5);
    expect_slope((grd_tanh), 0, 1);
    expect_slope((grd_sigmoid), 800, 0);
}

static void expect_slopes(binary *op, double a, double b, double da, double db)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_from_f64(&a, 1, GRD_SCALAR)), *dx[2] = { NULL, NULL };
    grd_tensor *y = grd_require_grad(grd_from_f64(&b, 1, GRD_SCALAR));
    cr_assert_eq(grd_grad(GRD_LIST(op(x, y)), GRD_LIST(x, y), NULL, dx), GRD_OK);
    cr_assert(grd_item(dx[0]) == da && grd_item(dx[1]) == db, "at %g, %g: %g, %g", a, b,
              grd_item(dx[0]), grd_item(dx[1]));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(elementwise_gradients, a_tie_is_shared)
{
    expect_slopes((grd_maximum), 2, 2, 0.5, 0.5);
    expect_slopes((grd_minimum), 2, 2, 0.5, 0.5);
    expect_slopes((grd_maximum), 3, 2, 1, 0);
    expect_slopes((grd_minimum), 3, 2, 0, 1);
}

Test(elementwise_gradients, powers_of_zero)
{
    expect_slopes((grd_pow), 0, 0, 0, 0);
    expect_slopes((grd_pow), 0, 2, 0, 0);
    expect_slopes((grd_pow), 0, 1, 1, 0);
    expect_slopes((grd_pow), 1, 5, 5, 0);
}

Test(elementwise_gradients, no_gradient_passes_what_was_hidden)
{
    grd_scope *scope = grd_scope_begin();
    const float values[] = { 0, 4 };
    const bool hidden[] = { true, false };
    grd_tensor *x = grd_require_grad(grd_from_f32(values, 2, GRD_SHAPE(2)));
    const grd_tensor *mask = grd_from_bool(hidden, 2, GRD_SHAPE(2));
    /* The slope of the root is infinite in 0. */
    const grd_tensor *y = grd_sqrt(grd_masked_fill(x, mask, 1));
    cr_assert_eq(grd_backward(grd_sum(y)), GRD_OK);
    float found[2];
    cr_assert_eq(grd_read_f32(grd_tensor_grad(x), found, 2), GRD_OK);
    cr_assert(found[0] == 0 && found[1] == 0.25f);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(elementwise_gradients, truths_are_not_recorded)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_ones(GRD_SHAPE(2)));
    cr_assert(!grd_tensor_requires_grad(grd_lt(x, x)));
    cr_assert(!grd_tensor_requires_grad(grd_eq_scalar(x, 1)));
    cr_assert(!grd_tensor_requires_grad(grd_isfinite(x)));
    cr_assert(grd_tensor_requires_grad(grd_where(grd_gt_scalar(x, 0), x, grd_ones_like(x))));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
