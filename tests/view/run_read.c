/* metrics.jsonl as it is, was meant to be, or as somebody made it. */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include "tests/counter.h"
#include "tests/nn/expect.h"
#include "tests/nn/scratch.h"
#include "view/run.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char whole[] = "{\"step\": 1, \"loss\": 3.5, \"val_loss\": null, \"lr\": 0.001, "
                            "\"grad_norm\": 2, \"tokens_per_second\": 64, \"tokens\": 32, "
                            "\"grad_norms\": {\"a\": 0.5, \"b.0\": 1e-3}}\n"
                            "{\"step\": 2, \"loss\": 2.5, \"val_loss\": 2.75, \"lr\": 0.002, "
                            "\"grad_norm\": 1, \"tokens_per_second\": 32, \"tokens\": 32, "
                            "\"grad_norms\": {\"a\": 0.25, \"b.0\": 2e-3}, \"resumed\": true}\n";

static void put(const char *text)
{
    scratch_write("metrics.jsonl", text, strlen(text));
}

static void add(const char *text)
{
    FILE *file = fopen(scratch_path("metrics.jsonl"), "a");
    fputs(text, file);
    fclose(file);
}

static grdi_run begun(void)
{
    grdi_run run;
    cr_assert(grdi_run_begin(&run, scratch_path("")));
    return run;
}

static grdi_run read_all(const char *text)
{
    put(text);
    grdi_run run = begun();
    cr_assert(grdi_run_read(&run, true), "%s", grd_error_message());
    return run;
}

static double value(const grdi_run *run, int64_t row, int64_t column)
{
    return grdi_run_value(run, row, column);
}

Test(run_read, takes_every_figure, .init = scratch_begin, .fini = scratch_end)
{
    grdi_run run = read_all(whole);
    const double rows[2][9] = { { 1, 32, 3.5, NAN, 0.001, 2, 64, 0.5, 1e-3 },
                                { 2, 64, 2.5, 2.75, 0.002, 1, 32, 0.25, 2e-3 } };
    cr_assert_eq(run.rows, 2);
    cr_assert_eq(run.layers, 2);
    cr_assert_str_eq(run.names[0], "a");
    cr_assert_str_eq(run.names[1], "b.0");
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 9; j++)
            cr_assert(value(&run, i, j) == rows[i][j] ||
                          (isnan(value(&run, i, j)) && isnan(rows[i][j])),
                      "row %d, column %d: %g", i, j, value(&run, i, j));
    cr_assert_eq(run.resumes, 1);
    cr_assert_eq(run.resumed[0], 2);
    cr_assert_eq(run.faults, 0);
    cr_assert(!run.cut_off);
    grdi_run_end(&run);
}

Test(run_read, lines_of_older_programs_lack_some, .init = scratch_begin, .fini = scratch_end)
{
    grdi_run run = read_all("{\"step\": 1, \"loss\": 3}\n{\"step\": 2, \"other\": {}}\n"
                            "{\"step\": 9, \"loss\": 1, \"grad_norms\": {\"x\": 5}}");
    cr_assert_eq(run.rows, 3);
    cr_assert(isnan(value(&run, 0, GRDI_RUN_TOKENS)) && isnan(value(&run, 1, GRDI_RUN_LOSS)));
    cr_assert(isnan(value(&run, 0, GRDI_RUN_LAYERS)), "a layer that came later");
    cr_assert_eq(value(&run, 2, GRDI_RUN_LAYERS), 5);
    cr_assert(!run.cut_off, "whole, if without a newline");
    grdi_run_end(&run);
}

