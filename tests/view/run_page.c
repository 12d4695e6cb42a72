/* The page of a run, as its data say it; what a browser makes of it is tests/browser/report.py's.
 */
#include "tests/counter.h"
#include "tests/nn/expect.h"
#include "tests/nn/scratch.h"
#include "view/run.h"
#include <gradus/view.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

static const char *folder(void)
{
    char *path = (char *)scratch_path("x");
    path[strlen(path) - 2] = '\0';
    return path;
}

/* What the page holds; to be released. */
static json_t *data_of(void)
{
    static char page[1 << 20];
    const long size = scratch_read("report.html", page, sizeof page - 1);
    cr_assert_gt(size, 0);
    page[size] = '\0';
    char *from = strstr(page, "id=\"data\">");
    cr_assert(from);
    from += strlen("id=\"data\">");
    *strstr(from, "</script>") = '\0';
    json_t *data = json_loads(from, 0, NULL);
    cr_assert(data);
    return data;
}

static json_t *viewed(void)
{
    cr_assert_eq(grd_view_run(scratch_path("report.html"), folder()), GRD_OK, "%s",
                 grd_error_message());
    return data_of();
}

static const char *text_at(const json_t *data, const char *key)
{
    return json_string_value(json_object_get(data, key));
}

static double figure(const json_t *data, const char *key)
{
    const json_t *value = json_object_get(json_object_get(data, "figures"), key);
    cr_assert(json_is_number(value), "%s", key);
    return json_number_value(value);
}

Test(run_page, says_how_it_stands, .init = scratch_begin, .fini = scratch_end)
{
    static const struct {
        const char *config, *state;
    } cases[] = {
        { "{\"steps\": 2}", "finished" }, { "{\"steps\": 1}", "finished" },
        { "{\"steps\": 3}", "stopped" },  { "{}", "ended" },
        { "{\"steps\": \"\"}", "ended" },
    };
    put("metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n{\"step\": 2, \"loss\": 1}\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("config.json", cases[i].config);
        json_t *data = viewed();
        cr_assert_str_eq(text_at(data, "state"), cases[i].state, "%s", cases[i].config);
        cr_assert_null(json_object_get(data, "written"), "the same run gives the same bytes");
        json_decref(data);
    }
}

Test(run_page, tells_figures_and_options, .init = scratch_begin, .fini = scratch_end)
{
    put("metrics.jsonl", "{\"step\": 1, \"loss\": 2, \"val_loss\": 3}\n");
    put("config.json",
        "{\"steps\": 5, \"text\": \"</script>\\u202e\", \"lr\": 0.5, \"tied\": true, "
        "\"causal\": null, \"deep\": {\"a\": []}}");
    json_t *data = viewed();
    cr_assert_eq(figure(data, "loss"), 2);
    cr_assert_eq(figure(data, "best"), 3);
    cr_assert_eq(figure(data, "total"), 5);
    cr_assert_float_eq(figure(data, "perplexity"), 20.085536923187668, 1e-12);
    char *options = json_dumps(json_object_get(data, "options"), JSON_COMPACT);
    cr_assert_str_eq(options, "[[\"steps\",5],[\"text\",\"</script>\\\\u{202e}\"],[\"lr\",0.5],"
                              "[\"tied\",true],[\"causal\",null]]");
    free(options);
    json_decref(data);
    put("config.json", "{\"task\": \"copy\", \"text\": null}");
    data = viewed();
    cr_assert_str_eq(
        json_string_value(json_object_get(json_object_get(data, "figures"), "perplexity")), "nan",
        "only of a text");
    json_decref(data);
}

Test(run_page, a_wrong_configuration_is_told, .init = scratch_begin, .fini = scratch_end)
{
    put("metrics.jsonl", "{\"step\": 1}\n");
    static const char *const wrong[] = { "", "{", "[1]", "{\"steps\": 1e999}" };
    for (int i = 0; i < 4; i++) {
        put("config.json", wrong[i]);
        json_t *data = viewed();
        cr_assert_str_eq(text_at(data, "problem"), "is damaged");
        json_decref(data);
    }
    unlink(scratch_path("config.json"));
    cr_assert_eq(mkfifo(scratch_path("config.json"), 0600), 0);
    json_t *data = viewed();
    cr_assert_str_eq(text_at(data, "problem"), "cannot be read");
    json_decref(data);
}

