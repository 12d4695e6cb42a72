/* A matrix in a terminal. */
#include "nn/utf8.h"
#include "tensor/front.h"
#include "view/picture.h"

#include <inttypes.h>
#include <string.h>

enum {
    WIDTH = 80, /* columns, if nothing else is said */
    ROWS = 64,  /* longer ones are folded */
    LABEL = 16, /* columns of a row's label */
    DEEP = 8,   /* lines of a column's label, which reads downwards */
    LEGEND = 24 /* columns of the scale */
};

typedef struct heatmap {
    const grdi_picture *p;
    FILE *out;
    int64_t label;                  /* columns before the cells */
    int64_t fold_down, fold_across; /* so many cells of the matrix are one here */
    int64_t rows, columns;
    int cell;      /* columns of one */
    bool numbered; /* the columns: their labels would not fit */
    grdi_rgb palette[GRDI_COLOURS];
} heatmap;

/* ---- Sizes ---- */

static int64_t divided_up(int64_t x, int64_t by)
{
    return (x + by - 1) / by;
}

static void lay_out(heatmap *h)
{
    const grdi_picture *p = h->p;
    const grd_matrix_options *o = p->options;
    char label[GRDI_LABEL];
    for (int64_t i = 0; i < p->rows; i++) {
        grdi_picture_label(label, o->row_labels, i, LABEL);
        const int64_t columns = grdi_columns(label);
        h->label = columns > h->label ? columns : h->label;
    }
    const int64_t room = (o->width ? o->width : WIDTH) - h->label - 3; /* beside bars and a space */
    h->cell = 2 * p->columns <= room ? 2 : 1;
    h->fold_across = p->columns > room && room > 0 ? divided_up(p->columns, room) : 1;
    h->fold_down = p->rows > ROWS ? divided_up(p->rows, ROWS) : 1;
    h->rows = divided_up(p->rows, h->fold_down);
    h->columns = divided_up(p->columns, h->fold_across);
    h->numbered = !o->column_labels || h->fold_across > 1;
    grdi_palette(h->palette, o->two_sided, o->dark);
}

/* How much a colour has to say where several are one: that something is no number, most; the more
 * the further from where the scale fades into the ground; that something is masked, least. */
static int weight_of(const heatmap *h, int colour)
{
    const int middle = GRDI_SHADES / 2;
    if (colour == GRDI_NAN)
        return GRDI_COLOURS;
    if (colour == GRDI_MASKED)
        return -1;
    return !h->p->options->two_sided ? colour : colour < middle ? middle - colour : colour - middle;
}

static int colour_at(const heatmap *h, int64_t row, int64_t column)
{
    const grdi_picture *p = h->p;
    const int64_t below = (row + 1) * h->fold_down, beside = (column + 1) * h->fold_across;
    int found = GRDI_MASKED;
    for (int64_t i = row * h->fold_down; i < below && i < p->rows; i++)
        for (int64_t j = column * h->fold_across; j < beside && j < p->columns; j++) {
            const int colour = p->colours[i * p->columns + j];
            found = weight_of(h, colour) > weight_of(h, found) ? colour : found;
        }
    return found;
}

/* ---- Cells ---- */

/* From the least to the largest, above 0 and below. */
static const char *const above[] = { "·", "░", "▒", "▓", "█" };
static const char *const below[] = { ".", "-", "=", "%", "#" };
enum { STRENGTHS = sizeof above / sizeof above[0] };

const char *grdi_shade(double part)
{
    const int strength = (int)(part * STRENGTHS);
    return part <= 0 ? " " : above[strength < STRENGTHS ? strength : STRENGTHS - 1];
}

static const char *character_of(const heatmap *h, int colour)
{
    if (colour == GRDI_NAN)
        return "?";
    if (colour == GRDI_MASKED)
        return "/";
    if (h->p->options->colour)
        return " ";
    const double middle = h->p->options->two_sided ? GRDI_SHADES / 2 : 0;
    const double part = (colour - middle) / (GRDI_SHADES - 1 - middle);
    const int strength = (int)(-part * STRENGTHS);
    return part >= 0 ? grdi_shade(part) : below[strength < STRENGTHS ? strength : STRENGTHS - 1];
}

static void put_colour(const heatmap *h, int layer, int colour)
{
    const unsigned char *rgb = h->palette[colour];
    fprintf(h->out, "\x1b[%d;2;%d;%d;%dm", layer, rgb[0], rgb[1], rgb[2]);
}

/* A cell behind one of another colour; -1: it is the first. */
static void put_cell(const heatmap *h, int colour, int before, int width)
{
    enum { LETTERS = 38, GROUND = 48 };
    if (h->p->options->colour && colour != before) {
        put_colour(h, GROUND, colour);
        if (colour >= GRDI_SHADES)
            put_colour(h, LETTERS, colour + 1); /* the mark's */
    }
    for (int i = 0; i < width; i++)
        fputs(character_of(h, colour), h->out);
}

