/* What the host does with a driver: that it asks for the right things in the right order, and that
 * whatever fails becomes an error and leaves nothing behind. */
#include "tests/cuda/emulated.h"

#include "tensor/cuda/device.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void expect_error(grd_status status, const char *part)
{
    cr_assert(strstr(grd_last_error().message, part), "%s", grd_last_error().message);
    cr_assert_eq(grd_error_take(), status);
}

Test(cuda_host, no_driver)
{
    setenv("GRADUS_CUDA_DRIVER", "/nowhere/libcuda.so", 1);
    cr_assert(!grd_cuda_available());
    cr_assert_null(grd_cuda(0));
    expect_error(GRD_ERROR_DEVICE, "GPU 0 is out of reach: there is no NVIDIA driver (/nowhere");
}

Test(cuda_host, a_library_that_is_no_driver)
{
    setenv("GRADUS_CUDA_DRIVER", "libm.so.6", 1);
    cr_assert_null(grd_cuda(0));
    expect_error(GRD_ERROR_DEVICE, "out of reach: the driver is too old: it has no cuInit");
}

Test(cuda_host, an_old_driver)
{
    need_emulated();
    setenv("EMULATED_VERSION", "11080", 1);
    cr_assert_null(grd_cuda(0));
    expect_error(GRD_ERROR_DEVICE,
                 "the driver is of CUDA 11.8, and 12.0 is the oldest that will do");
}

Test(cuda_host, a_machine_without_a_gpu)
{
    need_emulated();
    setenv("EMULATED_GPUS", "0", 1);
    cr_assert(!grd_cuda_available());
    cr_assert_null(grd_cuda(0));
    expect_error(GRD_ERROR_DEVICE, "GPU 0 is out of reach: the driver finds no GPU");
}

Test(cuda_host, a_gpu_that_there_is_not)
{
    need_emulated();
    cr_assert_null(grd_cuda(2));
    expect_error(GRD_ERROR_DEVICE, "there is no GPU 2: there are 2, from 0 on");
    cr_assert_null(grd_cuda(-1));
    expect_error(GRD_ERROR_DEVICE, "there is no GPU -1");
    cr_assert_eq(grd_cuda(1), grd_cuda(1));
    cr_assert_neq(grd_cuda(0), grd_cuda(1));
}

