/* What elementwise ops make of dtypes, zeros, values that are no numbers, and large arrays. */
#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef grd_tensor *unary(const grd_tensor *x);
typedef grd_tensor *binary(const grd_tensor *a, const grd_tensor *b);

static grd_tensor *add_half(const grd_tensor *x)
{
    return grd_add_scalar(x, 0.5);
}

static grd_tensor *third(const grd_tensor *x)
{
    return grd_div_scalar(x, 3);
}

static grd_tensor *cube(const grd_tensor *x)
{
    return grd_pow_scalar(x, 3);
}

static grd_tensor *within_one(const grd_tensor *x)
{
    return grd_clamp(x, -1, 1);
}

static grd_tensor *hide_negative(const grd_tensor *x)
{
    return grd_masked_fill(x, grd_lt_scalar(x, 0), 0.1);
}

static grd_tensor *larger(const grd_tensor *a, const grd_tensor *b)
{
    return grd_where(grd_gt(a, b), a, b);
}

/* clang-format off */
static unary *const unaries[] = {
    (grd_neg), (grd_abs), (grd_square), (grd_exp), (grd_log), (grd_sqrt), (grd_rsqrt), (grd_sin),
    (grd_cos), (grd_erf), (grd_tanh), (grd_sigmoid), (grd_relu), (grd_gelu), (grd_gelu_tanh),
    (grd_silu), add_half, third, cube, within_one, hide_negative,
};
static binary *const binaries[] = {
    (grd_add), (grd_sub), (grd_mul), (grd_div), (grd_pow), (grd_maximum), (grd_minimum), larger,
};
/* clang-format on */

enum { UNARIES = sizeof unaries / sizeof *unaries, BINARIES = sizeof binaries / sizeof *binaries };

static grd_tensor *noise(int64_t rows, int64_t columns, unsigned seed)
{
    const int64_t count = rows * columns;
    float *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / (1 << 22) - 2;
    }
    grd_tensor *x = grd_from_f32(values, count, GRD_SHAPE(rows, columns));
    free(values);
    return x;
}

