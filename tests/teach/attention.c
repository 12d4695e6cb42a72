/* Every number of the lessons on attention, by loops in plain C. */
#include "tests/teach/lessons.h"

#include <math.h>

/* p = softmax of n numbers. */
static void softmax(const double *x, double *p, int n)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        most = fmax(most, x[i]);
    for (int i = 0; i < n; i++)
        sum += p[i] = exp(x[i] - most);
    for (int i = 0; i < n; i++)
        p[i] /= sum;
}

/* dx of it, by the Jacobian. */
static void softmax_backward(const double *p, const double *dp, double *dx, int n)
{
    for (int j = 0; j < n; j++) {
        dx[j] = 0;
        for (int i = 0; i < n; i++)
            dx[j] += dp[i] * p[i] * ((i == j) - p[j]);
    }
}

Test(teach, softmax)
{
    document *d = tell("softmax");
    const double x[3] = { 1, 2, 3 }, dp[3] = { 1, -0.5, -2 };
    double p[3], jacobian[9], dx[3], dot = 0;
    softmax(x, p, 3);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            jacobian[3 * i + j] = p[i] * ((i == j) - p[j]);
    softmax_backward(p, dp, dx, 3);
    for (int i = 0; i < 3; i++)
        dot += dp[i] * p[i];
    expect_numbers(d, "x", x, 3, 0);
    expect_numbers(d, "p", p, 3, 1e-15);
    expect_numbers(d, "J", jacobian, 9, 1e-15);
    expect_numbers(d, "row sums", NUMBERS(0, 0, 0), 1e-15);
    expect_numbers(d, "column sums", NUMBERS(0, 0, 0), 1e-15);
    expect_number(d, "asymmetry", 0, 1e-15);
    expect_number(d, "dot", dot, 1e-15);
    expect_numbers(d, "short", dx, 3, 1e-15);
    expect_numbers(d, "long", dx, 3, 1e-15);
    expect_numbers(d, "library", dx, 3, 1e-15);
    expect_numbers(d, "length", NUMBERS(16, 256, 4096, 65536), 0);
    expect_numbers(d, "in a Jacobian", NUMBERS(256, 65536, 16777216, 4294967296), 0);
    expect_numbers(d, "in a row", NUMBERS(17, 257, 4097, 65537), 0);
    end_lesson(d);
}

/* y (2, 2) = a b^T, a b, a^T b. */
static void times_transposed(const double *a, const double *b, double *y)
{
    for (int i = 0; i < 4; i++)
        y[i] = a[i / 2 * 2] * b[i % 2 * 2] + a[i / 2 * 2 + 1] * b[i % 2 * 2 + 1];
}

static void times(const double *a, const double *b, double *y)
{
    for (int i = 0; i < 4; i++)
        y[i] = a[i / 2 * 2] * b[i % 2] + a[i / 2 * 2 + 1] * b[2 + i % 2];
}

static void transposed_times(const double *a, const double *b, double *y)
{
    for (int i = 0; i < 4; i++)
        y[i] = a[i / 2] * b[i % 2] + a[2 + i / 2] * b[2 + i % 2];
}

Test(teach, attention)
{
    document *d = tell("attention");
    const double q[4] = { 1, 0, 1, 3 }, k[4] = { 1, 1, 0, 2 }, v[4] = { 1, 2, 3, -1 };
    const double gradient[4] = { 1, 0, 2, -1 };
    double products[4], s[4], p[4], o[4], dv[4], dp[4], ds[4], dr[4], dq[4], dk[4], mean[2];
    times_transposed(q, k, products);
    for (int i = 0; i < 4; i++)
        s[i] = products[i] / sqrt(2);
    softmax(s, p, 2);
    softmax(s + 2, p + 2, 2);
    times(p, v, o);
    transposed_times(p, gradient, dv);
    times_transposed(gradient, v, dp);
    for (int i = 0; i < 2; i++) {
        mean[i] = p[2 * i] * dp[2 * i] + p[2 * i + 1] * dp[2 * i + 1];
        softmax_backward(p + 2 * i, dp + 2 * i, ds + 2 * i, 2);
    }
    for (int i = 0; i < 4; i++)
        dr[i] = ds[i] / sqrt(2);
    times(dr, k, dq);
    transposed_times(dr, q, dk);
    const struct {
        const char *name;
        const double *x;
    } all[] = { { "q", q },   { "k", k },   { "v", v },   { "products", products },
                { "s", s },   { "p", p },   { "o", o },   { "do", gradient },
                { "dv", dv }, { "dp", dp }, { "ds", ds }, { "dq", dq },
                { "dk", dk } };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        expect_numbers(d, all[i].name, all[i].x, 4, 1e-14);
    expect_numbers(d, "mean", mean, 2, 1e-14);
    expect_number(d, "difference", 0, 1e-14);
    end_lesson(d);
}

