#include "tensor/cpu/flash_attention.h"
#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <string.h>

enum { ITEM_QUERIES = 128 }; /* of a piece of work, forward */

typedef struct call {
    const grdi_flash *how;
    const grdi_array *query, *key, *value;
    const grdi_array *output, *logsumexp; /* forward */
    const grdi_flash_gradient *gradient;  /* backward */
    const grdi_loops *loops;
    bool *finite; /* of each (sample, head) of key and value */
} call;

static int64_t at2(const grdi_array *x, int64_t b, int64_t h)
{
    return b * x->dim[0].stride + h * x->dim[1].stride;
}

/* The first row of a head; NULL where there is no memory. */
static float *row_at(const grdi_array *x, int64_t b, int64_t h)
{
    return x->data ? (float *)x->data + at2(x, b, h) : NULL;
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
        .scale = (float)c->how->scale,
        .softcap = (float)c->how->softcap,
        .kept = c->how->dropout > 0 ? (float)(1 / (1 - c->how->dropout)) : 0,
        .dropped = (uint32_t)(c->how->dropout * 0x1p32),
        .draw = c->how->draw,
        .first_word = pairs.first_word,
        .word_row = pairs.end,
        .visible = pairs.visible,
        .visible_row = pairs.visible_row,
        .visible_column = pairs.visible_column,
        .additive =
            c->how->additive ? (const float *)c->how->additive->data + pairs.additive : NULL,
        .additive_row = pairs.additive_row,
        .additive_column = pairs.additive_column,
    };
}

static bool rows_finite(const call *c, const float *x, int64_t row, int64_t rows, int64_t size)
{
    for (int64_t i = 0; i < rows; i++)
        if (!c->loops->all_finite_f32(size, x + i * row))
            return false;
    return true;
}

/* The fast loops multiply what is hidden by 0, which a NaN or an infinity survives; what lies at or
 * past a length they never read. */
static grd_status mark_finite(void *context, int64_t first, int64_t last)
{
    const call *c = context;
    const int64_t heads = c->key->dim[1].size;
    for (int64_t i = first; i < last; i++) {
        const grdi_head h = head_of(c, i / heads, i % heads * group_of(c));
        const float *last_key = h.key + h.first_appended * h.key_row;
        const float *last_value = h.value + h.first_appended * h.value_row;
        c->finite[i] = rows_finite(c, h.key, h.key_row, h.keys, h.size) &&
                       rows_finite(c, h.value, h.value_row, h.keys, h.value_size) &&
                       rows_finite(c, last_key, h.key_row, h.appended, h.size) &&
                       rows_finite(c, last_value, h.value_row, h.appended, h.value_size);
    }
    return GRD_OK;
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
    return c->loops->flash_attention_f32(
        in, at.first, at.last, row_at(c->output, at.sample, at.head), c->output->dim[2].stride,
        sums_at(c->logsumexp, at.sample, at.head));
}

static grd_status forward_cleaned(const call *c, const grdi_head *in, grdi_place at)
{
    grdi_cleaned cleaned;
    const grdi_pairs pairs = grdi_pairs_of(c->how, c->query, c->key, at.sample, at.head);
    if (!grdi_clean(&cleaned, in, NULL, &pairs, c->loops))
        return GRD_ERROR_MEMORY;
    const grd_status status = forward_fast(c, &cleaned.head, at)
                                  ? each_run(c, cleaned.suspect, at, forward_plainly)
                                  : forward_plainly(c, at);
    grdi_cleaned_free(&cleaned);
    return status;
}

static grd_status forward_item(const call *c, int64_t head, int64_t first, int64_t last)
{
    const int64_t heads = c->query->dim[1].size;
    const grdi_place at = { head / heads, head % heads, first, last };
    if (c->query->dtype != GRD_F32)
        return forward_plainly(c, at);
    const grdi_head in = head_of(c, at.sample, at.head);
    const bool finite =
        c->finite[at.sample * c->key->dim[1].size + at.head / group_of(c)] &&
        rows_finite(c, in.query + first * in.query_row, in.query_row, last - first, in.size);
    if (!finite)
        return forward_cleaned(c, &in, at);
    return forward_fast(c, &in, at) ? GRD_OK : forward_plainly(c, at);
}

