/* Products by cuBLASLt, an emulated one: that it is used, with what it is asked for, and what takes
 * over where it fails. That all shapes and strides are described rightly is cuda_matmul's to say,
 * which runs with the library too. */
#include "tensor/cuda/products.h"
#include "tensor/cuda/cublas.h"
#include "tests/cuda/cublas.h"
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <gradus/error.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cuda_products, .fini = end_sides);

typedef struct library {
    long (*products)(void), (*heuristics)(void), (*descriptors)(void);
    int (*computed_in)(void);
    void (*fail)(long after, int status), (*least_rows)(long rows);
} library;

static void find(void *function, void *file, const char *name)
{
    void *symbol = dlsym(file, name);
    cr_assert(symbol, "%s", name);
    memcpy(function, &symbol, sizeof symbol);
}

static library need_library(void)
{
    library l;
    const char *named = getenv("GRADUS_CUBLAS");
    void *file = named ? dlopen(named, RTLD_NOW) : NULL;
    if (!file || !dlsym(file, "emulated_products"))
        cr_skip_test("GRADUS_CUBLAS names no emulated cuBLASLt");
    find(&l.products, file, "emulated_products");
    find(&l.heuristics, file, "emulated_heuristics");
    find(&l.descriptors, file, "emulated_descriptors");
    find(&l.computed_in, file, "emulated_computed_in");
    find(&l.fail, file, "emulated_cublas_fail");
    find(&l.least_rows, file, "emulated_cublas_least_rows");
    return l;
}

typedef struct matrices {
    sided *y, *a, *b, *bias;
} matrices;

static matrices make(grd_dtype dtype, int64_t m, int64_t k, int64_t n, int64_t skip)
{
    const grdi_dim a[] = { { m, k }, { k, 1 } }, b[] = { { k, n }, { n, 1 } };
    return (matrices){ .y = make_contiguous(dtype, 2, (int64_t[]){ m, n }),
                       .a = make_sided(dtype, 2, a, skip),
                       .b = make_sided(dtype, 2, b, 0),
                       .bias = make_contiguous(dtype, 1, &n) };
}

static void compare(const matrices *in, grd_dtype dtype)
{
    RUN_SIDES(matmul, on(in->y), on(in->a), on(in->b), on(in->bias));
    expect_sides_same(in->y, allowed_in(dtype), "matmul");
}

Test(cuda_products, one_algorithm_for_each_shape)
{
    const library l = need_library();
    const matrices in = make(GRD_F32, 9, 8, 7, 0), apart = make(GRD_F32, 9, 8, 7, 1);
    for (int i = 0; i < 3; i++)
        compare(&in, GRD_F32);
    cr_assert_eq(l.products(), 3);
    cr_assert_eq(l.heuristics(), 1);
    cr_assert_eq(l.descriptors(), 4, "a product and three layouts, not %ld", l.descriptors());
    compare(&apart, GRD_F32);
    cr_assert_eq(l.heuristics(), 2, "another alignment may need another algorithm");
    RUN_SIDES(matmul, on(in.y), on(in.a), on(in.b), NULL);
    expect_sides_same(in.y, 3e-6, "matmul");
    cr_assert_eq(l.heuristics(), 3, "and so may no bias");
}

Test(cuda_products, tf32_only_when_it_is_asked_for)
{
    const library l = need_library();
    const matrices in = make(GRD_F32, 9, 8, 7, 0), wide = make(GRD_F64, 9, 8, 7, 0);
    compare(&in, GRD_F32);
    cr_assert_eq(l.computed_in(), GRDI_CUBLAS_IN_F32);
    cr_assert_eq(grd_device_allow_tf32(side(GPU), true), GRD_OK, "%s", grd_error_message());
    compare(&in, GRD_F32);
    cr_assert_eq(l.computed_in(), GRDI_CUBLAS_IN_TF32);
    compare(&wide, GRD_F64);
    cr_assert_eq(l.computed_in(), GRDI_CUBLAS_IN_F64);
    cr_assert_eq(grd_device_allow_tf32(side(GPU), false), GRD_OK, "%s", grd_error_message());
    compare(&in, GRD_F32);
    cr_assert_eq(l.computed_in(), GRDI_CUBLAS_IN_F32);
}

