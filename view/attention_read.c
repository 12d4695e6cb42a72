/* What is to be shown: checked, and read out layer by layer. */
#include "nn/files.h"
#include "tensor/front.h"
#include "view/attention.h"

#include <string.h>

/* ---- Checking ---- */

static grd_attention_view_layer told_of(const grd_view_attention_options *o, int64_t i)
{
    grd_attention_view_layer told = { 0 };
    if (o->details)
        told = o->details[i];
    told.query_tokens = told.query_tokens ? told.query_tokens : o->query_tokens;
    told.mask = told.mask ? told.mask : o->mask;
    return told;
}

/* (B, H, L, S), whatever the weights leave out. */
static grd_shape shape_of(const grd_tensor *weights)
{
    const grd_shape given = grd_tensor_shape(weights);
    grd_shape shape = GRD_SHAPE(1, 1, 1, 1);
    for (int64_t d = 0; d < given.rank; d++)
        shape.size[4 - given.rank + d] = given.size[d];
    return shape;
}

static bool check_weights(const char *op, const grd_tensor *weights, int64_t i)
{
    if (!weights)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "layers[%lld].weights is NULL (ask for them: args.weights = GRD_PER_HEAD)",
                         (long long)i);
    if (!grdi_is_floating(weights->array.dtype))
        return grdi_fail(GRD_ERROR_DTYPE, op,
                         "layers[%lld].weights is %s, expected a floating type", (long long)i,
                         grdi_dtype_name(weights->array.dtype));
    if (weights->array.rank < 2 || weights->array.rank > 4)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "layers[%lld].weights is %s, expected (B, H, L, S), (H, L, S) or (L, S)",
                         (long long)i, grdi_size_text(weights).chars);
    return grd_tensor_count(weights) > 0 ||
           grdi_fail(GRD_ERROR_SHAPE, op, "layers[%lld].weights is %s: there is nothing to see",
                     (long long)i, grdi_size_text(weights).chars);
}

static bool check_batch(const char *op, const grd_view_attention_options *o, int64_t i)
{
    const int64_t first = shape_of(o->layers[0].weights).size[0];
    const int64_t batch = shape_of(o->layers[i].weights).size[0];
    return batch == first ||
           grdi_fail(GRD_ERROR_SHAPE, op,
                     "layers[%lld].weights is %s: %lld samples, but layers[0] has %lld",
                     (long long)i, grdi_size_text(o->layers[i].weights).chars, (long long)batch,
                     (long long)first);
}

static bool check_texts(const char *op, const char *name, const char *const *texts, int64_t count,
                        int64_t layer)
{
    for (int64_t i = 0; texts && i < count; i++)
        if (!texts[i])
            return grdi_fail(GRD_ERROR_ARGUMENT, op,
                             "%s[%lld] is NULL: layers[%lld] takes %lld texts", name, (long long)i,
                             (long long)layer, (long long)count);
    return true;
}

/* x is (B, H, T, any), or lacks what the weights lack too. */
static bool fits(const grd_tensor *x, const grd_shape *s, int64_t tokens, int64_t heads,
                 int64_t rank)
{
    if (!x || grd_tensor_rank(x) != rank || !grdi_is_floating(x->array.dtype))
        return false;
    const grd_shape shape = shape_of(x);
    const int64_t own = shape.size[1];
    return shape.size[0] == s->size[0] && shape.size[2] == tokens && own > 0 &&
           (heads ? own == heads : s->size[1] % own == 0) && shape.size[3] > 0;
}

static grdi_text text_of(const grd_tensor *x)
{
    return x ? grdi_size_text(x) : (grdi_text){ "none" };
}

static bool check_vectors(const char *op, const grd_attention_view_layer *t, const grd_shape *s,
                          int64_t rank, int64_t i)
{
    if (!t->query && !t->key && !t->value)
        return true;
    const int64_t shared = t->key ? shape_of(t->key).size[1] : 0;
    if (fits(t->query, s, s->size[2], s->size[1], rank) && fits(t->key, s, s->size[3], 0, rank) &&
        fits(t->value, s, s->size[3], shared, rank) &&
        shape_of(t->query).size[3] == shape_of(t->key).size[3])
        return true;
    return grdi_fail(
        GRD_ERROR_SHAPE, op,
        "details[%lld]: query is %s, key %s, value %s, but the weights are %s: expected "
        "(B, H, L, D), (B, Hk, S, D), (B, Hk, S, Dv), all three",
        (long long)i, text_of(t->query).chars, text_of(t->key).chars, text_of(t->value).chars,
        grdi_shape_text(s).chars);
}

static bool check_baseline(const char *op, const grd_tensor *baseline, const grd_tensor *weights,
                           int64_t i)
{
    if (!baseline)
        return true;
    const grd_shape a = grd_tensor_shape(baseline), b = grd_tensor_shape(weights);
    return (grdi_is_floating(baseline->array.dtype) && a.rank == b.rank &&
            memcmp(a.size, b.size, (size_t)a.rank * sizeof a.size[0]) == 0) ||
           grdi_fail(GRD_ERROR_SHAPE, op,
                     "details[%lld].baseline is %s of %s: to be compared with the weights it must "
                     "be as they are, %s",
                     (long long)i, grdi_size_text(baseline).chars,
                     grdi_dtype_name(baseline->array.dtype), grdi_size_text(weights).chars);
}

