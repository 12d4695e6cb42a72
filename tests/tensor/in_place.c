/* Changes in place: values, dtypes, memory that is read and written at once, and what is refused.
 */
#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <string.h>

static void expect(const grd_tensor *x, const double *wanted, int64_t count)
{
    double found[64];
    cr_assert_eq(grd_read_f64(grd_cast(x, GRD_F64), found, count), GRD_OK, "%s",
                 grd_error_message());
    for (int64_t i = 0; i < count; i++)
        cr_assert_eq(found[i], wanted[i], "[%d]: %.17g, not %.17g", (int)i, found[i], wanted[i]);
}

#define EXPECT(x, ...)                                                                             \
    expect(x, (const double[]){ __VA_ARGS__ }, sizeof(double[]){ __VA_ARGS__ } / sizeof(double))

static grd_tensor *counted(int64_t n, grd_dtype dtype)
{
    double values[64];
    for (int64_t i = 0; i < n; i++)
        values[i] = (double)i;
    return grd_cast(grd_from_f64(values, n, GRD_SHAPE(n)), dtype);
}

Test(in_place, every_op_in_every_dtype_of_numbers)
{
    static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16, GRD_I64 };
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        grd_scope *scope = grd_scope_begin();
        grd_tensor *x = counted(4, dtypes[i]);
        const grd_tensor *y = grd_add_scalar(x, 1);
        cr_assert_eq(grd_add_(x, y), GRD_OK);
        EXPECT(x, 1, 3, 5, 7);
        cr_assert_eq(grd_add_scaled_(x, y, -2), GRD_OK);
        EXPECT(x, -1, -1, -1, -1);
        cr_assert_eq(grd_mul_(x, y), GRD_OK);
        EXPECT(x, -1, -2, -3, -4);
        cr_assert_eq(grd_mul_scalar_(x, -3), GRD_OK);
        EXPECT(x, 3, 6, 9, 12);
        cr_assert_eq(grd_fill_(x, 7), GRD_OK);
        EXPECT(x, 7, 7, 7, 7);
        cr_assert_eq(grd_copy_(x, y), GRD_OK);
        EXPECT(x, 1, 2, 3, 4);
        cr_assert_eq(grd_tensor_dtype(x), dtypes[i]);
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}

