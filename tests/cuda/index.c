/* Elements at indices, sums at them, bands, and the first of something. */
#include "tensor/front.h"
#include "tests/cuda/twins.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16, GRD_I64, GRD_BOOL };
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* Rows and how wide they are: in one piece of 16 bytes, ragged, single elements. */
static const int64_t widths[] = { 1, 3, 8, 40, 301 };
enum { WIDTHS = sizeof widths / sizeof widths[0] };

typedef struct along {
    int64_t dim;
} along;

static grd_tensor *selected(const grd_tensor *const x[], const void *user)
{
    return grd_index_select(x[0], ((const along *)user)->dim, x[1]);
}

static grd_tensor *gathered(const grd_tensor *const x[], const void *user)
{
    return grd_gather(x[0], ((const along *)user)->dim, x[1]);
}

static grd_tensor *scattered(const grd_tensor *const x[], const void *user)
{
    return grd_scatter_add(x[0], ((const along *)user)->dim, x[1], x[2]);
}

static grd_tensor *numbers(grd_rng *rng, grd_shape shape, grd_dtype dtype)
{
    return dtype == GRD_I64 ? grd_randint(rng, INT64_MIN / 2, INT64_MAX / 2, shape)
                            : wild(rng, shape, dtype);
}

Test(cuda_index, elements_are_the_same_on_both)
{
    need_gpu();
    for (int d = 0; d < DTYPES; d++)
        for (int w = 0; w < WIDTHS; w++) {
            grd_scope *scope = grd_scope_begin();
            grd_rng *rng = grd_rng_create(2);
            const grd_tensor *x = numbers(rng, GRD_SHAPE(5, 7, widths[w]), dtypes[d]);
            const grd_tensor *row = grd_randint(rng, 0, 7, GRD_SHAPE(130));
            const grd_tensor *none = grd_slice(row, 0, 0, 0, 1);
            const grd_tensor *any = grd_randint(rng, 0, 5, GRD_SHAPE(5, 7, widths[w]));
            const twins select = { "index_select", selected, &(along){ 1 }, 0 };
            const twins gather = { "gather", gathered, &(along){ 1 }, 0 };
            const twins first = { "gather from the first", gathered, &(along){ 0 }, 0 };
            expect_twins(&select, GRD_LIST(x, row));
            expect_twins(&select, GRD_LIST(grd_slice(x, 0, 1, 5, 1), row));
            expect_twins(&select, GRD_LIST(x, none));
            expect_twins(&gather, GRD_LIST(x, any));
            expect_twins(&first, GRD_LIST(x, grd_clamp(any, 0, 4)));
            expect_twins(&gather, GRD_LIST(grd_transpose(x, 0, 2), grd_transpose(any, 0, 2)));
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
        }
}

/* The gradient of an embedding: sums at indices. */
static grd_tensor *embedding_slope(const grd_tensor *const x[], const void *user)
{
    const along *a = user;
    grd_tensor *weight = grd_require_grad(grd_clone(x[0])), *dweight = NULL;
    const grd_tensor *y = grd_index_select(weight, a->dim, x[1]);
    grd_grad(GRD_LIST(y), GRD_LIST(weight), &(grd_grad_options){ .gradients = GRD_LIST(x[2]) },
             &dweight);
    return dweight;
}

/* Sums of numbers of very different sizes: any other order would round otherwise. */
static grd_tensor *uneven(grd_rng *rng, grd_shape shape, grd_dtype dtype)
{
    return grd_cast(grd_pow_scalar(grd_randn(rng, shape), 5), dtype);
}

static void expect_sums(grd_dtype dtype, int64_t size, int64_t n, int64_t width)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create((uint64_t)(n + width));
    /* Half of the indices are one and the same. */
    const grd_tensor *any = grd_randint(rng, -size, size, GRD_SHAPE(n));
    const grd_tensor *index = grd_clamp(any, 0, INFINITY);
    const twins rows = { "index_add", embedding_slope, &(along){ 0 }, 0 };
    const twins columns = { "index_add of columns", embedding_slope, &(along){ 1 }, 0 };
    expect_twins(&rows, GRD_LIST(uneven(rng, GRD_SHAPE(size, width), dtype), index,
                                 uneven(rng, GRD_SHAPE(n, width), dtype)));
    expect_twins(&columns, GRD_LIST(uneven(rng, GRD_SHAPE(3, size, width), dtype), index,
                                    uneven(rng, GRD_SHAPE(3, n, width), dtype)));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* More indices than a block lists at a time, and so many of one target that the list runs full. */
