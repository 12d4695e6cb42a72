#include <gradus/gradus.h>

#include <criterion/criterion.h>
#include <string.h>

Test(tensor, names_are_copied_and_shown)
{
    grd_scope *scope = grd_scope_begin();
    char name[] = "query";
    grd_tensor *x = grd_ones(GRD_SHAPE(2, 3));
    cr_assert_null(grd_tensor_name(x));
    cr_assert_eq(grd_tensor_set_name(x, name), x);
    name[0] = '?';
    cr_assert_str_eq(grd_tensor_name(x), "query");
    cr_assert_null(grd_tensor_name(grd_transpose(x, 0, 1)), "a view is another tensor");
    cr_assert_null(grd_matmul(x, x));
    cr_assert(strstr(grd_error_message(), "a is query [2, 3], b is query [2, 3]"), "%s",
              grd_error_message());
    cr_assert_null(grd_tensor_set_name(x, "latched"));
    cr_assert_eq(grd_error_take(), GRD_ERROR_SHAPE);

    cr_assert_eq(grd_tensor_set_name(x, "key"), x);
    cr_assert_str_eq(grd_tensor_name(x), "key");
    cr_assert_eq(grd_tensor_set_name(x, NULL), x);
    cr_assert_null(grd_tensor_name(x));
    cr_assert_null(grd_tensor_name(NULL));

    char endless[1000];
    memset(endless, 'e', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    cr_assert_eq(grd_tensor_set_name(x, endless), x);
    cr_assert_null(grd_select(x, 0, 2));
    cr_assert(strstr(grd_error_message(), "eee [2, 3]"), "%s", grd_error_message());
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_ARGUMENT);
}

Test(tensor, contiguous)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x = grd_ones(GRD_SHAPE(2, 3));
    cr_assert(grd_tensor_is_contiguous(x));
    cr_assert_not(grd_tensor_is_contiguous(grd_transpose(x, 0, 1)));
    cr_assert(grd_tensor_is_contiguous(grd_contiguous(grd_transpose(x, 0, 1))));
    cr_assert(grd_tensor_is_contiguous(grd_transpose(grd_ones(GRD_SHAPE(1, 3)), 0, 1)));
    cr_assert_not(grd_tensor_is_contiguous(grd_slice(x, 1, 0, 2, 1)));
    cr_assert(grd_tensor_is_contiguous(grd_slice(x, 0, 1, 2, 1)));
    cr_assert(grd_tensor_is_contiguous(grd_transpose(grd_ones(GRD_SHAPE(0, 3)), 0, 1)));
    cr_assert_not(grd_tensor_is_contiguous(NULL));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* A write through a view is seen through all; through a copy it is not. */
Test(tensor, views_share_memory)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_zeros(GRD_SHAPE(2, 6));
    grd_tensor *parts[2];
    cr_assert_eq(grd_chunk(x, 2, 1, parts), GRD_OK);
    grd_fill_(grd_view(grd_unsqueeze(grd_select(parts[1], 0, -1), 0), GRD_SHAPE(-1)), 5);
    grd_fill_(grd_clone(x), 7);
    grd_fill_(grd_reshape(grd_transpose(x, 0, 1), GRD_SHAPE(-1)), 8);
    cr_assert_eq(grd_item_at(x, GRD_DIMS(1, 3)), 5);
    cr_assert_eq(grd_item(grd_sum(x)), 15);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
