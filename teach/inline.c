/* Texts with markup, taken apart; and numbers as people write them. */
#include "teach/document.h"
#include "tensor/object.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "1e-06" as "1e-6". */
static void shorten_exponent(char *text)
{
    char *exponent = strchr(text, 'e');
    if (!exponent)
        return;
    char *digits = exponent + (exponent[1] == '-' ? 2 : 1), *from = digits;
    while (*from == '+' || (*from == '0' && from[1]))
        from++;
    memmove(digits, from, strlen(from) + 1);
}

void format_number(double x, int digits, char buffer[32])
{
    if (isnan(x))
        strcpy(buffer, "nan"); /* it may have a sign, which means nothing */
    else if (isfinite(x) && x == floor(x) && fabs(x) < 1e15)
        snprintf(buffer, 32, "%.0f", x == 0 ? 0 : x);
    else
        snprintf(buffer, 32, "%.*g", digits, x);
    shorten_exponent(buffer);
}

void format_decimals(double x, int decimals, char buffer[32])
{
    if (decimals < 0 || !isfinite(x))
        format_number(x, decimals < 0 ? 3 : 4, buffer);
    else
        snprintf(buffer, 32, "%.*f", decimals, fabs(x) < 0.5 * pow(10, -decimals) ? 0 : x);
}

/* Whether so many decimals say all of x. */
static bool is_exact(double x, int decimals)
{
    const double shifted = x * pow(10, decimals);
    return fabs(shifted - round(shifted)) <= 1e-9 * fabs(shifted);
}

int decimals_for(const double *x, int64_t count)
{
    int exact = 0;
    double most = 0, least = INFINITY;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(x[i]) || x[i] == 0)
            continue;
        while (exact < 4 && !is_exact(x[i], exact))
            exact++;
        most = fmax(most, fabs(x[i]));
        least = fmin(least, fabs(x[i]));
    }
    if (exact == 0 && most < 1e15)
        return 0;
    return most >= 1e4 || least < 1e-3 ? -1 : most >= 100 && exact > 2 ? 2 : exact;
}

/* The {name[1,0]:2} that starts at `text`; the end behind its brace, NULL with an error. */
static const char *read_number(const document *d, const char *text, double *x, int *digits)
{
    char name[48];
    const size_t length = strcspn(text + 1, "[:}");
    int64_t index[2] = { 0, 0 };
    int given = 0;
    snprintf(name, sizeof name, "%.*s", (int)length, text + 1);
    const figures *f = figures_named(d, name);
    char *at = (char *)text + 1 + length;
    for (char stop = '['; f && *at == stop && given < 2; stop = ',')
        index[given++] = strtoll(at + 1, &at, 10);
    at += *at == ']';
    if (*at == ':')
        *digits = (int)strtol(at + 1, &at, 10);
    const int64_t row = given == 2 ? index[0] : 0, column = index[given == 2];
    if (!f)
        return NULL;
    if (*at != '}' || given != f->rank || row >= f->rows || column >= f->columns)
        return grdi_fail(GRD_ERROR_ARGUMENT, "teach", "no number is %.40s", text);
    *x = f->at[row * f->columns + column];
    return at + 1;
}

static bool next_number(const document *d, const char **at, span *s)
{
    double x = NAN;
    int digits = 4;
    const char *end = read_number(d, *at, &x, &digits);
    if (!end)
        return false;
    format_number(x, digits, s->buffer);
    s->kind = NUMBER;
    s->text = s->buffer;
    s->length = strlen(s->buffer);
    *at = end;
    return true;
}

/* Up to the same character again. */
static bool next_marked(const char **at, span *s)
{
    const char *end = strchr(*at + 1, **at);
    if (!end)
        return grdi_fail(GRD_ERROR_ARGUMENT, "teach", "this mark is not closed: %.40s", *at);
    s->kind = **at == '`' ? CODE : EMPHASIS;
    s->text = *at + 1;
    s->length = (size_t)(end - s->text);
    *at = end + 1;
    return true;
}

bool next_span(const document *d, const char **at, span *s)
{
    if (!**at)
        return false;
    if (**at == '{')
        return next_number(d, at, s);
    if (**at == '`' || **at == '*')
        return next_marked(at, s);
    s->kind = PLAIN;
    s->text = *at;
    s->length = strcspn(*at, "{`*");
    *at += s->length;
    return true;
}

bool next_cell(const char **at, cell *c)
{
    if (!*at)
        return false;
    const char *from = *at, *bar = strchr(from, '|');
    const char *to = bar ? bar : from + strlen(from);
    while (*from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    snprintf(c->text, sizeof c->text, "%.*s", (int)(to - from), from);
    *at = bar ? bar + 1 : NULL;
    return true;
}
