#include "tests/teach/lessons.h"

#include <math.h>
#include <string.h>

static grd_scope *scope;
static struct {
    const char *names[128];
    int count;
} checked;

document *tell(const char *name)
{
    const lesson *told = lesson_named(name);
    cr_assert(told, "no lesson %s", name);
    scope = grd_scope_begin();
    checked.count = 0;
    document *d = document_create(told);
    cr_assert(d, "%s", grd_error_message());
    return d;
}

static void check(const char *name)
{
    cr_assert(checked.count < 128);
    checked.names[checked.count++] = name;
}

static bool is_checked(const char *name)
{
    for (int i = 0; i < checked.count; i++)
        if (strcmp(checked.names[i], name) == 0)
            return true;
    return false;
}

void end_lesson(document *d)
{
    for (const figures *f = d->figures; f; f = f->next)
        cr_expect(is_checked(f->name), "no test knows what %s should be", f->name);
    for (const words *w = d->words; w; w = w->next)
        cr_expect(is_checked(w->name), "no test knows what %s should say", w->name);
    document_free(d);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

void expect_numbers(document *d, const char *name, const double *x, int64_t count, double tolerance)
{
    const figures *f = figures_named(d, name);
    cr_assert(f, "%s", grd_error_message());
    cr_assert_eq(f->rows * f->columns, count, "%s has %d numbers", name,
                 (int)(f->rows * f->columns));
    check(name);
    for (int64_t i = 0; i < count; i++)
        cr_expect((isnan(x[i]) && isnan(f->at[i])) || f->at[i] == x[i] ||
                      fabs(f->at[i] - x[i]) <= tolerance,
                  "%s [%d] is %.17g, expected %.17g", name, (int)i, f->at[i], x[i]);
}

void expect_number(document *d, const char *name, double x, double tolerance)
{
    expect_numbers(d, name, &x, 1, tolerance);
}

void expect_words(document *d, const char *name, const char *expected)
{
    const char *said = words_named(d, name);
    cr_assert(said, "%s", grd_error_message());
    check(name);
    cr_expect(strstr(said, expected), "%s says \"%s\", expected \"%s\"", name, said, expected);
}

int line_of(const document *d, const char *text)
{
    for (const part *p = d->parts; p; p = p->next)
        for (const line *l = p->lines; l; l = l->next)
            if (strncmp(l->text, text, strlen(text)) == 0)
                return l->number;
    cr_assert_fail("no line starts with %s", text);
    return 0;
}