Test(run_page, faults_are_told, .init = scratch_begin, .fini = scratch_end)
{
    put("metrics.jsonl", "{\"step\": 1}\nbad\n{\"step\": 2, \"loss\": 1}\n{\"st");
    json_t *data = viewed();
    char *faults = json_dumps(json_object_get(data, "faults"), JSON_COMPACT);
    cr_assert_str_eq(faults, "[{\"line\":2,\"what\":\"not JSON\"}]");
    cr_assert(json_is_true(json_object_get(data, "cut_off")));
    cr_assert_eq(json_integer_value(json_object_get(data, "num_faults")), 1);
    char *lost = json_dumps(json_object_get(data, "not_finite"), JSON_COMPACT);
    cr_assert_str_eq(lost, "[1.0]");
    free(lost);
    free(faults);
    json_decref(data);
}

Test(run_page, an_empty_run_is_a_page, .init = scratch_begin, .fini = scratch_end)
{
    put("metrics.jsonl", "");
    json_t *data = viewed();
    cr_assert_eq(json_integer_value(json_object_get(data, "rows")), 0);
    json_decref(data);
}

Test(run_page, a_running_one_tells_when_to_look_again, .init = scratch_begin, .fini = scratch_end)
{
    put("metrics.jsonl", "{\"step\": 1, \"tokens\": 10, \"tokens_per_second\": 5}\n");
    put("config.json", "{\"steps\": 11}");
    grdi_run run;
    cr_assert(grdi_run_begin(&run, folder()) && grdi_run_read(&run, false));
    cr_assert(grdi_run_write("test", scratch_path("report.html"), &run, GRDI_RUN_RUNNING, 4.5));
    grdi_run_end(&run);
    json_t *data = data_of();
    cr_assert_str_eq(text_at(data, "state"), "running");
    cr_assert_eq(json_number_value(json_object_get(data, "refresh")), 4.5);
    cr_assert_gt(json_integer_value(json_object_get(data, "written")), 1700000000);
    cr_assert_eq(figure(data, "left"), 20, "ten steps of two seconds");
    json_decref(data);
}

Test(run_page, bad_input_is_named, .init = scratch_begin, .fini = scratch_end)
{
    cr_assert_eq(grd_view_run(NULL, folder()), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "view_run: an argument is NULL");
    cr_assert_eq(grd_view_run(scratch_path("report.html"), NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "view_run: an argument is NULL");
    cr_assert_eq(grd_view_run(scratch_path("report.html"), folder()), GRD_ERROR_NO_FILE);
    expect_error(GRD_ERROR_NO_FILE, "there is no such file");
    cr_assert_eq(scratch_files(), 0, "no page is left");
    put("metrics.jsonl", "{\"step\": 1}\n");
    cr_assert_eq(grd_view_run("/dev/null/x.html", folder()), GRD_ERROR_IO);
    expect_error(GRD_ERROR_IO, "/dev/null/x.html");
    grd_fail(GRD_ERROR_STATE, "test", "latched");
    cr_assert_eq(grd_view_run(scratch_path("report.html"), folder()), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "latched");
    cr_assert_eq(scratch_files(), 1);
}

static grd_status make_page(void)
{
    return grd_view_run(scratch_path("report.html"), folder());
}

Test(run_page, runs_out_at_every_allocation, .init = scratch_begin, .fini = scratch_end)
{
    put("metrics.jsonl", "{\"step\": 1, \"loss\": 1, \"grad_norms\": {\"a\": 1}}\n");
    put("config.json", "{\"steps\": 5}");
    fail_at_every_allocation(make_page, 4);
}
