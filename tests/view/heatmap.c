#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "tests/counter.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
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

TestSuite(heatmap, .init = begin, .fini = end);

static void expect_drawn(const grd_tensor *x, const grd_matrix_options *options,
                         const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_eq(grd_print_heatmap(out, x, options), GRD_OK, "%s", grd_error_message());
    fclose(out);
    cr_assert_str_eq(text, expected, "\n%s\ninstead of\n%s", text, expected);
    free(text);
}

static const grd_tensor *six(double a, double b, double c, double d, double e, double f)
{
    return grd_from_f64((double[]){ a, b, c, d, e, f }, 6, GRD_SHAPE(2, 3));
}

Test(heatmap, values_labels_and_what_is_no_value)
{
    expect_drawn(six(0, 0.25, 0.5, 1, 0.75, 0.1), NULL,
                 "   0\n"
                 "0 |  \u2591\u2591\u2592\u2592|\n"
                 "1 |\u2588\u2588\u2593\u2593\u00b7\u00b7|\n"
                 "2 x 3, 0 | \u00b7\u00b7\u00b7\u00b7\u2591\u2591\u2591\u2591\u2591\u2592\u2592"
                 "\u2592\u2592\u2593\u2593\u2593\u2593\u2593\u2588\u2588\u2588\u2588\u2588| 1\n");
    static const char *const rows[] = { " cat", "\x1b[2J" }, *const columns[] = { "the", "\u65e5b",
                                                                                  "e\u0301" };
    const bool seen[] = { true, true, false, true, true, true };
    const grd_matrix_options options = { .title = "a\u202e",
                                         .row_labels = rows,
                                         .column_labels = columns,
                                         .attend = grd_from_bool(seen, 6, GRD_SHAPE(2, 3)),
                                         .high = 1 };
    expect_drawn(six(0, 1, 9, NAN, 2, -1), &options,
                 "a\\u{202e}\n"
                 "           t \u65e5e \n"
                 "           h b   \n"
                 "           e     \n"
                 "     \u2423cat |  \u2588\u2588//|\n"
                 "\\u{1b}[2J |??\u2588\u2588  |\n"
                 "2 x 3, 0 | \u00b7\u00b7\u00b7\u00b7\u2591\u2591\u2591\u2591\u2591\u2592\u2592"
                 "\u2592\u2592\u2593\u2593\u2593\u2593\u2593\u2588\u2588\u2588\u2588\u2588| 1"
                 ", masked: //, NaN: ??, beyond: as the ends\n");
}

Test(heatmap, differences_have_signs)
{
    const grd_matrix_options options = { .two_sided = true };
    expect_drawn(six(-1, -0.5, -0.1, 0, 0.5, 0.1), &options,
                 "   0\n"
                 "0 |##==..|\n"
                 "1 |  \u2592\u2592\u00b7\u00b7|\n"
                 "2 x 3, -1 |###%%==---..\u00b7\u00b7\u2591\u2591\u2591\u2592\u2592\u2593\u2593"
                 "\u2588\u2588\u2588| 1\n");
}

/* Each change of colour is written, and the mark's on a cell that has one. */
Test(heatmap, colours)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    const grd_matrix_options options = { .colour = true };
    cr_assert_eq(grd_print_heatmap(out, six(0, 0, 1, 1, NAN, 0), &options), GRD_OK);
    fclose(out);
    cr_assert(strstr(text, "0 |\x1b[48;2;249;248;225m    \x1b[48;2;33;25;89m  \x1b[0m|\n"), "%s",
              text);
    cr_assert(strstr(text, "1 |\x1b[48;2;33;25;89m  \x1b[48;2;247;205;226m\x1b[38;2;176;16;104m??"
                           "\x1b[48;2;249;248;225m  \x1b[0m|\n"),
              "%s", text);
    free(text);
}

static void draw_into(char text[1 << 16], const grd_tensor *x, const grd_matrix_options *options)
{
    FILE *out = fmemopen(text, 1 << 16, "w");
    cr_assert_eq(grd_print_heatmap(out, x, options), GRD_OK, "%s", grd_error_message());
    fclose(out);
}

