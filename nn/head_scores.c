/* What the weights of heads look like: heads.h has the formulas. */
#include "nn/attention.h"
#include "nn/files.h"
#include <gradus/heads.h>

#include <math.h>

static const char op[] = "score_heads";

/* Everything in plain arrays, spread to every sample. NULL where not given. */
typedef struct problem {
    int64_t batch, heads, queries, keys, offset;
    const double *weights;                    /* (B, H, L, S) */
    const bool *visible, *pattern;            /* the same */
    const bool *counts;                       /* (B, L) */
    const int64_t *query_tokens, *key_tokens; /* (B, L), (B, S) */
} problem;

/* One query of one head. */
typedef struct row {
    const double *weights;
    const bool *visible, *pattern;
    const int64_t *key_tokens;
    int64_t token; /* the query's */
    int64_t at;    /* the key where it stands */
    int64_t keys, seen;
    double sum; /* of its weights */
} row;

/* ---- Patterns: the keys from `from` to before `to` for which `holds` ---- */

typedef struct span {
    int64_t from, to;
} span;

static span previous(const row *r)
{
    return (span){ r->at - 1, r->at };
}

static span diagonal(const row *r)
{
    return (span){ r->at, r->at + 1 };
}

static span first(const row *r)
{
    (void)r;
    return (span){ 0, 1 };
}

static span anti_diagonal(const row *r)
{
    return (span){ r->keys - 1 - r->at, r->keys - r->at };
}

static span before(const row *r)
{
    return (span){ 0, r->key_tokens ? r->at : 0 };
}

static span second_to_own(const row *r)
{
    return (span){ 1, r->key_tokens ? r->at + 1 : 0 };
}

static span all(const row *r)
{
    return (span){ 0, r->pattern ? r->keys : 0 };
}

static bool is_same(const row *r, int64_t j)
{
    return r->key_tokens[j] == r->token;
}

static bool follows_same(const row *r, int64_t j)
{
    return r->key_tokens[j - 1] == r->token;
}

static bool is_own(const row *r, int64_t j)
{
    return r->pattern[j];
}

static const struct {
    const char *name;
    span (*span)(const row *r);
    bool (*holds)(const row *r, int64_t j); /* NULL: always */
} patterns[GRD_NUM_PATTERNS] = {
    [GRD_PATTERN_PREVIOUS] = { "previous", previous, NULL },
    [GRD_PATTERN_DIAGONAL] = { "diagonal", diagonal, NULL },
    [GRD_PATTERN_FIRST] = { "first", first, NULL },
    [GRD_PATTERN_ANTI_DIAGONAL] = { "anti-diagonal", anti_diagonal, NULL },
    [GRD_PATTERN_DUPLICATE] = { "duplicate", before, is_same },
    [GRD_PATTERN_INDUCTION] = { "induction", second_to_own, follows_same },
    [GRD_PATTERN_OWN] = { "own", all, is_own },
};

const char *grd_pattern_name(grd_pattern pattern)
{
    return (unsigned)pattern < GRD_NUM_PATTERNS ? patterns[pattern].name : NULL;
}

/* ---- Sums ---- */

typedef struct sums {
    double matched, all, uniform;
    int64_t queries;
} sums;

static void add_pattern(sums *s, const row *r, int pattern)
{
    const span keys = patterns[pattern].span(r);
    double matched = 0;
    int64_t count = 0;
    for (int64_t j = keys.from < 0 ? 0 : keys.from; j < keys.to && j < r->keys; j++) {
        if ((r->visible && !r->visible[j]) ||
            (patterns[pattern].holds && !patterns[pattern].holds(r, j)))
            continue;
        matched += r->weights[j];
        count++;
    }
    if (!count)
        return;
    s->matched += matched;
    s->all += r->sum;
    s->uniform += (double)count / (double)r->seen;
    s->queries++;
}

/* The larger; NaN if there is one. */
static double worse(double a, double b)
{
    return isnan(a) || b <= a ? a : b;
}

