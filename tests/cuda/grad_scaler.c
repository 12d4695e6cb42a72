/* Loss scaling on a GPU, next to the CPU. */
#include "nn/grad_scaler.h"
#include "tests/cuda/emulated.h"

#include <criterion/criterion.h>

enum { ROWS = 70, COLUMNS = 3, STEPS = 8 };

/* What a run leaves: the weight, and the scale after each step. */
typedef struct outcome {
    double weight[ROWS * COLUMNS], scale[STEPS], norm[STEPS];
} outcome;

/* One gradient of many overflows in steps 2 and 5. */
static const grd_tensor *gradient_of(int step)
{
    double values[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        values[i] = ((7 * i + 3 * step) % 11 - 5) * 0x1p-12;
    if (step % 3 == 2)
        values[ROWS] = 4;
    return grd_cast(grd_from_f64(values, ROWS * COLUMNS, GRD_SHAPE(ROWS, COLUMNS)), GRD_F32);
}

static void run(grd_device *device, outcome *o)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = device });
    grd_module *model = grd_module_create("Model", 0, NULL);
    grd_tensor *x =
        grd_module_add_parameter(model, "x", grd_cast(grd_ones(GRD_SHAPE(ROWS, COLUMNS)), GRD_F16));
    grd_optimizer *optimizer = grd_adam_create(model, NULL);
    grd_grad_scaler *scaler =
        grd_grad_scaler_create(&(grd_grad_scaler_options){ .growth_interval = 2 });
    for (int step = 0; step < STEPS; step++) {
        grd_scope *pass = grd_scope_begin();
        const grd_tensor *loss = grd_sum(grd_mul(grd_cast(x, GRD_F32), gradient_of(step)));
        grd_backward(grd_grad_scaler_scale(scaler, loss));
        grd_grad_scaler_unscale(scaler, optimizer);
        o->norm[step] = grd_clip_grad_norm(model, 0.01);
        grd_grad_scaler_step(scaler, optimizer, 0.01);
        grd_grad_scaler_update(scaler);
        o->scale[step] = grd_grad_scaler_get_scale(scaler);
        cr_assert_eq(grd_scope_end(pass), GRD_OK, "%s", grd_error_message());
    }
    cr_assert_eq(grd_read_f64(x, o->weight, ROWS * COLUMNS), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_grad_scaler_skipped_steps(scaler), 2);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(cuda_grad_scaler, skips_and_grows_as_on_the_cpu)
{
    static const double scale[STEPS] = {
        65536, 131072, 65536, 65536, 131072, 65536, 65536, 131072
    };
    static outcome cpu, gpu;
    need_gpu();
    run(grd_cpu(), &cpu);
    run(grd_cuda(0), &gpu);
    cr_assert_arr_eq(cpu.scale, scale, sizeof scale);
    cr_assert_arr_eq(gpu.scale, scale, sizeof scale);
    for (int i = 0; i < STEPS; i++)
        cr_assert_float_eq(gpu.norm[i], cpu.norm[i], 1e-9, "step %d", i);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        cr_assert_float_eq(gpu.weight[i], cpu.weight[i], 0x1p-11, "weight %d", i);
}
