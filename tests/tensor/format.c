#include "tests/fake_device.h"
#include <gradus/gradus.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect(const grd_tensor *x, const char *expected)
{
    char found[8192], part[10];
    const size_t length = grd_format(x, found, sizeof found);
    cr_assert_str_eq(found, expected, "\n%s", found);
    cr_assert_eq(length, strlen(expected));
    cr_assert_eq(grd_format(x, part, sizeof part), length, "as snprintf");
    cr_assert(strlen(part) == 9 && strncmp(part, expected, 9) == 0);
    cr_assert_eq(grd_format(x, NULL, 0), length);
}

Test(format, every_type)
{
    grd_scope *scope = grd_scope_begin();
    expect(grd_from_f32((float[]){ 1, -20, 3 }, 3, GRD_SHAPE(3)), "f32 [3]\n"
                                                                  "[  1., -20.,   3.]\n");
    expect(grd_from_f64((double[]){ 0.5, -1.25, 0, 100 }, 4, GRD_SHAPE(2, 2)),
           "f64 [2, 2]\n"
           "[[  0.5000,  -1.2500],\n"
           " [  0.0000, 100.0000]]\n");
    expect(grd_cast(grd_from_f32((float[]){ 1, 0.5f }, 2, GRD_SHAPE(2)), GRD_BF16),
           "bf16 [2]\n"
           "[1.0000, 0.5000]\n");
    expect(grd_from_i64((int64_t[]){ INT64_MIN, 7 }, 2, GRD_SHAPE(2, 1)),
           "i64 [2, 1]\n"
           "[[-9223372036854775808],\n"
           " [                   7]]\n");
    expect(grd_from_bool((bool[]){ true, false }, 2, GRD_SHAPE(2)), "bool [2]\n"
                                                                    "[ true, false]\n");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(format, what_is_not_finite_or_far_apart)
{
    grd_scope *scope = grd_scope_begin();
    expect(grd_from_f32((float[]){ NAN, 1, -INFINITY, INFINITY }, 4, GRD_SHAPE(4)),
           "f32 [4]\n"
           "[ nan,   1., -inf,  inf]\n");
    expect(grd_from_f32((float[]){ NAN, -INFINITY }, 2, GRD_SHAPE(2)), "f32 [2]\n"
                                                                       "[ nan, -inf]\n");
    expect(grd_from_f32((float[]){ 0.5f, 1000 }, 2, GRD_SHAPE(2)), "f32 [2]\n"
                                                                   "[5.0000e-01, 1.0000e+03]\n");
    expect(grd_from_f64((double[]){ 1e-9, 0 }, 2, GRD_SHAPE(2)), "f64 [2]\n"
                                                                 "[1.0000e-09, 0.0000e+00]\n");
    expect(grd_from_f64((double[]){ 1e300, -1 }, 2, GRD_SHAPE(2)), "f64 [2]\n"
                                                                   "[1.0000e+300, -1.0000e+00]\n");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(format, every_shape)
{
    grd_scope *scope = grd_scope_begin();
    expect(grd_scalar(2.5), "f32 []\n"
                            "2.5000\n");
    expect(grd_zeros(GRD_SHAPE(2, 0, 3)), "f32 [2, 0, 3]\n"
                                          "[]\n");
    const grd_tensor *x = grd_reshape(grd_arange(0, 8, 1), GRD_SHAPE(2, 2, 2));
    expect(grd_transpose(x, 0, 2), "i64 [2, 2, 2]\n"
                                   "[[[0, 4],\n"
                                   "  [2, 6]],\n"
                                   "\n"
                                   " [[1, 5],\n"
                                   "  [3, 7]]]\n");
    grd_tensor *named = grd_tensor_set_name(grd_ones(GRD_SHAPE(1)), "weight");
    expect(named, "weight f32 [1]\n"
                  "[1.]\n");
    expect(grd_to_device(named, fake_device()), "f32 [1] on fake\n"
                                                "[1.]\n");
    expect(grd_arange(100, 120, 1), "i64 [20]\n"
                                    "[100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, "
                                    "112, 113, 114, 115,\n"
                                    " 116, 117, 118, 119]\n");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(format, large_tensors_are_cut)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_reshape(grd_arange(0, 4200, 1), GRD_SHAPE(7, 2, 300));
    expect(x, "i64 [7, 2, 300]\n"
              "[[[   0,    1,    2, ...,  297,  298,  299],\n"
              "  [ 300,  301,  302, ...,  597,  598,  599]],\n"
              "\n"
              " [[ 600,  601,  602, ...,  897,  898,  899],\n"
              "  [ 900,  901,  902, ..., 1197, 1198, 1199]],\n"
              "\n"
              " [[1200, 1201, 1202, ..., 1497, 1498, 1499],\n"
              "  [1500, 1501, 1502, ..., 1797, 1798, 1799]],\n"
              "\n"
              " ...,\n"
              "\n"
              " [[2400, 2401, 2402, ..., 2697, 2698, 2699],\n"
              "  [2700, 2701, 2702, ..., 2997, 2998, 2999]],\n"
              "\n"
              " [[3000, 3001, 3002, ..., 3297, 3298, 3299],\n"
              "  [3300, 3301, 3302, ..., 3597, 3598, 3599]],\n"
              "\n"
              " [[3600, 3601, 3602, ..., 3897, 3898, 3899],\n"
              "  [3900, 3901, 3902, ..., 4197, 4198, 4199]]]\n");
    expect(grd_transpose(grd_slice(x, 2, 0, GRD_END, 200), 0, 2),
           "i64 [2, 2, 7]\n"
           "[[[   0,  600, 1200, 1800, 2400, 3000, 3600],\n"
           "  [ 300,  900, 1500, 2100, 2700, 3300, 3900]],\n"
           "\n"
           " [[ 200,  800, 1400, 2000, 2600, 3200, 3800],\n"
           "  [ 500, 1100, 1700, 2300, 2900, 3500, 4100]]]\n");
    const size_t of_many = grd_format(grd_zeros(GRD_SHAPE(7, 7, 7, 7, 7, 7, 7, 7)), NULL, 0);
    cr_assert(of_many > 256 && of_many < 20000, "%zu", of_many);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* What a stream was given. */
static void read_back(FILE *stream, char *out, size_t size)
{
    rewind(stream);
    out[fread(out, 1, size - 1, stream)] = '\0';
}

Test(format, printing)
{
    grd_scope *scope = grd_scope_begin();
    char found[100];
    FILE *stream = tmpfile(), *full = fopen("/dev/full", "w");
    cr_assert_eq(grd_print(stream, grd_arange(0, 3, 1)), GRD_OK);
    read_back(stream, found, sizeof found);
    cr_assert_str_eq(found, "i64 [3]\n[0, 1, 2]\n");
    if (full) {
        setvbuf(full, NULL, _IONBF, 0);
        cr_assert_eq(grd_print(full, grd_scalar(1)), GRD_ERROR_IO);
        cr_assert_eq(grd_error_take(), GRD_ERROR_IO);
        fclose(full);
    }
    cr_assert_eq(grd_print(NULL, grd_scalar(1)), GRD_ERROR_ARGUMENT);
    cr_assert_eq(grd_format(grd_scalar(1), found, sizeof found), 0, "latched");
    cr_assert_str_empty(found);
    cr_assert_eq(grd_error_take(), GRD_ERROR_ARGUMENT);
    cr_assert_eq(grd_print(stream, NULL), GRD_ERROR_ARGUMENT);
    cr_assert_str_eq(grd_last_error().message,
                     "an argument is NULL (as a gradient is until grd_backward has been called)");
    fclose(stream);
    grd_scope_end(scope);
}
