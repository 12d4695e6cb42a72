#include "nn/utf8.h"
#include "view/drawing.h"

#include <string.h>

/* Code points that take no column, and those that take two; the others take one. */
static const struct {
    int32_t first, last;
    int columns;
} widths[] = {
    { 0x300, 0x36f, 0 },     { 0x483, 0x489, 0 },     { 0x591, 0x5bd, 0 },
    { 0x610, 0x61a, 0 },     { 0x64b, 0x65f, 0 },     { 0x93c, 0x93c, 0 },
    { 0x94d, 0x94d, 0 },     { 0xe31, 0xe31, 0 },     { 0xe34, 0xe3a, 0 },
    { 0x1ab0, 0x1aff, 0 },   { 0x1dc0, 0x1dff, 0 },   { 0x20d0, 0x20ff, 0 },
    { 0xfe00, 0xfe0f, 0 },   { 0xfe20, 0xfe2f, 0 },   { 0xe0100, 0xe01ef, 0 },
    { 0x1100, 0x115f, 2 },   { 0x2e80, 0x303e, 2 },   { 0x3041, 0xa4cf, 2 },
    { 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 },   { 0xfe30, 0xfe6f, 2 },
    { 0xff00, 0xff60, 2 },   { 0xffe0, 0xffe6, 2 },   { 0x1f300, 0x1f64f, 2 },
    { 0x1f680, 0x1f6ff, 2 }, { 0x1f900, 0x1f9ff, 2 }, { 0x20000, 0x3fffd, 2 },
};

static int columns_of(int32_t code)
{
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        if (code >= widths[i].first && code <= widths[i].last)
            return widths[i].columns;
    return 1;
}

int64_t grdi_columns(const char *text)
{
    int64_t columns = 0;
    const size_t size = strlen(text);
    for (size_t at = 0, taken; at < size; at += taken)
        columns += columns_of(grdi_utf8_next(text + at, size - at, &taken));
    return columns;
}

/* What a character at `at` is shown as, and the bytes it took; an empty text at the end. */
static size_t shown(char out[16], const char *text, size_t at, size_t size)
{
    size_t taken;
    const int32_t code = grdi_utf8_next(text + at, size - at, &taken);
    const bool end = at == 0 || at + 1 == size;
    if (code < 0)
        return strcpy(out, "\xef\xbf\xbd"), 1;
    if (code == '\n' || code == '\t')
        strcpy(out, code == '\n' ? "\\n" : "\\t");
    else if (grdi_utf8_hidden(code))
        snprintf(out, 16, "\\u{%x}", (unsigned)code);
    else if (code == ' ' && end)
        strcpy(out, "\xe2\x90\xa3");
    else
        out[grdi_utf8_put(code, out)] = '\0';
    return taken;
}

/* A character that is cut off leaves room for the "…", which takes one column and three bytes. */
void grdi_label(char out[GRDI_LABEL], const char *text, int64_t columns)
{
    const size_t size = strlen(text);
    size_t used = 0, fits = 0; /* fits: so much of it, and an ellipsis */
    int64_t width = 0;
    char next[16];
    for (size_t at = 0; at < size;) {
        at += shown(next, text, at, size);
        width += grdi_columns(next);
        const size_t length = strlen(next);
        if (width > columns || used + length > GRDI_LABEL - 4) {
            strcpy(out + fits, "\xe2\x80\xa6");
            return;
        }
        memcpy(out + used, next, length);
        used += length;
        fits = width < columns ? used : fits;
    }
    out[used] = '\0';
}
