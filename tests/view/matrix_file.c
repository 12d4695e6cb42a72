/* grd_view_matrix: what it refuses, and what it leaves behind when something fails. What stands in
 * the files is read by other programs' eyes in images.py. */
#include "nn/files.h"
#include "tests/counter.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <gradus/gradus.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static grd_scope *scope;
static char folder[] = "/tmp/gradus-test-XXXXXX";
static char png[64], svg[64], csv[64];

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(png, sizeof png, "%s/a.png", folder);
    snprintf(svg, sizeof svg, "%s/a.svg", folder);
    snprintf(csv, sizeof csv, "%s/a.csv", folder);
}

static void begin(void)
{
    scope = grd_scope_begin();
    make_folder();
}

/* The folder can only be removed when nothing is left in it, temporaries included. */
static void remove_folder(void)
{
    unlink(png);
    unlink(svg);
    unlink(csv);
    cr_assert_eq(rmdir(folder), 0, "%s", strerror(errno));
}

static void end(void)
{
    remove_folder();
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(matrix_file, .init = begin, .fini = end);

static void expect_error(grd_status status, grd_status expected, const char *words)
{
    cr_assert_eq(status, expected, "%d: %s", status, grd_error_message());
    cr_assert_eq(grd_error_take(), expected);
    cr_assert(strstr(grd_error_message(), words), "%s", grd_error_message());
}

Test(matrix_file, bad_input_is_named)
{
    const grd_tensor *x = grd_zeros(GRD_SHAPE(2, 3));
    const struct {
        const char *path;
        const grd_tensor *matrix;
        grd_matrix_options options;
        grd_status status;
        const char *words;
    } cases[] = {
        { NULL, x, { 0 }, GRD_ERROR_ARGUMENT, "view_matrix" },
        { png, NULL, { 0 }, GRD_ERROR_ARGUMENT, "view_matrix" },
        { "a.txt",
          x,
          { 0 },
          GRD_ERROR_ARGUMENT,
          "a.txt: expected a path that ends in .png, .svg or .csv" },
        { "png", x, { 0 }, GRD_ERROR_ARGUMENT, "expected a path that ends in" },
        { png,
          grd_zeros(GRD_SHAPE(3)),
          { 0 },
          GRD_ERROR_SHAPE,
          "matrix is [3], expected (rows, columns)" },
        { png,
          grd_zeros(GRD_SHAPE(1, 1, 1, 2, 3)),
          { 0 },
          GRD_ERROR_SHAPE,
          "matrix is [1, 1, 1, 2, 3], expected" },
        { png, x, { .attend = x }, GRD_ERROR_DTYPE, "attend is f32, expected bool" },
        { png,
          x,
          { .attend = grd_cast(grd_zeros(GRD_SHAPE(3, 3)), GRD_BOOL) },
          GRD_ERROR_SHAPE,
          "attend is [3, 3], which does not broadcast to [2, 3]" },
        { png,
          x,
          { .attend = grd_cast(grd_zeros(GRD_SHAPE(1, 2, 3)), GRD_BOOL) },
          GRD_ERROR_SHAPE,
          "attend is [1, 2, 3], which does not broadcast to [2, 3]" },
        { png, x, { .low = 2, .high = 1 }, GRD_ERROR_ARGUMENT, "low is 2, high is 1" },
        { png, x, { .high = NAN }, GRD_ERROR_ARGUMENT, "expected finite numbers" },
        { png, x, { .low = -INFINITY }, GRD_ERROR_ARGUMENT, "expected finite numbers" },
        { png, x, { .cell = -1 }, GRD_ERROR_ARGUMENT, "cell is -1, expected 0 or more" },
        { png, x, { .width = -7 }, GRD_ERROR_ARGUMENT, "width is -7, expected 0 or more" },
        { png, x, { .cell = 4000 }, GRD_ERROR_SHAPE, "at most 8192 x 8192 are drawn" },
        { png, x, { .cell = INT64_MAX }, GRD_ERROR_SHAPE, "at most 8192 x 8192 are drawn" },
        { svg, grd_zeros(GRD_SHAPE(8193, 1)), { 0 }, GRD_ERROR_SHAPE, "(select a part, choose" },
        { "/missing/a.png", x, { 0 }, GRD_ERROR_IO, "/missing/a.png: cannot" },
        { folder, x, { 0 }, GRD_ERROR_ARGUMENT, "expected a path that ends in" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_error(grd_view_matrix(cases[i].path, cases[i].matrix, &cases[i].options),
                     cases[i].status, cases[i].words);
    cr_assert_eq(grd_view_matrix(csv, grd_zeros(GRD_SHAPE(8193, 1)), NULL), GRD_OK);
}

Test(matrix_file, nothing_is_written_while_an_error_is_latched)
{
    cr_assert_null(grd_select(grd_zeros(GRD_SHAPE(2, 3)), 7, 0));
    cr_assert_neq(grd_view_matrix(png, grd_zeros(GRD_SHAPE(2, 3)), NULL), GRD_OK);
    cr_assert_neq(grd_error_take(), GRD_OK);
    cr_assert_neq(access(png, F_OK), 0);
}

static const grdi_bytes *content(const char *path)
{
    grdi_bytes *bytes = grdi_file_read("test", path, 1 << 26);
    cr_assert(bytes, "%s", grd_error_message());
    return bytes;
}

static ssize_t full(int file, const void *data, size_t size)
{
    (void)file;
    (void)data;
    (void)size;
    errno = ENOSPC;
    return -1;
}

Test(matrix_file, a_full_disk_leaves_the_old_file)
{
    const char *const paths[] = { png, svg, csv };
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(grd_view_matrix(paths[i], grd_ones(GRD_SHAPE(2, 3)), NULL), GRD_OK);
        const grdi_bytes *old = content(paths[i]);
        const grdi_system sound = grdi_system_calls;
        grdi_system_calls.write = full;
        expect_error(grd_view_matrix(paths[i], grd_zeros(GRD_SHAPE(3, 3)), NULL), GRD_ERROR_IO,
                     "No space left on device");
        grdi_system_calls = sound;
        const grdi_bytes *now = content(paths[i]);
        cr_assert(now->size == old->size && memcmp(now->data, old->data, old->size) == 0);
    }
}

Test(matrix_file, sizes_from_none_to_many)
{
    const int64_t sizes[][2] = { { 0, 0 },    { 0, 3 },    { 3, 0 },    { 1, 1 },
                                 { 4096, 1 }, { 1, 4096 }, { 200, 200 } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const grd_tensor *x = grd_full(GRD_SHAPE(sizes[i][0], sizes[i][1]), 0.5);
        cr_assert_eq(grd_view_matrix(png, x, NULL), GRD_OK, "%s", grd_error_message());
        cr_assert_eq(grd_view_matrix(svg, x, NULL), GRD_OK, "%s", grd_error_message());
    }
    cr_assert_eq(grd_view_matrix(csv, grd_zeros(GRD_SHAPE(0, 3)), NULL), GRD_OK);
    cr_assert_eq(content(csv)->size, 0);
    cr_assert_eq(grd_view_matrix(png, grd_zeros(GRD_SHAPE(0, 5, 2, 2)), NULL), GRD_OK);
    cr_assert_eq(grd_view_matrix(svg, grd_zeros(GRD_SHAPE(2, 0, 2, 2)), NULL), GRD_OK);
}

/* Making a picture records nothing, changes nothing and leaves the thread's language. */
Test(matrix_file, all_is_as_before)
{
    const double values[] = { 1, NAN, -2, 0.25 };
    grd_tensor *x = grd_from_f64(values, 4, GRD_SHAPE(2, 2));
    cr_assert_eq(grd_require_grad(x), x);
    const locale_t before = uselocale((locale_t)0);
    const bool seen[] = { true, false, true, true };
    const grd_matrix_options options = { .attend = grd_from_bool(seen, 4, GRD_SHAPE(2, 2)) };
    cr_assert_eq(grd_view_matrix(png, grd_transpose(x, 0, 1), &options), GRD_OK);
    cr_assert_eq(uselocale((locale_t)0), before);
    double now[4];
    cr_assert_eq(grd_read_f64(x, now, 4), GRD_OK);
    cr_assert_eq(memcmp(now, values, sizeof now), 0);
    cr_assert_null(grd_tensor_grad(x));
    const grdi_bytes *once = content(png);
    cr_assert_eq(grd_view_matrix(png, grd_transpose(x, 0, 1), &options), GRD_OK);
    const grdi_bytes *again = content(png);
    cr_assert(again->size == once->size && memcmp(again->data, once->data, once->size) == 0);
}

static const char *file; /* of the test below */
static int64_t side;

static grd_status write_with_all_options(void)
{
    static const char *const labels[] = { "a", "<b>", "=c" };
    grd_scope *inner = grd_scope_begin();
    const grd_tensor *x = grd_cast(grd_ones(GRD_SHAPE(side, side)), GRD_F16);
    const grd_matrix_options options = { .title = "title",
                                         .row_labels = side == 3 ? labels : NULL,
                                         .column_labels = side == 3 ? labels : NULL,
                                         .attend = grd_cast(x, GRD_BOOL) };
    const grd_status status = grd_view_matrix(file, x, &options);
    unlink(file);
    const grd_status end = grd_scope_end(inner);
    return status ? status : end;
}

Test(matrix_file_memory, runs_out_at_every_allocation)
{
    make_folder();
    const char *const files[] = { png, svg, csv, svg };
    for (int i = 0; i < 4; i++) {
        file = files[i];
        side = i == 3 ? 130 : 3; /* the last is an image in a picture */
        fail_at_every_allocation(write_with_all_options, 8);
    }
    remove_folder();
}
