/* Attention of one head without its weights in memory, backward. Compiled for f32 and for f64. */
#include "tensor/cpu/fast/flash_scores.h"

/* What belongs to the queries of a block, `width` of them in whole vectors. */
typedef struct query_side {
    int64_t width;
    real *query, *doutput, *output; /* transposed */
    real logsumexp[BACK_QUERIES];   /* in UNIT, */
    real rest[BACK_QUERIES];        /* and what is missing to it beyond `real` */
    real delta[BACK_QUERIES];       /* doutput . output */
} query_side;

/* Summed in the order of dweights: of a query with one key the two are the same bits, and their
 * difference 0, however large the scale that it is multiplied by. */
static void find_delta(const grdi_head *h, query_side *side)
{
    for (int64_t i = 0; i < side->width; i += LANES) {
        vec sum = all(0);
        for (int64_t d = 0; d < h->value_size; d++)
            sum = mul_add(load(side->output + d * side->width + i),
                          load(side->doutput + d * side->width + i), sum);
        store(side->delta + i, sum);
    }
    for (int64_t i = 0; i < side->width; i++)
        if (side->logsumexp[i] == INFINITY) /* no keys, or a row that is not finite */
            side->delta[i] = 0;
}

static void read_queries(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                         int64_t queries, query_side *side)
{
    const real *x = h->query, *output = g->output, *doutput = g->doutput;
    const int64_t width = side->width = whole_vectors(queries);
    transpose(side->query, width, x + query * h->query_row, h->query_row, queries, h->size,
              panel_factor(h));
    transpose(side->doutput, width, doutput + query * g->doutput_row, g->doutput_row, queries,
              h->value_size, 1);
    transpose(side->output, width, output + query * g->output_row, g->output_row, queries,
              h->value_size, 1);
    for (int64_t i = 0; i < width; i++) {
        const bool blind = i >= queries || g->logsumexp[query + i] == -INFINITY;
        const double sum = blind ? INFINITY : g->logsumexp[query + i] / UNIT;
        side->logsumexp[i] = (real)sum;
        side->rest[i] = blind ? 0 : (real)(sum - (double)side->logsumexp[i]);
    }
    find_delta(h, side);
}

/* Of a block, keys down and queries across. */
typedef struct pairs {
    real weights[PAIRS] __attribute__((aligned(64))); /* scores at first */
    real dscores[PAIRS] __attribute__((aligned(64))); /* dweights at first */
    real slopes[PAIRS] __attribute__((aligned(64)));  /* of the cap */
    real kept[PAIRS] __attribute__((aligned(64)));
} pairs;

/* weights = e^(scores - logsumexp); dscores = scale weights (dweights - delta), in its place; both
 * 0 of what is not seen. No weight is above 1, whatever is left of a log-sum-exp of large scores by
 * rounding. */
static void weigh(const block *b, const query_side *side, real scale, pairs *p)
{
    for (int64_t i = 0; i < b->width; i += LANES) {
        const range keys = seen_by_some(b, i);
        const vec sum = load(side->logsumexp + i), rest = load(side->rest + i);
        const vec delta = load(side->delta + i);
        for (int64_t j = keys.first; j < keys.last; j++) {
            real *score = p->weights + j * b->width + i, *dweight = p->dscores + j * b->width + i;
            const vec weight = power(min(all(0), load(score) - sum - rest)); /* a NaN stays */
            store(score, weight);
            store(dweight, weight * all(scale) * (load(dweight) - delta));
        }
        fill(b, (range){ 0, keys.first }, i, i + LANES, 0, p->weights);
        fill(b, (range){ keys.last, b->keys }, i, i + LANES, 0, p->weights);
    }
}

/* Adds a block's part to the gradients, whose rows are those of keys or of queries; dquery holds
 * nothing yet if the block is the `first` of its queries. */
static void add_gradients(const block *b, const grdi_head_gradient *g, const real *weights,
                          const real *dscores, bool first)
{
    const grdi_head *h = b->head;
    product p = { .a = weights, .a_row = b->width, .a_column = 1, .keep = true };
    p.low = 1 - b->high; /* of a key, the queries that see it */
    p.high = 1 - b->low;
    p.depth = b->queries;
    p.b = (const real *)g->doutput + b->query * g->doutput_row;
    p.b_row = g->doutput_row;
    p.c = (real *)g->dvalue + b->key * g->dvalue_row;
    p.c_row = g->dvalue_row;
    p.width = h->value_size;
    multiply(&p, b->keys);

    p.a = dscores;
    p.b = (const real *)h->query + b->query * h->query_row;
    p.b_row = h->query_row;
    p.c = (real *)g->dkey + b->key * g->dkey_row;
    p.c_row = g->dkey_row;
    p.width = h->size;
    multiply(&p, b->keys);

    p.keep = !first;
    p.low = b->low;
    p.high = b->high;
    p.a_row = 1;
    p.a_column = b->width;
    p.depth = b->keys;
    p.b = (const real *)h->key + b->key * h->key_row;
    p.b_row = h->key_row;
    p.c = (real *)g->dquery + b->query * g->dquery_row;
    p.c_row = g->dquery_row;
    multiply(&p, b->queries);
}

