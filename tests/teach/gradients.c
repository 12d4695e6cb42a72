/* Every number of the lessons on gradients, from formulas. */
#include "tests/teach/lessons.h"

#include <math.h>

Test(teach, diamond)
{
    document *d = tell("diamond");
    const double x = 3, u = x * x, v = 2 * x;
    expect_number(d, "x", x, 0);
    expect_number(d, "u", u, 0);
    expect_number(d, "v", v, 0);
    expect_number(d, "y", 2 * x * x * x, 0);
    expect_number(d, "dy/du", v, 0);
    expect_number(d, "dy/dv", u, 0);
    expect_number(d, "du/dx", 2 * x, 0);
    expect_number(d, "dv/dx", 2, 0);
    expect_number(d, "by u", v * 2 * x, 0);
    expect_number(d, "by v", u * 2, 0);
    expect_number(d, "ways", 6 * x * x, 0);
    expect_number(d, "grad", 6 * x * x, 0);
    expect_number(d, "numeric", 6 * x * x, 1e-6);
    end_lesson(d);
}

/* x, a = 3 x, b = a^2, c = a b = 27 x^3. */
Test(teach, order)
{
    document *d = tell("order");
    const double x = 2, a = 3 * x, b = a * a;
    const double direct = b, by_b = a * 2 * a; /* the two shares of a */
    expect_numbers(d, "value", NUMBERS(x, a, b, a * b), 0);
    expect_numbers(d, "library", NUMBERS(81 * x * x, 3 * a * a, a, 1), 0);
    expect_numbers(d, "in order", NUMBERS(81 * x * x, 3 * a * a, a, 1), 0);
    expect_numbers(d, "once", NUMBERS(3 * direct, direct + by_b, a, 1), 0);
    expect_numbers(d, "again", NUMBERS(3 * (direct + direct + by_b), direct + by_b, a, 1), 0);
    expect_numbers(d, "height", NUMBERS(1, 6, 11, 16, 21), 0);
    expect_numbers(d, "calls by ways",
                   NUMBERS(1, pow(2, 6) - 1, pow(2, 11) - 1, pow(2, 16) - 1, pow(2, 21) - 1), 0);
    expect_numbers(d, "calls in order", NUMBERS(1, 6, 11, 16, 21), 0);
    end_lesson(d);
}

/* Both walks are wrong, and the lesson says in which direction. */
Test(teach, order_matters)
{
    document *d = tell("order");
    const double right = figures_named(d, "library")->at[0];
    cr_assert_lt(figures_named(d, "once")->at[0], right);
    cr_assert_gt(figures_named(d, "again")->at[0], right);
    document_free(d);
}

static double gradient_of_mean(double w, int first, int last)
{
    double sum = 0;
    for (int x = first; x <= last; x++)
        sum += 2 * (x * w - 1) * x;
    return sum / (last - first + 1);
}

Test(teach, accumulate)
{
    document *d = tell("accumulate");
    expect_number(d, "first", 2 * 3, 0);
    expect_number(d, "second", 2 * 2 * 3, 0);
    expect_number(d, "none", true, 0);
    expect_number(d, "third", 2 * 3, 0);
    const double w = 2, hidden = 3 * w; /* y = w hidden^2 = 9 w^3 */
    expect_number(d, "use above", hidden * hidden, 0);
    expect_number(d, "use below", w * 2 * hidden * 3, 0);
    expect_number(d, "shared", 27 * w * w, 0);
    expect_number(d, "whole", gradient_of_mean(0.5, 1, 4), 1e-12);
    expect_number(d, "halves", (gradient_of_mean(0.5, 1, 2) + gradient_of_mean(0.5, 3, 4)) / 2,
                  1e-12);
    expect_number(d, "unscaled", 2 * gradient_of_mean(0.5, 1, 4), 1e-12);
    end_lesson(d);
}

Test(teach, broadcast)
{
    document *d = tell("broadcast");
    const double dy[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } }, c[2] = { 1, 2 }, r[3] = { 10, 20, 30 };
    double db[3] = { 0 }, dc[2] = { 0 }, dr[3] = { 0 }, pairs = 0;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++) {
            db[j] += dy[i][j];
            dc[i] += dy[i][j] * r[j];
            dr[j] += dy[i][j] * c[i];
        }
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            pairs += (i - j) * (i - j) / 9.0;
    expect_numbers(d, "dy", dy[0], 6, 0);
    expect_numbers(d, "dx", dy[0], 6, 0);
    expect_numbers(d, "db", db, 3, 0);
    expect_numbers(d, "dc", dc, 2, 1e-12);
    expect_numbers(d, "dr", dr, 3, 1e-12);
    expect_number(d, "wrong", pairs, 1e-12);
    expect_number(d, "right", 0, 0);
    end_lesson(d);
}
