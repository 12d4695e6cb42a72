#include "nn/utf8.h"
#include "tensor/front.h"
#include "view/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What programs for spreadsheets take for the start of a formula, even in quotes; and the
 * apostrophe that keeps them from it, so that whoever takes one away always has the label. */
static const char *const formulas[] = { "=",
                                        "+",
                                        "-",
                                        "@",
                                        "\t",
                                        "\r",
                                        "\n",
                                        "'",
                                        "\xef\xbc\x9d",
                                        "\xef\xbc\x8b", /* the wide forms of = + - @ */
                                        "\xef\xbc\x8d",
                                        "\xef\xbc\xa0" };

static bool is_formula(const char *text)
{
    for (size_t i = 0; i < sizeof formulas / sizeof formulas[0]; i++)
        if (strncmp(text, formulas[i], strlen(formulas[i])) == 0)
            return true;
    return false;
}

/* All of a label, in quotes, which are doubled within. */
static void put_label(FILE *out, const char *text)
{
    const size_t size = strlen(text);
    fputs(is_formula(text) ? "\"'" : "\"", out);
    for (size_t at = 0, taken; at < size; at += taken)
        if (grdi_utf8_next(text + at, size - at, &taken) < 0) {
            fputs("\xef\xbf\xbd", out);
            taken = 1;
        } else {
            fwrite(text + at, 1, taken, out);
            fputs(text[at] == '"' ? "\"" : "", out);
        }
    fputc('"', out);
}

/* As many digits as it takes to read the same number of its type. */
static void put_number(FILE *out, double x, grd_dtype dtype)
{
    const bool narrow = grdi_is_floating(dtype) && dtype != GRD_F64;
    char text[40];
    snprintf(text, sizeof text, "%.6g", x);
    const double back = strtod(text, NULL);
    if (isfinite(x) && (narrow ? (float)back != (float)x : back != x))
        snprintf(text, sizeof text, "%.*g", narrow ? 9 : 17, x);
    fputs(isnan(x) ? "nan" : text, out); /* a NaN's sign means nothing */
}

static void put_head(const grdi_picture *p, FILE *out)
{
    const grd_matrix_options *o = p->options;
    const char *before = "";
    if (p->down * p->across != 1) {
        fputs("\"matrix\"", out);
        before = ",";
    }
    if (o->row_labels) {
        fputs(before, out);
        put_label(out, o->rows ? o->rows : "");
        before = ",";
    }
    for (int64_t j = 0; j < p->columns; j++, before = ",") {
        fputs(before, out);
        put_label(out, o->column_labels[j] ? o->column_labels[j] : "");
    }
    fputs("\r\n", out);
}

static void put_row(const grdi_picture *p, FILE *out, int64_t matrix, int64_t row)
{
    const char *const *labels = p->options->row_labels;
    const int64_t first = (matrix * p->rows + row) * p->columns;
    const char *before = "";
    char caption[GRDI_LABEL];
    if (p->down * p->across != 1) {
        grdi_picture_caption(caption, p, matrix);
        put_label(out, p->options->captions ? p->options->captions[matrix] : caption);
        before = ",";
    }
    if (labels) {
        fputs(before, out);
        put_label(out, labels[row] ? labels[row] : "");
        before = ",";
    }
    for (int64_t j = 0; j < p->columns; j++, before = ",") {
        fputs(before, out);
        if (p->colours[first + j] != GRDI_MASKED)
            put_number(out, p->values[first + j], p->dtype);
    }
    fputs("\r\n", out);
}

static void write(const grdi_picture *p, FILE *out)
{
    if (p->options->column_labels)
        put_head(p, out);
    for (int64_t i = 0; i < p->down * p->across; i++)
        for (int64_t j = 0; j < p->rows; j++)
            put_row(p, out, i, j);
}

grdi_bytes *grdi_picture_csv(const grdi_picture *p)
{
    return grdi_picture_text(p, write);
}
