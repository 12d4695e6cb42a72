/* Documents in a terminal: lines of at most 80 columns. */
#include "teach/document.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 80, MARGIN = 2 };

typedef struct writer {
    FILE *out;
    const document *d;
    bool colour;
    int indent, column; /* columns that are written */
    char word[512];     /* what may still have to go to the next line */
    size_t held;
    int width;  /* of the word */
    bool space; /* before it */
} writer;

static const char *const styles[] = {
    [PLAIN] = "", [CODE] = "\x1b[36m", [EMPHASIS] = "\x1b[3m", [NUMBER] = "\x1b[1m"
};
#define HEAD "\x1b[1;34m"
#define QUIET "\x1b[2m"
#define END "\x1b[0m"

static int columns(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void spaces(FILE *out, int count)
{
    fprintf(out, "%*s", count > 0 ? count : 0, "");
}

/* ---- Running text ---- */

static void end_word(writer *w)
{
    if (w->width == 0)
        return;
    const bool fits = w->column + w->space + w->width <= WIDTH;
    if (!fits) {
        fputc('\n', w->out);
        spaces(w->out, w->indent);
        w->column = w->indent;
    } else if (w->space) {
        fputc(' ', w->out);
        w->column++;
    }
    fwrite(w->word, 1, w->held, w->out);
    w->column += w->width;
    w->held = 0;
    w->width = 0;
    w->space = false;
}

static void add(writer *w, const char *text, size_t length, bool visible)
{
    for (size_t i = 0; i < length && w->held < sizeof w->word; i++) {
        w->word[w->held++] = text[i];
        w->width += visible && ((unsigned char)text[i] & 0xc0) != 0x80;
    }
}

static void add_style(writer *w, const char *style)
{
    if (w->colour)
        add(w, style, strlen(style), false);
}

static void add_span(writer *w, const span *s)
{
    const char *quote = s->kind == CODE && !w->colour ? "`" : "";
    add(w, quote, strlen(quote), true);
    for (size_t i = 0; i < s->length; i++) {
        if (s->text[i] == ' ') {
            end_word(w);
            w->space = w->column > w->indent;
            continue;
        }
        if (i == 0 || s->text[i - 1] == ' ')
            add_style(w, styles[s->kind]);
        add(w, s->text + i, 1, true);
        if (*styles[s->kind] && (i + 1 == s->length || s->text[i + 1] == ' '))
            add_style(w, END);
    }
    add(w, quote, strlen(quote), true);
}

/* A paragraph; `first` begins it, later lines are indented as far. */
static void print_text(writer *w, const char *first, const char *text)
{
    span s;
    spaces(w->out, MARGIN);
    fputs(first, w->out);
    w->indent = w->column = MARGIN + columns(first);
    w->space = false;
    while (next_span(w->d, &text, &s))
        add_span(w, &s);
    end_word(w);
    fputc('\n', w->out);
}

/* ---- Tables ---- */

enum { MAX_COLUMNS = 12 };

/* A cell's text without its markup. */
static cell bare(const document *d, const cell *from)
{
    cell to = { "" };
    span s;
    size_t used = 0;
    for (const char *at = from->text; next_span(d, &at, &s);)
        used +=
            (size_t)snprintf(to.text + used, sizeof to.text - used, "%.*s", (int)s.length, s.text) %
            sizeof to.text;
    return to;
}

static void widen(int widths[], int column, const char *text)
{
    if (column < MAX_COLUMNS && columns(text) > widths[column])
        widths[column] = columns(text);
}

static void print_caption(writer *w, const char *caption)
{
    if (caption)
        print_text(w, "", caption);
}

/* Words to the left, in the first column, and numbers to the right. */
static void print_cell(writer *w, const char *text, int width, bool first)
{
    const int gap = width - columns(text);
    spaces(w->out, first ? MARGIN + 2 : 2);
    spaces(w->out, first ? 0 : gap);
    fputs(text, w->out);
    spaces(w->out, first ? gap : 0);
}

static void print_row(writer *w, const char *cells, const int widths[])
{
    cell c;
    for (int i = 0; i < MAX_COLUMNS && next_cell(&cells, &c); i++) {
        c = bare(w->d, &c);
        print_cell(w, c.text, widths[i], i == 0);
    }
    fputc('\n', w->out);
}

static void print_heads(writer *w, const char *heads, const int widths[])
{
    fputs(w->colour ? QUIET : "", w->out);
    print_row(w, heads, widths);
    fputs(w->colour ? END : "", w->out);
}

static void measure_row(const document *d, const char *cells, int widths[])
{
    cell c;
    for (int i = 0; i < MAX_COLUMNS && next_cell(&cells, &c); i++) {
        c = bare(d, &c);
        widen(widths, i, c.text);
    }
}

static void print_table(writer *w, const part *p)
{
    int widths[MAX_COLUMNS] = { 0 };
    print_caption(w, p->text);
    measure_row(w->d, p->more, widths);
    for (const line *l = p->lines; l; l = l->next)
        measure_row(w->d, l->text, widths);
    print_heads(w, p->more, widths);
    for (const line *l = p->lines; l; l = l->next)
        print_row(w, l->text, widths);
}

/* The columns of numbers that names name, up to MAX_COLUMNS; how many. */
static int find_columns(const document *d, const char *names, const figures *found[])
{
    int count = 0;
    cell name;
    while (count < MAX_COLUMNS && next_cell(&names, &name) &&
           (found[count] = figures_named(d, name.text)))
        count++;
    return count;
}

static void print_columns(writer *w, const part *p)
{
    const figures *found[MAX_COLUMNS];
    int widths[MAX_COLUMNS] = { 0 }, decimals[MAX_COLUMNS];
    const int count = find_columns(w->d, p->names, found);
    const int64_t rows = count ? found[0]->columns : 0;
    char text[32];
    print_caption(w, p->text);
    measure_row(w->d, p->more, widths);
    for (int i = 0; i < count; i++) {
        decimals[i] = decimals_for(found[i]->at, rows);
        for (int64_t r = 0; r < rows; r++)
            widen(widths, i, (format_decimals(found[i]->at[r], decimals[i], text), text));
    }
    print_heads(w, p->more, widths);
    for (int64_t r = 0; r < rows; r++) {
        for (int i = 0; i < count; i++) {
            format_decimals(found[i]->at[r], decimals[i], text);
            print_cell(w, text, widths[i], i == 0);
        }
        fputc('\n', w->out);
    }
}

static void print_matrix(writer *w, const part *p)
{
    const figures *m = figures_named(w->d, p->names);
    const char *labels = p->rows;
    int widths[MAX_COLUMNS] = { 0 };
    char text[32];
    print_caption(w, p->text);
    if (!m || m->columns >= MAX_COLUMNS)
        return;
    const int decimals = decimals_for(m->at, m->rows * m->columns);
    if (p->more)
        measure_row(w->d, p->more, widths + 1);
    cell label = { "" };
    for (const char *at = labels; next_cell(&at, &label);)
        widen(widths, 0, label.text);
    for (int64_t i = 0; i < m->rows * m->columns; i++)
        widen(widths, 1 + (int)(i % m->columns), (format_decimals(m->at[i], decimals, text), text));
    if (p->more) {
        fputs(w->colour ? QUIET : "", w->out);
        print_cell(w, "", widths[0], true);
        print_row(&(writer){ .out = w->out, .d = w->d }, p->more, widths + 1);
        fputs(w->colour ? END : "", w->out);
    }
    for (int64_t r = 0; r < m->rows; r++) {
        label.text[0] = '\0';
        next_cell(&labels, &label);
        print_cell(w, label.text, widths[0], true);
        for (int64_t c = 0; c < m->columns; c++) {
            format_decimals(m->at[r * m->columns + c], decimals, text);
            print_cell(w, text, widths[c + 1], false);
        }
        fputc('\n', w->out);
    }
}

/* ---- Parts ---- */

static void print_section(writer *w, const part *p)
{
    fprintf(w->out, "%s%s%s\n", w->colour ? HEAD : "", p->text, w->colour ? END : "");
}

static void print_paragraph(writer *w, const part *p)
{
    print_text(w, "", p->text);
}

static void print_remark(writer *w, const part *p)
{
    print_text(w, "| ", p->text);
}

static void print_question(writer *w, const part *p)
{
    print_text(w, "? ", p->text);
}

static void print_formula_line(writer *w, const part *p)
{
    spaces(w->out, 2 * MARGIN + 2);
    print_formula(w->out, w->d, p->text);
    fputc('\n', w->out);
}

static void print_picture(writer *w, const part *p)
{
    print_caption(w, p->text);
    for (const char *at = p->more; *at;) {
        const int length = (int)strcspn(at, "\n");
        spaces(w->out, 2 * MARGIN);
        fprintf(w->out, "%.*s\n", length, at);
        at += length + (at[length] == '\n');
    }
}

static void print_listing(writer *w, const part *p)
{
    for (const line *l = p->lines; l; l = l->next) {
        spaces(w->out, 2 * MARGIN);
        if (l->number)
            fprintf(w->out, "%s%3d%s  ", w->colour ? QUIET : "", l->number, w->colour ? END : "");
        fprintf(w->out, "%s%s%s\n", w->colour ? styles[CODE] : "", l->text, w->colour ? END : "");
    }
}

/* The error's own words: no markup. */
static void print_message(writer *w, const part *p)
{
    const char *text = words_named(w->d, p->names);
    if (!text)
        return;
    spaces(w->out, MARGIN);
    fputs("! ", w->out);
    w->indent = w->column = MARGIN + 2;
    w->space = false;
    add_span(w, &(span){ .kind = PLAIN, .text = text, .length = strlen(text) });
    end_word(w);
    fputc('\n', w->out);
}

static void print_plot_part(writer *w, const part *p)
{
    print_caption(w, p->text);
    print_plot(w->out, w->d, &p->plot);
}

static void (*const printers[PART_KINDS])(writer *w, const part *p) = {
    [SECTION] = print_section,   [TEXT] = print_paragraph,       [REMARK] = print_remark,
    [QUESTION] = print_question, [FORMULA] = print_formula_line, [PICTURE] = print_picture,
    [LISTING] = print_listing,   [TABLE] = print_table,          [COLUMNS] = print_columns,
    [MATRIX] = print_matrix,     [PLOT] = print_plot_part,       [MESSAGE] = print_message,
};

/* Below the lesson, so that a reader may think first. */
static void print_answers(writer *w)
{
    bool titled = false;
    for (const part *p = w->d->parts; p; p = p->next) {
        if (p->kind != QUESTION)
            continue;
        if (!titled)
            print_section(w, &(part){ .text = "Answers" });
        fputs(titled ? "" : "\n", w->out);
        titled = true;
        print_text(w, "? ", p->text);
        print_text(w, "= ", p->more);
        fputc('\n', w->out);
    }
}

static void print_end(FILE *out, const lesson *told)
{
    const lesson *next = told + 1 < lessons + num_lessons ? told + 1 : NULL;
    if (next)
        fprintf(out, "Next: gradus teach %s\n", next->name);
}

void print_document(FILE *out, const document *d, bool colour)
{
    writer w = { .out = out, .d = d, .colour = colour };
    fprintf(out, "%s%d. %s%s\n\n", colour ? HEAD : "", (int)(d->lesson - lessons) + 1,
            d->lesson->title, colour ? END : "");
    for (const part *p = d->parts; p; p = p->next) {
        printers[p->kind](&w, p);
        fputc('\n', out);
    }
    print_answers(&w);
    print_end(out, d->lesson);
}
