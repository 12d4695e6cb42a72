#include "teach/lesson.h"

#include <math.h>

static void tell_twice(document *d)
{
    put_section(d, "Two backwards");
    put_text(d, "`grd_backward` *adds* to the gradient of a leaf. Whoever wants a fresh one says "
                "so.");
    RUN(grd_tensor *w = grd_require_grad(grd_scalar(3)));
    RUN(grd_backward(grd_square(w)));
    name_number(d, "first", grd_item(grd_tensor_grad(w)));
    RUN(grd_backward(grd_square(w)));
    name_number(d, "second", grd_item(grd_tensor_grad(w)));
    RUN(grd_zero_grad(w));
    name_number(d, "none", grd_tensor_grad(w) == NULL);
    RUN(grd_backward(grd_square(w)));
    name_number(d, "third", grd_item(grd_tensor_grad(w)));
    put_table(d, NULL, "after | gradient of w");
    put_row(d, "the first backward | {first}");
    put_row(d, "the second | {second}");
    put_row(d, "grd_zero_grad, and a third | {third}");
    put_text(d, "Between zero_grad and the third there is no gradient at all: `grd_tensor_grad` "
                "gives NULL, not a tensor of zeros. Gradus's optimizers call it after their step; "
                "in PyTorch it is yours to call, and forgetting it is a classic: training goes "
                "on, with a direction that remembers every batch so far.");
}

static grd_tensor *loss_of(const grd_tensor *w, double first, double last)
{
    return grd_mean(grd_square(grd_sub(grd_mul(grd_linspace(first, last, 2), w), grd_scalar(1))));
}

static double grad_and_forget(grd_tensor *w)
{
    const double grad = grd_tensor_grad(w) ? grd_item(grd_tensor_grad(w)) : NAN;
    grd_zero_grad(w);
    return grad;
}

static void tell_batches(document *d)
{
    grd_tensor *w = grd_require_grad(grd_scalar(0.5));
    grd_backward(grd_mean(grd_square(grd_sub(grd_mul(grd_linspace(1, 4, 4), w), grd_scalar(1)))));
    name_number(d, "whole", grad_and_forget(w));
    grd_backward(grd_mul_scalar(loss_of(w, 1, 2), 0.5));
    grd_backward(grd_mul_scalar(loss_of(w, 3, 4), 0.5));
    name_number(d, "halves", grad_and_forget(w));
    grd_backward(loss_of(w, 1, 2));
    grd_backward(loss_of(w, 3, 4));
    name_number(d, "unscaled", grad_and_forget(w));
    put_section(d, "What adding is good for");
    put_text(d, "A batch that does not fit into memory is walked in parts, and their gradients "
                "add up (`gradus train --accumulate`). The mean over the batch is then the sum of "
                "the parts' means, each divided by the number of parts:");
    put_table(d, NULL, "a batch of four samples | gradient");
    put_row(d, "at once | {whole}");
    put_row(d, "two halves, each loss times a half | {halves}");
    put_row(d, "two halves, not divided | {unscaled}");
}

void tell_accumulate(document *d)
{
    put_text(d, "Gradients are sums. They add up within one backward, over all uses of a value, "
                "which is the chain rule; and from one backward to the next, which is a "
                "convention, and yours to undo.");
    tell_twice(d);
    put_section(d, "A weight used twice");
    put_text(d, "A weight that two layers share, such as an embedding that is also the head of a "
                "model, is one leaf with two uses. Each use has its share of the gradient; within "
                "one walk they arrive as one sum, and hooks see that sum once.");
    RUN(grd_tensor *w = grd_require_grad(grd_scalar(2)));
    RUN(const grd_tensor *hidden = grd_mul(w, grd_scalar(3)));
    RUN(const grd_tensor *y = grd_mul(w, grd_square(hidden)));
    RUN(grd_backward(y));
    name_number(d, "shared", grd_item(grd_tensor_grad(w)));
    grd_tensor *first = grd_require_grad(grd_scalar(2)), *last = grd_require_grad(grd_scalar(2));
    grd_backward(grd_mul(last, grd_square(grd_mul(first, grd_scalar(3)))));
    name_number(d, "use below", grd_item(grd_tensor_grad(first)));
    name_number(d, "use above", grd_item(grd_tensor_grad(last)));
    put_text(d, "With two separate weights of the same value the use below would get {use below} "
                "and the use above {use above}. The shared one gets their sum, {shared}.");
    tell_batches(d);
    put_remark(d, "Leaves collect until they are told to forget. What is in between, such as the "
                  "hidden value above, keeps no gradient at all unless `grd_retain_grad` asks for "
                  "it: the walk drops it once it is handed on.");
    put_question(d, "A training loop forgets zero_grad, and its loss still falls. Why?",
                 "The sum of all gradients so far is a direction too, a momentum without any "
                 "decay. It points downhill for a while, grows without bound, and overshoots: "
                 "here, three equal steps would have moved w as far as six.");
}
