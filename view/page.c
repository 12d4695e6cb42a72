#include "view/page.h"
#include "nn/files.h"
#include "nn/utf8.h"
#include "view/assets.h"

#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

/* ---- Text ---- */

/* Writes the text with its hidden characters shown; `put` writes a run of bytes that is plain. */
static void show(FILE *out, const char *text, size_t size,
                 void (*put)(FILE *out, const char *bytes, size_t count))
{
    for (size_t at = 0, taken; at < size; at += taken) {
        const int32_t code = grdi_utf8_next(text + at, size - at, &taken);
        if (code < 0)
            fputs("\xef\xbf\xbd", out), taken = 1;
        else if (code == '\n' || code == '\t')
            fputs(code == '\n' ? "\\n" : "\\t", out);
        else if (grdi_utf8_hidden(code))
            fprintf(out, "\\u{%x}", (unsigned)code);
        else
            put(out, text + at, taken);
    }
}

static void put_plain(FILE *out, const char *bytes, size_t count)
{
    fwrite(bytes, 1, count, out);
}

static void put_escaped(FILE *out, const char *bytes, size_t count)
{
    static const char special[] = "&<>\"'";
    const char *found = count == 1 ? strchr(special, *bytes) : NULL;
    if (found && *found)
        fprintf(out, "&#%d;", *found);
    else
        fwrite(bytes, 1, count, out);
}

void grdi_page_escape(FILE *out, const char *text)
{
    show(out, text, strlen(text), put_escaped);
}

json_t *grdi_page_text(const char *text, size_t size)
{
    char *shown = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&shown, &length);
    if (!out)
        return NULL;
    show(out, text, size, put_plain);
    const bool fine = fclose(out) == 0;
    json_t *result = fine ? json_stringn(shown, length) : NULL;
    free(shown);
    return result;
}

/* ---- The page ---- */

/* All assets with this ending, one after the other, in an element whose digest the policy knows. */
typedef struct block {
    char *text;
    size_t size;
    char digest[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1];
} block;

static void sign(block *b)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, b->size, (const uint8_t *)b->text);
    sha256_digest(&context, sizeof digest, digest);
    base64_encode_raw(b->digest, sizeof digest, digest);
    b->digest[sizeof b->digest - 1] = '\0';
}

static bool has_ending(const char *name, const char *ending)
{
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, ending) == 0;
}

static bool gather(block *b, const char *first, const char *const *names, const char *ending)
{
    FILE *out = open_memstream(&b->text, &b->size);
    if (!out)
        return false;
    fputs(grdi_asset(first), out);
    for (; names && *names; names++)
        if (has_ending(*names, ending))
            fputs(grdi_asset(*names), out);
    if (fclose(out) != 0)
        return false;
    sign(b);
    return true;
}

/* JSON in a script element: what is never written cannot end it. '<' occurs only within strings. */
static int put_json(const char *bytes, size_t size, void *user)
{
    FILE *out = user;
    for (const char *end = bytes + size; bytes < end;) {
        const char *angle = memchr(bytes, '<', (size_t)(end - bytes));
        fwrite(bytes, 1, (size_t)((angle ? angle : end) - bytes), out);
        if (angle)
            fputs("\\u003c", out);
        bytes = angle ? angle + 1 : end;
    }
    return ferror(out) ? -1 : 0;
}

static bool write_markup(FILE *out, const grdi_page *page, const block *style, const block *script)
{
    fprintf(out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "script-src 'sha256-%s'; style-src 'sha256-%s'; img-src data: blob:; "
            "base-uri 'none'; form-action 'none'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n"
            "<meta name=\"generator\" content=\"Gradus %s\">\n<title>",
            script->digest, style->digest, grd_version());
    grdi_page_escape(out, page->title);
    fputs("</title>\n<style>", out);
    fwrite(style->text, 1, style->size, out);
    fputs("</style>\n</head>\n<body>\n<header id=\"top\"><h1>", out);
    grdi_page_escape(out, page->title);
    fprintf(out,
            "</h1></header>\n<main id=\"main\">%s</main>\n"
            "<p id=\"live\" class=\"hidden-visually\" role=\"status\" aria-live=\"polite\"></p>\n"
            "<script type=\"application/json\" id=\"data\">",
            page->body ? page->body
                       : "<noscript><p>This page draws itself by a script, "
                         "which the browser does not run.</p></noscript>");
    const bool fine = !page->data || json_dump_callback(page->data, put_json, out,
                                                        JSON_COMPACT | JSON_ENCODE_ANY) == 0;
    fputs(page->data ? "</script>\n<script>" : "null</script>\n<script>", out);
    fwrite(script->text, 1, script->size, out);
    fputs("</script>\n</body>\n</html>\n", out);
    return fine;
}

/* The page's bytes; NULL when out of memory. */
static char *render(const grdi_page *page, size_t *size)
{
    char *text = NULL;
    block style = { 0 }, script = { 0 };
    if (gather(&style, "page.css", page->assets, ".css") &&
        gather(&script, "page.js", page->assets, ".js")) {
        FILE *out = open_memstream(&text, size);
        const bool fine = out && write_markup(out, page, &style, &script);
        if (out && (fclose(out) != 0 || !fine)) {
            free(text);
            text = NULL;
        }
    }
    free(style.text);
    free(script.text);
    return text;
}

bool grdi_page_write(const char *op, const char *path, grdi_page *page, bool complete)
{
    size_t size = 0;
    char *text = complete && !grdi_latched() ? render(page, &size) : NULL;
    json_decref(page->data);
    page->data = NULL;
    if (!text && !grdi_latched())
        grdi_fail(GRD_ERROR_MEMORY, op, "out of memory for the page %s", path);
    const bool written = text && grdi_file_write(op, path, text, size);
    free(text);
    return written;
}
