/* Tokenizers: text to numbers and back. */
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <string.h>

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(tokenizer, .init = begin, .fini = end);

/* Encodes, compares, decodes. */
static void expect_tokens(const grd_tokenizer *tokenizer, const char *text, const int64_t *wanted,
                          int64_t count)
{
    int64_t tokens[32];
    char back[64];
    const grd_tensor *x = grd_encode(tokenizer, text);
    cr_assert_eq(grd_tensor_count(x), count, "%s", grd_error_message());
    cr_assert_eq(grd_read_i64(x, tokens, count), GRD_OK);
    cr_assert_arr_eq(tokens, wanted, (size_t)count * sizeof *wanted);
    cr_assert_eq(grd_decode(tokenizer, tokens, count, back, sizeof back), strlen(text));
    cr_assert_str_eq(back, text);
}

Test(tokenizer, characters_are_numbered_in_order)
{
    const grd_tokenizer *t = grd_tokenizer_characters("b\xc3\xa4"
                                                      "a\xf0\x9f\x99\x82"
                                                      "ba\n");
    cr_assert_eq(grd_tokenizer_size(t), 5);
    expect_tokens(t, "ab\xc3\xa4\xf0\x9f\x99\x82\n", (int64_t[]){ 1, 2, 3, 4, 0 }, 5);
    expect_tokens(t, "", (int64_t[]){ 0 }, 0);
    cr_assert_str_eq(grd_token_text(t, 0), "\\n");
    cr_assert_str_eq(grd_token_text(t, 3), "\xc3\xa4");
    cr_assert_str_eq(grd_token_text(t, 5), "\xef\xbf\xbd");
}

Test(tokenizer, bytes_take_anything)
{
    const grd_tokenizer *t = grd_tokenizer_bytes();
    cr_assert_eq(grd_tokenizer_size(t), 256);
    expect_tokens(t, "a\xff\\", (int64_t[]){ 97, 255, 92 }, 3);
    cr_assert_str_eq(grd_token_text(t, 'a'), "a");
    cr_assert_str_eq(grd_token_text(t, '\n'), "\\x0a");
    cr_assert_str_eq(grd_token_text(t, 0x1b), "\\x1b");
    cr_assert_str_eq(grd_token_text(t, 0xff), "\\xff");
    cr_assert_str_eq(grd_token_text(t, '\\'), "\\");
}

Test(tokenizer, decodes_as_snprintf)
{
    const grd_tokenizer *t = grd_tokenizer_characters("a\xe2\x82\xac");
    const int64_t tokens[] = { 0, 1, 0, 7 };
    char buffer[8] = "xxxxxxx";
    cr_assert_eq(grd_decode(t, tokens, 4, NULL, 0), 8);
    cr_assert_eq(grd_decode(t, tokens, 4, buffer, 4), 8);
    cr_assert_str_eq(buffer, "a", "no half character, and nothing behind it");
    cr_assert_eq(grd_decode(t, tokens, 4, buffer, 5), 8);
    cr_assert_str_eq(buffer, "a\xe2\x82\xac");
    cr_assert_eq(grd_decode(NULL, tokens, 4, buffer, 5), 0);
    cr_assert_str_eq(buffer, "");
}

Test(tokenizer, what_could_turn_a_terminal_is_escaped)
{
    const grd_tokenizer *t = grd_tokenizer_characters("\x1b\xc2\x9b\xe2\x80\xae");
    cr_assert_str_eq(grd_token_text(t, 0), "\\u{1b}");
    cr_assert_str_eq(grd_token_text(t, 1), "\\u{9b}");
    cr_assert_str_eq(grd_token_text(t, 2), "\\u{202e}");
}

Test(tokenizer, bad_text_is_told)
{
    static const char *const broken[] = {
        "ab\xff", "ab\xc3", "ab\xc0\xaf", "ab\xed\xa0\x80", "ab\xf4\x90\x80\x80", "ab\x80"
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        cr_assert_null(grd_tokenizer_characters(broken[i]));
        expect_error(GRD_ERROR_FORMAT, "tokenizer_characters: byte 2, 0x");
    }
    cr_assert_null(grd_tokenizer_characters(""));
    expect_error(GRD_ERROR_ARGUMENT, "the text is empty");
    cr_assert_null(grd_tokenizer_characters(NULL));
    expect_error(GRD_ERROR_ARGUMENT, "an argument is NULL");

    const grd_tokenizer *t = grd_tokenizer_characters("abc");
    cr_assert_null(grd_encode(t, "ab\xc3\xa9"));
    expect_error(GRD_ERROR_ARGUMENT,
                 "encode: \"\xc3\xa9\" (U+00E9), character 2, is none of the 3 that the tokenizer "
                 "knows at ");
    cr_assert_null(grd_encode(t, "a\xff"));
    expect_error(GRD_ERROR_ARGUMENT, "encode: byte 1, 0xff, is not UTF-8 text");
    cr_assert_null(grd_encode(NULL, "a"));
    expect_error(GRD_ERROR_ARGUMENT, "encode: an argument is NULL");
}
