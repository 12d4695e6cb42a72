/* Where the parts of a picture stand, and drawing them. */
#include "view/picture.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    MARGIN = 20,
    GRID = 448,  /* what a large matrix is made to fit, in pixels */
    PANEL = 120, /* each of several */
    CELL = 28,   /* of a small one */
    TITLE = 34,
    NAME = 22, /* of rows or columns */
    GAP = 14,  /* between matrices */
    CAPTION = 20,
    TEXT = 12, /* the size of labels */
    LINE = 20, /* of the legend */
    BAR = (GRDI_SHADES / GRDI_LEGEND + 1) * GRDI_LEGEND,
    LABEL = 24, /* columns of a label; longer ones are cut */
    LARGEST = 8192
};

static int64_t matrices(const grdi_picture *p)
{
    return p->down * p->across;
}

/* The largest of several widths of labels. */
static double widest(const char *const *labels, int64_t count)
{
    char label[GRDI_LABEL];
    double most = 0;
    for (int64_t i = labels || count == 0 ? 0 : count - 1; i < count; i++) {
        grdi_picture_label(label, labels, i, LABEL);
        most = fmax(most, grdi_lettering_width(label, TEXT));
    }
    return most;
}

static int64_t cell_size(const grdi_picture *p)
{
    const int64_t most = p->rows > p->columns ? p->rows : p->columns;
    const int64_t room = matrices(p) == 1 ? GRID : PANEL;
    if (p->options->cell)
        return p->options->cell;
    return most * CELL <= room ? CELL : most <= room ? room / most : 1;
}

static int64_t across(const grdi_picture *p)
{
    return p->across * (p->columns * p->cell + p->gap) - p->gap;
}

/* One under the other, as the legend has them. */
static int64_t notes(const grdi_picture *p)
{
    return (p->masked > 0) + (p->nans > 0) + (p->beyond > 0);
}

static void lay_out_labels(grdi_picture *p)
{
    const grd_matrix_options *o = p->options;
    const double column = widest(o->column_labels, p->columns);
    p->columns_turned = o->column_labels && column > (double)p->cell - 4;
    p->left += 9 + (int64_t)ceil(widest(o->row_labels, p->rows));
    p->top += 9 + (p->columns_turned ? (int64_t)ceil(column) : TEXT - 2);
}

static void lay_out(grdi_picture *p, int64_t cell)
{
    const grd_matrix_options *o = p->options;
    const bool several = matrices(p) != 1;
    p->cell = cell;
    p->gap = several ? GAP : 0;
    p->caption = several ? CAPTION : 0;
    p->left = MARGIN + (o->rows ? NAME : 0);
    p->top = MARGIN + (o->title ? TITLE : 0) + (o->columns ? NAME : 0);
    if (!several)
        lay_out_labels(p);
    const int64_t down = p->down * (p->rows * p->cell + p->caption + p->gap) - p->gap;
    p->bottom = p->top + (p->down ? down : 0);
    p->height = p->bottom + MARGIN + 10 + LINE * (1 + notes(p)) + MARGIN / 2;
}

static void find_width(grdi_picture *p)
{
    const double title = grdi_lettering_width(p->title, 15) * 1.15; /* it is bold */
    const int64_t widths[] = { p->left + (p->across ? across(p) : 0), MARGIN + (int64_t)title,
                               MARGIN + (notes(p) ? 300 : BAR) };
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        p->width = widths[i] > p->width ? widths[i] : p->width;
    p->width += MARGIN;
}

/* ---- In words ---- */

static void tell_value(const grdi_picture *p, FILE *out, const char *which, int64_t at)
{
    char row[GRDI_LABEL], column[GRDI_LABEL];
    const grd_matrix_options *o = p->options;
    grdi_picture_label(row, o->row_labels, at / p->columns % p->rows, GRDI_LABEL);
    grdi_picture_label(column, o->column_labels, at % p->columns, GRDI_LABEL);
    fprintf(out, " The %s value, %.6g, is in row %s, column %s", which, p->values[at], row, column);
    if (matrices(p) != 1) {
        grdi_picture_caption(row, p, at / (p->rows * p->columns));
        fprintf(out, " of %s", row);
    }
    fputc('.', out);
}

