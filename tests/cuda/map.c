/* Element by element: activations, numbers, comparisons and choices. */
#include "tests/cuda/twins.h"

#include <criterion/criterion.h>
#include <math.h>

static const grd_dtype floats[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16 };
enum { FLOATS = sizeof floats / sizeof floats[0] };

/* The last has more elements than all threads of the emulated GPU take at once. */
static const grd_shape shapes[] = {
    { 0 }, { 1, { 0 } }, { 1, { 5 } }, { 2, { 3, 0 } }, { 2, { 7, 12 } }, { 3, { 3, 41, 301 } },
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

#define OP(name, value)                                                                            \
    static grd_tensor *name(const grd_tensor *const x[], const void *user)                         \
    {                                                                                              \
        (void)user;                                                                                \
        return value;                                                                              \
    }
OP(erf_of, grd_erf(x[0]))
OP(tanh_of, grd_tanh(x[0]))
OP(sigmoid_of, grd_sigmoid(x[0]))
OP(relu_of, grd_relu(x[0]))
OP(gelu_of, grd_gelu(x[0]))
OP(gelu_tanh_of, grd_gelu_tanh(x[0]))
OP(silu_of, grd_silu(x[0]))
OP(affine_of, grd_add_scalar(grd_mul_scalar(x[0], -2.5), 0.75))
OP(divided, grd_div_scalar(x[0], 3))
OP(clamped, grd_clamp(x[0], -0.5, 0.75))
OP(half_clamped, grd_clamp(x[0], -INFINITY, 0.25))
OP(to_the_third, grd_pow_scalar(x[0], 3))
OP(squared, grd_pow_scalar(x[0], 2))
OP(rooted, grd_pow_scalar(x[0], 0.5))
OP(finite, grd_isfinite(x[0]))
OP(equal, grd_eq(x[0], x[1]))
OP(unequal, grd_ne(x[0], x[1]))
OP(less, grd_lt(x[0], x[1]))
OP(less_equal, grd_le(x[0], x[1]))
OP(greater, grd_gt(x[0], x[1]))
OP(greater_equal, grd_ge(x[0], x[1]))
OP(above, grd_gt_scalar(x[0], 0.1))
OP(chosen, grd_where(grd_gt_scalar(x[0], 0), x[0], x[1]))
OP(filled, grd_masked_fill(x[0], grd_lt(x[0], x[1]), 0.1))
OP(all_of, grd_logical_and(grd_gt_scalar(x[0], 0), grd_gt_scalar(x[1], 0)))
OP(any_of, grd_logical_or(grd_gt_scalar(x[0], 0), grd_gt_scalar(x[1], 0)))
OP(none_of, grd_logical_not(grd_gt_scalar(x[0], 0)))

/* What rounds once is the same; for others, how far the two may lie apart: the fast loops of the
 * CPU have functions of their own. */
static const twins of_floats[] = {
    { "erf", erf_of, NULL, 8 },
    { "tanh", tanh_of, NULL, 8 },
    { "sigmoid", sigmoid_of, NULL, 8 },
    { "relu", relu_of, NULL, 0 },
    { "gelu", gelu_of, NULL, 8 },
    { "gelu_tanh", gelu_tanh_of, NULL, 16 },
    { "silu", silu_of, NULL, 8 },
    { "affine", affine_of, NULL, 2 },
    { "div_scalar", divided, NULL, 0 },
    { "clamp", clamped, NULL, 0 },
    { "clamp from above", half_clamped, NULL, 0 },
    { "pow_scalar", to_the_third, NULL, 16 },
    { "pow_scalar 2", squared, NULL, 2 },
    { "pow_scalar 0.5", rooted, NULL, 2 },
    { "isfinite", finite, NULL, 0 },
    { "eq", equal, NULL, 0 },
    { "ne", unequal, NULL, 0 },
    { "lt", less, NULL, 0 },
    { "le", less_equal, NULL, 0 },
    { "gt", greater, NULL, 0 },
    { "ge", greater_equal, NULL, 0 },
    { "gt_scalar", above, NULL, 0 },
    { "where", chosen, NULL, 0 },
    { "masked_fill", filled, NULL, 0 },
    { "logical_and", all_of, NULL, 0 },
    { "logical_or", any_of, NULL, 0 },
    { "logical_not", none_of, NULL, 0 },
};

static void expect_all(const twins *ops, size_t count, grd_dtype dtype)
{
    for (int s = 0; s < SHAPES; s++) {
        grd_scope *scope = grd_scope_begin();
        grd_rng *rng = grd_rng_create(3);
        const grd_tensor *a = wild(rng, shapes[s], dtype), *b = wild(rng, shapes[s], dtype);
        for (size_t i = 0; i < count; i++)
            expect_twins_seen(&ops[i], GRD_LIST(a, b));
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}

Test(cuda_map, floats_are_the_same_on_both)
{
    need_gpu();
    for (int d = 0; d < FLOATS; d++)
        expect_all(of_floats, sizeof of_floats / sizeof of_floats[0], floats[d]);
}

static grd_tensor *slope(grd_tensor *(*f)(const grd_tensor *), const grd_tensor *const x[])
{
    grd_tensor *from = grd_require_grad(grd_clone(x[0])), *dx = NULL;
    const grd_tensor *y = f(from);
    grd_grad(GRD_LIST(y), GRD_LIST(from), &(grd_grad_options){ .gradients = GRD_LIST(x[1]) }, &dx);
    return dx;
}
OP(tanh_slope, slope(grd_tanh, x))
OP(sigmoid_slope, slope(grd_sigmoid, x))
OP(relu_slope, slope(grd_relu, x))
OP(gelu_slope, slope(grd_gelu, x))
OP(gelu_tanh_slope, slope(grd_gelu_tanh, x))
OP(silu_slope, slope(grd_silu, x))

Test(cuda_map, slopes_are_the_same_on_both)
{
    static const twins slopes[] = {
        { "tanh_backward", tanh_slope, NULL, 16 },
        { "sigmoid_backward", sigmoid_slope, NULL, 16 },
        { "relu_backward", relu_slope, NULL, 0 },
        { "gelu_backward", gelu_slope, NULL, 16 },
        { "gelu_tanh_backward", gelu_tanh_slope, NULL, 32 },
        { "silu_backward", silu_slope, NULL, 16 },
    };
    need_gpu();
    for (int d = 0; d < FLOATS; d++)
        expect_all(slopes, sizeof slopes / sizeof slopes[0], floats[d]);
}

OP(i64_affine, grd_add_scalar(grd_mul_scalar(x[0], 1 << 30), -7))
OP(i64_clamp, grd_clamp(x[0], -2, INFINITY))
OP(i64_above, grd_gt_scalar(x[0], 2))

static const twins of_i64[] = {
    { "affine", i64_affine, NULL, 0 },
    { "clamp", i64_clamp, NULL, 0 },
    { "gt_scalar", i64_above, NULL, 0 },
    { "isfinite", finite, NULL, 0 },
    { "lt", less, NULL, 0 },
    { "eq", equal, NULL, 0 },
};

/* Twice 2^62 and more: integers wrap around. */
Test(cuda_map, integers_are_the_same_on_both)
{
    need_gpu();
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(4);
    const grd_tensor *a = grd_randint(rng, -(1LL << 61), 1LL << 61, GRD_SHAPE(7, 33));
    const grd_tensor *b = grd_randint(rng, -3, 4, GRD_SHAPE(7, 33));
    for (size_t i = 0; i < sizeof of_i64 / sizeof of_i64[0]; i++) {
        expect_twins_seen(&of_i64[i], GRD_LIST(a, b));
        expect_twins_seen(&of_i64[i], GRD_LIST(b, b));
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

OP(bool_where, grd_where(x[0], x[1], grd_logical_not(x[1])))
OP(bool_filled, grd_masked_fill(x[0], x[1], 1))

Test(cuda_map, bools_are_the_same_on_both)
{
    static const twins of_bools[] = {
        { "where", bool_where, NULL, 0 },
        { "masked_fill", bool_filled, NULL, 0 },
        { "eq", equal, NULL, 0 },
        { "lt", less, NULL, 0 },
    };
    need_gpu();
    expect_all(of_bools, sizeof of_bools / sizeof of_bools[0], GRD_BOOL);
}
