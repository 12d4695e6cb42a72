/* Heads that hold what is not finite. */
#include "tensor/cpu/flash_attention.h"
#include "tensor/object.h"

#include <math.h>
#include <string.h>

/* Where copies of rows are put, and which loop looks at them. */
typedef struct room {
    char *next;
    const grdi_loops *loops;
    bool f64;
} room;

static int64_t element_size(bool f64)
{
    return f64 ? (int64_t)sizeof(double) : (int64_t)sizeof(float);
}

static char *copy_rows(room *r, const void *x, int64_t row, int64_t rows, int64_t size)
{
    const int64_t each = element_size(r->f64);
    char *copy = r->next;
    for (int64_t i = 0; i < rows && size > 0; i++)
        memcpy(copy + i * size * each, (const char *)x + i * row * each, (size_t)(size * each));
    r->next += rows * size * each;
    return copy;
}

/* Rows that are not finite become 0, and are marked in `bad`. */
static void clean_rows(const room *r, char *x, int64_t rows, int64_t size, bool *bad)
{
    const int64_t bytes = size * element_size(r->f64);
    for (int64_t i = 0; i < rows; i++) {
        void *row = x + i * bytes;
        if (r->f64 ? r->loops->rows_finite_f64(1, size, row, size)
                   : r->loops->rows_finite_f32(1, size, row, size))
            continue;
        memset(row, 0, (size_t)bytes);
        bad[i] = true;
    }
}

/* What lies at or past a length is not read, so it is not even looked at. */
static void clean_keys(grdi_cleaned *c, const grdi_pairs *p, const room *r, char *key, char *value,
                       bool *bad)
{
    const grdi_head *h = &c->head;
    const int64_t last = p->first_appended, count = p->end - last, each = element_size(r->f64);
    clean_rows(r, key, p->keys, h->size, bad);
    clean_rows(r, value, p->keys, h->value_size, bad);
    clean_rows(r, key + last * h->size * each, count, h->size, bad + last);
    clean_rows(r, value + last * h->value_size * each, count, h->value_size, bad + last);
    for (int64_t j = 0; j < p->end; j++)
        for (int64_t i = 0; bad[j] && i < p->queries; i++)
            c->suspect[i] |= grdi_sees(p, i, j);
}

static void clean_gradient(grdi_cleaned *c, const grdi_head_gradient *g, room *r, double *logsumexp)
{
    const grdi_head *h = &c->head;
    char *doutput = copy_rows(r, g->doutput, g->doutput_row, h->queries, h->value_size);
    c->gradient = *g;
    c->gradient.doutput = doutput;
    c->gradient.doutput_row = h->value_size;
    clean_rows(r, doutput, h->queries, h->value_size, c->suspect);
    for (int64_t i = 0; i < h->queries; i++)
        logsumexp[i] = c->suspect[i] ? -INFINITY : g->logsumexp[i];
    c->gradient.logsumexp = logsumexp;
}

bool grdi_clean(grdi_cleaned *c, const grdi_head *h, const grdi_head_gradient *gradient,
                const grdi_pairs *p, const grdi_loops *loops, grd_dtype dtype)
{
    const int64_t queries = p->queries, keys = p->end;
    room r = { .loops = loops, .f64 = dtype == GRD_F64 };
    const int64_t elements = (queries + keys) * (h->size + h->value_size);
    const size_t bytes = (size_t)(elements * element_size(r.f64));
    c->bytes = (size_t)queries * sizeof(double) + bytes + (size_t)(queries + keys);
    c->block = grdi_allocate(c->bytes);
    if (!c->block)
        return false;
    double *logsumexp = c->block;
    r.next = (char *)(logsumexp + queries);
    c->suspect = (bool *)(r.next + bytes);
    memset(c->suspect, 0, (size_t)(queries + keys));
    c->head = *h;
    char *query = copy_rows(&r, h->query, h->query_row, queries, h->size);
    char *key = copy_rows(&r, h->key, h->key_row, keys, h->size);
    char *value = copy_rows(&r, h->value, h->value_row, keys, h->value_size);
    c->head.query = query;
    c->head.key = key;
    c->head.value = value;
    c->head.query_row = c->head.key_row = h->size;
    c->head.value_row = h->value_size;
    clean_rows(&r, query, queries, h->size, c->suspect);
    clean_keys(c, p, &r, key, value, c->suspect + queries);
    if (gradient)
        clean_gradient(c, gradient, &r, logsumexp);
    return true;
}

void grdi_cleaned_free(grdi_cleaned *c)
{
    grdi_free(c->block, c->bytes);
}
