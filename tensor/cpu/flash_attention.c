#include "tensor/cpu/flash_attention.h"
#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

enum { ITEM_QUERIES = 128 }; /* of a piece of work, forward */

typedef struct call {
    const grdi_flash *how;
    const grdi_array *query, *key, *value;
    const grdi_array *output, *logsumexp; /* forward */
    const grdi_flash_gradient *gradient;  /* backward */
    const grdi_loops *loops;
} call;

static bool is_half(const grdi_array *x)
{
    return x->dtype == GRD_F16 || x->dtype == GRD_BF16;
}

static int64_t at2(const grdi_array *x, int64_t b, int64_t h)
{
    return b * x->dim[0].stride + h * x->dim[1].stride;
}

/* The first row of a head; NULL where there is no memory. */
static void *row_at(const grdi_array *x, int64_t b, int64_t h)
{
    return grdi_element(x, at2(x, b, h));
}

static double *sums_at(const grdi_array *logsumexp, int64_t b, int64_t h)
{
    return (double *)logsumexp->data + at2(logsumexp, b, h);
}

static int64_t group_of(const call *c)
{
    return c->query->dim[1].size / c->key->dim[1].size;
}

/* Far enough to be unlimited, near enough to be added to. */
static int64_t limited(int64_t x)
{
    const int64_t far = INT64_MAX / 8;
    return x < -far ? -far : x < far ? x : far;
}

grdi_pairs grdi_pairs_of(const grdi_flash *how, const grdi_array *query, const grdi_array *key,
                         int64_t b, int64_t h)
{
    grdi_pairs pairs = {
        .queries = query->dim[2].size,
        .keys = key->dim[2].size - how->appended,
        .first_appended = key->dim[2].size - how->appended,
        .end = key->dim[2].size,
        .first_word =
            (uint64_t)((b * query->dim[1].size + h) * query->dim[2].size * key->dim[2].size),
        .diagonal = limited(how->offset),
        .left = limited(how->left),
        .right = limited(how->right),
    };
    if (how->lengths)
        pairs.keys = ((const int64_t *)how->lengths->data)[b * how->lengths->dim[0].stride];
    if (how->by_length)
        pairs.diagonal = limited(how->offset + pairs.keys);
    if (how->keep) {
        pairs.visible = (const bool *)how->keep->data + at2(how->keep, b, h);
        pairs.visible_row = how->keep->dim[2].stride;
        pairs.visible_column = how->keep->dim[3].stride;
    }
    if (how->additive) {
        pairs.additive = at2(how->additive, b, h);
        pairs.additive_row = how->additive->dim[2].stride;
        pairs.additive_column = how->additive->dim[3].stride;
    }
    return pairs;
}

/* How a half is read beside f32; NULL of another type. */
static grdi_converter *half_of(const grdi_array *x)
{
    return x && is_half(x) ? grdi_converters[GRD_F32][x->dtype] : NULL;
}

static grdi_head head_of(const call *c, int64_t b, int64_t h)
{
    const grdi_pairs pairs = grdi_pairs_of(c->how, c->query, c->key, b, h);
    const int64_t of_key = h / group_of(c);
    return (grdi_head){
        .query = row_at(c->query, b, h),
        .key = row_at(c->key, b, of_key),
        .value = row_at(c->value, b, of_key),
        .query_row = c->query->dim[2].stride,
        .key_row = c->key->dim[2].stride,
        .value_row = c->value->dim[2].stride,
        .queries = pairs.queries,
        .keys = pairs.keys,
        .first_appended = pairs.first_appended,
        .appended = pairs.end - pairs.first_appended,
        .size = c->query->dim[3].size,
        .value_size = c->value->dim[3].size,
        .diagonal = pairs.diagonal,
        .left = pairs.left,
        .right = pairs.right,
        .scale = c->how->scale,
        .softcap = c->how->softcap,
        .kept = c->how->dropout > 0 ? 1 / (1 - c->how->dropout) : 0,
        .dropped = (uint32_t)(c->how->dropout * 0x1p32),
        .draw = c->how->draw,
        .first_word = pairs.first_word,
        .word_row = pairs.end,
        .visible = pairs.visible,
        .visible_row = pairs.visible_row,
        .visible_column = pairs.visible_column,
        .additive = c->how->additive ? grdi_element(c->how->additive, pairs.additive) : NULL,
        .additive_half = half_of(c->how->additive),
        .additive_row = pairs.additive_row,
        .additive_column = pairs.additive_column,
    };
}