static void describe(const grdi_picture *p, FILE *out)
{
    if (matrices(p) == 1)
        fprintf(out, "A matrix of ");
    else
        fprintf(out, "%" PRId64 " matrices of ", matrices(p));
    fprintf(out, "%" PRId64 " rows and %" PRId64 " columns, as colours from %.6g to %.6g.", p->rows,
            p->columns, p->low, p->high);
    if (p->least >= 0) {
        tell_value(p, out, "least", p->least);
        tell_value(p, out, "largest", p->largest);
    }
    if (p->masked)
        fprintf(out, " Masked cells: %" PRId64 ".", p->masked);
    if (p->nans)
        fprintf(out, " Cells that are not a number: %" PRId64 ".", p->nans);
    if (p->beyond)
        fprintf(out, " Cells beyond the scale: %" PRId64 ".", p->beyond);
}

bool grdi_picture_lay_out(grdi_picture *p)
{
    const int64_t cell = cell_size(p);
    const bool fits = cell <= LARGEST && p->rows <= LARGEST && p->columns <= LARGEST;
    if (p->options->title)
        grdi_label(p->title, p->options->title, GRDI_LABEL);
    if (fits) {
        lay_out(p, cell);
        find_width(p);
    }
    if (!fits || p->width > LARGEST || p->height > LARGEST)
        return grdi_fail(GRD_ERROR_SHAPE, p->op,
                         "with %" PRId64 " x %" PRId64 " cells of %" PRId64
                         " pixels the picture is too large: at most %d x %d are drawn (select a "
                         "part, choose smaller cells, or write a .csv)",
                         p->down * p->rows, p->across * p->columns, cell, LARGEST, LARGEST);
    grdi_bytes *words = grdi_picture_text(p, describe);
    p->description = words ? (const char *)words->data : NULL;
    return words;
}

/* ---- Drawing ---- */

static void put(const grdi_canvas *c, grdi_lettering text)
{
    c->letter(c->to, &text);
}

static void draw_names(const grdi_picture *p, const grdi_canvas *c)
{
    const grd_matrix_options *o = p->options;
    const int64_t title = o->title ? TITLE : 0;
    char name[GRDI_LABEL];
    if (o->title)
        put(c, (grdi_lettering){ p->title, MARGIN, MARGIN + 12, GRDI_START, 15, false, true,
                                 GRDI_INK });
    if (o->columns) {
        grdi_label(name, o->columns, GRDI_LABEL);
        put(c, (grdi_lettering){ name, (double)p->left + (double)across(p) / 2,
                                 (double)(MARGIN + title + 10), GRDI_MIDDLE, 13, false, false,
                                 GRDI_INK });
    }
    if (o->rows) {
        grdi_label(name, o->rows, GRDI_LABEL);
        put(c, (grdi_lettering){ name, MARGIN + 10, (double)(p->top + p->bottom) / 2, GRDI_MIDDLE,
                                 13, true, false, GRDI_INK });
    }
}

int64_t grdi_tick_step(int64_t cell, int64_t room)
{
    static const int64_t steps[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 };
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] && steps[i] * cell < room)
        i++;
    return steps[i];
}

/* From one label that is drawn to the next; numbers are round ones. */
static int64_t step_of(const grdi_picture *p, const char *const *labels, int64_t room)
{
    return labels ? (room + p->cell - 1) / p->cell : grdi_tick_step(p->cell, room);
}

