/* Short lessons whose numbers are computed while they are told.
 *
 * A lesson is a file: a function that runs code and puts paragraphs, listings, tables and plots
 * into a document, which a terminal and a page show each in its way. No number is typed into a
 * text: what the library computed gets a name, texts refer to it as {name}, and the tests of a
 * lesson assert every name. To add one: the file, its row in lessons.def, its line in meson.build,
 * its tests. */
#ifndef GRADUS_TEACH_LESSON_H
#define GRADUS_TEACH_LESSON_H

#include <gradus/gradus.h>

typedef struct document document;

typedef struct lesson {
    const char *name, *title;
    const char *summary; /* one line: what it shows */
    void (*tell)(document *d);
} lesson;

#define LESSON(name, title, summary) void tell_##name(document *d);
#include "teach/lessons.def"
#undef LESSON

extern const lesson lessons[]; /* in reading order */
extern const int num_lessons;

/* ---- For lessons ----
 *
 * Texts are constants, and last as long as the document. Markup in them: `code`, *emphasis*, {name}
 * with four digits, {name:2} with two, {name[1]} and {name[1,0]} of several. Failures latch, as
 * everywhere: a lesson asks nothing. */

void put_section(document *d, const char *title);
void put_text(document *d, const char *text);
void put_remark(document *d, const char *text); /* set apart: what to remember */
void put_question(document *d, const char *question, const char *answer);
/* A line of its own: x_i, x_[ij], x^2, frac[a][b], sqrt[a]; {name} as in texts. */
void put_formula(document *d, const char *formula);
/* Characters as they are, and what they show in words. */
void put_picture(document *d, const char *caption, const char *lines);

/* What is shown is what is run: RUN(statement). Consecutive ones are one listing. */
void put_code(document *d, int line, const char *statement);
#define RUN(...)                                                                                   \
    put_code(d, __LINE__, #__VA_ARGS__ ";");                                                       \
    __VA_ARGS__
/* From here on listings show the numbers of their lines, which messages refer to. */
void number_lines(document *d);

/* Names what was computed; a tensor of at most two dimensions. */
void name_number(document *d, const char *name, double x);
void name_numbers(document *d, const char *name, const double *x, int64_t count);
void name_tensor(document *d, const char *name, const grd_tensor *x);

/* Cells are texts between bars: "by way of `b` | {db}". Rows belong to the table before them. */
void put_table(document *d, const char *caption, const char *heads);
void put_row(document *d, const char *cells);
/* A table of named numbers, a column each: "step | error". */
void put_columns(document *d, const char *caption, const char *heads, const char *names);
/* A named tensor; rows and columns: what each is called, "key 0 | key 1", or NULL: their numbers.
 */
void put_matrix(document *d, const char *caption, const char *name, const char *rows,
                const char *columns);

typedef struct curve {
    const char *label, *x, *y; /* x, y: names of as many numbers */
} curve;
/* Both axes are logarithmic; what is not above 0 is left out. */
typedef struct plot {
    const char *caption, *x_label, *y_label;
    curve curves[4]; /* up to the first without a label */
} plot;
void put_plot(document *d, const plot *p);

/* The latched error, which it takes: its text, with places by the name of the file alone. */
void put_message(document *d, const char *name);

/* ---- For those who show them ---- */

/* Tells the lesson, in a scope of f64 of its own. NULL with the error latched. */
document *document_create(const lesson *told);
void document_free(document *d); /* NULL: nothing */

/* By name, or by number from 1; NULL if there is none. */
const lesson *lesson_named(const char *name);

/* Lines of at most 80 columns; colour: with escape codes. */
void print_document(FILE *out, const document *d, bool colour);

/* A page of some lessons, which have links to each other. */
bool write_page(const char *path, document *const lessons[], int count);
/* In a folder, which is made if need be: a page for each lesson, and index.html. */
bool write_folder(const char *folder, document *const lessons[], int count);

#endif
