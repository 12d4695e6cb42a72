/* How documents are told and shown. */
#include "tests/counter.h"
#include "tests/teach/lessons.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Numbers are computed, not typed ---- */

/* "f32", "query 0", "half an hour": digits may belong to a name. */
static bool is_name(const char *text, const char *digit)
{
    static const char *const before[] = { "query ", "Query ", "key ", "ops.h" };
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        const size_t length = strlen(before[i]);
        if ((size_t)(digit - text) >= length && strncmp(digit - length, before[i], length) == 0)
            return true;
    }
    return digit > text && isalpha((unsigned char)digit[-1]);
}

static void expect_no_digits(const document *d, const char *text)
{
    span s;
    for (const char *at = text; text && next_span(d, &at, &s);)
        for (size_t i = 0; s.kind != NUMBER && s.kind != CODE && i < s.length; i++)
            if (isdigit((unsigned char)s.text[i]) &&
                (i == 0 || !isalnum((unsigned char)s.text[i - 1])))
                cr_expect(is_name(s.text, s.text + i), "%s: a number is typed: %s", d->lesson->name,
                          s.text + i);
}

Test(teach, no_number_is_typed)
{
    grd_scope *scope = grd_scope_begin();
    for (int i = 0; i < num_lessons; i++) {
        document *d = document_create(&lessons[i]);
        cr_assert(d, "%s", grd_error_message());
        for (const part *p = d->parts; p; p = p->next)
            if (p->kind == TEXT || p->kind == REMARK || p->kind == QUESTION) {
                expect_no_digits(d, p->text);
                expect_no_digits(d, p->more);
            }
        document_free(d);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* ---- Names of lessons ---- */

Test(teach, lessons_have_names_and_numbers)
{
    for (int i = 0; i < num_lessons; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i + 1);
        cr_expect_eq(lesson_named(lessons[i].name), &lessons[i]);
        cr_expect_eq(lesson_named(number), &lessons[i]);
    }
    cr_expect_null(lesson_named(""));
    cr_expect_null(lesson_named("0"));
    cr_expect_null(lesson_named("11"));
    cr_expect_null(lesson_named("diamonds"));
}

/* ---- Numbers, formulas ---- */

static void expect_format(double x, int digits, const char *text)
{
    char buffer[32];
    format_number(x, digits, buffer);
    cr_expect_str_eq(buffer, text);
}

Test(teach, numbers_are_short)
{
    expect_format(3, 4, "3");
    expect_format(-0.0, 4, "0");
    expect_format(4294967296, 4, "4294967296");
    expect_format(1.0 / 3, 4, "0.3333");
    expect_format(1e-6, 4, "1e-6");
    expect_format(1.26e-100, 2, "1.3e-100");
    expect_format(1e20, 4, "1e20");
    expect_format(-INFINITY, 4, "-inf");
    expect_format(-NAN, 4, "nan");
    expect_format(NAN, 4, "nan");
    cr_expect_eq(decimals_for((double[]){ 1, 2, 300 }, 3), 0);
    cr_expect_eq(decimals_for((double[]){ 0.25, 64 }, 2), 2);
    cr_expect_eq(decimals_for((double[]){ 1.0 / 3, 2, NAN }, 3), 4);
    cr_expect_eq(decimals_for((double[]){ 123.456, 2 }, 2), 2);
    cr_expect_eq(decimals_for((double[]){ 1e-17, 2e-17 }, 2), -1);
}

static char *formula_of(const document *d, const char *formula,
                        void write(FILE *, const document *, const char *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    write(out, d, formula);
    fclose(out);
    return text;
}

static void expect_formula(const document *d, const char *formula, const char *line,
                           const char *markup)
{
    char *printed = formula_of(d, formula, print_formula);
    char *written = formula_of(d, formula, write_formula);
    cr_expect_str_eq(printed, line);
    cr_expect(strstr(written, markup), "%s is not in %s", markup, written);
    free(printed);
    free(written);
}

Test(teach, formulas)
{
    document *d = tell("diamond");
    expect_formula(d, "x_i^2", "x_i²", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>");
    expect_formula(d, "δ_[ij] - 1", "δ_ij - 1",
                   "<msub><mi>δ</mi><mrow><mi>ij</mi></mrow></msub><mo>−</mo><mn>1</mn>");
    expect_formula(d, "frac[1][sqrt[D]]", "1/√D",
                   "<mfrac><mrow><mn>1</mn></mrow><mrow><msqrt><mrow><mi>D</mi></mrow></msqrt>"
                   "</mrow></mfrac>");
    expect_formula(d, "frac[a + b][2 c]", "(a + b)/(2 c)", "<mo>+</mo>");
    expect_formula(d, "y = {by u}", "y = 36", "<mn>36</mn>");
    expect_formula(d, "a < b", "a < b", "<mo>&#60;</mo>");
    document_free(d);
}

/* ---- Mistakes in a lesson ---- */

static void tell_nothing(document *d)
{
    name_number(d, "one", 1);
    name_numbers(d, "two", (double[]){ 1, 2 }, 2);
}

static void expect_wrong(const char *text, const char *message)
{
    static const lesson made = { "made", "Made up", "", tell_nothing };
    grd_scope *scope = grd_scope_begin();
    document *d = document_create(&made);
    span s;
    while (next_span(d, &text, &s))
        ;
    cr_expect(strstr(grd_error_message(), message), "%s", grd_error_message());
    cr_expect_neq(grd_error_take(), GRD_OK);
    document_free(d);
    grd_scope_end(scope);
}

Test(teach, wrong_markup_is_an_error)
{
    expect_wrong("a {three}", "teach: no number is called three");
    expect_wrong("a {one[0]}", "teach: no number is {one[0]}");
    expect_wrong("a {two}", "teach: no number is {two}");
    expect_wrong("a {two[2]}", "teach: no number is {two[2]}");
    expect_wrong("a {two[1]", "teach: no number is {two[1]");
    expect_wrong("a `b", "teach: this mark is not closed: `b");
}

static void name_twice(document *d)
{
    name_number(d, "one", 1);
    name_number(d, "one", 1);
}

static void end_in_an_error(document *d)
{
    (void)d;
    grd_backward(grd_scalar(1));
}

static void expect_nothing_failed(document *d)
{
    put_message(d, "none");
}

Test(teach, wrong_lessons_are_errors)
{
    void (*const tells[])(document *) = { name_twice, end_in_an_error, expect_nothing_failed };
    const char *const messages[] = { "two numbers are called one", "does not require grad",
                                     "nothing failed for the message none" };
    for (int i = 0; i < 3; i++) {
        const lesson made = { "made", "Made up", "", tells[i] };
        grd_scope *scope = grd_scope_begin();
        cr_expect_null(document_create(&made));
        cr_expect(strstr(grd_error_message(), messages[i]), "%s", grd_error_message());
        grd_error_take();
        grd_scope_end(scope);
    }
}

/* ---- Out of memory, at every place ---- */

static grd_status tell_one(void)
{
    grd_scope *scope = grd_scope_begin();
    document_free(document_create(lesson_named("in_place")));
    document_free(document_create(lesson_named("broadcast")));
    return grd_scope_end(scope);
}

Test(teach, every_allocation_may_fail)
{
    fail_at_every_allocation(tell_one, 100);
}
