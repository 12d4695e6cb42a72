/* What gradus gradcheck runs: all that there is to check is checked, and a wrong derivative is
 * reported where it is. */
#include "tools/gradcheck.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The tables ---- */

enum { MAX_NAMES = 256 };

typedef struct names {
    char at[MAX_NAMES][64];
    int count;
} names;

static bool has(const names *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->at[i], name) == 0)
            return true;
    return false;
}

static void add(names *list, const char *name)
{
    if (has(list, name))
        return;
    cr_assert_lt(list->count, MAX_NAMES);
    snprintf(list->at[list->count++], sizeof list->at[0], "%s", name);
}

typedef void visitor(const checked_row *row, void *user);

static void visit_rows(visitor *visit, void *user)
{
    for (int t = 0; t < num_checked_tables; t++) {
        checked_row row = { 0 };
        for (int at = 0; at < checked_tables[t]->count; at += row.count) {
            row = checked_row_at(checked_tables[t], at);
            cr_assert_gt(row.count, 0);
            visit(&row, user);
        }
    }
}

static void add_once(const checked_row *row, void *user)
{
    cr_assert_not(has(user, row->cases->name), "%s: its cases do not follow each other",
                  row->cases->name);
    add(user, row->cases->name);
}

Test(gradcheck_rows, each_name_is_one_row)
{
    static names list;
    visit_rows(add_once, &list);
    cr_assert_gt(list.count, 100);
}

Test(gradcheck_rows, are_found_by_name_family_and_pattern)
{
    static const checked_case cases[] = {
        { .name = "a/one" },
        { .name = "a/one" },
        { .name = "b" },
    };
    static const checked_table table = { "op", cases, 3 };
    const checked_row a = checked_row_at(&table, 0), b = checked_row_at(&table, 2);
    cr_assert(a.count == 2 && b.count == 1);
    cr_assert(checked_row_matches(&a, "a/one") && checked_row_matches(&a, "a"));
    cr_assert(checked_row_matches(&a, "a/*") && checked_row_matches(&a, "?"));
    cr_assert_not(checked_row_matches(&a, "one") || checked_row_matches(&a, "a/o"));
    cr_assert(checked_row_matches(&b, "b") && !checked_row_matches(&b, "b/*"));
}

/* ---- Complete ---- */

/* What stands in quotes after `end` behind each `start` of the files. */
static void collect(names *list, const char *pattern, const char *start, const char *end)
{
    static char text[1 << 16];
    glob_t files;
    cr_assert_eq(glob(pattern, 0, NULL, &files), 0, "%s", pattern);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *in = fopen(files.gl_pathv[i], "r");
        cr_assert(in, "%s", files.gl_pathv[i]);
        text[fread(text, 1, sizeof text - 1, in)] = '\0';
        fclose(in);
        for (const char *at = text; (at = strstr(at, start)); at++) {
            const char *stop = strchr(at, ';'), *name = strstr(at, end);
            char found[64];
            if (name && name < stop && sscanf(name + strlen(end), "%63[^\"]", found) == 1)
                add(list, found);
        }
    }
    globfree(&files);
}

static bool note_op(const grd_backward_step *step, void *seen)
{
    add(seen, step->op);
    return true;
}

static void run_fast(const checked_row *row, void *unused)
{
    (void)unused;
    const row_result r = check_row(row, &(check_settings){ .fast = true, .seed = 3 }, NULL);
    cr_assert(r.passed, "%s: %s; %s", row->cases->name, r.first.report.text, r.second.report.text);
}

Test(gradcheck_rows, walk_through_every_derivative, .timeout = 300)
{
    static names derivatives, seen;
    grd_scope *scope = grd_scope_begin();
    grd_on_backward(scope, note_op, &seen);
    visit_rows(run_fast, NULL);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    collect(&derivatives, TEST_GOLDEN "/../../autograd/*.c", "const grdi_derivative ", ".op = \"");
    cr_assert(derivatives.count > 70 && has(&derivatives, "softmax"), "%d", derivatives.count);
    for (int i = 0; i < derivatives.count; i++) {
        const char *op = derivatives.at[i];
        if (strcmp(op, "bernoulli") != 0) /* has none: recording it is an error */
            cr_assert(has(&seen, op), "no row of gradus gradcheck walks through %s", op);
    }
    cr_assert_not(has(&seen, "bernoulli"));
}

static void add_family(const checked_row *row, void *user)
{
    add(user, row->family);
}

