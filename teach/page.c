/* Documents as pages. */
#include "view/page.h"
#include "teach/document.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct writer {
    FILE *out;
    const document *d;
    int level; /* of a section's heading */
} writer;

/* ---- Texts ---- */

static void write_piece(FILE *out, const char *text, size_t length)
{
    char *copy = strndup(text, length);
    if (copy)
        grdi_page_escape(out, copy);
    else
        grdi_fail_memory("teach", length);
    free(copy);
}

void write_number(FILE *out, const char *text)
{
    const char *exponent = strchr(text, 'e'), *minus = *text == '-' ? "−" : "";
    text += *text == '-';
    if (!exponent) {
        fprintf(out, "%s%s", minus, text);
        return;
    }
    const int length = (int)(exponent - text), negative = exponent[1] == '-';
    fprintf(out, "%s", minus);
    if (length != 1 || *text != '1')
        fprintf(out, "%.*s\u202f·\u202f", length, text);
    fprintf(out, "10<sup>%s%s</sup>", negative ? "−" : "", exponent + 1 + negative);
}

static void write_span(FILE *out, const span *s)
{
    static const char *const before[] = { "", "<code>", "<em>", "<span class=\"n\">" };
    static const char *const after[] = { "", "</code>", "</em>", "</span>" };
    fputs(before[s->kind], out);
    if (s->kind == NUMBER)
        write_number(out, s->text);
    else
        write_piece(out, s->text, s->length);
    fputs(after[s->kind], out);
}

static void write_text(writer *w, const char *text)
{
    span s;
    while (next_span(w->d, &text, &s))
        write_span(w->out, &s);
}

static void write_within(writer *w, const char *before, const char *text, const char *after)
{
    fputs(before, w->out);
    write_text(w, text);
    fputs(after, w->out);
}

/* ---- Tables ---- */

static void begin_table(writer *w, const char *caption)
{
    fputs("<figure>", w->out);
    if (caption)
        write_within(w, "<figcaption>", caption, "</figcaption>");
    fputs("<div class=\"wide\"><table class=\"figures\">", w->out);
}

static void end_table(writer *w)
{
    fputs("</tbody></table></div></figure>\n", w->out);
}

static void write_cells(writer *w, const char *cells, const char *first, const char *rest)
{
    cell c;
    const char *tag = first;
    while (next_cell(&cells, &c)) {
        fprintf(w->out, "<%s>", tag);
        write_text(w, c.text);
        fprintf(w->out, "</%.2s>", tag);
        tag = rest;
    }
}

static void write_heads(writer *w, const char *heads, bool corner)
{
    fprintf(w->out, "<thead><tr>%s", corner ? "<td></td>" : "");
    write_cells(w, heads, "th scope=\"col\"", "th scope=\"col\"");
    fputs("</tr></thead>\n", w->out);
}

static void write_value(writer *w, double x, int decimals, const char *tag)
{
    char text[32];
    format_decimals(x, decimals, text);
    fprintf(w->out, "<%s>", tag);
    write_number(w->out, text);
    fprintf(w->out, "</%.2s>", tag);
}

static void write_table(writer *w, const part *p)
{
    begin_table(w, p->text);
    write_heads(w, p->more, false);
    fputs("<tbody>", w->out);
    for (const line *l = p->lines; l; l = l->next) {
        fputs("<tr>", w->out);
        write_cells(w, l->text, "th scope=\"row\"", "td");
        fputs("</tr>\n", w->out);
    }
    end_table(w);
}

static void write_columns(writer *w, const part *p)
{
    cell name;
    const char *names = p->names;
    next_cell(&names, &name);
    const figures *first = figures_named(w->d, name.text);
    begin_table(w, p->text);
    write_heads(w, p->more, false);
    fputs("<tbody>", w->out);
    for (int64_t row = 0; first && row < first->columns; row++) {
        const char *tag = "th scope=\"row\"";
        fputs("<tr>", w->out);
        for (names = p->names; next_cell(&names, &name); tag = "td") {
            const figures *f = figures_named(w->d, name.text);
            if (f)
                write_value(w, f->at[row], decimals_for(f->at, f->columns), tag);
        }
        fputs("</tr>\n", w->out);
    }
    end_table(w);
}

