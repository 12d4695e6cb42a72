#include "teach/lesson.h"

#include <math.h>

static const double scores[] = { 2, 1, 3 };

/* softmax(scores + added): what a mask that is a large number does. */
static void name_weights(document *d, const char *name, grd_dtype dtype, double added_first,
                         double added_last)
{
    const double added[] = { added_first, added_first, added_last };
    const grd_tensor *s = grd_cast(grd_from_f64(scores, 3, GRD_SHAPE(3)), dtype);
    const grd_tensor *a = grd_cast(grd_from_f64(added, 3, GRD_SHAPE(3)), dtype);
    name_tensor(d, name, grd_softmax(grd_add(s, a), -1));
}

static void tell_row(document *d)
{
    put_section(d, "A row without any key");
    put_text(d, "Padding can leave a query with nothing to look at. Then every score gets the same "
                "large number, and softmax, which sees only differences, does not see it at all:");
    name_weights(d, "all f32", GRD_F32, -1e9, -1e9);
    name_weights(d, "all f64", GRD_F64, -1e9, -1e9);
    const grd_tensor *near = grd_cast(grd_scalar(1e9), GRD_F32);
    name_number(d, "spacing", nextafterf((float)grd_item(near), INFINITY) - grd_item(near));
    name_weights(d, "all infinite", GRD_F64, -INFINITY, -INFINITY);
    put_table(d, "Every key is hidden; the weights are:", "mask | key 0 | key 1 | key 2");
    put_row(d, "-1e9, f32 | {all f32[0]} | {all f32[1]} | {all f32[2]}");
    put_row(d, "-1e9, f64 | {all f64[0]} | {all f64[1]} | {all f64[2]}");
    put_row(d, "-inf, softmax | {all infinite[0]} | {all infinite[1]} | {all infinite[2]}");
    put_text(
        d, "In f64 it is as if there were no mask: the query reads what it must not. In f32 "
           "the scores themselves are lost, since near `1e9` its numbers lie {spacing} apart, and "
           "the query reads the mean of everything hidden. Minus infinity at least says so: "
           "zero over zero is no number. But one such row makes a loss of nan.");
}

/* One query over three keys, the last of which holds a nan; every key hidden, or the last. */
static const grd_tensor *attend(bool all, grd_tensor *v)
{
    const bool hidden[] = { all, all, true };
    const grd_tensor *q = grd_ones(GRD_SHAPE(1, 1, 1));
    const grd_tensor *k = grd_from_f64(scores, 3, GRD_SHAPE(1, 3, 1));
    const grd_sdpa_options o = {
        .mask = { .ignore = grd_from_bool(hidden, 3, GRD_SHAPE(1, 1, 3)) },
    };
    return grd_sdpa(q, k, v, &o).output;
}

static grd_tensor *values_with_nan(void)
{
    return grd_require_grad(grd_from_f64((double[]){ 10, 20, NAN }, 3, GRD_SHAPE(1, 3, 1)));
}

static void tell_gradus(document *d)
{
    grd_tensor *v = values_with_nan();
    const grd_tensor *nothing = attend(true, v);
    name_number(d, "nothing", grd_item(nothing));
    grd_backward(nothing);
    name_number(d, "its gradient", grd_item(grd_max(grd_abs(grd_tensor_grad(v)))));
    put_text(d, "`grd_sdpa` with a mask of truths gives such a query the output {nothing}, weights "
                "of zero and no gradient ({its gradient}), and counts it: `grd_masked_rows` tells "
                "how many there were, since most are a mask gone wrong.");
}

static void tell_nan(document *d)
{
    grd_tensor *v = values_with_nan();
    const grd_tensor *p =
        grd_softmax(grd_add(grd_from_f64(scores, 3, GRD_SHAPE(1, 3)),
                            grd_from_f64((double[]){ 0, 0, -INFINITY }, 3, GRD_SHAPE(1, 3))),
                    -1);
    name_number(d, "leaked", grd_item(grd_matmul(p, grd_select(v, 0, 0))));
    name_number(d, "clean", grd_item(attend(false, v)));
    put_section(d, "What hides behind a mask");
    put_text(d, "A weight of zero is not the same as leaving out: zero times nan is nan. If the "
                "hidden value is one (memory that nobody wrote, say), an additive mask, even of "
                "minus infinity, lets it through: {leaked}. What `grd_sdpa` leaves out is not "
                "multiplied at all: {clean}.");
}

void tell_masks(document *d)
{
    put_text(d, "A mask hides keys from queries. The usual way is to add a large negative number "
                "to the scores before softmax, so that e to it is zero. Which number?");
    name_numbers(d, "scores", scores, 3);
    put_text(d, "Scores of {scores[0]}, {scores[1]} and {scores[2]}; the last key is hidden:");
    name_weights(d, "f32", GRD_F32, 0, -1e9);
    name_weights(d, "small", GRD_F32, 0, -5);
    name_weights(d, "infinite", GRD_F32, 0, -INFINITY);
    put_table(d, NULL, "added to the last | key 0 | key 1 | key 2");
    put_row(d, "-5 | {small[0]} | {small[1]} | {small[2]}");
    put_row(d, "-1e9 | {f32[0]} | {f32[1]} | {f32[2]}");
    put_row(d, "-inf | {infinite[0]} | {infinite[1]} | {infinite[2]}");
    name_number(d, "half", grd_item(grd_cast(grd_scalar(-1e9), GRD_F16)));
    name_number(d, "half least", grd_item(grd_cast(grd_scalar(-65504), GRD_F16)));
    put_text(d, "A number that is too small leaks. `-1e9` looks as good as minus infinity, and in "
                "half precision it even is that: cast to f16, whose least number is {half least}, "
                "`-1e9` becomes {half}. The difference shows in the corner cases.");
    tell_row(d);
    tell_gradus(d);
    tell_nan(d);
    put_remark(d, "Say what is hidden with truths (`causal`, `ignore`, `key_lengths`), not with "
                  "numbers. `gradus attention mask` draws what a mask leaves.");
    put_question(d, "Where do gradients go if a fully hidden row has `-1e9` everywhere in f32?",
                 "Into the hidden values: each has a weight of {all f32[0]:2} and gets that share "
                 "of the output's gradient. Padding is then trained, and training pads.");
}
