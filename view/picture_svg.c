#include "view/page.h"
#include "view/picture.h"

#include <inttypes.h>
#include <nettle/base64.h>
#include <string.h>

enum {
    TOLD = 1024,   /* cells that each say their value */
    SHAPES = 16384 /* cells that are shapes; more are an image */
};

typedef struct svg {
    FILE *out;
    const char
        *kind; /* of the colours' classes, "one-12": a page may hold pictures of both kinds */
} svg;

static const char *kind_of(const grdi_picture *p)
{
    return p->options->two_sided ? "two" : "one";
}

static void put_colours(const grdi_picture *p, FILE *out, bool dark)
{
    grdi_rgb palette[GRDI_COLOURS];
    grdi_palette(palette, p->options->two_sided, dark);
    for (int i = 0; i < GRDI_COLOURS; i++)
        if (p->used[i] || i % GRDI_LEGEND == 0 || i >= GRDI_SHADES)
            fprintf(out, ".%s-%d{fill:#%02x%02x%02x}", kind_of(p), i, palette[i][0], palette[i][1],
                    palette[i][2]);
    fprintf(out, ".matrix-%s{display:none}", dark ? "light" : "dark");
}

static void put_style(const grdi_picture *p, FILE *out)
{
    fputs("<style>", out);
    put_colours(p, out, false);
    fputs("@media(prefers-color-scheme:dark){.matrix-dark{display:inline}", out);
    put_colours(p, out, true);
    fputs("}</style>\n", out);
}

/* ---- Cells ---- */

/* Each for itself, with what it is. */
static void put_told_cells(const svg *s, const grdi_picture *p, int64_t first, double x, double y)
{
    const grd_matrix_options *o = p->options;
    const int64_t size = p->cell - (p->cell >= GRDI_APART);
    char label[GRDI_LABEL];
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) {
            const int64_t at = first + i * p->columns + j;
            fprintf(s->out,
                    "<rect class=\"%s-%d\" x=\"%g\" y=\"%g\" width=\"%" PRId64
                    "\" height=\"%" PRId64 "\"><title>",
                    s->kind, p->colours[at], x + (double)(j * p->cell), y + (double)(i * p->cell),
                    size, size);
            grdi_picture_label(label, o->row_labels, i, GRDI_LABEL);
            grdi_page_escape(s->out, label);
            fputs(", ", s->out);
            grdi_picture_label(label, o->column_labels, j, GRDI_LABEL);
            grdi_page_escape(s->out, label);
            fprintf(s->out, ": %.6g%s</title></rect>\n", p->values[at],
                    p->colours[at] == GRDI_MASKED ? " (masked)" : "");
        }
}

/* All cells of one colour in one path; those that touch as one shape. */
static void put_path(const svg *s, const grdi_picture *p, int64_t first, int colour, double x,
                     double y)
{
    const bool apart = p->cell >= GRDI_APART;
    fprintf(s->out, "<path class=\"%s-%d\" d=\"", s->kind, colour);
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0, next; j < p->columns; j = next) {
            const int64_t at = first + i * p->columns;
            next = j + 1;
            if (p->colours[at + j] != colour)
                continue;
            while (!apart && next < p->columns && p->colours[at + next] == colour)
                next++;
            const int64_t width = (next - j) * p->cell - apart, height = p->cell - apart;
            fprintf(s->out, "M%g %gh%" PRId64 "v%" PRId64 "h-%" PRId64 "z",
                    x + (double)(j * p->cell), y + (double)(i * p->cell), width, height, width);
        }
    fputs("\"/>\n", s->out);
}

static void put_marks(const svg *s, const grdi_picture *p, int64_t first, double x, double y,
                      enum grdi_colour marked)
{
    const double size = (double)p->cell - 1, third = size / 3, arm = third - 1, point = size / 4;
    fprintf(s->out, "<path pointer-events=\"none\" class=\"%s-%d\" d=\"", s->kind, marked + 1);
    for (int64_t i = 0; i < p->rows * p->columns; i++) {
        const double left = x + (double)(i % p->columns * p->cell);
        const double top = y + (double)(i / p->columns * p->cell);
        if (p->colours[first + i] != marked)
            continue;
        if (marked == GRDI_MASKED)
            fprintf(s->out, "M%g %gh%gv%gh-%gz", left + (size - point) / 2,
                    top + (size - point) / 2, point, point, point);
        else
            fprintf(s->out, "M%g %gh%gv%gh%gv%gh-%gv%gh-%gv-%gh-%gv-%gh%gz", left + third, top + 1,
                    third, arm, arm, third, arm, arm, third, arm, arm, third, arm);
    }
    fputs("\"/>\n", s->out);
}

