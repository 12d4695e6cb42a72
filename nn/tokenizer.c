#include "nn/tokenizer.h"

#include "nn/utf8.h"
#include "tensor/front.h"
#include <stdio.h>
#include <string.h>

enum { CODES = 0x110000, BYTES = 256 };

static void tokenizer_destroy(void *object)
{
    grd_tokenizer *tokenizer = object;
    const size_t size = (size_t)tokenizer->size;
    if (tokenizer->codes)
        grdi_free(tokenizer->codes, size * sizeof *tokenizer->codes);
    if (tokenizer->texts)
        grdi_free(tokenizer->texts, size * sizeof *tokenizer->texts);
    grdi_free(tokenizer, sizeof *tokenizer);
}

static const grdi_type tokenizer_type = { "tokenizer", tokenizer_destroy };

static grd_tokenizer *create(const char *op, int64_t size, bool characters)
{
    if (!grdi_may_make(op))
        return NULL;
    grd_tokenizer *tokenizer = grdi_allocate(sizeof *tokenizer);
    if (!tokenizer)
        return grdi_fail_memory(op, sizeof *tokenizer);
    *tokenizer = (grd_tokenizer){ .size = size };
    grdi_object_init(&tokenizer->object, &tokenizer_type);
    grdi_scope_own(&tokenizer->object);
    const size_t count = (size_t)size;
    tokenizer->texts = grdi_allocate(count * sizeof *tokenizer->texts);
    if (!tokenizer->texts)
        return grdi_fail_memory(op, count * sizeof *tokenizer->texts);
    tokenizer->codes = characters ? grdi_allocate(count * sizeof *tokenizer->codes) : NULL;
    return !characters || tokenizer->codes ? tokenizer
                                           : grdi_fail_memory(op, count * sizeof *tokenizer->codes);
}

static void show_character(int32_t code, char text[GRDI_TOKEN_TEXT])
{
    static const char escapes[] = "\aa\bb\tt\nn\vv\ff\rr";
    const char *escape = code && code < 0x20 ? strchr(escapes, code) : NULL;
    if (escape)
        snprintf(text, GRDI_TOKEN_TEXT, "\\%c", escape[1]);
    else if (grdi_utf8_hidden(code))
        snprintf(text, GRDI_TOKEN_TEXT, "\\u{%x}", (unsigned)code);
    else
        text[grdi_utf8_put(code, text)] = '\0';
}

static void show_byte(int32_t byte, char text[GRDI_TOKEN_TEXT])
{
    if (byte < 0x7f)
        show_character(byte, text);
    if (byte >= 0x7f || text[0] == '\\')
        snprintf(text, GRDI_TOKEN_TEXT, byte == '\\' ? "\\" : "\\x%02x", (unsigned)byte);
}

grd_tokenizer *grd_tokenizer_bytes(void)
{
    grd_tokenizer *tokenizer = create("tokenizer_bytes", BYTES, false);
    for (int32_t byte = 0; tokenizer && byte < BYTES; byte++)
        show_byte(byte, tokenizer->texts[byte]);
    return tokenizer;
}

/* Marks the characters that occur; how many there are, or -1 with an error. */
static int64_t mark(const char *op, const char *text, size_t size, bool seen[CODES])
{
    int64_t count = 0;
    for (size_t at = 0, taken; at < size; at += taken) {
        const int32_t code = grdi_utf8_next(text + at, size - at, &taken);
        if (code <= 0) {
            grdi_fail(GRD_ERROR_FORMAT, op,
                      "byte %zu, 0x%02x, is not UTF-8 text (grd_tokenizer_bytes takes any file)",
                      at, (unsigned)(unsigned char)text[at]);
            return -1;
        }
        count += !seen[code];
        seen[code] = true;
    }
    return count;
}

grd_tokenizer *grdi_tokenizer_of(const char *op, const char *text, size_t size)
{
    bool *seen = grdi_allocate(CODES);
    if (!seen)
        return grdi_fail_memory(op, CODES);
    memset(seen, 0, CODES);
    const int64_t count = mark(op, text, size, seen);
    grd_tokenizer *tokenizer = NULL;
    if (count == 0)
        grdi_fail(GRD_ERROR_ARGUMENT, op, "the text is empty: no characters to number");
    else if (count > 0)
        tokenizer = create(op, count, true);
    int64_t token = 0;
    for (int32_t code = 0; tokenizer && token < count; code++)
        if (seen[code]) {
            tokenizer->codes[token] = code;
            show_character(code, tokenizer->texts[token++]);
        }
    grdi_free(seen, CODES);
    return tokenizer;
}

grd_tokenizer *grd_tokenizer_characters(const char *text)
{
    if (!text)
        return grdi_fail_null("tokenizer_characters");
    return grdi_tokenizer_of("tokenizer_characters", text, strlen(text));
}

int64_t grd_tokenizer_size(const grd_tokenizer *tokenizer)
{
    return tokenizer ? tokenizer->size : 0;
}