static void write_matrix(writer *w, const part *p)
{
    const figures *m = figures_named(w->d, p->names);
    const char *labels = p->rows;
    cell label = { "" };
    begin_table(w, p->text);
    if (p->more)
        write_heads(w, p->more, true);
    fputs("<tbody>", w->out);
    for (int64_t row = 0; m && row < m->rows; row++) {
        next_cell(&labels, &label);
        fprintf(w->out, "<tr><th scope=\"row\">%s</th>", label.text);
        for (int64_t c = 0; c < m->columns; c++)
            write_value(w, m->at[row * m->columns + c], decimals_for(m->at, m->rows * m->columns),
                        "td");
        fputs("</tr>\n", w->out);
    }
    end_table(w);
}

/* ---- Parts ---- */

static void write_section(writer *w, const part *p)
{
    fprintf(w->out, "<h%d>", w->level);
    write_text(w, p->text);
    fprintf(w->out, "</h%d>\n", w->level);
}

static void write_paragraph(writer *w, const part *p)
{
    write_within(w, "<p>", p->text, "</p>\n");
}

static void write_remark(writer *w, const part *p)
{
    write_within(w, "<p class=\"remark\">", p->text, "</p>\n");
}

static void write_question(writer *w, const part *p)
{
    write_within(w, "<details class=\"question\"><summary>", p->text, "</summary>");
    write_within(w, "<p>", p->more, "</p></details>\n");
}

static void write_formula_part(writer *w, const part *p)
{
    fputs("<div class=\"formula wide\">", w->out);
    write_formula(w->out, w->d, p->text);
    fputs("</div>\n", w->out);
}

static void write_picture(writer *w, const part *p)
{
    fputs("<figure>", w->out);
    write_within(w, "<figcaption>", p->text, "</figcaption>");
    fputs("<pre class=\"picture\">", w->out);
    for (const char *at = p->more; *at;) {
        const size_t length = strcspn(at, "\n");
        write_piece(w->out, at, length);
        fputc('\n', w->out);
        at += length + (at[length] == '\n');
    }
    fputs("</pre></figure>\n", w->out);
}

static void write_listing(writer *w, const part *p)
{
    fputs("<pre class=\"listing\"><code>", w->out);
    for (const line *l = p->lines; l; l = l->next) {
        fputs("<span class=\"line\">", w->out);
        if (l->number)
            fprintf(w->out, "<span class=\"number\">%d</span>", l->number);
        grdi_page_escape(w->out, l->text);
        fputs("</span>", w->out);
    }
    fputs("</code></pre>\n", w->out);
}

static void write_message(writer *w, const part *p)
{
    const char *text = words_named(w->d, p->names);
    fputs("<p class=\"message\"><strong>Error</strong> <code>", w->out);
    grdi_page_escape(w->out, text ? text : "");
    fputs("</code></p>\n", w->out);
}

static void write_plot_part(writer *w, const part *p)
{
    write_within(w, "<figure><figcaption>", p->text, "</figcaption>");
    write_plot(w->out, w->d, &p->plot);
    fputs("</figure>\n", w->out);
}

static void (*const writers[PART_KINDS])(writer *w, const part *p) = {
    [SECTION] = write_section,   [TEXT] = write_paragraph,       [REMARK] = write_remark,
    [QUESTION] = write_question, [FORMULA] = write_formula_part, [PICTURE] = write_picture,
    [LISTING] = write_listing,   [TABLE] = write_table,          [COLUMNS] = write_columns,
    [MATRIX] = write_matrix,     [PLOT] = write_plot_part,       [MESSAGE] = write_message,
};

static void write_parts(FILE *out, const document *d, int level)
{
    writer w = { out, d, level };
    for (const part *p = d->parts; p; p = p->next)
        writers[p->kind](&w, p);
}

/* ---- Pages ---- */

static void write_link(FILE *out, const document *to, const char *prefix, const char *suffix)
{
    fprintf(out, "<a href=\"%s%s%s\">%s</a>", prefix, to->lesson->name, suffix, to->lesson->title);
}

