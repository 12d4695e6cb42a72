/* Pictures in a few colours by what they are for, drawn the same way as SVG and as pixels. Lengths
 * are pixels of a page. */
#ifndef GRDI_VIEW_DRAWING_H
#define GRDI_VIEW_DRAWING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- Colours ---- */

enum { GRDI_SHADES = 193 }; /* odd: of two-sided ones the middle is 0 */

/* A number below GRDI_SHADES is a shade of the scale, from its low end to the high one. */
enum grdi_colour {
    GRDI_GROUND = GRDI_SHADES,
    GRDI_LINE,
    GRDI_MASKED,
    GRDI_MASKED_MARK,
    GRDI_NAN,
    GRDI_NAN_MARK,
    GRDI_QUIET, /* text beside other text */
    GRDI_INK,   /* text */
    GRDI_COLOURS
};

typedef unsigned char grdi_rgb[3];

/* Neighbouring shades differ by the same amount to the eye (in Oklab), and lightness alone tells
 * them apart on each side of 0, so that colour-blind people and prints in grey can. The low end of
 * one-sided scales, and the middle of two-sided ones, is next to the ground. */
void grdi_palette(grdi_rgb palette[GRDI_COLOURS], bool two_sided, bool dark);

/* ---- Texts ---- */

enum { GRDI_LABEL = 256 }; /* bytes that any label fits in */

/* A label as it can be shown, in at most so many columns of a terminal; what is longer ends in "…".
 * Hidden characters are shown as \u{202e}, spaces at its ends as "␣", what is no UTF-8 as U+FFFD.
 */
void grdi_label(char out[GRDI_LABEL], const char *text, int64_t columns);

/* The columns of a terminal that plain UTF-8 takes. */
int64_t grdi_columns(const char *text);

/* From one number beside cells of this size to the next, so that each has `room` pixels: 1, 2, 5,
 * 10 and so on. */
int64_t grdi_tick_step(int64_t cell, int64_t room);

typedef struct grdi_lettering {
    const char *text; /* plain UTF-8 */
    double x, y;      /* of its base line's start, middle or end */
    enum grdi_anchor { GRDI_START, GRDI_MIDDLE, GRDI_END } anchor;
    int size;
    bool turned; /* reads upwards */
    bool bold;
    enum grdi_colour colour;
} grdi_lettering;

/* How wide it is about, in any font of this size. */
double grdi_lettering_width(const char *text, int size);

/* The strokes of a character, for pixels: a string of paths, each a letter for its kind and then
 * points, two letters each, 'a' for 0: across, from the left, and down, from the height of
 * capitals; the base line is 14. `-` is a line through the points, `~` a curve that starts at the
 * first and ends at the last, `o` a closed curve, `.` a dot. NULL: there are none for it. */
const char *grdi_strokes(int32_t code, int *advance);

/* ---- Pixels ---- */

/* Mixtures of a text's colour with the ground: levels of quiet, then of ink, follow the palette. */
enum { GRDI_LEVELS = 16 };

/* Each pixel is a number of the palette, or such a mixture. */
typedef struct grdi_bitmap {
    int64_t width, height; /* pixels of the page */
    int scale;             /* pixels of the bitmap for one of the page */
    unsigned char *pixels; /* height * scale rows */
} grdi_bitmap;

void grdi_bitmap_fill(grdi_bitmap *b, double x, double y, double width, double height, int colour);
void grdi_bitmap_letter(grdi_bitmap *b, const grdi_lettering *text);

/* A PNG; `title` and `description` are kept with it, UTF-8 or NULL. Memory that grows lies with the
 * caller's scope. NULL: an error is latched. */
struct grdi_bytes *grdi_bitmap_png(const char *op, const grdi_bitmap *b,
                                   const grdi_rgb palette[GRDI_COLOURS], const char *title,
                                   const char *description);

#endif
