/* Every number and message of the lessons on what goes wrong. */
#include "tests/teach/lessons.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS_64 = 25, STEPS_32 = 13 };

/* The error of a difference of x^3 at 1.3, in C's own arithmetic. */
static double error_64(double eps, double back)
{
    const double x = 1.3, a = x + eps, b = x - back;
    return fabs((a * a * a - b * b * b) / (eps + back) - 3 * x * x);
}

static double error_32(double eps)
{
    const float a = (float)(1.3 + eps), b = (float)(1.3 - eps), step = (float)(2 * eps);
    const float rise = a * a * a - b * b * b;
    return fabs((double)(rise / step) - 3 * 1.3 * 1.3);
}

static int least(const double *x, int count)
{
    int found = 0;
    for (int i = 1; i < count; i++)
        found = x[i] < x[found] ? i : found;
    return found;
}

Test(teach, gradcheck)
{
    document *d = tell("gradcheck");
    double steps[STEPS_64], central[STEPS_64], one_sided[STEPS_64], single[STEPS_32];
    for (int i = 0; i < STEPS_64; i++) {
        steps[i] = pow(10, -1 - i / 2.0);
        central[i] = error_64(steps[i], steps[i]);
        one_sided[i] = error_64(steps[i], 0);
        if (i < STEPS_32)
            single[i] = error_32(steps[i]);
    }
    expect_number(d, "x", 1.3, 0);
    expect_number(d, "right", 3 * 1.3 * 1.3, 1e-14);
    expect_numbers(d, "steps", steps, STEPS_64, 0);
    expect_numbers(d, "central", central, STEPS_64, 1e-14);
    expect_numbers(d, "one-sided", one_sided, STEPS_64, 1e-14);
    expect_numbers(d, "steps in f32", steps, STEPS_32, 0);
    expect_numbers(d, "central in f32", single, STEPS_32, 1e-14);
    expect_number(d, "best", steps[least(central, STEPS_64)], 0);
    expect_number(d, "best error", central[least(central, STEPS_64)], 1e-14);
    expect_number(d, "best in f32", steps[least(single, STEPS_32)], 0);
    expect_number(d, "best error in f32", single[least(single, STEPS_32)], 1e-14);
    expect_number(d, "passed", true, 0);
    expect_number(d, "compared", 1, 0);
    expect_number(d, "relative", 0, 1e-8);
    expect_number(d, "refused", true, 0);
    expect_words(d, "f32", "gradcheck: input 0 is f32: differences need f64 to be meaningful");
    end_lesson(d);
}

/* What its texts say: squares on the right, rounding on the left. */
Test(teach, gradcheck_is_true)
{
    document *d = tell("gradcheck");
    const figures *steps = figures_named(d, "steps"), *central = figures_named(d, "central");
    const figures *one_sided = figures_named(d, "one-sided");
    for (int i = 0; i < 8; i++) { /* the cube's third derivative is 6, its second 6 x */
        const double eps = steps->at[i];
        cr_expect_float_eq(central->at[i] / (eps * eps), 1, 1e-2);
        cr_expect_float_eq(one_sided->at[i] / (3 * 1.3 * eps), 1, 0.1);
    }
    cr_expect_gt(central->at[24], 1e-4);
    cr_expect_gt(figures_named(d, "best error in f32")->at[0], 1e-5);
    document_free(d);
}

/* "at in_place.c:24", of the line that starts so. */
static void expect_place(document *d, const char *message, const char *before, const char *line)
{
    char place[80];
    snprintf(place, sizeof place, "%s in_place.c:%d", before, line_of(d, line));
    expect_words(d, message, place);
}

Test(teach, in_place)
{
    document *d = tell("in_place");
    expect_words(d, "leaf", "add_: ");
    expect_place(d, "leaf", "at", "grd_add_(x, grd_scalar(1));");
    expect_number(d, "x", 3, 0);
    expect_words(d, "saved", "mul: the saved input 1 [] was changed in place");
    expect_words(d, "saved", "expected version 0, found 1 (change it after backward");
    expect_place(d, "saved", "by mul_scalar_ at", "grd_mul_scalar_(a, 10);");
    expect_place(d, "saved", "called at", "const grd_tensor *y = grd_mul(w, a);");
    expect_place(d, "saved", ") at", "grd_backward(y);");
    expect_number(d, "after", 20, 0);
    expect_number(d, "no gradient", true, 0);
    expect_number(d, "again", 20, 0);
    expect_words(d, "view", "mul: the saved input 1 [2] was changed in place");
    expect_place(d, "view", "by fill_ at", "grd_fill_(grd_select(a, 0, 1), 5);");
    expect_number(d, "dw", 6, 0);
    expect_number(d, "moved", 3 - 0.1 * 6, 1e-15);
    expect_number(d, "harmless", 1, 0);
    end_lesson(d);
}

/* The lesson's last answer. */
Test(teach, in_place_answer)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *x = grd_require_grad(grd_scalar(1)), *y = grd_exp(x), *z = grd_square(x);
    grd_scope *unrecorded = grd_scope_begin_no_grad();
    grd_fill_(y, 0);
    grd_fill_(z, 0);
    grd_scope_end(unrecorded);
    cr_assert_eq(grd_backward(z), GRD_OK);
    cr_assert_eq(grd_item(grd_tensor_grad(x)), 2);
    cr_assert_eq(grd_backward(y), GRD_ERROR_GRAPH);
    grd_error_take();
    grd_scope_end(scope);
}
