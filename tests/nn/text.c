/* Text as data: windows, epochs, the two parts. */
#include "nn/utf8.h"
#include "tests/nn/expect.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <string.h>

enum { LENGTH = 1000, CUT = 900, MAX = 4096 };

static grd_scope *scope;
static const char *path;
static int64_t inputs[MAX], targets[MAX];

/* A thousand different characters in Unicode's order: a token is its place. */
static void begin(void)
{
    char text[4 * LENGTH];
    size_t size = 0;
    scratch_begin();
    scope = grd_scope_begin();
    for (int k = 0; k < LENGTH; k++)
        size += grdi_utf8_put(0x4e00 + k, text + size);
    scratch_write("text", text, size);
    path = scratch_path("text");
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(text, .init = begin, .fini = end);

static grd_data *text(grd_part part, int64_t batch_size, int64_t context, uint64_t seed)
{
    return grd_data_text(
        path, &(grd_text_options){
                  .part = part, .batch_size = batch_size, .context = context, .seed = seed });
}

/* Returns how many rows batch i has; asked: how many of its targets count. */
static int64_t fetch(const grd_data *data, int64_t i, int64_t *asked)
{
    grd_scope *inner = grd_scope_begin();
    const grd_batch batch = grd_batch_at(data, i);
    const int64_t count = grd_tensor_count(batch.inputs);
    cr_assert(batch.inputs, "%s", grd_error_message());
    cr_assert_eq(grd_read_i64(batch.inputs, inputs, count), GRD_OK);
    cr_assert_eq(grd_read_i64(batch.targets, targets, count), GRD_OK);
    *asked = batch.tokens;
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
    return count / grd_data_context(data);
}

/* One epoch's windows by their first tokens. */
static void fetch_epoch(const grd_data *data, int epoch, int64_t first[88])
{
    int64_t asked;
    for (int i = 0; i < 11; i++) {
        cr_assert_eq(fetch(data, epoch * 11 + i, &asked), 8);
        cr_assert_eq(asked, 80);
        for (int row = 0; row < 8; row++) {
            first[i * 8 + row] = inputs[row * 10];
            for (int t = 0; t < 10; t++) {
                cr_assert_eq(inputs[row * 10 + t], inputs[row * 10] + t);
                cr_assert_eq(targets[row * 10 + t], inputs[row * 10] + t + 1);
            }
        }
    }
}

/* 899 steps make 89 windows of 10, of which an epoch uses 88, in 11 batches. */
Test(text, an_epoch_takes_each_window_once_in_an_order_of_its_own)
{
    const grd_data *data = text(GRD_TRAIN, 8, 10, 1);
    int64_t first[88], before[88] = { 0 };
    unsigned starts = 0;
    cr_assert_eq(grd_data_batches(data), 11);
    cr_assert_eq(grd_data_vocab_size(data), LENGTH);
    for (int epoch = 0; epoch < 10; epoch++) {
        fetch_epoch(data, epoch, first);
        for (int w = 0; w < 88; w++) {
            cr_assert(first[w] + 10 < CUT, "the last 10%% stays unseen");
            cr_assert_eq(first[w] % 10, first[0] % 10, "windows do not overlap");
            for (int v = 0; v < w; v++)
                cr_assert_neq(first[v], first[w], "each once");
        }
        cr_assert_neq(memcmp(first, before, sizeof first), 0, "in another order");
        memcpy(before, first, sizeof first);
        starts |= 1u << first[0] % 10;
    }
    cr_assert_gt(__builtin_popcount(starts), 3, "windows start elsewhere in each epoch");
}

Test(text, a_batch_is_a_pure_function)
{
    int64_t asked, first[80];
    fetch(text(GRD_TRAIN, 8, 10, 1), 30, &asked);
    memcpy(first, inputs, sizeof first);
    const grd_data *data = text(GRD_TRAIN, 8, 10, 1);
    fetch(data, 7, &asked);
    fetch(data, 30, &asked);
    cr_assert_arr_eq(first, inputs, sizeof first);
    fetch(text(GRD_TRAIN, 8, 10, 2), 30, &asked);
    cr_assert_neq(memcmp(first, inputs, sizeof first), 0);
}

/* 99 steps from token 900 on: 9 full windows and one of 9, in batches of 4, 4, 2. */
Test(text, validation_asks_for_every_token_once)
{
    const grd_data *data = text(GRD_VALIDATION, 4, 10, 1);
    int64_t asked, next = CUT;
    cr_assert_eq(grd_data_batches(data), 3);
    for (int i = 0; i < 6; i++) {
        const int64_t rows = fetch(data, i, &asked);
        cr_assert_eq(rows, i % 3 == 2 ? 2 : 4);
        cr_assert_eq(asked, i % 3 == 2 ? 19 : 40);
        next = i == 3 ? CUT : next;
        for (int64_t t = 0; t < asked; t++, next++) {
            cr_assert_eq(inputs[t], next);
            cr_assert_eq(targets[t], next + 1);
        }
        for (int64_t t = asked; t < rows * 10; t++)
            cr_assert_eq(targets[t], -100);
    }
}

/* One window is all there is: it comes again and again, from where there is room. */
Test(text, a_text_of_one_window_does)
{
    int64_t asked;
    const grd_data *data = text(GRD_TRAIN, 2, 890, 1);
    cr_assert_eq(grd_data_batches(data), 1);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(fetch(data, i, &asked), 2);
        cr_assert(inputs[0] <= 9 && inputs[0] + 889 == inputs[889]);
    }
}

