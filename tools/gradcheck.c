/* gradus gradcheck: every derivative of the library against central differences. */
#include "tools/gradcheck.h"
#include "nn/module.h"
#include "tools/progress.h"
#include "tools/setup.h"
#include "tools/signals.h"
#include "tools/terminal.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Which rows ---- */

typedef struct selection {
    checked_row *rows;
    int count;
} selection;

static bool is_chosen(const options *o, const checked_row *row)
{
    for (int i = 0; i < o->num_arguments; i++)
        if (checked_row_matches(row, o->arguments[i]))
            return true;
    return o->num_arguments == 0;
}

/* All rows into `rows`, if it is not NULL. Returns how many. */
static int list_rows(checked_row *rows)
{
    int count = 0;
    for (int t = 0; t < num_checked_tables; t++) {
        checked_row row = { 0 };
        for (int at = 0; at < checked_tables[t]->count; at += row.count) {
            row = checked_row_at(checked_tables[t], at);
            if (rows)
                rows[count] = row;
            count++;
        }
    }
    return count;
}

static bool is_known(const selection *all, const char *pattern)
{
    grdi_nearest nearest = { .wanted = pattern };
    for (int i = 0; i < all->count; i++) {
        if (checked_row_matches(&all->rows[i], pattern))
            return true;
        grdi_nearest_try(&nearest, all->rows[i].cases->name);
        grdi_nearest_try(&nearest, all->rows[i].family);
    }
    return complain("nothing is called \"%s\"%s; --list names all", pattern,
                    grdi_nearest_text(&nearest).chars);
}

/* False after a message; rows are to be freed. */
static bool choose(const options *o, selection *chosen)
{
    chosen->rows = malloc((size_t)list_rows(NULL) * sizeof *chosen->rows);
    if (!chosen->rows)
        return complain("out of memory");
    chosen->count = list_rows(chosen->rows);
    for (int i = 0; i < o->num_arguments; i++)
        if (!is_known(chosen, o->arguments[i]))
            return false;
    int kept = 0;
    for (int i = 0; i < chosen->count; i++)
        if (is_chosen(o, &chosen->rows[i]))
            chosen->rows[kept++] = chosen->rows[i];
    chosen->count = kept;
    return true;
}

/* ---- Text ---- */

static grdi_text index_text(const grd_dims *index)
{
    grd_shape shape = { .rank = index->count };
    memcpy(shape.size, index->dim, sizeof shape.size);
    return grdi_shape_text(&shape);
}

static void print_head(FILE *out, bool fast)
{
    fprintf(out, "%-28s %5s %11s %9s %9s %8s  %s\n", "", "cases", "derivatives", "gradcheck",
            "gradgrad", "seconds", fast ? "along one direction" : "worst derivative of gradcheck");
}

static void print_worst(FILE *out, const worst_derivative *worst)
{
    const grd_gradcheck_report *r = &worst->report;
    fprintf(out, "%s", worst->variable);
    if (r->index.count > 0)
        fprintf(out, " %s", index_text(&r->index).chars);
    fprintf(out, ": %.9g, numeric %.9g\n", r->analytic, r->numeric);
}

static void print_failure(FILE *out, const char *check, const worst_derivative *worst)
{
    if (worst->error <= 1)
        return;
    const char *what = worst->c->what;
    fprintf(out, "  %s of %s%s%s%s: %s\n", check, worst->c->name, *what ? ", " : "", what,
            worst->transposed ? ", inputs transposed" : "", worst->report.text);
}

static void print_walks(FILE *out, const row_result *r)
{
    if (r->first.error <= 1 && !(r->walks <= CHECK_WALKS))
        fprintf(out, "  gradients of %s%s%s, recorded and not recorded: %.1e apart\n",
                r->walks_case->name, *r->walks_case->what ? ", " : "", r->walks_case->what,
                r->walks);
}

static void print_row(FILE *out, const checked_row *row, const row_result *r, double seconds)
{
    fprintf(out, "%-28s %5d %11" PRId64 " %9.1e %9.1e %8.2f  ", row->cases->name, r->cases,
            r->compared, r->first.error, r->second.error, seconds);
    if (r->passed) {
        print_worst(out, &r->first);
    } else {
        fprintf(out, "FAILED in %d\n", r->failed);
        print_failure(out, "gradcheck", &r->first);
        print_failure(out, "gradgradcheck", &r->second);
        print_walks(out, r);
    }
    fflush(out);
}

