#include "teach/lesson.h"

#include <math.h>

/* dy/dx of numbers; the graph stays. */
static double slope(const grd_tensor *y, const grd_tensor *x)
{
    const grd_grad_options retain = { .retain_graph = true };
    grd_tensor *dx = NULL;
    grd_grad(GRD_LIST(y), GRD_LIST(x), &retain, &dx);
    return dx ? grd_item(dx) : NAN;
}

/* The same computation from another x, unrecorded. */
static double y_at(double value)
{
    const grd_tensor *x = grd_scalar(value);
    return grd_item(grd_mul(grd_square(x), grd_mul_scalar(x, 2)));
}

static void tell_forward(document *d, const grd_tensor *x, const grd_tensor *u, const grd_tensor *v,
                         const grd_tensor *y)
{
    name_number(d, "x", grd_item(x));
    name_number(d, "u", grd_item(u));
    name_number(d, "v", grd_item(v));
    name_number(d, "y", grd_item(y));
    put_text(d, "Forward, with x = {x}: u = {u}, v = {v}, y = {y}. Beside each result the library "
                "put a node of the graph: which op it was, where its inputs came from, and the "
                "values that its derivative will need.");
}

static void tell_ways(document *d, const grd_tensor *x, const grd_tensor *u, const grd_tensor *v,
                      const grd_tensor *y)
{
    const double to_u = slope(y, u), to_v = slope(y, v), from_u = slope(u, x), from_v = slope(v, x);
    name_number(d, "dy/du", to_u);
    name_number(d, "dy/dv", to_v);
    name_number(d, "du/dx", from_u);
    name_number(d, "dv/dx", from_v);
    name_number(d, "by u", to_u * from_u);
    name_number(d, "by v", to_v * from_v);
    name_number(d, "ways", to_u * from_u + to_v * from_v);
    put_section(d, "One way at a time");
    put_text(d, "Along a way the derivatives of its steps are multiplied; that is the chain rule. "
                "Each step's derivative is known at its op: the one of `u * v` with respect to u "
                "is v, and the one of `x * x` is twice x.");
    put_table(d, NULL, "way | last step | first step | product");
    put_row(d, "y to u to x | {dy/du} | {du/dx} | {by u}");
    put_row(d, "y to v to x | {dy/dv} | {dv/dx} | {by v}");
    put_text(d, "A small change of x moves y by both ways at once, so the ways are *added*:");
    put_formula(d, "frac[∂y][∂x] = frac[∂y][∂u] frac[∂u][∂x] + frac[∂y][∂v] frac[∂v][∂x] "
                   "= {by u} + {by v} = {ways}");
}

void tell_diamond(document *d)
{
    put_text(d, "A value that is used twice reaches the result by two ways. The smallest graph "
                "where that happens is a diamond:");
    put_picture(d, "x at the bottom feeds u and v, and both feed y at the top.",
                "       y = u v\n"
                "      /       \\\n"
                "  u = x x    v = 2 x\n"
                "      \\       /\n"
                "          x\n");
    RUN(grd_tensor *x = grd_require_grad(grd_scalar(3)));
    RUN(const grd_tensor *u = grd_square(x));
    RUN(const grd_tensor *v = grd_mul_scalar(x, 2));
    RUN(const grd_tensor *y = grd_mul(u, v));
    tell_forward(d, x, u, v, y);
    tell_ways(d, x, u, v, y);

    put_section(d, "What backward does");
    RUN(grd_backward(y));
    const double eps = 1e-5;
    name_number(d, "grad", grd_item(grd_tensor_grad(x)));
    name_number(d, "numeric", (y_at(3 + eps) - y_at(3 - eps)) / (2 * eps));
    put_text(d, "The gradient of x is {grad}. Nobody wrote down the formula for y as a whole: each "
                "op handed its share to its inputs, and x added up what came in. Two independent "
                "checks: y is `2 x³`, whose derivative is `6 x²`; and moving x a little up and "
                "down gives {numeric:6}.");
    put_remark(d, "Multiply along a way, add over the ways. Backpropagation is this sum, computed "
                  "from the result down, so that no part of a way is ever computed twice.");
    put_question(d,
                 "What would the gradient of x be if v did not depend on it, because somebody "
                 "called `grd_detach(x)` before doubling?",
                 "One way would be gone: {by u} would remain. The value of y would be the same, "
                 "and no error would tell. That is why gradients are checked against differences.");
}