/* What attention is computed in. */
static bool in_f64(const call *c)
{
    return c->query->dtype == GRD_F64;
}

/* Rows first..last - 1 of a head. */
static bool rows_finite(const call *c, const void *x, int64_t row, int64_t first, int64_t last,
                        int64_t size)
{
    const grdi_loops *loops = c->loops;
    return in_f64(c)
               ? loops->rows_finite_f64(last - first, size, (const double *)x + first * row, row)
               : loops->rows_finite_f32(last - first, size, (const float *)x + first * row, row);
}

/* ---- Forward ---- */

/* Plain loops for the queries that are `suspect`, in runs. */
static grd_status each_run(const call *c, const bool *suspect, grdi_place place,
                           grd_status (*plainly)(const call *c, grdi_place place))
{
    grd_status status = GRD_OK;
    for (int64_t i = place.first, last; i < place.last && status == GRD_OK; i = last) {
        for (last = i + 1; last < place.last && suspect[last] == suspect[i];)
            last++;
        if (suspect[i])
            status = plainly(c, (grdi_place){ place.sample, place.head, i, last });
    }
    return status;
}

static grd_status forward_plainly(const call *c, grdi_place place)
{
    return grdi_flash_plain(c->how, c->output, c->logsumexp, c->query, c->key, c->value, place);
}

static bool forward_fast(const call *c, const grdi_head *in, grdi_place at)
{
    const grdi_loops *loops = c->loops;
    return (in_f64(c) ? loops->flash_attention_f64 : loops->flash_attention_f32)(
        in, at.first, at.last, row_at(c->output, at.sample, at.head), c->output->dim[2].stride,
        sums_at(c->logsumexp, at.sample, at.head));
}

static grd_status forward_cleaned(const call *c, const grdi_head *in, grdi_place at)
{
    grdi_cleaned cleaned;
    const grdi_pairs pairs = grdi_pairs_of(c->how, c->query, c->key, at.sample, at.head);
    if (!grdi_clean(&cleaned, in, NULL, &pairs, c->loops, c->query->dtype))
        return GRD_ERROR_MEMORY;
    const grd_status status = forward_fast(c, &cleaned.head, at)
                                  ? each_run(c, cleaned.suspect, at, forward_plainly)
                                  : forward_plainly(c, at);
    grdi_cleaned_free(&cleaned);
    return status;
}

/* Whether what was computed is finite, but for the log-sum-exp of queries that see no key. */
static bool finite_results(const call *c, grdi_place at)
{
    const double *sums = sums_at(c->logsumexp, at.sample, at.head);
    for (int64_t i = at.first; i < at.last; i++)
        if (!(sums[i] < INFINITY))
            return false;
    return rows_finite(c, row_at(c->output, at.sample, at.head), c->output->dim[2].stride, at.first,
                       at.last, c->output->dim[3].size);
}

/* The fast loops multiply what is hidden by 0, which a NaN or an infinity survives; so the results
 * tell whether there was one, at less cost than a look at all keys and values. */
static grd_status forward_at(const call *c, grdi_place at)
{
    const grdi_head in = head_of(c, at.sample, at.head);
    if (!forward_fast(c, &in, at))
        return forward_plainly(c, at);
    return finite_results(c, at) ? GRD_OK : forward_cleaned(c, &in, at);
}

/* A head in f16 or bf16 is computed in f32. */
static grd_status forward_half(const call *c, grdi_place at)
{
    grdi_widened w = { .count = 0 };
    call wide = *c;
    const int64_t b = at.sample, of_key = at.head / group_of(c);
    wide.query = grdi_widened_add(&w, c->query, at2(c->query, b, at.head));
    wide.key = grdi_widened_add(&w, c->key, at2(c->key, b, of_key));
    wide.value = grdi_widened_add(&w, c->value, at2(c->value, b, of_key));
    wide.output = grdi_widened_add(&w, c->output, at2(c->output, b, at.head));
    if (!grdi_widened_open(&w, 3))
        return GRD_ERROR_MEMORY;
    const grd_status status = forward_at(&wide, at);
    grdi_widened_close(&w, 3);
    return status;
}

/* Queries of a piece of work: of halves all, since a piece widens the head's keys. */
static int64_t item_queries(const call *c)
{
    const int64_t queries = c->query->dim[2].size;
    return is_half(c->query) || queries < ITEM_QUERIES ? queries : ITEM_QUERIES;
}

