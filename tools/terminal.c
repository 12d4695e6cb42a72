#include "tools/terminal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool is_unsafe(uint32_t c, bool one_line)
{
    if (c == '\n' || c == '\t')
        return one_line;
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    const bool direction = c == 0x61c || c == 0x200e || c == 0x200f ||
                           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return control || direction;
}

static uint32_t decode(const unsigned char *bytes, int count)
{
    uint32_t c = count == 1 ? bytes[0] : bytes[0] & (0x7fu >> count);
    for (int i = 1; i < count; i++)
        c = c << 6 | (bytes[i] & 0x3f);
    return c;
}

static void put_replacement(FILE *out)
{
    fputs("\xef\xbf\xbd", out);
}

static void put_character(safe_text *text)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const uint32_t c = decode(text->pending, text->held);
    if (c < least[text->held] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        put_replacement(text->out);
    else if (is_unsafe(c, text->one_line))
        fprintf(text->out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\u{%x}", (unsigned)c);
    else
        fwrite(text->pending, 1, (size_t)text->held, text->out);
    text->held = 0;
}

static int length_from(unsigned char first)
{
    return first < 0x80   ? 1
           : first < 0xc2 ? 0
           : first < 0xe0 ? 2
           : first < 0xf0 ? 3
           : first < 0xf5 ? 4
                          : 0;
}

static void put_byte(safe_text *text, unsigned char byte)
{
    if (text->held > 0 && (byte & 0xc0) != 0x80)
        safe_end(text);
    if (text->held == 0 && (text->needed = length_from(byte)) == 0) {
        put_replacement(text->out);
        return;
    }
    text->pending[text->held++ & 3] = byte;
    if (text->held == text->needed)
        put_character(text);
}

void safe_put(safe_text *text, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_byte(text, (unsigned char)bytes[i]);
}

void safe_end(safe_text *text)
{
    if (text->held > 0)
        put_replacement(text->out);
    text->held = 0;
}

void safe_print(FILE *out, const char *line)
{
    safe_text text = { .out = out, .one_line = true };
    safe_put(&text, line, strlen(line));
    safe_end(&text);
}

const char *shell_quoted(const char *text, char buffer[4096])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./+,:=@%";
    const char *quote = *text && text[strspn(text, plain)] == '\0' ? "" : "'";
    size_t used = (size_t)snprintf(buffer, 4096, "%s", quote);
    for (; *text && used < 4090; text++)
        used += (size_t)sprintf(buffer + used, *text == '\'' ? "'\\''" : "%c", *text);
    strcpy(buffer + used, quote);
    return buffer;
}

bool is_terminal(FILE *out)
{
    const char *kind = getenv("TERM");
    return isatty(fileno(out)) && kind && strcmp(kind, "dumb") != 0;
}

bool wants_colour(FILE *out)
{
    const char *refused = getenv("NO_COLOR");
    return is_terminal(out) && !(refused && *refused);
}

bool wants_true_colour(FILE *out)
{
    const char *kind = getenv("COLORTERM");
    return wants_colour(out) && kind &&
           (strcmp(kind, "truecolor") == 0 || strcmp(kind, "24bit") == 0);
}

int terminal_columns(FILE *out)
{
    struct winsize size;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}
