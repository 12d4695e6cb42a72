#include <gradus/gradus.h>

#include <criterion/criterion.h>

static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16, GRD_I64, GRD_BOOL };
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* Larger than the tiles that a copy is made of, and no multiple of them. */
Test(view, turned_copies_are_exact)
{
    enum { A = 3, B = 70, C = 131 };
    grd_scope *scope = grd_scope_begin();
    static int64_t values[A * B * C], turned[C * A * B];
    for (int64_t i = 0; i < A * B * C; i++)
        values[i] = i % 253 == 0 || i % 7 == 3;
    for (int64_t i = 0; i < C * A * B; i++)
        turned[i] = values[i % (A * B) * C + i / (A * B)];
    const grd_tensor *x = grd_from_i64(values, A * B * C, GRD_SHAPE(A, B, C));
    const grd_tensor *expected = grd_from_i64(turned, C * A * B, GRD_SHAPE(C, A, B));
    for (int threads = 1; threads <= 4; threads++) {
        grd_device_set_threads(grd_cpu(), threads);
        for (int t = 0; t < DTYPES; t++) {
            const grd_tensor *y = grd_permute(grd_cast(x, dtypes[t]), GRD_DIMS(2, 0, 1));
            cr_assert(grd_equal(grd_contiguous(y), grd_cast(expected, dtypes[t])), "dtype %d", t);
            y = grd_slice(grd_slice(y, 0, 1, GRD_END, 2), 2, 3, GRD_END, 1);
            const grd_tensor *part =
                grd_slice(grd_slice(expected, 0, 1, GRD_END, 2), 2, 3, GRD_END, 1);
            cr_assert(grd_equal(grd_contiguous(y), grd_cast(part, dtypes[t])), "dtype %d", t);
        }
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(view, filled_in_every_dtype)
{
    grd_scope *scope = grd_scope_begin();
    for (int t = 0; t < DTYPES; t++) {
        grd_tensor *x = grd_cast(grd_zeros(GRD_SHAPE(5, 9)), dtypes[t]);
        grd_fill_(grd_slice(x, 1, 2, 8, 1), 1);
        cr_assert_eq(grd_item(grd_sum(grd_cast(x, GRD_F64))), 30);
        grd_fill_(grd_slice(x, 0, 0, 5, 2), 0);
        cr_assert_eq(grd_item(grd_sum(grd_cast(x, GRD_F64))), 12);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
