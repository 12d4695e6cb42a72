/* Single things: overhead.add, one of 100 chained additions of one element, forward and backward;
 * linear.M.N.K, x (M, K) times a weight (N, K), plus a bias; adamw.N, a step over N values; the ops
 * of op_cases.h. */
#include "bench/cases.h"
#include "bench/op_cases.h"

#include <stdio.h>
#include <stdlib.h>

static double sample_add(bench *b)
{
    enum { CHAIN = 100 };
    const double start = bench_now();
    for (int64_t run = 0; run < b->inner; run++) {
        grd_scope *step = grd_scope_begin();
        grd_tensor *y = b->q;
        for (int i = 0; i < CHAIN; i++)
            y = grd_add(y, b->k);
        grd_backward(y);
        grd_zero_grad(b->q);
        grd_scope_end(step);
    }
    return (bench_now() - start) / (double)(CHAIN * b->inner);
}

static void prepare_add(bench *b)
{
    b->q = grd_require_grad(grd_ones(GRD_SHAPE(1)));
    b->k = grd_ones(GRD_SHAPE(1));
    b->inner = 10;
}

static double sample_linear(bench *b)
{
    const double start = bench_now();
    for (int64_t run = 0; run < b->inner; run++) {
        grd_scope *step = grd_scope_begin_no_grad();
        const grd_tensor *y = grd_linear(b->q, b->k, b->v);
        (void)y;
        grd_scope_end(step);
    }
    return (bench_now() - start) / (double)b->inner;
}

static void prepare_linear(bench *b)
{
    const int64_t m = b->size[0], n = b->size[1], k = b->size[2];
    grd_rng *rng = grd_rng_create(1);
    b->q = grd_randn(rng, GRD_SHAPE(m, k));
    b->k = grd_randn(rng, GRD_SHAPE(n, k));
    b->v = grd_randn(rng, GRD_SHAPE(n));
    b->inner = 1 + 10000000 / (m * n * k);
}

/* A step drops the gradients: they are collected anew, untimed. */
static double sample_adamw(bench *b)
{
    grd_scope *step = grd_scope_begin();
    grd_backward_with(grd_mul(b->q, b->k), &(grd_backward_options){ .gradient = b->dy });
    const double start = bench_now();
    grd_optimizer_step(b->optimizer, 1e-3);
    const double time = bench_now() - start;
    grd_scope_end(step);
    return time;
}

static void prepare_adamw(bench *b)
{
    const int64_t rows = 1024, columns = b->size[0] / rows;
    grd_rng *rng = grd_rng_create(1);
    b->model = grd_linear_create(rng, columns, rows, &(grd_linear_options){ .no_bias = true });
    b->optimizer = grd_adamw_create(b->model, &(grd_adam_options){ .weight_decay = 0.01 });
    b->q = grd_module_parameter(b->model, "weight");
    b->k = grd_ones(GRD_SHAPE(1));
    b->dy = grd_randn(rng, GRD_SHAPE(rows, columns));
}

static double sample_op(bench *b)
{
    return op_case_sample(b->op);
}

static void prepare_op(bench *b)
{
    b->op = op_case_create(b->name);
    if (!b->op) {
        fprintf(stderr, "no op is called %s\n", b->name);
        exit(EXIT_FAILURE);
    }
}

const bench_kind bench_small_kinds[] = {
    { "overhead.add", prepare_add, sample_add },
    { "linear", prepare_linear, sample_linear },
    { "adamw", prepare_adamw, sample_adamw },
    { "op", prepare_op, sample_op },
    { NULL, NULL, NULL },
};