/* A line, and what is said of it; NULL: nothing. */
static const struct {
    const char *line, *what;
} lines[] = {
    { "", NULL },
    { " \t\r", NULL },
    { "{\"step\": 7}", NULL },
    { "{\"step\": 7}\r", NULL },
    { "{\"step\": 7, \"loss\": NaN, \"lr\": -Infinity, \"grad_norms\": {\"NaN\": Infinity}}",
      NULL },
    { "{\"step\": 7, \"loss\": 1e308}", NULL },
    { "{\"step\": 9007199254740992}", NULL },
    { "nonsense", "not JSON" },
    { "{\"step\": 7", "not JSON" },
    { "{\"step\": 7} {\"step\": 8}", "not JSON" },
    { "{\"step\": 7, \"loss\": 1e999}", "not JSON" },
    { "{\"step\": 99999999999999999999}", "not JSON" },
    { "{\"step\": 7, \"loss\": \"\xff\"}", "not JSON" },
    { "{\"step\": 7, \"loss\": NaNa}", "not JSON" },
    { "[7]", "not a JSON object" },
    { "7", "not JSON" },
    { "{}", "step is not a whole number from 0 to 2^53" },
    { "{\"step\": null}", "step is not a whole number from 0 to 2^53" },
    { "{\"step\": 7.5}", "step is not a whole number from 0 to 2^53" },
    { "{\"step\": -1}", "step is not a whole number from 0 to 2^53" },
    { "{\"step\": 9007199254740994}", "step is not a whole number from 0 to 2^53" },
    { "{\"step\": 7, \"loss\": \"low\"}", "loss is not a number" },
    { "{\"step\": 7, \"val_loss\": true}", "val_loss is not a number" },
    { "{\"step\": 7, \"lr\": []}", "lr is not a number" },
    { "{\"step\": 7, \"grad_norm\": {}}", "grad_norm is not a number" },
    { "{\"step\": 7, \"tokens_per_second\": \"x\"}", "tokens_per_second is not a number" },
    { "{\"step\": 7, \"tokens\": false}", "tokens is not a number" },
    { "{\"step\": 7, \"grad_norms\": [1]}", "grad_norms is not an object" },
    { "{\"step\": 7, \"grad_norms\": {\"a\": []}}", "a norm in grad_norms is not a number" },
};

Test(run_read, a_wrong_line_is_named_and_left_out, .init = scratch_begin, .fini = scratch_end)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"step\": 1}\n%s\n{\"step\": 9007199254740992}\n",
                 lines[i].line);
        grdi_run run = read_all(text);
        cr_assert_eq(value(&run, 0, 0), 1);
        cr_assert_eq(value(&run, run.rows - 1, 0), 9007199254740992);
        if (lines[i].what) {
            cr_assert_eq(run.rows, 2, "%s", lines[i].line);
            cr_assert_eq(run.faults, 1, "%s", lines[i].line);
            cr_assert_eq(run.fault[0].line, 2);
            cr_assert_str_eq(run.fault[0].what, lines[i].what);
        } else if (!strstr(lines[i].line, "992")) {
            cr_assert_eq(run.faults, 0, "%s: %s", lines[i].line, run.fault[0].what);
        }
        grdi_run_end(&run);
    }
}

Test(run_read, what_is_not_finite_is_not_there, .init = scratch_begin, .fini = scratch_end)
{
    grdi_run run = read_all("{\"step\": 1, \"loss\": NaN, \"lr\": 2}\n"
                            "{\"step\": 2, \"loss\": null, \"lr\": -Infinity}\n"
                            "{\"step\": 3, \"loss\": 1}\n");
    cr_assert(isnan(value(&run, 0, GRDI_RUN_LOSS)) && isnan(value(&run, 1, GRDI_RUN_LOSS)));
    cr_assert_eq(value(&run, 0, GRDI_RUN_LR), 2, "what stands behind it is read");
    cr_assert(isnan(value(&run, 1, GRDI_RUN_LR)));
    cr_assert_eq(grdi_run_figure(&run).not_finite, 2);
    grdi_run_end(&run);
}

Test(run_read, only_the_first_faults_are_told, .init = scratch_begin, .fini = scratch_end)
{
    char text[64 * 4 + 1] = "";
    for (int i = 0; i < 64; i++)
        strcat(text, "bad\n");
    grdi_run run = read_all(text);
    cr_assert_eq(run.faults, 64);
    cr_assert_eq(run.fault[GRDI_RUN_FAULTS - 1].line, GRDI_RUN_FAULTS);
    grdi_run_end(&run);
}

Test(run_read, a_last_line_that_is_cut_off_is_no_fault, .init = scratch_begin, .fini = scratch_end)
{
    static const char *const ends[] = { "{", "{\"step\": 3, \"lo", "x",
                                        "{\"step\": 3, \"loss\": 1e" };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s", whole, ends[i]);
        grdi_run run = read_all(text);
        cr_assert_eq(run.rows, 2);
        cr_assert_eq(run.faults, 0);
        cr_assert(run.cut_off);
        grdi_run_end(&run);
    }
}

