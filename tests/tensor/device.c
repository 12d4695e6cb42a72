/* Devices by name, and the one of scopes that name none. */
#include "tensor/front.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Before a scope was ever begun. */
static void begin(const char *variable)
{
    setenv("GRADUS_CUDA_DRIVER", "/nonexistent/libcuda.so", true);
    if (variable)
        setenv("GRADUS_DEVICE", variable, true);
    else
        unsetenv("GRADUS_DEVICE");
}

Test(device, is_known_by_name)
{
    begin(NULL);
    cr_assert_eq(grd_device_named("cpu"), grd_cpu());
    static const char *const wrong[] = { "",       "tpu",     "CPU",     "cuda:",
                                         "cuda:x", "cuda:1x", "cuda:-1", "cuda:12345" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[80];
        snprintf(text, sizeof text, "device_named: \"%s\" is not cpu, cuda or cuda:N", wrong[i]);
        cr_assert_null(grd_device_named(wrong[i]));
        expect_error(GRD_ERROR_ARGUMENT, text);
    }
    cr_assert_null(grd_device_named("cuda"));
    expect_error(GRD_ERROR_DEVICE, "cuda: GPU 0 is out of reach: ");
    cr_assert_null(grd_device_named("cuda:3"));
    expect_error(GRD_ERROR_DEVICE, "cuda: GPU 3 is out of reach: ");
    cr_assert_null(grd_device_named(NULL));
    expect_error(GRD_ERROR_ARGUMENT, "device_named: an argument is NULL");
}

Test(device, the_processor_has_no_tf32)
{
    begin(NULL);
    grd_device_allow_tf32(grd_cpu(), false);
    expect_error(GRD_ERROR_UNSUPPORTED,
                 "device_allow_tf32: cpu has no TF32: it is for GPUs (grd_cuda)");
    grd_device_allow_tf32(NULL, true);
    expect_error(GRD_ERROR_ARGUMENT, "device_allow_tf32: an argument is NULL");
}

static void expect_cpu(const char *variable)
{
    begin(variable);
    grd_scope *scope = grd_scope_begin();
    cr_assert_eq(grd_tensor_device(grd_ones(GRD_SCALAR)), grd_cpu());
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(device, is_the_processor_where_nothing_is_said)
{
    expect_cpu(NULL);
}

Test(device, is_the_processor_where_nothing_stands)
{
    expect_cpu("");
}

Test(device, is_the_processor_where_that_is_said)
{
    expect_cpu("cpu");
}

/* Nothing is computed elsewhere instead, in this scope and the next. */
Test(device, a_variable_that_names_none_is_an_error)
{
    begin("tpu");
    for (int i = 0; i < 2; i++) {
        grd_scope *scope = grd_scope_begin();
        cr_assert_null(grd_ones(GRD_SCALAR));
        cr_assert_eq(grd_scope_end(scope), GRD_ERROR_ARGUMENT);
        expect_error(GRD_ERROR_ARGUMENT, "GRADUS_DEVICE: \"tpu\" is not cpu, cuda or cuda:N");
    }
}

Test(device, a_variable_that_is_out_of_reach_is_an_error)
{
    begin("cuda");
    grd_scope *scope = grd_scope_begin();
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_DEVICE);
    expect_error(GRD_ERROR_DEVICE, "cuda: GPU 0 is out of reach: ");
}
