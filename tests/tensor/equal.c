#include "tests/fake_device.h"
#include <gradus/gradus.h>

#include <criterion/criterion.h>
#include <math.h>

static grd_tensor *pair(double a, double b, grd_dtype dtype)
{
    return grd_cast(grd_from_f64((double[]){ a, b }, 2, GRD_SHAPE(2)), dtype);
}

Test(equal, bits_are_compared)
{
    static const grd_dtype reals[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16 };
    grd_scope *scope = grd_scope_begin();
    for (int i = 0; i < 4; i++) {
        const grd_dtype t = reals[i];
        cr_assert(grd_equal(pair(1, NAN, t), pair(1, NAN, t)));
        cr_assert(grd_equal(pair(1, -NAN, t), pair(1, NAN, t)));
        cr_assert_not(grd_equal(pair(1, NAN, t), pair(1, 1, t)));
        cr_assert_not(grd_equal(pair(1, 0., t), pair(1, -0., t)));
        cr_assert_not(grd_equal(pair(1, INFINITY, t), pair(1, -INFINITY, t)));
        cr_assert_not(grd_equal(pair(1, 2, t), pair(1, 2, GRD_I64)));
    }
    const grd_tensor *large = grd_from_i64((int64_t[]){ INT64_MAX }, 1, GRD_SHAPE(1));
    const grd_tensor *next = grd_from_i64((int64_t[]){ INT64_MAX - 1 }, 1, GRD_SHAPE(1));
    cr_assert(grd_equal(large, large) && !grd_equal(large, next));
    const grd_tensor *yes = grd_from_bool((bool[]){ true }, 1, GRD_SHAPE(1));
    cr_assert(grd_equal(yes, yes) && !grd_equal(yes, grd_logical_not(yes)));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(equal, shapes_views_and_devices)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_randn(grd_rng_create(1), GRD_SHAPE(3, 4));
    const grd_tensor *turned = grd_contiguous(grd_transpose(x, 0, 1));
    cr_assert(grd_equal(grd_transpose(x, 0, 1), turned));
    cr_assert_not(grd_equal(x, grd_reshape(x, GRD_SHAPE(4, 3))));
    cr_assert_not(grd_equal(x, grd_reshape(x, GRD_SHAPE(3, 4, 1))));
    cr_assert(grd_equal(grd_transpose(grd_to_device(x, fake_device()), 0, 1), turned));
    cr_assert(grd_equal(grd_zeros(GRD_SHAPE(0, 2)), grd_zeros(GRD_SHAPE(0, 2))));
    cr_assert_not(grd_equal(x, NULL) || grd_equal(NULL, NULL));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(equal, within_a_tolerance)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *a = pair(1, 100, GRD_F64), *b = pair(1.01, 101, GRD_F64);
    cr_assert(grd_allclose(a, b, 0.01, 0));
    cr_assert_not(grd_allclose(a, b, 0.0098, 0));
    cr_assert(grd_allclose(a, b, 0, 1));
    cr_assert_not(grd_allclose(a, b, 0, 0.99));
    cr_assert(grd_allclose(a, grd_cast(b, GRD_F32), 0.011, 0), "types may differ");
    cr_assert(grd_allclose(a, grd_to_device(a, fake_device()), 0, 0));
    cr_assert_not(grd_allclose(pair(1, NAN, GRD_F32), pair(1, NAN, GRD_F32), 1, 1));
    cr_assert(grd_allclose(pair(1, INFINITY, GRD_F32), pair(1, INFINITY, GRD_F32), 0, 0));
    cr_assert_not(grd_allclose(pair(1, INFINITY, GRD_F32), pair(1, 1, GRD_F32), 1, 1));
    cr_assert_not(grd_allclose(pair(1, 1, GRD_F32), pair(1, INFINITY, GRD_F32), 1, 1));
    cr_assert_not(grd_allclose(a, grd_scalar(1), 1, 1000));
    cr_assert_not(grd_allclose(a, NULL, 1, 1) || grd_allclose(NULL, a, 1, 1));
    cr_assert_null(grd_tensor_set_name(NULL, "x"));
    cr_assert_not(grd_equal(a, a) || grd_allclose(a, a, 1, 1), "latched");
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_ARGUMENT);
}
