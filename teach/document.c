#include "teach/document.h"
#include "tensor/object.h"

#include <stdlib.h>
#include <string.h>

const lesson lessons[] = {
#define LESSON(name, title, summary) { #name, title, summary, tell_##name },
#include "teach/lessons.def"
#undef LESSON
};
const int num_lessons = sizeof lessons / sizeof lessons[0];

const lesson *lesson_named(const char *name)
{
    char *end;
    const long number = strtol(name, &end, 10);
    if (*name && !*end)
        return number >= 1 && number <= num_lessons ? &lessons[number - 1] : NULL;
    for (int i = 0; i < num_lessons; i++)
        if (strcmp(lessons[i].name, name) == 0)
            return &lessons[i];
    return NULL;
}

/* ---- Memory: all of a document goes at once ---- */

typedef struct block {
    struct block *next;
    size_t bytes;
    _Alignas(max_align_t) unsigned char data[];
} block;

/* Zeroed; NULL while an error is latched, so that a lesson ends with its first one. */
static void *take(document *d, size_t bytes)
{
    if (grdi_latched())
        return NULL;
    block *b = grdi_allocate(sizeof *b + bytes);
    if (!b)
        return grdi_fail_memory("teach", sizeof *b + bytes);
    *b = (block){ .next = d->blocks, .bytes = sizeof *b + bytes };
    d->blocks = b;
    return memset(b->data, 0, bytes);
}

void document_free(document *d)
{
    if (!d)
        return;
    for (block *b = d->blocks, *next; b; b = next) {
        next = b->next;
        grdi_free(b, b->bytes);
    }
    grdi_free(d, sizeof *d);
}

document *document_create(const lesson *told)
{
    if (grdi_latched())
        return NULL;
    document *d = grdi_allocate(sizeof *d);
    if (!d)
        return grdi_fail_memory("teach", sizeof *d);
    *d = (document){ .lesson = told };
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    told->tell(d);
    if (grd_scope_end(scope) == GRD_OK)
        return d;
    document_free(d);
    return NULL;
}

/* ---- Parts ---- */

static part *put(document *d, part_kind kind, const char *text)
{
    part *p = take(d, sizeof *p);
    if (!p)
        return NULL;
    p->kind = kind;
    p->text = text;
    *(d->last ? &d->last->next : &d->parts) = p;
    d->last = p;
    return p;
}

static void put_line(document *d, part *p, const char *text, int number)
{
    line *l = p ? take(d, sizeof *l) : NULL;
    if (!l)
        return;
    l->text = text;
    l->number = number;
    *(p->last ? &p->last->next : &p->lines) = l;
    p->last = l;
}

void put_section(document *d, const char *title)
{
    put(d, SECTION, title);
}

void put_text(document *d, const char *text)
{
    put(d, TEXT, text);
}

void put_remark(document *d, const char *text)
{
    put(d, REMARK, text);
}

void put_formula(document *d, const char *formula)
{
    put(d, FORMULA, formula);
}

static part *put_two(document *d, part_kind kind, const char *text, const char *more)
{
    part *p = put(d, kind, text);
    if (p)
        p->more = more;
    return p;
}

void put_question(document *d, const char *question, const char *answer)
{
    put_two(d, QUESTION, question, answer);
}

void put_picture(document *d, const char *caption, const char *lines)
{
    put_two(d, PICTURE, caption, lines);
}

void number_lines(document *d)
{
    d->numbered = true;
}

void put_code(document *d, int line, const char *statement)
{
    part *p = d->last && d->last->kind == LISTING ? d->last : put(d, LISTING, NULL);
    put_line(d, p, statement, d->numbered ? line : 0);
}

void put_table(document *d, const char *caption, const char *heads)
{
    put_two(d, TABLE, caption, heads);
}

void put_row(document *d, const char *cells)
{
    if (!d->last || d->last->kind != TABLE)
        grdi_fail(GRD_ERROR_STATE, "teach", "a row without a table: %s", cells);
    put_line(d, d->last, cells, 0);
}

