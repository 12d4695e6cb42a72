/* The shell of pages: what texts of anyone become in it, and its data. */
#include "view/page.h"
#include "nn/files.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const char hostile[] =
    "</script><script>alert(1)</script><!-- \xe2\x80\xae\x1b[2J \xff\" & '";
static const char *const one_style[] = { "page.css", NULL };

/* The page's text; the caller's scope owns it. */
static const char *written(const char *path)
{
    grdi_bytes *bytes = grdi_file_read("test", path, 1 << 24);
    cr_assert(bytes, "%s", grd_error_message());
    unlink(path);
    return (const char *)bytes->data;
}

static const char *page_of(const char *title, const char *body, json_t *data)
{
    static const char path[] = "page_test.html";
    grdi_page page = { .title = title, .body = body, .data = data };
    cr_assert(grdi_page_write("test", path, &page, true), "%s", grd_error_message());
    cr_assert_null(page.data);
    return written(path);
}

/* What stands between two texts; freed by the caller. */
static char *between(const char *text, const char *before, const char *after)
{
    const char *from = strstr(text, before);
    cr_assert(from, "no %s", before);
    from += strlen(before);
    const char *to = strstr(from, after);
    cr_assert(to, "no %s", after);
    return strndup(from, (size_t)(to - from));
}

static int count(const char *text, const char *wanted)
{
    int found = 0;
    for (; (text = strstr(text, wanted)); text += strlen(wanted))
        found++;
    return found;
}

Test(page, texts_of_anyone_do_no_harm)
{
    grd_scope *scope = grd_scope_begin();
    json_t *data = json_pack("{s:o, s:s}", "text", grdi_page_text(hostile, strlen(hostile)), "raw",
                             "</script><!--");
    const char *page = page_of(hostile, NULL, data);
    cr_assert_eq(count(page, "<script"), 2); /* the data and ours */
    cr_assert_eq(count(page, "</script>"), 2);
    cr_assert_eq(count(page, "<!--"), 0);
    char *title = between(page, "<title>", "</title>");
    cr_assert_str_eq(title, "&#60;/script&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#60;!-- "
                            "\\u{202e}\\u{1b}[2J \xef\xbf\xbd&#34; &#38; &#39;");
    char *json = between(page, "id=\"data\">", "</script>");
    cr_assert_null(strchr(json, '<'));
    json_t *read = json_loads(json, 0, NULL);
    cr_assert_str_eq(
        json_string_value(json_object_get(read, "text")),
        "</script><script>alert(1)</script><!-- \\u{202e}\\u{1b}[2J \xef\xbf\xbd\" & '");
    cr_assert_str_eq(json_string_value(json_object_get(read, "raw")), "</script><!--");
    json_decref(read);
    free(title);
    free(json);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static void expect_digest(const char *page, const char *name, const char *text)
{
    char digest[64], *signature = between(page, name, "'");
    uint8_t bytes[SHA256_DIGEST_SIZE];
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, strlen(text), (const uint8_t *)text);
    sha256_digest(&context, sizeof bytes, bytes);
    base64_encode_raw(digest, sizeof bytes, bytes);
    digest[BASE64_ENCODE_RAW_LENGTH(sizeof bytes)] = '\0';
    cr_assert_str_eq(signature, digest);
    free(signature);
}

/* A script or style that the policy does not name is not run by browsers. */
Test(page, the_policy_names_its_script_and_style_alone)
{
    grd_scope *scope = grd_scope_begin();
    const char *page = page_of("Title", "<p>body</p>", NULL);
    cr_assert(strstr(page, "<main id=\"main\"><p>body</p></main>"));
    cr_assert(strstr(page, "content=\"default-src 'none'; script-src 'sha256-"));
    cr_assert_null(strstr(page, "unsafe"));
    char *script = between(page, "</script>\n<script>", "</script>");
    char *style = between(page, "<style>", "</style>");
    expect_digest(page, "script-src 'sha256-", script);
    expect_digest(page, "style-src 'sha256-", style);
    char *json = between(page, "id=\"data\">", "</script>");
    cr_assert_str_eq(json, "null");
    free(json);
    free(script);
    free(style);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(page, assets_follow_the_shells_own)
{
    grd_scope *scope = grd_scope_begin();
    grdi_page page = { .title = "twice", .assets = one_style };
    cr_assert(grdi_page_write("test", "page_twice.html", &page, true));
    char *style = between(written("page_twice.html"), "<style>", "</style>");
    cr_assert_eq(count(style, "--ground: #f8f7f4"), 2);
    free(style);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(page, numbers_that_json_has_none_for)
{
    const struct {
        double x;
        const char *text;
    } cases[] = { { NAN, "\"nan\"" },
                  { INFINITY, "\"inf\"" },
                  { -INFINITY, "\"-inf\"" },
                  { 0.5, "0.5" },
                  { 1e300, "1.0000000000000001e300" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *value = grdi_page_real(cases[i].x);
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        cr_assert_str_eq(text, cases[i].text);
        free(text);
        json_decref(value);
    }
}

Test(page, a_blob_holds_its_bytes)
{
    enum { SIZE = 100000 };
    static unsigned char bytes[SIZE], back[SIZE], packed[2 * SIZE];
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)((unsigned)i * (unsigned)i >> 5);
    json_t *blob = grdi_page_blob(bytes, SIZE);
    struct base64_decode_ctx context;
    size_t length = sizeof packed;
    base64_decode_init(&context);
    cr_assert(base64_decode_update(&context, &length, packed, json_string_length(blob),
                                   json_string_value(blob)));
    uLongf size = SIZE;
    cr_assert_eq(uncompress(back, &size, packed, length), Z_OK);
    cr_assert_eq(size, SIZE);
    cr_assert_arr_eq(back, bytes, SIZE);
    json_decref(blob);
    json_t *nothing = grdi_page_blob(bytes, 0);
    cr_assert(json_string_length(nothing) > 0);
    json_decref(nothing);
}

Test(page, what_fails_leaves_no_page)
{
    grd_scope *scope = grd_scope_begin();
    grdi_page page = { .title = "t", .data = json_integer(1) };
    cr_assert_not(grdi_page_write("op", "absent_folder/page.html", &page, true));
    cr_assert_eq(grd_error_take(), GRD_ERROR_IO);
    page.data = NULL;
    cr_assert_not(grdi_page_write("op", "page_absent.html", &page, false));
    cr_assert(strstr(grd_error_message(), "op: out of memory for the page page_absent.html"));
    cr_assert_eq(grd_error_take(), GRD_ERROR_MEMORY);
    cr_assert_neq(access("page_absent.html", F_OK), 0);
    grd_scope_end(scope);
}
