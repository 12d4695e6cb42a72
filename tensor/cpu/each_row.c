#include "tensor/cpu/each_row.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <assert.h>

typedef struct arrays {
    const grdi_array *y, *a, *b;
    const grdi_row_loops *loops;
    bool even;       /* all rows, and so: */
    int64_t step[3]; /* of y, a and b, from row to row */
} arrays;

static void compute(const grdi_row_loops *loops, grd_dtype as, int64_t n, void *y, const void *a,
                    const void *b)
{
    if (as == GRD_I64)
        loops->one_i64(n, y, a);
    else if (as == GRD_F64 && b)
        loops->two_f64(n, y, a, b);
    else if (as == GRD_F64)
        loops->one_f64(n, y, a);
    else if (b)
        loops->two_f32(n, y, a, b);
    else
        loops->one_f32(n, y, a);
}

static const void *load(const grdi_array *x, grd_dtype as, const int64_t index[], void *buffer)
{
    return grdi_load(x, as, grdi_offset(x, grdi_outer_rank(x), index), grdi_row_stride(x),
                     grdi_row_length(x), buffer);
}

/* buffer: three rows of 8 bytes each. */
static void row(const arrays *in, const int64_t index[], double *buffer)
{
    const grd_dtype as = grdi_computed_in(in->y->dtype);
    const int64_t n = grdi_row_length(in->y), stride = grdi_row_stride(in->y);
    const int64_t to = grdi_offset(in->y, grdi_outer_rank(in->y), index);
    void *y = grdi_target(in->y, as, to, stride, buffer);
    const void *a = load(in->a, as, index, buffer + n);
    compute(in->loops, as, n, y, a, in->b ? load(in->b, as, index, buffer + 2 * n) : NULL);
    grdi_store(in->y, as, to, stride, n, y);
}

static grd_status even_rows(const arrays *in, int64_t first, int64_t last)
{
    const grd_dtype as = in->y->dtype;
    const int64_t n = grdi_row_length(in->y);
    for (int64_t i = first; i < last; i++)
        compute(in->loops, as, n, grdi_element(in->y, i * in->step[0]),
                grdi_element(in->a, i * in->step[1]),
                in->b ? grdi_element(in->b, i * in->step[2]) : NULL);
    return GRD_OK;
}

static grd_status rows(void *context, int64_t first, int64_t last)
{
    const arrays *in = context;
    if (in->even)
        return even_rows(in, first, last);
    const int outer = grdi_outer_rank(in->y);
    const size_t bytes = 3 * (size_t)grdi_row_length(in->y) * sizeof(double);
    double *buffer = grdi_allocate(bytes);
    if (!buffer)
        return GRD_ERROR_MEMORY;

    int64_t index[GRD_MAX_RANK];
    grdi_seek(in->y, outer, first, index);
    for (int64_t i = first; i < last; i++) {
        row(in, index, buffer);
        grdi_next(in->y, outer, index);
    }
    grdi_free(buffer, bytes);
    return GRD_OK;
}

static bool are_even(arrays *in)
{
    const grd_dtype as = in->y->dtype;
    return as == grdi_computed_in(as) && grdi_has_even_rows(in->y, as, &in->step[0]) &&
           grdi_has_even_rows(in->a, as, &in->step[1]) &&
           (!in->b || grdi_has_even_rows(in->b, as, &in->step[2]));
}

static bool has_loop(const grdi_row_loops *loops, grd_dtype as, bool two)
{
    if (as == GRD_I64)
        return loops->one_i64 && !two;
    if (as == GRD_F64)
        return two ? loops->two_f64 != NULL : loops->one_f64 != NULL;
    return two ? loops->two_f32 != NULL : loops->one_f32 != NULL;
}

grd_status grdi_each_row(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                         const grdi_row_loops *loops)
{
    assert(y->rank >= 1 && y->rank == a->rank);
    if (!has_loop(loops, grdi_computed_in(y->dtype), b))
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(y))
        return GRD_OK;
    arrays in = { .y = y, .a = a, .b = b, .loops = loops };
    in.even = are_even(&in);
    return grdi_parallel(grdi_positions(y, grdi_outer_rank(y)),
                         grdi_grain(20 + loops->ns * (double)grdi_row_length(y)), rows, &in);
}
