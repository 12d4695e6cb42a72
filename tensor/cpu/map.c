#include "tensor/cpu/map.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"

enum { ARRAYS = sizeof((grdi_map *)NULL)->of / sizeof((grdi_map *)NULL)->of[0] };

/* Whether all rows lie as they are computed: contiguous, and of the dtype. */
static bool rows_in_place(const grdi_map *map)
{
    for (int i = 0; i < map->count; i++) {
        const grdi_array *x = map->of[i].array;
        if (x->dtype != map->of[i].as || x->rank == 0 || x->dim[x->rank - 1].stride != 1)
            return false;
    }
    return true;
}

/* Part of the only row, in place. */
static grd_status flat(void *context, int64_t first, int64_t last)
{
    const grdi_map *map = context;
    void *at[ARRAYS];
    for (int i = 0; i < map->count; i++)
        at[i] = grdi_element(map->of[i].array, first);
    map->tile(map->context, last - first, at);
    return GRD_OK;
}

typedef union buffer {
    float f32[GRDI_TILE];
    double f64[GRDI_TILE];
    int64_t i64[GRDI_TILE];
    bool truth[GRDI_TILE];
} buffer;

static void tile(const grdi_map *map, const int64_t offset[], int64_t n)
{
    buffer buffers[ARRAYS];
    void *at[ARRAYS];
    for (int i = 1; i < map->count; i++) {
        const grdi_array *x = map->of[i].array;
        at[i] = (void *)grdi_load(x, map->of[i].as, offset[i], grdi_row_stride(x), n, &buffers[i]);
    }
    const grdi_array *y = map->of[0].array;
    at[0] = grdi_target(y, map->of[0].as, offset[0], grdi_row_stride(y), &buffers[0]);
    map->tile(map->context, n, at);
    grdi_store(y, map->of[0].as, offset[0], grdi_row_stride(y), n, at[0]);
}

/* `length` elements of each row from `offset` on. */
static void tiles(const grdi_map *map, int64_t offset[], int64_t length)
{
    for (int64_t done = 0; done < length; done += GRDI_TILE) {
        const int64_t n = length - done < GRDI_TILE ? length - done : GRDI_TILE;
        tile(map, offset, n);
        for (int i = 0; i < map->count; i++)
            offset[i] += n * grdi_row_stride(map->of[i].array);
    }
}

/* Part of the only row. */
static grd_status elements(void *context, int64_t first, int64_t last)
{
    const grdi_map *map = context;
    int64_t offset[ARRAYS];
    for (int i = 0; i < map->count; i++)
        offset[i] = first * grdi_row_stride(map->of[i].array);
    tiles(map, offset, last - first);
    return GRD_OK;
}

static void row_in_place(const grdi_map *map, const int64_t offset[], int64_t length)
{
    void *at[ARRAYS];
    for (int i = 0; i < map->count; i++)
        at[i] = grdi_element(map->of[i].array, offset[i]);
    map->tile(map->context, length, at);
}

static grd_status rows(void *context, int64_t first, int64_t last)
{
    const grdi_map *map = context;
    const grdi_array *y = map->of[0].array;
    const int outer = y->rank - 1;
    const bool in_place = rows_in_place(map);
    int64_t index[GRD_MAX_RANK], offset[ARRAYS];
    grdi_seek(y, outer, first, index);
    for (int64_t row = first; row < last; row++) {
        for (int i = 0; i < map->count; i++)
            offset[i] = grdi_offset(map->of[i].array, outer, index);
        if (in_place)
            row_in_place(map, offset, grdi_row_length(y));
        else
            tiles(map, offset, grdi_row_length(y));
        grdi_next(y, outer, index);
    }
    return GRD_OK;
}

/* The only row, which no other thread would help with. */
static grd_status short_row(const grdi_map *map, int64_t length)
{
    void *at[ARRAYS];
    for (int i = 0; i < map->count; i++)
        at[i] = map->of[i].array->data;
    map->tile(map->context, length, at);
    return GRD_OK;
}

grd_status grdi_run_map(const grdi_map *map)
{
    const grdi_array *y = map->of[0].array;
    const int64_t length = grdi_row_length(y);
    const bool is_flat = y->rank == 1 && rows_in_place(map);
    if (is_flat && length <= GRDI_TILE)
        return short_row(map, length);
    if (grdi_is_empty(y))
        return GRD_OK;
    if (is_flat)
        return grdi_parallel(length, grdi_grain(map->ns), flat, (void *)map);
    const double ns = map->ns + 0.3 * map->count;
    if (y->rank <= 1)
        return grdi_parallel(length, grdi_grain(ns), elements, (void *)map);
    return grdi_parallel(grdi_positions(y, y->rank - 1), grdi_grain(20 + ns * (double)length), rows,
                         (void *)map);
}

static void unary_f32(const void *f, int64_t n, void *const at[])
{
    ((const grdi_unary *)f)->f32(n, at[0], at[1]);
}

static void unary_f64(const void *f, int64_t n, void *const at[])
{
    double *y = at[0];
    const double *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = ((const grdi_unary *)f)->f64(x[i]);
}

static void unary_i64(const void *f, int64_t n, void *const at[])
{
    int64_t *y = at[0];
    const int64_t *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = ((const grdi_unary *)f)->i64(x[i]);
}

grd_status grdi_run_unary(const grdi_array *y, const grdi_array *x, const grdi_unary *f)
{
    const grd_dtype as = grdi_computed_in(y->dtype);
    if (as == GRD_I64 && !f->i64)
        return GRD_ERROR_UNSUPPORTED;
    grdi_tile *tile = as == GRD_F32 ? unary_f32 : as == GRD_F64 ? unary_f64 : unary_i64;
    return grdi_run_map(&(grdi_map){ tile, f, f->ns, 2, { { y, as }, { x, as } } });
}

static void binary_f32(const void *f, int64_t n, void *const at[])
{
    ((const grdi_binary *)f)->f32(n, at[0], at[1], at[2]);
}

static void binary_f64(const void *f, int64_t n, void *const at[])
{
    ((const grdi_binary *)f)->f64(n, at[0], at[1], at[2]);
}

static void binary_i64(const void *f, int64_t n, void *const at[])
{
    ((const grdi_binary *)f)->i64(n, at[0], at[1], at[2]);
}

/* One contiguous row of f32 that no other thread would help with. */
static bool is_short_row(const grdi_array *x)
{
    return x->rank == 1 && x->dtype == GRD_F32 && x->dim[0].size <= GRDI_TILE &&
           x->dim[0].stride == 1;
}

grd_status grdi_run_binary(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                           const grdi_binary *f)
{
    /* A map would find this out, too, but by 50 instructions later, of the 350 of a short op. */
    if (is_short_row(y) && is_short_row(a) && is_short_row(b)) {
        f->f32(y->dim[0].size, y->data, a->data, b->data);
        return GRD_OK;
    }
    const grd_dtype as = grdi_computed_in(y->dtype);
    if (as == GRD_I64 && !f->i64)
        return GRD_ERROR_UNSUPPORTED;
    grdi_tile *tile = as == GRD_F32 ? binary_f32 : as == GRD_F64 ? binary_f64 : binary_i64;
    return grdi_run_map(&(grdi_map){ tile, f, f->ns, 3, { { y, as }, { a, as }, { b, as } } });
}