static grd_status forward(void *context, int64_t first, int64_t last)
{
    const call *c = context;
    const int64_t queries = c->query->dim[2].size;
    const int64_t items = (queries + ITEM_QUERIES - 1) / ITEM_QUERIES;
    grd_status status = GRD_OK;
    for (int64_t i = first; i < last && status == GRD_OK; i++) {
        const int64_t from = i % items * ITEM_QUERIES, left = queries - from;
        status =
            forward_item(c, i / items, from, from + (left < ITEM_QUERIES ? left : ITEM_QUERIES));
    }
    return status;
}

/* Nanoseconds for all pairs of n queries with the keys of one head, `products` matrix products. */
static double cost(const call *c, int64_t n, int products)
{
    return 1 + (double)products * (double)n * (double)c->key->dim[2].size *
                   (double)(c->query->dim[3].size + c->value->dim[3].size) / 150;
}

/* Runs `work` over `items` with the marks that it needs. */
static grd_status with_marks(call *c, grdi_work *work, int64_t items, double ns)
{
    const int64_t heads = grdi_positions(c->key, 2);
    const size_t bytes = (size_t)heads * sizeof(bool);
    c->finite = grdi_allocate(bytes);
    if (!c->finite)
        return GRD_ERROR_MEMORY;
    grd_status status = GRD_OK;
    if (c->query->dtype == GRD_F32)
        status = grdi_parallel(heads, grdi_grain(cost(c, 1, 1)), mark_finite, c);
    if (status == GRD_OK)
        status = grdi_parallel(items, grdi_grain(ns), work, c);
    grdi_free(c->finite, bytes);
    return status;
}

static bool computes(const grdi_array *x)
{
    return x->dtype == GRD_F32 || x->dtype == GRD_F64;
}

grd_status grdi_cpu_flash_attention(grd_device *device, const grdi_flash *how,
                                    const grdi_array *output, const grdi_array *logsumexp,
                                    const grdi_array *query, const grdi_array *key,
                                    const grdi_array *value)
{
    if (!computes(query))
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(logsumexp))
        return GRD_OK;
    call c = { .how = how,
               .query = query,
               .key = key,
               .value = value,
               .output = output,
               .logsumexp = logsumexp,
               .loops = grdi_loops_of(device) };
    const int64_t items = (query->dim[2].size + ITEM_QUERIES - 1) / ITEM_QUERIES;
    const int64_t n = query->dim[2].size < ITEM_QUERIES ? query->dim[2].size : ITEM_QUERIES;
    return with_marks(&c, forward, grdi_positions(query, 2) * items, cost(&c, n, 2));
}

/* ---- Backward: a piece of work is a head of the keys, with all heads of queries that share it
 * ---- */