static void add_validity(grd_head_scores *scores, row *r)
{
    r->sum = 0;
    r->seen = r->visible ? 0 : r->keys;
    for (int64_t j = 0; j < r->keys; j++) {
        r->sum += r->weights[j];
        if (!r->visible)
            continue;
        r->seen += r->visible[j];
        if (!r->visible[j])
            scores->masked_weight = worse(scores->masked_weight, fabs(r->weights[j]));
    }
    scores->row_error = worse(scores->row_error, fabs(r->sum - (r->seen > 0)));
}

/* Of the row, as a part of the largest that its keys allow. */
static double entropy(const row *r)
{
    double sum = 0;
    for (int64_t j = 0; j < r->keys; j++)
        if (r->weights[j] != 0)
            sum -= r->weights[j] * log(r->weights[j]);
    return sum / log((double)r->seen);
}

static row row_of(const problem *p, int64_t b, int64_t h, int64_t i)
{
    const int64_t at = ((b * p->heads + h) * p->queries + i) * p->keys;
    return (row){
        .weights = p->weights + at,
        .visible = p->visible ? p->visible + at : NULL,
        .pattern = p->pattern ? p->pattern + at : NULL,
        .key_tokens = p->key_tokens ? p->key_tokens + b * p->keys : NULL,
        .token = p->query_tokens ? p->query_tokens[b * p->queries + i] : 0,
        .at = i + p->offset,
        .keys = p->keys,
    };
}

static grd_pattern_score score_of(const sums *s)
{
    const double score = s->matched / s->all, uniform = s->uniform / (double)s->queries;
    if (!s->queries)
        return (grd_pattern_score){ NAN, NAN, NAN, 0 };
    return (grd_pattern_score){ score, uniform, score / uniform, s->queries };
}

static grd_head_scores score_head(const problem *p, int64_t h)
{
    grd_head_scores scores = { 0 };
    sums all[GRD_NUM_PATTERNS] = { 0 };
    int64_t several = 0;
    for (int64_t n = 0; n < p->batch * p->queries; n++) {
        row r = row_of(p, n / p->queries, h, n % p->queries);
        add_validity(&scores, &r);
        if (p->counts && !p->counts[n])
            continue;
        if (r.seen > 1) {
            scores.entropy += entropy(&r);
            several++;
        }
        for (int i = 0; i < GRD_NUM_PATTERNS; i++)
            add_pattern(&all[i], &r, i);
    }
    scores.entropy = several ? scores.entropy / (double)several : NAN;
    for (int i = 0; i < GRD_NUM_PATTERNS; i++)
        scores.patterns[i] = score_of(&all[i]);
    return scores;
}

/* ---- Arguments ---- */

/* x in the shape that it broadcasts to; NULL with an error latched. */
static const grd_tensor *spread(const char *name, const grd_tensor *x, grd_dtype dtype,
                                const grd_shape *shape)
{
    const grd_shape own = grd_tensor_shape(x);
    grd_shape common = *shape;
    bool fits = grdi_broadcast(&common, &own) && common.rank == shape->rank;
    for (int64_t d = 0; fits && d < shape->rank; d++)
        fits = common.size[d] == shape->size[d];
    if (x->array.dtype != dtype)
        return grdi_fail(GRD_ERROR_DTYPE, op, "%s is %s, expected %s", name,
                         grdi_dtype_name(x->array.dtype), grdi_dtype_name(dtype));
    if (!fits)
        return grdi_fail(GRD_ERROR_SHAPE, op, "%s is %s, expected %s or what broadcasts to it",
                         name, grdi_size_text(x).chars, grdi_shape_text(shape).chars);
    return grd_expand(x, *shape);
}

static const bool *read_bools(const char *name, const grd_tensor *x, const grd_shape *shape)
{
    const grd_tensor *all = x ? spread(name, x, GRD_BOOL, shape) : NULL;
    const int64_t count = grd_tensor_count(all);
    bool *values = all ? grdi_scratch(op, (size_t)count, sizeof *values) : NULL;
    return values && grd_read_bool(all, values, count) == GRD_OK ? values : NULL;
}

