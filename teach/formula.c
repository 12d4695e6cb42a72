/* Formulas, as a line of characters and as MathML.
 *
 *     formula  items, one after the other
 *     item     atom, then _ atom, then ^ atom, both optional
 *     atom     name | number | {name} | [formula] | frac[formula][formula] | sqrt[formula] | sign
 */
#include "teach/document.h"
#include "view/page.h"

#include <ctype.h>
#include <string.h>

static size_t character(const char *at)
{
    size_t length = *at != '\0';
    while (((unsigned char)at[length] & 0xc0) == 0x80)
        length++;
    return length;
}

static const char *group_end(const char *at)
{
    int depth = 0;
    do
        depth += (*at == '[') - (*at == ']');
    while (*at && (at++, depth > 0));
    return at;
}

static bool starts(const char *at, const char *word)
{
    return strncmp(at, word, strlen(word)) == 0;
}

/* Behind letters, or digits with their point. */
static const char *run_end(const char *at)
{
    const bool letters = isalpha((unsigned char)*at);
    while (letters ? isalpha((unsigned char)*at) : isdigit((unsigned char)*at) || *at == '.')
        at++;
    return at;
}

static const char *atom_end(const char *at)
{
    if (*at == '[')
        return group_end(at);
    if (starts(at, "frac["))
        return group_end(group_end(at + 4));
    if (starts(at, "sqrt["))
        return group_end(at + 4);
    if (*at == '{')
        return at + strcspn(at, "}") + 1;
    const char *end = run_end(at);
    return end > at ? end : at + character(at);
}

/* A piece of a formula, and for whom it is written. */
typedef struct setter {
    FILE *out;
    const document *d;
} setter;
typedef void set_piece(const setter *s, const char *from, const char *to);

static void set_number(const setter *s, const char *at, void put(FILE *, const char *))
{
    span number;
    if (next_span(s->d, &at, &number))
        put(s->out, number.buffer);
}

/* ---- Characters ---- */

static set_piece print_items;

static void print_plain(FILE *out, const char *text)
{
    fputs(text, out);
}

static bool is_simple(const char *from, const char *to)
{
    return !memchr(from, ' ', (size_t)(to - from));
}

static void print_bracketed(const setter *s, const char *from, const char *to)
{
    const bool simple = is_simple(from + 1, to - 1);
    fputs(simple ? "" : "(", s->out);
    print_items(s, from + 1, to - 1);
    fputs(simple ? "" : ")", s->out);
}

static void print_atom(const setter *s, const char *from, const char *to)
{
    if (*from == '[') {
        print_items(s, from + 1, to - 1);
    } else if (starts(from, "frac[")) {
        print_bracketed(s, from + 4, group_end(from + 4));
        fputc('/', s->out);
        print_bracketed(s, group_end(from + 4), to);
    } else if (starts(from, "sqrt[")) {
        fputs("√", s->out);
        print_bracketed(s, from + 4, to);
    } else if (*from == '{') {
        set_number(s, from, print_plain);
    } else {
        fwrite(from, 1, (size_t)(to - from), s->out);
    }
}

static void print_power(const setter *s, const char *from, const char *to)
{
    static const char *const raised[][2] = { { "2", "²" }, { "3", "³" }, { "T", "ᵀ" } };
    for (size_t i = 0; i < sizeof raised / sizeof raised[0]; i++)
        if (to - from == 1 && *from == *raised[i][0]) {
            fputs(raised[i][1], s->out);
            return;
        }
    fputc('^', s->out);
    print_atom(s, from, to);
}

static void print_items(const setter *s, const char *at, const char *end)
{
    for (const char *next; at < end; at = next) {
        next = atom_end(at);
        if (*at == '_') {
            fputc('_', s->out);
        } else if (*at == '^') {
            next = atom_end(at + 1);
            print_power(s, at + 1, next);
        } else {
            print_atom(s, at, next);
        }
    }
}

void print_formula(FILE *out, const document *d, const char *formula)
{
    print_items(&(setter){ out, d }, formula, formula + strlen(formula));
}

/* ---- MathML ---- */

static set_piece write_items;

static void write_group(const setter *s, const char *from, const char *to)
{
    fputs("<mrow>", s->out);
    write_items(s, from, to);
    fputs("</mrow>", s->out);
}

static void write_element(const setter *s, const char *tag, const char *from, const char *to)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)(to - from), from);
    fprintf(s->out, "<%s>", tag);
    grdi_page_escape(s->out, text);
    fprintf(s->out, "</%.2s>", tag);
}

static void write_minus(FILE *out, const char *text)
{
    const bool negative = *text == '-';
    fprintf(out, "%s<mn>%s</mn>%s", negative ? "<mrow><mo>−</mo>" : "", text + negative,
            negative ? "</mrow>" : "");
}

static void write_atom(const setter *s, const char *from, const char *to)
{
    if (*from == '[') {
        write_group(s, from + 1, to - 1);
    } else if (starts(from, "frac[")) {
        const char *middle = group_end(from + 4);
        fputs("<mfrac>", s->out);
        write_group(s, from + 5, middle - 1);
        write_group(s, middle + 1, to - 1);
        fputs("</mfrac>", s->out);
    } else if (starts(from, "sqrt[")) {
        fputs("<msqrt>", s->out);
        write_group(s, from + 5, to - 1);
        fputs("</msqrt>", s->out);
    } else if (*from == '{') {
        set_number(s, from, write_minus);
    } else if (*from == '-') {
        fputs("<mo>−</mo>", s->out);
    } else {
        const bool name = isalpha((unsigned char)*from) || starts(from, "∂") || starts(from, "δ");
        const bool word = name && to - from > 2 && isalpha((unsigned char)from[1]);
        write_element(s,
                      word                            ? "mi class=\"word\""
                      : name                          ? "mi"
                      : isdigit((unsigned char)*from) ? "mn"
                                                      : "mo",
                      from, to);
    }
}

/* An atom with what stands below and above it. */
static const char *write_item(const setter *s, const char *at)
{
    static const char *const tags[] = { "", "msub", "msup", "msubsup" };
    const char *base = atom_end(at), *below = NULL, *above = NULL, *end = base;
    if (*end == '_')
        end = atom_end(below = end + 1);
    const char *below_end = end;
    if (*end == '^')
        end = atom_end(above = end + 1);
    const char *tag = tags[(below ? 1 : 0) + (above ? 2 : 0)];
    if (*tag)
        fprintf(s->out, "<%s>", tag);
    write_atom(s, at, base);
    if (below)
        write_atom(s, below, below_end);
    if (above)
        write_atom(s, above, end);
    if (*tag)
        fprintf(s->out, "</%s>", tag);
    return end;
}

/* Whether a product may end or begin so: the space in it is shown. */
static bool is_factor(char c)
{
    return isalnum((unsigned char)c) || strchr("[]{}", c);
}

static void write_items(const setter *s, const char *at, const char *end)
{
    for (const char *next; at < end; at = next) {
        next = *at == ' ' ? at + 1 : write_item(s, at);
        if (*at == ' ' && is_factor(at[-1]) && is_factor(at[1]))
            fputs("<mspace width=\"0.17em\"/>", s->out);
    }
}

void write_formula(FILE *out, const document *d, const char *formula)
{
    fputs("<math display=\"block\">", out);
    write_items(&(setter){ out, d }, formula, formula + strlen(formula));
    fputs("</math>\n", out);
}
