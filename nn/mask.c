#include "nn/attention.h"

#include <string.h>

/* A mask being checked against the scores (..., H, L, S). */
typedef struct request {
    const char *op;
    const grd_mask *mask;
    const grd_shape *scores;
    grd_dtype dtype; /* of the scores */
    grd_device *device;
    int64_t queries, keys;
} request;

/* The sizes before H, L and S. */
static grd_shape batch_of(const request *r)
{
    grd_shape batch = *r->scores;
    batch.rank -= 3;
    return batch;
}

static bool is_set(grd_maybe_int option)
{
    return option.set || option.value;
}

/* ---- Parts over the scores: additive, attend, ignore ---- */

/* x without leading ones that the scores do not have: (1, H, L, S) for inputs without a batch. */
static const grd_tensor *trimmed(const grd_tensor *x, const grd_shape *scores)
{
    grd_shape shape = grd_tensor_shape(x);
    if (shape.rank <= scores->rank)
        return x;
    const int64_t extra = shape.rank - scores->rank;
    for (int64_t d = 0; d < extra; d++)
        if (shape.size[d] != 1)
            return x;
    for (int64_t d = 0; d < scores->rank; d++)
        shape.size[d] = shape.size[d + extra];
    shape.rank = scores->rank;
    return grd_reshape(x, shape);
}

/* What a shape that does not fit was probably meant for, as a remedy; "" if nothing is known. */
static grdi_text likely(const request *r, const grd_tensor *x)
{
    const grd_shape shape = grdi_array_shape(&x->array), *scores = r->scores;
    grdi_text text = { "" };
    if (scores->rank == 4 && shape.rank == 3 && shape.size[0] == scores->size[0] * scores->size[1])
        snprintf(text.chars, sizeof text.chars,
                 " (torch's (N H, L, S) is reshaped to (N, H, L, S) first)");
    else if (scores->rank == 4 && shape.rank == 2 && shape.size[0] == scores->size[0] &&
             shape.size[1] == r->keys)
        snprintf(text.chars, sizeof text.chars, " (a mask of padding (B, S) is key_ignore)");
    return text;
}

static bool check_shape(const request *r, const char *name, const grd_tensor *x)
{
    grd_shape common = grdi_array_shape(&x->array);
    if (grdi_broadcast(&common, r->scores) && grdi_shape_equal(&common, r->scores))
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, r->op,
                     "mask.%s is %s, which does not broadcast to the scores (..., H, L, S) %s%s",
                     name, grdi_size_text(x).chars, grdi_shape_text(r->scores).chars,
                     likely(r, x).chars);
}

static bool check_device(const request *r, const char *name, const grd_tensor *x)
{
    if (grdi_device(x) == r->device)
        return true;
    return grdi_fail(GRD_ERROR_DEVICE, r->op, "mask.%s is on %s, the query on %s", name,
                     grdi_device(x)->name, r->device->name);
}

static bool check_bool(const request *r, const char *name, const grd_tensor *x)
{
    if (!x)
        return true;
    if (x->array.dtype != GRD_BOOL)
        return grdi_fail(GRD_ERROR_DTYPE, r->op,
                         "mask.%s is %s: it must be bool (numbers that are added to the scores are "
                         "mask.additive)",
                         name, grdi_dtype_name(x->array.dtype));
    return check_device(r, name, x);
}

static bool check_additive(const request *r, const grd_tensor *x)
{
    if (!x)
        return true;
    if (x->array.dtype == GRD_BOOL)
        return grdi_fail(GRD_ERROR_DTYPE, r->op,
                         "mask.additive is bool: say mask.attend if true takes part, mask.ignore "
                         "if true is left out");
    if (x->array.dtype != r->dtype)
        return grdi_fail(GRD_ERROR_DTYPE, r->op,
                         "mask.additive is %s, but the query is %s (use grd_cast)",
                         grdi_dtype_name(x->array.dtype), grdi_dtype_name(r->dtype));
    return check_device(r, "additive", x) && check_shape(r, "additive", x);
}

