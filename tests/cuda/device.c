/* GPUs by name, and as the device of scopes that name none. */
#include "tensor/front.h"
#include "tests/cuda/emulated.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(cuda_device, is_known_by_name)
{
    need_gpu();
    cr_assert_eq(grd_device_named("cuda"), grd_cuda(0));
    cr_assert_eq(grd_device_named("cuda:0"), grd_cuda(0));
    cr_assert_null(grd_device_named("cuda:99"));
    expect_error(GRD_ERROR_DEVICE, "cuda: there is no GPU 99: there ");
}

Test(cuda_device, is_that_of_the_environment)
{
    need_gpu();
    setenv("GRADUS_DEVICE", "cuda", true);
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_add_scalar(grd_ones(GRD_SHAPE(3)), 1);
    cr_assert_eq(grd_tensor_device(x), grd_cuda(0));
    cr_assert_eq(grd_item(grd_sum(x)), 6);
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cpu() });
    cr_assert_eq(grd_tensor_device(grd_ones(GRD_SHAPE(3))), grd_cpu());
    cr_assert_eq(grd_scope_end(inner), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
