/* What the weights on a page say about themselves, on their exact values. */
#include "view/attention.h"

#include <math.h>

typedef struct row {
    const double *weights;
    const bool *visible;
    int64_t at[3]; /* sample, head, query */
} row;

static bool sees_any(const bool *visible, int64_t keys)
{
    for (int64_t j = 0; j < keys; j++)
        if (visible[j])
            return true;
    return false;
}

static void put_place(int64_t place[4], const row *r, int64_t key)
{
    for (int d = 0; d < 3; d++)
        place[d] = r->at[d];
    place[3] = key;
}

static void judge_pair(grdi_verdicts *v, const row *r, int64_t j)
{
    const double weight = r->weights[j];
    if (!isfinite(weight)) {
        v->not_finite++;
    } else {
        v->least = fmin(v->least, weight);
        v->most = fmax(v->most, weight);
    }
    if (r->visible[j])
        return;
    v->masked++;
    if (weight == 0)
        return;
    if (v->leaks++ == 0 || fabs(weight) > v->leak || (isnan(weight) && !isnan(v->leak))) {
        v->leak = fabs(weight);
        put_place(v->leak_at, r, j);
    }
}

static void judge_row(grdi_verdicts *v, const row *r, int64_t keys, double tolerance)
{
    double sum = 0;
    const bool any = sees_any(r->visible, keys);
    for (int64_t j = 0; j < keys; j++) {
        sum += r->weights[j];
        judge_pair(v, r, j);
    }
    v->blind_rows += !any;
    const double error = fabs(sum - any);
    v->bad_rows += !(error <= tolerance);
    if (error > v->row_error || (isnan(error) && !isnan(v->row_error))) {
        v->row_error = error;
        put_place(v->row_at, r, 0);
    }
}

grdi_verdicts grdi_view_judge(const grdi_shown *shown)
{
    const int64_t *size = shown->shape.size, keys = size[3];
    grdi_verdicts v = { .least = INFINITY, .most = -INFINITY };
    for (int64_t i = 0; i < size[0] * size[1] * size[2]; i++) {
        const row r = { shown->weights + i * keys,
                        shown->visible + i * keys,
                        { i / size[2] / size[1], i / size[2] % size[1], i % size[2] } };
        judge_row(&v, &r, keys, shown->tolerance);
    }
    return v;
}
