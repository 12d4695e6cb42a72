#include "tensor/cpu/flash_attention.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"
#include "tensor/rng.h"

#include <math.h>

/* One head, and room for its rows and for one query's scores. */
typedef struct head {
    const grdi_flash *how;
    const grdi_array *query, *key, *value;
    grdi_pairs pairs;
    int64_t at_query, at_key, at_value; /* of the head's first row */
    int64_t size, value_size;
    double *query_row, *key_row, *value_row, *other_row, *scores, *slopes;
    size_t bytes;
} head;

static int64_t at2(const grdi_array *x, int64_t b, int64_t h)
{
    return b * x->dim[0].stride + h * x->dim[1].stride;
}

static bool open_head(head *h, const grdi_flash *how, const grdi_array *query,
                      const grdi_array *key, const grdi_array *value, const grdi_place *place)
{
    const int64_t of_key = place->head / (query->dim[1].size / key->dim[1].size);
    *h = (head){
        .how = how,
        .query = query,
        .key = key,
        .value = value,
        .pairs = grdi_pairs_of(how, query, key, place->sample, place->head),
        .at_query = at2(query, place->sample, place->head),
        .at_key = at2(key, place->sample, of_key),
        .at_value = at2(value, place->sample, of_key),
        .size = query->dim[3].size,
        .value_size = value->dim[3].size,
    };
    const int64_t room = 2 * h->size + 2 * h->value_size + 2 * h->pairs.end;
    h->bytes = (size_t)room * sizeof(double);
    h->query_row = grdi_allocate(h->bytes);
    if (!h->query_row)
        return false;
    h->key_row = h->query_row + h->size;
    h->value_row = h->key_row + h->size;
    h->other_row = h->value_row + h->value_size;
    h->scores = h->other_row + h->value_size;
    h->slopes = h->scores + h->pairs.end;
    return true;
}

static void close_head(head *h)
{
    grdi_free(h->query_row, h->bytes);
}

static const double *row(const grdi_array *x, int64_t at, int64_t i, int64_t n, double *buffer)
{
    return grdi_load_f64(x, at + i * x->dim[2].stride, 1, n, buffer);
}

static double dot(int64_t n, const double *a, const double *b)
{
    double sum = 0;
    for (int64_t d = 0; d < n; d++)
        sum += a[d] * b[d];
    return sum;
}

static double additive_of(const head *h, int64_t i, int64_t j)
{
    double value;
    const grdi_pairs *p = &h->pairs;
    if (!h->how->additive || j >= p->first_appended)
        return 0;
    const int64_t at = p->additive + i * p->additive_row + j * p->additive_column;
    return *grdi_load_f64(h->how->additive, at, 1, 1, &value);
}

/* x, capped; *slope is the derivative. */
static double capped(double x, double softcap, double *slope)
{
    const double t = softcap > 0 ? tanh(x / softcap) : 0;
    *slope = 1 - t * t;
    return softcap > 0 ? softcap * t : x;
}

/* What the weight of a pair is multiplied by: 0 where it is dropped. */
static double kept(const head *h, int64_t i, int64_t j)
{
    const double p = h->how->dropout;
    const uint64_t pair = h->pairs.first_word + (uint64_t)(i * h->pairs.end + j);
    if (p == 0)
        return 1;
    return (uint32_t)(grdi_random_bits(h->how->draw, pair) >> 32) < (uint32_t)(p * 0x1p32)
               ? 0
               : 1 / (1 - p);
}

/* scores [j] = capped(scale query [i] . key [j]) + additive, -infinity where hidden, and their
 * slopes; returns the largest. */
static double score(const head *h, int64_t i)
{
    double most = -INFINITY;
    const double *query = row(h->query, h->at_query, i, h->size, h->query_row);
    for (int64_t j = 0; j < h->pairs.end; j++) {
        h->scores[j] = -INFINITY;
        if (!grdi_sees(&h->pairs, i, j))
            continue;
        const double *key = row(h->key, h->at_key, j, h->size, h->key_row);
        const double raw = h->how->scale * dot(h->size, query, key);
        h->scores[j] = capped(raw, h->how->softcap, &h->slopes[j]) + additive_of(h, i, j);
        if (!(h->scores[j] <= most) && !isnan(most)) /* a NaN too, which then stays */
            most = h->scores[j];
    }
    return most;
}

/* to [at..] += factor from */
static void add_row(const grdi_array *to, int64_t at, int64_t n, double factor, const double *from)
{
    for (int64_t d = 0; d < n; d++)
        if (to->dtype == GRD_F64)
            ((double *)to->data)[at + d] += factor * from[d];
        else
            ((float *)to->data)[at + d] += (float)(factor * from[d]);
}

static void store(const grdi_array *to, int64_t at, int64_t n, const double *from)
{
    for (int64_t d = 0; d < n; d++)
        if (to->dtype == GRD_F64)
            ((double *)to->data)[at + d] = from[d];
        else
            ((float *)to->data)[at + d] = (float)from[d];
}

/* Leaves query i's output in `other_row`; returns its log-sum-exp. */
static double attend(const head *h, int64_t i)
{
    const double most = score(h, i);
    double sum = 0;
    for (int64_t d = 0; d < h->value_size; d++)
        h->other_row[d] = 0;
    for (int64_t j = 0; j < h->pairs.end; j++) {
        if (!grdi_sees(&h->pairs, i, j))
            continue;
        const double weight = most == -INFINITY ? 0 : exp(h->scores[j] - most);
        const double *value = row(h->value, h->at_value, j, h->value_size, h->value_row);
        const double mixed = weight * kept(h, i, j);
        sum += weight;
        for (int64_t d = 0; d < h->value_size && mixed != 0; d++)
            h->other_row[d] += mixed * value[d];
    }
    for (int64_t d = 0; d < h->value_size && sum != 0; d++)
        h->other_row[d] /= sum;
    return sum == 0 ? -INFINITY : most + log(sum);
}

