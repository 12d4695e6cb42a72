#include "tests/fake_device.h"
#include <gradus/gradus.h>

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static grd_tensor *numbers(void)
{
    return grd_from_i64((int64_t[]){ 1, 2, 3, INT64_MAX, -5, 6 }, 6, GRD_SHAPE(2, 3));
}

Test(read, types_are_read_as_they_are)
{
    grd_scope *scope = grd_scope_begin();
    int64_t integers[6];
    bool answers[4];
    cr_assert_eq(grd_read_i64(grd_transpose(numbers(), 0, 1), integers, 6), GRD_OK);
    cr_assert_arr_eq(integers, ((int64_t[]){ 1, INT64_MAX, 2, -5, 3, 6 }), sizeof integers);
    const grd_tensor *b = grd_from_bool((bool[]){ true, false, false, false }, 4, GRD_SHAPE(2, 2));
    cr_assert_eq(grd_read_bool(b, answers, 4), GRD_OK);
    cr_assert_arr_eq(answers, ((bool[]){ true, false, false, false }), sizeof answers);
    cr_assert_eq(grd_read_i64(grd_slice(numbers(), 1, 3, 3, 1), NULL, 0), GRD_OK);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(read, one_element)
{
    grd_device *const devices[] = { grd_cpu(), fake_device() };
    for (int i = 0; i < 2; i++) {
        grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = devices[i] });
        const grd_tensor *x = grd_cast(numbers(), GRD_F32);
        cr_assert_eq(grd_item_at(x, GRD_DIMS(1, -2)), -5);
        cr_assert_eq(grd_item_at(grd_transpose(numbers(), 0, 1), GRD_DIMS(-1, 0)), 3);
        cr_assert_eq(grd_item_at(grd_scalar(7), (grd_dims){ 0 }), 7);
        cr_assert_eq(grd_item(grd_from_bool((bool[]){ true }, 1, GRD_SHAPE(1, 1))), 1);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

Test(read, elements_in_place)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_ones(GRD_SHAPE(2, 3));
    const float *data = grd_data_f32(x);
    grd_fill_(grd_select(x, 0, 1), 4);
    cr_assert(data[2] == 1 && data[3] == 4);
    cr_assert_eq(grd_data_i64(numbers())[3], INT64_MAX);
    cr_assert_eq(grd_data_f64(grd_cast(x, GRD_F64))[5], 4);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* What must fail, and the message. */
static void expect_failure(bool failed, const char *message)
{
    const char *found = grd_error_message();
    cr_assert(failed && strncmp(found, message, strlen(message)) == 0, "%s", found);
    cr_assert_neq(grd_error_take(), GRD_OK);
}

Test(read, what_does_not_fit_is_named)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_ones(GRD_SHAPE(2, 3)), *n = numbers();
    grd_tensor *far;
    float f[6] = { 8 };
    int64_t i[6] = { 8 };
    bool b[6];
    expect_failure(grd_read_f32(n, f, 6) != GRD_OK,
                   "read_f32: [2, 3] is i64, not f32 (use grd_read_i64, or grd_cast before)");
    expect_failure(grd_read_i64(x, i, 6) != GRD_OK,
                   "read_i64: [2, 3] is f32, not i64 (use grd_read_f64, or grd_cast before)");
    expect_failure(grd_read_bool(x, b, 6) != GRD_OK,
                   "read_bool: [2, 3] is f32, not bool (use grd_read_f64, or grd_cast before)");
    expect_failure(grd_read_f32(x, f, 5) != GRD_OK, "read_f32: [2, 3] has 6 elements, not 5");
    expect_failure(grd_read_i64(NULL, i, 6) != GRD_OK, "read_i64: an argument is NULL");
    cr_assert(f[0] == 8 && i[0] == 8, "left as it was");

    expect_failure(isnan(grd_item_at(x, GRD_DIMS(1))), "item_at: 1 indices are given for [2, 3]");
    expect_failure(isnan(grd_item_at(x, GRD_DIMS(1, 3))),
                   "item_at: index 3 is outside dimension 1 of [2, 3] (-3 to 2)");
    expect_failure(isnan(grd_item(x)), "item: [2, 3] has 6 elements, not 1");

    expect_failure(!grd_data_f64(x), "data_f64: [2, 3] is f32, not f64 (use grd_cast)");
    expect_failure(!grd_data_f32(grd_transpose(x, 0, 1)),
                   "data_f32: [3, 2] is not contiguous (use grd_contiguous)");
    far = grd_to_device(x, fake_device());
    expect_failure(!grd_data_f32(far),
                   "data_f32: [2, 3] is on fake, not on the cpu (use grd_to_device)");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