static bool check_pairs(const request *r)
{
    const grd_mask *mask = r->mask;
    return check_additive(r, mask->additive) && check_bool(r, "attend", mask->attend) &&
           (!mask->attend || check_shape(r, "attend", mask->attend)) &&
           check_bool(r, "ignore", mask->ignore) &&
           (!mask->ignore || check_shape(r, "ignore", mask->ignore));
}

/* ---- Parts per sample: key_ignore, key_lengths ---- */

/* Whether x has one entry (of `keys` values, if not 0) for every sample; a batch of one, or none,
 * may be left out or stated. */
static bool is_per_sample(const request *r, const grd_tensor *x, const grd_shape *expected)
{
    const grd_shape batch = batch_of(r);
    int64_t samples = 1;
    for (int64_t d = 0; d < batch.rank; d++)
        samples *= batch.size[d];
    const bool keys = expected->rank > batch.rank;
    const bool one = samples == 1 && x->array.rank >= (keys ? 1 : 0) &&
                     grdi_count(&x->array) == (keys ? r->keys : 1) &&
                     (!keys || grd_tensor_size(x, -1) == r->keys);
    return one || grdi_has_shape(&x->array, expected);
}

static bool see_key_ignore(const request *r, const grd_tensor **result)
{
    const grd_tensor *x = r->mask->key_ignore;
    grd_shape expected = batch_of(r), wide = *r->scores;
    *result = NULL;
    if (!x)
        return true;
    expected.size[expected.rank++] = r->keys;
    if (!check_bool(r, "key_ignore", x))
        return false;
    if (!is_per_sample(r, x, &expected))
        return grdi_fail(GRD_ERROR_SHAPE, r->op,
                         "mask.key_ignore is %s, expected %s: every sample's keys",
                         grdi_size_text(x).chars, grdi_shape_text(&expected).chars);
    wide.size[wide.rank - 3] = wide.size[wide.rank - 2] = 1;
    return (*result = grdi_reshape(x, &wide));
}

/* Whether all lengths are in 0..S. */
static bool check_values(const request *r, const grd_tensor *lengths)
{
    const int64_t count = grdi_count(&lengths->array);
    const size_t bytes = (size_t)count * sizeof(int64_t);
    int64_t *values = grdi_allocate(bytes ? bytes : 1);
    if (!values)
        return grdi_fail_memory(r->op, bytes);
    if (grd_read_i64(lengths, values, count) == GRD_OK)
        for (int64_t i = 0; i < count; i++)
            if (values[i] < 0 || values[i] > r->keys)
                grdi_fail(GRD_ERROR_ARGUMENT, r->op,
                          "mask.key_lengths[%lld] is %lld, but there are %lld keys", (long long)i,
                          (long long)values[i], (long long)r->keys);
    grdi_free(values, bytes ? bytes : 1);
    return !grdi_latched();
}

static bool see_key_lengths(const request *r, const grd_tensor **result)
{
    const grd_tensor *x = r->mask->key_lengths;
    const grd_shape expected = batch_of(r);
    grd_shape wide = *r->scores;
    *result = NULL;
    if (!x)
        return true;
    if (x->array.dtype != GRD_I64)
        return grdi_fail(GRD_ERROR_DTYPE, r->op, "mask.key_lengths is %s, not i64",
                         grdi_dtype_name(x->array.dtype));
    if (!is_per_sample(r, x, &expected))
        return grdi_fail(GRD_ERROR_SHAPE, r->op,
                         "mask.key_lengths is %s, expected %s: a length for every sample",
                         grdi_size_text(x).chars, grdi_shape_text(&expected).chars);
    for (int64_t d = wide.rank - 3; d < wide.rank; d++)
        wide.size[d] = 1;
    return check_device(r, "key_lengths", x) && check_values(r, x) &&
           (*result = grdi_reshape(x, &wide));
}

/* ---- The band: causal, windows and where the diagonal lies ---- */