static void measure(const char *text, int64_t *widest, int *lines)
{
    *widest = *lines = 0;
    for (const char *line = text, *next; (next = strchr(line, '\n')); line = next + 1, ++*lines) {
        int64_t columns = 0;
        for (const char *c = line; c < next; c++)
            columns += (*c & 0xc0) != 0x80; /* all are one wide here */
        *widest = columns > *widest && strncmp(line, "folded", 6) != 0 ? columns : *widest;
    }
}

/* In the row that starts so, before a character. */
static long blanks_before(const char *text, const char *start, const char *character)
{
    const char *row = strstr(text, start);
    return row ? (long)(strstr(row, character) - row) - (long)strlen(start) : -1;
}

Test(heatmap, what_is_too_large_is_folded)
{
    static double values[200 * 300];
    static char text[1 << 16];
    values[5 * 300 + 7] = 1;
    values[150 * 300 + 299] = NAN;
    const grd_tensor *x = grd_from_f64(values, 200 * 300, GRD_SHAPE(200, 300));
    for (int64_t width = 30; width <= 400; width += 37) {
        const grd_matrix_options options = { .width = width };
        int64_t widest;
        int lines;
        draw_into(text, x, &options);
        measure(text, &widest, &lines);
        cr_assert_leq(widest, width > 54 ? width : 54, "%s", text); /* so wide is the legend */
        cr_assert_leq(lines, 67);
        cr_assert(strchr(text, '?'), "%s", text);
        char fold[64];
        const long across = (300 + width - 6 - 1) / (width - 6);
        snprintf(fold, sizeof fold, "each cell is the largest of 4 x %ld;", across);
        cr_assert(strstr(text, fold), "%s: %s", fold, text);
        cr_assert_eq(blanks_before(text, "  4 |", "\u2588"), 7 / across, "%s", text);
    }
}

Test(heatmap, bad_input_is_named)
{
    const struct {
        FILE *out;
        const grd_tensor *matrix;
        grd_status status;
        const char *words;
    } cases[] = {
        { NULL, grd_zeros(GRD_SHAPE(2, 2)), GRD_ERROR_ARGUMENT, "print_heatmap" },
        { stdout, NULL, GRD_ERROR_ARGUMENT, "print_heatmap" },
        { stdout, grd_zeros(GRD_SHAPE(1, 2, 2)), GRD_ERROR_SHAPE,
          "matrix is [1, 2, 2], expected (rows, columns)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(grd_print_heatmap(cases[i].out, cases[i].matrix, NULL), cases[i].status);
        cr_assert_eq(grd_error_take(), cases[i].status);
        cr_assert(strstr(grd_error_message(), cases[i].words), "%s", grd_error_message());
    }
    FILE *full = fopen("/dev/full", "w");
    setvbuf(full, NULL, _IONBF, 0);
    cr_assert_eq(grd_print_heatmap(full, grd_zeros(GRD_SHAPE(2, 2)), NULL), GRD_ERROR_IO);
    cr_assert_eq(grd_error_take(), GRD_ERROR_IO);
    fclose(full);
    expect_drawn(grd_zeros(GRD_SHAPE(0, 0)), NULL,
                 "  \n0 x 0, 0 | \u00b7\u00b7\u00b7\u00b7\u2591\u2591\u2591\u2591\u2591\u2592\u2592"
                 "\u2592\u2592\u2593\u2593\u2593\u2593\u2593\u2588\u2588\u2588\u2588\u2588| 0\n");
}

static grd_status draw_nowhere(void)
{
    FILE *out = fopen("/dev/null", "w");
    grd_scope *inner = grd_scope_begin();
    const grd_tensor *x = grd_ones(GRD_SHAPE(3, 3));
    const grd_matrix_options options = { .attend = grd_gt(x, grd_zeros(GRD_SHAPE(1))) };
    grd_print_heatmap(out, x, &options);
    fclose(out);
    return grd_scope_end(inner);
}

Test(heatmap_memory, runs_out_at_every_allocation)
{
    fail_at_every_allocation(draw_nowhere, 5);
}
