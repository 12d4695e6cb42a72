#include "autograd/attention.h"
#include "tests/op_cases.h"

#include <math.h>

/* ---- The mask ---- */

enum { QUERIES = 3, KEYS = 4, LEFT = 1, RIGHT = 1, APPENDED = 1 };

/* attend [2, 1, 3, 4], ignore [3, 1, 1], key_ignore [2, 1, 1, 4], lengths [2, 1, 1, 1]; the
 * diagonal ends at the last key before the length. */
static void mask_reference(const plain x[], plain *y)
{
    *y = (plain){ 4, { 2, 3, QUERIES, KEYS + APPENDED }, { 0 } };
    for (long at = 0; at < count_of(y); at++) {
        const long j = at % (KEYS + APPENDED), row = at / (KEYS + APPENDED), i = row % QUERIES;
        const long h = row / QUERIES % 3, b = row / QUERIES / 3;
        const long length = (long)x[3].value[b], diagonal = i + length - QUERIES;
        const bool shown = x[0].value[(b * QUERIES + i) * KEYS + j] > 0 && x[1].value[h] == 0 &&
                           x[2].value[b * KEYS + j] == 0 && j < length && j >= diagonal - LEFT &&
                           j <= diagonal + RIGHT;
        y->value[at] = j >= KEYS || shown;
    }
}

static grd_tensor *run_mask(const grd_tensor *const x[])
{
    const grdi_mask_parts parts = { x[0], x[1], x[2], NULL, x[3] };
    const grdi_mask band = {
        .left = LEFT, .right = RIGHT, .offset = -QUERIES, .by_length = true, .appended = APPENDED
    };
    const grd_shape scores = S4(2, 3, QUERIES, KEYS);
    return grd_cast(grdi_attention_mask(&parts, &band, &scores, grd_tensor_device(x[0])), GRD_F64);
}

/* Keys that an additive part does not put at -inf: here log(0), at random. */
static void additive_reference(const plain x[], plain *y)
{
    *y = x[0];
}

static grd_tensor *run_additive(const grd_tensor *const x[])
{
    const grdi_mask_parts parts = { .additive = grd_log(grd_cast(x[0], GRD_F32)) };
    const grdi_mask band = { .left = INT64_MAX, .right = INT64_MAX };
    const grd_shape scores = S3(5, 3, 4);
    return grd_cast(grdi_attention_mask(&parts, &band, &scores, grd_tensor_device(x[0])), GRD_F64);
}

/* ---- Weights ---- */

static const double scale = -0.7;

/* Score, or -inf where hidden. */
static double score(const plain x[], long at)
{
    const double z = scale * x[0].value[at] + stretched(&x[1], &x[0], at);
    return stretched(&x[2], &x[0], at) > 0 ? z : -INFINITY;
}

static double row_sum(const plain x[], long row)
{
    const long n = x[0].size[x[0].rank - 1];
    double sum = 0;
    for (long j = 0; j < n; j++)
        sum += exp(score(x, row * n + j));
    return sum;
}

static void weights_reference(const plain x[], plain *y)
{
    *y = x[0];
    const long n = x[0].size[x[0].rank - 1];
    for (long at = 0; at < count_of(y); at++) {
        const double sum = row_sum(x, at / n);
        y->value[at] = sum > 0 ? exp(score(x, at)) / sum : 0;
    }
}

static void unmasked_reference(const plain x[], plain *y)
{
    const plain all[] = { x[0], { 0, { 0 }, { 0 } }, { 0, { 0 }, { 1 } } };
    weights_reference(all, y);
}

static void logsumexp_reference(const plain x[], plain *y)
{
    *y = x[0];
    y->rank--;
    for (long row = 0; row < count_of(y); row++)
        y->value[row] = log(row_sum(x, row));
}

static grd_tensor *run_weights(const grd_tensor *const x[])
{
    return grdi_weights(x[0], x[1], x[2], scale, NULL);
}

static grd_tensor *run_unmasked(const grd_tensor *const x[])
{
    return grdi_weights(x[0], NULL, NULL, scale, NULL);
}

