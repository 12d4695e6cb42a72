/* Along rows: sums up to each element, and the largest in order. */
#include "tensor/front.h"
#include "tests/cuda/twins.h"

#include <criterion/criterion.h>

static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16, GRD_I64, GRD_BOOL };
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

typedef struct along {
    int64_t dim, k;
    bool reverse;
} along;

/* As long as a warp has threads, ragged, and longer than a block sees at a time. */
static const grd_shape shapes[] = {
    { 1, { 1 } },     { 2, { 14, 3 } }, { 2, { 0, 5 } },      { 2, { 5, 0 } },
    { 2, { 2, 32 } }, { 1, { 2500 } },  { 3, { 3, 21, 10 } },
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static grd_tensor *added_up(const grd_tensor *const x[], const void *user)
{
    const along *a = user;
    return grdi_cumsum(x[0], a->dim, a->reverse);
}

static grd_tensor *numbers(grd_rng *rng, grd_shape shape, grd_dtype dtype, bool rare)
{
    if (dtype == GRD_I64)
        return grd_randint(rng, INT64_MIN, INT64_MAX, shape);
    return rare ? wild(rng, shape, dtype) : grd_cast(grd_randn(rng, shape), dtype);
}

/* Both add in f64 and round once, but not in the same order. */
static void expect_added_up(grd_dtype dtype, grd_shape shape, bool rare)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = numbers(grd_rng_create(5), shape, dtype, rare);
    for (int64_t dim = 0; dim < shape.rank; dim++)
        for (int reverse = 0; reverse < 2; reverse++) {
            const along a = { .dim = dim, .reverse = reverse };
            const twins t = { "cumsum", added_up, &a, dtype == GRD_F64 ? 64 : 2 };
            expect_twins_seen(&t, GRD_LIST(x));
        }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(cuda_order, sums_are_the_same_on_both)
{
    need_gpu();
    for (int d = 0; d < DTYPES; d++)
        for (int s = 0; s < SHAPES; s++) {
            expect_added_up(dtypes[d], shapes[s], true);
            expect_added_up(dtypes[d], shapes[s], false);
        }
}

static grd_tensor *largest(const grd_tensor *const x[], const void *user)
{
    const along *a = user;
    return grd_topk(x[0], a->k, a->dim).values;
}

static grd_tensor *places(const grd_tensor *const x[], const void *user)
{
    const along *a = user;
    return grd_topk(x[0], a->k, a->dim).indices;
}

static void expect_largest(const grd_tensor *x, int64_t dim, int64_t k)
{
    const along a = { .dim = dim, .k = k };
    expect_twins(&(twins){ "topk", largest, &a, 0 }, GRD_LIST(x));
    expect_twins(&(twins){ "topk's indices", places, &a, 0 }, GRD_LIST(x));
}

static void expect_all_largest(const grd_tensor *x)
{
    const grd_shape shape = grd_tensor_shape(x);
    for (int64_t dim = 0; dim < shape.rank; dim++) {
        const int64_t n = shape.size[dim], ks[] = { n / 3, 0, 1, n };
        for (int i = 0; i < (n > 1000 ? 1 : 4); i++) /* emulated, long rows take long */
            if (ks[i] <= n)
                expect_largest(x, dim, ks[i]);
    }
}

/* With many equal numbers, NaN, infinities and zeros of both signs; whole numbers that f64 would
 * round. */
Test(cuda_order, the_largest_are_the_same_on_both)
{
    need_gpu();
    for (int d = 0; d < DTYPES; d++)
        for (int s = 0; s < SHAPES; s++) {
            grd_scope *scope = grd_scope_begin();
            const grd_tensor *x = numbers(grd_rng_create(6), shapes[s], dtypes[d], true);
            expect_all_largest(x);
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
        }
}

/* More rows than there are blocks. */
Test(cuda_order, many_rows_are_the_same_on_both)
{
    need_gpu();
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = wild(grd_rng_create(7), GRD_SHAPE(140, 5), GRD_F32);
    const along sums = { .dim = 1 };
    expect_largest(x, 1, 2);
    expect_twins(&(twins){ "cumsum", added_up, &sums, 2 }, GRD_LIST(x));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* All are equal: the first come first. */
Test(cuda_order, equal_ones_keep_their_order)
{
    int64_t found[2000];
    need_gpu();
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cuda(0) });
    const grd_tensor *x = grd_full(GRD_SHAPE(6000), -2);
    cr_assert_eq(grd_read_i64(grd_topk(x, 2000, 0).indices, found, 2000), GRD_OK);
    for (int64_t i = 0; i < 2000; i++)
        cr_assert_eq(found[i], i);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
