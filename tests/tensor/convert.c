/* f16 and bf16 against what their bits mean, and casts between all dtypes. */
#include "tensor/cpu/convert.h"
#include "tensor/cpu/loops.h"
#include "tensor/tensor.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <string.h>

/* A half by its definition: sign, `fraction` bits, the rest exponent. */
typedef struct format {
    grd_dtype dtype;
    int fraction, bias;
} format;

static const format formats[] = { { GRD_F16, 10, 15 }, { GRD_BF16, 7, 127 } };

static double meaning(const format *f, unsigned bits)
{
    const int exponent = (int)((bits & 0x7fff) >> f->fraction);
    const double fraction = (double)(bits & ((1u << f->fraction) - 1)) / (1 << f->fraction);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 2 * f->bias + 1)
        return fraction > 0 ? NAN : sign * INFINITY;
    return sign *
           (exponent ? ldexp(1 + fraction, exponent - f->bias) : ldexp(fraction, 1 - f->bias));
}

static unsigned quiet(const format *f, unsigned bits)
{
    return isnan(meaning(f, bits)) ? bits | 1u << (f->fraction - 1) : bits;
}

static void convert(grd_dtype to, void *y, grd_dtype from, const void *x)
{
    grdi_converters[to][from](1, y, 1, x, 1);
}

Test(convert, every_half_means_what_its_bits_say_and_comes_back)
{
    for (int i = 0; i < 2; i++)
        for (unsigned bits = 0; bits < 65536; bits++) {
            const format *f = &formats[i];
            const uint16_t half = (uint16_t)bits;
            const double wanted = meaning(f, bits);
            uint16_t back;
            float f32;
            double f64;
            convert(GRD_F32, &f32, f->dtype, &half);
            convert(GRD_F64, &f64, f->dtype, &half);
            cr_assert(isnan(wanted) ? isnan(f32) && isnan(f64) : f32 == wanted && f64 == wanted);
            cr_assert_eq(!signbit(f64), !(bits & 0x8000));
            convert(f->dtype, &back, GRD_F32, &f32);
            cr_assert_eq(quiet(f, back), quiet(f, bits), "%x by f32: %x", bits, back);
            convert(f->dtype, &back, GRD_F64, &f64);
            cr_assert_eq(quiet(f, back), quiet(f, bits), "%x by f64: %x", bits, back);
            convert(f->dtype, &back, f->dtype, &half);
            cr_assert_eq(back, bits);
        }
}

static void expect_half(const format *f, double x, unsigned wanted)
{
    const float f32 = (float)x;
    uint16_t half;
    convert(f->dtype, &half, GRD_F64, &x);
    cr_assert_eq(half, wanted, "%.17g from f64: %x, not %x", x, half, wanted);
    if ((double)f32 != x)
        return;
    convert(f->dtype, &half, GRD_F32, &f32);
    cr_assert_eq(half, wanted, "%.9g from f32: %x, not %x", x, half, wanted);
}

/* Between each half and the next: the middle goes to the even one, what is beside it to the nearer.
 * After the largest comes what would be the next, and is infinity. */
Test(convert, halves_are_rounded_once_to_nearest_ties_to_even)
{
    for (int i = 0; i < 2; i++) {
        const format *f = &formats[i];
        const unsigned infinity = (2u * (unsigned)f->bias + 1) << f->fraction;
        for (unsigned bits = 0; bits < infinity; bits++)
            for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
                const double low = meaning(f, bits | sign), largest = ldexp(1, f->bias + 1);
                const double high =
                    bits + 1 < infinity ? meaning(f, (bits + 1) | sign) : copysign(largest, low);
                const double middle = low / 2 + high / 2;
                expect_half(f, middle, (bits + bits % 2) | sign);
                expect_half(f, nextafter(middle, low), bits | sign);
                expect_half(f, nextafter(middle, high), (bits + 1) | sign);
                expect_half(f, (double)nextafterf((float)middle, (float)low), bits | sign);
                expect_half(f, (double)nextafterf((float)middle, (float)high), (bits + 1) | sign);
            }
    }
}