static grd_tensor *run_logsumexp(const grd_tensor *const x[])
{
    grd_tensor *lse = NULL;
    const grd_tensor *y = grdi_weights(x[0], x[1], x[2], scale, &lse);
    return y ? lse : NULL;
}

/* dx = scale y (dy - sum(y dy)) of the kept. */
static void backward_reference(const plain x[], plain *y)
{
    *y = x[0];
    const long n = x[0].size[x[0].rank - 1];
    for (long at = 0; at < count_of(y); at++) {
        double dot = 0;
        for (long j = at / n * n; j < at / n * n + n; j++)
            dot += stretched(&x[2], &x[0], j) > 0 ? x[0].value[j] * x[1].value[j] : 0;
        const bool kept = stretched(&x[2], &x[0], at) > 0;
        y->value[at] = kept ? scale * x[0].value[at] * (x[1].value[at] - dot) : 0;
    }
}

static grd_tensor *run_backward(const grd_tensor *const x[])
{
    return grdi_masked_softmax_backward(x[0], x[1], x[2], scale);
}

/* ---- Products ---- */

static bool kept(const plain *keep, const plain *pairs, long at)
{
    return stretched(keep, pairs, at) > 0;
}

/* y [.., M, N] = a [.., M, K] b [.., N, K]^T of the kept, else 0; b's batch may be 1. */
static void products_reference(const plain x[], plain *y)
{
    const long k = x[0].size[2], m = x[0].size[1], n = x[1].size[1];
    *y = (plain){ 3, { x[0].size[0], m, n }, { 0 } };
    for (long at = 0; at < count_of(y); at++) {
        const long batch = at / (m * n), of_b = x[1].size[0] == 1 ? 0 : batch;
        for (long i = 0; i < k && kept(&x[2], y, at); i++)
            y->value[at] += x[0].value[at / n * k + i] * x[1].value[(of_b * n + at % n) * k + i];
    }
}

static grd_tensor *run_products(const grd_tensor *const x[])
{
    return grd_masked_fill(grdi_scores(x[0], x[1], x[2]), grd_logical_not(x[2]), 0);
}

/* y [.., M, N] = sum of a [.., M, K] b [.., K, N] over the kept k. */
static void sums_reference(const plain x[], plain *y)
{
    const long k = x[0].size[2], m = x[0].size[1], n = x[1].size[2];
    *y = (plain){ 3, { x[0].size[0], m, n }, { 0 } };
    for (long at = 0; at < count_of(y); at++) {
        const long batch = at / (m * n), of_b = x[1].size[0] == 1 ? 0 : batch;
        for (long i = 0; i < k; i++)
            if (kept(&x[2], &x[0], at / n * k + i))
                y->value[at] +=
                    x[0].value[at / n * k + i] * x[1].value[(of_b * k + i) * n + at % n];
    }
}

static grd_tensor *run_sums(const grd_tensor *const x[])
{
    return grdi_mix(grd_masked_fill(x[0], grd_logical_not(x[2]), 0), x[1], x[2]);
}

/* ---- Bad input ---- */

static grd_tensor *run_float_keep(const grd_tensor *const x[])
{
    return grd_at(grdi_weights(x[0], NULL, x[1], 1, NULL), __FILE__, __LINE__);
}

static grd_tensor *run_wide_additive(const grd_tensor *const x[])
{
    return grd_at(grdi_weights(x[0], x[1], NULL, 1, NULL), __FILE__, __LINE__);
}

static grd_tensor *run_misfit_products(const grd_tensor *const x[])
{
    return grd_at(grdi_scores(x[0], x[1], grd_cast(x[0], GRD_BOOL)), __FILE__, __LINE__);
}

static grd_tensor *run_misfit_sums(const grd_tensor *const x[])
{
    return grd_at(grdi_mix(x[0], x[1], grd_cast(x[0], GRD_BOOL)), __FILE__, __LINE__);
}

static grd_tensor *run_misfit_keep(const grd_tensor *const x[])
{
    return grd_at(grdi_mix(x[0], x[0], grd_cast(x[1], GRD_BOOL)), __FILE__, __LINE__);
}