Test(in_place, the_other_operand_is_stretched_and_copies_are_cast)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_zeros(GRD_SHAPE(2, 3));
    cr_assert_eq(grd_add_(x, counted(3, GRD_F32)), GRD_OK);
    cr_assert_eq(grd_add_(x, grd_scalar(1)), GRD_OK);
    EXPECT(x, 1, 2, 3, 1, 2, 3);
    cr_assert_eq(grd_copy_(x, grd_reshape(counted(2, GRD_I64), GRD_SHAPE(2, 1))), GRD_OK);
    EXPECT(x, 0, 0, 0, 1, 1, 1);
    grd_tensor *truth = grd_cast(x, GRD_BOOL);
    cr_assert_eq(grd_copy_(truth, grd_scalar(-0.5)), GRD_OK);
    EXPECT(truth, 1, 1, 1, 1, 1, 1);
    cr_assert_eq(grd_fill_(truth, 0), GRD_OK);
    EXPECT(truth, 0, 0, 0, 0, 0, 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(in_place, through_views)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = counted(6, GRD_F32), *table = grd_reshape(x, GRD_SHAPE(2, 3));
    cr_assert_eq(grd_fill_(grd_select(table, 1, 1), 9), GRD_OK);
    EXPECT(x, 0, 9, 2, 3, 9, 5);
    cr_assert_eq(
        grd_mul_(grd_transpose(table, 0, 1), grd_reshape(counted(2, GRD_F32), GRD_SHAPE(1, 2))),
        GRD_OK);
    EXPECT(x, 0, 0, 0, 3, 9, 5);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* What is read must be what stood there before the call, however the two lie over each other. */
Test(in_place, both_operands_may_share_memory)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = counted(6, GRD_F32);
    cr_assert_eq(grd_add_(x, x), GRD_OK);
    EXPECT(x, 0, 2, 4, 6, 8, 10);
    cr_assert_eq(grd_add_(grd_slice(x, 0, 1, 6, 1), grd_slice(x, 0, 0, 5, 1)), GRD_OK);
    EXPECT(x, 0, 2, 6, 10, 14, 18);
    cr_assert_eq(grd_copy_(grd_slice(x, 0, 0, 4, 1), grd_slice(x, 0, 2, 6, 1)), GRD_OK);
    EXPECT(x, 6, 10, 14, 18, 14, 18);
    cr_assert_eq(grd_copy_(x, grd_select(x, 0, 2)), GRD_OK);
    EXPECT(x, 14, 14, 14, 14, 14, 14);

    grd_tensor *square = grd_reshape(counted(9, GRD_F64), GRD_SHAPE(3, 3));
    cr_assert_eq(grd_add_(square, grd_transpose(square, 0, 1)), GRD_OK);
    EXPECT(square, 0, 4, 8, 4, 8, 12, 8, 12, 16);
    cr_assert_eq(grd_mul_(square, grd_select(square, 0, 1)), GRD_OK);
    EXPECT(square, 0, 32, 96, 16, 64, 144, 32, 96, 192);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(in_place, integers_are_exact_and_wrap_around)
{
    grd_scope *scope = grd_scope_begin();
    const int64_t values[] = { INT64_MAX, (INT64_C(1) << 53) + 1, INT64_MIN };
    int64_t found[3];
    grd_tensor *x = grd_from_i64(values, 3, GRD_SHAPE(3));
    cr_assert_eq(grd_add_(x, grd_ones_like(x)), GRD_OK);
    cr_assert_eq(grd_read_i64(x, found, 3), GRD_OK);
    cr_assert(found[0] == INT64_MIN && found[1] == values[1] + 1 && found[2] == INT64_MIN + 1);
    cr_assert_eq(grd_mul_scalar_(x, -1), GRD_OK);
    cr_assert_eq(grd_read_i64(x, found, 3), GRD_OK);
    cr_assert(found[0] == INT64_MIN && found[1] == -values[1] - 1 && found[2] == INT64_MAX);
    cr_assert_eq(grd_read_i64(grd_abs(grd_sub_scalar(x, 1)), found, 3), GRD_OK);
    cr_assert(found[0] == INT64_MAX && found[1] == values[1] + 2 && found[2] == INT64_MAX - 1);
    cr_assert_eq(grd_read_i64(grd_clamp(x, -5, INFINITY), found, 3), GRD_OK);
    cr_assert(found[0] == -5 && found[1] == -5 && found[2] == INT64_MAX);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(in_place, a_change_is_counted_once_it_is_allowed)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = counted(2, GRD_F32), *leaf = grd_require_grad(counted(2, GRD_F32));
    grd_tensor *y = grd_sum(grd_mul(leaf, x));
    cr_assert_eq(grd_add_(x, counted(3, GRD_F32)), GRD_ERROR_SHAPE);
    grd_error_take();
    cr_assert_eq(grd_backward_with(y, &(grd_backward_options){ .retain_graph = true }), GRD_OK);
    cr_assert_eq(grd_mul_scalar_(x, 2), GRD_OK);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    cr_assert(strstr(grd_error_message(), ": expected version 0, found 1"));
    grd_error_take();
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static void refused(grd_status found, grd_status status, const char *message)
{
    cr_assert_eq(found, status);
    cr_assert(strncmp(grd_error_message(), message, strlen(message)) == 0, "%s",
              grd_error_message());
    cr_assert_eq(grd_error_take(), status);
}

Test(in_place, bad_input_is_named_and_changes_nothing)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = counted(2, GRD_F32), *i64 = counted(2, GRD_I64);
    grd_tensor *truth = grd_cast(x, GRD_BOOL), *leaf = grd_require_grad(counted(2, GRD_F32));
    const grd_tensor *wide = grd_expand(grd_scalar(1), GRD_SHAPE(2));
    refused(grd_add_(NULL, x), GRD_ERROR_ARGUMENT, "add_: an argument is NULL");
    refused(grd_copy_(x, NULL), GRD_ERROR_ARGUMENT, "copy_: an argument is NULL");
    refused(grd_fill_(NULL, 1), GRD_ERROR_ARGUMENT, "fill_: an argument is NULL");
    refused(grd_add_(x, i64), GRD_ERROR_DTYPE,
            "add_: dtypes differ: x is f32, y is i64 (grd_cast y) at ");
    refused(grd_mul_(truth, truth), GRD_ERROR_DTYPE,
            "mul_: x is bool and should be floating or i64 (cast it first) at ");
    refused(grd_mul_scalar_(i64, 0.5), GRD_ERROR_ARGUMENT,
            "mul_scalar_: 0.5 is no i64 (cast the tensor to f32 first) at ");
    refused(grd_fill_(i64, NAN), GRD_ERROR_ARGUMENT, "fill_: nan is no i64 ");
    refused(grd_add_(x, grd_zeros(GRD_SHAPE(3, 2))), GRD_ERROR_SHAPE,
            "add_: y is [3, 2] and does not broadcast to x, which is [2] at ");
    refused(grd_copy_(x, grd_zeros(GRD_SHAPE(3))), GRD_ERROR_SHAPE,
            "copy_: from is [3] and does not broadcast to x, which is [2] at ");
    refused(grd_add_((grd_tensor *)wide, x), GRD_ERROR_ARGUMENT,
            "add_: the elements of this expanded view overlap at ");
    refused(grd_add_(leaf, x), GRD_ERROR_STATE,
            "add_: x, [2], requires grad, and a change in place is not recorded (make ");
    refused(grd_add_(x, leaf), GRD_ERROR_STATE,
            "add_: y, [2], requires grad, and a change in place is not recorded (use ");
    EXPECT(x, 0, 1);
    EXPECT(i64, 0, 1);
    grd_scope *no_grad = grd_scope_begin_no_grad();
    cr_assert_eq(grd_add_(leaf, x), GRD_OK);
    cr_assert_eq(grd_add_(x, leaf), GRD_OK);
    cr_assert_eq(grd_scope_end(no_grad), GRD_OK);
    EXPECT(x, 0, 3);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(in_place, nothing_is_changed_while_an_error_is_latched)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = counted(2, GRD_F32);
    cr_assert_null(grd_reshape(x, GRD_SHAPE(3)));
    cr_assert_eq(grd_add_(x, x), GRD_ERROR_SHAPE);
    cr_assert_eq(grd_fill_(x, 5), GRD_ERROR_SHAPE);
    cr_assert_eq(grd_error_take(), GRD_ERROR_SHAPE);
    EXPECT(x, 0, 1);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