Test(convert, large_integers_are_rounded_once)
{
    /* Just above the middle of two bf16: through f64 or f32 it would fall on the middle. */
    const int64_t above = (INT64_C(1) << 62) + (INT64_C(1) << 54) + 1, below = -above;
    uint16_t half;
    convert(GRD_BF16, &half, GRD_I64, &above);
    cr_assert_eq(half, (127 + 62) << 7 | 1);
    convert(GRD_BF16, &half, GRD_I64, &below);
    cr_assert_eq(half, 0x8000 | (127 + 62) << 7 | 1);
    const int64_t tie = (INT64_C(1) << 62) + (INT64_C(1) << 54), large = 65520, fits = 65519;
    convert(GRD_BF16, &half, GRD_I64, &tie);
    cr_assert_eq(half, (127 + 62) << 7);
    convert(GRD_F16, &half, GRD_I64, &large);
    cr_assert_eq(half, 0x7c00);
    convert(GRD_F16, &half, GRD_I64, &fits);
    cr_assert_eq(half, 0x7bff);
    const int64_t odd = (INT64_C(1) << 53) + 1,
                  single = (INT64_C(1) << 55) + (INT64_C(1) << 31) + 1;
    double f64;
    float f32;
    convert(GRD_F64, &f64, GRD_I64, &odd);
    cr_assert_eq(f64, 0x1p53);
    convert(GRD_F32, &f32, GRD_I64, &single);
    cr_assert_eq(f32, 0x1p55f + 0x1p32f);
}

