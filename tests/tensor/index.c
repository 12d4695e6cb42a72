#include <gradus/gradus.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16, GRD_I64, GRD_BOOL };
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

static void expect(const grd_tensor *y, const double *expected, int64_t count)
{
    double values[32];
    y = grd_cast(y, GRD_F64);
    cr_assert_eq(grd_read_f64(y, values, count), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < count; i++)
        cr_assert_eq(values[i], expected[i], "%d: %g", (int)i, values[i]);
}

static grd_tensor *indices(const int64_t *values, int64_t count)
{
    return grd_from_i64(values, count, GRD_SHAPE(count));
}

Test(index, every_dtype_is_moved)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *bits =
        grd_from_f32((float[]){ 1, 0, 0, 1, 1, 0, 1, 1, 1 }, 9, GRD_SHAPE(3, 3));
    for (int i = 0; i < DTYPES; i++) {
        const grd_tensor *x = grd_cast(bits, dtypes[i]);
        const grd_tensor *last = indices((int64_t[]){ 2, 2 }, 2);
        const grd_tensor *any = grd_reshape(indices((int64_t[]){ 2, 0, 1 }, 3), GRD_SHAPE(1, 3));
        expect(grd_index_select(x, 0, last), (double[]){ 1, 1, 1, 1, 1, 1 }, 6);
        expect(grd_index_select(x, 1, last), (double[]){ 0, 0, 0, 0, 1, 1 }, 6);
        expect(grd_gather(x, 0, any), (double[]){ 1, 0, 0 }, 3);
        expect(grd_tril(x, 0), (double[]){ 1, 0, 0, 1, 1, 0, 1, 1, 1 }, 9);
        expect(grd_triu(grd_transpose(x, 0, 1), 0), (double[]){ 1, 1, 1, 0, 1, 1, 0, 0, 1 }, 9);
        expect(grd_roll(x, 1, 0), (double[]){ 1, 1, 1, 1, 0, 0, 1, 1, 0 }, 9);
        expect(grd_slice(grd_cat(GRD_LIST(x, x), 0), 0, 2, 4, 1), (double[]){ 1, 1, 1, 1, 0, 0 },
               6);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

/* 256 ones added up in bf16 would stop at 256 + 1 = 256; in f32 they do not. */
Test(index, narrow_types_are_summed_in_f32)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *ones = grd_cast(grd_ones(GRD_SHAPE(400)), GRD_BF16);
    const grd_tensor *zeros = grd_cast(grd_zeros(GRD_SHAPE(1)), GRD_BF16);
    const grd_tensor *index = grd_cast(grd_zeros(GRD_SHAPE(400)), GRD_I64);
    cr_assert_eq(grd_item(grd_scatter_add(zeros, 0, index, ones)), 400);
    grd_tensor *weight = grd_require_grad(grd_cast(grd_ones(GRD_SHAPE(1, 1)), GRD_BF16));
    grd_tensor *dweight;
    const grd_tensor *dy = grd_reshape(ones, GRD_SHAPE(400, 1));
    grd_grad(GRD_LIST(grd_embedding(index, weight)), GRD_LIST(weight),
             &(grd_grad_options){ .gradients = GRD_LIST(dy) }, &dweight);
    cr_assert_eq(grd_item(dweight), 400);
    cr_assert_eq(grd_tensor_dtype(dweight), GRD_BF16);

    const grd_tensor *large = grd_from_i64((int64_t[]){ INT64_MAX - 1 }, 1, GRD_SHAPE(1));
    int64_t sum = 0;
    const grd_tensor *one = grd_from_i64((int64_t[]){ 1 }, 1, GRD_SHAPE(1));
    const grd_tensor *first = grd_from_i64((int64_t[]){ 0 }, 1, GRD_SHAPE(1));
    cr_assert_eq(grd_read_i64(grd_scatter_add(large, 0, first, one), &sum, 1), GRD_OK);
    cr_assert_eq(sum, INT64_MAX, "i64 is exact");
    cr_assert_null(grd_scatter_add(grd_cast(large, GRD_BOOL), 0, first, grd_cast(one, GRD_BOOL)));
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_UNSUPPORTED);
}

enum { ROWS = 3000, SIZE = 100, WIDTH = 200 };

/* The gradients of an embedding and of a gather, as bytes. */
static float *gradients(void)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(8);
    grd_tensor *x = grd_require_grad(grd_randn(rng, GRD_SHAPE(SIZE, WIDTH)));
    const grd_tensor *rows = grd_randint(rng, 0, SIZE, GRD_SHAPE(ROWS));
    const grd_tensor *places = grd_randint(rng, 0, WIDTH, GRD_SHAPE(SIZE, ROWS));
    const grd_tensor *a = grd_mul(grd_embedding(rows, x), grd_randn(rng, GRD_SHAPE(ROWS, WIDTH)));
    const grd_tensor *b = grd_mul(grd_gather(x, 1, places), grd_randn(rng, GRD_SHAPE(SIZE, ROWS)));
    grd_backward(grd_add(grd_sum(a), grd_sum(b)));
    float *values = malloc(SIZE * WIDTH * sizeof *values);
    cr_assert_eq(grd_read_f32(grd_tensor_grad(x), values, SIZE * WIDTH), GRD_OK);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    return values;
}

Test(index, threads_change_no_bit_of_a_sum)
{
    float *first = NULL;
    for (int threads = 1; threads <= 4; threads++) {
        grd_device_set_threads(grd_cpu(), threads);
        float *now = gradients();
        if (first)
            cr_assert_arr_eq(now, first, SIZE * WIDTH * sizeof *now);
        free(first);
        first = now;
    }
    free(first);
}

/* An index that is changed after it was used would send gradients elsewhere. */
Test(index, a_changed_index_is_noticed)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *weight = grd_require_grad(grd_ones(GRD_SHAPE(3, 2)));
    grd_tensor *index = indices((int64_t[]){ 0, 2 }, 2);
    const grd_tensor *loss = grd_sum(grd_embedding(index, weight));
    grd_fill_(index, 1);
    cr_assert_eq(grd_backward(loss), GRD_ERROR_GRAPH);
    cr_assert(strstr(grd_error_message(), "changed in place"), "%s", grd_error_message());
    grd_scope_end(scope);
}