/* A pixel a cell, twice: for light and dark. */
static void put_image(const svg *s, const grdi_picture *p, int64_t first, double x, double y,
                      bool dark)
{
    const grdi_bitmap b = { p->columns, p->rows, 1, p->colours + first };
    grdi_rgb palette[GRDI_COLOURS];
    grdi_palette(palette, p->options->two_sided, dark);
    const grdi_bytes *png = grdi_bitmap_png(p->op, &b, palette, NULL, NULL);
    char *text = png ? grdi_scratch(p->op, BASE64_ENCODE_RAW_LENGTH(png->size), 1) : NULL;
    if (!text)
        return;
    base64_encode_raw(text, png->size, png->data);
    fprintf(s->out,
            "<image class=\"matrix-%s\" x=\"%g\" y=\"%g\" width=\"%" PRId64 "\" height=\"%" PRId64
            "\" image-rendering=\"pixelated\" href=\"data:image/png;base64,",
            dark ? "dark" : "light", x, y, p->columns * p->cell, p->rows * p->cell);
    fwrite(text, 1, BASE64_ENCODE_RAW_LENGTH(png->size), s->out);
    fputs("\"/>\n", s->out);
}

static void cells(void *to, const grdi_picture *p, int64_t matrix, double x, double y)
{
    const int64_t first = matrix * p->rows * p->columns, count = grdi_picture_cells(p);
    if (count > SHAPES) {
        put_image(to, p, first, x, y, false);
        put_image(to, p, first, x, y, true);
        return;
    }
    if (count <= TOLD)
        put_told_cells(to, p, first, x, y);
    else
        for (int i = 0; i < GRDI_COLOURS; i++)
            if (p->used[i])
                put_path(to, p, first, i, x, y);
    if (p->cell >= GRDI_MARKED && p->masked)
        put_marks(to, p, first, x, y, GRDI_MASKED);
    if (p->cell >= GRDI_MARKED && p->nans)
        put_marks(to, p, first, x, y, GRDI_NAN);
}

/* ---- The other shapes ---- */

static void fill(void *to, double x, double y, double width, double height, enum grdi_colour colour)
{
    const svg *s = to;
    fprintf(s->out, "<rect class=\"%s-%d\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n",
            s->kind, colour, x, y, width, height);
}

static void letter(void *to, const grdi_lettering *t)
{
    static const char *const anchors[] = {
        [GRDI_START] = "start", [GRDI_MIDDLE] = "middle", [GRDI_END] = "end"
    };
    const svg *s = to;
    fprintf(
        s->out,
        "<text class=\"%s-%d\" font-size=\"%d\" text-anchor=\"%s\"%s transform=\"translate(%g %g)%s\">",
        s->kind, t->colour, t->size, anchors[t->anchor], t->bold ? " font-weight=\"600\"" : "",
        t->x, t->y, t->turned ? "rotate(-90)" : "");
    grdi_page_escape(s->out, t->text);
    fputs("</text>\n", s->out);
}

static void write(const grdi_picture *p, FILE *out)
{
    svg s = { out, kind_of(p) };
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%" PRId64
            "\" height=\"%" PRId64 "\" viewBox=\"0 0 %" PRId64 " %" PRId64
            "\" font-family=\"system-ui,'DejaVu Sans',sans-serif\">\n<title>",
            p->width, p->height, p->width, p->height);
    grdi_page_escape(out, p->options->title ? p->title : "A matrix");
    fputs("</title>\n<desc>", out);
    grdi_page_escape(out, p->description);
    fputs("</desc>\n", out);
    put_style(p, out);
    grdi_picture_draw(p, &(grdi_canvas){ &s, fill, letter, cells });
    fputs("</svg>\n", out);
}

grdi_bytes *grdi_picture_svg(const grdi_picture *p)
{
    return grdi_picture_text(p, write);
}
