#include "tensor/cpu/reduce.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <assert.h>

grdi_array grdi_reduced_part(const grdi_array *x, int reduced)
{
    grdi_array part = { .data = x->data, .dtype = x->dtype, .rank = reduced };
    for (int d = 0; d < reduced; d++)
        part.dim[d] = x->dim[x->rank - reduced + d];
    return part;
}

/* Rows are read in tiles. */
static int64_t tiles_in_row(const grdi_array *part)
{
    return (grdi_row_length(part) + GRDI_TILE - 1) / GRDI_TILE;
}

static int64_t tiles_in(const grdi_array *part)
{
    return grdi_is_empty(part) ? 0
                               : grdi_positions(part, grdi_outer_rank(part)) * tiles_in_row(part);
}

static void fold_tile(const grdi_array *part, int64_t offset, int64_t n, int64_t position,
                      const grdi_reducer *reducer, grdi_total *total)
{
    double buffer[GRDI_TILE];
    grd_dtype as = grdi_computed_in(part->dtype);
    grdi_fold *fold = as == GRD_I64 ? reducer->i64 : as == GRD_F32 ? reducer->f32 : reducer->f64;
    if (!fold) {
        as = GRD_F64;
        fold = reducer->f64;
    }
    fold(reducer->context, total, n, grdi_load(part, as, offset, grdi_row_stride(part), n, buffer),
         position);
}

/* A row that lies as it is read, which needs no tiles. */
static bool lies_ready(const grdi_array *part, const grdi_reducer *reducer)
{
    return part->rank <= 1 && grdi_row_stride(part) == 1 &&
           ((part->dtype == GRD_F32 && reducer->f32) || (part->dtype == GRD_F64 && reducer->f64));
}

static void fold_run(const grdi_array *part, int64_t offset, int64_t n, int64_t position,
                     const grdi_reducer *reducer, grdi_total *total)
{
    grdi_fold *fold = part->dtype == GRD_F32 ? reducer->f32 : reducer->f64;
    fold(reducer->context, total, n, grdi_element(part, offset + position), position);
}

/* Tiles first..last - 1, counted through all rows. */
static grdi_total fold_tiles(const grdi_array *part, int64_t offset, int64_t first, int64_t last,
                             const grdi_reducer *reducer)
{
    grdi_total total = reducer->start;
    const int outer = grdi_outer_rank(part);
    const int64_t length = grdi_row_length(part), stride = grdi_row_stride(part);
    int64_t index[GRD_MAX_RANK] = { 0 }, row = 0, done = 0;
    if (lies_ready(part, reducer) && first < last) {
        const int64_t from = first * GRDI_TILE, to = last * GRDI_TILE;
        fold_run(part, offset, (to < length ? to : length) - from, from, reducer, &total);
        return total;
    }
    if (first) {
        row = first / tiles_in_row(part);
        done = first % tiles_in_row(part) * GRDI_TILE;
        grdi_seek(part, outer, row, index);
    }
    for (int64_t tile = first; tile < last; tile++) {
        const int64_t n = length - done < GRDI_TILE ? length - done : GRDI_TILE;
        fold_tile(part, offset + grdi_offset(part, outer, index) + done * stride, n,
                  row * length + done, reducer, &total);
        done += n;
        if (done == length) {
            done = 0;
            row++;
            grdi_next(part, outer, index);
        }
    }
    return total;
}

grdi_total grdi_reduce_one(const grdi_array *part, int64_t offset, const grdi_reducer *reducer)
{
    return fold_tiles(part, offset, 0, tiles_in(part), reducer);
}

void grdi_store_total(const grdi_array *y, int64_t offset, const grdi_total *total,
                      const grdi_reducer *reducer)
{
    const int64_t whole = reducer->positions ? total->position : total->whole;
    const double real = reducer->factor * total->real;
    if (grdi_computed_in(y->dtype) == GRD_I64)
        grdi_store_i64(y, offset, 1, 1, &whole);
    else
        grdi_store_f64(y, offset, 1, 1, &real);
}

/* Each result is made of `parts`, of `grain` tiles each; part i % parts of result i / parts. */
typedef struct reduction {
    const grdi_array *y, *x;
    const grdi_reducer *reducer;
    grdi_array part;
    int64_t tiles, parts, grain;
    grdi_total *totals; /* of all parts, if results have several */
} reduction;