static void end_colour(const heatmap *h)
{
    if (h->p->options->colour)
        fputs("\x1b[0m", h->out);
}

/* ---- Around them ---- */

static void put_padded(FILE *out, const char *text, int64_t width)
{
    fputs(text, out);
    fprintf(out, "%*s", (int)(width - grdi_columns(text)), "");
}

/* The line'th character that takes a column; blank after the last. */
static void put_character(const heatmap *h, const char *text, int line)
{
    const size_t size = strlen(text);
    char one[8] = "";
    for (size_t at = 0, taken; at < size; at += taken) {
        grdi_utf8_next(text + at, size - at, &taken);
        memcpy(one, text + at, taken);
        one[taken] = '\0';
        if (grdi_columns(one) && line-- == 0)
            break;
        *one = '\0';
    }
    put_padded(h->out, grdi_columns(one) > h->cell ? "?" : one, h->cell);
}

static void put_column_labels(const heatmap *h)
{
    const char *const *labels = h->p->options->column_labels;
    char label[GRDI_LABEL];
    int64_t deep = 0;
    for (int64_t j = 0; j < h->columns; j++) {
        grdi_picture_label(label, labels, j, DEEP);
        deep = grdi_columns(label) > deep ? grdi_columns(label) : deep;
    }
    for (int line = 0; line < deep; line++) {
        fprintf(h->out, "%*s", (int)h->label + 2, "");
        for (int64_t j = 0; j < h->columns; j++) {
            grdi_picture_label(label, labels, j, DEEP);
            put_character(h, label, line);
        }
        fputc('\n', h->out);
    }
}

/* Every so many columns the number of the first that lies there. */
static void put_column_numbers(const heatmap *h)
{
    const int64_t step = h->cell == 2 ? 5 : 10;
    char number[32];
    fprintf(h->out, "%*s", (int)h->label + 2, "");
    for (int64_t j = 0; j < h->columns; j += step) {
        snprintf(number, sizeof number, "%" PRId64, j * h->fold_across);
        fprintf(h->out, "%-*s", j + step < h->columns ? (int)step * h->cell : 0, number);
    }
    fputc('\n', h->out);
}

static void put_row(const heatmap *h, int64_t row)
{
    char label[GRDI_LABEL];
    grdi_picture_label(label, h->p->options->row_labels, row * h->fold_down, LABEL);
    fprintf(h->out, "%*s%s |", (int)(h->label - grdi_columns(label)), "", label);
    for (int64_t j = 0, before = -1; j < h->columns; j++) {
        const int colour = colour_at(h, row, j);
        put_cell(h, colour, (int)before, h->cell);
        before = colour;
    }
    end_colour(h);
    fputs("|\n", h->out);
}

static void put_legend(const heatmap *h)
{
    const grdi_picture *p = h->p;
    fprintf(h->out, "%" PRId64 " x %" PRId64 ", %.4g |", p->rows, p->columns, p->low);
    for (int i = 0; i < LEGEND; i++)
        put_cell(h, i * (GRDI_SHADES - 1) / (LEGEND - 1), -1, 1);
    end_colour(h);
    fprintf(h->out, "| %.4g%s%s%s\n", p->high, p->masked ? ", masked: //" : "",
            p->nans ? ", NaN: ??" : "", p->beyond ? ", beyond: as the ends" : "");
    if (h->fold_down * h->fold_across > 1)
        fprintf(h->out,
                "folded: each cell is the %s of %" PRId64 " x %" PRId64
                "; row and column numbers are those of the first\n",
                p->options->two_sided ? "furthest from 0" : "largest", h->fold_down,
                h->fold_across);
}

static void draw(heatmap *h)
{
    char title[GRDI_LABEL];
    lay_out(h);
    if (h->p->options->title) {
        grdi_label(title, h->p->options->title, GRDI_LABEL);
        fprintf(h->out, "%s\n", title);
    }
    if (h->numbered)
        put_column_numbers(h);
    else
        put_column_labels(h);
    for (int64_t i = 0; i < h->rows; i++)
        put_row(h, i);
    put_legend(h);
}

grd_status grd_print_heatmap(FILE *out, const grd_tensor *matrix, const grd_matrix_options *options)
{
    static const char op[] = "print_heatmap";
    if (!out || !matrix)
        grdi_fail_null(op);
    else if (grd_tensor_rank(matrix) != 2)
        grdi_fail(GRD_ERROR_SHAPE, op, "matrix is %s, expected (rows, columns) (select one)",
                  grdi_size_text(matrix).chars);
    if (grdi_latched())
        return grdi_self.latched;
    grdi_picture p;
    grd_scope scope;
    grdi_scope_open(&scope);
    if (grdi_picture_read(&p, op, matrix, options))
        draw(&(heatmap){ .p = &p, .out = out });
    grdi_scope_close(&scope);
    if (!grdi_latched() && ferror(out))
        grdi_fail(GRD_ERROR_IO, op, "the drawing cannot be written");
    return grdi_self.latched;
}