/* The weights of a block, and `scale` times the gradients of its scores, of capped ones. */
static void read_pairs(const block *b, const query_side *side, real scale, pairs *p)
{
    const grdi_head *h = b->head;
    score(b, side->query, p->weights, p->slopes);
    scores_of(b, h->value, h->value_row, h->value_size, side->doutput, p->dscores);
    if (h->kept > 0) {
        draw_kept(b, p->kept);
        scale_each(b->keys * b->width, p->dscores, p->kept);
    }
    weigh(b, side, scale, p);
}

static void add_block(const block *b, const grdi_head_gradient *g, const query_side *side,
                      bool first)
{
    const grdi_head *h = b->head;
    const int64_t n = b->keys * b->width;
    pairs p;
    read_pairs(b, side, (real)h->scale, &p);
    if (h->softcap > 0)
        scale_each(n, p.dscores, p.slopes);
    if (h->kept > 0)
        scale_each(n, p.weights, p.kept);
    add_gradients(b, g, p.weights, p.dscores, first);
}

/* The part of a block of queries in the gradients. */
static void add_queries(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                        int64_t queries, query_side *side)
{
    stretch part[2];
    bool first = true;
    read_queries(h, g, query, queries, side);
    find_stretches(h, query, queries, part);
    for (const stretch *s = part; s < part + 2; s++)
        for (int64_t key = s->first; key < s->last; key += BACK_KEYS, first = false) {
            const block b = block_of(h, query, queries, s, key, BACK_KEYS);
            add_block(&b, g, side, first);
        }
    if (first)
        clear_rows((real *)g->dquery + query * g->dquery_row, g->dquery_row, queries, h->size);
}

/* What a walk over blocks of queries does with each. */
typedef void query_work(const grdi_head *h, const grdi_head_gradient *g, int64_t query,
                        int64_t queries, query_side *side);

static bool each_block(const grdi_head *h, const grdi_head_gradient *g, int64_t first, int64_t last,
                       query_work *work)
{
    query_side side;
    const size_t bytes = (size_t)((h->size + 2 * h->value_size) * BACK_QUERIES) * sizeof(real);
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

bool FLASH(flash_attention_backward)(const grdi_head *h, const grdi_head_gradient *g)
{
    return each_block(h, g, 0, h->queries, add_queries);
}

static double strided_sum(int64_t n, const real *x, int64_t step)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i * step];
    return sum;
}

/* Adds a block's dscores to what is added to scores, where keys lie side by side; those that share
 * an element as one number. */
static void spread(const block *b, const grdi_head_gradient *g, const real *dscores)
{
    real turned[PAIRS] __attribute__((aligned(64)));
    const int64_t row = g->dadditive_row, column = g->dadditive_column;
    const int64_t turned_row = whole_vectors(b->keys);
    real *to = (real *)g->dadditive + b->query * row + b->key * column;
    for (int64_t j = 0; row == 0 && j < b->keys; j++)
        to[j * column] += (real)strided_sum(b->queries, dscores + j * b->width, 1);
    for (int64_t i = 0; row != 0 && column == 0 && i < b->queries; i++)
        to[i * row] += (real)strided_sum(b->keys, dscores + i, b->width);
    if (row == 0 || column == 0)
        return;
    transpose(turned, turned_row, dscores, b->width, b->keys, b->width, 1);
    for (int64_t i = 0; i < b->queries; i++)
        for (int64_t j = 0; j < b->keys; j++)
            to[i * row + j] += turned[i * turned_row + j];
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
        const block b = block_of(h, query, queries, part, key, BACK_KEYS);
        read_pairs(&b, side, 1, &p);
        spread(&b, g, p.dscores);
    }
}

bool FLASH(flash_attention_additive)(const grdi_head *h, const grdi_head_gradient *g, int64_t first,
                                     int64_t last)
{
    return each_block(h, g, first, last, add_to_additive);
}