static grd_status reduce_parts(void *context, int64_t first, int64_t last)
{
    const reduction *r = context;
    const int kept = r->y->rank;
    int64_t index[GRD_MAX_RANK];
    grdi_seek(r->y, kept, first / r->parts, index);
    int64_t part = first % r->parts;
    for (int64_t i = first; i < last; i++) {
        const int64_t from = part * r->grain;
        const int64_t to = from + r->grain < r->tiles ? from + r->grain : r->tiles;
        const grdi_total total =
            fold_tiles(&r->part, grdi_offset(r->x, kept, index), from, to, r->reducer);
        if (r->totals)
            r->totals[i] = total;
        else
            grdi_store_total(r->y, grdi_offset(r->y, kept, index), &total, r->reducer);
        if (++part < r->parts)
            continue;
        part = 0;
        grdi_next(r->y, kept, index);
    }
    return GRD_OK;
}

/* Rows of a matrix that lie ready, whose results lie side by side: short rows are many. */
static grd_status reduce_rows(void *context, int64_t first, int64_t last)
{
    const reduction *r = context;
    const int64_t n = grdi_row_length(&r->part);
    float *y = grdi_element(r->y, 0);
    for (int64_t i = first; i < last; i++) {
        grdi_total total = r->reducer->start;
        r->reducer->f32(r->reducer->context, &total, n, grdi_element(r->x, i * r->x->dim[0].stride),
                        0);
        y[i] = (float)(r->reducer->factor * total.real);
    }
    return GRD_OK;
}

static bool is_in_rows(const reduction *r)
{
    return r->x->dtype == GRD_F32 && r->y->dtype == GRD_F32 && r->y->rank == 1 &&
           grdi_row_stride(r->y) == 1 && r->tiles > 0 && lies_ready(&r->part, r->reducer);
}

/* The parts' totals, in their order. */
static void combine(const reduction *r, int64_t results)
{
    const bool whole = grdi_computed_in(r->x->dtype) == GRD_I64;
    grdi_fold *const own = whole ? r->reducer->i64 : r->reducer->f64;
    grdi_fold *const join = r->reducer->join ? r->reducer->join : own;
    int64_t index[GRD_MAX_RANK] = { 0 };
    for (int64_t i = 0; i < results; i++) {
        grdi_total total = r->totals[i * r->parts];
        for (int64_t p = 1; p < r->parts; p++) {
            const grdi_total *next = &r->totals[i * r->parts + p];
            join(r->reducer->context, &total, 1, whole ? (const void *)&next->whole : &next->real,
                 next->position);
        }
        grdi_store_total(r->y, grdi_offset(r->y, r->y->rank, index), &total, r->reducer);
        grdi_next(r->y, r->y->rank, index);
    }
}

grd_status grdi_reduce(const grdi_array *y, const grdi_array *x, int reduced,
                       const grdi_reducer *reducer)
{
    enum { PART = 64, FEW = 64 }; /* tiles in a part; results that are too few to share out */
    assert(y->rank + reduced == x->rank);
    if (grdi_is_empty(y))
        return GRD_OK;
    reduction r = { .y = y, .x = x, .reducer = reducer, .parts = 1 };
    const int64_t results = grdi_positions(y, y->rank);
    r.part = grdi_reduced_part(x, reduced);
    r.tiles = r.grain = tiles_in(&r.part);
    if (results >= FEW || r.tiles <= PART)
        return grdi_parallel(results, grdi_grain(20 + 100 * (double)r.tiles),
                             is_in_rows(&r) ? reduce_rows : reduce_parts, &r);

    r.grain = PART;
    r.parts = (r.tiles + PART - 1) / PART;
    const size_t bytes = (size_t)(results * r.parts) * sizeof *r.totals;
    if (!(r.totals = grdi_allocate(bytes)))
        return GRD_ERROR_MEMORY;
    const grd_status status = grdi_parallel(results * r.parts, 1, reduce_parts, &r);
    if (status == GRD_OK)
        combine(&r, results);
    grdi_free(r.totals, bytes);
    return status;
}
