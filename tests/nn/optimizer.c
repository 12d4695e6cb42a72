#include "nn/optimizer.h"

#include "tests/fake_device.h"
#include "tests/nn/expect.h"
#include "tests/nn/golden_optimizers.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { WEIGHTS = 6, BIASES = 3, STEPS = 5 };

/* The two parameters of tests/golden/optimizers.py. */
static grd_module *model_create(grd_dtype dtype)
{
    double weight[WEIGHTS], bias[BIASES];
    for (int i = 0; i < WEIGHTS; i++)
        weight[i] = (5 * i % 7 - 3) / 4.;
    for (int i = 0; i < BIASES; i++)
        bias[i] = ((5 * i + 3) % 7 - 3) / 4.;
    grd_module *model = grd_module_create("Model", 0, NULL);
    grd_module_add_parameter(model, "weight",
                             grd_cast(grd_from_f64(weight, WEIGHTS, GRD_SHAPE(2, 3)), dtype));
    grd_module_add_parameter(model, "bias",
                             grd_cast(grd_from_f64(bias, BIASES, GRD_SHAPE(3)), dtype));
    return model;
}

/* Gives the parameter this gradient. */
static void set_gradient(grd_tensor *x, const double *values)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *dx = grd_cast(grd_from_f64(values, grd_tensor_count(x), grd_tensor_shape(x)),
                                    grd_tensor_dtype(x));
    grd_backward(grd_sum(grd_mul(x, dx)));
    grd_scope_end(scope);
}

static void set_golden_gradient(grd_tensor *x, int step, int shift)
{
    double values[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++)
        values[i] = ((7 * i + 3 * step + shift) % 11 - 5) / 8.;
    set_gradient(x, values);
}

static void read_model(const grd_module *model, double values[WEIGHTS + BIASES])
{
    cr_assert_eq(grd_read_f64(grd_module_parameter(model, "weight"), values, WEIGHTS), GRD_OK);
    cr_assert_eq(grd_read_f64(grd_module_parameter(model, "bias"), values + WEIGHTS, BIASES),
                 GRD_OK, "%s", grd_error_message());
}

static void expect_model(const grd_module *model, const double *expected, double allowed,
                         const char *what)
{
    double values[WEIGHTS + BIASES];
    read_model(model, values);
    for (int i = 0; i < WEIGHTS + BIASES; i++)
        cr_assert(fabs(values[i] - expected[i]) <= allowed, "%s[%d]: %.17g, not %.17g", what, i,
                  values[i], expected[i]);
}

typedef struct golden_run {
    const char *name;
    const double *expected;
    grd_optimizer *(*create)(grd_module *model);
} golden_run;

static grd_optimizer *sgd(grd_module *model)
{
    return grd_sgd_create(model, NULL);
}

static grd_optimizer *sgd_decay(grd_module *model)
{
    return grd_sgd_create(model, &(grd_sgd_options){ .weight_decay = 0.05 });
}

static grd_optimizer *sgd_momentum(grd_module *model)
{
    return grd_sgd_create(model, &(grd_sgd_options){ .momentum = 0.9, .weight_decay = 0.05 });
}

static grd_optimizer *sgd_nesterov(grd_module *model)
{
    return grd_sgd_create(model, &(grd_sgd_options){ .momentum = 0.8, .nesterov = true });
}

static grd_optimizer *adam(grd_module *model)
{
    return grd_adam_create(model, NULL);
}

static grd_optimizer *adam_options(grd_module *model)
{
    return grd_adam_create(model, &(grd_adam_options){ .betas = { 0.8, 0.95 }, .eps = 1e-3 });
}

static grd_optimizer *adamw(grd_module *model)
{
    return grd_adamw_create(model, &(grd_adam_options){ .weight_decay = 0.1 });
}

#define GOLDEN(name)                                                                               \
    {                                                                                              \
#name, golden_##name, name                                                                 \
    }
static const golden_run golden_runs[] = { GOLDEN(sgd),          GOLDEN(sgd_decay),
                                          GOLDEN(sgd_momentum), GOLDEN(sgd_nesterov),
                                          GOLDEN(adam),         GOLDEN(adam_options),
                                          GOLDEN(adamw) };
enum { GOLDEN_RUNS = sizeof golden_runs / sizeof golden_runs[0] };

