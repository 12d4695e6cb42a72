/* What a document holds, for those who show it. */
#ifndef GRADUS_TEACH_DOCUMENT_H
#define GRADUS_TEACH_DOCUMENT_H

#include "teach/lesson.h"

typedef enum part_kind {
    SECTION,  /* text: title */
    TEXT,     /* text */
    REMARK,   /* text */
    QUESTION, /* text, more: the answer */
    FORMULA,  /* text */
    PICTURE,  /* text: caption, more: lines */
    LISTING,  /* lines */
    TABLE,    /* text: caption, more: heads, lines: rows */
    COLUMNS,  /* text: caption, more: heads, names */
    MATRIX,   /* text: caption, names: the matrix, rows, more: heads of columns */
    PLOT,     /* text: caption, plot */
    MESSAGE,  /* names: of the message */
    PART_KINDS
} part_kind;

typedef struct line {
    struct line *next;
    const char *text;
    int number; /* 0: unnumbered */
} line;

typedef struct part {
    struct part *next;
    part_kind kind;
    const char *text, *more, *names, *rows;
    plot plot;
    line *lines, *last;
} part;

/* Numbers under a name. */
typedef struct figures {
    struct figures *next;
    const char *name;
    int64_t rank, rows, columns; /* rank 0 and 1: rows are 1 */
    double at[];
} figures;

/* Words under a name. */
typedef struct words {
    struct words *next;
    const char *name;
    char text[];
} words;

struct document {
    const lesson *lesson;
    part *parts, *last;
    figures *figures;
    words *words;
    bool numbered;
    struct block *blocks; /* the memory of all of these */
};

/* NULL, with an error, if nothing is called so. */
const figures *figures_named(const document *d, const char *name);
const char *words_named(const document *d, const char *name);

/* ---- Texts, piece by piece ---- */

typedef enum span_kind { PLAIN, CODE, EMPHASIS, NUMBER } span_kind;
typedef struct span {
    span_kind kind;
    const char *text; /* of NUMBER: the buffer's */
    size_t length;
    char buffer[32];
} span;
/* The next piece at *at; false at the end, or with an error where the markup is wrong. */
bool next_span(const document *d, const char **at, span *s);

/* The next of "a | b | c" at *at, without spaces around it, in a buffer of its own; false at the
 * end. */
typedef struct cell {
    char text[128];
} cell;
bool next_cell(const char **at, cell *c);

/* "0.0123", "1e-6", "-3": as short as so many digits allow. */
void format_number(double x, int digits, char buffer[32]);
/* One way for all numbers of a column or matrix: decimals, or -1 for format_number's. */
int decimals_for(const double *x, int64_t count);
void format_decimals(double x, int decimals, char buffer[32]);

/* ---- Formulas ---- */

void print_formula(FILE *out, const document *d, const char *formula);
void write_formula(FILE *out, const document *d, const char *formula); /* MathML */

/* ---- Plots ---- */

/* From one power of ten to another. */
typedef struct axis {
    double low, high;
} axis;
/* The axes that all points of a plot fit; and where x lies on one, 0 to 1: false for nowhere. */
void measure_plot(const document *d, const plot *p, axis *x, axis *y);
int tick_step(const axis *a, int most); /* powers between two numbers, for so many at most */
bool on_axis(const axis *a, double x, double *place);
int curves_of(const plot *p);

void print_plot(FILE *out, const document *d, const plot *p);
void write_plot(FILE *out, const document *d, const plot *p); /* SVG, and its numbers */

/* A number in a page: with a true minus, and powers of ten set high. */
void write_number(FILE *out, const char *text);

#endif
