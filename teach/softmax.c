#include "teach/lesson.h"

#include <math.h>

enum { N = 3 };

/* Row i is the gradient of y[i]; the graph stays. */
static grd_tensor *jacobian_of(const grd_tensor *y, const grd_tensor *x)
{
    grd_tensor *rows[N] = { NULL };
    const grd_tensor *eye = grd_eye(N);
    for (int i = 0; i < N; i++) {
        const grd_tensor *one = grd_select(eye, 0, i);
        grd_grad(GRD_LIST(y), GRD_LIST(x),
                 &(grd_grad_options){ .gradients = GRD_LIST(one), .retain_graph = true }, &rows[i]);
    }
    return grd_stack(GRD_LIST(rows[0], rows[1], rows[2]), 0);
}

static void tell_sums(document *d, const grd_tensor *jacobian)
{
    name_tensor(d, "row sums", grd_sum_dims(jacobian, GRD_DIMS(1), GRD_DROP_DIMS));
    name_tensor(d, "column sums", grd_sum_dims(jacobian, GRD_DIMS(0), GRD_DROP_DIMS));
    name_number(d, "asymmetry",
                grd_item(grd_max(grd_abs(grd_sub(jacobian, grd_transpose(jacobian, 0, 1))))));
    put_text(d, "On the diagonal every number is positive: a larger score raises its own "
                "probability. Beside it every number is negative, since it takes from the others. "
                "Both sides of the diagonal are equal (largest difference: {asymmetry:1}).");
    put_matrix(d, "Each row sums to zero, up to rounding, and so does each column:", "row sums",
               "sums of rows", NULL);
    put_text(d, "A *column* tells what one score does to all probabilities; these sum to one "
                "before and after, so what one wins the others lose. A *row* tells what all "
                "scores do to one probability: adding the same number to every score changes "
                "nothing, since softmax sees only differences.");
}

static void tell_backward(document *d, const grd_tensor *x, const grd_tensor *p,
                          const grd_tensor *jacobian)
{
    put_section(d, "Backward without the matrix");
    put_text(d, "Backward gets dp and needs dx, the product of dp and the Jacobian. Written out, "
                "all of it but one number is element by element:");
    put_formula(d, "dx_i = ∑_j dp_j p_j (δ_[ij] - p_i) = p_i (dp_i - ∑_j dp_j p_j)");
    RUN(const grd_tensor *dp = grd_linspace(1, -2, 3));
    RUN(const grd_tensor *dot = grd_sum(grd_mul(dp, p)));
    RUN(const grd_tensor *short_way = grd_mul(p, grd_sub(dp, dot)));
    RUN(const grd_tensor *long_way = grd_matmul(dp, jacobian));
    grd_tensor *dx = NULL;
    grd_grad(GRD_LIST(p), GRD_LIST(x), &(grd_grad_options){ .gradients = GRD_LIST(dp) }, &dx);
    name_number(d, "dot", grd_item(dot));
    name_tensor(d, "short", short_way);
    name_tensor(d, "long", long_way);
    name_tensor(d, "library", dx);
    put_table(d, "The one number is {dot}; and then:", "dx | 0 | 1 | 2");
    put_row(d, "short way | {short[0]} | {short[1]} | {short[2]}");
    put_row(d, "by the Jacobian | {long[0]} | {long[1]} | {long[2]}");
    put_row(d, "grd_grad | {library[0]} | {library[1]} | {library[2]}");
}

static void tell_sizes(document *d)
{
    enum { SIZES = 4 };
    const double lengths[SIZES] = { 16, 256, 4096, 65536 };
    double matrix[SIZES], row[SIZES];
    for (int i = 0; i < SIZES; i++) {
        matrix[i] = lengths[i] * lengths[i];
        row[i] = lengths[i] + 1;
    }
    name_numbers(d, "length", lengths, SIZES);
    name_numbers(d, "in a Jacobian", matrix, SIZES);
    name_numbers(d, "in a row", row, SIZES);
    put_columns(d, "Numbers to hold for one query's softmax over so many keys:",
                "keys | by the Jacobian | the short way", "length | in a Jacobian | in a row");
    put_text(d, "And each query of each head has a softmax of its own. This is also why attention "
                "can be differentiated without keeping its weights: the one number of a row can "
                "be had from the output (it equals the sum of `dO * O`), and p again from the "
                "scores.");
}

void tell_softmax(document *d)
{
    put_text(d, "Softmax makes probabilities of scores. Each probability depends on every score, "
                "so its derivative is a matrix: the Jacobian, J, whose element i, j says how `p_i` "
                "follows `x_j`.");
    put_formula(d, "p_i = frac[exp(x_i)][∑_j exp(x_j)] , "
                   "frac[∂p_i][∂x_j] = p_i (δ_[ij] - p_j)");
    put_text(d, "where δ is one if i = j and else zero.");
    RUN(grd_tensor *x = grd_require_grad(grd_linspace(1, 3, 3)));
    RUN(const grd_tensor *p = grd_softmax(x, -1));
    const grd_tensor *jacobian = jacobian_of(p, x);
    name_tensor(d, "x", x);
    name_tensor(d, "p", p);
    name_tensor(d, "J", jacobian);
    put_matrix(d, "The probabilities:", "p", "p", NULL);
    put_matrix(d, "J, a row for each backward from one element of p:", "J", "p 0 | p 1 | p 2",
               "x 0 | x 1 | x 2");
    tell_sums(d, jacobian);
    tell_backward(d, x, p, jacobian);
    tell_sizes(d);
    put_remark(d, "A backward never needs a Jacobian. It needs the product of one with a vector, "
                  "and every op of the library has a short way to that product.");
    put_question(d, "What is dx when dp is the same number everywhere?",
                 "Zero. The rows of p sum to one whatever x is, so a loss that only counts their "
                 "sum does not depend on x. In the formula: `dp_i` minus its own mean is zero.");
}