static grd_status forward(void *context, int64_t first, int64_t last)
{
    const call *c = context;
    const int64_t queries = c->query->dim[2].size, heads = c->query->dim[1].size;
    const int64_t most = item_queries(c), items = (queries + most - 1) / most;
    grd_status status = GRD_OK;
    for (int64_t i = first; i < last && status == GRD_OK; i++) {
        const int64_t head = i / items, from = i % items * most, left = queries - from;
        const grdi_place at = { head / heads, head % heads, from,
                                from + (left < most ? left : most) };
        status = is_half(c->query) ? forward_half(c, at) : forward_at(c, at);
    }
    return status;
}

/* Nanoseconds for all pairs of n queries with the keys of one head, `products` matrix products:
 * what a head and a query cost beside these is most of it where there are few. */
static double cost(const call *c, int64_t n, int products)
{
    const double sizes = (double)(c->query->dim[3].size + c->value->dim[3].size);
    return products * (100 + (double)n * (5 + (double)c->key->dim[2].size * sizes / 150));
}

grd_status grdi_cpu_flash_attention(grd_device *device, const grdi_flash *how,
                                    const grdi_array *output, const grdi_array *logsumexp,
                                    const grdi_array *query, const grdi_array *key,
                                    const grdi_array *value)
{
    if (grdi_is_empty(logsumexp))
        return GRD_OK;
    call c = { .how = how,
               .query = query,
               .key = key,
               .value = value,
               .output = output,
               .logsumexp = logsumexp,
               .loops = grdi_loops_of(device) };
    const int64_t n = item_queries(&c), items = (query->dim[2].size + n - 1) / n;
    return grdi_parallel(grdi_positions(query, 2) * items, grdi_grain(cost(&c, n, 2)), forward, &c);
}

/* ---- Backward: a piece of work is a head of the keys, with all heads of queries that share it
 * ---- */

static void clear(const grdi_array *x, int64_t b, int64_t h)
{
    const int64_t each = (int64_t)grdi_dtype_size(x->dtype), row = x->dim[2].stride * each;
    int64_t rows = x->dim[2].size, bytes = x->dim[3].size * each;
    char *first = row_at(x, b, h);
    if (row == bytes) {
        bytes *= rows;
        rows = 1;
    }
    for (int64_t i = 0; i < rows && bytes > 0; i++)
        memset(first + i * row, 0, (size_t)bytes);
}

static grdi_head_gradient gradient_of(const call *c, int64_t b, int64_t h)
{
    const grdi_flash_gradient *g = c->gradient;
    const int64_t of_key = h / group_of(c);
    grdi_head_gradient gradient = {
        .output = row_at(g->output, b, h),
        .doutput = row_at(g->doutput, b, h),
        .logsumexp = sums_at(g->logsumexp, b, h),
        .output_row = g->output->dim[2].stride,
        .doutput_row = g->doutput->dim[2].stride,
    };
    if (g->dadditive) {
        gradient.dadditive = row_at(g->dadditive, b, h);
        gradient.dadditive_row = g->dadditive->dim[2].stride;
        gradient.dadditive_column = g->dadditive->dim[3].stride;
        return gradient;
    }
    gradient.dquery = row_at(g->dquery, b, h);
    gradient.dkey = row_at(g->dkey, b, of_key);
    gradient.dvalue = row_at(g->dvalue, b, of_key);
    gradient.dquery_row = g->dquery->dim[2].stride;
    gradient.dkey_row = g->dkey->dim[2].stride;
    gradient.dvalue_row = g->dvalue->dim[2].stride;
    return gradient;
}

/* Adds to what the fast loops left. */
static grd_status backward_plainly(const call *c, grdi_place place)
{
    return grdi_flash_backward_plain(c->how, c->gradient, c->query, c->key, c->value, place);
}

/* Where there is no memory for the fast loops, which write dquery. */
static grd_status backward_all_plainly(const call *c, grdi_place place)
{
    if (!c->gradient->dadditive)
        clear(c->gradient->dquery, place.sample, place.head);
    return backward_plainly(c, place);
}

static bool backward_fast(const call *c, const grdi_head *in, const grdi_head_gradient *g,
                          grdi_place at)
{
    const grdi_loops *loops = c->loops;
    if (g->dadditive)
        return (in_f64(c) ? loops->flash_attention_additive_f64
                          : loops->flash_attention_additive_f32)(in, g, at.first, at.last);
    return (in_f64(c) ? loops->flash_attention_backward_f64
                      : loops->flash_attention_backward_f32)(in, g);
}

