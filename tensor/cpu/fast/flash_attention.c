/* Attention of one head without its weights in memory, forward. Compiled for f32 and for f64. */
#include "tensor/cpu/fast/flash_scores.h"

static const real LOWEST = sizeof(real) == sizeof(float) ? (real)-3e38 : (real)-1e308;

enum { VECTORS = QUERIES / LANES };

/* Of the queries of a block: the largest score so far, and the sum of exponentials. */
typedef struct running {
    vec most[VECTORS], sum[VECTORS];
} running;

/* The largest of `most` and of what the vector from query i on scores with these keys: by turns in
 * one of several, since a maximum waits for the one before it. */
static vec largest(const block *b, range keys, int64_t i, const real *scores, vec most)
{
    vec of[4] = { most, most, most, most };
    int64_t j = keys.first;
    for (; j + 4 <= keys.last; j += 4)
#pragma GCC unroll 4
        for (int n = 0; n < 4; n++)
            of[n] = max(load(scores + (j + n) * b->width + i), of[n]);
    for (; j < keys.last; j++)
        of[0] = max(load(scores + j * b->width + i), of[0]);
    return max(max(of[0], of[1]), max(of[2], of[3]));
}

/* Turns scores into exponentials, of what is not seen into 0; `correction` is what earlier ones are
 * to be multiplied by. */
static void exponentials(const block *b, real *scores, running *state, real *correction)
{
    for (int64_t i = 0; i < b->width; i += LANES) {
        const range keys = seen_by_some(b, i);
        const vec earlier = state->most[i / LANES];
        const vec most = largest(b, keys, i, scores, earlier);
        vec sum = all(0);
        real *score = scores + keys.first * b->width + i;
        for (int64_t j = keys.first; j < keys.last; j++, score += b->width) {
            const vec e = power(load(score) - most);
            store(score, e);
            sum += e;
        }
        fill(b, (range){ 0, keys.first }, i, i + LANES, 0, scores);
        fill(b, (range){ keys.last, b->keys }, i, i + LANES, 0, scores);
        const vec factor = power(earlier - most);
        store(correction + i, factor);
        state->sum[i / LANES] = mul_add(state->sum[i / LANES], factor, sum);
        state->most[i / LANES] = most;
    }
}

/* The output of a block's queries. */
typedef struct rows {
    real *first;
    int64_t row;
} rows;

/* output += exponentials times values, those so far times `correction` (NULL: there are none yet),
 * and all times `scale` (NULL: 1). */
static void mix(const block *b, const real *exponentials, const real *correction, const real *scale,
                const rows *output)
{
    const grdi_head *h = b->head;
    multiply(&(product){ .a = exponentials,
                         .a_row = 1,
                         .a_column = b->width,
                         .b = (const real *)h->value + b->key * h->value_row,
                         .b_row = h->value_row,
                         .factor = correction,
                         .scale = scale,
                         .c = output->first,
                         .c_row = output->row,
                         .depth = b->keys,
                         .width = h->value_size,
                         .low = b->low,
                         .high = b->high,
                         .keep = correction },
             b->queries);
}

/* 1 / sum: the largest score's exponential is 1, so less is the sum of none. */
static const real *inverted(const running *state, real *inverse)
{
    for (int v = 0; v < VECTORS; v++)
        store(inverse + v * LANES, all(1) / max(all(1), state->sum[v]));
    return inverse;
}

/* The output of the queries, and what their log-sum-exps are made of; panel has room for a block's
 * queries. */
static running attend(const grdi_head *h, int64_t query, int64_t queries, real *panel,
                      const rows *output)
{
    real scores[KEYS * QUERIES] __attribute__((aligned(64)));
    real kept[KEYS * QUERIES] __attribute__((aligned(64)));
    real correction[QUERIES] __attribute__((aligned(64)));
    real inverse[QUERIES] __attribute__((aligned(64)));
    running state;
    stretch part[2];
    for (int v = 0; v < VECTORS; v++) {
        state.most[v] = all(LOWEST);
        state.sum[v] = all(0);
    }
    transpose(panel, whole_vectors(queries), (const real *)h->query + query * h->query_row,
              h->query_row, queries, h->size, panel_factor(h));
    find_stretches(h, query, queries, part);
    const int64_t end = part[1].first < part[1].last ? part[1].last : part[0].last;
    bool first = true;
    for (const stretch *s = part; s < part + 2; s++)
        for (int64_t key = s->first; key < s->last; key += KEYS, first = false) {
            const block b = block_of(h, query, queries, s, key, KEYS);
            score(&b, panel, scores, NULL);
            exponentials(&b, scores, &state, correction);
            if (h->kept > 0) {
                draw_kept(&b, kept);
                scale_each(b.keys * b.width, scores, kept);
            }
            mix(&b, scores, first ? NULL : correction,
                key + b.keys == end ? inverted(&state, inverse) : NULL, output);
        }
    if (first)
        clear_rows(output->first, output->row, queries, h->value_size);
    return state;
}

static void log_each(int64_t n, real *x)
{
#ifdef GRDI_F64
    for (int64_t i = 0; i < n; i++)
        x[i] = log(x[i]);
#else
    GRDI_LOOP(log_f32)(n, x, x);
#endif
}

static void find_logsumexp(const running *state, int64_t queries, double *logsumexp)
{
    real sum[QUERIES], most[QUERIES];
    memcpy(sum, state->sum, sizeof sum);
    memcpy(most, state->most, sizeof most);
    log_each(queries, sum);
    for (int64_t i = 0; i < queries; i++)
        logsumexp[i] = UNIT * (double)most[i] + (double)sum[i];
}

bool FLASH(flash_attention)(const grdi_head *h, int64_t first, int64_t last, void *output,
                            int64_t output_row, double *logsumexp)
{
    const size_t bytes = (size_t)(h->size * QUERIES) * sizeof(real);
    real *panel = grdi_allocate(bytes);
    if (!panel)
        return false;
    const int64_t total = last - first, blocks = (total + QUERIES - 1) / QUERIES;
    const int64_t most = whole_vectors((total + blocks - 1) / blocks); /* 16 + 16, not 24 + 8 */
    for (int64_t query = first; query < last; query += most) {
        const int64_t queries = last - query < most ? last - query : most;
        const rows to = { (real *)output + query * output_row, output_row };
        const running state = attend(h, query, queries, panel, &to);
        find_logsumexp(&state, queries, logsumexp + query);
    }
    grdi_free(panel, bytes);
    return true;
}
