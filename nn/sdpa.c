#include "nn/attention.h"

#include <math.h>

/* ---- Checking ---- */

static bool check_kind(const char *op, const char *name, const grd_tensor *query,
                       const grd_tensor *x)
{
    if (x->array.dtype != query->array.dtype)
        return grdi_fail(GRD_ERROR_DTYPE, op, "dtypes differ: query is %s, %s is %s (use grd_cast)",
                         grdi_dtype_name(query->array.dtype), name,
                         grdi_dtype_name(x->array.dtype));
    if (grdi_device(x) != grdi_device(query))
        return grdi_fail(GRD_ERROR_DEVICE, op, "devices differ: query is on %s, %s is on %s",
                         grdi_device(query)->name, name, grdi_device(x)->name);
    return true;
}

/* The sizes before (H, L, D) of x are those of the query. */
static bool check_batch(const char *op, const char *name, const grd_tensor *query,
                        const grd_tensor *x)
{
    bool same = x->array.rank == query->array.rank;
    for (int d = 0; same && d < x->array.rank - 3; d++)
        same = x->array.dim[d].size == query->array.dim[d].size;
    if (same)
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, op,
                     "the sizes before heads differ: query is %s, %s is %s (use grd_expand)",
                     grdi_size_text(query).chars, name, grdi_size_text(x).chars);
}

/* Size `back` dimensions from the last one. */
static int64_t size(const grd_tensor *x, int back)
{
    return x->array.dim[x->array.rank - 1 - back].size;
}

static bool check_shapes(const grdi_sdpa_call *c)
{
    const grd_tensor *q = c->query, *k = c->key, *v = c->value;
    if (q->array.rank < 3)
        return grdi_fail(GRD_ERROR_SHAPE, c->op,
                         "query is %s, expected (..., H, L, D) (see grd_split_heads)",
                         grdi_size_text(q).chars);
    if (!check_batch(c->op, "key", q, k) || !check_batch(c->op, "value", q, v))
        return false;
    if (size(q, 0) != size(k, 0))
        return grdi_fail(
            GRD_ERROR_SHAPE, c->op,
            "head sizes differ: query is %s, key is %s (..., heads, length, head size)",
            grdi_size_text(q).chars, grdi_size_text(k).chars);
    if (size(k, 1) != size(v, 1) || size(k, 2) != size(v, 2))
        return grdi_fail(GRD_ERROR_SHAPE, c->op,
                         "every key has one value: key is %s, value is %s (..., heads, length, "
                         "head size)",
                         grdi_size_text(k).chars, grdi_size_text(v).chars);
    if (size(k, 2) ? size(q, 2) % size(k, 2) : size(q, 2))
        return grdi_fail(GRD_ERROR_SHAPE, c->op,
                         "%lld query heads are no multiple of %lld key heads: query is %s, key is "
                         "%s",
                         (long long)size(q, 2), (long long)size(k, 2), grdi_size_text(q).chars,
                         grdi_size_text(k).chars);
    return true;
}

