/* Heads that hold what is not finite. */
#include "tensor/cpu/flash_attention.h"
#include "tensor/object.h"

#include <math.h>
#include <string.h>

static const float *copy_rows(float **room, const float *x, int64_t row, int64_t rows, int64_t size)
{
    float *copy = *room;
    for (int64_t i = 0; i < rows && size > 0; i++)
        memcpy(copy + i * size, x + i * row, (size_t)size * sizeof *x);
    *room += rows * size;
    return copy;
}

/* Rows that are not finite become 0, and are marked in `bad`. */
static void clean_rows(const grdi_loops *loops, const float *x, int64_t rows, int64_t size,
                       bool *bad)
{
    for (int64_t i = 0; i < rows; i++)
        if (!loops->all_finite_f32(size, x + i * size)) {
            memset((float *)x + i * size, 0, (size_t)size * sizeof *x);
            bad[i] = true;
        }
}

/* What lies at or past a length is not read, so it is not even looked at. */
static void clean_keys(grdi_cleaned *c, const grdi_pairs *p, const grdi_loops *loops, bool *bad)
{
    const grdi_head *h = &c->head;
    const int64_t last = p->first_appended, count = p->end - last;
    clean_rows(loops, h->key, p->keys, h->size, bad);
    clean_rows(loops, h->value, p->keys, h->value_size, bad);
    clean_rows(loops, h->key + last * h->size, count, h->size, bad + last);
    clean_rows(loops, h->value + last * h->value_size, count, h->value_size, bad + last);
    for (int64_t j = 0; j < p->end; j++)
        for (int64_t i = 0; bad[j] && i < p->queries; i++)
            c->suspect[i] |= grdi_sees(p, i, j);
}

static void clean_gradient(grdi_cleaned *c, const grdi_head_gradient *g, const grdi_loops *loops,
                           float *room, double *logsumexp)
{
    const grdi_head *h = &c->head;
    c->gradient = *g;
    c->gradient.doutput = copy_rows(&room, g->doutput, g->doutput_row, h->queries, h->value_size);
    c->gradient.doutput_row = h->value_size;
    clean_rows(loops, c->gradient.doutput, h->queries, h->value_size, c->suspect);
    for (int64_t i = 0; i < h->queries; i++)
        logsumexp[i] = c->suspect[i] ? -INFINITY : g->logsumexp[i];
    c->gradient.logsumexp = logsumexp;
}

bool grdi_clean(grdi_cleaned *c, const grdi_head *h, const grdi_head_gradient *gradient,
                const grdi_pairs *p, const grdi_loops *loops)
{
    const int64_t queries = p->queries, keys = p->end;
    const int64_t floats = (queries + keys) * (h->size + h->value_size);
    c->bytes = (size_t)queries * sizeof(double) + (size_t)floats * sizeof(float) +
               (size_t)(queries + keys);
    c->block = grdi_allocate(c->bytes);
    if (!c->block)
        return false;
    double *logsumexp = c->block;
    float *room = (float *)(logsumexp + queries);
    c->suspect = (bool *)(room + floats);
    memset(c->suspect, 0, (size_t)(queries + keys));
    c->head = *h;
    c->head.query = copy_rows(&room, h->query, h->query_row, queries, h->size);
    c->head.key = copy_rows(&room, h->key, h->key_row, keys, h->size);
    c->head.value = copy_rows(&room, h->value, h->value_row, keys, h->value_size);
    c->head.query_row = c->head.key_row = h->size;
    c->head.value_row = h->value_size;
    clean_rows(loops, c->head.query, queries, h->size, c->suspect);
    clean_keys(c, p, loops, c->suspect + queries);
    if (gradient)
        clean_gradient(c, gradient, loops, room, logsumexp);
    return true;
}

void grdi_cleaned_free(grdi_cleaned *c)
{
    grdi_free(c->block, c->bytes);
}