static void clear(const grdi_array *x, int64_t b, int64_t h)
{
    const size_t size = x->dtype == GRD_F32 ? sizeof(float) : sizeof(double);
    const int64_t first = at2(x, b, h);
    for (int64_t i = 0; i < x->dim[2].size && x->dim[3].size; i++)
        memset((char *)x->data + (size_t)(first + i * x->dim[2].stride) * size, 0,
               (size_t)x->dim[3].size * size);
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

static grd_status backward_plainly(const call *c, grdi_place place)
{
    return grdi_flash_backward_plain(c->how, c->gradient, c->query, c->key, c->value, place);
}

static bool backward_fast(const call *c, const grdi_head *in, const grdi_head_gradient *g,
                          grdi_place at)
{
    return g->dadditive ? c->loops->flash_attention_additive_f32(in, g, at.first, at.last)
                        : c->loops->flash_attention_backward_f32(in, g);
}

static grd_status backward_cleaned(const call *c, const grdi_head *in, const grdi_head_gradient *g,
                                   grdi_place at)
{
    grdi_cleaned cleaned;
    const grdi_pairs pairs = grdi_pairs_of(c->how, c->query, c->key, at.sample, at.head);
    if (!grdi_clean(&cleaned, in, g, &pairs, c->loops))
        return GRD_ERROR_MEMORY;
    const grd_status status = backward_fast(c, &cleaned.head, &cleaned.gradient, at)
                                  ? each_run(c, cleaned.suspect, at, backward_plainly)
                                  : backward_plainly(c, at);
    grdi_cleaned_free(&cleaned);
    return status;
}

static grd_status backward_of(const call *c, grdi_place at)
{
    if (c->query->dtype != GRD_F32)
        return backward_plainly(c, at);
    const grdi_head in = head_of(c, at.sample, at.head);
    const grdi_head_gradient g = gradient_of(c, at.sample, at.head);
    const int64_t n = at.last - at.first;
    const bool finite =
        c->finite[at.sample * c->key->dim[1].size + at.head / group_of(c)] &&
        rows_finite(c, in.query + at.first * in.query_row, in.query_row, n, in.size) &&
        rows_finite(c, g.doutput + at.first * g.doutput_row, g.doutput_row, n, in.value_size);
    if (!finite)
        return backward_cleaned(c, &in, &g, at);
    return backward_fast(c, &in, &g, at) ? GRD_OK : backward_plainly(c, at);
}

static grd_status backward(void *context, int64_t first, int64_t last)
{
    const call *c = context;
    const int64_t heads = c->key->dim[1].size, group = group_of(c);
    grd_status status = GRD_OK;
    for (int64_t i = first; i < last; i++) {
        const int64_t b = i / heads, of_key = i % heads;
        clear(c->gradient->dkey, b, of_key);
        clear(c->gradient->dvalue, b, of_key);
        for (int64_t h = of_key * group; h < (of_key + 1) * group && status == GRD_OK; h++) {
            clear(c->gradient->dquery, b, h);
            status = backward_of(c, (grdi_place){ b, h, 0, c->query->dim[2].size });
        }
    }
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
    if (!computes(query))
        return GRD_ERROR_UNSUPPORTED;
    call c = backward_call(device, how, gradient, query, key, value);
    const int64_t heads = grdi_positions(key, 2);
    if (heads == 0)
        return GRD_OK;
    return with_marks(&c, backward, heads, cost(&c, query->dim[2].size * group_of(&c), 5));
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

static int64_t query_items(const grdi_array *dadditive)
{
    return (distinct(dadditive, 2) + ITEM_QUERIES - 1) / ITEM_QUERIES;
}

static grd_status additive_item(const call *c, int64_t item)
{
    const grdi_array *x = c->gradient->dadditive;
    const int64_t items = query_items(x), heads = distinct(x, 1), slice = item / items;
    const sharing samples = sharing_of(x, 0, slice / heads), of = sharing_of(x, 1, slice % heads);
    const int64_t from = item % items * ITEM_QUERIES, queries = x->dim[2].size;
    const int64_t to = items == 1 || queries < from + ITEM_QUERIES ? queries : from + ITEM_QUERIES;
    grd_status status = GRD_OK;
    for (int64_t b = samples.first; b < samples.last; b++)
        for (int64_t h = of.first; h < of.last && status == GRD_OK; h++)
            status = backward_of(c, (grdi_place){ b, h, from, to });
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
    if (!computes(query))
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(x) || grdi_is_empty(gradient->logsumexp))
        return GRD_OK;
    call c = backward_call(device, how, gradient, query, key, value);
    const int64_t items = distinct(x, 0) * distinct(x, 1) * query_items(x);
    const int64_t pairs = grdi_positions(query, 2) * query->dim[2].size;
    return with_marks(&c, additive, items, cost(&c, pairs / items, 2));
}