static grd_status backward_cleaned(const call *c, const grdi_head *in, const grdi_head_gradient *g,
                                   grdi_place at)
{
    grdi_cleaned cleaned;
    const grdi_pairs pairs = grdi_pairs_of(c->how, c->query, c->key, at.sample, at.head);
    if (!grdi_clean(&cleaned, in, g, &pairs, c->loops, c->query->dtype))
        return GRD_ERROR_MEMORY;
    const grd_status status = backward_fast(c, &cleaned.head, &cleaned.gradient, at)
                                  ? each_run(c, cleaned.suspect, at, backward_plainly)
                                  : backward_all_plainly(c, at);
    grdi_cleaned_free(&cleaned);
    return status;
}

/* Looked at just before they are read, while they are in the cache; what lies at or past a length
 * is neither. */
static bool finite_inputs(const call *c, const grdi_head *h, const grdi_head_gradient *g,
                          grdi_place at)
{
    const int64_t first = h->first_appended, last = first + h->appended;
    return rows_finite(c, h->key, h->key_row, 0, h->keys, h->size) &&
           rows_finite(c, h->value, h->value_row, 0, h->keys, h->value_size) &&
           rows_finite(c, h->key, h->key_row, first, last, h->size) &&
           rows_finite(c, h->value, h->value_row, first, last, h->value_size) &&
           rows_finite(c, h->query, h->query_row, at.first, at.last, h->size) &&
           rows_finite(c, g->doutput, g->doutput_row, at.first, at.last, h->value_size);
}

static grd_status backward_at(const call *c, grdi_place at)
{
    const grdi_head in = head_of(c, at.sample, at.head);
    const grdi_head_gradient g = gradient_of(c, at.sample, at.head);
    if (!finite_inputs(c, &in, &g, at))
        return backward_cleaned(c, &in, &g, at);
    return backward_fast(c, &in, &g, at) ? GRD_OK : backward_all_plainly(c, at);
}

/* Of a head of queries in f16 or bf16, whose keys are widened unless `keys` says to. */
static grd_status backward_half(const call *c, grdi_place at, bool keys)
{
    grdi_widened w = { .count = 0 };
    grdi_flash_gradient gradient = *c->gradient;
    call wide = *c;
    const int64_t b = at.sample, h = at.head, of_key = h / group_of(c);
    wide.gradient = &gradient;
    wide.query = grdi_widened_add(&w, c->query, at2(c->query, b, h));
    gradient.output = grdi_widened_add(&w, gradient.output, at2(gradient.output, b, h));
    gradient.doutput = grdi_widened_add(&w, gradient.doutput, at2(gradient.doutput, b, h));
    if (keys) {
        wide.key = grdi_widened_add(&w, c->key, at2(c->key, b, of_key));
        wide.value = grdi_widened_add(&w, c->value, at2(c->value, b, of_key));
    }
    const int read = w.count;
    if (!gradient.dadditive)
        gradient.dquery = grdi_widened_add(&w, gradient.dquery, at2(gradient.dquery, b, h));
    if (!grdi_widened_open(&w, read))
        return GRD_ERROR_MEMORY;
    const grd_status status = backward_at(&wide, at);
    grdi_widened_close(&w, read);
    return status;
}

/* A head of the keys, with all heads of queries that share it. */
static grd_status backward_group(const call *c, int64_t b, int64_t of_key)
{
    const int64_t group = group_of(c);
    grd_status status = GRD_OK;
    clear(c->gradient->dkey, b, of_key);
    clear(c->gradient->dvalue, b, of_key);
    for (int64_t h = of_key * group; h < (of_key + 1) * group && status == GRD_OK; h++) {
        const grdi_place at = { b, h, 0, c->query->dim[2].size };
        status = is_half(c->query) ? backward_half(c, at, false) : backward_at(c, at);
    }
    return status;
}

