/* Loss scaling: PyTorch's rules, what f16 alone would lose, and steps that are left out. */
#include "nn/grad_scaler.h"
#include "nn/checkpoint.h"
#include "nn/optimizer.h"

#include "tests/counter.h"
#include "tests/nn/expect.h"
#include "tests/nn/run.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <math.h>

enum { COUNT = 3 };

static grd_module *model_create(grd_dtype dtype)
{
    grd_module *model = grd_module_create("Model", 0, NULL);
    grd_module_add_parameter(model, "x", grd_cast(grd_ones(GRD_SHAPE(COUNT)), dtype));
    return model;
}

/* Backward of a loss whose gradient this is, in every element. */
static void backward(const grd_grad_scaler *scaler, const grd_module *model, double gradient)
{
    grd_scope *pass = grd_scope_begin();
    const grd_tensor *x = grd_cast(grd_module_parameter(model, "x"), GRD_F32);
    const grd_tensor *loss = grd_sum(grd_mul_scalar(x, gradient));
    grd_backward(scaler ? grd_grad_scaler_scale(scaler, loss) : loss);
    cr_assert_eq(grd_scope_end(pass), GRD_OK, "%s", grd_error_message());
}

/* One whole step with a gradient of 1, or one that overflows. */
static void step(grd_grad_scaler *scaler, grd_optimizer *optimizer, bool overflows)
{
    backward(scaler, optimizer->module, overflows ? INFINITY : 1);
    grd_grad_scaler_step(scaler, optimizer, 0.01);
    cr_assert_eq(grd_grad_scaler_update(scaler), GRD_OK, "%s", grd_error_message());
}

static double first_of(const grd_tensor *x)
{
    double values[COUNT];
    cr_assert_eq(grd_read_f64(x, values, COUNT), GRD_OK, "%s", grd_error_message());
    return values[0];
}

/* ---- PyTorch's rules ---- */

static const bool overflows[] = { 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0 };
enum { UPDATES = sizeof overflows / sizeof overflows[0] };

/* What torch.amp.GradScaler 2.x has after each update. */
static const int64_t trackers[] = { 1, 2, 0, 1, 0, 1, 2, 0, 0, 1, 2, 0, 1, 2, 0, 1 };
static const double halved[] = { 1024, 1024, 2048, 2048, 1024, 1024, 1024, 512,
                                 256,  256,  256,  512,  512,  512,  1024, 1024 };
static const double by_parts[] = {
    1024,
    1024,
    1536,
    1536,
    460.79998779296875,
    460.79998779296875,
    460.79998779296875,
    138.239990234375,
    41.47199630737305,
    41.47199630737305,
    41.47199630737305,
    62.20799255371094,
    62.20799255371094,
    62.20799255371094,
    93.3119888305664,
    93.3119888305664,
};