static const int64_t *read_tokens(const char *name, const grd_tensor *x, const grd_shape *shape)
{
    const grd_tensor *all = x ? spread(name, x, GRD_I64, shape) : NULL;
    const int64_t count = grd_tensor_count(all);
    int64_t *values = all ? grdi_scratch(op, (size_t)count, sizeof *values) : NULL;
    return values && grd_read_i64(all, values, count) == GRD_OK ? values : NULL;
}

static bool read_weights(problem *p, const grd_tensor *weights)
{
    const int64_t count = grd_tensor_count(weights);
    double *values = grdi_scratch(op, (size_t)count, sizeof *values);
    p->weights = values;
    return values && grd_read_f64(weights, values, count) == GRD_OK;
}

static bool read_options(problem *p, const grd_score_options *o)
{
    const grd_shape pairs = GRD_SHAPE(p->batch, p->heads, p->queries, p->keys);
    const grd_shape queries = GRD_SHAPE(p->batch, p->queries), keys = GRD_SHAPE(p->batch, p->keys);
    const bool shared = !o->key_tokens && o->query_tokens;
    if (o->key_tokens && !o->query_tokens)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "key_tokens without query_tokens: give both");
    if (shared && p->queries != p->keys)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "%lld queries and %lld keys: query_tokens are not the keys' (give "
                         "key_tokens too)",
                         (long long)p->queries, (long long)p->keys);
    if (o->offset < -p->queries || o->offset > p->keys)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "offset is %lld: no query of %lld would stand at a key of %lld",
                         (long long)o->offset, (long long)p->queries, (long long)p->keys);
    p->offset = o->offset;
    p->visible = read_bools("visible", o->visible, &pairs);
    p->pattern = read_bools("pattern", o->pattern, &pairs);
    p->counts = read_bools("queries", o->queries, &queries);
    p->query_tokens = read_tokens("query_tokens", o->query_tokens, &queries);
    p->key_tokens = shared ? p->query_tokens : read_tokens("key_tokens", o->key_tokens, &keys);
    return !grdi_latched();
}

static bool check(const grd_tensor *weights, const grd_head_scores *scores, int64_t num_heads)
{
    if (grdi_latched())
        return false;
    if (!weights || (!scores && num_heads))
        return grdi_fail_null(op);
    const int64_t rank = grd_tensor_rank(weights);
    if (rank != 3 && rank != 4)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "weights are %s, expected (B, H, L, S) or (H, L, S) (averaged ones are of "
                         "no head: ask for GRD_PER_HEAD)",
                         grdi_size_text(weights).chars);
    if (!grdi_is_floating(weights->array.dtype))
        return grdi_fail(GRD_ERROR_DTYPE, op, "weights are %s, expected a floating type",
                         grdi_dtype_name(weights->array.dtype));
    return grd_tensor_size(weights, -3) == num_heads ||
           grdi_fail(GRD_ERROR_ARGUMENT, op, "weights %s have %lld heads, scores has room for %lld",
                     grdi_size_text(weights).chars, (long long)grd_tensor_size(weights, -3),
                     (long long)num_heads);
}

grd_status grd_score_heads(const grd_tensor *weights, const grd_score_options *options,
                           grd_head_scores *scores, int64_t num_heads)
{
    static const grd_score_options none;
    if (!check(weights, scores, num_heads))
        return grdi_self.latched;
    problem p = { .batch = grd_tensor_rank(weights) == 4 ? grd_tensor_size(weights, 0) : 1,
                  .heads = num_heads,
                  .queries = grd_tensor_size(weights, -2),
                  .keys = grd_tensor_size(weights, -1) };
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    if (read_weights(&p, weights) && read_options(&p, options ? options : &none))
        for (int64_t h = 0; h < num_heads; h++)
            scores[h] = score_head(&p, h);
    return grd_scope_end(&scope);
}
