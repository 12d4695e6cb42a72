/* Attention of one head without its weights in memory: scores are made a block at a time and
 * transposed, keys down and queries across, so that a vector holds one key's scores for as many
 * queries, and neither their largest nor their sum runs across a vector. */
#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"
#include "tensor/object.h"
#include "tensor/rng.h"

#include <math.h>
#include <string.h>

enum {
    QUERIES = 2 * LANES, /* of a block, forward */
    KEYS = 144,
    BACK_QUERIES = 4 * LANES,
    BACK_KEYS = 96,
};

static const float LOWEST = -3e38f, LOG2_E = 1.44269504f;
static const double LN_2 = 0.69314718055994531;

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
    bool appended;
} block;

/* Keys in a row that the queries of a block may see: those of the band, then the appended ones. */
typedef struct stretch {
    int64_t first, last;
    bool appended;
} stretch;

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

/* Of n queries from `query` on. */
static void find_stretches(const grdi_head *h, int64_t query, int64_t n, stretch found[2])
{
    const int64_t diagonal = query + h->diagonal;
    found[0] = (stretch){ clipped(diagonal - h->left, h->keys),
                          clipped(diagonal + n + h->right, h->keys), false };
    found[1] = (stretch){ h->first_appended, h->first_appended + h->appended, true };
}

/* scores = cap tanh(scores), in units of log2; slopes, unless NULL, get 1 - tanh^2. */
static void cap(const block *b, float *scores, float *slopes)
{
    const int64_t n = b->keys * b->width;
    const vec factor = all(LOG2_E * b->head->softcap);
    GRDI_LOOP(tanh_f32)(n, scores, scores);
    for (int64_t i = 0; i < n; i += LANES) {
        const vec t = load(scores + i);
        if (slopes)
            store(slopes + i, all(1) - t * t);
        store(scores + i, t * factor);
    }
}

/* What each weight of a block is multiplied by: 0 where it is dropped. */
static void draw_kept(const block *b, float *kept)
{
    uint32_t words[KEYS + 8];
    const grdi_head *h = b->head;
    for (int64_t i = 0; i < b->width; i++) {
        const int64_t row = i < b->queries ? b->query + i : b->query;
        const uint64_t first = h->first_word + (uint64_t)(row * h->word_row + b->key);
        const uint64_t before = first % 4;
        GRDI_LOOP(philox)
        ((b->keys + (int64_t)before + 3) / 4, words, h->draw.key, h->draw.counter + first / 4,
         GRDI_HIGH);
        for (int64_t j = 0; j < b->keys; j++)
            kept[j * b->width + i] = words[before + (uint64_t)j] < h->dropped ? 0 : h->kept;
    }
}

/* Adds what is additive, in units of log2. */
static void add(const block *b, float *scores)
{
    float added[BACK_KEYS * BACK_QUERIES] __attribute__((aligned(64)));
    const int64_t row = b->head->additive_row, column = b->head->additive_column;
    const float *x = b->head->additive + b->query * row + b->key * column;
    if (column == 1)
        transpose(added, b->width, x, row, b->queries, b->keys, LOG2_E);
    for (int64_t j = 0; column != 1 && j < b->keys; j++)
        for (int64_t i = 0; i < b->width; i++)
            added[j * b->width + i] = i < b->queries ? LOG2_E * x[i * row + j * column] : 0;
    for (int64_t i = 0; i < b->keys * b->width; i += LANES)
        store(scores + i, load(scores + i) + load(added + i));
}

