#include "nn/module.h"

#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_parameter(const grd_module *self, int64_t i, const char *name, grd_shape shape)
{
    const grd_named parameter = grd_module_parameter_at(self, i);
    cr_assert(parameter.name, "no parameter %d", (int)i);
    cr_assert_str_eq(parameter.name, name);
    cr_assert_eq(grd_tensor_rank(parameter.tensor), shape.rank);
    for (int64_t d = 0; d < shape.rank; d++)
        cr_assert_eq(grd_tensor_size(parameter.tensor, d), shape.size[d], "%s", name);
    cr_assert(grd_tensor_requires_grad(parameter.tensor));
}

Test(layers, have_torchs_parameters)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(1);
    const grd_norm_options no_bias = { .no_bias = true }, no_affine = { .no_affine = true };
    const struct {
        grd_module *layer;
        int parameters;
        grd_shape weight, bias;
    } cases[] = {
        { grd_linear_create(rng, 3, 2, NULL), 2, GRD_SHAPE(2, 3), GRD_SHAPE(2) },
        { grd_linear_create(rng, 3, 2, &(grd_linear_options){ .no_bias = true }), 1,
          GRD_SHAPE(2, 3), GRD_SCALAR },
        { grd_embedding_create(rng, 5, 4), 1, GRD_SHAPE(5, 4), GRD_SCALAR },
        { grd_layer_norm_create(4, NULL), 2, GRD_SHAPE(4), GRD_SHAPE(4) },
        { grd_layer_norm_create(4, &no_bias), 1, GRD_SHAPE(4), GRD_SCALAR },
        { grd_layer_norm_create(4, &no_affine), 0, GRD_SCALAR, GRD_SCALAR },
        { grd_rms_norm_create(4, NULL), 1, GRD_SHAPE(4), GRD_SCALAR },
        { grd_rms_norm_create(4, &no_affine), 0, GRD_SCALAR, GRD_SCALAR },
        { grd_dropout_create(0.5), 0, GRD_SCALAR, GRD_SCALAR },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(grd_module_num_parameters(cases[i].layer), cases[i].parameters, "%d", (int)i);
        if (cases[i].parameters > 0)
            expect_parameter(cases[i].layer, 0, "weight", cases[i].weight);
        if (cases[i].parameters > 1)
            expect_parameter(cases[i].layer, 1, "bias", cases[i].bias);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* Uniform in -bound..bound: mean 0, deviation bound / sqrt(3). */
static void expect_uniform(const grd_tensor *x, double bound)
{
    const int64_t count = grd_tensor_count(x);
    double *values = malloc((size_t)count * sizeof *values), sum = 0, squares = 0;
    cr_assert_eq(grd_read_f64(x, values, count), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < count; i++) {
        cr_assert_leq(fabs(values[i]), bound * (1 + 1e-6));
        sum += values[i];
        squares += values[i] * values[i];
    }
    const double n = (double)count, deviation = sqrt(squares / n);
    cr_assert_float_eq(sum / n, 0, 5 * bound / sqrt(3 * n));
    cr_assert_float_eq(deviation, bound / sqrt(3), 3 * bound / sqrt(n));
    free(values);
}

Test(layers, linear_starts_as_torchs)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *linear = grd_linear_create(grd_rng_create(1), 25, 400, NULL);
    expect_uniform(grd_module_parameter(linear, "weight"), 0.2);
    expect_uniform(grd_module_parameter(linear, "bias"), 0.2);
    grd_module *same = grd_linear_create(grd_rng_create(1), 25, 400, NULL);
    expect_close(grd_module_parameter(linear, "bias"), grd_module_parameter(same, "bias"), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(layers, embedding_looks_up_its_rows)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_module *layer = grd_embedding_create(grd_rng_create(1), 50, 400);
    const grd_tensor *weight = grd_module_parameter(layer, "weight");
    const grd_tensor *mean = grd_mean(weight), *squares = grd_mean(grd_square(weight));
    cr_assert_float_eq(grd_item(mean), 0, 0.03);
    cr_assert_float_eq(grd_item(squares), 1, 0.05);
    const grd_tensor *tokens = grd_from_i64((int64_t[]){ 49, 0, 7, 7 }, 4, GRD_SHAPE(2, 2));
    const grd_tensor *y = grd_forward(layer, tokens);
    expect_close(grd_select(grd_select(y, 0, 0), 0, 0), grd_select(weight, 0, 49), 0);
    expect_close(grd_select(grd_select(y, 0, 1), 0, 1), grd_select(weight, 0, 7), 0);
    grd_backward(grd_sum(y));
    cr_assert_eq(grd_item_at(grd_tensor_grad(weight), GRD_DIMS(7, 3)), 2);
    cr_assert_null(grd_forward(layer, grd_from_i64((int64_t[]){ 50 }, 1, GRD_SHAPE(1))));
    expect_error(GRD_ERROR_ARGUMENT, "embedding: ");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static grd_tensor *run(const grd_tensor *const *inputs, void *layer)
{
    return grd_forward(layer, inputs[0]);
}

/* The layer computes y, on any device, and its gradients are right. */
static void expect_forward(grd_module *layer, const grd_tensor *x, const grd_tensor *y)
{
    expect_close(grd_forward(layer, x), y, 1e-13);
    const grd_gradcheck_report report = grd_gradcheck(run, layer, GRD_LIST(x), NULL);
    cr_assert(report.passed, "%s %s", report.text, grd_error_message());
    cr_assert_eq(grd_module_to(layer, fake_device(), GRD_DTYPE_UNSET), GRD_OK);
    expect_close(grd_forward(layer, grd_to_device(x, fake_device())), y, 1e-13);
    cr_assert_eq(grd_module_to(layer, grd_cpu(), GRD_DTYPE_UNSET), GRD_OK);
}

Test(layers, compute_what_their_ops_do)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(1);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(2, 3, 4));
    const grd_norm_options plain = { .eps = 0.5, .no_affine = true };
    grd_module *layer = grd_linear_create(rng, 4, 5, NULL);
    const grd_tensor *weight = grd_module_parameter(layer, "weight");
    expect_forward(layer, x, grd_linear(x, weight, grd_module_parameter(layer, "bias")));
    layer = grd_linear_create(rng, 4, 5, &(grd_linear_options){ .no_bias = true });
    expect_forward(layer, x, grd_linear(x, grd_module_parameter(layer, "weight"), NULL));
    const grd_tensor *one = grd_ones(GRD_SHAPE(4)), *zero = grd_zeros(GRD_SHAPE(4));
    expect_forward(grd_layer_norm_create(4, NULL), x, grd_layer_norm(x, one, zero, 1e-5));
    expect_forward(grd_layer_norm_create(4, &plain), x, grd_layer_norm(x, NULL, NULL, 0.5));
    expect_forward(grd_rms_norm_create(4, NULL), x, grd_rms_norm(x, one, 0x1p-52));
    expect_forward(grd_rms_norm_create(4, &plain), x, grd_rms_norm(x, NULL, 0.5));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(layers, rms_norms_default_epsilon_is_the_types)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *layer = grd_rms_norm_create(1, NULL);
    const grd_tensor *y = grd_forward(layer, grd_full(GRD_SHAPE(1), 1e-4));
    cr_assert_float_eq(grd_item(y), 1e-4 / sqrt(1e-8 + 0x1p-23), 1e-6);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(layers, dropout_asks_whether_it_drops)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(3);
    grd_module *net = grd_module_create("Net", 0, NULL);
    grd_module *drop = grd_module_add(net, "drop", grd_dropout_create(0.25));
    grd_module *keep = grd_module_add(net, "keep", grd_dropout_create(0));
    const grd_tensor *x = grd_ones(GRD_SHAPE(10000));
    cr_assert_eq(grd_forward(keep, x), x, "nothing to drop");
    cr_assert_null(grd_forward(drop, x));
    expect_error(GRD_ERROR_STATE, "forward: drop (Dropout) drops with p = 0.25: say first whether "
                                  "it does now, by grd_module_train or grd_module_eval");
    cr_assert_eq(grd_module_train(net, NULL), GRD_OK);
    cr_assert_null(grd_forward(drop, x));
    expect_error(GRD_ERROR_STATE, "forward: drop (Dropout) drops with p = 0.25, and "
                                  "grd_module_train was given no generator");
    cr_assert_eq(grd_module_train(net, rng), GRD_OK);
    const grd_tensor *first = grd_forward(drop, x), *second = grd_forward(drop, x);
    const grd_tensor *both = grd_mean(grd_mul(first, second));
    cr_assert_float_eq(grd_item(both), 1, 0.04, "drawn independently: the stream goes on");
    cr_assert_float_eq(grd_item(grd_mean(first)), 1, 0.03);
    cr_assert_eq(grd_module_eval(net), GRD_OK);
    cr_assert_eq(grd_forward(drop, x), x);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(layers, a_module_holds_its_generator)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *drop = grd_dropout_create(0.5);
    grd_scope *inner = grd_scope_begin();
    grd_module_train(drop, grd_rng_create(3));
    grd_scope_end(inner);
    cr_assert_not_null(grd_forward(drop, grd_ones(GRD_SHAPE(4))));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(layers, name_what_does_not_fit)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(1);
    grd_module *net = grd_module_create("Net", 0, NULL);
    grd_module *blocks = grd_module_add(net, "blocks", grd_module_create("List", 0, NULL));
    grd_module *linear = grd_module_add(blocks, "linear1", grd_linear_create(rng, 64, 2, NULL));
    cr_assert_null(grd_forward(linear, grd_ones(GRD_SHAPE(8, 32))));
    expect_error(GRD_ERROR_SHAPE, "forward: blocks.linear1 (Linear): the last dimension must be "
                                  "64, x is [8, 32]");
    cr_assert_null(grd_forward(linear, grd_ones(GRD_SCALAR)));
    expect_error(GRD_ERROR_SHAPE, "the last dimension must be 64, x is []");
    cr_assert_null(grd_forward(grd_layer_norm_create(4, NULL), grd_ones(GRD_SHAPE(2, 1))));
    expect_error(GRD_ERROR_SHAPE, "forward: LayerNorm: the last dimension must be 4, x is [2, 1]");
    cr_assert_null(grd_forward(grd_rms_norm_create(4, NULL), grd_ones(GRD_SHAPE(3))));
    expect_error(GRD_ERROR_SHAPE, "forward: RMSNorm: the last dimension must be 4, x is [3]");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(layers, refuse_bad_options)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(1);
    cr_assert_null(grd_linear_create(NULL, 1, 1, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "linear: an argument is NULL");
    cr_assert_null(grd_linear_create(rng, 0, 1, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "linear: in_features is 0");
    cr_assert_null(grd_linear_create(rng, 1, -1, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "linear: out_features is -1");
    cr_assert_null(grd_embedding_create(NULL, 1, 1));
    expect_error(GRD_ERROR_ARGUMENT, "embedding: an argument is NULL");
    cr_assert_null(grd_embedding_create(rng, 0, 1));
    expect_error(GRD_ERROR_ARGUMENT, "embedding: num_embeddings is 0");
    cr_assert_null(grd_embedding_create(rng, 1, 0));
    expect_error(GRD_ERROR_ARGUMENT, "embedding: embedding_dim is 0");
    cr_assert_null(grd_layer_norm_create(0, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "layer_norm: features is 0");
    cr_assert_null(grd_layer_norm_create(1, &(grd_norm_options){ .eps = -1 }));
    expect_error(GRD_ERROR_ARGUMENT, "layer_norm: eps is -1");
    cr_assert_null(grd_rms_norm_create(-2, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "rms_norm: features is -2");
    cr_assert_null(grd_rms_norm_create(1, &(grd_norm_options){ .eps = NAN }));
    expect_error(GRD_ERROR_ARGUMENT, "rms_norm: eps is nan");
    cr_assert_null(grd_dropout_create(1));
    expect_error(GRD_ERROR_ARGUMENT, "dropout: p is 1, not in [0, 1)");
    cr_assert_null(grd_dropout_create(NAN));
    expect_error(GRD_ERROR_ARGUMENT, "dropout: p is nan");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