static bool check_window(const request *r, const char *name, grd_maybe_int window)
{
    if (window.value >= 0)
        return true;
    return grdi_fail(GRD_ERROR_ARGUMENT, r->op,
                     "mask.%s is %lld: keys beside the diagonal are counted from 0 (leave it unset "
                     "for no limit)",
                     name, (long long)window.value);
}

static bool check_align(const request *r, bool band)
{
    const grd_mask *mask = r->mask;
    if ((unsigned)mask->align > GRD_ALIGN_OFFSET)
        return grdi_fail(GRD_ERROR_ARGUMENT, r->op, "mask.align is %d, which is no grd_align",
                         (int)mask->align);
    if (mask->offset && mask->align != GRD_ALIGN_OFFSET)
        return grdi_fail(GRD_ERROR_ARGUMENT, r->op,
                         "mask.offset is %lld, but mask.align is not GRD_ALIGN_OFFSET",
                         (long long)mask->offset);
    if (mask->align == GRD_ALIGN_KEY_LENGTHS && !mask->key_lengths)
        return grdi_fail(GRD_ERROR_ARGUMENT, r->op,
                         "mask.align is GRD_ALIGN_KEY_LENGTHS, but there are no mask.key_lengths");
    if (band && mask->align == GRD_ALIGN_UNSTATED && r->queries != r->keys)
        return grdi_fail(GRD_ERROR_ARGUMENT, r->op,
                         "mask.align is not stated, and %lld queries over %lld keys have no one "
                         "diagonal (GRD_ALIGN_TOP_LEFT as PyTorch, GRD_ALIGN_BOTTOM_RIGHT as "
                         "FlashAttention, GRD_ALIGN_KEY_LENGTHS or GRD_ALIGN_OFFSET)",
                         (long long)r->queries, (long long)r->keys);
    return true;
}

/* Key i + what for query i; a length still to be added for GRD_ALIGN_KEY_LENGTHS. */
static int64_t diagonal(const request *r)
{
    switch (r->mask->align) {
    case GRD_ALIGN_BOTTOM_RIGHT:
        return r->keys - r->queries;
    case GRD_ALIGN_KEY_LENGTHS:
        return -r->queries;
    default:
        return r->mask->offset;
    }
}

static bool see_band(const request *r, grdi_mask *result)
{
    const grd_mask *mask = r->mask;
    const bool band = mask->causal || is_set(mask->window_left) || is_set(mask->window_right);
    if (!check_window(r, "window_left", mask->window_left) ||
        !check_window(r, "window_right", mask->window_right) || !check_align(r, band))
        return false;
    result->left = is_set(mask->window_left) ? mask->window_left.value : INT64_MAX;
    result->right = mask->causal                 ? 0
                    : is_set(mask->window_right) ? mask->window_right.value
                                                 : INT64_MAX;
    result->offset = diagonal(r);
    result->by_length = mask->align == GRD_ALIGN_KEY_LENGTHS;
    return true;
}

/* ---- The whole ---- */

static bool see(const request *r, int64_t appended, grdi_visible *visible)
{
    const grd_mask *mask = r->mask;
    *visible = (grdi_visible){
        .scores = *r->scores,
        .parts = { mask->attend, mask->ignore, NULL, mask->additive, NULL },
        .band.appended = appended,
    };
    return see_band(r, &visible->band) && check_pairs(r) &&
           see_key_ignore(r, &visible->parts.key_ignore) &&
           see_key_lengths(r, &visible->parts.lengths) && !grdi_latched();
}

bool grdi_see(const char *op, const grd_mask *given, const grd_shape *scores, int64_t appended,
              grd_dtype dtype, grd_device *device, grdi_visible *visible)
{
    grd_mask mask = *given;
    mask.additive = trimmed(given->additive, scores);
    mask.attend = trimmed(given->attend, scores);
    mask.ignore = trimmed(given->ignore, scores);
    const request r = { .op = op,
                        .mask = &mask,
                        .scores = scores,
                        .dtype = dtype,
                        .device = device,
                        .queries = scores->size[scores->rank - 2],
                        .keys = scores->size[scores->rank - 1] };
    return see(&r, appended, visible);
}

