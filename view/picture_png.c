#include "view/picture.h"

#include <string.h>

static void fill(void *to, double x, double y, double width, double height, enum grdi_colour colour)
{
    grdi_bitmap_fill(to, x, y, width, height, (int)colour);
}

static void letter(void *to, const grdi_lettering *text)
{
    grdi_bitmap_letter(to, text);
}

/* What tells a cell without a value from all shades, beside its colour: a point, or a cross. */
static void mark(grdi_bitmap *b, enum grdi_colour colour, double x, double y, double size)
{
    const double third = size / 3, point = size / 4;
    if (colour == GRDI_MASKED)
        grdi_bitmap_fill(b, x + (size - point) / 2, y + (size - point) / 2, point, point,
                         GRDI_MASKED_MARK);
    if (colour == GRDI_NAN) {
        grdi_bitmap_fill(b, x + third, y + 1, third, size - 2, GRDI_NAN_MARK);
        grdi_bitmap_fill(b, x + 1, y + third, size - 2, third, GRDI_NAN_MARK);
    }
}

static void cells(void *to, const grdi_picture *p, int64_t matrix, double x, double y)
{
    const int64_t first = matrix * p->rows * p->columns;
    const int64_t size = p->cell - (p->cell >= GRDI_APART);
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) {
            const enum grdi_colour colour = p->colours[first + i * p->columns + j];
            const double left = x + (double)(j * p->cell), top = y + (double)(i * p->cell);
            grdi_bitmap_fill(to, left, top, (double)size, (double)size, (int)colour);
            if (p->cell >= GRDI_MARKED)
                mark(to, colour, left, top, (double)size);
        }
}

/* Small ones are sharp on screens with two pixels for one of the page too. */
grdi_bytes *grdi_picture_png(const grdi_picture *p)
{
    grdi_rgb palette[GRDI_COLOURS];
    grdi_bitmap b = { .width = p->width,
                      .height = p->height,
                      .scale = p->width * p->height <= 4 << 20 ? 2 : 1 };
    b.pixels = grdi_scratch(p->op, (size_t)(b.width * b.height), (size_t)(b.scale * b.scale));
    if (!b.pixels)
        return NULL;
    grdi_palette(palette, p->options->two_sided, p->options->dark);
    grdi_picture_draw(p, &(grdi_canvas){ &b, fill, letter, cells });
    return grdi_bitmap_png(p->op, &b, palette, p->options->title ? p->title : NULL, p->description);
}
