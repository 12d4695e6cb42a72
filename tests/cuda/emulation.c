/* The emulation itself: a kernel that is right gives the same in every order of its threads, and
 * each mistake of those it is there to find is found. */
#include "tests/cuda/emulated.h"

#include "tensor/cuda/launch.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>

enum { COUNT = 1000, ORDERS = 4, SEEDS = 8 };

static const grdi_cuda_image image = { "planted", (const unsigned char *)"" };

/* Whether the kernel is seen to be wrong: by its result, or by the driver. */
static bool shows(int flaw)
{
    float values[COUNT], result[3];
    double sum = 0;
    for (int i = 0; i < COUNT; i++)
        sum += values[i] = (float)(i % 7);
    grd_device *gpu = grd_cuda(0);
    float *x = gpu->allocate(gpu, sizeof values), *y = gpu->allocate(gpu, sizeof result);
    int count = COUNT;
    gpu->upload(gpu, x, values, sizeof values);
    grd_status status =
        grdi_cuda_launch(gpu, &image, "planted", GRD_F32, (grdi_cuda_size){ 1, 256, 0 },
                         (void *[]){ &y, &x, &count, &flaw });
    if (status == GRD_OK)
        status = gpu->download(gpu, result, y, sizeof result);
    bool wrong = status != GRD_OK;
    for (int i = 0; !wrong && i < 3; i++)
        wrong = !(fabs((double)result[i] - (i + 1) * sum) < 1e-3);
    gpu->free(gpu, x, sizeof values);
    gpu->free(gpu, y, sizeof result);
    grd_error_take();
    return wrong;
}

static bool shows_somewhere(int flaw)
{
    const emulated e = need_emulated();
    for (int order = 0; order < ORDERS; order++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            e.schedule(order, seed);
            if (shows(flaw))
                return true;
        }
    return false;
}

/* The flaws of planted.cu. */
Test(cuda_emulation, what_is_right_is_right_in_every_order)
{
    cr_assert(!shows_somewhere(0));
}

Test(cuda_emulation, a_missing_barrier_before_reading)
{
    cr_assert(shows_somewhere(1));
}

Test(cuda_emulation, a_missing_barrier_before_writing_again)
{
    cr_assert(shows_somewhere(2));
}

Test(cuda_emulation, an_index_beyond_the_end)
{
    cr_assert(shows_somewhere(3));
}

Test(cuda_emulation, a_missing_bounds_check)
{
    cr_assert(shows_somewhere(4));
}

Test(cuda_emulation, a_barrier_that_not_all_meet)
{
    cr_assert(shows_somewhere(5));
}