grd_status grdi_flash_plain(const grdi_flash *how, const grdi_array *output,
                            const grdi_array *logsumexp, const grdi_array *query,
                            const grdi_array *key, const grdi_array *value, grdi_place place)
{
    head h;
    if (!open_head(&h, how, query, key, value, &place))
        return GRD_ERROR_MEMORY;
    const int64_t to = at2(output, place.sample, place.head);
    const int64_t of_sum = at2(logsumexp, place.sample, place.head);
    for (int64_t i = place.first; i < place.last; i++) {
        const double sum = attend(&h, i);
        store(output, to + i * output->dim[2].stride, h.value_size, h.other_row);
        store(logsumexp, of_sum + i * logsumexp->dim[2].stride, 1, &sum);
    }
    close_head(&h);
    return GRD_OK;
}

/* The rows of the gradients, and of what they are made of. */
typedef struct gradients {
    const grdi_flash_gradient *of;
    int64_t dquery, dkey, dvalue, dadditive, output, doutput, logsumexp;
} gradients;

/* Query i and one of its keys. */
typedef struct pair {
    int64_t i, j;
    double weight, kept, dscore; /* of the score that additive is part of */
    const double *doutput;
} pair;

static void add_pair(const head *h, const gradients *g, const pair *p)
{
    const grdi_flash_gradient *of = g->of;
    const int64_t i = p->i, j = p->j;
    const double dscore = h->how->scale * p->dscore * h->slopes[j];
    const double *key = row(h->key, h->at_key, j, h->size, h->key_row);
    add_row(of->dvalue, g->dvalue + j * of->dvalue->dim[2].stride, h->value_size,
            p->weight * p->kept, p->doutput);
    add_row(of->dquery, g->dquery + i * of->dquery->dim[2].stride, h->size, dscore, key);
    const double *query = row(h->query, h->at_query, i, h->size, h->query_row);
    add_row(of->dkey, g->dkey + j * of->dkey->dim[2].stride, h->size, dscore, query);
}

static void add_to_additive(const head *h, const gradients *g, const pair *p)
{
    const grdi_array *dadditive = g->of->dadditive;
    const grdi_dim *dim = dadditive->dim;
    if (p->j < h->pairs.first_appended)
        add_row(dadditive, g->dadditive + p->i * dim[2].stride + p->j * dim[3].stride, 1, 1,
                &p->dscore);
}

typedef void pair_work(const head *h, const gradients *g, const pair *p);

static void backward_of(const head *h, const gradients *g, int64_t i, pair_work *work)
{
    const grdi_flash_gradient *of = g->of;
    double logsumexp;
    const int64_t at = g->logsumexp + i * of->logsumexp->dim[2].stride;
    logsumexp = *grdi_load_f64(of->logsumexp, at, 1, 1, &logsumexp);
    if (logsumexp == -INFINITY)
        return;
    score(h, i);
    const double *output = row(of->output, g->output, i, h->value_size, h->value_row);
    const double *doutput = row(of->doutput, g->doutput, i, h->value_size, h->other_row);
    const double delta = dot(h->value_size, output, doutput);
    for (int64_t j = 0; j < h->pairs.end; j++) {
        if (!grdi_sees(&h->pairs, i, j))
            continue;
        const double power = h->scores[j] - logsumexp; /* above 0 only by rounding */
        const double *value = row(h->value, h->at_value, j, h->value_size, h->value_row);
        pair p = { i, j, power > 0 ? 1 : exp(power), kept(h, i, j), 0, doutput };
        const double dweight = p.kept == 0 ? 0 : p.kept * dot(h->value_size, doutput, value);
        p.dscore = p.weight * (dweight - delta);
        work(h, g, &p);
    }
}

static gradients gradients_of(const grdi_flash_gradient *of, int64_t sample, int64_t head,
                              int64_t of_key)
{
    gradients g = {
        .of = of,
        .output = at2(of->output, sample, head),
        .doutput = at2(of->doutput, sample, head),
        .logsumexp = at2(of->logsumexp, sample, head),
    };
    if (of->dadditive) {
        g.dadditive = at2(of->dadditive, sample, head);
    } else {
        g.dquery = at2(of->dquery, sample, head);
        g.dkey = at2(of->dkey, sample, of_key);
        g.dvalue = at2(of->dvalue, sample, of_key);
    }
    return g;
}

grd_status grdi_flash_backward_plain(const grdi_flash *how, const grdi_flash_gradient *gradient,
                                     const grdi_array *query, const grdi_array *key,
                                     const grdi_array *value, grdi_place place)
{
    head h;
    if (!open_head(&h, how, query, key, value, &place))
        return GRD_ERROR_MEMORY;
    const int64_t of_key = place.head / (query->dim[1].size / key->dim[1].size);
    const gradients g = gradients_of(gradient, place.sample, place.head, of_key);
    for (int64_t i = place.first; i < place.last; i++)
        backward_of(&h, &g, i, gradient->dadditive ? add_to_additive : add_pair);
    close_head(&h);
    return GRD_OK;
}