/* Steps that were taken again: the later lines count. */
Test(run_read, a_step_that_comes_again_replaces_what_followed, .init = scratch_begin,
     .fini = scratch_end)
{
    grdi_run run = read_all("{\"step\": 1, \"loss\": 1, \"tokens\": 8}\n"
                            "{\"step\": 2, \"loss\": 2, \"tokens\": 8, \"resumed\": true}\n"
                            "{\"step\": 3, \"loss\": 3, \"tokens\": 8}\n"
                            "{\"step\": 2, \"loss\": 4, \"tokens\": 8}\n"
                            "{\"step\": 5, \"loss\": 5, \"tokens\": 8}\n");
    cr_assert_eq(run.rows, 3);
    const double losses[] = { 1, 4, 5 };
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(value(&run, i, GRDI_RUN_LOSS), losses[i]);
        cr_assert_eq(value(&run, i, GRDI_RUN_TOKENS), 8 * (i + 1));
    }
    cr_assert_eq(run.resumes, 0);
    cr_assert_eq(run.fault[0].line, 4);
    cr_assert_str_eq(run.fault[0].what, "goes back to step 2, so 2 lines before it were left out");
    grdi_run_end(&run);
    run = read_all("{\"step\": 4}\n{\"step\": 4}\n{\"step\": 4, \"loss\": 1}\n");
    cr_assert_eq(run.rows, 1);
    cr_assert_eq(value(&run, 0, GRDI_RUN_LOSS), 1);
    grdi_run_end(&run);
}

Test(run_read, lines_of_any_length, .init = scratch_begin, .fini = scratch_end)
{
    enum { SIZE = 5 << 20 };
    char *text = malloc(SIZE + 256);
    memset(text, 'x', SIZE);
    memcpy(text, "{\"step\": 1}\n", 12);
    strcpy(text + SIZE, "\n{\"step\": 2}\n");
    grdi_run run = read_all(text);
    cr_assert_eq(run.rows, 2);
    cr_assert_eq(run.faults, 1);
    cr_assert_eq(run.fault[0].line, 2);
    cr_assert_str_eq(run.fault[0].what, "longer than a MiB");
    grdi_run_end(&run);
    free(text);
}

/* A file of several chunks, so that lines lie across their borders. */
Test(run_read, many_lines, .init = scratch_begin, .fini = scratch_end)
{
    FILE *file = fopen(scratch_path("metrics.jsonl"), "w");
    for (int i = 1; i <= 50000; i++)
        fprintf(file, "{\"step\": %d, \"loss\": %d, \"grad_norms\": {\"a\": %d}}\n", i, 2 * i,
                3 * i);
    fclose(file);
    grdi_run run = begun();
    cr_assert(grdi_run_read(&run, true));
    cr_assert_eq(run.rows, 50000);
    for (int i = 0; i < 50000; i++)
        cr_assert(value(&run, i, 0) == i + 1 && value(&run, i, GRDI_RUN_LOSS) == 2 * (i + 1) &&
                  value(&run, i, GRDI_RUN_LAYERS) == 3 * (i + 1));
    grdi_run_end(&run);
}

Test(run_read, layers_are_found_by_name, .init = scratch_begin, .fini = scratch_end)
{
    FILE *file = fopen(scratch_path("metrics.jsonl"), "w");
    for (int i = 1; i <= 3; i++) {
        fprintf(file, "{\"step\": %d, \"grad_norms\": {\"long%0200d\": 1", i, 0);
        for (int j = 0; j < 2500; j++)
            fprintf(file, ", \"%d\": %d", i == 2 ? 2499 - j : j, i == 2 ? 2499 - j : j);
        fputs("}}\n", file);
    }
    fclose(file);
    grdi_run run = begun();
    cr_assert(grdi_run_read(&run, true));
    cr_assert_eq(run.layers, GRDI_RUN_MOST_LAYERS);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < GRDI_RUN_MOST_LAYERS; j++)
            cr_assert_eq(value(&run, i, GRDI_RUN_LAYERS + j), j);
    grdi_run_end(&run);
}

/* ---- The quick way and the other: a text in a line sends it the other way ---- */

