/* The scales, by formulas that the library does not use: of CIE L*, and of colour blindness. */
#include "view/drawing.h"

#include <criterion/criterion.h>
#include <math.h>

static double linear(unsigned char x)
{
    const double c = x / 255.0;
    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

static double luminance(const double rgb[3])
{
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
}

/* CIE L*, 0 to 100. */
static double lightness(const double rgb[3])
{
    const double y = luminance(rgb);
    return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y;
}

static void oklab(const double rgb[3], double lab[3])
{
    const double l = cbrt(0.4122214708 * rgb[0] + 0.5363325363 * rgb[1] + 0.0514459929 * rgb[2]);
    const double m = cbrt(0.2119034982 * rgb[0] + 0.6806995451 * rgb[1] + 0.1073969566 * rgb[2]);
    const double s = cbrt(0.0883024619 * rgb[0] + 0.2817188376 * rgb[1] + 0.6299787005 * rgb[2]);
    lab[0] = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    lab[1] = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    lab[2] = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
}

static double distance(const double a[3], const double b[3])
{
    double x[3], y[3];
    oklab(a, x);
    oklab(b, y);
    return hypot(hypot(x[0] - y[0], x[1] - y[1]), x[2] - y[2]);
}

/* How people without one of the three kinds of cones see (Machado 2009), and people with all. */
static const double eyes[4][3][3] = {
    { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } },
    { { 0.152286, 1.052583, -0.204868 },
      { 0.114503, 0.786281, 0.099216 },
      { -0.003882, -0.048116, 1.051998 } },
    { { 0.367322, 0.860646, -0.227968 },
      { 0.280085, 0.672501, 0.047413 },
      { -0.011820, 0.042940, 0.968881 } },
    { { 1.255528, -0.076749, -0.178779 },
      { -0.078411, 0.930809, 0.147602 },
      { 0.004733, 0.691367, 0.303900 } },
};

static void see(int eye, const grdi_rgb colour, double seen[3])
{
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int j = 0; j < 3; j++)
            sum += eyes[eye][i][j] * linear(colour[j]);
        seen[i] = sum < 0 ? 0 : sum;
    }
}

static double contrast(const grdi_rgb a, const grdi_rgb b)
{
    double x[3], y[3];
    see(0, a, x);
    see(0, b, y);
    const double low = fmin(luminance(x), luminance(y)), high = fmax(luminance(x), luminance(y));
    return (high + 0.05) / (low + 0.05);
}

/* From shade `from` to `to` it gets ever darker, or ever lighter, for every eye. */
static void expect_one_way(const grdi_rgb *palette, int from, int to, bool darker)
{
    for (int eye = 0; eye < 4; eye++)
        for (int i = from; i < to; i++) {
            double a[3], b[3];
            see(eye, palette[i], a);
            see(eye, palette[i + 1], b);
            const double step = lightness(b) - lightness(a);
            cr_assert_gt(darker ? -step : step, -0.25, "eye %d, shade %d: %g", eye, i, step);
            if (i + 8 > to)
                continue;
            see(eye, palette[i + 8], b);
            cr_assert_gt(fabs(lightness(b) - lightness(a)), 0.8, "eye %d, shade %d", eye, i);
        }
}

static void expect_even(const grdi_rgb *palette, int from, int to)
{
    enum { SPAN = 8 }; /* over which bytes' rounding matters little */
    double least = INFINITY, most = 0;
    for (int i = from; i + SPAN <= to; i++) {
        double sum = 0;
        for (int j = i; j < i + SPAN; j++) {
            double a[3], b[3];
            see(0, palette[j], a);
            see(0, palette[j + 1], b);
            sum += distance(a, b);
        }
        least = fmin(least, sum);
        most = fmax(most, sum);
    }
    cr_assert_lt(most / least, 1.2, "%g to %g", least, most);
}

Test(colours, one_sided_scales_are_even_and_go_one_way)
{
    for (int dark = 0; dark < 2; dark++) {
        grdi_rgb palette[GRDI_COLOURS];
        grdi_palette(palette, false, dark);
        expect_even(palette, 0, GRDI_SHADES - 1);
        expect_one_way(palette, 0, GRDI_SHADES - 1, !dark);
        cr_assert_lt(contrast(palette[0], palette[GRDI_GROUND]), 1.3);
        cr_assert_gt(contrast(palette[GRDI_SHADES - 1], palette[GRDI_GROUND]), 10);
    }
}

Test(colours, two_sided_scales_are_even_and_mirrored)
{
    enum { MIDDLE = GRDI_SHADES / 2, LAST = GRDI_SHADES - 1 };
    for (int dark = 0; dark < 2; dark++) {
        grdi_rgb palette[GRDI_COLOURS];
        grdi_palette(palette, true, dark);
        expect_even(palette, 0, MIDDLE);
        expect_even(palette, MIDDLE, LAST);
        expect_one_way(palette, 0, MIDDLE, dark);
        expect_one_way(palette, MIDDLE, LAST, !dark);
        cr_assert_lt(contrast(palette[MIDDLE], palette[GRDI_GROUND]), 1.3);
        for (int eye = 0; eye < 4; eye++)
            for (int i = 0; i < MIDDLE; i++) { /* as strong, and never the same */
                double a[3], b[3];
                see(eye, palette[i], a);
                see(eye, palette[LAST - i], b);
                const double strength = (double)(MIDDLE - i) / MIDDLE;
                cr_assert_gt(distance(a, b), 0.1 * strength, "eye %d, shade %d", eye, i);
                cr_assert(eye || fabs(lightness(a) - lightness(b)) < 9, "shade %d", i);
            }
    }
}

Test(colours, what_is_no_shade_is_told_from_all_of_them)
{
    for (int kind = 0; kind < 4; kind++) {
        grdi_rgb palette[GRDI_COLOURS];
        grdi_palette(palette, kind & 1, kind & 2);
        for (int i = 0; i < GRDI_SHADES; i++) {
            double shade[3], nan[3], masked[3];
            see(0, palette[i], shade);
            see(0, palette[GRDI_NAN], nan);
            see(0, palette[GRDI_MASKED], masked);
            cr_assert_gt(distance(shade, nan), 0.04, "kind %d, shade %d", kind, i);
            cr_assert_gt(distance(shade, masked), 0.015, "kind %d, shade %d", kind, i);
        }
        cr_assert_gt(contrast(palette[GRDI_NAN], palette[GRDI_NAN_MARK]), 4.5);
        cr_assert_gt(contrast(palette[GRDI_MASKED], palette[GRDI_MASKED_MARK]), 1.5);
    }
}

Test(colours, texts_can_be_read)
{
    for (int kind = 0; kind < 4; kind++) {
        grdi_rgb palette[GRDI_COLOURS];
        grdi_palette(palette, kind & 1, kind & 2);
        cr_assert_gt(contrast(palette[GRDI_INK], palette[GRDI_GROUND]), 12);
        cr_assert_gt(contrast(palette[GRDI_QUIET], palette[GRDI_GROUND]), 5.5);
    }
}