static bool check_layer(const char *op, const grd_view_attention_options *o, int64_t i)
{
    const grd_tensor *weights = o->layers[i].weights;
    if (!check_weights(op, weights, i) || !check_batch(op, o, i))
        return false;
    const grd_attention_view_layer told = told_of(o, i);
    const grd_shape s = shape_of(weights);
    const int64_t own = s.size[3] - told.appended;
    if (told.appended < 0 || own < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "details[%lld].appended is %lld, of %lld keys in all", (long long)i,
                         (long long)told.appended, (long long)s.size[3]);
    const char *const *keys = o->details ? o->details[i].key_tokens : NULL;
    return check_texts(op, "query_tokens", told.query_tokens, s.size[0] * s.size[2], i) &&
           check_texts(op, "key_tokens", keys ? keys : o->key_tokens, s.size[0] * own, i) &&
           check_vectors(op, &told, &s, grd_tensor_rank(weights), i) &&
           check_baseline(op, told.baseline, weights, i);
}

bool grdi_view_check(const char *op, const grd_view_attention_options *o)
{
    int64_t count = 0;
    if (!o->layers)
        return grdi_fail_null(op);
    if (o->num_layers < 1)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "num_layers is %lld: there is nothing to see",
                         (long long)o->num_layers);
    for (int64_t i = 0; i < o->num_layers; i++) {
        if (!check_layer(op, o, i))
            return false;
        count += grd_tensor_count(o->layers[i].weights);
    }
    return count <= GRDI_VIEW_WEIGHTS ||
           grdi_fail(GRD_ERROR_SHAPE, op,
                     "%lld weights are more than a page takes, %d (select samples, heads or "
                     "queries)",
                     (long long)count, GRDI_VIEW_WEIGHTS);
}

/* ---- Reading ---- */

static const double *numbers_of(const char *op, const grd_tensor *x)
{
    const int64_t count = grd_tensor_count(x);
    double *numbers = grdi_scratch(op, (size_t)count, sizeof *numbers);
    return numbers && grd_read_f64(x, numbers, count) == GRD_OK ? numbers : NULL;
}

/* Rows of the mask's keys, and behind each what was appended, which every query sees. */
static void spread(const bool *own, int64_t rows, int64_t keys, int64_t appended, bool *visible)
{
    for (int64_t i = 0; i < rows; i++) {
        memcpy(visible + i * (keys + appended), own + i * keys, (size_t)keys);
        memset(visible + i * (keys + appended) + keys, true, (size_t)appended);
    }
}

static const bool *visible_of(const char *op, const grd_attention_view_layer *told,
                              const grd_shape *shape, int64_t layer)
{
    grd_shape scores = *shape;
    scores.size[3] -= told->appended;
    const int64_t rows = shape->size[0] * shape->size[1] * shape->size[2], keys = scores.size[3];
    bool *visible = grdi_scratch(op, (size_t)(rows * shape->size[3]), sizeof *visible);
    if (!visible)
        return NULL;
    memset(visible, true, (size_t)(rows * shape->size[3]));
    if (!told->mask || keys == 0)
        return visible;
    const grd_tensor *seen = grd_mask_visible(told->mask, scores);
    bool *own = seen ? grdi_scratch(op, (size_t)(rows * keys), sizeof *own) : NULL;
    if (!own || grd_read_bool(seen, own, rows * keys) != GRD_OK) {
        grdi_error_context(" (the mask of layers[%lld])", (long long)layer);
        return NULL;
    }
    spread(own, rows, keys, told->appended, visible);
    return visible;
}

/* What rounding may make of a sum of weights. */
static double tolerance_of(grd_dtype dtype)
{
    return dtype == GRD_F64 ? 1e-10 : dtype == GRD_F32 ? 1e-5 : dtype == GRD_F16 ? 1e-2 : 5e-2;
}

bool grdi_view_read(const char *op, const grd_view_attention_options *o, int64_t i,
                    grdi_shown *shown)
{
    const grd_tensor *weights = o->layers[i].weights;
    *shown = (grdi_shown){ .told = told_of(o, i),
                           .shape = shape_of(weights),
                           .tolerance = tolerance_of(weights->array.dtype) };
    const grd_attention_view_layer *told = &shown->told;
    const bool alike = shown->shape.size[2] == shown->shape.size[3] - told->appended;
    shown->query_texts = told->query_tokens;
    shown->key_texts = told->key_tokens ? told->key_tokens
                       : o->key_tokens  ? o->key_tokens
                       : alike          ? told->query_tokens
                                        : NULL;
    shown->weights = numbers_of(op, weights);
    shown->visible = visible_of(op, told, &shown->shape, i);
    if (told->baseline)
        shown->baseline = numbers_of(op, told->baseline);
    return !grdi_latched();
}
