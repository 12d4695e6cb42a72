/* Attention of one head without its weights in memory: scores are made a block at a time and
 * transposed, keys down and queries across, so that a vector holds one key's scores for as many
 * queries, and neither their largest nor their sum runs across a vector. */
#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"
#include "tensor/object.h"

#include <math.h>
#include <string.h>

enum {
    QUERIES = 2 * LANES, /* of a block, forward */
    KEYS = 144,
    BACK_QUERIES = 4 * LANES,
    BACK_KEYS = 96,
};

static const float LOWEST = -3e38f, LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

/* ---- A product small enough for the first cache ---- */

/* c [rows, width] = (keep ? factor [row] c : 0) + a [rows, depth] b [depth, width]; rows of b and c
 * are contiguous; factor NULL: 1. */
typedef struct product {
    const float *a, *b, *factor;
    float *c;
    int64_t a_row, a_column, b_row, c_row;
    int64_t depth, width;
    bool keep;
} product;

/* Rows and vectors are literals wherever this is inlined, so that the sums are registers; the last
 * vector has `part` elements. */
static inline __attribute__((always_inline)) void
tile(const int rows, const int vectors, const product *p, int64_t i, int64_t d, const int64_t part)
{
    vec sum[12][4];
    const float *a = p->a + i * p->a_row, *b = p->b + d;
    float *c = p->c + i * p->c_row + d;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const float *from = c + r * p->c_row + v * LANES;
            sum[r][v] = !p->keep       ? all(0)
                        : part < LANES ? load_part(from, part, all(0))
                                       : load(from);
            if (p->keep && p->factor)
                sum[r][v] *= all(p->factor[i + r]);
        }
    for (int64_t l = 0; l < p->depth; l++) {
        vec of_b[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            of_b[v] = part < LANES ? load_part(b + l * p->b_row, part, all(0))
                                   : load(b + l * p->b_row + v * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const vec factor = all(a[r * p->a_row + l * p->a_column]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[r][v] = mul_add(factor, of_b[v], sum[r][v]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            float *to = c + r * p->c_row + v * LANES;
            if (part < LANES)
                store_part(to, part, sum[r][v]);
            else
                store(to, sum[r][v]);
        }
}

/* All rows of `vectors` vectors' width: as many at a time as the registers hold. */
static inline __attribute__((always_inline)) void column(const int most, const int vectors,
                                                         const product *p, int64_t rows, int64_t d,
                                                         const int64_t part)
{
    int64_t i = 0;
    for (; i + most <= rows; i += most)
        tile(most, vectors, p, i, d, part);
    for (; i + 4 <= rows; i += 4)
        tile(4, vectors, p, i, d, part);
    for (; i < rows; i++)
        tile(1, vectors, p, i, d, part);
}

static void multiply(const product *p, int64_t rows)
{
    int64_t d = 0;
    for (; LANES == 16 && d + 4 * LANES <= p->width; d += 4 * LANES)
        column(6, 4, p, rows, d, LANES);
    for (; d + 2 * LANES <= p->width; d += 2 * LANES)
        column(LANES == 16 ? 12 : 6, 2, p, rows, d, LANES);
    for (; d + LANES <= p->width; d += LANES)
        column(8, 1, p, rows, d, LANES);
    if (d < p->width)
        column(8, 1, p, rows, d, p->width - d);
}

/* ---- Scores ---- */

/* panel [size, width] = factor x [n, size]^T, zero beyond n. */
static void transpose(float *panel, int64_t width, const float *x, int64_t row, int64_t n,
                      int64_t size, float factor)
{
    int64_t d = 0;
    for (; n == width && d + 4 <= size; d += 4)
        for (int64_t i = 0; i < width; i += 4)
            transpose_four(panel + d * width + i, width, x + i * row + d, row);
    for (; d < size; d++)
        for (int64_t i = 0; i < width; i++)
            panel[d * width + i] = i < n ? x[i * row + d] : 0;
    for (int64_t i = 0; i < size * width; i++)
        panel[i] *= factor;
}

/* A block of pairs: keys key.., queries query.., `width` of these across. */
typedef struct block {
    const grdi_head *head;
    int64_t query, queries, key, keys, width;
} block;

/* scores [keys, width] = x [keys, size] panel [size, width] */
static void scores_of(const block *b, const float *x, int64_t row, int64_t size, const float *panel,
                      float *scores)
{
    multiply(&(product){ .a = x + b->key * row,
                         .a_row = row,
                         .a_column = 1,
                         .b = panel,
                         .b_row = b->width,
                         .c = scores,
                         .c_row = b->width,
                         .depth = size,
                         .width = b->width },
             b->keys);
}

static int64_t clipped(int64_t x, int64_t most)
{
    return x < 0 ? 0 : x < most ? x : most;
}

/* The first and the last key, plus one, that any of n queries from `query` on may see. */
static void key_range(const grdi_head *h, int64_t query, int64_t n, int64_t *first, int64_t *last)
{
    const int64_t diagonal = query + h->diagonal;
    *first = clipped(diagonal - h->left, h->keys);
    *last = clipped(diagonal + n + h->right, h->keys);
}

/* Adds what is additive and hides what a mask hides, both in units of log2. */
static void apply_masks(const block *b, float *scores)
{
    const grdi_head *h = b->head;
    for (int64_t j = 0; j < b->keys && (h->additive || h->visible); j++)
        for (int64_t i = 0; i < b->queries; i++) {
            const int64_t query = b->query + i, key = b->key + j;
            float *score = &scores[j * b->width + i];
            if (h->additive)
                *score += LOG2_E * h->additive[query * h->additive_row + key * h->additive_column];
            if (h->visible && !h->visible[query * h->visible_row + key * h->visible_column])
                *score = -INFINITY;
        }
}

/* Hides what the window hides: for a key, all queries but those from key - diagonal - right to
 * key - diagonal + left. */
static void hide(const block *b, float *scores)
{
    const grdi_head *h = b->head;
    for (int64_t j = 0; j < b->keys; j++) {
        const int64_t at = b->key + j - h->diagonal - b->query;
        const int64_t first = clipped(at - h->right, b->width);
        const int64_t last = clipped(at + h->left + 1, b->width);
        for (int64_t i = 0; i < first; i++)
            scores[j * b->width + i] = -INFINITY;
        for (int64_t i = last; i < b->width; i++)
            scores[j * b->width + i] = -INFINITY;
    }
}

/* ---- Forward ---- */

/* Of the queries of a block: the largest score so far, and the sum of exponentials. */
typedef struct running {
    vec most[2], sum[2];
} running;

/* Turns scores into exponentials; `correction` is what earlier ones are to be multiplied by. */
static void exponentials(int64_t keys, float *scores, running *state, float *correction)
{
    for (int half = 0; half < 2; half++) {
        vec most = state->most[half], sum = all(0);
        float *column = scores + half * LANES;
        for (int64_t j = 0; j < keys; j++)
            most = max(load(column + j * QUERIES), most);
        for (int64_t j = 0; j < keys; j++) {
            const vec e = exp2_negative(load(column + j * QUERIES) - most);
            store(column + j * QUERIES, e);
            sum += e;
        }
        const vec factor = exp2_negative(state->most[half] - most);
        store(correction + half * LANES, factor);
        state->sum[half] = mul_add(state->sum[half], factor, sum);
        state->most[half] = most;
    }
}

/* mixed [queries, value_size] = sum of exponentials times values; panel has room for a block's
 * queries. */
static running mix_values(const grdi_head *h, int64_t query, int64_t queries, float *panel,
                          float *mixed)
{
    float scores[KEYS * QUERIES] __attribute__((aligned(64)));
    float correction[QUERIES] __attribute__((aligned(64)));
    running state = { { all(LOWEST), all(LOWEST) }, { all(0), all(0) } };
    int64_t key, end;
    transpose(panel, QUERIES, h->query + query * h->query_row, h->query_row, queries, h->size,
              h->scale * LOG2_E);
    key_range(h, query, queries, &key, &end);
    for (bool first = true; key < end; key += KEYS, first = false) {
        const int64_t keys = end - key < KEYS ? end - key : KEYS;
        const block b = { h, query, queries, key, keys, QUERIES };
        scores_of(&b, h->key, h->key_row, h->size, panel, scores);
        apply_masks(&b, scores);
        hide(&b, scores);
        exponentials(keys, scores, &state, correction);
        multiply(&(product){ .a = scores,
                             .a_row = 1,
                             .a_column = QUERIES,
                             .b = h->value + key * h->value_row,
                             .b_row = h->value_row,
                             .factor = correction,
                             .c = mixed,
                             .c_row = h->value_size,
                             .depth = keys,
                             .width = h->value_size,
                             .keep = !first },
                 queries);
    }
    return state;
}

/* output = mixed / sum, and the log-sum-exp, of a block's queries. */
static void finish(const running *state, int64_t queries, int64_t value_size, const float *mixed,
                   float *output, int64_t output_row, float *logsumexp)
{
    float sum[QUERIES], most[QUERIES];
    for (int half = 0; half < 2; half++) {
        store(sum + half * LANES, state->sum[half]);
        store(most + half * LANES, state->most[half]);
    }
    for (int64_t i = 0; i < queries; i++) {
        const bool blind = sum[i] == 0;
        const float factor = blind ? 0 : 1 / sum[i];
        logsumexp[i] = blind ? -INFINITY : LN_2 * most[i] + logf(sum[i]);
        for (int64_t d = 0; d < value_size; d++)
            output[i * output_row + d] = factor * mixed[i * value_size + d];
    }
}

bool GRDI_LOOP(flash_attention_f32)(const grdi_head *h, int64_t first, int64_t last, float *output,
                                    int64_t output_row, float *logsumexp)
{
    const size_t bytes = (size_t)((h->size + h->value_size) * QUERIES) * sizeof(float);
    float *panel = grdi_allocate(bytes);
    if (!panel)
        return false;
    float *mixed = panel + h->size * QUERIES;
    for (int64_t query = first; query < last; query += QUERIES) {
        const int64_t queries = last - query < QUERIES ? last - query : QUERIES;
        memset(mixed, 0, (size_t)(queries * h->value_size) * sizeof(float));
        const running state = mix_values(h, query, queries, panel, mixed);
        finish(&state, queries, h->value_size, mixed, output + query * output_row, output_row,
               logsumexp + query);
    }
    grdi_free(panel, bytes);
    return true;
}

/* ---- Backward ---- */

/* What belongs to the queries of a block. */
typedef struct query_side {
    float *query, *doutput;                             /* transposed */
    float logsumexp[BACK_QUERIES], delta[BACK_QUERIES]; /* in units of log2; doutput . output */
} query_side;

static float dot(int64_t n, const float *a, const float *b)
{
    vec sum = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        sum = mul_add(load(a + i), load(b + i), sum);
    if (i < n)
        sum = mul_add(load_part(a + i, n - i, all(0)), load_part(b + i, n - i, all(0)), sum);
    return sum_of(sum);
}

static void read_queries(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                         int64_t queries, query_side *side)
{
    transpose(side->query, BACK_QUERIES, h->query + query * h->query_row, h->query_row, queries,
              h->size, h->scale * LOG2_E);
    transpose(side->doutput, BACK_QUERIES, g->doutput + query * g->doutput_row, g->doutput_row,
              queries, h->value_size, 1);
    for (int64_t i = 0; i < BACK_QUERIES; i++) {
        const bool blind = i >= queries || g->logsumexp[query + i] == -INFINITY;
        side->logsumexp[i] = blind ? INFINITY : LOG2_E * g->logsumexp[query + i];
        side->delta[i] = blind ? 0
                               : dot(h->value_size, g->doutput + (query + i) * g->doutput_row,
                                     g->output + (query + i) * g->output_row);
    }
}

/* weights = 2^(scores - logsumexp); dscores = scale weights (dweights - delta), in its place. */
static void weigh(const block *b, const query_side *side, float *scores, float *dweights)
{
    const vec factor = all(b->head->scale);
    for (int64_t j = 0; j < b->keys; j++)
        for (int64_t i = 0; i < BACK_QUERIES; i += LANES) {
            float *score = scores + j * BACK_QUERIES + i,
                  *dweight = dweights + j * BACK_QUERIES + i;
            const vec weight = exp2_negative(load(score) - load(side->logsumexp + i));
            store(score, weight);
            store(dweight, weight * factor * (load(dweight) - load(side->delta + i)));
        }
}

/* Adds a block's part to the gradients, whose rows are those of keys or of queries. */
static void add_gradients(const block *b, const grdi_head_gradient *g, const float *weights,
                          const float *dscores)
{
    const grdi_head *h = b->head;
    product p = { .a = weights, .a_row = BACK_QUERIES, .a_column = 1, .keep = true };
    p.depth = b->queries;
    p.b = g->doutput + b->query * g->doutput_row;
    p.b_row = g->doutput_row;
    p.c = g->dvalue + b->key * g->dvalue_row;
    p.c_row = g->dvalue_row;
    p.width = h->value_size;
    multiply(&p, b->keys);

    p.a = dscores;
    p.b = h->query + b->query * h->query_row;
    p.b_row = h->query_row;
    p.c = g->dkey + b->key * g->dkey_row;
    p.c_row = g->dkey_row;
    p.width = h->size;
    multiply(&p, b->keys);

    p.a_row = 1;
    p.a_column = BACK_QUERIES;
    p.depth = b->keys;
    p.b = h->key + b->key * h->key_row;
    p.b_row = h->key_row;
    p.c = g->dquery + b->query * g->dquery_row;
    p.c_row = g->dquery_row;
    multiply(&p, b->queries);
}

/* The part of a block of queries in the gradients. */
static void add_queries(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                        int64_t queries, query_side *side)
{
    float weights[BACK_KEYS * BACK_QUERIES] __attribute__((aligned(64)));
    float dscores[BACK_KEYS * BACK_QUERIES] __attribute__((aligned(64)));
    int64_t key, end;
    read_queries(h, g, query, queries, side);
    key_range(h, query, queries, &key, &end);
    for (; key < end; key += BACK_KEYS) {
        const int64_t keys = end - key < BACK_KEYS ? end - key : BACK_KEYS;
        const block b = { h, query, queries, key, keys, BACK_QUERIES };
        scores_of(&b, h->key, h->key_row, h->size, side->query, weights);
        apply_masks(&b, weights);
        hide(&b, weights);
        scores_of(&b, h->value, h->value_row, h->value_size, side->doutput, dscores);
        weigh(&b, side, weights, dscores);
        add_gradients(&b, g, weights, dscores);
    }
}

bool GRDI_LOOP(flash_attention_backward_f32)(const grdi_head *h, const grdi_head_gradient *g)
{
    query_side side;
    const size_t bytes = (size_t)((h->size + h->value_size) * BACK_QUERIES) * sizeof(float);
    side.query = grdi_allocate(bytes);
    if (!side.query)
        return false;
    side.doutput = side.query + h->size * BACK_QUERIES;
    for (int64_t query = 0; query < h->queries; query += BACK_QUERIES) {
        const int64_t left = h->queries - query;
        add_queries(h, g, query, left < BACK_QUERIES ? left : BACK_QUERIES, &side);
    }
    grdi_free(side.query, bytes);
    return true;
}
