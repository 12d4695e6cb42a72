#include "nn/attention.h"
#include "tensor/rng.h"

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

bool grdi_sdpa_check_types(const char *op, const grd_tensor *query, const grd_tensor *key,
                           const grd_tensor *value)
{
    if (!grdi_is_floating(query->array.dtype))
        return grdi_fail(GRD_ERROR_DTYPE, op, "query is %s, expected a floating type",
                         grdi_dtype_name(query->array.dtype));
    return check_kind(op, "key", query, key) && check_kind(op, "value", query, value);
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

bool grdi_sdpa_check_options(const char *op, const grd_sdpa_options *o)
{
    if (!(o->dropout >= 0 && o->dropout < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "dropout is %g, expected 0 <= dropout < 1",
                         o->dropout);
    if (o->dropout > 0 && !o->rng)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "dropout is %g, but there is no rng to draw from (see grd_rng_create)",
                         o->dropout);
    if (!(o->softcap >= 0) || isinf(o->softcap))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "softcap is %g, expected a positive number, or 0 for none", o->softcap);
    if (!isfinite(o->scale.value))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "scale is %g, expected a finite number",
                         o->scale.value);
    if ((unsigned)o->weights > GRD_PER_HEAD)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "weights is %d, which is no grd_weights",
                         (int)o->weights);
    if (o->composed && grdi_sdpa_strict(o))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "composed asks for the kernel that strict forbids: leave one out");
    return true;
}

static bool check(const grdi_sdpa_call *c)
{
    if (!c->query || !c->key || !c->value)
        return grdi_fail_null(c->op);
    return grdi_sdpa_check_types(c->op, c->query, c->key, c->value) && check_shapes(c) &&
           grdi_sdpa_check_options(c->op, c->options);
}

/* ---- Which kernel ---- */

bool grdi_sdpa_strict(const grd_sdpa_options *options)
{
    return options->strict || grdi_self.scope->modes.strict_kernels;
}

const char *grdi_sdpa_refusal(const grdi_sdpa_call *c)
{
    const char *reason = c->options->composed ? "options.composed is set" : grdi_sdpa_unfused(c);
    if (reason && grdi_sdpa_strict(c->options) && !c->choice)
        grdi_fail(GRD_ERROR_UNSUPPORTED, c->op,
                  "strict: the flash kernel cannot run and composed would keep the weights: %s",
                  reason);
    return reason;
}

static void choose(const grdi_sdpa_call *c, const char *reason)
{
    if (grdi_latched())
        return;
    if (reason)
        *c->choice = (grd_kernel_choice){ .chosen = "composed",
                                          .num_refused = 1,
                                          .refused = { { "flash", reason } } };
    else
        grdi_sdpa_name_fused(c, c->choice);
    if (grdi_latched())
        *c->choice = (grd_kernel_choice){ .chosen = NULL };
}

/* ---- Rows without a key ---- */

void grdi_count_masked_rows(const grd_tensor *logsumexp)
{
    grd_scope *scope = logsumexp ? grd_scope_begin_no_grad() : NULL;
    if (!scope)
        return;
    const grd_tensor *blind = grd_eq_scalar(grd_detach(logsumexp), -INFINITY);
    const double count = grd_item(grd_sum(grd_cast(blind, GRD_F64)));
    if (grd_scope_end(scope) == GRD_OK)
        grdi_self.masked_rows += (int64_t)count;
}

int64_t grd_masked_rows(const grd_scope *scope)
{
    if (scope && grdi_scope_is_open(scope))
        return grdi_self.masked_rows - scope->masked_rows;
    grdi_fail(GRD_ERROR_SCOPE, "masked_rows", "this scope is not open on this thread");
    return -1;
}

/* ---- Computing ---- */

bool grdi_hand_over(grd_scope *scope, grd_tensor *const results[], int count)
{
    for (int i = 0; i < count; i++)
        grdi_retain(results[i]);
    const bool done = grd_scope_end(scope) == GRD_OK;
    for (int i = 0; i < count; i++)
        if (done && results[i] && !results[i]->object.scope)
            grdi_scope_own(&results[i]->object);
        else /* one of several that are the same tensor has gone over already */
            grdi_release(results[i]);
    return done;
}

grd_attention grdi_hand_out(grd_scope *scope, grd_attention a)
{
    grd_tensor *const results[] = { a.output, a.weights, a.dropped_weights, a.logsumexp };
    return grdi_hand_over(scope, results, sizeof results / sizeof results[0])
               ? a
               : (grd_attention){ 0 };
}

double grdi_sdpa_scale(const grd_sdpa_options *o, int64_t head_size)
{
    if (o->scale.set || o->scale.value != 0)
        return o->scale.value;
    return head_size > 0 ? 1 / sqrt((double)head_size) : 1;
}

