/* Attention alone does not see order: shuffle the keys with their values, and nothing changes.
 * Three ways to tell it where tokens stand, each made of public ops and shown by the property that
 * defines it. */
#include <gradus/gradus.h>
#include <math.h>

/* Key's position minus query's: i64 (T, T). */
static grd_tensor *distances(int64_t T)
{
    grd_tensor *position = grd_arange(0, T, 1);
    return grd_sub(position, grd_unsqueeze(position, 1));
}

/* ---- 1. Rotary (RoPE): query and key heads are turned, before attention ---- */

/* x (..., T, D), token t at position first + t: the pair (x[i], x[i + D / 2]) turns by the angle
 * position * 10000^(-2 i / D). The product of two turned pairs knows only by how much more one of
 * them was turned. */
static grd_tensor *rotated(const grd_tensor *x, int64_t first)
{
    const int64_t T = grd_tensor_size(x, -2), half = grd_tensor_size(x, -1) / 2;
    const grd_dtype dtype = grd_tensor_dtype(x);
    grd_tensor *position = grd_unsqueeze(grd_cast(grd_arange(first, first + T, 1), dtype), 1);
    grd_tensor *i = grd_cast(grd_arange(0, half, 1), dtype);
    grd_tensor *speed = grd_exp(grd_mul_scalar(i, -log(10000) / (double)half));
    grd_tensor *angle = grd_mul(position, speed); /* (T, D / 2) */
    grd_tensor *c = grd_cos(angle), *s = grd_sin(angle);
    grd_tensor *a = grd_slice(x, -1, 0, half, 1), *b = grd_slice(x, -1, half, GRD_END, 1);
    return grd_cat(GRD_LIST(grd_sub(grd_mul(a, c), grd_mul(b, s)),
                            grd_add(grd_mul(b, c), grd_mul(a, s))), -1);
}

static double largest_difference(const grd_tensor *a, const grd_tensor *b)
{
    return grd_item(grd_max(grd_abs(grd_sub(a, b))));
}

static void rotary(grd_rng *rng)
{
    enum { B = 1, H = 2, T = 12, D = 16 };
    const grd_sdpa_options looking = { .weights = GRD_PER_HEAD };
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_tensor *q = grd_randn(rng, GRD_SHAPE(B, H, T, D));
    grd_tensor *k = grd_randn(rng, GRD_SHAPE(B, H, T, D));
    grd_tensor *v = grd_randn(rng, GRD_SHAPE(B, H, T, D)); /* values are not turned */

    grd_attention here = grd_sdpa(rotated(q, 0), rotated(k, 0), v, &looking);
    grd_attention far = grd_sdpa(rotated(q, 1000), rotated(k, 1000), v, &looking);
    grd_attention apart = grd_sdpa(rotated(q, 5), rotated(k, 0), v, &looking);
    printf("Rotary: only the distance counts.\n");
    printf("  all positions + 1000: weights differ by %.0e\n",
           largest_difference(here.weights, far.weights));
    printf("  queries alone + 5:    weights differ by %.2f\n",
           largest_difference(here.weights, apart.weights));

    /* The same token everywhere: without positions all weights are 1 / T; turned, near ones win. */
    grd_tensor *same = grd_expand(grd_full(GRD_SHAPE(1), 1.5), GRD_SHAPE(1, 1, T, D));
    grd_tensor *turned = rotated(same, 0);
    grd_tensor *without = grd_sdpa(same, same, same, &looking).weights;
    grd_tensor *with = grd_sdpa(turned, turned, same, &looking).weights;
    printf("  the same token %d times, the first one's weight for itself: %.3f without, %.3f with\n",
           T, grd_item_at(without, GRD_DIMS(0, 0, 0, 0)), grd_item_at(with, GRD_DIMS(0, 0, 0, 0)));
    grd_print_matrix(stdout, grd_select(grd_select(with, 0, 0), 0, 0));
    grd_scope_end(scope);
}

/* ---- 2. ALiBi: a key loses a head's slope for each step of distance, as an additive mask ---- */

/* 2^(-8 h / H), h = 1..H: (H, 1, 1). */
static grd_tensor *slopes(int64_t H)
{
    grd_tensor *h = grd_cast(grd_arange(1, H + 1, 1), GRD_F32);
    return grd_reshape(grd_exp(grd_mul_scalar(h, -8 * log(2) / (double)H)), GRD_SHAPE(H, 1, 1));
}

