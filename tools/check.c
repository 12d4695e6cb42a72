/* gradus check: one backward over one batch, and a look at every gradient. */
#include "nn/transformer.h"
#include "tools/checkpoints.h"
#include "tools/setup.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct flow {
    int64_t parameters, slices, bad;
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

static double judge(flow *f, const block *b, const char *name, const char *part, int64_t head)
{
    const double most = largest(b);
    if (most > 0 && isfinite(most))
        return most;
    f->bad++;
    printf("BAD  %s", name);
    if (part)
        printf(", %s, head %" PRId64, part, head);
    printf(isfinite(most) ? ": the gradient is zero\n" : ": the gradient is not finite\n");
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

static void judge_heads(flow *f, const projection *p, const char *name, const block *all,
                        int64_t heads)
{
    for (int part = 0; part < p->parts; part++) {
        if (!p->part[part])
            continue;
        printf("    %-8s", p->part[part]);
        for (int64_t h = 0; h < heads; h++) {
            const block b = head_of(p, all, heads, part, h);
            printf(" %8.1e", largest(&b));
        }
        putchar('\n');
        f->slices += heads;
        for (int64_t h = 0; h < heads; h++) {
            const block b = head_of(p, all, heads, part, h);
            judge(f, &b, name, p->part[part], h);
        }
    }
}

static void judge_values(flow *f, grd_named parameter, const double *values, int64_t heads)
{
    const grd_shape shape = grd_tensor_shape(parameter.tensor);
    const int64_t columns = shape.rank > 1 ? shape.size[shape.rank - 1] : 1;
    const int64_t count = grd_tensor_count(parameter.tensor);
    const block all = { values, columns, 0, columns > 0 ? count / columns : 0, 0, columns };
    printf("%-46s %8.1e\n", parameter.name, largest(&all));
    judge(f, &all, parameter.name, NULL, 0);
    for (size_t i = 0; i < sizeof projections / sizeof projections[0]; i++)
        if (ends_with(parameter.name, projections[i].end))
            judge_heads(f, &projections[i], parameter.name, &all, heads);
}

static void judge_parameter(flow *f, grd_named parameter, int64_t heads)
{
    const grd_tensor *gradient = grd_tensor_grad(parameter.tensor);
    const int64_t count = grd_tensor_count(parameter.tensor);
    f->parameters++;
    if (!gradient) {
        f->bad++;
        printf("BAD  %s: it has no gradient\n", parameter.name);
        return;
    }
    double *values = malloc((size_t)count * sizeof *values);
    if (!values)
        grd_fail(GRD_ERROR_MEMORY, "check", "%" PRId64 " numbers", count);
    else if (grd_read_f64(gradient, values, count) == GRD_OK)
        judge_values(f, parameter, values, heads);
    free(values);
}

/* Of the run's data; of a model whose data are unknown, random tokens. */
static grd_batch batch_for(const options *o, const grd_transformer_options *made)
{
    if (o->task || o->text)
        return grd_batch_at(make_data(o, GRD_TRAIN, NULL, o->batch_size), 0);
    grd_rng *rng = grd_rng_create((uint64_t)o->seed);
    const grd_shape shape = GRD_SHAPE(o->batch_size, made->context);
    return (grd_batch){ grd_randint(rng, 0, made->vocab_size, shape),
                        grd_randint(rng, 0, made->vocab_size, shape),
                        o->batch_size * made->context };
}

static flow look(grd_module *model, grd_batch batch, int64_t heads)
{
    flow f = { 0 };
    grd_module_eval(model);
    grd_backward(grd_cross_entropy(grd_forward(model, batch.inputs), batch.targets, NULL));
    if (grd_scope_end(NULL) != GRD_OK)
        return f;
    printf("%-46s largest gradient\n", "parameter");
    for (int64_t i = 0; i < grd_module_num_parameters(model); i++)
        judge_parameter(&f, grd_module_parameter_at(model, i), heads);
    return f;
}

static int conclude(const flow *f)
{
    if (f->bad > 0) {
        printf("gradients do not flow: %" PRId64 " of %" PRId64 " parameters and slices are bad\n",
               f->bad, f->parameters + f->slices);
        return EXIT_FAILED;
    }
    printf("gradients flow: all %" PRId64 " parameters, and all %" PRId64 " parts of heads\n",
           f->parameters, f->slices);
    return 0;
}

static int check(options *o, const char *path)
{
    flow f = { 0 };
    grd_scope *scope = open_scope(o);
    grd_module *model = path ? grd_load_transformer(path) : make_setup(o).model;
    const grd_transformer_options *made = model ? grdi_transformer_options("check", model) : NULL;
    if (made)
        f = look(model, batch_for(o, made), made->num_heads);
    return grd_scope_end(scope) == GRD_OK ? conclude(&f) : complain_of_library();
}

/* Options that the checkpoint knows better than the table. */
static int take_over(options *o, const char *path)
{
    int64_t step;
    options trained;
    options_init(&trained);
    int status = read_checkpoint_options(&trained, path, &step);
    for (size_t i = 0; status == 0 && i < num_options(); i++) {
        char text[64];
        const option *row = option_at(i);
        if ((row->commands & CHECK) && row->change != LOCAL && o->source[i] == FROM_TABLE &&
            !set_option(o, row, option_text(&trained, row, text), FROM_CHECKPOINT, row->name))
            status = EXIT_FAILED;
    }
    options_free(&trained);
    return status;
}

int run_check(options *o)
{
    const bool has_file = o->weights || o->num_arguments > 0;
    const char *path = has_file ? weights_of(o) : NULL;
    if (has_file && !path)
        return EXIT_USAGE;
    const int status = path ? take_over(o, path) : check_data_options(o);
    return status == 0 ? check(o, path) : status;
}
