/* Attention of one head without its weights in memory, forward. Compiled for f32 and for f64. */
#include "tensor/cpu/fast/flash_scores.h"

static const real LOWEST = sizeof(real) == sizeof(float) ? (real)-3e38 : (real)-1e308;

enum { VECTORS = QUERIES / LANES };

/* Of the queries of a block: the largest score so far, and the sum of exponentials. */
typedef struct running {
    vec most[VECTORS], sum[VECTORS];
} running;

/* Turns scores into exponentials, of what is not seen into 0; `correction` is what earlier ones are
 * to be multiplied by. */
static void exponentials(const block *b, real *scores, running *state, real *correction)
{
    for (int64_t i = 0; i < b->width; i += LANES) {
        const range keys = seen_by_some(b, i);
        const vec earlier = state->most[i / LANES];
        vec most = earlier, sum = all(0);
        for (int64_t j = keys.first; j < keys.last; j++)
            most = max(load(scores + j * b->width + i), most);
        for (int64_t j = keys.first; j < keys.last; j++) {
            const vec e = power(load(scores + j * b->width + i) - most);
            store(scores + j * b->width + i, e);
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

/* mixed += exponentials times values, those so far times `correction` (NULL: there are none yet).
 */
static void mix(const block *b, const real *exponentials, const real *correction, real *mixed)
{
    const grdi_head *h = b->head;
    multiply(&(product){ .a = exponentials,
                         .a_row = 1,
                         .a_column = b->width,
                         .b = (const real *)h->value + b->key * h->value_row,
                         .b_row = h->value_row,
                         .factor = correction,
                         .c = mixed,
                         .c_row = h->value_size,
                         .depth = b->keys,
                         .width = h->value_size,
                         .low = b->low,
                         .high = b->high,
                         .keep = correction },
             b->queries);
}

/* mixed [queries, value_size] = sum of exponentials times values; panel has room for a block's
 * queries. */
static running mix_values(const grdi_head *h, int64_t query, int64_t queries, real *panel,
                          real *mixed)
{
    real scores[KEYS * QUERIES] __attribute__((aligned(64)));
    real kept[KEYS * QUERIES] __attribute__((aligned(64)));
    real correction[QUERIES] __attribute__((aligned(64)));
    running state;
    stretch part[2];
    bool first = true;
    for (int v = 0; v < VECTORS; v++) {
        state.most[v] = all(LOWEST);
        state.sum[v] = all(0);
    }
    transpose(panel, whole_vectors(queries), (const real *)h->query + query * h->query_row,
              h->query_row, queries, h->size, panel_factor(h));
    find_stretches(h, query, queries, part);
    for (const stretch *s = part; s < part + 2; s++)
        for (int64_t key = s->first; key < s->last; key += KEYS, first = false) {
            const block b = block_of(h, query, queries, s, key, KEYS);
            score(&b, panel, scores, NULL);
            exponentials(&b, scores, &state, correction);
            if (h->kept > 0) {
                draw_kept(&b, kept);
                scale_each(b.keys * b.width, scores, kept);
            }
            mix(&b, scores, first ? NULL : correction, mixed);
        }
    if (first)
        memset(mixed, 0, (size_t)(queries * h->value_size) * sizeof(real));
    return state;
}

/* output = mixed / sum, and the log-sum-exp, of a block's queries. */
static void finish(const running *state, int64_t queries, int64_t value_size, const real *mixed,
                   real *output, int64_t output_row, double *logsumexp)
{
    real sum[QUERIES], most[QUERIES];
    for (int v = 0; v < VECTORS; v++) {
        store(sum + v * LANES, state->sum[v]);
        store(most + v * LANES, state->most[v]);
    }
    for (int64_t i = 0; i < queries; i++) {
        const bool blind = sum[i] == 0;
        const real factor = blind ? 0 : 1 / sum[i];
        logsumexp[i] = blind ? -INFINITY : UNIT * (double)most[i] + log((double)sum[i]);
        for (int64_t d = 0; d < value_size; d++)
            output[i * output_row + d] = factor * mixed[i * value_size + d];
    }
}

bool FLASH(flash_attention)(const grdi_head *h, int64_t first, int64_t last, void *output,
                            int64_t output_row, double *logsumexp)
{
    const size_t bytes = (size_t)((h->size + h->value_size) * QUERIES) * sizeof(real);
    real *panel = grdi_allocate(bytes);
    if (!panel)
        return false;
    real *mixed = panel + h->size * QUERIES;
    for (int64_t query = first; query < last; query += QUERIES) {
        const int64_t queries = last - query < QUERIES ? last - query : QUERIES;
        const running state = mix_values(h, query, queries, panel, mixed);
        finish(&state, queries, h->value_size, mixed, (real *)output + query * output_row,
               output_row, logsumexp + query);
    }
    grdi_free(panel, bytes);
    return true;
}