Test(gradcheck_rows, run_every_kind_of_module)
{
    static names kinds, families;
    collect(&kinds, TEST_GOLDEN "/../../nn/*.c", "const grdi_kind ", "= { \"");
    visit_rows(add_family, &families);
    cr_assert(kinds.count >= 8 && has(&kinds, "MultiheadAttention"), "%d", kinds.count);
    for (int i = 0; i < kinds.count; i++)
        cr_assert(has(&families, kinds.at[i]), "gradus gradcheck has no row %s", kinds.at[i]);
}

/* ---- Right ---- */

static void run_whole(const checked_row *row, void *derivatives)
{
    const row_result r = check_row(row, &(check_settings){ .seed = 2 }, NULL);
    cr_assert(r.passed, "%s: %s; %s", row->cases->name, r.first.report.text, r.second.report.text);
    cr_assert(r.failed == 0 && r.first.error <= 1 && r.second.error <= 1);
    cr_assert_geq(r.cases, row->count);
    *(int64_t *)derivatives += r.compared;
}

Test(gradcheck_rows, pass, .timeout = 300)
{
    int64_t derivatives = 0;
    visit_rows(run_whole, &derivatives);
    cr_assert_gt(derivatives, 400000);
}

static int calls;

static bool stop_at_the_third(void)
{
    return ++calls == 3;
}

Test(gradcheck_rows, stop_between_cases)
{
    const checked_row row = checked_row_at(&checked_ops, 0);
    calls = 0;
    const row_result r = check_row(&row, &(check_settings){ .seed = 1 }, stop_at_the_third);
    cr_assert(r.cases == 2 && !r.passed && r.failed == 0);
}

/* ---- Wrong ---- */

/* y = a b, with db wrong at [1, 2] by a factor. */
static grd_tensor *forward(grd_call *call, const grd_tensor *const *x)
{
    (void)call;
    return grd_mul(x[0], x[1]);
}

static void wrong_by(const grd_call *call, const grd_tensor *dy, grd_tensor **dx, double factor)
{
    const double factors[] = { 1, 1, 1, 1, 1, factor };
    dx[0] = grd_mul(dy, grd_call_input(call, 1));
    dx[1] =
        grd_mul(grd_mul(dy, grd_call_input(call, 0)), grd_from_f64(factors, 6, GRD_SHAPE(2, 3)));
}

static void one_percent_off(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    wrong_by(call, dy, dx, 1.01);
}

static void sign_flipped(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    wrong_by(call, dy, dx, -1);
}

static void zero(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    wrong_by(call, dy, dx, 0);
}

static void not_a_number(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    wrong_by(call, dy, dx, NAN);
}

/* Right, but what gradients are made of is cut off from its graph. */
static void severed(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    dx[0] = grd_mul(dy, grd_detach(grd_call_input(call, 1)));
    dx[1] = grd_mul(dy, grd_detach(grd_call_input(call, 0)));
}

static grd_tensor *planted(const grd_tensor *const *x, void *use)
{
    return grd_custom(((checked_use *)use)->c->settings, GRD_LIST(x[0], x[1]), NULL);
}

static grd_tensor *right(const grd_tensor *const *x, void *use)
{
    (void)use;
    return grd_mul(x[0], x[1]);
}

/* A row of two cases, the first of which is right. */
static row_result run_planted(const grd_custom_op *op, bool fast)
{
    const checked_case cases[] = {
        { "planted", "right", right, { NORMAL(2, 3), NORMAL(2, 3) }, NULL, NULL },
        { "planted", "wrong", planted, { NORMAL(2, 3), NORMAL(2, 3) }, op, NULL },
    };
    const checked_table table = { "op", cases, 2 };
    const checked_row row = checked_row_at(&table, 0);
    row_result r = check_row(&row, &(check_settings){ .fast = fast, .seed = 1 }, NULL);
    cr_assert(r.cases == 4 && r.failed == 2 && !r.passed, "%s: %d failed", op->name, r.failed);
    cr_assert_eq(grd_error_take(), GRD_OK, "an answer leaves nothing latched");
    const checked_case *where = r.first.error > 1    ? r.first.c
                                : r.second.error > 1 ? r.second.c
                                                     : r.walks_case;
    cr_assert_eq(where, &cases[1]);
    r.first.c = r.second.c = r.walks_case = NULL; /* the cases end here */
    return r;
}

