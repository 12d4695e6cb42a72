/* A step of training: forward, loss, backward, clipping, AdamW. step.toy, step.character, and
 * step.B.T.E.H.LAYERS.V of any size; step.recompute.(the same) keeps the blocks' inputs only. */
#include "bench/cases.h"

#include <stdio.h>

static double time_step(bench *b, grd_tensor *(*forward)(const bench *b))
{
    const double start = bench_now();
    grd_scope *step = grd_scope_begin();
    grd_backward(grd_cross_entropy(forward(b), b->k, NULL));
    grd_clip_grad_norm(b->model, 1.0);
    grd_optimizer_step(b->optimizer, 1e-3);
    grd_scope_end(step);
    return bench_now() - start;
}

static grd_tensor *whole(const bench *b)
{
    return grd_forward(b->model, b->q);
}

static double sample(bench *b)
{
    return time_step(b, whole);
}

/* ---- Blocks that are computed again in backward ---- */

static grd_tensor *block_forward(const grd_tensor *const *x, void *block)
{
    const grd_mha_args args = { .mask = { .causal = true } };
    return grd_encoder_layer_forward(block, x[0], &args).output;
}

static grd_tensor *recomputed(const bench *b)
{
    grd_tensor *x = grd_forward(grd_module_get(b->model, "token_embedding"), b->q);
    x = grd_add(x, grd_module_parameter(b->model, "position_embedding.weight"));
    for (int64_t i = 0; i < b->size[4]; i++) {
        char name[32];
        snprintf(name, sizeof name, "blocks.%lld", (long long)i);
        x = grd_recompute(block_forward, grd_module_get(b->model, name), GRD_LIST(x));
    }
    x = grd_forward(grd_module_get(b->model, "norm"), x);
    return grd_forward(grd_module_get(b->model, "head"), x);
}

static double sample_recomputed(bench *b)
{
    return time_step(b, recomputed);
}

/* ---- Models ---- */

static void prepare_sizes(bench *b, const int64_t size[BENCH_SIZES])
{
    grd_rng *rng = grd_rng_create(1);
    const grd_transformer_options options = { .context = size[1],
                                              .embed_dim = size[2],
                                              .num_heads = size[3],
                                              .num_layers = size[4],
                                              .vocab_size = size[5],
                                              .direction = GRD_CAUSAL,
                                              .activation = GRD_GELU,
                                              .norm_first = true };
    const grd_shape shape = GRD_SHAPE(size[0], size[1]);
    b->model = grd_transformer_create(rng, &options);
    b->optimizer = grd_adamw_create(
        b->model, &(grd_adam_options){ .weight_decay = 0.01, .decay_matrices_only = true });
    b->q = grd_randint(rng, 0, size[5], shape);
    b->k = grd_randint(rng, 0, size[5], shape);
}

static void prepare(bench *b)
{
    prepare_sizes(b, b->size);
}

static void prepare_toy(bench *b)
{
    prepare_sizes(b, (const int64_t[]){ 16, 32, 64, 4, 2, 64 });
}

static void prepare_character(bench *b)
{
    prepare_sizes(b, (const int64_t[]){ 4, 256, 384, 6, 6, 65 });
}

const bench_kind bench_step_kinds[] = {
    { "step.toy", prepare_toy, sample },
    { "step.character", prepare_character, sample },
    { "step.recompute", prepare, sample_recomputed },
    { "step", prepare, sample },
    { NULL, NULL, NULL },
};
