#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* One row of the mask: query i of the sample and head at `index`. */
typedef struct row {
    bool *y;
    int64_t keys, first, last; /* only keys first..last - 1 may be seen */
    const int64_t *index;
    int outer;
} row;

/* Far from overflow, and past every key: for what is added to positions. */
static int64_t clamped(int64_t position)
{
    const int64_t far = INT64_MAX / 8;
    return position > far ? far : position < -far ? -far : position;
}

/* Narrows the row to the band and to the keys before the length. */
static void narrow(row *r, const grdi_mask *mask)
{
    int64_t length = r->keys, diagonal = r->index[r->outer - 1] + clamped(mask->offset);
    if (mask->lengths.data)
        length = clamped(
            ((const int64_t *)mask->lengths.data)[grdi_offset(&mask->lengths, r->outer, r->index)]);
    if (mask->by_length)
        diagonal += length;
    r->first = diagonal - clamped(mask->left);
    r->last = diagonal + clamped(mask->right) + 1;
    r->first = r->first < 0 ? 0 : r->first;
    r->last = r->last > length ? length : r->last;
    r->last = r->last > r->keys ? r->keys : r->last;
}

/* Leaves a key visible where x is `shown`. */
static void apply_bool(const row *r, const grdi_array *x, bool shown)
{
    if (!x->data)
        return;
    const bool *data = (const bool *)x->data + grdi_offset(x, r->outer, r->index);
    const int64_t stride = grdi_row_stride(x);
    for (int64_t j = r->first; j < r->last; j++)
        r->y[j] &= data[j * stride] == shown;
}

static void apply_additive(const row *r, const grdi_array *x)
{
    double buffer[GRDI_TILE];
    if (!x->data)
        return;
    const int64_t stride = grdi_row_stride(x), start = grdi_offset(x, r->outer, r->index);
    for (int64_t j = r->first; j < r->last; j += GRDI_TILE) {
        const int64_t n = r->last - j < GRDI_TILE ? r->last - j : GRDI_TILE;
        const double *values = grdi_load_f64(x, start + j * stride, stride, n, buffer);
        for (int64_t i = 0; i < n; i++)
            r->y[j + i] &= values[i] != -INFINITY;
    }
}

static void fill_row(row *r, const grdi_mask *mask)
{
    narrow(r, mask);
    memset(r->y, false, (size_t)r->keys);
    if (r->first < r->last)
        memset(r->y + r->first, true, (size_t)(r->last - r->first));
    apply_bool(r, &mask->attend, true);
    apply_bool(r, &mask->ignore, false);
    apply_bool(r, &mask->key_ignore, false);
    apply_additive(r, &mask->additive);
    memset(r->y + r->keys, true, (size_t)mask->appended);
}

typedef struct arrays {
    const grdi_array *y;
    const grdi_mask *mask;
} arrays;

static grd_status rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int64_t length = grdi_row_length(in->y);
    int64_t index[GRD_MAX_RANK];
    row r = { .keys = length - in->mask->appended,
              .index = index,
              .outer = grdi_outer_rank(in->y) };
    grdi_seek(in->y, r.outer, first, index);
    for (int64_t i = first; i < last; i++) {
        r.y = (bool *)in->y->data + i * length;
        fill_row(&r, in->mask);
        grdi_next(in->y, r.outer, index);
    }
    return GRD_OK;
}

grd_status grdi_cpu_attention_mask(grd_device *device, const grdi_array *y, const grdi_mask *mask)
{
    (void)device;
    assert(y->rank >= 2 && y->dtype == GRD_BOOL);
    if (grdi_is_empty(y))
        return GRD_OK;
    arrays in = { y, mask };
    return grdi_parallel(grdi_positions(y, grdi_outer_rank(y)),
                         grdi_grain(10 + 0.5 * (double)grdi_row_length(y)), rows, &in);
}