Test(text, a_tokenizer_is_held)
{
    grd_scope *inner = grd_scope_begin();
    grd_data *data = grd_data_text(
        path,
        &(grd_text_options){ .tokenizer = grd_tokenizer_bytes(), .batch_size = 1, .context = 4 });
    cr_assert_eq(grd_data_vocab_size(data), 256);
    cr_assert_str_eq(grd_token_text(grd_data_tokenizer(data), 'x'), "x");
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
}

static void expect_refused(const char *name, const grd_text_options *options, grd_status status,
                           const char *message)
{
    cr_assert_null(grd_data_text(scratch_path(name), options));
    expect_error(status, message);
}

Test(text, bad_files_and_options_are_told)
{
    const grd_text_options fine = { .batch_size = 4, .context = 8 };
    scratch_write("short", "abcdefgh", 8);
    scratch_write("empty", "", 0);
    scratch_write("latin1", "abc \xe4 def", 9);
    scratch_write("binary", "abc\0def", 7);

    expect_refused("none", &fine, GRD_ERROR_NO_FILE, "none: there is no such file");
    expect_refused("", &fine, GRD_ERROR_IO, ": not a regular file at ");
    expect_refused("empty", &fine, GRD_ERROR_ARGUMENT, "the text is empty");
    expect_refused("latin1", &fine, GRD_ERROR_FORMAT,
                   "byte 4, 0xe4, is not UTF-8 text (grd_tokenizer_bytes takes any file) (in /");
    expect_refused("binary", &fine, GRD_ERROR_FORMAT, "byte 3, 0x00, is not UTF-8 text");
    expect_refused("short", &fine, GRD_ERROR_ARGUMENT, "7 tokens are too few: a context of 8");
    expect_refused("short", &(grd_text_options){ .batch_size = 4 }, GRD_ERROR_ARGUMENT,
                   "context must be positive, not 0");
    expect_refused("text",
                   &(grd_text_options){ .batch_size = 1,
                                        .context = 1,
                                        .tokenizer = grd_tokenizer_characters("abc") },
                   GRD_ERROR_ARGUMENT,
                   "(U+4E00), character 0, is none of the 3 that the tokenizer knows (in /");
    cr_assert_null(grd_data_text(NULL, &fine));
    expect_error(GRD_ERROR_ARGUMENT, "data_text: an argument is NULL");
}