static void retrace(const golden_run *run, grd_dtype dtype, grd_device *device, double allowed)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = device });
    grd_module *model = model_create(dtype);
    grd_optimizer *optimizer = run->create(model);
    for (int step = 0; step < STEPS; step++) {
        set_golden_gradient(grd_module_parameter(model, "weight"), step, 0);
        if (step != 2)
            set_golden_gradient(grd_module_parameter(model, "bias"), step, 1);
        cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK, "%s", grd_error_message());
        cr_assert_null(grd_tensor_grad(grd_module_parameter(model, "weight")), "dropped");
    }
    expect_model(model, run->expected, allowed, run->name);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer, retraces_pytorch)
{
    for (int i = 0; i < GOLDEN_RUNS; i++) {
        retrace(&golden_runs[i], GRD_F64, NULL, 1e-14);
        retrace(&golden_runs[i], GRD_F32, NULL, 1e-6);
        retrace(&golden_runs[i], GRD_F64, fake_device(), 1e-14);
    }
}

static grd_tensor *kept(const grd_optimizer *optimizer, const char *kind, const char *parameter)
{
    for (int64_t i = 0; i < grdi_optimizer_num_moments(optimizer); i++) {
        const grdi_moment m = grdi_optimizer_moment(optimizer, i);
        if (strcmp(m.kind, kind) == 0 && strcmp(m.parameter, parameter) == 0)
            return m.tensor;
    }
    return NULL;
}

/* In 16 bits the parameters are rounded from their masters, which go PyTorch's way in f32: the
 * values and gradients of the golden runs need no more than 8 bits. */
static void retrace_narrow(const golden_run *run, grd_dtype dtype)
{
    static const char *const names[] = { "weight", "bias" };
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(dtype);
    grd_optimizer *optimizer = run->create(model);
    for (int step = 0; step < STEPS; step++) {
        set_golden_gradient(grd_module_parameter(model, "weight"), step, 0);
        if (step != 2)
            set_golden_gradient(grd_module_parameter(model, "bias"), step, 1);
        cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK, "%s", grd_error_message());
    }
    for (int p = 0; p < 2; p++) {
        const grd_tensor *master = kept(optimizer, "master", names[p]);
        const double *expected = run->expected + (p ? WEIGHTS : 0);
        double values[WEIGHTS], rounded[WEIGHTS], own[WEIGHTS];
        const int64_t n = grd_tensor_count(master);
        cr_assert_eq(grd_tensor_dtype(master), GRD_F32);
        cr_assert_eq(grd_read_f64(master, values, n), GRD_OK);
        cr_assert_eq(grd_read_f64(grd_cast(master, dtype), rounded, n), GRD_OK);
        cr_assert_eq(grd_read_f64(grd_module_parameter(model, names[p]), own, n), GRD_OK);
        for (int64_t i = 0; i < n; i++) {
            cr_assert_float_eq(values[i], expected[i], 1e-6, "%s: %s[%d] is %.9g, not %.9g",
                               run->name, names[p], (int)i, values[i], expected[i]);
            cr_assert_eq(own[i], rounded[i]);
        }
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer, keeps_masters_of_16_bits)
{
    for (int i = 0; i < GOLDEN_RUNS; i++) {
        retrace_narrow(&golden_runs[i], GRD_BF16);
        retrace_narrow(&golden_runs[i], GRD_F16);
    }
}