/* ---- JSON ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *dims_json(const grd_dims *dims)
{
    json_t *list = json_array();
    for (int64_t d = 0; d < dims->count; d++)
        json_array_append_new(list, json_integer(dims->dim[d]));
    return list;
}

static json_t *worst_json(const worst_derivative *w)
{
    const grd_gradcheck_report *r = &w->report;
    return json_pack("{s:s, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "case", w->c->what,
                     "transposed", w->transposed, "passed", w->error <= 1, "variable", w->variable,
                     "index", dims_json(&r->index), "output", dims_json(&r->output), "analytic",
                     number(r->analytic), "numeric", number(r->numeric), "relative_error",
                     number(r->relative_error), "error", number(w->error), "text", r->text);
}

static json_t *name_json(const checked_row *row)
{
    return json_pack("{s:s, s:s}", "name", row->cases->name, "kind", row->table->title);
}

static json_t *row_json(const checked_row *row, const row_result *r, double seconds)
{
    json_t *json = name_json(row);
    json_object_set_new(json, "passed", json_boolean(r->passed));
    json_object_set_new(json, "cases", json_integer(r->cases));
    json_object_set_new(json, "failed", json_integer(r->failed));
    json_object_set_new(json, "derivatives", json_integer(r->compared));
    json_object_set_new(json, "gradcheck", worst_json(&r->first));
    json_object_set_new(json, "gradgradcheck", worst_json(&r->second));
    json_object_set_new(json, "walks_apart", number(r->walks));
    json_object_set_new(json, "seconds", json_real(seconds));
    return json;
}

static void print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    putchar('\n');
    json_decref(json);
}

/* ---- The command ---- */

typedef struct run_state {
    const options *o;
    const selection *chosen;
    FILE *out; /* the table's: stderr where JSON has stdout */
    json_t *rows;
    int done, failed;
    int64_t cases, compared;
    const char *worst_name;
    double worst, start;
} run_state;

static bool is_stopped(void)
{
    return caught_signal() != 0;
}

static void add_up(run_state *s, const checked_row *row, const row_result *r)
{
    const double worst = fmax(r->first.error, r->second.error);
    s->done++;
    s->failed += !r->passed;
    s->cases += r->cases;
    s->compared += r->compared;
    if (worst >= s->worst) {
        s->worst = worst;
        s->worst_name = row->cases->name;
    }
}

static void run_rows(run_state *s)
{
    const check_settings settings = { s->o->fast == 1, (uint64_t)s->o->seed };
    for (int i = 0; i < s->chosen->count; i++) {
        const checked_row *row = &s->chosen->rows[i];
        const double start = seconds_now();
        const row_result r = check_row(row, &settings, is_stopped);
        if (is_stopped())
            return;
        const double seconds = seconds_now() - start;
        print_row(s->out, row, &r, seconds);
        json_array_append_new(s->rows, row_json(row, &r, seconds));
        add_up(s, row, &r);
    }
}

static void print_summary(const run_state *s)
{
    FILE *out = s->out;
    if (is_stopped())
        fprintf(out, "stopped after %d of %d: ", s->done, s->chosen->count);
    if (s->failed > 0)
        fprintf(out, "%d of %d FAILED", s->failed, s->done);
    else
        fprintf(out, "%d passed", s->done);
    fprintf(out, ", %" PRId64 " cases, %" PRId64 " derivatives, %.1f s", s->cases, s->compared,
            seconds_now() - s->start);
    if (s->failed == 0 && s->worst_name)
        fprintf(out, "; the worst error is %.1e of what is tolerated (%s)", s->worst,
                s->worst_name);
    fputc('\n', out);
    fflush(out);
}

static json_t *summary_json(run_state *s)
{
    return json_pack("{s:b, s:b, s:I, s:b, s:f, s:f, s:f, s:f, s:o}", "passed",
                     s->failed == 0 && !is_stopped(), "stopped", is_stopped(), "seed",
                     (json_int_t)s->o->seed, "fast", s->o->fast == 1, "eps", CHECK_EPS, "atol",
                     CHECK_ATOL, "rtol", CHECK_RTOL, "seconds", seconds_now() - s->start, "rows",
                     s->rows);
}

static int check(const options *o, const selection *chosen)
{
    const bool json = o->json == 1;
    grd_scope *scope = open_scope(o);
    if (grd_scope_end(NULL) != GRD_OK)
        return complain_of_library();
    run_state s = { .o = o,
                    .chosen = chosen,
                    .out = json ? stderr : stdout,
                    .rows = json_array(),
                    .start = seconds_now() };
    catch_signals();
    print_head(s.out, o->fast == 1);
    run_rows(&s);
    grd_scope_end(scope);
    print_summary(&s);
    if (json)
        print_json(summary_json(&s));
    else
        json_decref(s.rows);
    return is_stopped() ? 128 + caught_signal() : s.failed > 0 ? EXIT_FAILED : 0;
}

static int list(const options *o, const selection *chosen)
{
    json_t *names = json_array();
    for (int i = 0; i < chosen->count; i++)
        if (o->json == 1)
            json_array_append_new(names, name_json(&chosen->rows[i]));
        else
            printf("%-9s  %s\n", chosen->rows[i].table->title, chosen->rows[i].cases->name);
    if (o->json == 1)
        print_json(names);
    else
        json_decref(names);
    return 0;
}

int run_gradcheck(options *o)
{
    selection chosen = { 0 };
    int status = EXIT_USAGE;
    if (choose(o, &chosen))
        status = o->list == 1 ? list(o, &chosen) : check(o, &chosen);
    free(chosen.rows);
    return status;
}