static void expect_same(const char *line)
{
    char text[2048];
    snprintf(text, sizeof text, "{\"step\": 0}\n%s\n", line);
    grdi_run quick = read_all(text);
    snprintf(text, sizeof text, "{\"step\": 0}\n{\"s\": \"\", %s\n", line + 1);
    grdi_run other = read_all(text);
    cr_assert_eq(quick.rows, other.rows, "%s", line);
    cr_assert_eq(quick.faults, other.faults, "%s", line);
    cr_assert_eq(quick.resumes, other.resumes, "%s", line);
    for (int64_t j = 0; quick.rows == 2 && j < GRDI_RUN_LAYERS + quick.layers; j++) {
        const double a = value(&quick, 1, j), b = value(&other, 1, j);
        cr_assert(a == b || (isnan(a) && isnan(b)), "%s: %g, %g", line, a, b);
    }
    grdi_run_end(&quick);
    grdi_run_end(&other);
}

Test(run_read, both_ways_agree, .init = scratch_begin, .fini = scratch_end)
{
    static const char *const odd[] = {
        "{\"step\": 1e0}",
        "{\"step\": 1.0}",
        "{\"step\": 01}",
        "{\"step\": -0}",
        "{\"step\": +1}",
        "{\"step\": 1, \"loss\": .5}",
        "{\"step\": 1, \"loss\": 5.}",
        "{\"step\": 1, \"loss\": -0.0}",
        "{\"step\": 1, \"loss\": 1e}",
        "{\"step\": 1, \"loss\": 0x10}",
        "{\"step\": 1, \"loss\": nan}",
        "{\"step\": 1, \"loss\": 1E+2}",
        "{\"step\": 1, \"loss\": 4.9e-324}",
        "{\"step\": 1, \"loss\": 1e-999}",
        "{\"step\": 1, \"loss\": 123456789012345678901}",
        "{\"step\": 1, \"loss\": 123456789012345678}",
        "{\"step\": 1,}",
        "{\"step\": 1 \"loss\": 2}",
        "{\"step\" 1}",
        "{\"step\": 1}}",
        "{\"step\": 1, \"loss\": 1, \"loss\": 2}",
        "{\"step\": true}",
        "{\"step\": 1, \"\\u006coss\": 2}",
        "{\"step\": 1, \"grad_norms\": {}}",
        "{\"step\": 1, \"grad_norms\": {\"a\": 1, \"a\": 2, \"b\": null}}",
        "{\"step\": 1, \"grad_norms\": {\"a\": true}}",
        "{\"step\": 1, \"grad_norms\": {\"a\": 1,}}",
        "{\"step\": 1, \"grad_norms\": null}",
        "{\"step\": 1, \"resumed\": false}",
        "{\"step\": 1, \"resumed\": 1}",
        "{\"step\":1,\"loss\":2,\"resumed\":true}",
        "{\"loss\": 1}",
        "{ \t\"step\" : 1 , \"loss\" : 2 } \r",
        "{\"step\": 1, \"\x01\": 1}",
        "{\"step\": 1, \"\xc3\xa9\": 1}",
        "{\"step\": 1, \"\xff\": 1}",
        "{\"step\": nul}",
        "{\"step\": 1, \"lr\": tru}",
        "{\"step\": 1, \"lr\": nulll}",
        "{\"step\": 1, \"other\": {\"deep\": [1]}}",
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        expect_same(odd[i]);
}

/* Lines of gradus with a few bytes changed. */
Test(run_read, both_ways_agree_on_damaged_lines, .init = scratch_begin, .fini = scratch_end)
{
    static const char bytes[] = "\"{}:,.-+eE0189ntf \\\t";
    srand(5);
    for (int i = 0; i < 3000; i++) {
        char line[512];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(whole, "\n"), whole);
        for (int changes = rand() % 3; changes >= 0; changes--)
            line[1 + (size_t)rand() % (strlen(line) - 1)] =
                bytes[(size_t)rand() % (sizeof bytes - 1)];
        expect_same(line);
    }
}

/* ---- While it grows ---- */

Test(run_read, new_lines_are_added, .init = scratch_begin, .fini = scratch_end)
{
    grdi_run run = begun();
    put("");
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.rows, 0);
    add("{\"step\": 1}\n{\"step\": 2, \"lo");
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.rows, 1, "what is being written is left");
    cr_assert(!run.cut_off);
    add("ss\": 5}\n");
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.rows, 2);
    cr_assert_eq(value(&run, 1, GRDI_RUN_LOSS), 5);
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.rows, 2);
    add("{\"step\": 3, \"loss\": NaN}\n");
    cr_assert(grdi_run_read(&run, false));
    add("{\"step\": 4}\n");
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.lines, 4, "read once each");
    grdi_run_end(&run);
}