/* Each step is a hundredth of what bf16 tells from 1; together they are seen. */
Test(optimizer, small_steps_add_up_in_16_bits)
{
    static const double one[] = { 1 };
    grd_scope *scope = grd_scope_begin();
    grd_module *model = grd_module_create("One", 0, NULL);
    grd_tensor *x =
        grd_module_add_parameter(model, "x", grd_cast(grd_ones(GRD_SHAPE(1)), GRD_BF16));
    grd_optimizer *optimizer = grd_sgd_create(model, NULL);
    for (int step = 0; step < 200; step++) {
        set_gradient(x, one);
        grd_optimizer_step(optimizer, 0x1p-8 / 100);
    }
    cr_assert_float_eq(grd_item(grd_cast(x, GRD_F32)), 1 - 0x1p-7, 1e-9);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* After one step of sgd with lr 1, a parameter has changed by its factor times its gradient. */
Test(optimizer, groups_say_rates_and_decay)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    static const double zero[WEIGHTS], one[WEIGHTS] = { 1, 1, 1, 1, 1, 1 };
    grd_module *model = model_create(GRD_F64);
    double before[WEIGHTS + BIASES], after[WEIGHTS + BIASES];
    read_model(model, before);
    grd_optimizer *optimizer = grd_sgd_create(
        model, &(grd_sgd_options){ .weight_decay = 0.5,
                                   .groups = { { .names = "b?as", .no_decay = true },
                                               { .names = "*", .lr_factor = 0.25 } } });
    set_gradient(grd_module_parameter(model, "weight"), zero);
    set_gradient(grd_module_parameter(model, "bias"), one);
    cr_assert_eq(grd_optimizer_step(optimizer, 1), GRD_OK, "%s", grd_error_message());
    read_model(model, after);
    for (int i = 0; i < WEIGHTS; i++)
        cr_assert_eq(after[i], before[i] - 0.25 * 0.5 * before[i]);
    for (int i = WEIGHTS; i < WEIGHTS + BIASES; i++)
        cr_assert_eq(after[i], before[i] - 1);

    optimizer = grd_adamw_create(
        model, &(grd_adam_options){ .weight_decay = 0.5, .decay_matrices_only = true });
    set_gradient(grd_module_parameter(model, "weight"), zero);
    set_gradient(grd_module_parameter(model, "bias"), zero);
    read_model(model, before);
    cr_assert_eq(grd_optimizer_step(optimizer, 0.5), GRD_OK, "%s", grd_error_message());
    read_model(model, after);
    for (int i = 0; i < WEIGHTS + BIASES; i++)
        cr_assert_eq(after[i], i < WEIGHTS ? 0.75 * before[i] : before[i]);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer, trains_neither_frozen_nor_untouched_parameters)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_module *model = grd_module_create("Outer", 0, NULL);
    grd_module *frozen = grd_module_add(model, "frozen", model_create(GRD_F64));
    grd_module *trained = grd_module_add(model, "trained", model_create(GRD_F64));
    double before[WEIGHTS + BIASES], after[WEIGHTS + BIASES];
    read_model(frozen, before);
    cr_assert_eq(grd_module_freeze(frozen), GRD_OK);
    cr_assert_not(grd_tensor_requires_grad(grd_module_parameter(frozen, "weight")));
    grd_optimizer *optimizer = adamw(model);
    cr_assert_eq(grdi_optimizer_num_moments(optimizer), 4);
    set_golden_gradient(grd_module_parameter(trained, "weight"), 0, 0);
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK, "%s", grd_error_message());
    expect_model(frozen, before, 0, "frozen");
    read_model(trained, after);
    cr_assert(after[0] != before[0], "it has a gradient");
    cr_assert_arr_eq(after + WEIGHTS, before + WEIGHTS, BIASES * sizeof *after, "it has none");

    cr_assert_eq(grd_module_unfreeze(model), GRD_OK);
    set_golden_gradient(grd_module_parameter(frozen, "weight"), 0, 0);
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "optimizer_step: frozen.weight was added or unfrozen after this "
                                  "optimizer was made");
    grd_module_zero_grad(model);
    cr_assert_null(grd_tensor_grad(grd_module_parameter(frozen, "weight")));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer, state_is_open_to_checkpoints)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(GRD_F32);
    grd_optimizer *optimizer = adamw(model);
    static const char *const kinds[] = { "m", "v", "m", "v" };
    static const char *const names[] = { "weight", "weight", "bias", "bias" };
    for (int64_t i = 0; i < 4; i++) {
        const grdi_moment moment = grdi_optimizer_moment(optimizer, i);
        cr_assert_str_eq(moment.kind, kinds[i]);
        cr_assert_str_eq(moment.parameter, names[i]);
        cr_assert_eq(grd_tensor_count(moment.tensor), i < 2 ? WEIGHTS : BIASES);
        cr_assert_eq(*moment.steps, 0);
    }
    cr_assert_null(grdi_optimizer_moment(optimizer, 4).kind);
    set_golden_gradient(grd_module_parameter(model, "weight"), 0, 0);
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK);
    cr_assert_eq(*grdi_optimizer_moment(optimizer, 1).steps, 1);
    cr_assert_eq(*grdi_optimizer_moment(optimizer, 2).steps, 0, "it had no gradient");

    cr_assert_str_eq(grdi_optimizer_algorithm(optimizer), "adamw");
    static const grdi_option options[] = { { "beta1", 0.9 },
                                           { "beta2", 0.999 },
                                           { "eps", 1e-8 },
                                           { "weight_decay", 0.1 },
                                           { "decay_matrices_only", 0 } };
    for (int i = 0; i < 5; i++) {
        cr_assert_str_eq(grdi_optimizer_option(optimizer, i).name, options[i].name);
        cr_assert_eq(grdi_optimizer_option(optimizer, i).value, options[i].value);
    }
    cr_assert_null(grdi_optimizer_option(optimizer, 5).name);
    optimizer = sgd_momentum(model);
    cr_assert_eq(grdi_optimizer_num_moments(optimizer), 2);
    cr_assert_str_eq(grdi_optimizer_moment(optimizer, 1).kind, "momentum");
    cr_assert_str_eq(grdi_optimizer_option(optimizer, 2).name, "nesterov");
    cr_assert_null(grdi_optimizer_option(optimizer, 3).name);
    cr_assert_eq(grdi_optimizer_num_moments(sgd(model)), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer, outlives_its_modules_scope)
{
    grd_scope *scope = grd_scope_begin();
    grd_scope *inner = grd_scope_begin();
    grd_module *holder = grd_module_create("Holder", 0, NULL);
    grd_module_add(holder, "model", model_create(GRD_F32));
    grd_tensor *weight = grd_keep(grd_module_parameter(holder, "model.weight"));
    grd_scope *held = grd_scope_detach(inner);
    grd_optimizer *optimizer = adam(holder);
    grd_scope_end(held);
    set_golden_gradient(weight, 0, 0);
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK, "%s", grd_error_message());
    grd_release(weight);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static void expect_step_changes_nothing(grd_module *model, grd_optimizer *optimizer, double lr,
                                        grd_status status, const char *message)
{
    double before[WEIGHTS + BIASES];
    read_model(model, before);
    cr_assert_eq(grd_optimizer_step(optimizer, lr), status);
    expect_error(status, message);
    expect_model(model, before, 0, message);
    for (int64_t i = 0; i < grdi_optimizer_num_moments(optimizer); i++)
        cr_assert_eq(*grdi_optimizer_moment(optimizer, i).steps, 0);
}