Test(cuda_host, two_devices_in_one_op)
{
    need_emulated();
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *a = grd_to_device(grd_ones(GRD_SHAPE(3)), grd_cuda(0));
    const grd_tensor *b = grd_to_device(grd_ones(GRD_SHAPE(3)), grd_cuda(1));
    cr_assert_null(grd_add(a, b));
    expect_error(GRD_ERROR_DEVICE, "devices differ: a is on cuda:0, b is on cuda:1");
    cr_assert_null(grd_add(a, grd_ones(GRD_SHAPE(3))));
    expect_error(GRD_ERROR_DEVICE, "devices differ: a is on cuda:0, b is on cpu");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* More than all stages hold; the queue copies only when someone waits, so that a stage which is
 * written again too early shows. */
Test(cuda_host, transfers)
{
    need_emulated();
    enum { COUNT = 3 * 1000 * 1000 };
    grd_scope *scope = grd_scope_begin();
    float *values = malloc(COUNT * sizeof *values), *back = malloc(COUNT * sizeof *back);
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)i;
    grd_tensor *x = grd_from_f32(values, COUNT, GRD_SHAPE(COUNT));
    grd_tensor *y = grd_add(grd_to_device(x, grd_cuda(0)), grd_to_device(x, grd_cuda(0)));
    grd_fill_(x, 0);
    cr_assert_eq(grd_read_f32(y, back, COUNT), GRD_OK, "%s", grd_error_message());
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(back[i], 2 * values[i], "%d: %g", i, (double)back[i]);
    free(values);
    free(back);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* A program that does some of everything; it gives 2. */
static grd_status work(double *result)
{
    grd_scope *scope = grd_scope_begin();
    grd_device *gpu = grd_cuda(0);
    const grd_tensor *one = grd_to_device(grd_ones(GRD_SHAPE(100)), gpu);
    const grd_tensor *x = grd_to_device(grd_full(GRD_SHAPE(100, 3), 2), gpu);
    const grd_tensor *y = grd_add(grd_transpose(grd_exp(grd_sub(x, x)), 0, 1), one);
    *result = grd_item_at(grd_to_device(y, grd_cpu()), GRD_DIMS(2, 99));
    return grd_scope_end(scope);
}

/* Each call of the driver fails in turn, the first ones before there is a device. A failure that is
 * survived must not show in the result. */
static void fail_at_every_call(int result, grd_status expected)
{
    const emulated e = need_emulated();
    /* context, stream, letter, stages with their events */
    const long whole = 3 + 2 * GRDI_CUDA_STAGES;
    long failures = 0;
    bool failed = true; /* the n-th call: there was one */
    for (long n = 1; failed; n++) {
        double value = 0;
        const long before = e.calls();
        e.fail(n, result);
        const grd_status status = work(&value);
        failed = e.calls() - before >= n;
        e.fail(0, 0);
        if (status == GRD_OK) {
            cr_assert_eq(value, 2, "call %ld", n);
        } else {
            failures++;
            cr_assert_eq(grd_error_take(), expected, "call %ld: %s", n, grd_last_error().message);
            cr_assert(e.objects() == 0 || e.objects() == whole, "call %ld leaves %ld objects", n,
                      e.objects());
        }
        grd_memory_trim();
        cr_assert_eq(e.held(), 0, "call %ld leaves %zu bytes", n, e.held());
    }
    cr_assert_gt(failures, 25, "%ld", failures);
}

Test(cuda_host, every_call_fails)
{
    fail_at_every_call(999, GRD_ERROR_DEVICE);
}

Test(cuda_host, every_call_lacks_memory)
{
    fail_at_every_call(2, GRD_ERROR_MEMORY);
}

/* Once a context is lost all that comes after is an error, and the first says why. */
Test(cuda_host, a_lost_context)
{
    const emulated e = need_emulated();
    double value = 0;
    cr_assert_eq(work(&value), GRD_OK);
    e.fail(10, 700);
    cr_assert_eq(work(&value), GRD_ERROR_DEVICE);
    expect_error(GRD_ERROR_DEVICE, "cuda:0 (emulated GPU) is lost: cu");
    cr_assert_eq(work(&value), GRD_ERROR_DEVICE);
    expect_error(GRD_ERROR_DEVICE, "nothing on it can be used any more by this process");
}

/* Memory that is cached for other sizes is given back when the driver has none left. */
Test(cuda_host, memory_runs_out)
{
    const emulated e = need_emulated();
    const int64_t third = 8 << 20;
    grd_device *gpu = grd_cuda(0);
    e.limit(100 << 20);
    for (int i = 1; i <= 4; i++) {
        grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = gpu });
        cr_assert(grd_zeros(GRD_SHAPE(third - i * (1 << 20))));
        cr_assert(grd_zeros(GRD_SHAPE(third - i * (1 << 20))));
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = gpu });
    for (int i = 0; i < 3; i++)
        cr_assert(grd_zeros(GRD_SHAPE(third)));
    cr_assert_null(grd_zeros(GRD_SHAPE(third)));
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_MEMORY);
    expect_error(GRD_ERROR_MEMORY, "cuda:0 has no 32.0 MiB left: 96.0 MiB are held by tensors, and "
                                   "4.0 of 100.0 MiB are free");
    grd_memory_trim();
    cr_assert_eq(e.held(), 0);
}

/* The steps after the first ask the driver for no memory. */
Test(cuda_host, a_steady_step_takes_no_memory)
{
    const emulated e = need_emulated();
    double value = 0;
    work(&value);
    const size_t held = e.held();
    e.limit(held);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(work(&value), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(e.held(), held);
}

static void *work_often(void *failed)
{
    double value;
    for (int i = 0; i < 20; i++)
        if (work(&value) != GRD_OK || value != 2)
            *(int *)failed = 1;
    return NULL;
}

Test(cuda_host, several_threads)
{
    pthread_t thread[4];
    int failed[4] = { 0 };
    need_emulated();
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, work_often, &failed[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        cr_assert(!failed[i]);
    }
}
