#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_drawn(const grd_tensor *x, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_eq(grd_print_matrix(out, x), GRD_OK, "%s", grd_error_message());
    fclose(out);
    cr_assert_str_eq(text, expected);
    free(text);
}

Test(matrix, darker_is_larger)
{
    const double values[] = { 0, 0.1, 0.5, 1, -1, NAN, 0.3, 0.99 };
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_from_f64(values, 8, GRD_SHAPE(2, 4));
    expect_drawn(x, "|  ··▒▒██|\n|  ??░░██|\n2 x 4, darkest: 1\n");
    expect_drawn(grd_transpose(x, 0, 1), "|    |\n|··??|\n|▒▒░░|\n|████|\n4 x 2, darkest: 1\n");
    expect_drawn(grd_zeros(GRD_SHAPE(1, 2)), "|    |\n1 x 2, darkest: 0\n");
    expect_drawn(grd_zeros(GRD_SHAPE(0, 2)), "0 x 2, darkest: 0\n");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(matrix, bad_input_is_named)
{
    grd_scope *scope = grd_scope_begin();
    cr_assert_eq(grd_print_matrix(stdout, grd_zeros(GRD_SHAPE(2, 2, 2))), GRD_ERROR_SHAPE);
    cr_assert(strstr(grd_error_message(), "print_matrix: wants two dimensions, not 3"));
    grd_error_take();
    cr_assert_eq(grd_print_matrix(NULL, grd_zeros(GRD_SHAPE(2, 2))), GRD_ERROR_ARGUMENT);
    grd_error_take();
    cr_assert_eq(grd_print_matrix(stdout, NULL), GRD_ERROR_ARGUMENT);
    grd_scope_end(scope);
}
