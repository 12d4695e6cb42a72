/* gradus view graph, gradus view backward: one small step of a model or of an example, traced and
 * shown. */
#include "nn/transformer.h"
#include "tools/checkpoints.h"
#include "tools/setup.h"
#include "tools/tools.h"

#include <string.h>

/* Of the batch that is shown; tokens where the data are unknown. */
enum { SEQUENCES = 2, TOKENS = 16 };

/* ---- Examples ---- */

static grd_tensor *named(grd_tensor *x, const char *name)
{
    return x ? grd_tensor_set_name(x, name) : NULL;
}

static grd_tensor *leaf(grd_rng *rng, grd_shape shape, const char *name)
{
    grd_tensor *x = named(grd_randn(rng, shape), name);
    return x ? grd_require_grad(x) : NULL;
}

/* The mean of the squares of what differs from the target. */
static grd_tensor *loss_between(const grd_tensor *y, const grd_tensor *target)
{
    grd_tensor *error = named(grd_sub(y, target), "error");
    return named(grd_mean(named(grd_square(error), "square")), "loss");
}

/* Two tokens of three numbers, and one head of two. */
static grd_tensor *attention_example(grd_rng *rng)
{
    const grd_shape matrix = GRD_SHAPE(3, 2);
    const grd_tensor *x = leaf(rng, GRD_SHAPE(2, 3), "x");
    const grd_tensor *wq = leaf(rng, matrix, "Wq"), *wk = leaf(rng, matrix, "Wk");
    const grd_tensor *wv = leaf(rng, matrix, "Wv");
    const grd_tensor *target = named(grd_randn(rng, GRD_SHAPE(2, 2)), "target");
    const grd_tensor *q = named(grd_matmul(x, wq), "q"), *k = named(grd_matmul(x, wk), "k");
    const grd_tensor *v = named(grd_matmul(x, wv), "v");
    const grd_tensor *turned = named(grd_transpose(k, 0, 1), "k^T");
    const grd_tensor *products = named(grd_matmul(q, turned), "q k^T");
    const grd_tensor *scores = named(grd_mul_scalar(products, 0.70710678), "scores");
    const grd_tensor *weights = named(grd_softmax(scores, -1), "weights");
    return loss_between(named(grd_matmul(weights, v), "output"), target);
}

/* y = x^2 + 3 x: both ways lead back to x. */
static grd_tensor *diamond_example(grd_rng *rng)
{
    (void)rng;
    grd_tensor *x = grd_require_grad(named(grd_scalar(2), "x"));
    const grd_tensor *left = named(grd_square(x), "left");
    const grd_tensor *right = named(grd_mul_scalar(x, 3), "right");
    return named(grd_add(left, right), "y");
}

static grd_tensor *mlp_example(grd_rng *rng)
{
    const grd_tensor *x = named(grd_randn(rng, GRD_SHAPE(2, 3)), "x");
    const grd_tensor *target = named(grd_randn(rng, GRD_SHAPE(2, 1)), "target");
    const grd_tensor *w1 = leaf(rng, GRD_SHAPE(4, 3), "W1"), *b1 = leaf(rng, GRD_SHAPE(4), "b1");
    const grd_tensor *w2 = leaf(rng, GRD_SHAPE(1, 4), "W2"), *b2 = leaf(rng, GRD_SHAPE(1), "b2");
    const grd_tensor *hidden = named(grd_relu(named(grd_linear(x, w1, b1), "z")), "hidden");
    return loss_between(named(grd_linear(hidden, w2, b2), "y"), target);
}

static const struct {
    const char *name, *title;
    grd_tensor *(*make)(grd_rng *rng);
} examples[] = {
    { "attention", "Attention of two tokens", attention_example },
    { "diamond", "A diamond: y = x\xc2\xb2 + 3x", diamond_example },
    { "mlp", "Two layers and a loss", mlp_example },
};

static int example_of(const options *o)
{
    int i = 0;
    while (o->example && strcmp(o->example, examples[i].name) != 0)
        i++;
    return i;
}

/* ---- A model ---- */