Test(gradcheck_rows, report_a_wrong_derivative_where_it_is)
{
    static const struct {
        grd_custom_op op;
        double factor;
    } wrong[] = {
        { { "one_percent_off", forward, one_percent_off, 0 }, 1.01 },
        { { "sign_flipped", forward, sign_flipped, 0 }, -1 },
        { { "zero", forward, zero, 0 }, 0 },
    };
    for (int i = 0; i < 3; i++) {
        const row_result r = run_planted(&wrong[i].op, false);
        const grd_gradcheck_report *worst = &r.first.report;
        cr_assert_str_eq(r.first.variable, "input 1");
        cr_assert(worst->index.count == 2 && worst->index.dim[0] == 1 && worst->index.dim[1] == 2,
                  "%s: %s", wrong[i].op.name, worst->text);
        cr_assert(worst->output.dim[0] == 1 && worst->output.dim[1] == 2);
        cr_assert_float_eq(worst->analytic, wrong[i].factor * worst->numeric, 1e-8);
        const row_result fast = run_planted(&wrong[i].op, true);
        cr_assert_str_eq(fast.first.variable, "input 1");
        cr_assert_gt(fast.first.error, 1);
    }
}

Test(gradcheck_rows, report_nan_as_wrong)
{
    static const grd_custom_op op = { "not_a_number", forward, not_a_number, 0 };
    const row_result r = run_planted(&op, false);
    cr_assert(isinf(r.first.error) && isnan(r.first.report.analytic));
    cr_assert_eq(r.first.report.index.dim[1], 2);
}

Test(gradcheck_rows, report_a_second_derivative_that_is_wrong_alone)
{
    static const grd_custom_op op = { "severed", forward, severed, 0 };
    const row_result r = run_planted(&op, false);
    cr_assert(r.first.error <= 1 && r.first.report.passed, "%s", r.first.report.text);
    cr_assert(r.second.error > 1 && !r.second.report.passed, "%s", r.second.report.text);
}

/* A factor that only gradcheck's own walks see: under create_graph the gradient is another one. */
static void otherwise_recorded(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    const bool recorded = grd_tensor_requires_grad(grd_mul(grd_call_input(call, 0), dy));
    wrong_by(call, dy, dx, recorded ? 1.01 : 1);
}

Test(gradcheck_rows, report_a_gradient_that_is_wrong_where_it_is_recorded)
{
    static const grd_custom_op op = { "otherwise_recorded", forward, otherwise_recorded, 0 };
    const row_result r = run_planted(&op, false);
    cr_assert(r.walks > 1e-3 && r.walks < 1e-2, "%g", r.walks);
    cr_assert(r.first.error <= 1, "%s", r.first.report.text);
}

/* ---- What fails otherwise ---- */

static grd_tensor *fails(const grd_tensor *const *x, void *use)
{
    (void)x;
    (void)use;
    return grd_fail(GRD_ERROR_STATE, "fails", "not today");
}

static grd_tensor *is_constant(const grd_tensor *const *x, void *use)
{
    (void)use;
    return grd_clone(grd_detach(x[0]));
}

/* As one writes it who forgets that the bias is in the graph too. */
static grd_tensor *forgets_bias(const grd_tensor *const *x, void *use)
{
    grd_module *linear = ((checked_use *)use)->module;
    return grd_linear(x[0], grd_module_parameter(linear, "weight"),
                      grd_detach(grd_module_parameter(linear, "bias")));
}

static grd_module *make_linear(grd_rng *rng, const void *settings)
{
    (void)settings;
    return grd_linear_create(rng, 4, 3, NULL);
}

static row_result run_case(const checked_case *c)
{
    const checked_table table = { "op", c, 1 };
    const checked_row row = checked_row_at(&table, 0);
    const row_result r = check_row(&row, &(check_settings){ .seed = 1 }, NULL);
    cr_assert(!r.passed && r.failed == r.cases);
    cr_assert_eq(grd_error_take(), GRD_OK);
    return r;
}

Test(gradcheck_rows, report_a_function_that_fails)
{
    const checked_case c = { "fails", "", fails, { NORMAL(2, 3) }, NULL, NULL };
    const row_result r = run_case(&c);
    cr_assert(isinf(r.first.error) && r.compared == 0);
    cr_assert(strstr(r.first.report.text, "not checked: fails: not today"), "%s",
              r.first.report.text);
}

Test(gradcheck_rows, report_a_function_without_a_gradient)
{
    const checked_case c = { "constant", "", is_constant, { NORMAL(3) }, NULL, NULL };
    const row_result r = run_case(&c);
    cr_assert_gt(r.first.error, 1, "%s", r.first.report.text);
}

Test(gradcheck_rows, name_the_parameter_that_is_wrong)
{
    const checked_case c = { "forgets", "", forgets_bias, { NORMAL(2, 4) }, NULL, make_linear };
    const row_result r = run_case(&c);
    cr_assert_str_eq(r.first.variable, "bias");
}
