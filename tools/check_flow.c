/* One backward over one batch, and a look at every gradient. */
#include "tools/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct flow {
    json_t *parameters, *bad;
    int64_t count, slices;
} flow;

/* Rows and columns of a gradient that belong together. */
typedef struct block {
    const double *gradient;
    int64_t stride; /* from row to row */
    int64_t first_row, rows, first_column, columns;
} block;

/* The largest magnitude; not finite as soon as one number is not. */
static double largest(const block *b)
{
    double most = 0;
    for (int64_t i = 0; i < b->rows; i++)
        for (int64_t j = 0; j < b->columns; j++) {
            const double x = b->gradient[(b->first_row + i) * b->stride + b->first_column + j];
            if (!isfinite(x))
                return x;
            most = fmax(most, fabs(x));
        }
    return most;
}

static void add_bad(flow *f, const char *name, const char *part, int64_t head, const char *what)
{
    json_array_append_new(f->bad, part ? json_pack("{s:s, s:s, s:I, s:s}", "name", name, "part",
                                                   part, "head", (json_int_t)head, "what", what)
                                       : json_pack("{s:s, s:s}", "name", name, "what", what));
}

static double judge(flow *f, const block *b, const char *name, const char *part, int64_t head)
{
    const double most = largest(b);
    if (!isfinite(most))
        add_bad(f, name, part, head, "the gradient is not finite");
    else if (most == 0)
        add_bad(f, name, part, head, "the gradient is zero");
    return most;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t a = strlen(name), b = strlen(end);
    return a >= b && strcmp(name + a - b, end) == 0;
}

/* Where heads lie in a projection: `parts` groups of rows, or columns, each cut among the heads. */
typedef struct projection {
    const char *end; /* of its name */
    bool by_columns;
    int parts;
    const char *part[3]; /* NULL: a softmax does not change when a bias moves all keys */
} projection;

static const projection projections[] = {
    { "in_proj_weight", false, 3, { "query", "key", "value" } },
    { "in_proj_bias", false, 3, { "query", NULL, "value" } },
    { "out_proj.weight", true, 1, { "output" } },
};

static block head_of(const projection *p, const block *all, int64_t heads, int part, int64_t head)
{
    block b = *all;
    int64_t *first = p->by_columns ? &b.first_column : &b.first_row;
    int64_t *count = p->by_columns ? &b.columns : &b.rows;
    *count = *count / p->parts / heads;
    *first = (part * heads + head) * *count;
    return b;
}

/* {"query": [of each head], ...} */
static json_t *judge_heads(flow *f, const projection *p, const char *name, const block *all,
                           int64_t heads)
{
    json_t *parts = json_object();
    for (int part = 0; part < p->parts; part++) {
        if (!p->part[part])
            continue;
        json_t *numbers = json_array();
        f->slices += heads;
        for (int64_t h = 0; h < heads; h++) {
            const block b = head_of(p, all, heads, part, h);
            json_array_append_new(numbers, json_number(judge(f, &b, name, p->part[part], h)));
        }
        json_object_set_new(parts, p->part[part], numbers);
    }
    return parts;
}

static void judge_values(flow *f, grd_named parameter, const double *values, int64_t heads)
{
    const grd_shape shape = grd_tensor_shape(parameter.tensor);
    const int64_t columns = shape.rank > 1 ? shape.size[shape.rank - 1] : 1;
    const int64_t count = grd_tensor_count(parameter.tensor);
    const block all = { values, columns, 0, columns > 0 ? count / columns : 0, 0, columns };
    json_t *row = json_pack("{s:s, s:o}", "name", parameter.name, "largest",
                            json_number(judge(f, &all, parameter.name, NULL, 0)));
    for (size_t i = 0; i < sizeof projections / sizeof projections[0]; i++)
        if (ends_with(parameter.name, projections[i].end))
            json_object_set_new(row, "heads",
                                judge_heads(f, &projections[i], parameter.name, &all, heads));
    json_array_append_new(f->parameters, row);
}

static void judge_parameter(flow *f, grd_named parameter, int64_t heads)
{
    const grd_tensor *gradient = grd_tensor_grad(parameter.tensor);
    const int64_t count = grd_tensor_count(parameter.tensor);
    f->count++;
    if (!gradient) {
        add_bad(f, parameter.name, NULL, 0, "it has no gradient");
        return;
    }
    double *values = malloc((size_t)count * sizeof *values);
    if (!values)
        grd_fail(GRD_ERROR_MEMORY, "check", "%" PRId64 " numbers", count);
    else if (grd_read_f64(gradient, values, count) == GRD_OK)
        judge_values(f, parameter, values, heads);
    free(values);
}

json_t *check_flow(grd_module *model, grd_batch batch, int64_t heads)
{
    grd_scope *scope = grd_scope_begin();
    grd_module_eval(model);
    grd_backward(grd_cross_entropy(grd_forward(model, batch.inputs), batch.targets, NULL));
    if (grd_scope_end(scope) != GRD_OK)
        return NULL;
    flow f = { .parameters = json_array(), .bad = json_array() };
    for (int64_t i = 0; i < grd_module_num_parameters(model); i++)
        judge_parameter(&f, grd_module_parameter_at(model, i), heads);
    return json_pack("{s:o, s:o, s:I, s:I, s:b}", "parameters", f.parameters, "bad", f.bad,
                     "judged", (json_int_t)f.count, "slices", (json_int_t)f.slices, "passed",
                     json_array_size(f.bad) == 0);
}