size_t grdi_tokenizer_alphabet(const grd_tokenizer *tokenizer, char *out)
{
    size_t bytes = 0;
    for (int64_t token = 0; token < tokenizer->size; token++) {
        char character[4];
        const size_t length = grdi_utf8_put(tokenizer->codes[token], character);
        if (out)
            memcpy(out + bytes, character, length);
        bytes += length;
    }
    return bytes;
}

/* The character's token, or -1. */
static int32_t find(const grd_tokenizer *tokenizer, int32_t code)
{
    int64_t low = 0, high = tokenizer->size;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (tokenizer->codes[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tokenizer->size && tokenizer->codes[low] == code ? (int32_t)low : -1;
}

static int64_t unknown(const char *op, const grd_tokenizer *tokenizer, int32_t code, int64_t index)
{
    char text[GRDI_TOKEN_TEXT];
    show_character(code, text);
    grdi_fail(GRD_ERROR_ARGUMENT, op,
              "\"%s\" (U+%04X), character %lld, is none of the %lld that the tokenizer knows", text,
              (unsigned)code, (long long)index, (long long)tokenizer->size);
    return -1;
}

static int64_t encode_bytes(const char *text, size_t size, int32_t *tokens)
{
    for (size_t i = 0; tokens && i < size; i++)
        tokens[i] = (unsigned char)text[i];
    return (int64_t)size;
}

int64_t grdi_encode(const char *op, const grd_tokenizer *tokenizer, const char *text, size_t size,
                    int32_t *tokens)
{
    if (!tokenizer->codes)
        return encode_bytes(text, size, tokens);
    int64_t count = 0;
    for (size_t at = 0, taken; at < size; at += taken, count++) {
        const int32_t code = grdi_utf8_next(text + at, size - at, &taken);
        const int32_t token = code < 0 ? -1 : find(tokenizer, code);
        if (code < 0) {
            grdi_fail(GRD_ERROR_ARGUMENT, op, "byte %zu, 0x%02x, is not UTF-8 text", at,
                      (unsigned)(unsigned char)text[at]);
            return -1;
        }
        if (token < 0)
            return unknown(op, tokenizer, code, count);
        if (tokens)
            tokens[count] = token;
    }
    return count;
}

static grd_tensor *tensor_of(const int32_t *tokens, int64_t count)
{
    const size_t bytes = (size_t)count * sizeof(int64_t);
    grd_tensor *x =
        grdi_tensor_create("encode", &GRD_SHAPE(count), GRD_I64, grdi_self.scope->modes.device);
    int64_t *wide = x ? grdi_allocate(bytes + 1) : NULL;
    if (!wide)
        return x ? grdi_fail_memory("encode", bytes + 1) : NULL;
    for (int64_t i = 0; i < count; i++)
        wide[i] = tokens[i];
    const bool done = grdi_upload("encode", x, wide);
    grdi_free(wide, bytes + 1);
    return done ? x : NULL;
}

grd_tensor *grd_encode(const grd_tokenizer *tokenizer, const char *text)
{
    if (!tokenizer || !text)
        return grdi_fail_null("encode");
    if (!grdi_may_make("encode"))
        return NULL;
    const size_t size = strlen(text), bytes = (size + 1) * sizeof(int32_t);
    int32_t *tokens = grdi_allocate(bytes);
    if (!tokens)
        return grdi_fail_memory("encode", bytes);
    const int64_t count = grdi_encode("encode", tokenizer, text, size, tokens);
    grd_tensor *x = count < 0 ? NULL : tensor_of(tokens, count);
    grdi_free(tokens, bytes);
    return x;
}

static const char unknown_text[] = "\xef\xbf\xbd"; /* U+FFFD */

/* The bytes that the token stands for. */
static size_t spell(const grd_tokenizer *tokenizer, int64_t token, char out[4])
{
    if (token < 0 || token >= tokenizer->size) {
        memcpy(out, unknown_text, 3);
        return 3;
    }
    if (tokenizer->codes)
        return grdi_utf8_put(tokenizer->codes[token], out);
    out[0] = (char)token;
    return 1;
}

size_t grd_decode(const grd_tokenizer *tokenizer, const int64_t *tokens, int64_t count,
                  char *buffer, size_t size)
{
    size_t length = 0, end = 0;
    for (int64_t i = 0; tokenizer && tokens && i < count; i++) {
        char bytes[4];
        const size_t spelled = spell(tokenizer, tokens[i], bytes);
        if (end == length && length + spelled < size) {
            memcpy(buffer + length, bytes, spelled);
            end += spelled;
        }
        length += spelled;
    }
    if (size)
        buffer[end] = '\0';
    return length;
}

const char *grd_token_text(const grd_tokenizer *tokenizer, int64_t token)
{
    const bool known = tokenizer && token >= 0 && token < tokenizer->size;
    return known ? tokenizer->texts[token] : unknown_text;
}
