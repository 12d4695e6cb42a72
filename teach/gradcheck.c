#include "teach/lesson.h"

#include <math.h>

/* f(x) = x^3, in whatever type x has. */
static grd_tensor *cube(const grd_tensor *const *in, void *unused)
{
    (void)unused;
    return grd_mul(grd_mul(in[0], in[0]), in[0]);
}

static grd_tensor *cube_at(double x, grd_dtype dtype)
{
    const grd_tensor *in = grd_cast(grd_scalar(x), dtype);
    return cube(&in, NULL);
}

static const double x0 = 1.3;

/* |(f(x + eps) - f(x - back)) / (eps + back) - 3 x^2|, all but the last step in dtype. */
static double error_of(double eps, double back, grd_dtype dtype, double right)
{
    const grd_tensor *rise = grd_sub(cube_at(x0 + eps, dtype), cube_at(x0 - back, dtype));
    return fabs(grd_item(grd_div_scalar(rise, eps + back)) - right);
}

enum { LONGEST = 2, STEPS_64 = 25, STEPS_32 = 13 }; /* in halves of powers of ten */

static void name_best(document *d, const char *step, const char *error, const double steps[],
                      const double errors[], int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (errors[i] < errors[best])
            best = i;
    name_number(d, step, steps[best]);
    name_number(d, error, errors[best]);
}

static void measure(document *d, double right)
{
    double steps[STEPS_64], central[STEPS_64], one_sided[STEPS_64], single[STEPS_32];
    for (int i = 0; i < STEPS_64; i++) {
        steps[i] = pow(10, -(LONGEST + i) / 2.0);
        central[i] = error_of(steps[i], steps[i], GRD_F64, right);
        one_sided[i] = error_of(steps[i], 0, GRD_F64, right);
        if (i < STEPS_32)
            single[i] = error_of(steps[i], steps[i], GRD_F32, right);
    }
    name_numbers(d, "steps", steps, STEPS_64);
    name_numbers(d, "central", central, STEPS_64);
    name_numbers(d, "one-sided", one_sided, STEPS_64);
    name_numbers(d, "steps in f32", steps, STEPS_32);
    name_numbers(d, "central in f32", single, STEPS_32);
    name_best(d, "best", "best error", steps, central, STEPS_64);
    name_best(d, "best in f32", "best error in f32", steps, single, STEPS_32);
}

static void tell_check(document *d)
{
    put_section(d, "Let the library do it");
    grd_tensor *x = grd_scalar(x0);
    const grd_gradcheck_report report = grd_gradcheck(cube, NULL, GRD_LIST(x), NULL);
    name_number(d, "passed", report.passed);
    name_number(d, "compared", (double)report.compared);
    name_number(d, "relative", report.relative_error);
    put_text(d,
             "`grd_gradcheck(cube, NULL, GRD_LIST(x), NULL)` compares every element of every "
             "input with central differences in f64, at a step near the best one. Here: "
             "{compared} derivative, relative error {relative:1}. It refuses f32, and says why:");
    const grd_tensor *single = grd_cast(x, GRD_F32);
    const grd_gradcheck_report refused = grd_gradcheck(cube, NULL, GRD_LIST(single), NULL);
    put_message(d, "f32");
    name_number(d, "refused", !refused.passed);
}

void tell_gradcheck(document *d)
{
    put_text(d, "Is a derivative right? The definition is a test: move x by a small step, called "
                "eps, and see how far f moves. But how small is small?");
    put_formula(d, "f'(x) ≈ frac[f(x + eps) - f(x - eps)][2 eps]");
    put_text(d, "Take the cube of x, whose derivative is known, and measure how wrong the "
                "difference is for steps of all lengths.");
    RUN(grd_tensor *x = grd_require_grad(grd_scalar(x0)));
    RUN(grd_backward(grd_mul(grd_mul(x, x), x)));
    const double right = grd_item(grd_tensor_grad(x));
    name_number(d, "x", x0);
    name_number(d, "right", right);
    put_text(d, "At x = {x} backward gives {right}, three times the square of x.");
    measure(d, right);
    put_plot(d, &(plot){
                    .caption = "How wrong the difference is, against the step:",
                    .x_label = "step eps",
                    .y_label = "error",
                    .curves = { { "one-sided, f64", "steps", "one-sided" },
                                { "central, f32", "steps in f32", "central in f32" },
                                { "central, f64", "steps", "central" } },
                });
    put_text(d, "*From the right, down:* the step is too long for the curve. The error of the "
                "central difference falls with the square of eps, of the one-sided one only with "
                "eps: its two ends lie on one side of x.");
    put_text(d, "*Then up again:* the two values of f agree in more and more digits, the "
                "difference keeps fewer and fewer, and dividing by a small eps makes what is "
                "wrong with them large. At the far left nothing is left but rounding.");
    put_table(d, "The valley between, for the central difference:", "type | best eps | its error");
    put_row(d, "f64 | {best:2} | {best error:2}");
    put_row(d, "f32 | {best in f32:2} | {best error in f32:2}");
    put_remark(d, "In f32 no step is good enough to tell a wrong derivative from a right one at "
                  "five digits. Gradients are checked in f64, and computed in whatever type you "
                  "like.");
    tell_check(d);
    put_question(d, "A check at `eps = 1e-13` in f64 fails. Is the derivative wrong?",
                 "Look at the left end of the plot: at that step the difference itself is wrong "
                 "by {central[24]:1}. The check is.");
}