/* Hides what a mask hides. */
static void mask(const block *b, float *scores)
{
    const grdi_head *h = b->head;
    for (int64_t i = 0; i < b->queries; i++) {
        const bool *visible = h->visible + (b->query + i) * h->visible_row;
        for (int64_t j = 0; j < b->keys; j++)
            if (!visible[(b->key + j) * h->visible_column])
                scores[j * b->width + i] = -INFINITY;
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

/* What the product is scaled by, for scores in units of log2 or, if capped, of the cap. */
static float panel_factor(const grdi_head *h)
{
    return h->softcap > 0 ? h->scale / h->softcap : h->scale * LOG2_E;
}

static void score(const block *b, const float *panel, float *scores, float *slopes)
{
    const grdi_head *h = b->head;
    scores_of(b, h->key, h->key_row, h->size, panel, scores);
    if (h->softcap > 0)
        cap(b, scores, slopes);
    if (b->appended)
        return;
    if (h->additive)
        add(b, scores);
    if (h->visible)
        mask(b, scores);
    hide(b, scores);
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

/* mixed += exponentials times values, those so far times `correction` (NULL: there are none yet).
 */
static void mix(const block *b, const float *exponentials, const float *correction, float *mixed)
{
    const grdi_head *h = b->head;
    multiply(&(product){ .a = exponentials,
                         .a_row = 1,
                         .a_column = QUERIES,
                         .b = h->value + b->key * h->value_row,
                         .b_row = h->value_row,
                         .factor = correction,
                         .c = mixed,
                         .c_row = h->value_size,
                         .depth = b->keys,
                         .width = h->value_size,
                         .keep = correction },
             b->queries);
}

/* x *= factors, of whole vectors. */
static void scale_each(int64_t n, float *x, const float *factors)
{
    for (int64_t i = 0; i < n; i += LANES)
        store(x + i, load(x + i) * load(factors + i));
}

/* mixed [queries, value_size] = sum of exponentials times values; panel has room for a block's
 * queries. */
static running mix_values(const grdi_head *h, int64_t query, int64_t queries, float *panel,
                          float *mixed)
{
    float scores[KEYS * QUERIES] __attribute__((aligned(64)));
    float kept[KEYS * QUERIES] __attribute__((aligned(64)));
    float correction[QUERIES] __attribute__((aligned(64)));
    running state = { { all(LOWEST), all(LOWEST) }, { all(0), all(0) } };
    stretch part[2];
    bool first = true;
    transpose(panel, QUERIES, h->query + query * h->query_row, h->query_row, queries, h->size,
              panel_factor(h));
    find_stretches(h, query, queries, part);
    for (const stretch *s = part; s < part + 2; s++)
        for (int64_t key = s->first; key < s->last; key += KEYS, first = false) {
            const int64_t keys = s->last - key < KEYS ? s->last - key : KEYS;
            const block b = { h, query, queries, key, keys, QUERIES, s->appended };
            score(&b, panel, scores, NULL);
            exponentials(keys, scores, &state, correction);
            if (h->kept > 0) {
                draw_kept(&b, kept);
                scale_each(keys * QUERIES, scores, kept);
            }
            mix(&b, scores, first ? NULL : correction, mixed);
        }
    return state;
}

/* output = mixed / sum, and the log-sum-exp, of a block's queries. */
static void finish(const running *state, int64_t queries, int64_t value_size, const float *mixed,
                   float *output, int64_t output_row, double *logsumexp)
{
    float sum[QUERIES], most[QUERIES];
    for (int half = 0; half < 2; half++) {
        store(sum + half * LANES, state->sum[half]);
        store(most + half * LANES, state->most[half]);
    }
    for (int64_t i = 0; i < queries; i++) {
        const bool blind = sum[i] == 0;
        const float factor = blind ? 0 : 1 / sum[i];
        logsumexp[i] = blind ? -INFINITY : LN_2 * (double)most[i] + log((double)sum[i]);
        for (int64_t d = 0; d < value_size; d++)
            output[i * output_row + d] = factor * mixed[i * value_size + d];
    }
}

bool GRDI_LOOP(flash_attention_f32)(const grdi_head *h, int64_t first, int64_t last, float *output,
                                    int64_t output_row, double *logsumexp)
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
    float *query, *doutput, *output; /* transposed */
    float logsumexp[BACK_QUERIES];   /* in units of log2, */
    float rest[BACK_QUERIES];        /* and what is missing to it beyond f32 */
    float delta[BACK_QUERIES];       /* doutput . output */
} query_side;

/* Summed in the order of dweights: of a query with one key the two are the same bits, and their
 * difference 0, however large the scale that it is multiplied by. */
static void find_delta(const grdi_head *h, query_side *side)
{
    for (int64_t i = 0; i < BACK_QUERIES; i += LANES) {
        vec sum = all(0);
        for (int64_t d = 0; d < h->value_size; d++)
            sum = mul_add(load(side->output + d * BACK_QUERIES + i),
                          load(side->doutput + d * BACK_QUERIES + i), sum);
        store(side->delta + i, sum);
    }
    for (int64_t i = 0; i < BACK_QUERIES; i++)
        if (side->logsumexp[i] == INFINITY) /* no keys, or a row that is not finite */
            side->delta[i] = 0;
}

static void read_queries(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                         int64_t queries, query_side *side)
{
    transpose(side->query, BACK_QUERIES, h->query + query * h->query_row, h->query_row, queries,
              h->size, panel_factor(h));
    transpose(side->doutput, BACK_QUERIES, g->doutput + query * g->doutput_row, g->doutput_row,
              queries, h->value_size, 1);
    transpose(side->output, BACK_QUERIES, g->output + query * g->output_row, g->output_row, queries,
              h->value_size, 1);
    for (int64_t i = 0; i < BACK_QUERIES; i++) {
        const bool blind = i >= queries || g->logsumexp[query + i] == -INFINITY;
        const double sum = blind ? INFINITY : g->logsumexp[query + i] / LN_2;
        side->logsumexp[i] = (float)sum;
        side->rest[i] = blind ? 0 : (float)(sum - (double)side->logsumexp[i]);
    }
    find_delta(h, side);
}

/* Of a block, keys down and queries across. */
typedef struct pairs {
    float weights[BACK_KEYS * BACK_QUERIES] __attribute__((aligned(64))); /* scores at first */
    float dscores[BACK_KEYS * BACK_QUERIES] __attribute__((aligned(64))); /* dweights at first */
    float slopes[BACK_KEYS * BACK_QUERIES] __attribute__((aligned(64)));  /* of the cap */
    float kept[BACK_KEYS * BACK_QUERIES] __attribute__((aligned(64)));
} pairs;

/* weights = 2^(scores - logsumexp); dscores = scale weights (dweights - delta), in its place. No
 * weight is above 1, whatever is left of a log-sum-exp of large scores by rounding. */
static void weigh(const block *b, const query_side *side, float scale, pairs *p)
{
    const vec factor = all(scale);
    for (int64_t j = 0; j < b->keys; j++)
        for (int64_t i = 0; i < BACK_QUERIES; i += LANES) {
            float *score = p->weights + j * BACK_QUERIES + i;
            float *dweight = p->dscores + j * BACK_QUERIES + i;
            const vec power = load(score) - load(side->logsumexp + i) - load(side->rest + i);
            const vec weight = exp2_negative(min(all(0), power)); /* a NaN stays */
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

/* The weights of a block, and `scale` times the gradients of its scores, of capped ones. */
static void read_pairs(const block *b, const query_side *side, float scale, pairs *p)
{
    const grdi_head *h = b->head;
    score(b, side->query, p->weights, p->slopes);
    scores_of(b, h->value, h->value_row, h->value_size, side->doutput, p->dscores);
    if (h->kept > 0) {
        draw_kept(b, p->kept);
        scale_each(b->keys * BACK_QUERIES, p->dscores, p->kept);
    }
    weigh(b, side, scale, p);
}

static void add_block(const block *b, const grdi_head_gradient *g, const query_side *side)
{
    const grdi_head *h = b->head;
    const int64_t n = b->keys * BACK_QUERIES;
    pairs p;
    read_pairs(b, side, h->scale, &p);
    if (h->softcap > 0)
        scale_each(n, p.dscores, p.slopes);
    if (h->kept > 0)
        scale_each(n, p.weights, p.kept);
    add_gradients(b, g, p.weights, p.dscores);
}

/* The part of a block of queries in the gradients. */
static void add_queries(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                        int64_t queries, query_side *side)
{
    stretch part[2];
    read_queries(h, g, query, queries, side);
    find_stretches(h, query, queries, part);
    for (const stretch *s = part; s < part + 2; s++)
        for (int64_t key = s->first; key < s->last; key += BACK_KEYS) {
            const int64_t keys = s->last - key < BACK_KEYS ? s->last - key : BACK_KEYS;
            add_block(&(block){ h, query, queries, key, keys, BACK_QUERIES, s->appended }, g, side);
        }
}

/* What a walk over blocks of queries does with each. */
typedef void query_work(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                        int64_t queries, query_side *side);

static bool each_block(const grdi_head *h, const grdi_head_gradient *g, int64_t first, int64_t last,
                       query_work *work)
{
    query_side side;
    const size_t bytes = (size_t)((h->size + 2 * h->value_size) * BACK_QUERIES) * sizeof(float);
    side.query = grdi_allocate(bytes);
    if (!side.query)
        return false;
    side.doutput = side.query + h->size * BACK_QUERIES;
    side.output = side.doutput + h->value_size * BACK_QUERIES;
    for (int64_t query = first; query < last; query += BACK_QUERIES) {
        const int64_t left = last - query;
        work(h, g, query, left < BACK_QUERIES ? left : BACK_QUERIES, &side);
    }
    grdi_free(side.query, bytes);
    return true;
}

bool GRDI_LOOP(flash_attention_backward_f32)(const grdi_head *h, const grdi_head_gradient *g)
{
    return each_block(h, g, 0, h->queries, add_queries);
}

static double strided_sum(int64_t n, const float *x, int64_t step)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i * step];
    return sum;
}

/* Adds a block's dscores to what is added to scores, where keys lie side by side; those that share
 * an element as one number. */
static void spread(const block *b, const grdi_head_gradient *g, const float *dscores)
{
    float turned[BACK_QUERIES * BACK_KEYS] __attribute__((aligned(64)));
    const int64_t row = g->dadditive_row, column = g->dadditive_column;
    float *to = g->dadditive + b->query * row + b->key * column;
    for (int64_t j = 0; row == 0 && j < b->keys; j++)
        to[j * column] += (float)strided_sum(b->queries, dscores + j * BACK_QUERIES, 1);
    for (int64_t i = 0; row != 0 && column == 0 && i < b->queries; i++)
        to[i * row] += (float)strided_sum(b->keys, dscores + i, BACK_QUERIES);
    if (row == 0 || column == 0)
        return;
    transpose(turned, BACK_KEYS, dscores, BACK_QUERIES, b->keys, BACK_QUERIES, 1);
    for (int64_t i = 0; i < b->queries; i++)
        for (int64_t j = 0; j < b->keys; j++)
            to[i * row + j] += turned[i * BACK_KEYS + j];
}

/* The part of a block of queries in the gradient of what is added to scores. */
static void add_to_additive(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                            int64_t queries, query_side *side)
{
    pairs p;
    stretch part[2];
    read_queries(h, g, query, queries, side);
    find_stretches(h, query, queries, part);
    for (int64_t key = part[0].first; key < part[0].last; key += BACK_KEYS) {
        const int64_t left = part[0].last - key, keys = left < BACK_KEYS ? left : BACK_KEYS;
        const block b = { h, query, queries, key, keys, BACK_QUERIES, false };
        read_pairs(&b, side, 1, &p);
        spread(&b, g, p.dscores);
    }
}

bool GRDI_LOOP(flash_attention_additive_f32)(const grdi_head *h, const grdi_head_gradient *g,
                                             int64_t first, int64_t last)
{
    return each_block(h, g, first, last, add_to_additive);
}
