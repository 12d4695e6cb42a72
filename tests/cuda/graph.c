/* Steps for which the host does not wait: what goes wrong in them is told when it does, and a graph
 * of a step gives the bits that the step gives. */
#include "tests/cuda/emulated.h"

#include "tensor/cuda/device.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_error(grd_status status, const char *part)
{
    cr_assert(strstr(grd_error_message(), part), "%s", grd_error_message());
    cr_assert_eq(grd_error_take(), status);
}

static grd_scope *on_gpu(void)
{
    return grd_scope_begin_with(&(grd_scope_options){ .device = grd_cuda(0) });
}

static grd_tensor *indices(const int64_t *values, int64_t count)
{
    return grd_from_i64(values, count, GRD_SHAPE(count));
}

/* ---- What ops refuse ---- */

/* Two mistakes: the first is told, by what reads next, and what comes after it is as it was. */
Test(cuda_host, a_wrong_index_is_told_late)
{
    static const int64_t wrong[] = { 2, 7, -1, 0 };
    need_gpu();
    grd_scope *scope = on_gpu();
    const grd_tensor *x = grd_ones(GRD_SHAPE(5, 3));
    const grd_tensor *y = grd_index_select(x, 0, indices(wrong, 4));
    cr_assert(y && grd_embedding(indices(wrong + 2, 2), x), "%s", grd_error_message());
    cr_assert(isnan(grd_item(grd_sum(y))));
    expect_error(GRD_ERROR_ARGUMENT,
                 "index_select: index[1] is 7, not in [0, 5) (found late: an op "
                 "on a GPU is not waited for)");
    cr_assert_eq(grd_item(grd_sum(y)), 6, "rows that there are not are 0");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static void expect_left_out(const grd_tensor *y, double sum, const char *said)
{
    cr_assert(y, "%s", grd_error_message());
    cr_assert(isnan(grd_item(grd_sum(y))));
    expect_error(GRD_ERROR_ARGUMENT, said);
    cr_assert_eq(grd_item(grd_sum(y)), sum, "%g", grd_item(grd_sum(y)));
}

/* Far away too, where memory is no one's. */
Test(cuda_host, wrong_indices_touch_nothing)
{
    need_gpu();
    static const int64_t far[] = { INT64_MAX / 8, INT64_MIN / 8, 3, -1 };
    for (int i = 0; i < 4; i++) {
        grd_scope *scope = on_gpu();
        const int64_t values[] = { 1, far[i], 1 };
        const grd_tensor *index = indices(values, 3), *x = grd_ones(GRD_SHAPE(3));
        expect_left_out(grd_gather(x, 0, index), 2, "gather: index[1] is ");
        expect_left_out(grd_scatter_add(x, 0, index, x), 5, "scatter_add: index[1] is ");
        expect_left_out(grd_one_hot(index, 3), 2, "one_hot: index[1] is ");
        grd_tensor *weight = grd_require_grad(grd_ones(GRD_SHAPE(3, 2)));
        cr_assert_eq(grd_backward(grd_sum(grd_embedding(index, weight))), GRD_OK);
        expect_left_out(grd_tensor_grad(weight), 4, "embedding: index[1] is ");
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

Test(cuda_host, a_wrong_target_is_told_late)
{
    static const int64_t wrong[] = { 1, -100, 4 };
    need_gpu();
    grd_scope *scope = on_gpu();
    const grd_tensor *logits = grd_zeros(GRD_SHAPE(3, 4));
    const grd_tensor *loss = grd_cross_entropy(logits, indices(wrong, 3), NULL);
    cr_assert(isnan(grd_item(loss)));
    expect_error(GRD_ERROR_ARGUMENT, "cross_entropy: targets[2] is 4, but there are 4 classes");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Steps ---- */

typedef struct toy {
    grd_data *data;
    grd_module *model;
    grd_optimizer *optimizer;
} toy;

static toy make_toy(void)
{
    grd_rng *rng = grd_rng_create(3);
    toy t = { .data = grd_data_task(
                  "copy", &(grd_task_options){ .batch_size = 2, .length = 3, .seed = 1 }) };
    t.model = grd_transformer_create(
        rng, &(grd_transformer_options){ .vocab_size = grd_data_vocab_size(t.data),
                                         .context = grd_data_context(t.data),
                                         .embed_dim = 8,
                                         .num_heads = 2,
                                         .num_layers = 1,
                                         .dropout = 0.1,
                                         .direction = GRD_CAUSAL });
    t.optimizer = grd_adamw_create(t.model, &(grd_adam_options){ .weight_decay = 0.1 });
    grd_module_train(t.model, rng);
    return t;
}

static void compute(const toy *t, grd_batch batch, int64_t n)
{
    grd_backward(grd_cross_entropy(grd_forward(t->model, batch.inputs), batch.targets, NULL));
    const grd_tensor *norm = grd_clip_grad(t->model, 0.5);
    cr_assert(norm || grd_last_error().status, "a norm, or why there is none");
    grd_optimizer_step(t->optimizer, 0.01 * (double)(n + 1));
}

static grd_status step(const toy *t, int64_t n, grd_cuda_graph *graph)
{
    grd_scope *scope = grd_scope_begin();
    const grd_batch batch = grd_batch_at(t->data, n);
    if (graph)
        grd_cuda_graph_begin(graph);
    compute(t, batch, n);
    if (graph)
        grd_cuda_graph_launch(graph);
    return grd_scope_end(scope);
}

enum { STEPS = 5, MOST_VALUES = 4096 };

/* The weights after some steps, of which graphs do those from `first` on. */
static int64_t train(double values[MOST_VALUES], int64_t first)
{
    grd_scope *scope = on_gpu();
    const toy t = make_toy();
    grd_cuda_graph *graph = grd_cuda_graph_create(grd_cuda(0));
    int64_t count = 0;
    for (int64_t n = 0; n < STEPS; n++)
        cr_assert_eq(step(&t, n, n >= first ? graph : NULL), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < grd_module_num_parameters(t.model); i++) {
        const grd_tensor *x = grd_module_parameter_at(t.model, i).tensor;
        cr_assert_eq(grd_read_f64(x, values + count, grd_tensor_count(x)), GRD_OK);
        count += grd_tensor_count(x);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    return count;
}

Test(cuda_host, a_step_does_not_wait)
{
    const emulated e = need_emulated();
    grd_scope *scope = on_gpu();
    const toy t = make_toy();
    const double any = grd_item(grd_zeros(GRD_SCALAR));
    const long before = e.waits();
    for (int64_t n = 0; n < 3; n++)
        cr_assert_eq(step(&t, n, NULL), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(e.waits() - before, 0, "%ld, after %g", e.waits() - before, any);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* Steps in which nothing is fetched any more, and those that fetch it. */
Test(cuda_host, graphs_give_the_same_bits)
{
    static double plain[MOST_VALUES], later[MOST_VALUES], at_once[MOST_VALUES];
    const emulated e = need_emulated();
    const int64_t count = train(plain, STEPS);
    const size_t bytes = (size_t)count * sizeof *plain;
    cr_assert_eq(e.instantiations(), 0);
    cr_assert_eq(train(later, 2), count);
    cr_assert_eq(memcmp(plain, later, bytes), 0);
    cr_assert_eq(e.instantiations(), 1, "%ld: each step of a kind takes over the last one's",
                 e.instantiations());
    cr_assert_eq(train(at_once, 0), count);
    cr_assert_eq(memcmp(plain, at_once, bytes), 0);
}

/* Memory and kernels are asked for while it is collected. */
Test(cuda_host, a_graph_from_the_first_call_on)
{
    static double plain[MOST_VALUES], graphs[MOST_VALUES];
    need_gpu();
    const int64_t count = train(graphs, 0);
    train(plain, STEPS);
    cr_assert_eq(memcmp(plain, graphs, (size_t)count * sizeof *plain), 0);
}

Test(cuda_host, a_graph_of_other_ops_is_made_anew)
{
    const emulated e = need_emulated();
    grd_scope *scope = on_gpu();
    grd_cuda_graph *graph = grd_cuda_graph_create(grd_cuda(0));
    for (int i = 0; i < 6; i++) {
        grd_cuda_graph_begin(graph);
        const grd_tensor *x = grd_full(GRD_SHAPE(3), i);
        const grd_tensor *y = i % 3 == 2 ? grd_exp(grd_sub(x, x)) : grd_add(x, x);
        grd_cuda_graph_launch(graph);
        cr_assert_eq(grd_item_at(y, GRD_DIMS(2)), i % 3 == 2 ? 1 : 2 * i);
    }
    cr_assert_eq(e.instantiations(), 4, "%ld", e.instantiations());
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* ---- What a graph does not take ---- */

Test(cuda_host, only_gpus_have_graphs)
{
    grd_scope *scope = grd_scope_begin();
    cr_assert_null(grd_cuda_graph_create(grd_cpu()));
    expect_error(GRD_ERROR_UNSUPPORTED, "cuda_graph_create: cpu has no graphs: only GPUs have");
    cr_assert_null(grd_cuda_graph_create(NULL));
    expect_error(GRD_ERROR_ARGUMENT, "cuda_graph_create: an argument is NULL");
    cr_assert_eq(grd_cuda_graph_begin(NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "cuda_graph_begin: an argument is NULL");
    cr_assert_eq(grd_cuda_graph_launch(NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "cuda_graph_launch: an argument is NULL");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_host, graphs_out_of_turn)
{
    need_gpu();
    grd_scope *scope = on_gpu();
    grd_cuda_graph *graph = grd_cuda_graph_create(grd_cuda(0));
    grd_cuda_graph *other = grd_cuda_graph_create(grd_cuda(0));
    cr_assert_eq(grd_cuda_graph_launch(graph), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "cuda_graph_launch: it was not begun (grd_cuda_graph_begin)");
    cr_assert_eq(grd_cuda_graph_begin(graph), GRD_OK);
    cr_assert_eq(grd_cuda_graph_begin(graph), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "cuda_graph_begin: it was begun before, and not launched");
    cr_assert_eq(grd_cuda_graph_begin(other), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "cuda:0: another graph was begun, and not launched");
    cr_assert_eq(grd_cuda_graph_launch(graph), GRD_OK);
    cr_assert_eq(grd_cuda_graph_begin(other), GRD_OK);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "one that was begun ends with its scope");
}

/* What is collected when a value is read is dropped, and the next graph is none the worse. */
Test(cuda_host, values_are_not_read_within_a_graph)
{
    need_gpu();
    grd_scope *scope = on_gpu();
    grd_tensor *x = grd_zeros(GRD_SHAPE(2));
    grd_cuda_graph *graph = grd_cuda_graph_create(grd_cuda(0));
    for (int i = 0; i < 2; i++) {
        grd_cuda_graph_begin(graph);
        grd_fill_(x, 7);
        cr_assert(isnan(grd_item_at(x, GRD_DIMS(0))));
        cr_assert_eq(grd_cuda_graph_launch(graph), GRD_ERROR_STATE);
        expect_error(GRD_ERROR_STATE, "cuda:0: values are read between grd_cuda_graph_begin and "
                                      "grd_cuda_graph_launch, but are computed after it");
        cr_assert_eq(grd_item_at(x, GRD_DIMS(0)), i);
        grd_cuda_graph_begin(graph);
        grd_fill_(x, 1);
        cr_assert_eq(grd_cuda_graph_launch(graph), GRD_OK);
        cr_assert_eq(grd_item_at(x, GRD_DIMS(0)), 1);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* What is uploaded within a graph is kept until it runs, and there is an end to that. */
Test(cuda_host, uploads_within_a_graph)
{
    const float values[] = { 1, 2, 3 };
    need_gpu();
    grd_scope *scope = on_gpu();
    grd_cuda_graph *graph = grd_cuda_graph_create(grd_cuda(0));
    for (int round = 0; round < 3; round++) {
        const grd_tensor *sum = grd_zeros(GRD_SHAPE(1));
        grd_cuda_graph_begin(graph);
        for (int i = 0; i < GRDI_CUDA_STAGES; i++)
            sum = grd_add(sum, grd_from_f32(values + i % 3, 1, GRD_SHAPE(1)));
        cr_assert_eq(grd_cuda_graph_launch(graph), GRD_OK, "%s", grd_error_message());
        const grd_tensor *more = grd_from_f32(values, 3, GRD_SHAPE(3));
        cr_assert_eq(grd_item(grd_sum(more)), 6);
        cr_assert_eq(grd_item(sum), 31);
    }
    grd_cuda_graph_begin(graph);
    for (int i = 0; i < GRDI_CUDA_STAGES; i++)
        cr_assert(grd_from_f32(values, 1, GRD_SHAPE(1)));
    cr_assert_null(grd_from_f32(values, 1, GRD_SHAPE(1)));
    cr_assert_eq(grd_cuda_graph_launch(graph), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "cuda:0: a graph can take 16 uploads, of 1 MiB at most, and this "
                                  "is one more: upload before grd_cuda_graph_begin");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_host, no_memory_within_a_graph)
{
    const emulated e = need_emulated();
    grd_scope *scope = on_gpu();
    grd_cuda_graph *graph = grd_cuda_graph_create(grd_cuda(0));
    e.limit(e.held() + (1 << 20));
    grd_cuda_graph_begin(graph);
    cr_assert_null(grd_zeros(GRD_SHAPE(1 << 20)));
    cr_assert_eq(grd_cuda_graph_launch(graph), GRD_ERROR_MEMORY);
    expect_error(GRD_ERROR_MEMORY, "cuda:0 has no 4.0 MiB left");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* Its parameter is named, and none is changed by that step. */
Test(cuda_host, a_gradient_that_is_not_finite_is_told_late)
{
    need_gpu();
    for (int clips = 0; clips < 2; clips++) {
        grd_scope *scope = on_gpu();
        grd_module *model = grd_linear_create(grd_rng_create(1), 2, 2, NULL);
        grd_optimizer *optimizer = grd_sgd_create(model, NULL);
        const grd_tensor *weight = grd_module_parameter_at(model, 0).tensor;
        const double before = grd_item_at(weight, GRD_DIMS(0, 0));
        grd_backward(grd_sum(grd_square(grd_forward(model, grd_full(GRD_SHAPE(1, 2), 1e30)))));
        cr_assert(!clips || grd_clip_grad(model, 1), "%s", grd_error_message());
        cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK, "%s", grd_error_message());
        cr_assert(isnan(grd_item_at(weight, GRD_DIMS(0, 0))));
        cr_assert_str_eq(grd_last_error().op, clips ? "clip_grad" : "optimizer_step");
        expect_error(GRD_ERROR_NOT_FINITE, "the gradient of weight [2, 2] is not finite; nothing "
                                           "was changed (found late");
        cr_assert_eq(grd_item_at(weight, GRD_DIMS(0, 0)), before);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

/* The norm that is asked for, and the one that stays there, are the processor's rule. */
Test(cuda_host, clipping_with_and_without_waiting)
{
    need_gpu();
    grd_scope *scope = on_gpu();
    grd_module *model = grd_linear_create(grd_rng_create(1), 2, 2, NULL);
    const grd_tensor *x = grd_ones(GRD_SHAPE(1, 2));
    grd_backward(grd_sum(grd_forward(model, x)));
    cr_assert_eq(grd_clip_grad_norm(model, INFINITY), sqrt(6));
    cr_assert_eq(grd_item(grd_clip_grad(model, 3)), sqrt(6));
    cr_assert_eq(grd_item(grd_clip_grad(model, INFINITY)), sqrt(6), "it was short enough");
    cr_assert_eq(grd_item(grd_clip_grad(model, 1)), sqrt(6));
    cr_assert_float_eq(grd_clip_grad_norm(model, INFINITY), 1, 1e-6);
    cr_assert_null(grd_clip_grad(model, 0));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad: max_norm is 0");
    cr_assert_null(grd_clip_grad(NULL, 1));
    expect_error(GRD_ERROR_ARGUMENT, "clip_grad: an argument is NULL");
    grd_optimizer_step(grd_sgd_create(model, NULL), 1);
    cr_assert_eq(grd_item(grd_clip_grad(model, 1)), 0, "there are none");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* ---- Every call fails in turn ---- */

static grd_status two_steps_by_graph(void)
{
    grd_scope *scope = on_gpu();
    grd_cuda_graph *graph = grd_cuda_graph_create(grd_cuda(0));
    for (int i = 0; i < 3; i++) {
        const grd_tensor *x = grd_ones(GRD_SHAPE(3));
        grd_cuda_graph_begin(graph);
        x = grd_add(x, i == 1 ? grd_exp(x) : x);
        grd_cuda_graph_launch(graph);
        grd_item_at(x, GRD_DIMS(1));
    }
    return grd_scope_end(scope);
}

static void fail_at_every_call(int result, grd_status expected)
{
    const emulated e = need_emulated();
    cr_assert_eq(two_steps_by_graph(), GRD_OK, "%s", grd_error_message());
    const long held = e.objects();
    bool failed = true;
    for (long n = 1; failed; n++) {
        const long before = e.calls();
        e.fail(n, result);
        const grd_status status = two_steps_by_graph();
        failed = e.calls() - before >= n;
        e.fail(0, 0);
        if (status != GRD_OK)
            cr_assert_eq(grd_error_take(), expected, "call %ld: %s", n, grd_last_error().message);
        cr_assert_eq(e.objects(), held, "call %ld leaves %ld objects", n, e.objects() - held);
        grd_memory_trim();
        cr_assert_eq(e.held(), 0, "call %ld leaves %zu bytes", n, e.held());
    }
}

Test(cuda_host, every_call_of_a_graph_fails)
{
    fail_at_every_call(999, GRD_ERROR_DEVICE);
}

Test(cuda_host, every_call_of_a_graph_lacks_memory)
{
    fail_at_every_call(2, GRD_ERROR_MEMORY);
}