Test(cuda_index, rows_are_added_in_their_order)
{
    need_gpu();
    for (int d = 0; d < 4; d++) {
        expect_sums(dtypes[d], 1, 0, 3);
        expect_sums(dtypes[d], 1, 5, 4);
        expect_sums(dtypes[d], 50, 3000, 1);
        expect_sums(dtypes[d], 50, 513, 600);
        expect_sums(dtypes[d], 3000, 512, 7);
    }
}

static void expect_scattered(grd_dtype dtype, grd_shape shape, grd_shape many, int64_t dim)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(9);
    const int64_t size = shape.size[dim];
    const grd_tensor *index = grd_clamp(grd_randint(rng, -size, size, many), 0, INFINITY);
    const bool is_whole = dtype == GRD_I64;
    const grd_tensor *x = is_whole ? numbers(rng, shape, dtype) : uneven(rng, shape, dtype);
    const grd_tensor *from = is_whole ? numbers(rng, many, dtype) : uneven(rng, many, dtype);
    const twins t = { "scatter_add", scattered, &(along){ dim }, 0 };
    expect_twins(&t, GRD_LIST(x, index, from));
    if (shape.rank == 2) {
        const twins turned = { "scatter_add, transposed", scattered, &(along){ 1 - dim }, 0 };
        expect_twins(&turned, GRD_LIST(grd_transpose(x, 0, 1), grd_transpose(index, 0, 1),
                                       grd_transpose(from, 0, 1)));
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* Few long sequences, which blocks share; many, and short ones, which threads have to themselves.
 */
Test(cuda_index, elements_are_added_in_their_order)
{
    need_gpu();
    for (int d = 0; d < 5; d++) {
        expect_scattered(dtypes[d], GRD_SHAPE(100), GRD_SHAPE(20000), 0);
        expect_scattered(dtypes[d], GRD_SHAPE(1), GRD_SHAPE(700), 0);
        expect_scattered(dtypes[d], GRD_SHAPE(3, 20, 5), GRD_SHAPE(3, 1100, 5), 1);
        expect_scattered(dtypes[d], GRD_SHAPE(70, 9), GRD_SHAPE(65, 9), 0);
        expect_scattered(dtypes[d], GRD_SHAPE(30, 2100), GRD_SHAPE(70, 2100), 0);
        expect_scattered(dtypes[d], GRD_SHAPE(300, 5), GRD_SHAPE(300, 60), 1);
        expect_scattered(dtypes[d], GRD_SHAPE(4, 5), GRD_SHAPE(0, 5), 0);
    }
}

static grd_tensor *one_hot(const grd_tensor *const x[], const void *user)
{
    (void)user;
    return grd_one_hot(x[0], 11);
}

Test(cuda_index, one_hot_is_the_same_on_both)
{
    static const twins t = { "one_hot", one_hot, NULL, 0 };
    need_gpu();
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *index = grd_randint(grd_rng_create(1), 0, 11, GRD_SHAPE(37, 9));
    expect_twins_seen(&t, GRD_LIST(index));
    expect_twins(&t, GRD_LIST(grd_reshape(grd_slice(index, 0, 0, 0, 1), GRD_SHAPE(0))));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

static grd_tensor *lower(const grd_tensor *const x[], const void *user)
{
    return grd_tril(x[0], *(const int *)user);
}

static grd_tensor *upper(const grd_tensor *const x[], const void *user)
{
    return grd_triu(x[0], *(const int *)user);
}

Test(cuda_index, bands_are_the_same_on_both)
{
    static const int diagonals[] = { -400, -2, 0, 1, 400 };
    need_gpu();
    for (int d = 0; d < DTYPES; d++)
        for (int k = 0; k < 5; k++) {
            grd_scope *scope = grd_scope_begin();
            const grd_tensor *x = wild(grd_rng_create(3), GRD_SHAPE(3, 37, 53), dtypes[d]);
            expect_twins_seen(&(twins){ "tril", lower, &diagonals[k], 0 }, GRD_LIST(x));
            expect_twins_seen(&(twins){ "triu", upper, &diagonals[k], 0 }, GRD_LIST(x));
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
        }
}

/* ---- The first of something ---- */

enum { MANY = 70001 };

static void expect_first_wrong(grd_dtype dtype, int64_t first, int64_t second, bool transposed)
{
    static double values[MANY];
    char expected[64];
    grd_scope *scope = grd_scope_begin();
    for (int64_t i = 0; i < MANY; i++)
        values[i] = i == first || i == second ? 9 : (double)(i % 5);
    grd_tensor *x = grd_from_f64(values, MANY, GRD_SHAPE(MANY));
    x = grd_reshape(grd_slice(x, 0, 1, MANY, 1), GRD_SHAPE(35000, 2));
    x = grd_cast(grd_to_device(x, grd_cuda(0)), dtype);
    const grd_tensor *y = grd_one_hot(transposed ? grd_transpose(x, 0, 1) : x, 5);
    cr_assert(y, "%s", grd_error_message());
    cr_assert(isnan(grd_item_at(y, GRD_DIMS(0, 0, 0))));
    first--;
    snprintf(expected, sizeof expected, "index[%ld, %ld] is 9", (long)(first / 2),
             (long)(first % 2));
    if (!transposed)
        cr_assert(strstr(grd_error_message(), expected), "%s: %s", expected, grd_error_message());
    else
        cr_assert(strstr(grd_error_message(), "index[0, 1] is 9"), "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_ARGUMENT);
    grd_error_take();
}

Test(cuda_index, the_first_wrong_index_is_named)
{
    need_gpu();
    expect_first_wrong(GRD_I64, 1, 2, false);
    expect_first_wrong(GRD_I64, 3, 69999, false);
    expect_first_wrong(GRD_I64, 40001, 40002, false);
    expect_first_wrong(GRD_I64, 70000, 70000, false);
    expect_first_wrong(GRD_I64, 2, 3, true);
}

/* p must be in [0, 1]: of every floating dtype, and no NaN. */
Test(cuda_index, what_is_out_of_range_is_found_in_every_dtype)
{
    need_gpu();
    for (int d = 0; d < 4; d++) {
        static const double wrong[] = { NAN, -0.25, 1.25, INFINITY };
        for (int k = 0; k < 4; k++) {
            grd_scope *scope = grd_scope_begin();
            double values[37] = { 0, 1, 0.5 };
            values[17] = wrong[k];
            const grd_tensor *p = grd_cast(grd_from_f64(values, 37, GRD_SHAPE(37)), dtypes[d]);
            const grd_tensor *y = grd_bernoulli(grd_rng_create(1), grd_to_device(p, grd_cuda(0)));
            cr_assert(isnan(grd_item_at(y, GRD_DIMS(0))));
            cr_assert(strstr(grd_error_message(), "p[17] is "), "%s", grd_error_message());
            cr_assert_eq(grd_scope_end(scope), GRD_ERROR_ARGUMENT);
            grd_error_take();
        }
    }
}

static grd_tensor *first_nan(const grd_tensor *const x[], const void *user)
{
    (void)user;
    return grdi_first_nan("first_nan", x[0]);
}

Test(cuda_index, the_first_nan_is_the_same_on_both)
{
    static const twins t = { "first_nan", first_nan, NULL, 0 };
    static double values[MANY];
    need_gpu();
    for (int d = 0; d < DTYPES; d++)
        for (int64_t at = 69999; at >= 0; at = at > 0 ? at / 9 : -1) {
            grd_scope *scope = grd_scope_begin();
            values[at] = dtypes[d] == GRD_I64 || dtypes[d] == GRD_BOOL ? 1 : NAN;
            const grd_tensor *x = grd_from_f64(values, MANY - 1, GRD_SHAPE(1000, 70));
            expect_twins_seen(&t, GRD_LIST(grd_cast(x, dtypes[d])));
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
        }
}
