/* Scaled dot product attention: dropout of the weights. */
#include "tests/nn/attention_problem.h"

#include <math.h>

static const problem_size common = { 2, 4, 2, 33, 70, 8, 5 };

static grd_sdpa_options dropping(double p, uint64_t seed)
{
    return (grd_sdpa_options){ .dropout = p, .rng = grd_rng_create(seed) };
}

EACH_PATH(attention_dropout, repeats_with_its_seed)
{
    const problem p = problem_of(common);
    grd_sdpa_options options = dropping(0.3, 5);
    const solution a = solve(&p, &options), later = solve(&p, &options);
    options = dropping(0.3, 5);
    const solution b = solve(&p, &options), b_later = solve(&p, &options);
    options = dropping(0.3, 6);
    const solution other = solve(&p, &options);
    cr_assert(same(&a, &b), "the same seed");
    cr_assert(same(&later, &b_later), "and the stream goes on alike");
    cr_assert_not(grd_equal(a.a.output, later.a.output), "it does go on");
    cr_assert_not(grd_equal(a.a.output, other.a.output));
}

EACH_PATH(attention_dropout, of_none_is_none)
{
    const problem p = problem_of(common);
    const grd_sdpa_options options = dropping(0, 5);
    const solution a = solve(&p, &options), b = solve(&p, NULL);
    cr_assert(same(&a, &b));
}

/* The share of weights that stays is binomial: it lies within 6 standard deviations, so this fails
 * for one seed in 500 million, and the seed is fixed. */
EACH_PATH(attention_dropout, keeps_the_share_that_is_stated)
{
    static const double rates[] = { 0.1, 0.3, 0.5, 0.9 };
    const grd_tensor *q = grd_zeros(GRD_SHAPE(8, 4, 32, 2));
    const grd_tensor *k = grd_zeros(GRD_SHAPE(8, 4, 50, 2));
    const grd_tensor *v = grd_ones(GRD_SHAPE(8, 4, 50, 1));
    const double n = 8 * 4 * 32 * 50;
    for (int i = 0; i < 4; i++) {
        const double p = rates[i], deviation = sqrt(p * (1 - p) / n);
        grd_sdpa_options options = dropping(p, 5);
        options.dropped_weights = true;
        options = of_path(&options);
        const grd_attention a = grd_sdpa(q, k, v, &options);
        const grd_tensor *stay = grd_cast(grd_gt_scalar(a.dropped_weights, 0), GRD_F64);
        cr_assert_float_eq(grd_item(grd_mean(stay)), 1 - p, 6 * deviation, "p = %g", p);
        /* Each output is the share of its row that stays, over 1 - p: the mean is 1. */
        cr_assert_float_eq(grd_item(grd_mean(grd_cast(a.output, GRD_F64))), 1,
                           6 * deviation / (1 - p) + 1e-6, "p = %g", p);
        const double largest = grd_item(grd_max(a.dropped_weights));
        cr_assert_float_eq(largest, 1 / (50 * (1 - p)), 1e-6, "what stays is scaled");
    }
}

/* Over many draws the mean of output and gradients is what they are without dropout. */
EACH_PATH(attention_dropout, preserves_the_mean)
{
    enum { DRAWS = 400 };
    const problem p = problem_of((problem_size){ 1, 2, 2, 5, 7, 4, 3 });
    const solution plain = solve(&p, NULL);
    const grd_tensor *sum = grd_zeros_like(plain.a.output), *squares = sum;
    const grd_tensor *dv_sum = grd_zeros_like(plain.dv), *dv_squares = dv_sum;
    for (int i = 0; i < DRAWS; i++) {
        const grd_sdpa_options options = dropping(0.4, (uint64_t)i);
        const solution s = solve(&p, &options);
        const grd_tensor *off = grd_sub(grd_detach(s.a.output), grd_detach(plain.a.output));
        const grd_tensor *dv_off = grd_sub(s.dv, plain.dv);
        sum = grd_add(sum, off);
        squares = grd_add(squares, grd_square(off));
        dv_sum = grd_add(dv_sum, dv_off);
        dv_squares = grd_add(dv_squares, grd_square(dv_off));
    }
    /* The sum of DRAWS deviations is within 6 of its standard deviations, estimated from them. */
    const grd_tensor *z = grd_div(grd_square(sum), squares);
    const grd_tensor *dv_z = grd_div(grd_square(dv_sum), dv_squares);
    cr_assert_leq(grd_item(grd_max(z)), 36);
    cr_assert_leq(grd_item(grd_max(dv_z)), 36);
}

/* Backward drops what forward dropped: all gradients are those of the weights that stayed, as they
 * come out of ops on the dropped weights themselves. */
EACH_PATH(attention_dropout, is_the_same_in_backward)
{
    const problem p = problem_of((problem_size){ 2, 2, 2, 33, 70, 8, 5 });
    grd_sdpa_options options = dropping(0.5, 7);
    options.dropped_weights = true;
    const solution s = solve(&p, &options);
    const grd_tensor *seen = grd_gt_scalar(grd_detach(s.a.dropped_weights), 0);
    const grd_tensor *stays = grd_div_scalar(grd_cast(seen, path->dtype), 0.5);
    grd_tensor *x[] = { grd_require_grad(grd_detach(p.q)), grd_require_grad(grd_detach(p.k)),
                        grd_require_grad(grd_detach(p.v)) };
    const grd_tensor *scores =
        grd_div_scalar(grd_matmul(x[0], grd_transpose(x[1], -1, -2)), sqrt(8));
    const grd_tensor *y = grd_matmul(grd_mul(grd_softmax(scores, -1), stays), x[2]);
    grd_backward_with(y, &(grd_backward_options){ .gradient = p.dy });
    const solution wanted = { { .output = grd_detach(y) },
                              grd_tensor_grad(x[0]),
                              grd_tensor_grad(x[1]),
                              grd_tensor_grad(x[2]) };
    const double loose = path->dtype == GRD_F64 ? 1e-12 : 1e-5;
    cr_assert(grd_allclose(s.a.output, wanted.a.output, loose, loose));
    cr_assert(grd_allclose(s.dq, wanted.dq, loose, loose), "dq");
    cr_assert(grd_allclose(s.dk, wanted.dk, loose, loose), "dk");
    cr_assert(grd_allclose(s.dv, wanted.dv, loose, loose), "dv");
}

/* The kernels drop the same weights: a seed means the same on both. */
Test(attention_dropout, is_the_same_on_every_path)
{
    grd_tensor *dropped[4];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    rng = grd_rng_create(1);
    const problem p = problem_of(common);
    for (int i = 0; i < 4; i++) {
        path = &attention_paths[i];
        const problem cast = { grd_cast(p.q, path->dtype), grd_cast(p.k, path->dtype),
                               grd_cast(p.v, path->dtype), grd_cast(p.dy, path->dtype) };
        const grd_sdpa_options options = dropping(0.4, 9);
        dropped[i] = grd_cast(solve(&cast, &options).a.output, GRD_F64);
        cr_assert(grd_allclose(dropped[i], dropped[0], 1e-5, 1e-5), "%s", path->name);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