static void alibi(void)
{
    enum { B = 1, H = 4, T = 12, D = 8 };
    grd_scope *scope = grd_scope_begin();
    grd_tensor *steps = grd_cast(grd_abs(distances(T)), GRD_F32);
    grd_tensor *bias = grd_neg(grd_mul(slopes(H), steps)); /* (H, T, T): the same for all samples */
    grd_sdpa_options options = { .mask = { .causal = true, .additive = bias },
                                 .weights = GRD_PER_HEAD };

    /* Without content (q = k = 0) only the mask speaks. */
    grd_tensor *x = grd_zeros(GRD_SHAPE(B, H, T, D));
    grd_tensor *weights = grd_sdpa(x, x, x, &options).weights;
    grd_tensor *last = grd_log(grd_select(weights, -2, T - 1)); /* the last query's: (B, H, T) */
    printf("\nALiBi: the log of a weight falls by the head's slope with each step back.\n");
    for (int64_t h = 0; h < H; h++) {
        printf("  head %d, slope %.6f:", (int)h + 1, grd_item_at(slopes(H), GRD_DIMS(h, 0, 0)));
        for (int64_t j = T - 1; j > T - 5; j--)
            printf(" %.6f", grd_item_at(last, GRD_DIMS(0, h, j)) -
                            grd_item_at(last, GRD_DIMS(0, h, j - 1)));
        printf("\n");
    }
    printf("What the mask leaves of a key: head 1 is steep and looks near, head 2 looks further.\n");
    grd_print_matrix(stdout, grd_tril(grd_exp(grd_select(bias, 0, 0)), 0));
    grd_print_matrix(stdout, grd_tril(grd_exp(grd_select(bias, 0, 1)), 0));
    printf("  kernel: %s\n", grd_sdpa_explain(x, x, x, &options).chosen);
    grd_scope_end(scope);
}

/* ---- 3. Relative bias: a number for each head and distance, learned ---- */

enum { FARTHEST = 4 }; /* what lies further off counts as this far; T5's buckets widen instead */

/* table (2 FARTHEST + 1, H) -> (H, T, T) */
static grd_tensor *relative_bias(const grd_tensor *table, int64_t T)
{
    grd_tensor *bucket = grd_add_scalar(grd_clamp(distances(T), -FARTHEST, FARTHEST), FARTHEST);
    return grd_permute(grd_embedding(bucket, table), GRD_DIMS(2, 0, 1));
}

static void relative(grd_rng *rng)
{
    enum { B = 16, H = 1, T = 12, D = 8, STEPS = 200 };
    grd_scope *scope = grd_scope_begin();
    grd_module *bias = grd_module_create("RelativeBias", 0, NULL);
    grd_tensor *table = grd_module_add_parameter(bias, "table",
                                                 grd_zeros(GRD_SHAPE(2 * FARTHEST + 1, H)));
    grd_optimizer *optimizer = grd_adam_create(bias, NULL);

    /* The task: say the previous token. The content (q = k = x) speaks for the token itself. */
    printf("\nRelative bias: learns to look at the previous token.\n");
    for (int step = 0; step <= STEPS; step++) {
        grd_scope *pass = grd_scope_begin();
        grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, H, T, D));
        grd_sdpa_options options = { .mask = { .additive = relative_bias(table, T) },
                                     .weights = GRD_PER_HEAD };
        grd_attention a = grd_sdpa(x, x, x, &options);
        grd_tensor *said = grd_slice(a.output, 2, 1, GRD_END, 1);
        grd_tensor *previous = grd_slice(x, 2, 0, T - 1, 1);
        grd_tensor *loss = grd_mse_loss(said, previous, GRD_MEAN);
        if (step % 50 == 0)
            printf("  step %3d  loss %.4f\n", step, grd_item(loss));
        if (step == STEPS) {
            grd_kernel_choice kernel = grd_sdpa_explain(x, x, x, &options);
            grd_print_matrix(stdout, grd_select(grd_select(a.weights, 0, 0), 0, 0));
            printf("  kernel: %s, since %s\n", kernel.chosen, kernel.refused[0].reason);
        }
        grd_backward(loss);
        grd_optimizer_step(optimizer, 0.1);
        grd_scope_end(pass);
    }
    for (int d = -FARTHEST; d <= FARTHEST; d++)
        printf("  distance %+d: %6.2f\n", d, grd_item_at(table, GRD_DIMS(d + FARTHEST, 0)));
    grd_scope_end(scope);
}

int main(void)
{
    grd_scope *run = grd_scope_begin();
    grd_rng *rng = grd_rng_create(42);
    rotary(rng);
    alibi();
    relative(rng);
    if (grd_scope_end(run) != GRD_OK) {
        fprintf(stderr, "%s\n", grd_error_message());
        return 1;
    }
    return 0;
}