void put_columns(document *d, const char *caption, const char *heads, const char *names)
{
    part *p = put_two(d, COLUMNS, caption, heads);
    if (p)
        p->names = names;
}

void put_matrix(document *d, const char *caption, const char *name, const char *rows,
                const char *columns)
{
    part *p = put_two(d, MATRIX, caption, columns);
    if (!p)
        return;
    p->names = name;
    p->rows = rows;
}

void put_plot(document *d, const plot *shown)
{
    part *p = put(d, PLOT, shown->caption);
    if (p)
        p->plot = *shown;
}

/* ---- Names ---- */

static figures *find_figures(const document *d, const char *name)
{
    figures *f = d->figures;
    while (f && strcmp(f->name, name) != 0)
        f = f->next;
    return f;
}

const figures *figures_named(const document *d, const char *name)
{
    const figures *f = find_figures(d, name);
    return f ? f : grdi_fail(GRD_ERROR_ARGUMENT, "teach", "no number is called %s", name);
}

static figures *add_figures(document *d, const char *name, int64_t rank, int64_t rows,
                            int64_t columns)
{
    if (find_figures(d, name))
        return grdi_fail(GRD_ERROR_ARGUMENT, "teach", "two numbers are called %s", name);
    figures *f = take(d, sizeof *f + (size_t)(rows * columns) * sizeof(double));
    if (!f)
        return NULL;
    f->name = name;
    f->rank = rank;
    f->rows = rows;
    f->columns = columns;
    f->next = d->figures;
    return d->figures = f;
}

void name_number(document *d, const char *name, double x)
{
    figures *f = add_figures(d, name, 0, 1, 1);
    if (f)
        f->at[0] = x;
}

void name_numbers(document *d, const char *name, const double *x, int64_t count)
{
    figures *f = add_figures(d, name, 1, 1, count);
    if (f)
        memcpy(f->at, x, (size_t)count * sizeof *x);
}

void name_tensor(document *d, const char *name, const grd_tensor *x)
{
    const grd_shape shape = grd_tensor_shape(x);
    if (!x || shape.rank > 2) {
        grdi_fail(GRD_ERROR_SHAPE, "teach", "%s has %lld dimensions, at most 2 can be shown", name,
                  (long long)shape.rank);
        return;
    }
    const int64_t rows = shape.rank == 2 ? shape.size[0] : 1;
    figures *f = add_figures(d, name, shape.rank, rows, grd_tensor_count(x) / (rows ? rows : 1));
    if (f && grd_read_f64(x, f->at, grd_tensor_count(x)) != GRD_OK)
        d->figures = f->next;
}

/* "at ../teach/in_place.c:31" as "at in_place.c:31". */
static void shorten_places(char *text)
{
    char *to = text, *word = text;
    for (const char *from = text; *from; from++) {
        *to++ = *from;
        if (*from == ' ' || *from == '(')
            word = to;
        else if (*from == '/' && strstr(from, ".c:") &&
                 !memchr(from, ' ', (size_t)(strstr(from, ".c:") - from)))
            to = word;
    }
    *to = '\0';
}

void put_message(document *d, const char *name)
{
    const bool failed = grd_error_take() != GRD_OK;
    const char *text = grd_error_message();
    if (!failed) {
        grdi_fail(GRD_ERROR_STATE, "teach", "nothing failed for the message %s", name);
        return;
    }
    words *w = take(d, sizeof *w + strlen(text) + 1);
    if (!w)
        return;
    w->name = name;
    shorten_places(strcpy(w->text, text));
    w->next = d->words;
    d->words = w;
    part *p = put(d, MESSAGE, NULL);
    if (p)
        p->names = name;
}

const char *words_named(const document *d, const char *name)
{
    for (const words *w = d->words; w; w = w->next)
        if (strcmp(w->name, name) == 0)
            return w->text;
    return grdi_fail(GRD_ERROR_ARGUMENT, "teach", "no message is called %s", name);
}
