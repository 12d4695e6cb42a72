/* Scores of attention, a block at a time and transposed, keys down and queries across: a vector
 * holds one key's scores for as many queries, and neither their largest nor their sum runs across a
 * vector. */
#ifndef GRDI_CPU_FAST_FLASH_SCORES_H
#define GRDI_CPU_FAST_FLASH_SCORES_H

#include "tensor/cpu/fast/product.h"
#include "tensor/cpu/loops.h"
#include "tensor/object.h"
#include "tensor/rng.h"

#include <math.h>

/* Scores are in units of UNIT: of ln 2 in f32, where 2^x is the cheapest exponential; of 1 in f64,
 * so that a log-sum-exp of one score is that score to the bit. */
#ifdef GRDI_F64
#define FLASH(name) GRDI_LOOP(name##_f64)
static const double UNIT = 1;

static inline vec power(vec x) /* e^(UNIT x), x <= 0 */
{
    return exp_negative(x);
}

static void tanh_each(int64_t n, double *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = tanh(x[i]);
}
#else
#define FLASH(name) GRDI_LOOP(name##_f32)
static const double UNIT = 0.69314718055994531;

static inline vec power(vec x)
{
    return exp2_negative(x);
}

static void tanh_each(int64_t n, float *x)
{
    GRDI_LOOP(tanh_f32)(n, x, x);
}
#endif

/* Blocks, forward and backward: rows of tiles (6 or 12) divide the smaller numbers. */
enum {
    QUERIES = REGISTERS == 32 ? 32 : 24,
    KEYS = REGISTERS == 32 ? 144 : 96,
    BACK_QUERIES = REGISTERS == 32 ? 64 : 48,
    BACK_KEYS = REGISTERS == 32 ? 96 : 48,
    PAIRS = BACK_QUERIES * BACK_KEYS,
    MOST_KEYS = KEYS,
};
_Static_assert(PAIRS >= QUERIES * KEYS, "room for a block of either");

static inline int64_t whole_vectors(int64_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

static void clear_rows(real *x, int64_t row, int64_t rows, int64_t size)
{
    for (int64_t i = 0; i < rows; i++)
        memset(x + i * row, 0, (size_t)size * sizeof(real));
}

/* panel [size, width] = factor x [n, size]^T, zero beyond n. */
static void transpose(real *panel, int64_t width, const real *x, int64_t row, int64_t n,
                      int64_t size, real factor)
{
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        int64_t d = 0;
        for (; d + 4 <= size; d += 4)
            transpose_four(panel + d * width + i, width, x + i * row + d, row);
        for (; d < size; d++)
            for (int64_t r = i; r < i + 4; r++)
                panel[d * width + r] = x[r * row + d];
    }
    for (; i < width; i++)
        for (int64_t d = 0; d < size; d++)
            panel[d * width + i] = i < n ? x[i * row + d] : 0;
    for (i = 0; factor != 1 && i < size * width; i++)
        panel[i] *= factor;
}

/* Keys key.. and queries query.., `width` across, whole vectors. Of the block, query i sees the
 * keys i + low <= j < i + high, or none but these. */
typedef struct block {
    const grdi_head *head;
    int64_t query, queries, key, keys, width, low, high;
    bool appended;
} block;

/* Keys in a row that the queries of a block may see: those of the band, then the appended ones. */
typedef struct stretch {
    int64_t first, last;
    bool appended;
} stretch;

/* Of n queries from `query` on. */
static void find_stretches(const grdi_head *h, int64_t query, int64_t n, stretch found[2])
{
    const int64_t diagonal = query + h->diagonal;
    found[0] = (stretch){ clipped(diagonal - h->left, h->keys),
                          clipped(diagonal + n + h->right, h->keys), false };
    found[1] = (stretch){ h->first_appended, h->first_appended + h->appended, true };
}

/* At most `most` keys of a stretch, from `key` on. */
static block block_of(const grdi_head *h, int64_t query, int64_t queries, const stretch *s,
                      int64_t key, int64_t most)
{
    const int64_t far = INT64_MAX / 2, diagonal = query + h->diagonal - key;
    return (block){
        .head = h,
        .query = query,
        .queries = queries,
        .key = key,
        .keys = s->last - key < most ? s->last - key : most,
        .width = whole_vectors(queries),
        .low = s->appended ? -far : diagonal - h->left,
        .high = s->appended ? far : diagonal + h->right + 1,
        .appended = s->appended,
    };
}

typedef struct range {
    int64_t first, last;
} range;

/* Keys that some, or all, of the queries in the vector from query i on see. */
static range seen_by_some(const block *b, int64_t i)
{
    const int64_t left = b->queries - i, n = left < LANES ? left : LANES;
    const int64_t first = clipped(i + b->low, b->keys);
    const int64_t last = clipped(i + n - 1 + b->high, b->keys);
    return (range){ first, last < first ? first : last };
}

static range seen_by_all(const block *b, int64_t i)
{
    return (range){ clipped(i + LANES - 1 + b->low, b->keys), clipped(i + b->high, b->keys) };
}

/* The queries, in whole vectors, that see some of the keys from j on; *end is the first key of
 * which others are true. */
static range seers(const block *b, int64_t j, int64_t *end)
{
    range found = { b->width, 0 };
    *end = b->keys;
    for (int64_t i = 0; i < b->width; i += LANES) {
        const range seen = seen_by_some(b, i);
        const bool sees = seen.first <= j && j < seen.last;
        const int64_t change = sees ? seen.last : seen.first;
        if (change > j && change < *end)
            *end = change;
        if (sees && i < found.first)
            found.first = i;
        if (sees)
            found.last = i + LANES;
    }
    return found;
}

