#include "nn/module.h"

#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A parameter that is tied, one of a child's, and buffers of two types. */
static grd_module *model_create(void)
{
    grd_module *model = grd_module_create("Model", 0, NULL);
    grd_module *child = grd_module_create("Child", 0, NULL);
    grd_tensor *tied = grd_module_add_parameter(model, "weight", grd_full(GRD_SHAPE(2, 3), 0.1));
    grd_module_add_buffer(model, "counts", grd_from_i64((int64_t[]){ 7, 8 }, 2, GRD_SHAPE(2)));
    grd_module_add_buffer(model, "mean", grd_full(GRD_SHAPE(2), 0.5));
    grd_module_add(model, "child", child);
    grd_module_add_parameter(child, "tied", tied);
    grd_module_add_parameter(child, "bias", grd_full(GRD_SHAPE(3), 2));
    return model;
}

static void expect_all(const grd_module *model, grd_dtype dtype, const grd_device *device)
{
    for (int64_t i = 0; i < grdi_module_num_states(model); i++) {
        const grdi_state state = grdi_module_state(model, i);
        const grd_dtype own = strcmp(state.name, "counts") == 0 ? GRD_I64 : dtype;
        cr_assert_eq(grd_tensor_dtype(state.tensor), own, "%s", state.name);
        cr_assert_eq(grd_tensor_device(state.tensor), device, "%s", state.name);
        cr_assert_eq(grd_tensor_requires_grad(state.tensor), !state.is_buffer, "%s", state.name);
    }
}

Test(module_to, moves_and_casts_in_place)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create();
    grd_tensor *weight = grd_module_parameter(model, "weight");
    grd_tensor *counts = grd_module_parameter(model, "counts");
    cr_assert_eq(grd_module_to(model, NULL, GRD_F64), GRD_OK, "%s", grd_error_message());
    expect_all(model, GRD_F64, grd_cpu());
    cr_assert_eq(grd_module_to(model, fake_device(), GRD_DTYPE_UNSET), GRD_OK);
    expect_all(model, GRD_F64, fake_device());
    cr_assert_eq(grd_module_to(model, grd_cpu(), GRD_F32), GRD_OK);
    expect_all(model, GRD_F32, grd_cpu());
    cr_assert(grd_module_parameter(model, "weight") == weight &&
              grd_module_parameter(model, "child.tied") == weight &&
              grd_module_parameter(model, "counts") == counts);
    cr_assert_eq(grd_item_at(weight, GRD_DIMS(1, 2)), (double)0.1f);
    cr_assert_eq(grd_item_at(counts, GRD_DIMS(1)), 8);
    grd_backward(grd_sum(weight));
    cr_assert_eq(grd_item(grd_sum(grd_tensor_grad(weight))), 6, "still trained");
    cr_assert_eq(grd_module_to(model, NULL, GRD_DTYPE_UNSET), GRD_OK);
    cr_assert_not_null(grd_tensor_grad(weight), "nothing changed");
    cr_assert_eq(grd_module_to(model, grd_cpu(), GRD_F64), GRD_OK);
    cr_assert_null(grd_tensor_grad(weight), "dropped");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module_to, keeps_what_is_frozen_frozen)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create();
    grd_module_freeze(model);
    cr_assert_eq(grd_module_to(model, fake_device(), GRD_F64), GRD_OK);
    cr_assert_not(grd_tensor_requires_grad(grd_module_parameter(model, "weight")));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module_to, old_graphs_and_optimizers_refuse)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create();
    grd_tensor *weight = grd_module_parameter(model, "weight");
    grd_optimizer *optimizer = grd_adam_create(model, NULL);
    const grd_tensor *y = grd_sum(grd_mul(weight, weight));
    cr_assert_eq(grd_module_to(model, NULL, GRD_F64), GRD_OK);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    expect_error(GRD_ERROR_GRAPH, "was changed in place: expected version 0, found 1");
    grd_backward(grd_sum(grd_mul(weight, weight)));
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_ERROR_STATE);
    expect_error(GRD_ERROR_STATE, "optimizer_step: weight was moved from f32 on cpu to f64 on cpu "
                                  "after this optimizer was made: make it after grd_module_to");
    cr_assert_eq(grd_item_at(weight, GRD_DIMS(0, 0)), (double)0.1f, "unchanged");
    optimizer = grd_adam_create(model, NULL);
    cr_assert_eq(grd_optimizer_step(optimizer, 0.1), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module_to, refuses_other_dtypes)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create();
    cr_assert_eq(grd_module_to(model, NULL, GRD_I64), GRD_ERROR_DTYPE);
    expect_error(GRD_ERROR_DTYPE, "module_to: a module's dtype is f32, f64, f16 or bf16");
    cr_assert_eq(grd_module_to(model, NULL, (grd_dtype)99), GRD_ERROR_DTYPE);
    expect_error(GRD_ERROR_DTYPE, "module_to: a module's dtype is");
    cr_assert_eq(grd_module_to(NULL, NULL, GRD_F32), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_to: an argument is NULL");
    cr_assert_eq(grd_module_to(grd_module_create("Empty", 0, NULL), NULL, GRD_F64), GRD_OK);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(module_print, is_a_table)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create();
    grd_module_freeze(grd_module_get(model, "child"));
    grd_require_grad(grd_module_parameter(model, "weight"));
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_eq(grd_module_print(out, model), GRD_OK, "%s", grd_error_message());
    fclose(out);
    cr_assert_str_eq(text, "Model: 2 parameters, 9 values\n"
                           "  weight      [2, 3]  6  f32\n"
                           "  counts      [2]     2  i64  buffer\n"
                           "  mean        [2]     2  f32  buffer\n"
                           "  child.bias  [3]     3  f32  frozen\n");
    free(text);
    cr_assert_eq(grd_module_print(NULL, model), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_print: an argument is NULL");
    cr_assert_eq(grd_module_print(stdout, NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_print: an argument is NULL");
    out = fopen("/dev/full", "w");
    setvbuf(out, NULL, _IONBF, 0);
    cr_assert_eq(grd_module_print(out, model), GRD_ERROR_IO);
    expect_error(GRD_ERROR_IO, "module_print: the stream does not take more");
    fclose(out);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