static void draw_labels(const grdi_picture *p, const grdi_canvas *c)
{
    const grd_matrix_options *o = p->options;
    const double half = (double)p->cell / 2;
    char label[GRDI_LABEL];
    for (int64_t i = 0; i < p->rows; i += step_of(p, o->row_labels, TEXT + 2)) {
        grdi_picture_label(label, o->row_labels, i, LABEL);
        put(c,
            (grdi_lettering){ label, (double)p->left - 8, (double)(p->top + i * p->cell) + half + 4,
                              GRDI_END, TEXT, false, false, GRDI_QUIET });
    }
    const int64_t number = 10 + (int64_t)widest(NULL, p->columns);
    const int64_t room = p->columns_turned ? TEXT + 2 : o->column_labels ? p->cell : number;
    for (int64_t j = 0; j < p->columns; j += step_of(p, o->column_labels, room)) {
        grdi_picture_label(label, o->column_labels, j, LABEL);
        const double x = (double)(p->left + j * p->cell) + half;
        put(c, (grdi_lettering){ label, p->columns_turned ? x + 4 : x, (double)p->top - 8,
                                 p->columns_turned ? GRDI_START : GRDI_MIDDLE, TEXT,
                                 p->columns_turned, false, GRDI_QUIET });
    }
}

static void draw_matrices(const grdi_picture *p, const grdi_canvas *c)
{
    char caption[GRDI_LABEL];
    for (int64_t i = 0; i < matrices(p); i++) {
        const double x = (double)(p->left + i % p->across * (p->columns * p->cell + p->gap));
        const double y = (double)(p->top + p->caption +
                                  i / p->across * (p->rows * p->cell + p->caption + p->gap));
        c->cells(c->to, p, i, x, y);
        if (!p->caption)
            continue;
        grdi_picture_caption(caption, p, i);
        put(c, (grdi_lettering){ caption, x, y - 6, GRDI_START, TEXT, false, false, GRDI_INK });
    }
}

/* A line of the legend, behind a cell with its mark. */
static void draw_note(const grdi_canvas *c, double y, enum grdi_colour colour, const char *text)
{
    if (colour != GRDI_GROUND) {
        c->fill(c->to, MARGIN, y - 10, 12, 12, colour);
        c->fill(c->to, MARGIN + 4, y - 6, 4, 4, (enum grdi_colour)(colour + 1));
    }
    put(c, (grdi_lettering){ text, MARGIN + (colour == GRDI_GROUND ? 0 : 20), y, GRDI_START, TEXT,
                             false, false, GRDI_INK });
}

static void draw_legend(const grdi_picture *p, const grdi_canvas *c)
{
    const double top = (double)p->bottom + MARGIN;
    char text[64];
    for (int i = 0; i < GRDI_SHADES; i += GRDI_LEGEND)
        c->fill(c->to, MARGIN + i, top, GRDI_LEGEND, 10, (enum grdi_colour)i);
    const double ends[] = { p->low, 0, p->high };
    for (int i = 0; i < 3; i++)
        if (i != 1 || p->options->two_sided) {
            snprintf(text, sizeof text, "%.4g", ends[i]);
            put(c, (grdi_lettering){ text, MARGIN + i * (double)BAR / 2, top + 24,
                                     (enum grdi_anchor)i, TEXT, false, false, GRDI_QUIET });
        }
    double y = top + 24 + LINE;
    if (p->masked) {
        draw_note(c, y, GRDI_MASKED, "masked");
        y += LINE;
    }
    if (p->nans) {
        draw_note(c, y, GRDI_NAN, "not a number (NaN)");
        y += LINE;
    }
    if (p->beyond)
        draw_note(c, y, GRDI_GROUND, "what lies beyond the scale has its ends' colours");
}

void grdi_picture_draw(const grdi_picture *p, const grdi_canvas *canvas)
{
    canvas->fill(canvas->to, 0, 0, (double)p->width, (double)p->height, GRDI_GROUND);
    draw_names(p, canvas);
    if (matrices(p) == 1)
        draw_labels(p, canvas);
    draw_matrices(p, canvas);
    draw_legend(p, canvas);
}