static bool check_options(const grdi_sdpa_call *c)
{
    const grd_sdpa_options *o = c->options;
    if (!(o->dropout >= 0 && o->dropout < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, c->op, "dropout is %g, expected 0 <= dropout < 1",
                         o->dropout);
    if (o->dropout > 0 && !o->rng)
        return grdi_fail(GRD_ERROR_ARGUMENT, c->op,
                         "dropout is %g, but there is no rng to draw from (see grd_rng_create)",
                         o->dropout);
    if (!(o->softcap >= 0) || isinf(o->softcap))
        return grdi_fail(GRD_ERROR_ARGUMENT, c->op,
                         "softcap is %g, expected a positive number, or 0 for none", o->softcap);
    if (!isfinite(o->scale.value))
        return grdi_fail(GRD_ERROR_ARGUMENT, c->op, "scale is %g, expected a finite number",
                         o->scale.value);
    if ((unsigned)o->weights > GRD_PER_HEAD)
        return grdi_fail(GRD_ERROR_ARGUMENT, c->op, "weights is %d, which is no grd_weights",
                         (int)o->weights);
    return true;
}

static bool check(const grdi_sdpa_call *c)
{
    if (!c->query || !c->key || !c->value)
        return grdi_fail_null(c->op);
    if (!grdi_is_floating(c->query->array.dtype))
        return grdi_fail(GRD_ERROR_DTYPE, c->op, "query is %s, expected a floating type",
                         grdi_dtype_name(c->query->array.dtype));
    return check_kind(c->op, "key", c->query, c->key) &&
           check_kind(c->op, "value", c->query, c->value) && check_shapes(c) && check_options(c);
}

/* ---- Computing ---- */

grd_attention grdi_hand_out(grd_scope *scope, grd_attention a)
{
    grd_tensor *results[] = { a.output, a.weights,
                              a.dropped_weights == a.weights ? NULL : a.dropped_weights,
                              a.logsumexp };
    const int count = sizeof results / sizeof results[0];
    for (int i = 0; i < count; i++)
        grdi_retain(results[i]);
    const bool failed = grd_scope_end(scope) != GRD_OK;
    for (int i = 0; i < count; i++)
        if (failed)
            grdi_release(results[i]);
        else if (results[i])
            grdi_scope_own(&results[i]->object);
    return failed ? (grd_attention){ 0 } : a;
}

static double scale_of(const grdi_sdpa_call *c)
{
    const grd_maybe_real scale = c->options->scale;
    const double head_size = (double)size(c->query, 0);
    if (scale.set || scale.value != 0)
        return scale.value;
    return head_size > 0 ? 1 / sqrt(head_size) : 1;
}

/* Query, key and value of a packed projection, recorded. */
static bool unpack(grdi_sdpa_call *c)
{
    const grd_tensor **parts[] = { &c->query, &c->key, &c->value };
    const int64_t heads = size(c->query, 2), width = size(c->packed, 0) / 3;
    for (int i = 0; i < 3; i++)
        *parts[i] = grd_split_heads(grd_slice(c->packed, -1, i * width, (i + 1) * width, 1), heads);
    return !grdi_latched();
}

/* The kernel that keeps no weights gives the output wherever it can, whatever else is asked for:
 * so asking changes nothing. */
static grd_attention compute(grdi_sdpa_call *c)
{
    const grd_sdpa_options *o = c->options;
    const bool fused = !grdi_sdpa_unfused(c);
    const bool more = o->weights != GRD_NO_WEIGHTS || o->dropped_weights || o->logsumexp;
    grd_tensor *output = fused ? grdi_sdpa_fused(c) : NULL;
    if (fused && !more)
        return (grd_attention){ .output = output };
    if (c->packed && !unpack(c))
        return (grd_attention){ 0 };
    grd_attention result = grdi_sdpa_composed(c);
    if (fused)
        result.output = output;
    return result;
}

/* A call whose tensors are set: the rest, in a scope of its own. */
static grd_attention run(grdi_sdpa_call *c, int64_t appended)
{
    static const grd_sdpa_options defaults;
    grd_attention result = { 0 };
    if (!c->options)
        c->options = &defaults;
    if (grdi_latched() || !check(c))
        return result;
    c->scale = scale_of(c);
    grd_shape scores = grd_tensor_shape(c->query);
    scores.size[scores.rank - 1] = size(c->key, 1) - appended;
    grd_scope scope;
    grdi_scope_open(&scope);
    if (grdi_see(c->op, &c->options->mask, &scores, appended, c->query, &c->visible))
        result = compute(c);
    return grdi_hand_out(&scope, result);
}

grd_attention grdi_sdpa(const char *op, const grd_tensor *query, const grd_tensor *key,
                        const grd_tensor *value, const grd_sdpa_options *options, int64_t appended)
{
    grdi_sdpa_call c = { .op = op, .options = options, .query = query, .key = key, .value = value };
    return run(&c, appended);
}

grd_attention grdi_sdpa_packed(const char *op, const grd_tensor *packed, int64_t num_heads,
                               const grd_sdpa_options *options)
{
    if (!packed)
        return grdi_fail_null(op), (grd_attention){ 0 };
    grdi_sdpa_call c = { .op = op,
                         .options = options,
                         .query = grdi_packed_heads(packed, 0, num_heads),
                         .key = grdi_packed_heads(packed, 1, num_heads),
                         .value = grdi_packed_heads(packed, 2, num_heads),
                         .packed = packed };
    return run(&c, 0);
}

grd_attention grd_sdpa(const grd_tensor *query, const grd_tensor *key, const grd_tensor *value,
                       const grd_sdpa_options *options)
{
    return grdi_sdpa("sdpa", query, key, value, options, 0);
}

grd_attention grd_at_attention(grd_attention result, const char *file, int line)
{
    grd_tensor *made[] = { result.output, result.weights, result.dropped_weights,
                           result.logsumexp };
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        if (made[i] || i == 0)
            made[i] = grd_at(made[i], file, line);
    return result;
}
