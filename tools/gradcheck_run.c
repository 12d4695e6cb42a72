/* Runs a row of the tables of gradus gradcheck. */
#include "nn/module.h"
#include "tools/gradcheck.h"

#include <math.h>
#include <string.h>

checked_row checked_row_at(const checked_table *table, int at)
{
    const checked_case *first = table->cases + at;
    checked_row row = { table, first, 0, "" };
    snprintf(row.family, sizeof row.family, "%.*s", (int)strcspn(first->name, "/"), first->name);
    while (at + row.count < table->count && strcmp(first[row.count].name, first->name) == 0)
        row.count++;
    return row;
}

bool checked_row_matches(const checked_row *row, const char *pattern)
{
    return grdi_matches(pattern, row->cases->name) || grdi_matches(pattern, row->family);
}

/* ---- Inputs ---- */

enum { POOL = 64 }; /* values of APART in a case */

/* Where a case's numbers come from. */
typedef struct source {
    grd_rng *rng;
    const grd_tensor *pool; /* the values of APART in any order, of which `used` are taken */
    int64_t used;
} source;

static grd_tensor *normal(const checked_input *input, source *from)
{
    return grd_randn(from->rng, input->shape);
}

static grd_tensor *positive(const checked_input *input, source *from)
{
    return grd_add_scalar(grd_rand(from->rng, input->shape), 0.3);
}

static grd_tensor *apart(const checked_input *input, source *from)
{
    const int64_t first = from->used;
    int64_t count = 1;
    for (int64_t d = 0; d < input->shape.rank; d++)
        count *= input->shape.size[d];
    from->used += count;
    return grd_reshape(grd_slice(from->pool, 0, first, from->used, 1), input->shape);
}

static grd_tensor *indices(const checked_input *input, source *from)
{
    return grd_randint(from->rng, 0, input->limit, input->shape);
}

static grd_tensor *truths(const checked_input *input, source *from)
{
    return grd_lt_scalar(grd_rand(from->rng, input->shape), 0.6);
}

typedef grd_tensor *filler(const checked_input *input, source *from);
static filler *const fillers[] = {
    [FILL_NORMAL] = normal, [FILL_POSITIVE] = positive, [FILL_APART] = apart,
    [FILL_INDEX] = indices, [FILL_TRUTH] = truths,
};

static bool can_lie_transposed(const checked_input *input)
{
    return input->shape.rank >= 2;
}

static grd_list make_inputs(const checked_case *c, grd_rng *rng, bool transposed,
                            const grd_tensor *x[MAX_CHECKED_INPUTS])
{
    const grd_tensor *order = grd_cast(grd_randperm(rng, POOL), GRD_F64);
    source from = { rng, grd_add_scalar(grd_mul_scalar(order, 0.05), -1.58), 0 };
    grd_list list = { 0, x };
    for (int i = 0; i < MAX_CHECKED_INPUTS && c->inputs[i].fill; i++) {
        x[i] = fillers[c->inputs[i].fill](&c->inputs[i], &from);
        if (transposed && can_lie_transposed(&c->inputs[i]))
            x[i] = grd_transpose(grd_contiguous(grd_transpose(x[i], -1, -2)), -1, -2);
        list.count++;
    }
    return list;
}

/* ---- Results ---- */

static double error_of(const grd_gradcheck_report *report)
{
    const double allowed = CHECK_ATOL + CHECK_RTOL * fabs(report->numeric);
    const double error = fabs(report->analytic - report->numeric) / allowed;
    if (report->passed)
        return error;
    return error > 1 ? error : INFINITY; /* not finite, or wrong in another way */
}

/* The report's variable: inputs are counted before parameters. */
static void name_variable(char name[80], const checked_use *use, int64_t inputs, int64_t which)
{
    if (which < 0)
        snprintf(name, 80, "gradient");
    else if (which < inputs)
        snprintf(name, 80, "input %d", (int)which);
    else
        snprintf(name, 80, "%s", grd_module_parameter_at(use->module, which - inputs).name);
}

static void keep_worst(worst_derivative *worst, const checked_use *use, int64_t inputs,
                       bool transposed, const grd_gradcheck_report *report)
{
    const double error = error_of(report);
    if (worst->c && error <= worst->error)
        return;
    *worst = (worst_derivative){ use->c, transposed, "", error, *report };
    name_variable(worst->variable, use, inputs, report->input);
}

static void check_case(row_result *result, const checked_case *c, const check_settings *settings,
                       bool transposed)
{
    const grd_tensor *x[MAX_CHECKED_INPUTS];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(settings->seed);
    checked_use use = { c, c->make ? c->make(rng, c->settings) : NULL };
    const grd_list inputs = make_inputs(c, rng, transposed, x);
    const grd_gradcheck_options how = {
        .eps = CHECK_EPS,
        .atol = CHECK_ATOL,
        .rtol = CHECK_RTOL,
        .fast = settings->fast,
        .module = use.module,
    };
    const grd_gradcheck_report first = grd_gradcheck(c->f, &use, inputs, &how);
    const grd_gradcheck_report second = grd_gradgradcheck(c->f, &use, inputs, &how);
    const double walks = compare_walks(&use, inputs);
    grd_error_take(); /* it stands in the reports */
    keep_worst(&result->first, &use, inputs.count, transposed, &first);
    keep_worst(&result->second, &use, inputs.count, transposed, &second);
    grd_scope_end(scope);
    result->compared += first.compared + second.compared;
    result->failed += !(first.passed && second.passed && walks <= CHECK_WALKS);
    if (!result->walks_case || !(walks <= result->walks)) {
        result->walks = walks;
        result->walks_case = c;
    }
    result->cases++;
}

row_result check_row(const checked_row *row, const check_settings *settings, bool (*stop)(void))
{
    row_result result = { 0 };
    for (int i = 0; i < row->count; i++) {
        const checked_case *c = &row->cases[i];
        bool can_transpose = false;
        for (int j = 0; j < MAX_CHECKED_INPUTS && c->inputs[j].fill; j++)
            can_transpose |= can_lie_transposed(&c->inputs[j]);
        for (int transposed = 0; transposed <= can_transpose; transposed++) {
            if (stop && stop())
                return result;
            check_case(&result, c, settings, transposed);
        }
    }
    result.passed = result.cases > 0 && result.failed == 0;
    return result;
}