static void follow(const grd_grad_scaler_options *options, const double *scales)
{
    grd_scope *scope = grd_scope_begin();
    grd_optimizer *optimizer = grd_sgd_create(model_create(GRD_F32), NULL);
    grd_grad_scaler *scaler = grd_grad_scaler_create(options);
    int64_t skipped = 0;
    for (int i = 0; i < UPDATES; i++) {
        step(scaler, optimizer, overflows[i]);
        skipped += overflows[i];
        cr_assert_float_eq(grd_grad_scaler_get_scale(scaler), scales[i], 1e-13 * scales[i],
                           "update %d: %.17g, not %.17g", i, scaler->scale, scales[i]);
        cr_assert_eq(scaler->growth_tracker, trackers[i], "update %d", i);
        cr_assert_eq(grd_grad_scaler_skipped_steps(scaler), skipped);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(grad_scaler, follows_pytorch)
{
    follow(&(grd_grad_scaler_options){ .init_scale = 1024, .growth_interval = 3 }, halved);
    follow(
        &(grd_grad_scaler_options){
            .init_scale = 1024, .growth_interval = 3, .growth_factor = 1.5, .backoff_factor = 0.3 },
        by_parts);
}

Test(grad_scaler, has_pytorchs_defaults)
{
    grd_scope *scope = grd_scope_begin();
    grd_optimizer *optimizer = grd_sgd_create(model_create(GRD_F16), NULL);
    grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 65536);
    for (int i = 0; i < 2000; i++) {
        cr_assert_eq(grd_grad_scaler_get_scale(scaler), 65536, "update %d", i);
        backward(scaler, optimizer->module, 0.5);
        grd_grad_scaler_step(scaler, optimizer, 0);
        grd_grad_scaler_update(scaler);
    }
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 131072);
    step(scaler, optimizer, true);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 65536);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(grad_scaler, does_not_grow_beyond_f32)
{
    grd_scope *scope = grd_scope_begin();
    grd_optimizer *optimizer = grd_sgd_create(model_create(GRD_F64), NULL);
    grd_grad_scaler *scaler = grd_grad_scaler_create(
        &(grd_grad_scaler_options){ .init_scale = 0x1p127, .growth_interval = 1 });
    step(scaler, optimizer, false);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 0x1p127);
    cr_assert_eq(scaler->growth_tracker, 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* ---- What it is for ---- */

/* The parameter after one step of sgd with lr 1/gradient: 1 less where nothing was lost. */
static double stepped(grd_dtype dtype, const grd_grad_scaler *scaler, double gradient)
{
    grd_module *model = model_create(dtype);
    grd_optimizer *optimizer = grd_sgd_create(model, NULL);
    backward(scaler, model, gradient);
    if (scaler)
        grd_grad_scaler_step((grd_grad_scaler *)scaler, optimizer, 1 / gradient);
    else
        grd_optimizer_step(optimizer, 1 / gradient);
    cr_assert(!grd_tensor_grad(grd_module_parameter(model, "x")), "dropped");
    return first_of(optimizer->slots[0].master);
}

Test(grad_scaler, keeps_what_f16_rounds_to_nothing)
{
    grd_scope *scope = grd_scope_begin();
    const grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    cr_assert_eq(stepped(GRD_F16, NULL, 1e-8), 1, "the reason for all this");
    cr_assert_float_eq(stepped(GRD_F16, scaler, 1e-8), 0, 1e-3);
    cr_assert_float_eq(stepped(GRD_BF16, scaler, 1e-8), 0, 1e-2);
    cr_assert_float_eq(stepped(GRD_F32, scaler, 1e-8), 0, 1e-6);
    cr_assert_float_eq(stepped(GRD_F64, scaler, 1e-8), 0, 1e-6, "the cast to f32 is the test's");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* The norm is that of the gradients unscaled, the clipped step the one of a run in f32. */
Test(grad_scaler, clipping_sees_unscaled_gradients)
{
    grd_scope *scope = grd_scope_begin();
    for (int d = 0; d < 2; d++) {
        grd_module *model = model_create(d ? GRD_F16 : GRD_F32);
        grd_tensor *x = grd_module_parameter(model, "x");
        grd_optimizer *optimizer = grd_sgd_create(model, NULL);
        grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
        backward(scaler, model, 0x1p-20);
        cr_assert_eq(grd_grad_scaler_unscale(scaler, optimizer), GRD_OK, "%s", grd_error_message());
        cr_assert_eq(grd_tensor_dtype(grd_tensor_grad(x)), GRD_F32);
        cr_assert_eq(first_of(grd_tensor_grad(x)), 0x1p-20);
        const double norm = grd_clip_grad_norm(model, 0x1p-21);
        cr_assert_float_eq(norm, 0x1p-20 * sqrt(COUNT), 1e-12);
        cr_assert_eq(grd_grad_scaler_step(scaler, optimizer, 0x1p20), GRD_OK);
        const double clipped = 0x1p-20 * 0x1p-21 / (norm + 1e-6);
        cr_assert_float_eq(first_of(optimizer->slots[0].master), 1 - clipped * 0x1p20, 1e-6);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* ---- Overflow ---- */

typedef struct state {
    double x, master, m, v;
    int64_t steps;
} state;

static state state_of(const grd_optimizer *optimizer)
{
    const grdi_slot *slot = &optimizer->slots[0];
    return (state){ first_of(slot->parameter), first_of(slot->master), first_of(slot->moment[0]),
                    first_of(slot->moment[1]), slot->steps };
}

static void expect_state(const grd_optimizer *optimizer, const state *expected)
{
    const state found = state_of(optimizer);
    cr_assert_arr_eq(&found, expected, sizeof found);
}

/* 2 is fine in f16, 2 x 65536 is not. */
Test(grad_scaler, a_step_that_overflows_is_left_out)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(GRD_F16);
    const grd_tensor *x = grd_module_parameter(model, "x");
    grd_optimizer *optimizer = grd_adam_create(model, NULL);
    grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    backward(scaler, model, 0.25);
    grd_grad_scaler_step(scaler, optimizer, 0.01);
    grd_grad_scaler_update(scaler);
    const state before = state_of(optimizer);
    cr_assert_eq(before.steps, 1);

    backward(scaler, model, 2);
    cr_assert_eq(grd_grad_scaler_unscale(scaler, optimizer), GRD_OK, "%s", grd_error_message());
    cr_assert_null(grd_tensor_grad(x));
    cr_assert_eq(grd_clip_grad_norm(model, 1), 0, "there are none");
    cr_assert_eq(grd_grad_scaler_step(scaler, optimizer, 0.01), GRD_OK, "%s", grd_error_message());
    expect_state(optimizer, &before);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 65536, "until the update");
    grd_grad_scaler_update(scaler);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 32768);
    cr_assert_eq(grd_grad_scaler_skipped_steps(scaler), 1);

    backward(scaler, model, NAN);
    grd_grad_scaler_step(scaler, optimizer, 0.01);
    grd_grad_scaler_update(scaler);
    expect_state(optimizer, &before);
    cr_assert_eq(grd_grad_scaler_skipped_steps(scaler), 2);

    backward(scaler, model, 2);
    grd_grad_scaler_step(scaler, optimizer, 0.01);
    cr_assert_eq(grd_grad_scaler_update(scaler), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(state_of(optimizer).steps, 2);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 16384);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(grad_scaler, optimizers_are_skipped_each_for_itself)
{
    grd_scope *scope = grd_scope_begin();
    grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    grd_optimizer *bad = grd_sgd_create(model_create(GRD_F16), NULL);
    grd_optimizer *good = grd_sgd_create(model_create(GRD_F16), NULL);
    backward(scaler, bad->module, 2);
    backward(scaler, good->module, 0.5);
    grd_grad_scaler_step(scaler, bad, 1);
    grd_grad_scaler_step(scaler, good, 1);
    cr_assert_eq(grd_grad_scaler_update(scaler), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(first_of(bad->slots[0].master), 1);
    cr_assert_eq(first_of(good->slots[0].master), 0.5);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 32768);
    cr_assert_eq(grd_grad_scaler_skipped_steps(scaler), 1);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* Sixteen halvings to 1, then to 2^-24: no f16 is as large as what overflows then. */
Test(grad_scaler, says_when_no_scale_would_help)
{
    grd_scope *scope = grd_scope_begin();
    grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    grd_optimizer *optimizer = grd_sgd_create(model_create(GRD_F16), NULL);
    for (int i = 0; i < 16 + 24; i++)
        step(scaler, optimizer, true);
    cr_assert_eq(grd_grad_scaler_get_scale(scaler), 0x1p-24);
    backward(scaler, optimizer->module, INFINITY);
    cr_assert_eq(grd_grad_scaler_step(scaler, optimizer, 0.01), GRD_OK);
    cr_assert_eq(grd_grad_scaler_update(scaler), GRD_ERROR_NOT_FINITE);
    expect_error(GRD_ERROR_NOT_FINITE,
                 "grad_scaler_update: gradients are not finite although the loss was scaled by "
                 "5.96046e-08 only: the model's values overflow, not the scaled gradients");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* ---- Wrong uses ---- */

#define EXPECT_REFUSED(text, ...)                                                                  \
    do {                                                                                           \
        cr_assert_null(grd_grad_scaler_create(&(grd_grad_scaler_options){ __VA_ARGS__ }));         \
        expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_create: " text);                             \
    } while (0)

Test(grad_scaler, refuses_options_that_make_no_sense)
{
    grd_scope *scope = grd_scope_begin();
    EXPECT_REFUSED("init_scale is -1", .init_scale = -1);
    EXPECT_REFUSED("init_scale is 1e+39", .init_scale = 1e39);
    EXPECT_REFUSED("init_scale is nan", .init_scale = NAN);
    EXPECT_REFUSED("growth_factor is 1: it must be above 1", .growth_factor = 1);
    EXPECT_REFUSED("growth_factor is inf", .growth_factor = INFINITY);
    EXPECT_REFUSED("backoff_factor is 1, not in (0, 1)", .backoff_factor = 1);
    EXPECT_REFUSED("backoff_factor is -0.5, not in (0, 1)", .backoff_factor = -0.5);
    EXPECT_REFUSED("growth_interval is -1: it must be above 0", .growth_interval = -1);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(grad_scaler, refuses_what_comes_out_of_order)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create(GRD_F16);
    grd_optimizer *optimizer = grd_sgd_create(model, NULL);
    grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    grd_grad_scaler_update(scaler);
    expect_error(GRD_ERROR_STATE, "grad_scaler_update: no gradients were looked at since the last "
                                  "update: it comes after grd_grad_scaler_step");
    grd_grad_scaler_step(scaler, optimizer, 1);
    expect_error(GRD_ERROR_STATE, "grad_scaler_step: no parameter of Model has a gradient (call "
                                  "grd_backward first)");
    backward(scaler, model, 0.5);
    cr_assert_eq(grd_grad_scaler_unscale(scaler, optimizer), GRD_OK, "%s", grd_error_message());
    grd_grad_scaler_unscale(scaler, optimizer);
    expect_error(GRD_ERROR_STATE,
                 "grad_scaler_unscale: these gradients were unscaled already since "
                 "the last grd_grad_scaler_update: call that after each step");
    cr_assert_eq(grd_grad_scaler_step(scaler, optimizer, 1), GRD_OK, "%s", grd_error_message());
    grd_grad_scaler_step(scaler, optimizer, 1);
    expect_error(GRD_ERROR_STATE, "grad_scaler_step: this optimizer was stepped already since the "
                                  "last grd_grad_scaler_update");
    cr_assert_eq(grd_grad_scaler_update(scaler), GRD_OK, "%s", grd_error_message());

    cr_assert_null(grd_grad_scaler_scale(scaler, grd_sum(grd_module_parameter(model, "x"))));
    expect_error(GRD_ERROR_DTYPE, "grad_scaler_scale: the loss is f16, which ends at 65504: "
                                  "grd_cast logits to f32 before it");
    grd_grad_scaler_step(scaler, optimizer, -1);
    expect_error(GRD_ERROR_STATE, "has a gradient");
    backward(scaler, model, 0.5);
    grd_grad_scaler_step(scaler, optimizer, -1);
    expect_error(GRD_ERROR_ARGUMENT, "optimizer_step: the learning rate is -1");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* A scaler is held by the optimizer that it served, and another starts with a clean sheet. */
Test(grad_scaler, two_scalers_may_take_turns)
{
    grd_scope *scope = grd_scope_begin();
    grd_optimizer *optimizer = grd_sgd_create(model_create(GRD_F16), NULL);
    for (int i = 0; i < 3; i++) {
        grd_scope *inner = grd_scope_begin();
        grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
        backward(scaler, optimizer->module, 0.125);
        cr_assert_eq(grd_grad_scaler_step(scaler, optimizer, 1), GRD_OK, "%s", grd_error_message());
        cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
    }
    cr_assert_eq(first_of(optimizer->slots[0].master), 1 - 3 * 0.125);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(grad_scaler, refuses_null)
{
    grd_scope *scope = grd_scope_begin();
    grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    grd_optimizer *optimizer = grd_sgd_create(model_create(GRD_F32), NULL);
    cr_assert_null(grd_grad_scaler_scale(NULL, grd_ones(GRD_SCALAR)));
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_scale: an argument is NULL");
    cr_assert_null(grd_grad_scaler_scale(scaler, NULL));
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_scale: an argument is NULL");
    grd_grad_scaler_unscale(NULL, optimizer);
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_unscale: an argument is NULL");
    grd_grad_scaler_unscale(scaler, NULL);
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_unscale: an argument is NULL");
    grd_grad_scaler_step(NULL, optimizer, 1);
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_step: an argument is NULL");
    grd_grad_scaler_step(scaler, NULL, 1);
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_step: an argument is NULL");
    grd_grad_scaler_update(NULL);
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_update: an argument is NULL");
    cr_assert(isnan(grd_grad_scaler_get_scale(NULL)));
    expect_error(GRD_ERROR_ARGUMENT, "grad_scaler_get_scale: an argument is NULL");
    cr_assert_eq(grd_grad_scaler_skipped_steps(NULL), 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static grd_status whole_step(void)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = grd_module_create("Model", 0, NULL);
    grd_tensor *x = grd_module_add_parameter(model, "x", grd_cast(grd_ones(GRD_SHAPE(3)), GRD_F16));
    grd_optimizer *optimizer = grd_adam_create(model, NULL);
    grd_grad_scaler *scaler = grd_grad_scaler_create(NULL);
    grd_backward(grd_grad_scaler_scale(scaler, grd_sum(grd_cast(x, GRD_F32))));
    grd_grad_scaler_unscale(scaler, optimizer);
    grd_grad_scaler_step(scaler, optimizer, 0.1);
    grd_grad_scaler_update(scaler);
    return grd_scope_end(scope);
}

Test(grad_scaler, fails_cleanly_at_every_allocation)
{
    fail_at_every_allocation(whole_step, 25);
}

/* ---- Checkpoints ---- */

TestSuite(grad_scaler_saved, .init = scratch_begin, .fini = scratch_end);

typedef struct scaled_run {
    grd_optimizer *optimizer;
    grd_grad_scaler *scaler;
    grd_checkpoint all;
} scaled_run;

static scaled_run scaled_run_create(void)
{
    static const grd_grad_scaler_options options = { .init_scale = 1024, .growth_interval = 3 };
    grd_module *model = model_create(GRD_F16);
    scaled_run r = { grd_adam_create(model, NULL), grd_grad_scaler_create(&options), { 0 } };
    r.all = (grd_checkpoint){ .model = model, .optimizer = r.optimizer, .scaler = r.scaler };
    return r;
}

/* Saved after any of the updates, a run goes on as if it had not been. */
Test(grad_scaler_saved, goes_on_to_the_same_bits)
{
    const char *path = scratch_path("run.h5");
    for (int saved = 0; saved < UPDATES; saved++) {
        grd_scope *scope = grd_scope_begin();
        scaled_run whole = scaled_run_create(), other = scaled_run_create();
        for (int i = 0; i < UPDATES; i++) {
            step(whole.scaler, whole.optimizer, overflows[i]);
            if (i < saved)
                continue;
            if (i == saved) {
                cr_assert_eq(grd_save(path, &whole.all), GRD_OK, "%s", grd_error_message());
                cr_assert_eq(grd_load(path, &other.all), GRD_OK, "%s", grd_error_message());
                cr_assert_null(grd_load_warnings());
            } else {
                step(other.scaler, other.optimizer, overflows[i]);
            }
            const state expected = state_of(whole.optimizer);
            expect_state(other.optimizer, &expected);
            cr_assert_eq(other.scaler->scale, halved[i]);
            cr_assert_eq(other.scaler->growth_tracker, trackers[i]);
            cr_assert_eq(other.scaler->skipped_steps, whole.scaler->skipped_steps);
        }
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}

Test(grad_scaler_saved, says_what_does_not_fit)
{
    const char *path = scratch_path("run.h5");
    grd_scope *scope = grd_scope_begin();
    scaled_run r = scaled_run_create();
    cr_assert_eq(grd_save(path, &(grd_checkpoint){ .model = r.all.model }), GRD_OK);
    cr_assert_eq(grd_load(path, &r.all), GRD_ERROR_MISMATCH);
    expect_error(GRD_ERROR_MISMATCH, "run.h5: was saved without a gradient scaler");

    r.scaler->scale = INFINITY;
    cr_assert_eq(grd_save(path, &r.all), GRD_OK);
    cr_assert_eq(grd_load(path, &r.all), GRD_ERROR_FORMAT);
    expect_error(GRD_ERROR_FORMAT, "run.h5: scaler: the scale is inf");

    r.scaler->scale = 512;
    cr_assert_eq(grd_save(path, &r.all), GRD_OK);
    r.all.scaler = grd_grad_scaler_create(NULL);
    cr_assert_eq(grd_load(path, &r.all), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_grad_scaler_get_scale(r.all.scaler), 512);
    cr_assert_str_eq(grd_load_warnings(), "scaler/growth_interval was 3, is 2000");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