Test(optimizer, refuses_a_bad_step_and_changes_nothing)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(GRD_F32);
    grd_tensor *weight = grd_module_parameter(model, "weight");
    grd_tensor *bias = grd_module_parameter(model, "bias");
    grd_optimizer *optimizer = adamw(model);
    expect_step_changes_nothing(model, optimizer, 0.1, GRD_ERROR_STATE,
                                "optimizer_step: no parameter of Model has a gradient (call "
                                "grd_backward first)");
    set_golden_gradient(weight, 0, 0);
    expect_step_changes_nothing(model, optimizer, NAN, GRD_ERROR_ARGUMENT,
                                "optimizer_step: the learning rate is nan");
    expect_step_changes_nothing(model, optimizer, -0.1, GRD_ERROR_ARGUMENT,
                                "optimizer_step: the learning rate is -0.1");
    const double bad[] = { 1, NAN, 2 }, worse[] = { 1, 2, -INFINITY };
    set_gradient(bias, bad);
    expect_step_changes_nothing(model, optimizer, 0.1, GRD_ERROR_NOT_FINITE,
                                "optimizer_step: the gradient of bias [3] is not finite");
    grd_zero_grad(bias);
    set_gradient(bias, worse);
    expect_step_changes_nothing(model, optimizer, 0.1, GRD_ERROR_NOT_FINITE,
                                "optimizer_step: the gradient of bias [3] is not finite");
    cr_assert_not_null(grd_tensor_grad(weight), "kept");
    cr_assert_eq(grd_optimizer_step(NULL, 0.1), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "optimizer_step: an argument is NULL");
    grd_fail(GRD_ERROR_STATE, "test", "latched");
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "test: latched");
    grd_zero_grad(bias);
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* Squares of what is finite in f64 may not be. */
Test(optimizer, huge_gradients_are_finite)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(GRD_F64);
    grd_optimizer *optimizer = sgd(model);
    const double huge[] = { 1e300, -1e300, 0 };
    set_gradient(grd_module_parameter(model, "bias"), huge);
    cr_assert_eq(grd_optimizer_step(optimizer, 1e-300), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

typedef struct bad_options {
    grd_optimizer *(*create)(grd_module *model, const grd_adam_options *options);
    grd_adam_options options;
    const char *message;
} bad_options;

static grd_optimizer *make_adam(grd_module *model, const grd_adam_options *options)
{
    return grd_adam_create(model, options);
}

static grd_optimizer *make_adamw(grd_module *model, const grd_adam_options *options)
{
    return grd_adamw_create(model, options);
}

Test(optimizer, refuses_bad_options_of_adam)
{
    static const bad_options cases[] = {
        { make_adamw,
          { .eps = 0 },
          "adamw: weight_decay is required (torch: 0.01); without decay use "
          "grd_adam_create" },
        { make_adam,
          { .weight_decay = 0.1 },
          "adam: weight_decay is 0.1: adam has none (use "
          "grd_adamw_create)" },
        { make_adamw, { .weight_decay = -1 }, "adamw: weight_decay is -1" },
        { make_adamw, { .weight_decay = NAN }, "adamw: weight_decay is nan" },
        { make_adam, { .betas = { 0.9, 0 } }, "adam: betas are 0.9 and 0: the first must be in" },
        { make_adam, { .betas = { 1, 0.9 } }, "adam: betas are 1 and 0.9" },
        { make_adam, { .betas = { -0.1, 0.9 } }, "adam: betas are -0.1 and 0.9" },
        { make_adam, { .betas = { 0.9, 1 } }, "adam: betas are 0.9 and 1" },
        { make_adam, { .eps = -1e-8 }, "adam: eps is -1e-08" },
        { make_adam, { .eps = INFINITY }, "adam: eps is inf" },
        { make_adam,
          { .groups = { { "wieght", 1, false } } },
          "adam: group \"wieght\" matches no parameter of Model (did you mean \"weight\"?)" },
        { make_adam,
          { .groups = { { "*", 1, false }, { "head.*", 1, false } } },
          "adam: group \"head.*\" matches no parameter of Model at" },
        { make_adam, { .groups = { { "*", -1, false } } }, "adam: group \"*\": lr_factor is -1" },
        { make_adam, { .groups = { { "*", NAN, false } } }, "adam: group \"*\": lr_factor is nan" },
    };
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(GRD_F32);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_null(cases[i].create(model, &cases[i].options));
        expect_error(GRD_ERROR_ARGUMENT, cases[i].message);
    }
    cr_assert_null(grd_adamw_create(model, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "adamw: weight_decay is required");
    cr_assert_null(grd_adam_create(NULL, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "adam: an argument is NULL");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer, refuses_bad_options_of_sgd)
{
    static const struct {
        grd_sgd_options options;
        const char *message;
    } cases[] = {
        { { .momentum = 1 }, "sgd: momentum is 1, not in [0, 1)" },
        { { .momentum = NAN }, "sgd: momentum is nan" },
        { { .weight_decay = -1 }, "sgd: weight_decay is -1" },
        { { .nesterov = true }, "sgd: nesterov needs a momentum" },
        { { .groups = { { "x", 1, false } } }, "sgd: group \"x\" matches no parameter of Model" },
    };
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(GRD_F32);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_null(grd_sgd_create(model, &cases[i].options));
        expect_error(GRD_ERROR_ARGUMENT, cases[i].message);
    }
    cr_assert_null(grd_sgd_create(NULL, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "sgd: an argument is NULL");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(optimizer, refuses_what_it_cannot_train)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = grd_module_create("Net", 0, NULL);
    cr_assert_null(sgd(model));
    expect_error(GRD_ERROR_STATE, "sgd: Net has nothing to train: it has no parameters, or all "
                                  "are frozen");
    grd_module_add(model, "inner", model_create(GRD_F32));
    grd_module_freeze(model);
    cr_assert_null(adam(model));
    expect_error(GRD_ERROR_STATE, "adam: Net has nothing to train");
    grd_module_unfreeze(model);
    cr_assert_eq(grd_module_freeze(NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_freeze: an argument is NULL");
    cr_assert_eq(grd_module_unfreeze(NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_unfreeze: an argument is NULL");
    grd_module_zero_grad(NULL);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    grd_module *none = grd_module_create("None", 0, NULL);
    cr_assert_null(none);
    expect_error(GRD_ERROR_SCOPE, "module_create");
}
