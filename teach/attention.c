#include "teach/lesson.h"

static grd_tensor *two_by_two(double a, double b, double c, double d)
{
    return grd_from_f64((const double[]){ a, b, c, d }, 4, GRD_SHAPE(2, 2));
}

static const char queries[] = "query 0 | query 1";
static const char keys[] = "key 0 | key 1";

/* The gradients that the library's own attention gives for the same numbers. */
static void compare(document *d, grd_tensor *in[3], const grd_tensor *dy,
                    const grd_tensor *const by_hand[3])
{
    const grd_tensor *q = grd_unsqueeze(in[0], 0), *k = grd_unsqueeze(in[1], 0);
    const grd_tensor *y = grd_sdpa(q, k, grd_unsqueeze(in[2], 0), NULL).output;
    grd_tensor *dx[3] = { NULL, NULL, NULL };
    const grd_tensor *gradient = grd_unsqueeze(dy, 0);
    grd_grad(GRD_LIST(y), GRD_LIST(in[0], in[1], in[2]),
             &(grd_grad_options){ .gradients = GRD_LIST(gradient) }, dx);
    double most = 0;
    for (int i = 0; i < 3; i++) {
        const double off = grd_item(grd_max(grd_abs(grd_sub(dx[i], by_hand[i]))));
        most = off > most ? off : most;
    }
    name_number(d, "difference", most);
}

/* The weights. */
static const grd_tensor *tell_forward(document *d, const grd_tensor *q, const grd_tensor *k,
                                      const grd_tensor *v)
{
    put_section(d, "Forward");
    put_text(d, "Scores: every query times every key, divided by the root of the head's size.");
    RUN(const grd_tensor *products = grd_matmul(q, grd_transpose(k, 0, 1)));
    RUN(const grd_tensor *s = grd_div(products, grd_sqrt(grd_scalar(2))));
    name_tensor(d, "products", products);
    name_tensor(d, "s", s);
    put_text(d, "Query 1 times key 0 is {q[1,0]} · {k[0,0]} + {q[1,1]} · {k[0,1]} = "
                "{products[1,0]}; divided by `√2`: {s[1,0]}.");
    put_matrix(d, "s:", "s", queries, keys);
    put_text(d, "Weights: softmax of each row. They say where a query looks.");
    RUN(const grd_tensor *p = grd_softmax(s, -1));
    name_tensor(d, "p", p);
    put_matrix(d, "p:", "p", queries, keys);
    put_text(d, "Output: for each query the values, mixed by its weights.");
    RUN(const grd_tensor *o = grd_matmul(p, v));
    name_tensor(d, "o", o);
    put_text(d, "The first number of query 0 is {p[0,0]} · {v[0,0]} + {p[0,1]} · {v[1,0]} = "
                "{o[0,0]}.");
    put_matrix(d, "o:", "o", queries, "dim 0 | dim 1");
    return p;
}

/* The output's gradient; by_hand: that of the scores, to be divided, and of the values. */
static const grd_tensor *tell_backward(document *d, const grd_tensor *p, const grd_tensor *v,
                                       const grd_tensor *by_hand[3])
{
    put_section(d, "Backward");
    put_text(d, "Let the gradient of the output be given. Each line below undoes one line above, "
                "from the last to the first.");
    RUN(const grd_tensor *do_ = two_by_two(1, 0, 2, -1));
    name_tensor(d, "do", do_);
    put_matrix(d, "do:", "do", queries, "dim 0 | dim 1");
    put_text(d, "The values: a value that two queries used hears from both.");
    RUN(const grd_tensor *dv = grd_matmul(grd_transpose(p, 0, 1), do_));
    name_tensor(d, "dv", dv);
    put_matrix(d, "dv:", "dv", keys, "dim 0 | dim 1");
    put_text(d, "The weights: how much each value would have helped.");
    RUN(const grd_tensor *dp = grd_matmul(do_, grd_transpose(v, 0, 1)));
    name_tensor(d, "dp", dp);
    put_matrix(d, "dp:", "dp", queries, keys);
    put_text(d, "The scores, by softmax's short way: less the mean of dp under p, times p.");
    RUN(const grd_tensor *terms = grd_mul(p, dp));
    RUN(const grd_tensor *mean = grd_sum_dims(terms, GRD_DIMS(1), GRD_KEEP_DIMS));
    RUN(const grd_tensor *ds = grd_mul(p, grd_sub(dp, mean)));
    name_tensor(d, "mean", mean);
    name_tensor(d, "ds", ds);
    put_text(d, "For query 0 the mean is {mean[0,0]}, and its first score gets {p[0,0]} · "
                "({dp[0,0]} - {mean[0,0]}) = {ds[0,0]}. A row of ds sums to zero.");
    put_matrix(d, "ds:", "ds", queries, keys);
    by_hand[0] = ds;
    by_hand[2] = dv;
    return do_;
}

/* by_hand gets the gradients of queries and keys. */
static void tell_queries_and_keys(document *d, const grd_tensor *q, const grd_tensor *k,
                                  const grd_tensor *by_hand[3])
{
    const grd_tensor *ds = by_hand[0];
    put_text(d, "Queries and keys: the product's other factor, and the division once more.");
    RUN(const grd_tensor *dr = grd_div(ds, grd_sqrt(grd_scalar(2))));
    RUN(const grd_tensor *dq = grd_matmul(dr, k));
    RUN(const grd_tensor *dk = grd_matmul(grd_transpose(dr, 0, 1), q));
    name_tensor(d, "dq", dq);
    name_tensor(d, "dk", dk);
    put_matrix(d, "dq:", "dq", queries, "dim 0 | dim 1");
    put_matrix(d, "dk:", "dk", keys, "dim 0 | dim 1");
    by_hand[0] = dq;
    by_hand[1] = dk;
}

void tell_attention(document *d)
{
    put_text(d, "One head, two tokens, two numbers for each: small enough to follow every number "
                "through attention and back. Rows are tokens.");
    RUN(grd_tensor *q = grd_require_grad(two_by_two(1, 0, 1, 3)));
    RUN(grd_tensor *k = grd_require_grad(two_by_two(1, 1, 0, 2)));
    RUN(grd_tensor *v = grd_require_grad(two_by_two(1, 2, 3, -1)));
    name_tensor(d, "q", q);
    name_tensor(d, "k", k);
    name_tensor(d, "v", v);

    const grd_tensor *p = tell_forward(d, q, k, v);
    const grd_tensor *by_hand[3] = { NULL, NULL, NULL };
    const grd_tensor *gradient = tell_backward(d, p, v, by_hand);
    tell_queries_and_keys(d, q, k, by_hand);
    compare(d, (grd_tensor *[]){ q, k, v }, gradient, by_hand);
    put_text(d, "`grd_sdpa` and its backward give the same dq, dk and dv: the largest difference "
                "is {difference:2}.");
    put_question(d,
                 "In a causal model query 0 does not see key 1. Which numbers of ds are then "
                 "zero?",
                 "The whole first row: with one key left its weight is one whatever the score is, "
                 "and `p (dp - dp)` is zero. Only the second row still teaches q and k.");
}
