/* attention.forward.B.H.L.D and attention.backward.B.H.L.D: causal, forward without a graph, or the
 * walk alone. */
#include "bench/cases.h"

static const grd_sdpa_options causal = { .mask = { .causal = true } };

static double sample_forward(bench *b)
{
    const double start = bench_now();
    for (int64_t run = 0; run < b->inner; run++) {
        grd_scope *step = grd_scope_begin_no_grad();
        const grd_attention a = grd_sdpa(b->q, b->k, b->v, &causal);
        (void)a;
        grd_scope_end(step);
    }
    return (bench_now() - start) / (double)b->inner;
}

/* Its forward is not timed. */
static double sample_backward(bench *b)
{
    double time = 0;
    for (int64_t run = 0; run < b->inner; run++) {
        grd_scope *step = grd_scope_begin();
        const grd_attention a = grd_sdpa(b->q, b->k, b->v, &causal);
        const double start = bench_now();
        grd_backward_with(a.output, &(grd_backward_options){ .gradient = b->dy });
        time += bench_now() - start;
        grd_zero_grad(b->q);
        grd_zero_grad(b->k);
        grd_zero_grad(b->v);
        grd_scope_end(step);
    }
    return time / (double)b->inner;
}

static void prepare(bench *b)
{
    grd_rng *rng = grd_rng_create(1);
    const grd_shape shape = GRD_SHAPE(b->size[0], b->size[1], b->size[2], b->size[3]);
    b->q = grd_require_grad(grd_randn(rng, shape));
    b->k = grd_require_grad(grd_randn(rng, shape));
    b->v = grd_require_grad(grd_randn(rng, shape));
    b->dy = grd_randn(rng, shape);
}

const bench_kind bench_attention_kinds[] = {
    { "attention.forward", prepare, sample_forward },
    { "attention.backward", prepare, sample_backward },
    { NULL, NULL, NULL },
};
