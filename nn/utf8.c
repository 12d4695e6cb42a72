#include "nn/utf8.h"

/* Of the first byte: how many there are, and the least code point that needs so many. */
static const struct {
    unsigned char mask, lead;
    int32_t least;
} forms[] = {
    { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 }
};

int32_t grdi_utf8_next(const char *text, size_t size, size_t *taken)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t extra = 0; extra < 4; extra++) {
        if ((bytes[0] & forms[extra].mask) != forms[extra].lead)
            continue;
        int32_t code = bytes[0] & (unsigned char)~forms[extra].mask;
        for (size_t i = 1; i <= extra; i++) {
            if (i >= size || (bytes[i] & 0xc0) != 0x80)
                return -1;
            code = code << 6 | (bytes[i] & 0x3f);
        }
        const bool surrogate = code >= 0xd800 && code < 0xe000;
        *taken = extra + 1;
        return code < forms[extra].least || surrogate || code > 0x10ffff ? -1 : code;
    }
    return -1;
}

size_t grdi_utf8_put(int32_t code, char out[4])
{
    size_t extra = 0;
    while (extra < 3 && code >= forms[extra + 1].least)
        extra++;
    for (size_t i = extra; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(forms[extra].lead | code);
    return extra + 1;
}

bool grdi_utf8_valid(const char *text, size_t size)
{
    for (size_t at = 0, taken; at < size; at += taken)
        if (grdi_utf8_next(text + at, size - at, &taken) < 0)
            return false;
    return true;
}

bool grdi_utf8_hidden(int32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x2069) || code == 0xfeff;
}

bool grdi_utf8_plain(const char *text, size_t size)
{
    for (size_t at = 0, taken; at < size; at += taken) {
        const int32_t code = grdi_utf8_next(text + at, size - at, &taken);
        if (code < 0 || grdi_utf8_hidden(code))
            return false;
    }
    return true;
}