Test(convert, integers_drop_fractions)
{
    static const struct {
        double from;
        int64_t to;
    } rows[] = { { 2.9, 2 },
                 { -2.9, -2 },
                 { -0.0, 0 },
                 { 1e300, INT64_MIN },
                 { -1e300, INT64_MIN },
                 { NAN, INT64_MIN },
                 { -0x1p63, INT64_MIN },
                 { 0x1p62, INT64_C(1) << 62 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const float f32 = (float)rows[i].from;
        int64_t whole;
        convert(GRD_I64, &whole, GRD_F64, &rows[i].from);
        cr_assert_eq(whole, rows[i].to);
        convert(GRD_I64, &whole, GRD_F32, &f32);
        cr_assert_eq(whole, rows[i].to);
    }
}

/* Small whole numbers survive every way from dtype to dtype, on strides and repeated too. */
Test(convert, every_pair_of_dtypes)
{
    enum { N = 5 };
    const int64_t start[2 * N] = { 0, 9, 1, 9, 2, 9, -3, 9, 100, 9 };
    for (grd_dtype from = GRD_F32; from < GRD_DTYPE_COUNT; from++)
        for (grd_dtype to = GRD_F32; to < GRD_DTYPE_COUNT; to++) {
            double x[2 * N], y[2 * N];
            int64_t end[N];
            const bool truth = from == GRD_BOOL || to == GRD_BOOL;
            grdi_converters[from][GRD_I64](N, x, 2, start, 2);
            grdi_converters[to][from](N, y, 1, x, 2);
            grdi_converters[GRD_I64][to](N, end, 1, y, 1);
            for (int i = 0; i < N; i++)
                cr_assert_eq(end[i], truth ? start[2 * i] != 0 : start[2 * i], "%d to %d", from,
                             to);
            grdi_converters[GRD_I64][to](N, end, 1, y, 0);
            for (int i = 0; i < N; i++)
                cr_assert_eq(end[i], 0);
        }
}

Test(convert, truth_is_not_zero)
{
    grd_scope *scope = grd_scope_begin();
    const float values[] = { 0, -0.0f, 1, 0.25f, NAN, -INFINITY, 1e-45f };
    bool expected[] = { false, false, true, true, true, true, true }, found[7];
    const grd_tensor *x = grd_from_f32(values, 7, GRD_SHAPE(7));
    const grd_tensor *truth = grd_cast(x, GRD_BOOL);
    cr_assert_eq(grd_tensor_dtype(truth), GRD_BOOL);
    for (int i = 0; i < 7; i++) {
        convert(GRD_BOOL, &found[i], GRD_F32, &values[i]);
        cr_assert_eq(found[i], expected[i]);
    }
    cr_assert_eq(grd_item(grd_sum(grd_cast(truth, GRD_F32))), 5);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(convert, makers_keep_dtypes)
{
    grd_scope *scope = grd_scope_begin();
    const int64_t whole[] = { INT64_MAX, INT64_MIN, (INT64_C(1) << 53) + 1 };
    const bool truth[] = { true, false };
    const grd_tensor *i64 = grd_from_i64(whole, 3, GRD_SHAPE(3));
    const grd_tensor *same =
        grd_reshape(grd_transpose(grd_reshape(i64, GRD_SHAPE(3, 1)), 0, 1), GRD_SHAPE(3));
    cr_assert_eq(memcmp(same->array.data, whole, sizeof whole), 0);
    cr_assert_eq(grd_tensor_dtype(grd_from_bool(truth, 2, GRD_SHAPE(2))), GRD_BOOL);
    const grd_tensor *sevens = grd_full_like(i64, 7);
    cr_assert_eq(grd_tensor_dtype(sevens), GRD_I64);
    cr_assert_eq(grd_item(grd_sum(grd_cast(sevens, GRD_F32))), 21);
    cr_assert_eq(grd_item(grd_sum(grd_ones_like(grd_cast(i64, GRD_F16)))), 3);
    cr_assert_eq(grd_item(grd_sum(grd_zeros_like(grd_cast(i64, GRD_F64)))), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* The loops of every set, at every length, against the converters; NaN up to being quiet. */
static void expect_loops(const grdi_loops *loops, int64_t n, const uint16_t *half, const float *x)
{
    enum { MOST = 64 };
    float wanted[MOST], f32[MOST];
    uint16_t of_half[MOST], wanted_half[MOST];
    for (int i = 0; i < 2; i++) {
        grdi_converters[GRD_F32][formats[i].dtype](n, wanted, 1, half, 1);
        grdi_converters[formats[i].dtype][GRD_F32](n, wanted_half, 1, x, 1);
        (i ? loops->f32_of_bf16 : loops->f32_of_f16)(n, f32, half);
        (i ? loops->bf16_of_f32 : loops->f16_of_f32)(n, of_half, x);
        for (int64_t k = 0; k < n; k++) {
            cr_assert(isnan(wanted[k]) ? isnan(f32[k]) && !signbit(f32[k]) == !signbit(wanted[k])
                                       : memcmp(&f32[k], &wanted[k], sizeof(float)) == 0);
            cr_assert_eq(quiet(&formats[i], of_half[k]), quiet(&formats[i], wanted_half[k]),
                         "%s: %a", loops->set, (double)x[k]);
        }
    }
}

Test(convert, the_loops_of_every_set_give_the_same_bits)
{
    static const char *const sets[] = { "baseline", "avx2", "avx512" };
    enum { LENGTH = 37 };
    for (int s = 0; s < 3; s++)
        for (uint32_t bits = 0; bits < 65536; bits += LENGTH) {
            uint16_t half[LENGTH];
            float x[LENGTH];
            for (uint32_t k = 0; k < LENGTH; k++) {
                const uint32_t wide = ((bits + k) << 16) ^ (bits * 40503u & 0xffff);
                half[k] = (uint16_t)(bits + k);
                memcpy(&x[k], &wide, sizeof wide);
            }
            expect_loops(grdi_choose_loops(sets[s]), bits % (LENGTH + 1), half, x);
            expect_loops(grdi_choose_loops(sets[s]), LENGTH, half, x);
        }
}

/* In squares, at sizes beside whole ones, and in one that is written past the caches. */
Test(convert, a_transposed_copy_is_the_same_elements)
{
    static const int64_t sizes[][2] = {
        { 16, 16 }, { 63, 65 }, { 64, 128 }, { 131, 77 }, { 1999, 1111 }
    };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        grd_scope *scope = grd_scope_begin();
        const int64_t m = sizes[s][0], n = sizes[s][1];
        const grd_tensor *x =
            grd_cast(grd_reshape(grd_arange(0, m * n, 1), GRD_SHAPE(m, n)), GRD_F32);
        const float *y = grd_data_f32(grd_contiguous(grd_transpose(x, 0, 1)));
        cr_assert(y);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < m; j++)
                cr_assert(y[i * m + j] == (float)(j * n + i));
        const grd_tensor *both = grd_cat(GRD_LIST((grd_tensor *)x, (grd_tensor *)x), 1);
        const float *z = grd_data_f32(both);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < 2 * n; j++)
                cr_assert(z[i * 2 * n + j] == (float)(i * n + j % n));
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}