static void write_contents(FILE *out, document *const lessons[], int count, const char *prefix,
                           const char *suffix)
{
    fputs("<nav aria-label=\"Lessons\"><ol class=\"lessons\">\n", out);
    for (int i = 0; i < count; i++) {
        fputs("<li>", out);
        write_link(out, lessons[i], prefix, suffix);
        fprintf(out, "<br><span class=\"quiet\">%s</span></li>\n", lessons[i]->lesson->summary);
    }
    fputs("</ol></nav>\n", out);
}

/* Before and after a lesson in a folder. */
static void write_neighbours(FILE *out, document *const lessons[], int count, int i)
{
    fputs("<nav class=\"neighbours\" aria-label=\"Other lessons\">", out);
    fputs("<span>", out);
    if (i > 0) {
        fputs("<span aria-hidden=\"true\">← </span>", out);
        write_link(out, lessons[i - 1], "", ".html");
    }
    fputs("</span><a href=\"index.html\">All lessons</a><span>", out);
    if (i + 1 < count) {
        write_link(out, lessons[i + 1], "", ".html");
        fputs("<span aria-hidden=\"true\"> →</span>", out);
    }
    fputs("</span></nav>\n", out);
}

/* A page whose body is being written; false with an error latched. */
typedef struct draft {
    FILE *out;
    char *body;
    size_t size;
} draft;

static bool begin(draft *page)
{
    *page = (draft){ 0 };
    page->out = open_memstream(&page->body, &page->size);
    return page->out || grdi_fail_memory("teach", sizeof *page);
}

static bool finish(draft *page, const char *path, const char *title)
{
    static const char *const assets[] = { "teach.css", NULL };
    if (fclose(page->out) != 0)
        grdi_fail_memory("teach", page->size);
    grdi_page whole = { .title = title, .body = page->body, .assets = assets };
    const bool done = !grdi_latched() && grdi_page_write("teach", path, &whole, true);
    free(page->body);
    return done;
}

static const char course[] = "Autograd in short lessons";
static const char about[] =
    "<p>Every listing is the code that ran when this page was made, and every number "
    "is what it computed. In a terminal: <code>gradus teach</code>.</p>\n";

bool write_page(const char *path, document *const lessons[], int count)
{
    draft page;
    if (!begin(&page))
        return false;
    if (count > 1) {
        fputs(about, page.out);
        write_contents(page.out, lessons, count, "#", "");
    }
    for (int i = 0; i < count; i++) {
        const lesson *told = lessons[i]->lesson;
        fputs("<article>\n", page.out);
        if (count > 1)
            fprintf(page.out, "<h2 id=\"%s\">%s</h2>\n", told->name, told->title);
        write_parts(page.out, lessons[i], count > 1 ? 3 : 2);
        fputs("</article>\n", page.out);
    }
    return finish(&page, path, count > 1 ? course : lessons[0]->lesson->title);
}

static bool write_one(const char *path, document *const lessons[], int count, int i)
{
    draft page;
    if (!begin(&page))
        return false;
    write_neighbours(page.out, lessons, count, i);
    fputs("<article>\n", page.out);
    write_parts(page.out, lessons[i], 2);
    fputs("</article>\n", page.out);
    write_neighbours(page.out, lessons, count, i);
    return finish(&page, path, lessons[i]->lesson->title);
}

static bool write_index(const char *path, document *const lessons[], int count)
{
    draft page;
    if (!begin(&page))
        return false;
    fputs(about, page.out);
    write_contents(page.out, lessons, count, "", ".html");
    return finish(&page, path, course);
}

bool write_folder(const char *folder, document *const lessons[], int count)
{
    char path[4096];
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return grdi_fail(GRD_ERROR_IO, "teach", "%s cannot be made: %s", folder, strerror(errno));
    snprintf(path, sizeof path, "%s/index.html", folder);
    bool done = write_index(path, lessons, count);
    for (int i = 0; i < count && done; i++) {
        snprintf(path, sizeof path, "%s/%s.html", folder, lessons[i]->lesson->name);
        done = write_one(path, lessons, count, i);
    }
    return done;
}