/* The gradients of keys and values are summed in f32, and rounded once. */
static grd_status backward_half_group(const call *c, int64_t b, int64_t of_key)
{
    grdi_widened w = { .count = 0 };
    grdi_flash_gradient gradient = *c->gradient;
    call wide = *c;
    wide.gradient = &gradient;
    wide.key = grdi_widened_add(&w, c->key, at2(c->key, b, of_key));
    wide.value = grdi_widened_add(&w, c->value, at2(c->value, b, of_key));
    gradient.dkey = grdi_widened_add(&w, gradient.dkey, at2(gradient.dkey, b, of_key));
    gradient.dvalue = grdi_widened_add(&w, gradient.dvalue, at2(gradient.dvalue, b, of_key));
    if (!grdi_widened_open(&w, 2))
        return GRD_ERROR_MEMORY;
    const grd_status status = backward_group(&wide, b, of_key);
    grdi_widened_close(&w, 2);
    return status;
}

static grd_status backward(void *context, int64_t first, int64_t last)
{
    const call *c = context;
    const int64_t heads = c->key->dim[1].size;
    grd_status status = GRD_OK;
    for (int64_t i = first; i < last && status == GRD_OK; i++)
        status = is_half(c->query) ? backward_half_group(c, i / heads, i % heads)
                                   : backward_group(c, i / heads, i % heads);
    return status;
}

static call backward_call(grd_device *device, const grdi_flash *how,
                          const grdi_flash_gradient *gradient, const grdi_array *query,
                          const grdi_array *key, const grdi_array *value)
{
    return (call){ .how = how,
                   .query = query,
                   .key = key,
                   .value = value,
                   .gradient = gradient,
                   .loops = grdi_loops_of(device) };
}

grd_status grdi_cpu_flash_attention_backward(grd_device *device, const grdi_flash *how,
                                             const grdi_flash_gradient *gradient,
                                             const grdi_array *query, const grdi_array *key,
                                             const grdi_array *value)
{
    call c = backward_call(device, how, gradient, query, key, value);
    const int64_t heads = grdi_positions(key, 2);
    if (heads == 0)
        return GRD_OK;
    const double ns = cost(&c, query->dim[2].size * group_of(&c), 5);
    return grdi_parallel(heads, grdi_grain(ns), backward, &c);
}

/* ---- Backward of what is additive: a piece of work is a slice of it, with all samples and heads
 * that share it ---- */

/* How many elements of dimension d there are; size 1 where all share one. */
static int64_t distinct(const grdi_array *x, int d)
{
    return x->dim[d].stride ? x->dim[d].size : 1;
}

/* The n-th of these elements stands for first..last - 1. */
typedef struct sharing {
    int64_t first, last;
} sharing;

static sharing sharing_of(const grdi_array *x, int d, int64_t n)
{
    return distinct(x, d) > 1 ? (sharing){ n, n + 1 } : (sharing){ 0, x->dim[d].size };
}

static int64_t query_items(const call *c)
{
    const int64_t most = item_queries(c);
    return (distinct(c->gradient->dadditive, 2) + most - 1) / most;
}

static grd_status additive_item(const call *c, int64_t item)
{
    const grdi_array *x = c->gradient->dadditive;
    const int64_t items = query_items(c), heads = distinct(x, 1), slice = item / items;
    const sharing samples = sharing_of(x, 0, slice / heads), of = sharing_of(x, 1, slice % heads);
    const int64_t most = item_queries(c), from = item % items * most, queries = x->dim[2].size;
    const int64_t to = items == 1 || queries < from + most ? queries : from + most;
    grd_status status = GRD_OK;
    for (int64_t b = samples.first; b < samples.last; b++)
        for (int64_t h = of.first; h < of.last && status == GRD_OK; h++) {
            const grdi_place at = { b, h, from, to };
            status = is_half(c->query) ? backward_half(c, at, true) : backward_at(c, at);
        }
    return status;
}

static grd_status additive(void *context, int64_t first, int64_t last)
{
    grd_status status = GRD_OK;
    for (int64_t i = first; i < last && status == GRD_OK; i++)
        status = additive_item(context, i);
    return status;
}

grd_status grdi_cpu_flash_attention_additive(grd_device *device, const grdi_flash *how,
                                             const grdi_flash_gradient *gradient,
                                             const grdi_array *query, const grdi_array *key,
                                             const grdi_array *value)
{
    const grdi_array *x = gradient->dadditive;
    if (grdi_is_empty(x) || grdi_is_empty(gradient->logsumexp))
        return GRD_OK;
    call c = backward_call(device, how, gradient, query, key, value);
    const int64_t items = distinct(x, 0) * distinct(x, 1) * query_items(&c);
    const int64_t pairs = grdi_positions(query, 2) * query->dim[2].size;
    return grdi_parallel(items, grdi_grain(cost(&c, pairs / items, 2)), additive, &c);
}