/* The gradient by differences of the loss itself: nothing of the backward rules is in it. */
static double loss(const double q[4], const double k[4], const double v[4])
{
    const double gradient[4] = { 1, 0, 2, -1 };
    double s[4], p[4], o[4], sum = 0;
    times_transposed(q, k, s);
    for (int i = 0; i < 4; i++)
        s[i] /= sqrt(2);
    softmax(s, p, 2);
    softmax(s + 2, p + 2, 2);
    times(p, v, o);
    for (int i = 0; i < 4; i++)
        sum += gradient[i] * o[i];
    return sum;
}

Test(teach, attention_by_differences)
{
    document *d = tell("attention");
    const char *const names[] = { "dq", "dk", "dv" };
    for (int which = 0; which < 3; which++)
        for (int i = 0; i < 4; i++) {
            double in[3][4] = { { 1, 0, 1, 3 }, { 1, 1, 0, 2 }, { 1, 2, 3, -1 } }, y[2];
            for (int side = 0; side < 2; side++) {
                in[which][i] += side ? -2e-6 : 1e-6;
                y[side] = loss(in[0], in[1], in[2]);
            }
            cr_expect_float_eq((y[0] - y[1]) / 2e-6, figures_named(d, names[which])->at[i], 1e-8);
        }
    document_free(d);
}

static void expect_softmax(document *d, const char *name, double a, double b, double c,
                           double tolerance)
{
    double p[3];
    softmax((double[]){ a, b, c }, p, 3);
    expect_numbers(d, name, p, 3, tolerance);
}

Test(teach, masks)
{
    document *d = tell("masks");
    expect_numbers(d, "scores", NUMBERS(2, 1, 3), 0);
    expect_softmax(d, "small", 2, 1, 3 - 5, 1e-6);
    expect_softmax(d, "f32", 2, 1, -INFINITY, 1e-6);
    expect_softmax(d, "infinite", 2, 1, -INFINITY, 1e-6);
    expect_number(d, "half", -INFINITY, 0);
    expect_number(d, "half least", -65504, 0);
    expect_number(d, "spacing", ldexp(1, 29 - 23), 0); /* 2^29 < 1e9 < 2^30 */
    expect_softmax(d, "all f32", (float)(2 - 1e9), (float)(1 - 1e9), (float)(3 - 1e9), 1e-6);
    expect_softmax(d, "all f64", 2, 1, 3, 1e-7);
    expect_numbers(d, "all infinite", NUMBERS(NAN, NAN, NAN), 0);
    expect_number(d, "nothing", 0, 0);
    expect_number(d, "its gradient", 0, 0);
    expect_number(d, "leaked", NAN, 0);
    double p[2];
    softmax((double[]){ 2, 1 }, p, 2);
    expect_number(d, "clean", 10 * p[0] + 20 * p[1], 1e-13);
    end_lesson(d);
}

static double root_mean_square(const double *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sqrt(sum / (double)count);
}

