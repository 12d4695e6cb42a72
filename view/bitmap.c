#include "nn/utf8.h"
#include "view/drawing.h"

#include <math.h>
#include <string.h>

/* Mixtures of a text's colour with the ground follow the palette: LEVELS of quiet, then of ink. */
enum { LEVELS = GRDI_LEVELS, UNITS = 14 };

void grdi_bitmap_fill(grdi_bitmap *b, double x, double y, double width, double height, int colour)
{
    const int64_t left = lrint(x * b->scale), top = lrint(y * b->scale);
    const int64_t across = lrint(width * b->scale), down = lrint(height * b->scale);
    for (int64_t i = top; i < top + down; i++)
        memset(b->pixels + i * b->width * b->scale + left, colour, (size_t)across);
}

/* ---- Letters ---- */

typedef struct point {
    double x, y;
} point;

/* What draws a letter: where its corner lies, the directions of its axes, and the pen. */
typedef struct pen {
    grdi_bitmap *bitmap;
    point origin;
    double unit;
    bool turned;
    double radius;
    int colour; /* the faintest mixture */
} pen;

static point placed(const pen *p, double x, double y)
{
    const double across = x * p->unit, down = (y - UNITS) * p->unit; /* from the base line */
    return p->turned ? (point){ p->origin.x + down, p->origin.y - across }
                     : (point){ p->origin.x + across, p->origin.y + down };
}

static double distance_to(point at, point a, point b)
{
    const double dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy;
    const double t = square > 0 ? ((at.x - a.x) * dx + (at.y - a.y) * dy) / square : 0;
    const double s = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypot(at.x - a.x - s * dx, at.y - a.y - s * dy);
}

/* A pixel is as dark as the darkest stroke over it. */
static void touch(const pen *p, int64_t x, int64_t y, double cover)
{
    const grdi_bitmap *b = p->bitmap;
    if (x < 0 || y < 0 || x >= b->width * b->scale || y >= b->height * b->scale || cover <= 0)
        return;
    unsigned char *pixel = &b->pixels[y * b->width * b->scale + x];
    const int level = p->colour + (int)lrint((LEVELS - 1) * (cover < 1 ? cover : 1));
    if (*pixel < p->colour || *pixel < level)
        *pixel = (unsigned char)level;
}

static void draw_line(const pen *p, point a, point b)
{
    const double reach = p->radius + 1;
    for (int64_t y = (int64_t)floor(fmin(a.y, b.y) - reach); (double)y <= fmax(a.y, b.y) + reach;
         y++)
        for (int64_t x = (int64_t)floor(fmin(a.x, b.x) - reach);
             (double)x <= fmax(a.x, b.x) + reach; x++)
            touch(p, x, y,
                  p->radius + 0.5 - distance_to((point){ (double)x + 0.5, (double)y + 0.5 }, a, b));
}

static point middle(point a, point b)
{
    return (point){ (a.x + b.x) / 2, (a.y + b.y) / 2 };
}

/* The parabola from a to b whose ends point to c. */
static void draw_curve(const pen *p, point a, point c, point b)
{
    enum { PIECES = 6 };
    point last = a;
    for (int i = 1; i <= PIECES; i++) {
        const double t = (double)i / PIECES, s = 1 - t;
        const point next = { s * s * a.x + 2 * s * t * c.x + t * t * b.x,
                             s * s * a.y + 2 * s * t * c.y + t * t * b.y };
        draw_line(p, last, next);
        last = next;
    }
}

static void draw_path(const pen *p, char kind, const point *at, int count)
{
    pen dot = *p;
    dot.radius *= 1.4; /* a point is as dark as a line when it is wider */
    if (kind == '.')
        for (int i = 0; i < count; i++)
            draw_line(&dot, at[i], at[i]);
    else if (kind == '-')
        for (int i = 0; i + 1 < count; i++)
            draw_line(p, at[i], at[i + 1]);
    else if (kind == '~')
        for (int i = 1; i + 1 < count; i++)
            draw_curve(p, i == 1 ? at[0] : middle(at[i - 1], at[i]), at[i],
                       i + 2 == count ? at[i + 1] : middle(at[i], at[i + 1]));
    else
        for (int i = 0; i < count; i++)
            draw_curve(p, middle(at[(i + count - 1) % count], at[i]), at[i],
                       middle(at[i], at[(i + 1) % count]));
}

static void draw_letter(const pen *p, const char *paths)
{
    enum { MOST = 16 };
    for (; *paths; paths += *paths == ' ') {
        point at[MOST];
        int count = 0;
        const char kind = *paths++;
        for (; *paths && *paths != ' ' && count < MOST; paths += 2)
            at[count++] = placed(p, paths[0] - 'a', paths[1] - 'a');
        draw_path(p, kind, at, count);
    }
}

static const char box[] = "-aajajoaoaa"; /* for what has no letter */

static double unit_of(int size)
{
    return 0.72 * size / UNITS; /* so high are capitals */
}

double grdi_lettering_width(const char *text, int size)
{
    const size_t bytes = strlen(text);
    double units = 0;
    int advance;
    for (size_t at = 0, taken; at < bytes; at += taken) {
        grdi_strokes(grdi_utf8_next(text + at, bytes - at, &taken), &advance);
        units += advance;
    }
    return units * unit_of(size);
}

void grdi_bitmap_letter(grdi_bitmap *b, const grdi_lettering *t)
{
    static const double before[] = { [GRDI_START] = 0, [GRDI_MIDDLE] = 0.5, [GRDI_END] = 1 };
    const double shift = before[t->anchor] * grdi_lettering_width(t->text, t->size);
    pen p = { .bitmap = b,
              .unit = unit_of(t->size) * b->scale,
              .turned = t->turned,
              .colour = GRDI_COLOURS + (t->colour == GRDI_INK ? LEVELS : 0),
              .radius = t->size * b->scale * (t->bold ? 0.062 : 0.042) };
    p.origin.x = (t->x - (t->turned ? 0 : shift)) * b->scale;
    p.origin.y = (t->y + (t->turned ? shift : 0)) * b->scale;
    const size_t bytes = strlen(t->text);
    for (size_t at = 0, taken; at < bytes; at += taken) {
        int advance;
        const char *paths =
            grdi_strokes(grdi_utf8_next(t->text + at, bytes - at, &taken), &advance);
        draw_letter(&p, paths ? paths : box);
        *(t->turned ? &p.origin.y : &p.origin.x) += (t->turned ? -1 : 1) * advance * p.unit;
    }
}