/* Of the task; of a model of texts, or of unknown data, random tokens. */
static grd_batch small_batch(const options *o, const options *made, const grd_module *model)
{
    if (made->task)
        return grd_batch_at(make_data(made, GRD_TRAIN, NULL, SEQUENCES), 0);
    const grd_transformer_options *of = grdi_transformer_options("view", model);
    if (!of)
        return (grd_batch){ 0 };
    grd_rng *rng = grd_rng_create((uint64_t)o->seed);
    const int64_t tokens = of->context < TOKENS ? of->context : TOKENS;
    const grd_shape shape = GRD_SHAPE(SEQUENCES, tokens);
    return (grd_batch){ grd_randint(rng, 0, of->vocab_size, shape),
                        grd_randint(rng, 0, of->vocab_size, shape), SEQUENCES * tokens };
}

/* `made`: the options that the model was made with. */
static grd_tensor *model_loss(const options *o, const options *made, const char *path)
{
    grd_module *model = path ? grd_load_transformer(path) : make_setup(o).model;
    if (!model || grd_module_eval(model) != GRD_OK)
        return NULL;
    const grd_batch batch = small_batch(o, made, model);
    if (!batch.inputs)
        return NULL;
    const grd_tensor *logits = grd_forward(model, batch.inputs);
    return named(grd_cross_entropy(logits, batch.targets, NULL), "loss");
}

/* ---- Both commands ---- */

typedef grd_status (*writer)(const char *path, const grd_tensor *root,
                             const grd_graph_options *options);

static grd_status show(const options *o, const options *made, const char *path, writer write)
{
    const int example = example_of(o);
    const bool is_model = path || o->task;
    grd_scope *scope = open_scope(o);
    grd_trace *trace = grd_trace_begin();
    const grd_tensor *root = is_model ? model_loss(o, made, path)
                                      : examples[example].make(grd_rng_create((uint64_t)o->seed));
    if (root && grd_backward(root) == GRD_OK && grd_trace_end(trace) == GRD_OK) {
        const grd_status status =
            write(o->output, root,
                  &(grd_graph_options){ .trace = trace,
                                        .collapse = o->collapse,
                                        .title = o->title   ? o->title
                                                 : is_model ? "One step of a transformer"
                                                            : examples[example].title });
        (void)status; /* the scope's end says it again */
    }
    return grd_scope_end(scope);
}

/* What only a new model can be told. */
static bool check_model_options(const options *o)
{
    for (size_t i = 0; i < num_options() && !o->task; i++) {
        const option *row = option_at(i);
        if (row->commands & VIEW_GRAPH && row->change == REFUSED &&
            row != option_named("dtype", VIEW_GRAPH) && o->source[i] == FROM_COMMAND)
            return complain("--%s: only a new model, of a --task, can be told that", row->name);
    }
    return true;
}

/* From one place alone, to a file that has one of these endings. */
static bool check_options(const options *o, const char *const endings[], const char *listed)
{
    const char *ending = o->output ? strrchr(o->output, '.') : NULL;
    if ((o->num_arguments > 0) + (o->task != NULL) + (o->example != NULL) > 1 ||
        o->num_arguments > 1)
        return complain("name one checkpoint, a --task or an --example, and no more");
    if (!o->output)
        return complain("say where to: --output FILE, which ends with %s", listed);
    for (; *endings; endings++)
        if (ending && strcmp(ending, *endings) == 0)
            return check_model_options(o) && check_precision(o) == 0;
    return complain("--output: \"%s\" does not end with %s", o->output, listed);
}

static int run(const options *o, writer write)
{
    int64_t step;
    options trained;
    const char *path = o->num_arguments ? o->arguments[0] : NULL;
    options_init(&trained);
    int status = path ? read_checkpoint_options(&trained, path, &step) : 0;
    if (status == 0 && show(o, path ? &trained : o, path, write) != GRD_OK)
        status = complain_of_library();
    options_free(&trained);
    return status;
}

int run_view_graph(options *o)
{
    static const char *const endings[] = { ".svg", ".dot", ".json", NULL };
    return check_options(o, endings, ".svg, .dot or .json") ? run(o, grd_graph_dump) : EXIT_USAGE;
}

int run_view_backward(options *o)
{
    static const char *const endings[] = { ".html", NULL };
    return check_options(o, endings, ".html") ? run(o, grd_view_backward) : EXIT_USAGE;
}
