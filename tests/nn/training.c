/* Whole trainings: one that PyTorch ran too, and one that must succeed. */
#include "tests/fake_device.h"
#include "tests/nn/expect.h"
#include "tests/nn/golden_mlp.h"

#include <criterion/criterion.h>
#include <math.h>

enum { STEPS = 12, BATCH = 5, SIZE = 4, HIDDEN = 6, MOST = 32 };

/* The values of tests/golden/mlp.py, of the scope's dtype. */
static grd_tensor *values(grd_shape shape, int64_t seed)
{
    double data[MOST];
    int64_t count = 1;
    for (int64_t d = 0; d < shape.rank; d++)
        count *= shape.size[d];
    for (int64_t i = 0; i < count; i++)
        data[i] = (double)((seed + 3) * (i + 1) * 7919 % 2003 - 1001) / 2002;
    return grd_cast(grd_from_f64(data, count, shape), grd_tensor_dtype(grd_zeros(GRD_SCALAR)));
}

static grd_tensor *forward(const grd_module *net, const grd_tensor *x)
{
    const grd_tensor *h = grd_forward(grd_module_get(net, "0"), x);
    h = grd_gelu(grd_forward(grd_module_get(net, "1"), h));
    return grd_forward(grd_module_get(net, "3"), h);
}

static grd_module *create(void)
{
    grd_rng *rng = grd_rng_create(1);
    grd_module *net = grd_module_create("Sequential", 0, NULL);
    grd_module_add(net, "0", grd_linear_create(rng, SIZE, HIDDEN, NULL));
    grd_module_add(net, "1", grd_layer_norm_create(HIDDEN, NULL));
    grd_module_add(net, "3", grd_linear_create(rng, HIDDEN, 2, NULL));
    grd_scope *set = grd_scope_begin_no_grad();
    for (int64_t i = 0; i < grd_module_num_parameters(net); i++) {
        grd_tensor *parameter = grd_module_parameter_at(net, i).tensor;
        grd_copy_(parameter, values(grd_tensor_shape(parameter), i));
    }
    grd_scope_end(set);
    return net;
}

static void train(grd_module *net, grd_optimizer *optimizer, int64_t step, double allowed)
{
    static const grd_schedule schedule = { GRD_COSINE, 0.05, 0.005, 3, STEPS };
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *y = forward(net, values(GRD_SHAPE(BATCH, SIZE), 100 + step));
    const grd_tensor *target = values(GRD_SHAPE(BATCH, 2), 200 + step);
    const grd_tensor *loss = grd_mean(grd_square(grd_sub(y, target)));
    grd_backward(loss);
    const double norm = grd_clip_grad_norm(net, 0.25);
    grd_optimizer_step(optimizer, grd_schedule_at(&schedule, step));
    cr_assert_float_eq(grd_item(loss), golden_losses[step], allowed, "%d", (int)step);
    cr_assert_float_eq(norm, golden_norms[step], allowed, "%d", (int)step);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static void retrace(grd_dtype dtype, grd_device *device, double allowed)
{
    grd_scope *scope =
        grd_scope_begin_with(&(grd_scope_options){ .dtype = dtype, .device = device });
    grd_module *net = create();
    grd_optimizer *optimizer = grd_adamw_create(
        net, &(grd_adam_options){
                 .betas = { 0.9, 0.95 }, .weight_decay = 0.1, .decay_matrices_only = true });
    for (int64_t step = 0; step < STEPS; step++)
        train(net, optimizer, step, allowed);
    const double *expected = golden_parameters;
    for (int64_t i = 0; i < grd_module_num_parameters(net); i++) {
        const grd_named parameter = grd_module_parameter_at(net, i);
        const int64_t count = grd_tensor_count(parameter.tensor);
        double found[MOST];
        cr_assert_eq(grd_read_f64(parameter.tensor, found, count), GRD_OK);
        for (int64_t j = 0; j < count; j++)
            cr_assert(fabs(found[j] - expected[j]) <= allowed, "%s[%d]: %.17g, not %.17g",
                      parameter.name, (int)j, found[j], expected[j]);
        expected += count;
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(training, retraces_pytorch)
{
    retrace(GRD_F64, NULL, 1e-12);
    retrace(GRD_F32, NULL, 4e-6);
    retrace(GRD_F64, fake_device(), 1e-12);
}

Test(training, learns_exclusive_or)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(42);
    const grd_tensor *x = grd_from_f32((float[]){ 0, 0, 0, 1, 1, 0, 1, 1 }, 8, GRD_SHAPE(4, 2));
    const grd_tensor *y = grd_from_f32((float[]){ 0, 1, 1, 0 }, 4, GRD_SHAPE(4, 1));
    grd_module *net = grd_module_create("XOR", 0, NULL);
    grd_module *hidden = grd_module_add(net, "hidden", grd_linear_create(rng, 2, 8, NULL));
    grd_module *out = grd_module_add(net, "out", grd_linear_create(rng, 8, 1, NULL));
    grd_optimizer *optimizer = grd_adam_create(net, NULL);
    double loss = 0;
    for (int step = 0; step < 300; step++) {
        grd_scope *pass = grd_scope_begin();
        const grd_tensor *guess = grd_forward(out, grd_tanh(grd_forward(hidden, x)));
        const grd_tensor *squares = grd_mean(grd_square(grd_sub(guess, y)));
        grd_backward(squares);
        grd_optimizer_step(optimizer, 0.05);
        loss = grd_item(squares);
        cr_assert_eq(grd_scope_end(pass), GRD_OK, "%s", grd_error_message());
    }
    cr_assert_lt(loss, 1e-3);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
