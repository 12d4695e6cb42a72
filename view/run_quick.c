/* The lines that gradus train writes, read several times as fast as by a library for all JSON:
 * there may be a hundred thousand. Whatever is not plain (texts, escapes, other objects, numbers
 * that do not fit) is left to that library, which also says what is wrong. */
#include "view/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    grdi_run *run;
    const char *at;
    int64_t layers; /* of this line, so far */
    bool resumed;
} reader;

/* What a value may be here. */
typedef enum value_kind { NONE, INTEGER, REAL, NOTHING, TRUE_OR_FALSE } value_kind;
typedef struct value {
    value_kind kind;
    double number; /* 1: true */
} value;

static char skip_spaces(reader *r)
{
    r->at += strspn(r->at, " \t\r");
    return *r->at;
}

static bool skip(reader *r, char wanted)
{
    if (skip_spaces(r) != wanted)
        return false;
    r->at++;
    return true;
}

static bool skip_word(reader *r, const char *word)
{
    const size_t length = strlen(word);
    if (strncmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

static size_t digits(const char *at)
{
    return strspn(at, "0123456789");
}

/* How long a number is in JSON's grammar, which strtod's contains; 0: it is none. */
static size_t length_of_number(const char *start, bool *whole)
{
    const char *at = start + (*start == '-');
    const size_t before = digits(at);
    if (before == 0 || (before > 1 && *at == '0'))
        return 0;
    at += before;
    *whole = *at != '.' && *at != 'e' && *at != 'E';
    if (*at == '.') {
        const size_t behind = digits(at + 1);
        if (behind == 0)
            return 0;
        at += 1 + behind;
    }
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '-' || at[1] == '+');
        if (digits(at) == 0)
            return 0;
        at += digits(at);
    }
    return (size_t)(at - start);
}

/* strtod stops early where the locale has no decimal point: then it is left, too. */
static value read_number(reader *r)
{
    bool whole = false;
    char *end;
    const size_t length = length_of_number(r->at, &whole);
    const double number = length ? strtod(r->at, &end) : NAN;
    if (!length || (size_t)(end - r->at) != length || !isfinite(number) || (whole && length > 18))
        return (value){ NONE, 0 };
    r->at = end;
    return (value){ whole ? INTEGER : REAL, number };
}

static value read_value(reader *r)
{
    static const struct {
        const char *word;
        value value;
    } words[] = {
        { "null", { NOTHING, NAN } },
        { "true", { TRUE_OR_FALSE, 1 } },
        { "false", { TRUE_OR_FALSE, 0 } },
    };
    skip_spaces(r);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (skip_word(r, words[i].word))
            return words[i].value;
    return read_number(r);
}

/* A name in quotes without escapes or letters beyond ASCII, and the colon. NULL: another. */
static const char *read_name(reader *r, size_t *length)
{
    if (!skip(r, '"'))
        return NULL;
    const char *name = r->at;
    while (*r->at >= ' ' && *r->at < 127 && *r->at != '"' && *r->at != '\\')
        r->at++;
    *length = (size_t)(r->at - name);
    return *r->at++ == '"' && skip(r, ':') ? name : NULL;
}

static bool is_name(const char *name, size_t length, const char *wanted)
{
    return strlen(wanted) == length && memcmp(name, wanted, length) == 0;
}

/* The members of an object, each by `take`, behind its opening brace. */
static bool read_members(reader *r, bool (*take)(reader *r, const char *name, size_t length))
{
    if (skip(r, '}'))
        return true;
    do {
        size_t length;
        const char *name = read_name(r, &length);
        if (!name || !take(r, name, length))
            return false;
    } while (skip(r, ','));
    return skip(r, '}');
}

static bool take_layer(reader *r, const char *name, size_t length)
{
    const value v = read_value(r);
    if (v.kind == NONE || v.kind == TRUE_OR_FALSE)
        return false;
    const int64_t column = grdi_run_layer(r->run, name, length, r->layers++);
    if (column)
        r->run->values[r->run->rows * r->run->width + column] = v.number;
    return !grdi_latched();
}

static bool take_member(reader *r, const char *name, size_t length)
{
    static const char *const names[] = { "step",      "tokens",           "loss", "val_loss", "lr",
                                         "grad_norm", "tokens_per_second" };
    if (is_name(name, length, "grad_norms"))
        return skip(r, '{') && read_members(r, take_layer);
    const value v = read_value(r);
    if (is_name(name, length, "resumed"))
        r->resumed = v.kind == TRUE_OR_FALSE && v.number == 1;
    for (int i = 0; i < GRDI_RUN_LAYERS; i++)
        if (is_name(name, length, names[i])) {
            r->run->values[r->run->rows * r->run->width + i] = v.number;
            return i == GRDI_RUN_STEP ? v.kind == INTEGER : v.kind != TRUE_OR_FALSE && v.kind;
        }
    return v.kind != NONE;
}

bool grdi_run_quick(grdi_run *run, const char *line, bool *resumed)
{
    reader r = { .run = run, .at = line };
    if (!skip(&r, '{') || !grdi_run_next_row(run) || !read_members(&r, take_member) ||
        skip_spaces(&r))
        return false;
    const double step = run->values[run->rows * run->width + GRDI_RUN_STEP];
    *resumed = r.resumed;
    return step >= 0 && step <= GRDI_RUN_LAST_STEP;
}
