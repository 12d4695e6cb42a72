#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <assert.h>
#include <math.h>

/* A value and where it is; of i64 and bool in `whole`, of the others in `real`. */
typedef struct item {
    double real;
    int64_t whole, index;
} item;

/* Whether a comes before b: it is larger, or as large and earlier. */
static bool comes_before(const item *a, const item *b)
{
    if (a->whole != b->whole)
        return a->whole > b->whole;
    if (isnan(a->real) != isnan(b->real))
        return isnan(a->real);
    if (a->real != b->real && !isnan(a->real))
        return a->real > b->real;
    return a->index < b->index;
}

/* Restores a heap of n items, whose root comes last, below the root. */
static void sift_down(item heap[], int64_t n)
{
    const item moved = heap[0];
    int64_t hole = 0;
    for (int64_t child; (child = 2 * hole + 1) < n; hole = child) {
        if (child + 1 < n && comes_before(&heap[child], &heap[child + 1]))
            child++;
        if (comes_before(&heap[child], &moved))
            break;
        heap[hole] = heap[child];
    }
    heap[hole] = moved;
}

static void sift_up(item heap[], int64_t at)
{
    const item moved = heap[at];
    for (int64_t parent; at > 0 && comes_before(&heap[parent = (at - 1) / 2], &moved); at = parent)
        heap[at] = heap[parent];
    heap[at] = moved;
}

/* A row's elements: of one of the two, the other is NULL. */
typedef struct elements {
    const double *real;
    const int64_t *whole;
} elements;

static item item_of(const elements *x, int64_t i)
{
    return (item){ x->real ? x->real[i] : 0, x->whole ? x->whole[i] : 0, i };
}

/* Whether element i plainly stays behind `last`: most do, and nothing else need be asked of them.
 */
static bool stays_behind(const elements *x, int64_t i, const item *last)
{
    return x->real ? x->real[i] <= last->real : x->whole[i] <= last->whole;
}

/* The first k of a row: a heap of the best so far, whose root is the next to go; then sorted. */
static void choose(const elements *x, int64_t n, int64_t k, item heap[])
{
    for (int64_t i = 0; i < k; i++) {
        heap[i] = item_of(x, i);
        sift_up(heap, i);
    }
    for (int64_t i = k; i < n; i++) {
        if (stays_behind(x, i, &heap[0]))
            continue;
        const item next = item_of(x, i);
        if (comes_before(&next, &heap[0])) {
            heap[0] = next;
            sift_down(heap, k);
        }
    }
    for (int64_t left = k - 1; left > 0; left--) {
        const item last = heap[0];
        heap[0] = heap[left];
        sift_down(heap, left);
        heap[left] = last;
    }
}

static elements load(const grdi_array *x, int64_t offset, void *buffer)
{
    const int64_t n = grdi_row_length(x), stride = grdi_row_stride(x);
    if (grdi_computed_in(x->dtype) == GRD_I64)
        return (elements){ .whole = grdi_load_i64(x, offset, stride, n, buffer) };
    return (elements){ .real = grdi_load_f64(x, offset, stride, n, buffer) };
}

typedef struct arrays {
    const grdi_array *values, *index, *x;
} arrays;

static void store(const arrays *in, const int64_t at[], const item *chosen)
{
    const int outer = grdi_outer_rank(in->x);
    const int64_t k = grdi_row_length(in->values);
    int64_t to = grdi_offset(in->values, outer, at), to_index = grdi_offset(in->index, outer, at);
    for (int64_t i = 0; i < k; i++) {
        if (grdi_computed_in(in->values->dtype) == GRD_I64)
            grdi_store_i64(in->values, to, 1, 1, &chosen[i].whole);
        else
            grdi_store_f64(in->values, to, 1, 1, &chosen[i].real);
        grdi_store_i64(in->index, to_index, 1, 1, &chosen[i].index);
        to += grdi_row_stride(in->values);
        to_index += grdi_row_stride(in->index);
    }
}

static grd_status rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    const int outer = grdi_outer_rank(in->x);
    const int64_t k = grdi_row_length(in->values), n = grdi_row_length(in->x);
    const size_t bytes = (size_t)k * sizeof(item) + (size_t)n * sizeof(double);
    item *heap = grdi_allocate(bytes);
    if (!heap)
        return GRD_ERROR_MEMORY;
    int64_t at[GRD_MAX_RANK];
    grdi_seek(in->x, outer, first, at);
    for (int64_t i = first; i < last; i++) {
        const elements x = load(in->x, grdi_offset(in->x, outer, at), heap + k);
        choose(&x, n, k, heap);
        store(in, at, heap);
        grdi_next(in->x, outer, at);
    }
    grdi_free(heap, bytes);
    return GRD_OK;
}

grd_status grdi_cpu_topk(grd_device *device, const grdi_array *values, const grdi_array *index,
                         const grdi_array *x)
{
    (void)device;
    assert(grdi_row_length(values) <= grdi_row_length(x));
    if (grdi_is_empty(values))
        return GRD_OK;
    arrays in = { values, index, x };
    return grdi_parallel(grdi_positions(x, grdi_outer_rank(x)),
                         grdi_grain(3 * (double)grdi_row_length(x)), rows, &in);
}