/* A half is computed in f32 and rounded once: the same as a cast, the op in f32 and a cast back. */
Test(elementwise, halves_are_computed_in_f32_and_rounded_once)
{
    static const grd_dtype halves[] = { GRD_F16, GRD_BF16 };
    for (int h = 0; h < 2; h++) {
        grd_scope *scope = grd_scope_begin();
        const grd_tensor *a = grd_cast(noise(5, 700, 1), halves[h]);
        const grd_tensor *b = grd_cast(noise(5, 700, 2), halves[h]);
        const grd_tensor *a32 = grd_cast(a, GRD_F32), *b32 = grd_cast(b, GRD_F32);
        for (int i = 0; i < UNARIES; i++)
            cr_assert(grd_equal(unaries[i](a), grd_cast(unaries[i](a32), halves[h])), "%d", i);
        for (int i = 0; i < BINARIES; i++)
            cr_assert(grd_equal(binaries[i](a, b), grd_cast(binaries[i](a32, b32), halves[h])),
                      "%d", i);
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}

/* Every way that arrays can lie gives the bits of contiguous ones: transposed, sliced with a step,
 * a row or a column repeated, more rows than columns and the other way round. */
static void expect_same(const grd_tensor *a, const grd_tensor *b)
{
    const grd_tensor *a_copy = grd_clone(a), *b_copy = grd_clone(b);
    for (int i = 0; i < UNARIES; i++)
        cr_assert(grd_equal(unaries[i](a), unaries[i](a_copy)), "%d", i);
    for (int i = 0; i < BINARIES; i++)
        cr_assert(grd_equal(binaries[i](a, b), binaries[i](a_copy, b_copy)), "%d", i);
    cr_assert(grd_equal(grd_lt(a, b), grd_lt(a_copy, b_copy)));
}

Test(elementwise, strides_change_no_bit)
{
    static const int64_t sizes[][2] = { { 3, 1300 }, { 1300, 3 }, { 70, 90 }, { 1, 1 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t m = sizes[i][0], n = sizes[i][1];
        grd_scope *scope = grd_scope_begin();
        const grd_tensor *a = noise(m, n, 3), *turned = grd_transpose(noise(n, m, 4), 0, 1);
        const grd_shape shape = GRD_SHAPE(m, n);
        expect_same(a, turned);
        expect_same(turned, a);
        expect_same(a, grd_expand(noise(1, n, 5), shape));
        expect_same(grd_expand(noise(m, 1, 6), shape), turned);
        expect_same(grd_slice(noise(m, 2 * n, 7), 1, 1, GRD_END, 2), a);
        expect_same(grd_expand(grd_scalar(0.3), shape), a);
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}

Test(elementwise, eight_dimensions_broadcast)
{
    grd_scope *scope = grd_scope_begin();
    const int64_t count = 256;
    const grd_shape odd = { 8, { 2, 1, 2, 1, 2, 1, 2, 1 } },
                    even = { 8, { 1, 2, 1, 2, 1, 2, 1, 2 } };
    const grd_tensor *a = grd_reshape(noise(1, 16, 1), odd),
                     *b = grd_reshape(noise(1, 16, 2), even);
    const grd_tensor *y = grd_sub(a, b);
    float from_a[16], from_b[16], found[256];
    cr_assert_eq(grd_read_f32(a, from_a, 16), GRD_OK);
    cr_assert_eq(grd_read_f32(b, from_b, 16), GRD_OK);
    cr_assert_eq(grd_read_f32(y, found, count), GRD_OK);
    for (int i = 0; i < 256; i++) {
        int of_a = 0, of_b = 0;
        for (int bit = 7; bit >= 0; bit--) {
            int *index = bit % 2 ? &of_a : &of_b;
            *index = 2 * *index + (i >> bit & 1);
        }
        cr_assert_eq(found[i], from_a[of_a] - from_b[of_b]);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static bool same_bits(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b && !signbit(a) == !signbit(b);
}

static double at(unary *op, double x, grd_dtype dtype)
{
    return grd_item(grd_cast(op(grd_cast(grd_scalar(x), dtype)), GRD_F64));
}

static double at_two(binary *op, double a, double b, grd_dtype dtype)
{
    return grd_item(
        grd_cast(op(grd_cast(grd_scalar(a), dtype), grd_cast(grd_scalar(b), dtype)), GRD_F64));
}

static grd_tensor *same(const grd_tensor *x)
{
    return grd_mul_scalar(x, 1);
}

static grd_tensor *add_zero(const grd_tensor *x)
{
    return grd_add_scalar(x, 0);
}

static grd_tensor *power_zero(const grd_tensor *x)
{
    return grd_pow_scalar(x, 0);
}

static grd_tensor *root(const grd_tensor *x)
{
    return grd_pow_scalar(x, 0.5);
}

/* As C's functions and PyTorch have it. */
Test(elementwise, zeros_and_no_numbers)
{
    static const struct {
        unary *op;
        double x, y;
    } one[] = {
        { same, -0.0, -0.0 },          { same, NAN, NAN },
        { add_zero, -0.0, 0 },         { (grd_neg), 0, -0.0 },
        { (grd_neg), -0.0, 0 },        { (grd_abs), -0.0, 0 },
        { (grd_abs), NAN, NAN },       { (grd_sqrt), -1, NAN },
        { (grd_log), 0, -INFINITY },   { (grd_log), -1, NAN },
        { (grd_rsqrt), 0, INFINITY },  { (grd_relu), NAN, NAN },
        { (grd_relu), -0.0, 0 },       { within_one, NAN, NAN },
        { within_one, -INFINITY, -1 }, { power_zero, NAN, 1 },
        { power_zero, 0, 1 },          { root, 4, 2 },
        { (grd_exp), -INFINITY, 0 },   { (grd_square), -INFINITY, INFINITY },
    };
    static const struct {
        binary *op;
        double a, b, y;
    } two[] = {
        { (grd_maximum), NAN, 1, NAN },
        { (grd_maximum), 1, NAN, NAN },
        { (grd_minimum), NAN, 1, NAN },
        { (grd_minimum), 1, NAN, NAN },
        { (grd_maximum), -INFINITY, -3, -3 },
        { (grd_div), 1, 0, INFINITY },
        { (grd_div), -1, 0, -INFINITY },
        { (grd_div), 0, 0, NAN },
        { (grd_pow), 0, 0, 1 },
        { (grd_pow), -2, 3, -8 },
        { (grd_pow), -2, 0.5, NAN },
        { (grd_pow), 0, -1, INFINITY },
    };
    static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16 };
    grd_scope *scope = grd_scope_begin();
    for (int d = 0; d < 4; d++) {
        for (size_t i = 0; i < sizeof one / sizeof *one; i++)
            cr_assert(same_bits(at(one[i].op, one[i].x, dtypes[d]), one[i].y), "%d", (int)i);
        for (size_t i = 0; i < sizeof two / sizeof *two; i++)
            cr_assert(same_bits(at_two(two[i].op, two[i].a, two[i].b, dtypes[d]), two[i].y), "%d",
                      (int)i);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static int truths(const grd_tensor *a, const grd_tensor *b)
{
    const grd_tensor *const all[] = { grd_eq(a, b), grd_ne(a, b), grd_lt(a, b),
                                      grd_le(a, b), grd_gt(a, b), grd_ge(a, b) };
    int bits = 0;
    for (int i = 0; i < 6; i++)
        bits |= (grd_item(grd_cast(all[i], GRD_F64)) != 0) << i;
    return bits;
}

Test(elementwise, comparisons_with_no_number_are_false)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *nan = grd_scalar(NAN), *zero = grd_scalar(0), *minus = grd_scalar(-0.0);
    enum { NE = 2, EQ_LE_GE = 1 + 8 + 32 };
    cr_assert_eq(truths(nan, nan), NE);
    cr_assert_eq(truths(nan, zero), NE);
    cr_assert_eq(truths(zero, nan), NE);
    cr_assert_eq(truths(zero, minus), EQ_LE_GE);
    cr_assert_eq(truths(grd_cast(nan, GRD_F64), grd_cast(nan, GRD_F64)), NE);
    cr_assert_eq(truths(grd_cast(zero, GRD_BOOL), grd_cast(zero, GRD_BOOL)), EQ_LE_GE);
    /* A number is rounded to the dtype it is compared with. */
    static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16 };
    for (int d = 0; d < 4; d++) {
        const grd_tensor *tenth =
            grd_cast(grd_cast(grd_from_f64((double[]){ 0.1 }, 1, GRD_SCALAR), GRD_F64), dtypes[d]);
        cr_assert_eq(grd_item(grd_cast(grd_eq_scalar(tenth, 0.1), GRD_F64)), 1);
        cr_assert_eq(grd_item(grd_cast(grd_gt_scalar(tenth, 0.1), GRD_F64)), 0);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static void expect_i64(const grd_tensor *x, int64_t first, int64_t second, int64_t third_one)
{
    int64_t found[3];
    cr_assert_eq(grd_read_i64(x, found, 3), GRD_OK, "%s", grd_error_message());
    cr_assert(found[0] == first && found[1] == second && found[2] == third_one, "%lld %lld %lld",
              (long long)found[0], (long long)found[1], (long long)found[2]);
}

/* Beyond what an f64 can tell apart. */
Test(elementwise, integers_are_exact)
{
    grd_scope *scope = grd_scope_begin();
    const int64_t big = (INT64_C(1) << 53) + 1, values[] = { big, -3, INT64_MIN },
                  ones[] = { 1, -3, -1 };
    const grd_tensor *a = grd_from_i64(values, 3, GRD_SHAPE(3));
    const grd_tensor *b = grd_from_i64(ones, 3, GRD_SHAPE(3));
    expect_i64(grd_add(a, b), big + 1, -6, INT64_MAX);
    expect_i64(grd_sub(a, b), big - 1, 0, INT64_MIN + 1);
    expect_i64(grd_mul(a, b), big, 9, INT64_MIN);
    expect_i64(grd_maximum(a, b), big, -3, -1);
    expect_i64(grd_minimum(a, b), 1, -3, INT64_MIN);
    expect_i64(grd_neg(a), -big, 3, INT64_MIN);
    expect_i64(grd_abs(a), big, 3, INT64_MIN);
    expect_i64(grd_square(b), 1, 9, 1);
    expect_i64(grd_add_scalar(a, -1), big - 1, -4, INT64_MAX);
    expect_i64(grd_mul_scalar(a, -3), -3 * big, 9, INT64_MIN);
    expect_i64(grd_clamp(a, -2, 5), 5, -2, -2);
    expect_i64(grd_cast(grd_lt(a, grd_add_scalar(a, 1)), GRD_I64), 1, 1, 1);
    expect_i64(grd_cast(grd_eq(a, grd_add_scalar(a, 1)), GRD_I64), 0, 0, 0);
    expect_i64(grd_where(grd_gt_scalar(b, 0), a, b), big, -3, -1);
    expect_i64(grd_masked_fill(a, grd_lt_scalar(a, 0), 7), big, 7, 7);
    expect_i64(grd_cast(grd_isfinite(a), GRD_I64), 1, 1, 1);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* Not by the reciprocal, which would be off by one in the last place now and then. */
Test(elementwise, a_number_divides_exactly)
{
    grd_scope *scope = grd_scope_begin();
    enum { COUNT = 3000 };
    float values[COUNT], found[COUNT];
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)(i - 1000) * 1.37f;
    const grd_tensor *x = grd_from_f32(values, COUNT, GRD_SHAPE(COUNT));
    cr_assert_eq(grd_read_f32(grd_div_scalar(x, 49), found, COUNT), GRD_OK);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(found[i], values[i] / 49);
    cr_assert_eq(grd_read_f32(grd_sub_scalar(x, 0.1), found, COUNT), GRD_OK);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(found[i], values[i] - 0.1f);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
