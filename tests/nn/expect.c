#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void expect_error(grd_status status, const char *text)
{
    const char *message = grd_error_message();
    cr_assert_eq(grd_error_take(), status, "%s (wanted: %s)", message, text);
    cr_assert(strstr(message, text), "%s (wanted: %s)", message, text);
}

void expect_close(const grd_tensor *a, const grd_tensor *b, double allowed)
{
    const int64_t count = grd_tensor_count(a);
    cr_assert(a && b, "%s", grd_error_message());
    cr_assert_eq(grd_tensor_rank(a), grd_tensor_rank(b));
    for (int64_t d = 0; d < grd_tensor_rank(a); d++)
        cr_assert_eq(grd_tensor_size(a, d), grd_tensor_size(b, d), "size %d", (int)d);
    double *x = malloc((size_t)count * sizeof *x), *y = malloc((size_t)count * sizeof *y);
    cr_assert_eq(grd_read_f64(a, x, count), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_read_f64(b, y, count), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < count; i++)
        cr_assert(fabs(x[i] - y[i]) <= allowed, "[%d]: %.17g, not %.17g", (int)i, x[i], y[i]);
    free(x);
    free(y);
}
