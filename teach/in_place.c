#include "teach/lesson.h"

/* Whether a change of what was added disturbs the gradient: it does not, add saves nothing. */
static double grad_after_harmless_change(void)
{
    grd_tensor *w = grd_require_grad(grd_scalar(3)), *a = grd_scalar(2);
    const grd_tensor *y = grd_add(w, a);
    grd_fill_(a, 100);
    grd_backward(y);
    return grd_item(grd_tensor_grad(w));
}

static void tell_leaf(document *d)
{
    put_section(d, "A leaf");
    RUN(grd_tensor *x = grd_require_grad(grd_scalar(3)));
    RUN(grd_add_(x, grd_scalar(1)));
    put_message(d, "leaf");
    name_number(d, "x", grd_item(x));
    put_text(d, "A change of x is not recorded, so its gradient would be that of another function. "
                "x is as it was: {x}. The remedy is an op that makes a new tensor, "
                "`grd_add(x, grd_scalar(1))`.");
}

static void tell_saved(document *d)
{
    put_section(d, "A saved tensor");
    put_text(d, "The gradient of `w * a` with respect to w is a. So the graph saved a, not a copy "
                "but the tensor itself, and noted its version: how often its memory had been "
                "changed. Then somebody changes it:");
    RUN(grd_tensor *w = grd_require_grad(grd_scalar(3)));
    RUN(grd_tensor *a = grd_scalar(2));
    RUN(const grd_tensor *y = grd_mul(w, a));
    RUN(grd_mul_scalar_(a, 10));
    name_number(d, "after", grd_item(a));
    RUN(grd_backward(y));
    put_message(d, "saved");
    name_number(d, "no gradient", grd_tensor_grad(w) == NULL);
    put_text(d, "Without the counter backward would have used the {after} that it found, ten times "
                "what the forward pass used, and nobody would know. The error comes late, in "
                "backward, because only there it is certain that the old value is needed; and it "
                "names the op whose derivative needs it, with its place, and the place of the "
                "change.");
    RUN(const grd_tensor *again = grd_mul(w, a));
    RUN(grd_backward(again));
    name_number(d, "again", grd_item(grd_tensor_grad(w)));
    put_text(d, "Computed again after the change, the gradient is {again}: right for the new a. "
                "The remedies are to change it later, after backward, or to change a copy: "
                "`grd_clone(a)`.");
}

static void tell_view(document *d)
{
    put_section(d, "Through a view");
    put_text(d, "The version belongs to the memory, so that a change through a view, here of one "
                "element, or through `grd_detach` is noticed too:");
    RUN(grd_tensor *w = grd_require_grad(grd_ones(GRD_SHAPE(2))));
    RUN(grd_tensor *a = grd_ones(GRD_SHAPE(2)));
    RUN(const grd_tensor *y = grd_sum(grd_mul(w, a)));
    RUN(grd_fill_(grd_select(a, 0, 1), 5));
    RUN(grd_backward(y));
    put_message(d, "view");
}

static void tell_update(document *d)
{
    put_section(d, "How weights are changed then");
    put_text(d, "An update is no part of what is differentiated. It stands in a scope that records "
                "nothing, where leaves may be changed; that is how optimizers do it.");
    RUN(grd_tensor *w = grd_require_grad(grd_scalar(3)));
    RUN(grd_backward(grd_square(w)));
    RUN(grd_scope *update = grd_scope_begin_no_grad());
    RUN(grd_add_scaled_(w, grd_tensor_grad(w), -0.1));
    RUN(grd_scope_end(update));
    name_number(d, "dw", grd_item(grd_tensor_grad(w)));
    name_number(d, "moved", grd_item(w));
    put_text(d, "The gradient was {dw}, and w is {moved} now.");
}

void tell_in_place(document *d)
{
    number_lines(d);
    put_text(d, "Ops whose name ends in `_` change a tensor instead of making a new one. A graph "
                "remembers what it will need for backward, and two things can go wrong. The "
                "library catches both; here are its own words.");
    tell_leaf(d);
    tell_saved(d);
    tell_view(d);
    tell_update(d);
    name_number(d, "harmless", grad_after_harmless_change());
    put_remark(d, "What is not needed is not saved, and may be changed: the derivative of a sum "
                  "needs none of its terms, so that after `y = grd_add(w, a)` a change of a is no "
                  "error, and the gradient of w is {harmless}. ops.h says for each op what it "
                  "saves.");
    put_question(
        d,
        "`y = grd_exp(x)`, then `grd_fill_(y, 0)` in a scope that records nothing. Is "
        "backward right afterwards?",
        "It refuses. The derivative of exp is exp itself, so its graph saved the *result*; "
        "for `grd_square(x)` it would have saved x, and the change of y would do no "
        "harm.");
}
