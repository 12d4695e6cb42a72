#include <gradus/gradus.h>

#include <criterion/criterion.h>

static grd_tensor *counting(int64_t n)
{
    return grd_require_grad(grd_cast(grd_arange(0, n, 1), GRD_F32));
}

static void expect_gradient(const grd_tensor *x, const float *expected, int64_t count)
{
    float found[16];
    cr_assert_eq(grd_read_f32(grd_tensor_grad(x), found, count), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < count; i++)
        cr_assert_eq(found[i], expected[i], "%d: %g, not %g", (int)i, (double)found[i],
                     (double)expected[i]);
}

static grd_tensor *times(grd_tensor *x, double factor)
{
    return grd_mul_scalar(x, factor);
}

/* The walk adds the gradients of parts in place where it may. */
Test(view_gradients, parts_that_overlap)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = counting(6);
    grd_tensor *y = grd_add(grd_sum(times(grd_slice(x, 0, 0, 4, 1), 2)),
                            grd_sum(times(grd_slice(x, 0, 1, GRD_END, 2), 10)));
    y = grd_add(y, times(grd_select(x, 0, 3), 100));
    cr_assert_eq(grd_backward(grd_add(y, grd_sum(x))), GRD_OK);
    expect_gradient(x, (float[]){ 3, 13, 3, 113, 1, 11 }, 6);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* Gradients that two inputs share, or that the caller gave, must not be added to in place. */
Test(view_gradients, shared_gradients_stay_as_they_are)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *a = counting(4), *b = counting(4), *x = times(a, 1);
    grd_tensor *parts = grd_sum(times(grd_slice(x, 0, 0, 2, 1), 5));
    grd_tensor *both = grd_add(x, b), *given = grd_ones(GRD_SHAPE(4));
    grd_tensor *da[2];
    cr_assert_eq(grd_grad(GRD_LIST(both, parts), GRD_LIST(a, b),
                          &(grd_grad_options){ .gradients = GRD_LIST(given, NULL) }, da),
                 GRD_OK);
    const grd_tensor *expected = grd_from_f32((float[]){ 6, 6, 1, 1 }, 4, GRD_SHAPE(4));
    cr_assert(grd_equal(da[0], expected));
    cr_assert(grd_equal(da[1], grd_ones(GRD_SHAPE(4))) && grd_equal(given, da[1]));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* An embedding whose matrix is also the head's, as in a tied model; in all dtypes that differ in
 * how they are summed. */
Test(view_gradients, a_matrix_that_is_looked_up_and_multiplied)
{
    static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_BF16 };
    for (int t = 0; t < 3; t++) {
        grd_scope *scope = grd_scope_begin();
        grd_tensor *weight = grd_require_grad(grd_cast(grd_ones(GRD_SHAPE(3, 2)), dtypes[t]));
        const grd_tensor *index = grd_from_i64((int64_t[]){ 2, 0, 2, 2 }, 4, GRD_SHAPE(4));
        grd_tensor *looked_up = grd_sum(grd_embedding(index, weight));
        grd_tensor *again = grd_sum(grd_index_select(weight, 1, grd_slice(index, 0, 1, 2, 1)));
        cr_assert_eq(grd_backward(grd_add(grd_add(looked_up, again),
                                          times(grd_sum(grd_mul(weight, weight)), 0.5))),
                     GRD_OK);
        const grd_tensor *grad = grd_cast(grd_tensor_grad(weight), GRD_F32);
        cr_assert(grd_equal(grad, grd_from_f32((float[]){ 3, 2, 2, 1, 5, 4 }, 6, GRD_SHAPE(3, 2))));
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}