Test(run_read, a_file_that_was_cut_or_replaced_is_read_again, .init = scratch_begin,
     .fini = scratch_end)
{
    grdi_run run = begun();
    put("{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n");
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.rows, 3);
    put("{\"step\": 1}\n");
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.rows, 1, "shorter");
    put("{\"step\": 4}\n{\"step\": 5}\n");
    cr_assert(grdi_run_read(&run, false));
    cr_assert_eq(run.rows, 2, "longer, but another");
    cr_assert_eq(value(&run, 0, 0), 4);
    cr_assert_eq(run.faults, 0);
    grdi_run_end(&run);
}

Test(run_read, who_writes_it_is_known_by_the_lock, .init = scratch_begin, .fini = scratch_end)
{
    grdi_run run = begun();
    cr_assert(!grdi_run_is_written(&run), "there is none");
    put(whole);
    cr_assert(!grdi_run_is_written(&run));
    const int file = open(scratch_path("metrics.jsonl"), O_RDWR);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    cr_assert_eq(fcntl(file, F_OFD_SETLK, &lock), 0);
    cr_assert(grdi_run_is_written(&run));
    cr_assert(grdi_run_read(&run, false));
    cr_assert(grdi_run_is_written(&run), "reading it does not drop the lock");
    close(file);
    cr_assert(!grdi_run_is_written(&run));
    grdi_run_end(&run);
}

/* ---- Failures ---- */

Test(run_read, what_cannot_be_read_is_named, .init = scratch_begin, .fini = scratch_end)
{
    char longest[5000];
    grdi_run run = begun();
    cr_assert(!grdi_run_read(&run, true));
    expect_error(GRD_ERROR_NO_FILE, "metrics.jsonl: there is no such file (name a folder of gradus "
                                    "train --out)");
    cr_assert_eq(mkfifo(scratch_path("metrics.jsonl"), 0600), 0);
    cr_assert(!grdi_run_read(&run, true));
    expect_error(GRD_ERROR_IO, "metrics.jsonl: not a regular file");
    unlink(scratch_path("metrics.jsonl"));
    put(whole);
    grdi_run_end(&run);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    cr_assert(!grdi_run_begin(&run, longest));
    expect_error(GRD_ERROR_IO, "the path is too long: xxx");
    run = begun();
    grd_fail(GRD_ERROR_STATE, "test", "latched");
    cr_assert(!grdi_run_read(&run, true));
    expect_error(GRD_ERROR_STATE, "latched");
    cr_assert_eq(run.rows, 0);
}

static ssize_t no_read(int file, void *data, size_t size)
{
    (void)file, (void)data, (void)size;
    return -1;
}

Test(run_read, a_disk_that_fails_is_named, .init = scratch_begin, .fini = scratch_end)
{
    const grdi_system kept = grdi_system_calls;
    put(whole);
    grdi_run run = begun();
    grdi_system_calls.read = no_read;
    cr_assert(!grdi_run_read(&run, true));
    grdi_system_calls = kept;
    expect_error(GRD_ERROR_IO, "metrics.jsonl: cannot read: ");
    cr_assert(grdi_run_read(&run, true), "and read later");
    cr_assert_eq(run.rows, 2);
    grdi_run_end(&run);
}

/* Some 1500 rows and 20 layers, so that the table grows both ways. */
static grd_status read_growing(void)
{
    grdi_run run = begun();
    grdi_run_read(&run, true);
    grdi_run_end(&run);
    return grdi_self.latched;
}

Test(run_read, runs_out_at_every_allocation, .init = scratch_begin, .fini = scratch_end)
{
    FILE *file = fopen(scratch_path("metrics.jsonl"), "w");
    for (int i = 1; i <= 1500; i++) {
        fprintf(file, "{\"step\": %d, \"grad_norms\": {\"x\": 1", i);
        for (int j = 0; j < 20 && i > 1200; j++)
            fprintf(file, ", \"%d\": %d", j, j);
        fputs("}}\n", file);
    }
    fclose(file);
    fail_at_every_allocation(read_growing, 5);
}