Test(cuda_products, where_there_is_no_algorithm_our_kernel_takes_over)
{
    const library l = need_library();
    const matrices in = make(GRD_BF16, 9, 8, 7, 0), large = make(GRD_BF16, 20, 8, 7, 0);
    l.least_rows(15);
    compare(&in, GRD_BF16);
    compare(&in, GRD_BF16);
    cr_assert_eq(l.products(), 0);
    cr_assert_eq(l.heuristics(), 1, "the answer is kept");
    compare(&large, GRD_BF16);
    cr_assert_eq(l.products(), 1);
}

/* A new shape each time: each of its calls fails in turn, until none is left to fail. */
Test(cuda_products, whatever_call_fails_the_product_is_right)
{
    const library l = need_library();
    const matrices first = make(GRD_F32, 9, 8, 7, 0);
    long n = 0, before = 0;
    compare(&first, GRD_F32);
    do {
        const matrices in = make(GRD_F32, 9, 8, 30 + ++n, 0);
        before = l.products();
        l.fail(n, GRDI_CUBLAS_NOT_SUPPORTED);
        compare(&in, GRD_F32);
        l.fail(0, 0);
    } while (l.products() == before && n < 100);
    cr_assert(n > 10 && n < 100, "%ld calls", n);
    const long held = l.descriptors();
    const matrices last = make(GRD_F32, 9, 8, 29, 0);
    compare(&last, GRD_F32);
    cr_assert_eq(l.descriptors(), held + 4);
}

Test(cuda_products, a_library_that_does_not_start_is_none)
{
    const library l = need_library();
    const matrices in = make(GRD_F32, 9, 8, 7, 0);
    l.fail(1, GRDI_CUBLAS_NOT_SUPPORTED);
    compare(&in, GRD_F32);
    compare(&in, GRD_F32);
    cr_assert_eq(l.products(), 0);
    cr_assert_eq(l.descriptors(), 0);
}

Test(cuda_products, a_failure_of_the_gpu_is_an_error)
{
    const library l = need_library();
    matrices in = make(GRD_F32, 9, 8, 7, 0);
    grd_device *gpu = side(GPU);
    compare(&in, GRD_F32);
    l.fail(2, GRDI_CUBLAS_EXECUTION_FAILED); /* the bias, and then the product */
    const grd_status status = gpu->kernels->matmul(gpu, &in.y->on[GPU], &in.a->on[GPU],
                                                   &in.b->on[GPU], &in.bias->on[GPU]);
    cr_assert_eq(status, GRD_ERROR_DEVICE);
    cr_assert_str_eq(grd_error_message(), "cuda: cuda:0: cublasLtMatmul fails with status 13");
    grd_error_take();
}

/* [2, 3] matrices, of which a repeats along the first dimension and b along the second. */
Test(cuda_products, a_batch_that_is_not_evenly_spaced)
{
    const library l = need_library();
    const grdi_dim a[] = { { 2, 0 }, { 3, 72 }, { 9, 8 }, { 8, 1 } };
    const grdi_dim b[] = { { 2, 56 }, { 3, 0 }, { 8, 7 }, { 7, 1 } };
    matrices in = { .y = make_contiguous(GRD_F32, 4, (int64_t[]){ 2, 3, 9, 7 }),
                    .a = make_sided(GRD_F32, 4, a, 0),
                    .b = make_sided(GRD_F32, 4, b, 0) };
    RUN_SIDES(matmul, on(in.y), on(in.a), on(in.b), NULL);
    expect_sides_same(in.y, 3e-6, "matmul");
    cr_assert_eq(l.products(), 2, "a call for each of the first dimension, not %ld", l.products());
}

/* Far more shapes than are remembered. */
Test(cuda_products, old_shapes_are_forgotten)
{
    const library l = need_library();
    const grdi_dim one[] = { { 1, 1 }, { 1, 1 } };
    grdi_array *b;
    matrices in = { .y = make_contiguous(GRD_F32, 2, (int64_t[]){ 1, 1 }),
                    .a = make_sided(GRD_F32, 2, one, 0),
                    .b = make_sided(GRD_F32, 2, one, 0) };
    b = &in.b->on[GPU];
    for (int64_t stride = 1; stride <= 5000; stride++) {
        b->dim[0].stride = stride;
        cr_assert_eq(side(GPU)->kernels->matmul(side(GPU), &in.y->on[GPU], &in.a->on[GPU], b, NULL),
                     GRD_OK);
    }
    cr_assert_eq(l.products(), 5000);
    cr_assert_eq(l.descriptors(), 4 * (5000 - 4096));
}
