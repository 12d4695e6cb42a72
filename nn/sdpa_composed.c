/* Attention in ops that keep the weights in memory: the meaning, of which the fused kernel is a
 * faster way for some inputs. */
#include "nn/attention.h"

/* A call with its heads grouped if there are more of the query's than of the keys': then query is
 * (..., H, G, L, D), key and value (..., H, 1, S, D). */
typedef struct grouped_call {
    const grdi_sdpa_call *call;
    const grd_tensor *query, *key, *value, *keep, *additive;
    int64_t group; /* query heads for each of the keys' */
} grouped_call;

/* ---- Heads in groups ---- */

/* x (..., heads, L, D) -> (..., heads / group, group, L, D), on x's memory; 1 head stays 1. */
static const grd_tensor *grouped(const grd_tensor *x, int64_t group)
{
    grd_shape shape = grd_tensor_shape(x);
    if (shape.rank < 3)
        return x;
    const int64_t heads = shape.size[shape.rank - 3];
    shape.rank++;
    for (int64_t d = shape.rank - 1; d > shape.rank - 3; d--)
        shape.size[d] = shape.size[d - 1];
    shape.size[shape.rank - 3] = heads == 1 ? 1 : group;
    shape.size[shape.rank - 4] = heads == 1 ? 1 : heads / group;
    return grd_reshape(x, shape);
}

static bool group_heads(grouped_call *g)
{
    const grdi_sdpa_call *c = g->call;
    const int64_t heads = grd_tensor_size(c->key, -3);
    g->group = heads ? grd_tensor_size(c->query, -3) / heads : 1;
    if (g->group == 1)
        return true;
    if (c->query->array.rank == GRD_MAX_RANK)
        return grdi_fail(GRD_ERROR_SHAPE, c->op,
                         "query heads in groups take a rank of at most %d: query is %s",
                         GRD_MAX_RANK - 1, grdi_size_text(c->query).chars);
    g->query = grouped(g->query, g->group);
    g->key = grd_unsqueeze(g->key, -3);
    g->value = grd_unsqueeze(g->value, -3);
    if (g->keep)
        g->keep = grouped(g->keep, g->group);
    if (g->additive)
        g->additive = grouped(g->additive, g->group);
    return !grdi_latched();
}

/* Back to (..., Hq, L, n), or without n. */
static grd_tensor *ungrouped(const grouped_call *g, grd_tensor *x)
{
    grd_shape shape = grd_tensor_shape(x);
    if (g->group == 1 || !x)
        return x;
    const int64_t heads = g->call->query->array.rank - 3;
    shape.size[heads] *= g->group;
    for (int64_t d = heads + 1; d < shape.rank - 1; d++)
        shape.size[d] = shape.size[d + 1];
    shape.rank--;
    return grd_reshape(x, shape);
}

/* ---- Computing ---- */

/* x = softcap tanh(scale x / softcap). What is hidden is not looked at, and must not become NaN on
 * the way. */
static const grd_tensor *capped(const grouped_call *g, const grd_tensor *x)
{
    const double cap = g->call->options->softcap;
    if (g->keep)
        x = grd_masked_fill(x, grd_logical_not(g->keep), 0);
    return grd_mul_scalar(grd_tanh(grd_mul_scalar(x, g->call->scale / cap)), cap);
}

static grd_tensor *chosen(const grouped_call *g, grd_tensor *weights, bool wanted)
{
    if (!wanted)
        return NULL;
    weights = ungrouped(g, weights);
    return g->call->options->weights == GRD_AVERAGED
               ? grd_mean_dims(weights, GRD_DIMS(-3), GRD_DROP_DIMS)
               : weights;
}

static grd_attention compute(const grouped_call *g)
{
    const grd_sdpa_options *o = g->call->options;
    const bool wants_lse = o->logsumexp || grdi_may_hide_rows(&g->call->visible);
    grd_tensor *lse = NULL;
    const grd_tensor *scores = grdi_scores(g->query, g->key, g->keep);
    if (o->softcap > 0)
        scores = capped(g, scores);
    grd_tensor *weights = grdi_weights(
        scores, g->additive, g->keep, o->softcap > 0 ? 1 : g->call->scale, wants_lse ? &lse : NULL);
    grd_tensor *dropped =
        o->dropout > 0 ? grdi_dropout_at(weights, o->dropout, g->call->draw) : weights;
    return (grd_attention){
        .output = ungrouped(g, grdi_mix(dropped, g->value, g->keep)),
        .weights = chosen(g, weights, o->weights != GRD_NO_WEIGHTS),
        .dropped_weights = chosen(g, dropped, o->dropped_weights),
        .logsumexp = ungrouped(g, lse),
    };
}

/* ---- Narrow types ---- */

/* Scores of f16 overflow where their softmax does not: what lies between is f32. */
static const grd_tensor *widened(const grd_tensor *x)
{
    const grd_dtype wide = x ? grdi_summed_in(x->array.dtype) : GRD_DTYPE_UNSET;
    return x && x->array.dtype != wide ? grd_cast(x, wide) : x;
}

static grd_tensor *narrowed(grd_tensor *x, const grd_tensor *query)
{
    return x && x->array.dtype != query->array.dtype ? grd_cast(x, query->array.dtype) : x;
}

grd_attention grdi_sdpa_composed(const grdi_sdpa_call *call)
{
    const grdi_visible *visible = &call->visible;
    const grd_tensor *additive =
        grdi_append_zeros(visible->parts.additive, visible->scores.size[visible->scores.rank - 1],
                          visible->band.appended);
    grouped_call g = { .call = call,
                       .query = widened(call->query),
                       .key = widened(call->key),
                       .value = widened(call->value),
                       .keep = grdi_keep_of(&call->visible, grdi_device(call->query)),
                       .additive = widened(additive) };
    if (grdi_latched() || !group_heads(&g))
        return (grd_attention){ 0 };
    grd_attention a = compute(&g);
    a.output = narrowed(a.output, call->query);
    a.weights = narrowed(a.weights, call->query);
    a.dropped_weights = narrowed(a.dropped_weights, call->query);
    return a;
}