/* Fills keys from..to - 1 of the vectors from query `first` to `last`. */
static void fill(const block *b, range keys, int64_t first, int64_t last, real value, real *x)
{
    for (int64_t j = keys.first; j < keys.last; j++)
        for (int64_t i = first; i < last; i += LANES)
            store(x + j * b->width + i, all(value));
}

/* scores [keys, width] = x [keys, size] panel [size, width], 0 where no query of a vector sees the
 * key. */
static void scores_of(const block *b, const real *x, int64_t row, int64_t size, const real *panel,
                      real *scores)
{
    for (int64_t j = 0, end; j < b->keys; j = end) {
        const range queries = seers(b, j, &end);
        const int64_t first = queries.first < queries.last ? queries.first : b->width;
        fill(b, (range){ j, end }, 0, first, 0, scores);
        fill(b, (range){ j, end }, first < b->width ? queries.last : b->width, b->width, 0, scores);
        if (first < b->width)
            multiply(&(product){ .a = x + (b->key + j) * row,
                                 .a_row = row,
                                 .a_column = 1,
                                 .b = panel + first,
                                 .b_row = b->width,
                                 .c = scores + j * b->width + first,
                                 .c_row = b->width,
                                 .depth = size,
                                 .width = queries.last - first,
                                 .low = j - end,
                                 .high = size },
                     end - j);
    }
}

/* x *= factors, of whole vectors. */
static void scale_each(int64_t n, real *x, const real *factors)
{
    for (int64_t i = 0; i < n; i += LANES)
        store(x + i, load(x + i) * load(factors + i));
}

/* scores = cap tanh(scores) in UNIT; slopes, unless NULL, get 1 - tanh^2. */
static void cap(const block *b, real *scores, real *slopes)
{
    const int64_t n = b->keys * b->width;
    const vec factor = all((real)(b->head->softcap / UNIT));
    tanh_each(n, scores);
    for (int64_t i = 0; i < n; i += LANES) {
        const vec t = load(scores + i);
        if (slopes)
            store(slopes + i, all(1) - t * t);
        store(scores + i, t * factor);
    }
}

/* What each weight of a block is multiplied by: 0 where it is dropped. */
static void draw_kept(const block *b, real *kept)
{
    uint32_t words[MOST_KEYS + 8];
    const grdi_head *h = b->head;
    for (int64_t i = 0; i < b->width; i++) {
        const int64_t row = i < b->queries ? b->query + i : b->query;
        const uint64_t first = h->first_word + (uint64_t)(row * h->word_row + b->key);
        const uint64_t before = first % 4;
        GRDI_LOOP(philox)
        ((b->keys + (int64_t)before + 3) / 4, words, h->draw.key, h->draw.counter + first / 4,
         GRDI_HIGH);
        for (int64_t j = 0; j < b->keys; j++)
            kept[j * b->width + i] = words[before + (uint64_t)j] < h->dropped ? 0 : (real)h->kept;
    }
}

/* Adds what is additive, in UNIT. */
static void add(const block *b, real *scores)
{
    real added[PAIRS] __attribute__((aligned(64))), wide[PAIRS];
    const grdi_head *h = b->head;
    int64_t row = h->additive_row, column = h->additive_column;
    const int64_t at = b->query * row + b->key * column;
    const real *x = (const real *)h->additive + (h->additive_half ? 0 : at);
    const real factor = (real)(1 / UNIT);
    if (h->additive_half) {
        for (int64_t i = 0; i < b->queries; i++)
            h->additive_half(b->keys, wide + i * b->keys, 1,
                             (const uint16_t *)h->additive + at + i * row, column);
        x = wide;
        row = b->keys;
        column = 1;
    }
    if (column == 1)
        transpose(added, b->width, x, row, b->queries, b->keys, factor);
    for (int64_t j = 0; column != 1 && j < b->keys; j++)
        for (int64_t i = 0; i < b->width; i++)
            added[j * b->width + i] = i < b->queries ? factor * x[i * row + j * column] : 0;
    for (int64_t i = 0; i < b->keys * b->width; i += LANES)
        store(scores + i, load(scores + i) + load(added + i));
}

/* Hides what a mask hides. */
static void mask(const block *b, real *scores)
{
    const grdi_head *h = b->head;
    for (int64_t i = 0; i < b->queries; i++) {
        const bool *visible = h->visible + (b->query + i) * h->visible_row;
        for (int64_t j = 0; j < b->keys; j++)
            if (!visible[(b->key + j) * h->visible_column])
                scores[j * b->width + i] = -INFINITY;
    }
}

/* Hides what the band hides from some queries of a vector, of the keys that others of it see. */
static void hide(const block *b, real *scores)
{
    for (int64_t i = 0; i < b->width; i += LANES) {
        const range some = seen_by_some(b, i), every = seen_by_all(b, i);
        const int64_t first = every.last > some.first ? every.last : some.first;
        const int64_t last = every.first < some.last ? every.first : some.last;
        for (int64_t j = first; j < some.last; j++) {
            real *score = scores + j * b->width + i;
            const lanes after = first_lanes(j - b->high + 1 - i);
            store(score, choose(after, all(-INFINITY), load(score)));
        }
        for (int64_t j = some.first; j < last; j++) {
            real *score = scores + j * b->width + i;
            const lanes before = first_lanes(j - b->low + 1 - i);
            store(score, choose(before, load(score), all(-INFINITY)));
        }
    }
}

/* What the product is scaled by, for scores in UNIT or, if capped, of the cap. */
static real panel_factor(const grdi_head *h)
{
    return (real)(h->softcap > 0 ? h->scale / h->softcap : h->scale / UNIT);
}

static void score(const block *b, const real *panel, real *scores, real *slopes)
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

#endif
