#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "tests/counter.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <stdlib.h>
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

TestSuite(mask_svg, .init = begin, .fini = end);

/* The document; to be freed. */
static char *drawn(const grd_tensor *visible, const char *title)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_eq(grd_mask_svg(out, visible, title), GRD_OK, "%s", grd_error_message());
    fclose(out);
    return text;
}

static grd_tensor *causal(int64_t queries, int64_t keys)
{
    const grd_mask mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT };
    return grd_select(grd_mask_visible(&mask, GRD_SHAPE(1, queries, keys)), 0, 0);
}

/* Cells, or runs of cells, in the first shape of this class. */
static int count_of(const char *text, const char *class)
{
    char start[64];
    snprintf(start, sizeof start, "<path class=\"%s\"", class);
    const char *at = strstr(text, start);
    int count = 0;
    for (; at && *at != '/'; at++)
        count += *at == 'M';
    return count;
}

static void expect_cells(const grd_tensor *visible, int seen, int out, int blind)
{
    char *text = drawn(visible, NULL);
    cr_assert_eq(count_of(text, "mask-seen"), seen, "%s", text);
    cr_assert_eq(count_of(text, "mask-out"), out, "%s", text);
    cr_assert_eq(count_of(text, "mask-blind"), blind, "%s", text);
    free(text);
}

Test(mask_svg, a_cell_for_each_pair)
{
    expect_cells(causal(3, 3), 6, 3, 0);
    expect_cells(causal(2, 4), 7, 1, 0);
    expect_cells(causal(4, 2), 3, 1, 4);
    expect_cells(grd_transpose(causal(3, 3), 0, 1), 6, 3, 0);
    expect_cells(causal(1, 1), 1, 0, 0);
    expect_cells(causal(200, 200), 200, 199, 0); /* small ones in runs */
    expect_cells(causal(0, 3), 0, 0, 0);
}

Test(mask_svg, it_says_in_words_what_it_shows)
{
    char *text = drawn(causal(4, 2), "a < b & c > \xc3\xa9");
    cr_assert(strstr(text, "<title>a &#60; b &#38; c &#62; \xc3\xa9</title>"));
    cr_assert(strstr(text, "<desc>An attention mask: 4 queries, a row each, over 2 keys, a column "
                           "each; 3 of 8 pairs are seen. Query 0 sees no key. Query 1 sees no key. "
                           "Query 2 sees key 0. Query 3 sees keys 0 to 1.</desc>"),
              "%s", text);
    free(text);
    text = drawn(causal(40, 39), NULL);
    cr_assert(strstr(text, "<title>Which keys each query sees</title>"));
    cr_assert(strstr(text, "780 of 1560 pairs are seen. Queries that see no key: 1.</desc>"), "%s",
              text);
    free(text);
    const bool holes[] = { true, false, true, true };
    text = drawn(grd_from_bool(holes, 4, GRD_SHAPE(1, 4)), NULL);
    cr_assert(strstr(text, "Query 0 sees keys 0, 2 to 3."), "%s", text);
    free(text);
}

static void expect_error(grd_status status, const char *words)
{
    cr_assert_eq(grd_error_take(), status, "%s", grd_error_message());
    cr_assert(strstr(grd_error_message(), words), "%s", grd_error_message());
}

Test(mask_svg, bad_input_is_named)
{
    const grd_tensor *mask = causal(2, 2);
    grd_mask_svg(NULL, mask, NULL);
    expect_error(GRD_ERROR_ARGUMENT, "mask_svg");
    grd_mask_svg(stdout, NULL, NULL);
    expect_error(GRD_ERROR_ARGUMENT, "mask_svg");
    grd_mask_svg(stdout, grd_zeros(GRD_SHAPE(2, 2)), NULL);
    expect_error(GRD_ERROR_DTYPE, "visible is f32, expected bool");
    grd_mask_svg(stdout, grd_unsqueeze(mask, 0), NULL);
    expect_error(GRD_ERROR_SHAPE, "visible is [1, 2, 2], expected (L, S)");
    grd_mask_svg(stdout, grd_expand(mask, GRD_SHAPE(2, 2)), "a\nb");
    expect_error(GRD_ERROR_ARGUMENT, "control characters");
    grd_mask_svg(stdout, causal(2, 1025), NULL);
    expect_error(GRD_ERROR_SHAPE, "at most 1024 x 1024");
    FILE *full = fopen("/dev/full", "w");
    setvbuf(full, NULL, _IONBF, 0);
    grd_mask_svg(full, mask, NULL);
    expect_error(GRD_ERROR_IO, "cannot be written");
    fclose(full);
}

Test(mask_svg_memory, runs_out_at_every_allocation)
{
    counter memory = { 0 };
    count_with(&memory, true);
    begin();
    const grd_tensor *mask = grd_transpose(causal(3, 3), 0, 1);
    FILE *out = fopen("/dev/null", "w");
    const long live = memory.live;
    long n = 0;
    for (grd_status status = GRD_ERROR_MEMORY; status != GRD_OK;) {
        memory.asked = 0;
        memory.fail_at = ++n;
        status = grd_mask_svg(out, mask, "title");
        memory.fail_at = 0;
        cr_assert_eq(memory.live, live, "allocation %ld", n);
        cr_assert_eq(grd_error_take(), status);
        cr_assert(status == GRD_OK || status == GRD_ERROR_MEMORY, "%s", grd_error_message());
    }
    cr_assert_gt(n, 1);
    fclose(out);
    end();
}