/* clang-format off */
static const op_case cases[] = {
    { "attention_mask", "attention_mask", run_mask, mask_reference, 4,
      { S4(2, 1, 3, 4), S3(3, 1, 1), S4(2, 1, 1, 4), S4(2, 1, 1, 1) }, { BOOL, BOOL, BOOL, INDEX },
      .limit = KEYS + 1, .no_derivative = true },
    { "attention_mask, -inf added", "attention_mask", run_additive, additive_reference, 1,
      { S3(1, 3, 4) }, { BOOL }, .no_derivative = true },
    { "attention_weights", "masked_softmax", run_weights, weights_reference, 3,
      { S3(2, 3, 5), S2(3, 5), S3(2, 1, 5) }, { REAL, REAL, BOOL } },
    { "attention_weights, few shown", "masked_softmax", run_weights, weights_reference, 3,
      { S4(2, 2, 4, 2), S2(1, 1), S3(2, 4, 2) }, { REAL, REAL, BOOL } },
    { "attention_weights, long", "masked_softmax", run_weights, weights_reference, 3,
      { S2(3, 45), S2(3, 1), S2(3, 45) }, { REAL, REAL, BOOL } },
    { "attention_weights, unmasked", "masked_softmax", run_unmasked, unmasked_reference, 1,
      { S2(3, 17) } },
    { "attention_weights, empty", "masked_softmax", run_unmasked, unmasked_reference, 1,
      { S2(3, 0) } },
    { "attention_logsumexp", "masked_softmax", run_logsumexp, logsumexp_reference, 3,
      { S3(2, 3, 8), S1(8), S2(3, 8) }, { REAL, REAL, BOOL } },
    { "attention_weights, backward", "masked_softmax_backward", run_backward, backward_reference, 3,
      { S3(2, 3, 19), S3(2, 3, 19), S2(3, 19) }, { REAL, REAL, BOOL }, .no_derivative = true },
    { "attention_scores", "kept_products", run_products, products_reference, 3,
      { S3(2, 3, 4), S3(2, 5, 4), S3(2, 3, 5) }, { REAL, REAL, BOOL } },
    { "attention_scores, one key for all", "kept_products", run_products, products_reference, 3,
      { S3(3, 2, 4), S3(1, 5, 4), S2(1, 5) }, { REAL, REAL, BOOL } },
    { "attention_scores, empty", "kept_products", run_products, products_reference, 3,
      { S3(2, 3, 0), S3(2, 5, 0), S3(2, 3, 5) }, { REAL, REAL, BOOL } },
    { "attention_mix", "kept_sums", run_sums, sums_reference, 3,
      { S3(2, 3, 4), S3(2, 4, 5), S3(2, 3, 4) }, { REAL, REAL, BOOL } },
    { "attention_mix, one value for all", "kept_sums", run_sums, sums_reference, 3,
      { S3(2, 3, 4), S3(1, 4, 5), S2(3, 1) }, { REAL, REAL, BOOL } },
    { "attention_mix, empty", "kept_sums", run_sums, sums_reference, 3,
      { S3(2, 3, 0), S3(2, 0, 5), S3(2, 3, 0) }, { REAL, REAL, BOOL } },
};

static const bad_case bad[] = {
    { "masked_softmax: keep is f32, not bool", run_float_keep, { S2(2, 3), S2(2, 3) } },
    { "masked_softmax: additive [2, 4] does not broadcast to [2, 3]", run_wide_additive,
      { S2(2, 3), S2(2, 4) } },
    { "kept_products: a [2, 3] does not fit b [2, 4]", run_misfit_products, { S2(2, 3), S2(2, 4) } },
    { "kept_sums: a [2, 3] does not fit b [2, 3]", run_misfit_sums, { S2(2, 3), S2(2, 3) } },
    { "kept_sums: keep [2, 1] does not broadcast to [3, 3]", run_misfit_keep,
      { S2(3, 3), S2(2, 1) } },
};
/* clang-format on */

const op_family attention_family = OP_FAMILY(cases, bad);
