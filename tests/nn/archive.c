/* Archives: what is put in comes out, the same values give the same bytes, files go whole or not at
 * all. */
#include "nn/archive.h"

#include "tests/nn/expect.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <stdlib.h>
#include <string.h>

static grd_scope *scope;

static void begin(void)
{
    scratch_begin();
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(archive, .init = begin, .fini = end);

static const grd_shape shapes[] = {
    { 0, { 0 } }, { 1, { 5 } }, { 2, { 3, 4 } }, { 3, { 2, 0, 3 } }
};

static grdi_archive *sample(void)
{
    grdi_archive *a = grdi_archive_create("test", "sample.h5");
    grdi_put_text(a, "format", "a \xc3\xa4 b");
    grdi_put_text(a, "empty", "");
    grdi_put_integer(a, "step", -7);
    for (int dtype = GRD_F32; dtype < GRD_DTYPE_COUNT; dtype++)
        for (int s = 0; s < 4; s++) {
            char path[64];
            snprintf(path, sizeof path, "model/%d.x%d", dtype, s);
            void *data = grdi_put_array(a, path, (grd_dtype)dtype, &shapes[s]);
            memset(data, 1, a->values[a->count - 1].bytes);
        }
    grdi_put_text(a, "model/2.x1/note", "an attribute of a dataset");
    grdi_put_real(a, "optimizer/adam/beta1", 0.9);
    grdi_put_document(a, "config", "{}", 2);
    grdi_put_document(a, "nothing", "", 0);
    return a;
}

static void expect_same(const grdi_value *a, const grdi_value *b)
{
    cr_assert(a && b);
    cr_assert_str_eq(a->path, b->path);
    cr_assert_eq(a->kind, b->kind, "%s", a->path);
    if (a->kind == GRDI_INTEGER)
        cr_assert_eq(a->integer, b->integer);
    if (a->kind == GRDI_REAL)
        cr_assert_eq(a->real, b->real);
    if (a->kind == GRDI_INTEGER || a->kind == GRDI_REAL)
        return;
    cr_assert_eq(a->dtype, b->dtype, "%s", a->path);
    cr_assert_eq(a->bytes, b->bytes, "%s", a->path);
    cr_assert_arr_eq(a->text, b->text, a->bytes, "%s", a->path);
    cr_assert(grdi_shape_equal(&a->shape, &b->shape), "%s", a->path);
}

Test(archive, comes_back_as_it_was)
{
    const grdi_archive *a = sample();
    const grdi_bytes *bytes = grdi_archive_encode(a, 0);
    cr_assert(bytes, "%s", grd_error_message());
    for (int origin = GRDI_OURS; origin <= GRDI_FOREIGN; origin++) {
        const grdi_archive *b =
            grdi_archive_decode("test", "sample.h5", bytes->data, bytes->size, (grdi_origin)origin);
        cr_assert(b, "%s", grd_error_message());
        cr_assert_eq(a->count, b->count);
        for (int i = 0; i < a->count && origin == GRDI_OURS; i++)
            expect_same(&a->values[i], grdi_find(b, a->values[i].path, a->values[i].kind));
    }
}

Test(archive, same_values_give_same_bytes)
{
    const grdi_bytes *first = grdi_archive_encode(sample(), 16);
    char *dirt = malloc(1 << 20); /* so that unset memory would show */
    memset(dirt, 0x5a, 1 << 20);
    free(dirt);
    const grdi_bytes *second = grdi_archive_encode(sample(), 16);
    cr_assert(first && second && first->size == second->size);
    cr_assert_arr_eq(first->data + 16, second->data + 16, first->size - 16);
}

Test(archive, tensors_go_in_and_out)
{
    grdi_archive *a = grdi_archive_create("test", "sample.h5");
    const float values[] = { 1, 2, 3, 4, 5, 6 };
    grd_tensor *x = grd_transpose(grd_from_f32(values, 6, GRD_SHAPE(2, 3)), 0, 1);
    cr_assert(grdi_put_tensor(a, "x", x));
    const grd_tensor *y = grdi_value_tensor(a, grdi_find(a, "x", GRDI_ARRAY));
    float out[6];
    cr_assert_eq(grd_read_f32(y, out, 6), GRD_OK, "%s", grd_error_message());
    cr_assert_arr_eq(out, ((float[]){ 1, 4, 2, 5, 3, 6 }), sizeof out);
}

Test(archive, missing_names_are_told)
{
    const grdi_archive *a = sample();
    cr_assert_null(grdi_get(a, "optimizer/adam/beta2", GRDI_REAL));
    cr_assert_str_eq(grd_error_message(),
                     "test: sample.h5: holds no real value optimizer/adam/beta2");
    cr_assert_eq(grd_error_take(), GRD_ERROR_FORMAT);
}

Test(archive, files_are_written_and_read)
{
    grdi_archive *a = grdi_archive_create("test", scratch_path("result.h5"));
    grdi_put_integer(a, "answer", 42);
    cr_assert(grdi_archive_write(a), "%s", grd_error_message());
    const grdi_archive *b = grdi_archive_read("test", scratch_path("result.h5"));
    cr_assert_eq(grdi_get(b, "answer", GRDI_INTEGER)->integer, 42);
    cr_assert_not(grdi_archive_write(NULL));
}

Test(archive, a_path_that_is_taken_is_told)
{
    grdi_archive *a = grdi_archive_create("test", "sample.h5");
    grdi_put_array(a, "x", GRD_F32, &shapes[1]);
    grdi_put_array(a, "x", GRD_F32, &shapes[1]);
    cr_assert_null(grdi_archive_encode(a, 0));
    expect_error(GRD_ERROR_IO, "test: sample.h5: libhdf5 cannot write x");
    a = grdi_archive_create("test", "sample.h5");
    grdi_put_array(a, "x", GRD_F32, &shapes[1]);
    grdi_put_array(a, "x/y/z", GRD_F32, &shapes[1]);
    cr_assert_null(grdi_archive_encode(a, 0));
    expect_error(GRD_ERROR_IO, "test: sample.h5: libhdf5 cannot write x/y/z");
}
