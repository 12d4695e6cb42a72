#include "bench/op_cases.h"

#include <gradus/gradus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VOCAB = 1000, BEST = 8, SMALL = 1 << 16 /* elements: several runs make a sample */ };

/* [R, C], but weight and bias [C], table [VOCAB, C], targets (below C) and tokens (below VOCAB)
 * [R]. The first six require gradients. */
typedef struct inputs {
    grd_tensor *x, *y, *positive, *weight, *bias, *table;
    grd_tensor *mask, *targets, *tokens;
    grd_tensor *half, *brain, *twice; /* x in f16, bf16 and f64 */
    grd_rng *rng;
    int64_t rows, columns;
} inputs;

struct op_case {
    inputs in;
    grd_tensor *(*run)(const inputs *in);
    grd_tensor *dy; /* NULL: forward is timed */
    int runs;       /* in a sample */
};

#define OP(name, value)                                                                            \
    static grd_tensor *run_##name(const inputs *in)                                                \
    {                                                                                              \
        return value;                                                                              \
    }
#define NEW OP
#include "bench/op_cases.def"

static const struct {
    const char *name;
    grd_tensor *(*run)(const inputs *in);
    bool walks;
} ops[] = {
#define OP(name, value) { #name, run_##name, true },
#define NEW(name, value) { #name, run_##name, false },
#include "bench/op_cases.def"
};
enum { OPS = sizeof ops / sizeof ops[0] };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static grd_tensor *leaf(const grd_tensor *x, grd_dtype dtype)
{
    return grd_require_grad(grd_cast(x, dtype));
}

static void make_inputs(inputs *in, int64_t rows, int64_t columns, grd_dtype dtype)
{
    const grd_shape shape = GRD_SHAPE(rows, columns);
    *in = (inputs){ .rng = grd_rng_create(1), .rows = rows, .columns = columns };
    in->x = leaf(grd_randn(in->rng, shape), dtype);
    in->y = leaf(grd_randn(in->rng, shape), dtype);
    in->positive = leaf(grd_add_scalar(grd_rand(in->rng, shape), 0.1), dtype);
    in->weight = leaf(grd_randn(in->rng, GRD_SHAPE(columns)), dtype);
    in->bias = leaf(grd_randn(in->rng, GRD_SHAPE(columns)), dtype);
    in->table = leaf(grd_randn(in->rng, GRD_SHAPE(VOCAB, columns)), dtype);
    in->mask = grd_gt_scalar(grd_randn(in->rng, shape), 0);
    in->targets = grd_randint(in->rng, 0, columns, GRD_SHAPE(rows));
    in->tokens = grd_randint(in->rng, 0, VOCAB, GRD_SHAPE(rows));
    const grd_tensor *values = grd_detach(in->x);
    in->half = grd_cast(values, GRD_F16);
    in->brain = grd_cast(values, GRD_BF16);
    in->twice = grd_cast(values, GRD_F64);
}

static op_case *create(int op, bool backward, int64_t rows, int64_t columns, grd_dtype dtype)
{
    op_case *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    make_inputs(&c->in, rows, columns, dtype);
    c->run = ops[op].run;
    c->runs = rows * columns <= SMALL ? 10 : 1;
    if (backward) {
        grd_scope *scope = grd_scope_begin_no_grad();
        c->dy = grd_scope_return(scope, grd_ones_like(c->run(&c->in)));
    }
    return c;
}

op_case *op_case_create(const char *name)
{
    char way[16], op[32], type[8] = "f32";
    long long rows, columns;
    if (sscanf(name, "op.%15[a-z].%31[a-z0-9_].%lld.%lld.%7s", way, op, &rows, &columns, type) < 4)
        return NULL;
    const bool backward = strcmp(way, "backward") == 0;
    const grd_dtype dtype = strcmp(type, "f64") == 0 ? GRD_F64 : GRD_F32;
    for (int i = 0; i < OPS; i++)
        if (strcmp(ops[i].name, op) == 0 && (ops[i].walks || !backward))
            return create(i, backward, rows, columns, dtype);
    return NULL;
}

static double forward(const op_case *c)
{
    const double start = now_us();
    for (int i = 0; i < c->runs; i++) {
        grd_scope *step = grd_scope_begin_no_grad();
        const grd_tensor *y = c->run(&c->in);
        (void)y;
        grd_scope_end(step);
    }
    return (now_us() - start) / c->runs;
}

static void drop_gradients(const inputs *in)
{
    grd_tensor *const leaves[] = { in->x, in->y, in->positive, in->weight, in->bias, in->table };
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++)
        grd_zero_grad(leaves[i]);
}

static double backward(const op_case *c)
{
    double time = 0;
    for (int i = 0; i < c->runs; i++) {
        grd_scope *step = grd_scope_begin();
        const grd_tensor *y = c->run(&c->in);
        const double start = now_us();
        grd_backward_with(y, &(grd_backward_options){ .gradient = c->dy });
        time += now_us() - start;
        drop_gradients(&c->in);
        grd_scope_end(step);
    }
    return time / c->runs;
}

double op_case_sample(op_case *c)
{
    return c->dy ? backward(c) : forward(c);
}
