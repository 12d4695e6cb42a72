#include "view/drawing.h"

#include <math.h>

/* ---- Oklab: lightness, and two axes of colour, in which distance is how different it looks ----
 */

typedef struct lab {
    double l, a, b;
} lab;

/* Lightness, chroma, and the hue in degrees. */
typedef struct knot {
    double l, c, h;
} knot;

static lab lab_of(knot k)
{
    const double hue = k.h * 3.14159265358979323846 / 180;
    return (lab){ k.l, k.c * cos(hue), k.c * sin(hue) };
}

static double distance(lab x, lab y)
{
    return sqrt((x.l - y.l) * (x.l - y.l) + (x.a - y.a) * (x.a - y.a) + (x.b - y.b) * (x.b - y.b));
}

static lab between(lab x, lab y, double t)
{
    return (lab){ x.l + t * (y.l - x.l), x.a + t * (y.a - x.a), x.b + t * (y.b - x.b) };
}

/* Of linear light to sRGB's bytes. */
static unsigned char byte_of(double light)
{
    const double x = light <= 0 ? 0 : light >= 1 ? 1 : light;
    const double y = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
    return (unsigned char)lrint(255 * y);
}

static void to_rgb(lab x, grdi_rgb rgb)
{
    const double l = pow(x.l + 0.3963377774 * x.a + 0.2158037573 * x.b, 3);
    const double m = pow(x.l - 0.1055613458 * x.a - 0.0638541728 * x.b, 3);
    const double s = pow(x.l - 0.0894841775 * x.a - 1.2914855480 * x.b, 3);
    rgb[0] = byte_of(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    rgb[1] = byte_of(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    rgb[2] = byte_of(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

/* ---- Scales: paths through colours, walked in steps of one length ---- */

enum { KNOTS = 5 };

/* To the dark on a light ground, and to the light on a dark one. */
static const knot one_sided[2][KNOTS] = {
    { { .975, .030, 105 },
      { .840, .110, 160 },
      { .660, .110, 205 },
      { .460, .130, 255 },
      { .270, .110, 282 } },
    { { .250, .035, 275 },
      { .420, .130, 268 },
      { .600, .115, 225 },
      { .780, .125, 170 },
      { .960, .100, 108 } },
};

/* Orange below 0, blue above: a pair that no kind of colour blindness takes for one another. */
static const knot two_sided[2][KNOTS] = {
    { { .460, .125, 48 },
      { .740, .110, 60 },
      { .970, .004, 90 },
      { .740, .095, 245 },
      { .460, .135, 258 } },
    { { .830, .120, 68 },
      { .540, .110, 54 },
      { .265, .012, 265 },
      { .540, .115, 255 },
      { .830, .090, 235 } },
};

/* Shades first to last of those between two knots, in even steps. */
static void walk(grdi_rgb *shades, int count, const knot *knots, int legs)
{
    double whole = 0, before = 0;
    for (int i = 0; i < legs; i++)
        whole += distance(lab_of(knots[i]), lab_of(knots[i + 1]));
    for (int i = 0, leg = 0; i < count; i++) {
        const double at = whole * i / (count - 1);
        double length = distance(lab_of(knots[leg]), lab_of(knots[leg + 1]));
        while (leg + 1 < legs && at > before + length) {
            before += length;
            leg++;
            length = distance(lab_of(knots[leg]), lab_of(knots[leg + 1]));
        }
        to_rgb(between(lab_of(knots[leg]), lab_of(knots[leg + 1]), (at - before) / length),
               shades[i]);
    }
}

/* What is no shade, on a light ground and on a dark one. */
static const grdi_rgb others[2][GRDI_COLOURS - GRDI_SHADES] = {
    { { 255, 255, 255 }, /* ground */
      { 201, 208, 218 }, /* line */
      { 218, 220, 224 }, /* masked */
      { 166, 171, 179 },
      { 247, 205, 226 }, /* NaN */
      { 176, 16, 104 },
      { 90, 100, 115 }, /* quiet */
      { 28, 35, 48 } }, /* ink */
    { { 18, 23, 31 },
      { 62, 72, 88 },
      { 48, 53, 62 },
      { 92, 99, 111 },
      { 104, 24, 68 },
      { 255, 150, 204 },
      { 155, 166, 182 },
      { 230, 234, 241 } },
};

void grdi_palette(grdi_rgb palette[GRDI_COLOURS], bool diverging, bool dark)
{
    enum { MIDDLE = GRDI_SHADES / 2 };
    if (!diverging) {
        walk(palette, GRDI_SHADES, one_sided[dark], KNOTS - 1);
    } else { /* each side for itself, so that 0 is the middle whatever the sides' lengths */
        walk(palette, MIDDLE + 1, two_sided[dark], KNOTS / 2);
        walk(palette + MIDDLE, MIDDLE + 1, two_sided[dark] + KNOTS / 2, KNOTS / 2);
    }
    for (int i = GRDI_SHADES; i < GRDI_COLOURS; i++)
        for (int j = 0; j < 3; j++)
            palette[i][j] = others[dark][i - GRDI_SHADES][j];
}