bool grdi_sdpa_unpack(grdi_sdpa_call *c, int64_t heads)
{
    const grd_tensor **parts[] = { &c->query, &c->key, &c->value };
    const int64_t width = size(c->packed, 0) / 3;
    for (int i = 0; i < 3; i++)
        *parts[i] = grd_split_heads(grd_slice(c->packed, -1, i * width, (i + 1) * width, 1), heads);
    return !grdi_latched();
}

/* The kernel that keeps no weights gives the output wherever it can, whatever else is asked for:
 * so asking changes nothing. */
static grd_attention compute(grdi_sdpa_call *c, bool fused)
{
    const grd_sdpa_options *o = c->options;
    const bool more = o->weights != GRD_NO_WEIGHTS || o->dropped_weights || o->logsumexp;
    grd_attention result = { 0 };
    grd_tensor *logsumexp = NULL;
    grd_tensor *output = fused ? grdi_sdpa_fused(c, &logsumexp) : NULL;
    if (!fused || more) {
        if (c->packed && !grdi_sdpa_unpack(c, size(c->query, 2)))
            return result;
        result = grdi_sdpa_composed(c);
        logsumexp = result.logsumexp;
    }
    if (fused)
        result.output = output;
    if (grdi_may_hide_rows(&c->visible))
        grdi_count_masked_rows(logsumexp);
    if (!o->logsumexp)
        result.logsumexp = NULL;
    return result;
}

/* Both kernels draw the same numbers, and once. */
static grd_attention compute_drawing(grdi_sdpa_call *c, bool fused)
{
    grd_rng *rng = c->options->rng;
    if (!(c->options->dropout > 0))
        return compute(c, fused);
    c->draw = grdi_rng_next(rng);
    int64_t pairs = size(c->key, 1);
    for (int d = 0; d < c->query->array.rank - 1; d++)
        pairs *= c->query->array.dim[d].size;
    const grd_attention result = compute(c, fused);
    if (!grdi_latched())
        grdi_rng_advance(rng, pairs);
    return result;
}

bool grdi_sdpa_see(grdi_sdpa_call *c)
{
    grd_shape scores = grd_tensor_shape(c->query);
    scores.size[scores.rank - 1] = size(c->key, 1) - c->appended;
    return grdi_see(c->op, &c->options->mask, &scores, c->appended, c->query->array.dtype,
                    grdi_device(c->query), &c->visible);
}

static grd_attention run(grdi_sdpa_call *c)
{
    const char *reason = grdi_sdpa_see(c) ? grdi_sdpa_refusal(c) : NULL;
    if (c->choice)
        choose(c, reason);
    return c->choice || grdi_latched() ? (grd_attention){ 0 } : compute_drawing(c, !reason);
}

grd_attention grdi_sdpa(grdi_sdpa_call *c)
{
    static const grd_sdpa_options defaults;
    if (!c->options)
        c->options = &defaults;
    if (!grdi_may_make(c->op) || !check(c))
        return (grd_attention){ 0 };
    c->scale = grdi_sdpa_scale(c->options, size(c->query, 0));
    grd_scope scope;
    grdi_scope_open(&scope);
    return grdi_hand_out(&scope, run(c));
}

grd_attention grdi_sdpa_projected(grdi_sdpa_call *c, int64_t num_heads)
{
    if (!c->packed)
        return grdi_fail_null(c->op), (grd_attention){ 0 };
    c->query = grdi_packed_heads(c->packed, 0, num_heads);
    c->key = grdi_packed_heads(c->packed, 1, num_heads);
    c->value = grdi_packed_heads(c->packed, 2, num_heads);
    return grdi_sdpa(c);
}

grd_attention grd_sdpa(const grd_tensor *query, const grd_tensor *key, const grd_tensor *value,
                       const grd_sdpa_options *options)
{
    return grdi_sdpa(&(grdi_sdpa_call){
        .op = "sdpa", .options = options, .query = query, .key = key, .value = value });
}

grd_kernel_choice grd_sdpa_explain(const grd_tensor *query, const grd_tensor *key,
                                   const grd_tensor *value, const grd_sdpa_options *options)
{
    grd_kernel_choice choice = { 0 };
    grdi_sdpa(&(grdi_sdpa_call){ .op = "sdpa_explain",
                                 .options = options,
                                 .query = query,
                                 .key = key,
                                 .value = value,
                                 .choice = &choice });
    return choice;
}

grd_kernel_choice grd_at_kernel_choice(grd_kernel_choice result, const char *file, int line)
{
    grd_at_object(result.chosen, file, line);
    return result;
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