/* The first table: one row of four scores, times 1/4 to 64. */
static void expect_scales(document *d)
{
    const double z[4] = { 2, 1, 0, -1 }, dp[4] = { 1, 0, 0, 0 };
    double scales[9], tops[9], sizes[9], s[4], p[4], ds[4];
    for (int i = 0; i < 9; i++) {
        scales[i] = pow(2, i - 2);
        for (int j = 0; j < 4; j++)
            s[j] = scales[i] * z[j];
        softmax(s, p, 4);
        softmax_backward(p, dp, ds, 4);
        tops[i] = p[0];
        sizes[i] = root_mean_square(ds, 4);
        /* 1 - p rounds here, unlike in the library where p of the others is kept */
        cr_expect_float_eq(figures_named(d, "size")->at[i], sizes[i], 1e-15 + 1e-9 * sizes[i]);
    }
    expect_numbers(d, "z", z, 4, 0);
    expect_numbers(d, "scale", scales, 9, 0);
    expect_numbers(d, "top", tops, 9, 1e-15);
    expect_numbers(d, "size", sizes, 9, 1e-14);
}

enum { QUERIES = 64, KEYS = 16, DEPTH = 1024 };

/* The numbers that the lesson drew: the stream, but nothing computed from it. */
static void draw(const char *name, int rows, int columns, double *out)
{
    const grd_rng *rng = grd_rng_create(1);
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    const grd_tensor *x = grd_randn(grd_rng_split(rng, name), GRD_SHAPE(rows, columns));
    cr_assert_eq(grd_read_f64(x, out, (int64_t)rows * columns), GRD_OK);
    grd_scope_end(scope);
}

/* The second: random queries and keys, scores times factor. */
static void measure(int depth, double factor, double *spread, double *top, double *size)
{
    static double q[QUERIES * DEPTH], k[KEYS * DEPTH], dp[QUERIES * KEYS], ds[QUERIES * KEYS];
    double z[QUERIES * KEYS], s[KEYS], p[KEYS];
    draw("q", QUERIES, depth, q);
    draw("k", KEYS, depth, k);
    draw("dp", QUERIES, KEYS, dp);
    *top = 0;
    for (int i = 0; i < QUERIES; i++) {
        double most = 0;
        for (int j = 0; j < KEYS; j++) {
            z[i * KEYS + j] = 0;
            for (int c = 0; c < depth; c++)
                z[i * KEYS + j] += q[i * depth + c] * k[j * depth + c];
            s[j] = factor * z[i * KEYS + j];
        }
        softmax(s, p, KEYS);
        softmax_backward(p, dp + i * KEYS, ds + i * KEYS, KEYS);
        for (int j = 0; j < KEYS; j++)
            most = fmax(most, p[j]);
        *top += most / QUERIES;
    }
    *spread = root_mean_square(z, QUERIES * KEYS);
    *size = root_mean_square(ds, QUERIES * KEYS);
}

Test(teach, vanishing)
{
    document *d = tell("vanishing");
    double depths[5], spread[5], top[2][5], size[2][5];
    expect_scales(d);
    for (int i = 0; i < 5; i++) {
        depths[i] = pow(4, i + 1);
        for (int divided = 0; divided < 2; divided++)
            measure((int)depths[i], divided ? 1 / sqrt(depths[i]) : 1, &spread[i], &top[divided][i],
                    &size[divided][i]);
    }
    expect_numbers(d, "D", depths, 5, 0);
    expect_numbers(d, "spread", spread, 5, 1e-9);
    expect_numbers(d, "top plain", top[0], 5, 1e-9);
    expect_numbers(d, "size plain", size[0], 5, 1e-9);
    expect_numbers(d, "top divided", top[1], 5, 1e-9);
    expect_numbers(d, "size divided", size[1], 5, 1e-9);
    end_lesson(d);
}

/* What the texts of that lesson say about its numbers. */
Test(teach, vanishing_is_true)
{
    document *d = tell("vanishing");
    const figures *spread = figures_named(d, "spread"), *depth = figures_named(d, "D");
    const figures *size = figures_named(d, "size plain"),
                  *divided = figures_named(d, "size divided");
    for (int i = 0; i < 5; i++) {
        cr_expect_float_eq(spread->at[i] / sqrt(depth->at[i]), 1, 0.15);
        cr_expect_float_eq(divided->at[i] / divided->at[0], 1, 0.1);
        cr_expect(i == 0 || size->at[i] < size->at[i - 1]);
    }
    document_free(d);
}
