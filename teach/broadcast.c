#include "teach/lesson.h"

static void tell_both(document *d, const grd_tensor *dy)
{
    put_section(d, "Both sides at once");
    put_text(d, "A column times a row gives a table. Each of the two is stretched along the "
                "other's dimension, so each is summed along it.");
    RUN(grd_tensor *c = grd_unsqueeze(grd_linspace(1, 2, 2), 1));
    RUN(grd_tensor *r = grd_linspace(10, 30, 3));
    RUN(const grd_tensor *z = grd_mul(grd_require_grad(c), grd_require_grad(r)));
    RUN(grd_backward_with(z, &(grd_backward_options){ .gradient = dy }));
    put_formula(d, "dc_i = ∑_j dz_[ij] r_j , dr_j = ∑_i dz_[ij] c_i");
    name_tensor(d, "dc", grd_tensor_grad(c));
    name_tensor(d, "dr", grd_tensor_grad(r));
    put_matrix(d, "dc, of shape `[2, 1]`:", "dc", "c 0 | c 1", NULL);
    put_matrix(d, "dr, of shape `[3]`:", "dr", "r", NULL);
}

static void tell_trap(document *d)
{
    put_section(d, "The trap");
    put_text(d,
             "Predictions of shape `[3]` and targets of shape `[3, 1]` are the same numbers, but "
             "their difference is a table of every pair, and its mean is no loss that anybody "
             "wanted. No error tells: the shapes do broadcast.");
    RUN(const grd_tensor *predicted = grd_linspace(1, 3, 3));
    RUN(const grd_tensor *target = grd_unsqueeze(grd_linspace(1, 3, 3), 1));
    RUN(const grd_tensor *wrong = grd_mean(grd_square(grd_sub(predicted, target))));
    RUN(const grd_tensor *flat = grd_squeeze(target, 1));
    RUN(const grd_tensor *right = grd_mean(grd_square(grd_sub(predicted, flat))));
    name_number(d, "wrong", grd_item(wrong));
    name_number(d, "right", grd_item(right));
    put_text(d, "The predictions are perfect. The first loss is {wrong}, the second {right}.");
}

void tell_broadcast(document *d)
{
    put_text(d, "A bias of three numbers is added to a matrix of two rows. Nobody copied the bias, "
                "but the result is as if it stood in every row. What is its gradient?");
    put_section(d, "Copied forward, summed backward");
    RUN(grd_tensor *x = grd_require_grad(grd_zeros(GRD_SHAPE(2, 3))));
    RUN(grd_tensor *b = grd_require_grad(grd_zeros(GRD_SHAPE(3))));
    RUN(const grd_tensor *y = grd_add(x, b));
    put_text(d, "To see who gets what, let every element of y have a gradient of its own:");
    RUN(const grd_tensor *dy = grd_reshape(grd_linspace(1, 6, 6), GRD_SHAPE(2, 3)));
    RUN(grd_backward_with(y, &(grd_backward_options){ .gradient = dy }));
    name_tensor(d, "dy", dy);
    name_tensor(d, "dx", grd_tensor_grad(x));
    name_tensor(d, "db", grd_tensor_grad(b));
    put_matrix(d, "The gradient of x is that of y, as it is:", "dx", "row 0 | row 1", NULL);
    put_matrix(d, "The gradient of b is its sum over the rows:", "db", "b", NULL);
    put_text(d, "The second element of b was used in both rows, so it reached the result by two "
                "ways: {dy[0,1]} + {dy[1,1]} = {db[1]}. Broadcasting is a diamond.");
    put_remark(d, "A dimension that was stretched forward is summed backward; a gradient always "
                  "has the shape of its tensor.");

    tell_both(d, dy);
    tell_trap(d);
    put_question(d, "What is the gradient of `grd_sum(x)`, and of `grd_expand`?",
                 "Each other. A sum hands the same gradient to every element, which is an expand; "
                 "an expand is a copy, whose gradient is a sum. In the graph they are mirror "
                 "images.");
}