static bool has_pairs(const grdi_mask_parts *parts)
{
    return parts->attend || parts->ignore || parts->key_ignore || parts->additive;
}

/* Whether the band alone leaves every query a key. */
static bool band_leaves_all(const grdi_visible *visible)
{
    const grd_shape *scores = &visible->scores;
    const grdi_mask *band = &visible->band;
    const int64_t queries = scores->size[scores->rank - 2], keys = scores->size[scores->rank - 1];
    const int64_t far = INT64_MAX / 4; /* what is farther is not worth the care */
    if (keys < 1 || band->by_length || band->offset < -far || band->offset > far)
        return false;
    const int64_t left = band->left < far ? band->left : far;
    const int64_t right = band->right < far ? band->right : far;
    return band->offset + right >= 0 && queries - 1 + band->offset - left <= keys - 1;
}

bool grdi_may_hide_rows(const grdi_visible *visible)
{
    return !visible->band.appended &&
           (has_pairs(&visible->parts) || visible->parts.lengths || !band_leaves_all(visible));
}

grd_tensor *grdi_keep_of(const grdi_visible *visible, grd_device *device)
{
    const grdi_mask *band = &visible->band;
    if (!has_pairs(&visible->parts) && !visible->parts.lengths && band->left == INT64_MAX &&
        band->right == INT64_MAX)
        return NULL;
    return grdi_attention_mask(&visible->parts, band, &visible->scores, device);
}

grd_tensor *grdi_keep_of_pairs(const grdi_visible *visible, grd_device *device)
{
    grdi_mask_parts parts = visible->parts;
    const grdi_mask unlimited = { .left = INT64_MAX, .right = INT64_MAX };
    parts.lengths = NULL;
    return has_pairs(&parts) ? grdi_attention_mask(&parts, &unlimited, &visible->scores, device)
                             : NULL;
}

/* ---- For people ---- */

static bool check_scores(const grd_shape *scores)
{
    bool fits = scores->rank >= 3 && scores->rank <= GRD_MAX_RANK;
    for (int64_t d = 0; fits && d < scores->rank; d++)
        fits = scores->size[d] >= 0;
    return fits || grdi_fail(GRD_ERROR_SHAPE, "mask_visible", "scores %s, expected (..., H, L, S)",
                             grdi_shape_text(scores).chars);
}

/* The pairs that are kept, each with an element of its own. */
static grd_tensor *spread(const grdi_visible *visible, const grd_shape *scores, grd_device *device)
{
    const grd_tensor *keep = grdi_keep_of(visible, device);
    if (grdi_latched())
        return NULL;
    if (!keep)
        return grdi_full("mask_visible", scores, 1, GRD_BOOL, device);
    return grd_clone(grd_expand(keep, *scores));
}

grd_tensor *grd_mask_visible(const grd_mask *mask, grd_shape scores)
{
    static const grd_mask none;
    mask = mask ? mask : &none;
    if (!grdi_may_make("mask_visible") || !check_scores(&scores))
        return NULL;
    grdi_visible visible;
    grd_device *device = grdi_self.scope->modes.device;
    const grd_dtype dtype =
        mask->additive ? mask->additive->array.dtype : grdi_self.scope->modes.dtype;
    if (mask->additive && dtype != GRD_BOOL && !grdi_is_floating(dtype))
        return grdi_fail(GRD_ERROR_DTYPE, "mask_visible",
                         "mask.additive is %s, expected a floating type", grdi_dtype_name(dtype));
    grd_scope *scope = grd_scope_begin_no_grad();
    grd_tensor *pairs = NULL;
    if (scope && grdi_see("mask_visible", mask, &scores, 0, dtype, device, &visible))
        pairs = spread(&visible, &scores, device);
    return scope ? grd_scope_return(scope, pairs) : NULL;
}
