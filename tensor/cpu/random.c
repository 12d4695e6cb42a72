#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"

#include <math.h>

/* One long row, made in tiles that start at whole blocks. */
typedef struct row {
    const grdi_array *y, *x; /* x: NULL if there is none */
    const grdi_loops *loops;
    grdi_draw at;
    double p;
    void (*tile)(const struct row *row, int64_t first, int64_t n);
} row;

enum { HIGH, LOW };

/* The upper or lower random words of elements first..first + n - 1; there is room for GRDI_TILE. */
static void words(const row *r, int64_t first, int64_t n, uint32_t lane, uint32_t out[])
{
    r->loops->philox((n + 3) / 4, out, r->at.key, r->at.counter + (uint64_t)first / 4, lane);
}

static grd_status tiles(void *context, int64_t first, int64_t last)
{
    const row *r = context;
    const int64_t length = grdi_row_length(r->y);
    for (int64_t tile = first; tile < last; tile++) {
        const int64_t at = tile * GRDI_TILE;
        r->tile(r, at, length - at < GRDI_TILE ? length - at : GRDI_TILE);
    }
    return GRD_OK;
}

static grd_status draw(row *r, double ns)
{
    const int64_t count = (grdi_row_length(r->y) + GRDI_TILE - 1) / GRDI_TILE;
    return grdi_parallel(count, grdi_grain(ns * GRDI_TILE), tiles, r);
}

static void uniform_f32(const row *r, int64_t first, int64_t n)
{
    uint32_t high[GRDI_TILE];
    float *y = (float *)r->y->data + first;
    words(r, first, n, HIGH, high);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(high[i] >> 8) * 0x1p-24f;
}

static void uniform_f64(const row *r, int64_t first, int64_t n)
{
    uint32_t high[GRDI_TILE], low[GRDI_TILE];
    double *y = (double *)r->y->data + first;
    words(r, first, n, HIGH, high);
    words(r, first, n, LOW, low);
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)(((uint64_t)high[i] << 32 | low[i]) >> 11) * 0x1p-53;
}

static grd_status draw_new(grd_device *device, const grdi_array *y, grdi_draw at,
                           void (*f32)(const row *, int64_t, int64_t),
                           void (*f64)(const row *, int64_t, int64_t), double ns)
{
    if (y->dtype != GRD_F32 && y->dtype != GRD_F64)
        return GRD_ERROR_UNSUPPORTED;
    row r = { .y = y, .loops = grdi_loops_of(device), .at = at };
    r.tile = y->dtype == GRD_F32 ? f32 : f64;
    return draw(&r, ns);
}

grd_status grdi_cpu_uniform(grd_device *device, const grdi_array *y, grdi_draw at)
{
    return draw_new(device, y, at, uniform_f32, uniform_f64, 2);
}

/* Elements 2 k and 2 k + 1 are the two numbers of a Box-Muller pair. In f64, so that f32's are
 * f64's rounded. */
static void normal_tile(const row *r, int64_t first, int64_t n, double y[])
{
    const double turn = 6.283185307179586476925;
    uint32_t high[GRDI_TILE];
    words(r, first, n, HIGH, high);
    for (int64_t i = 0; i < n; i += 2) {
        const double radius = sqrt(-2 * log(((double)high[i] + 1) * 0x1p-32));
        const double angle = turn * 0x1p-32 * (double)high[i + 1];
        y[i] = radius * cos(angle);
        y[i + 1] = radius * sin(angle);
    }
}

static void normal_f32(const row *r, int64_t first, int64_t n)
{
    double values[GRDI_TILE];
    float *y = (float *)r->y->data + first;
    normal_tile(r, first, n, values);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)values[i];
}

static void normal_f64(const row *r, int64_t first, int64_t n)
{
    double values[GRDI_TILE];
    double *y = (double *)r->y->data + first;
    normal_tile(r, first, n, values);
    for (int64_t i = 0; i < n; i++)
        y[i] = values[i];
}

grd_status grdi_cpu_normal(grd_device *device, const grdi_array *y, grdi_draw at)
{
    return draw_new(device, y, at, normal_f32, normal_f64, 20);
}

static void dropout_tile(const row *r, int64_t first, int64_t n)
{
    uint32_t high[GRDI_TILE];
    const uint32_t dropped = (uint32_t)(r->p * 0x1p32); /* below it */
    words(r, first, n, HIGH, high);
    if (r->y->dtype == GRD_F64) {
        const double scale = 1 / (1 - r->p);
        const double *x = (const double *)r->x->data + first;
        double *y = (double *)r->y->data + first;
        for (int64_t i = 0; i < n; i++)
            y[i] = high[i] < dropped ? 0 : x[i] * scale;
    } else {
        float buffer[GRDI_TILE];
        const float scale = (float)(1 / (1 - r->p));
        const float *x = grdi_load_f32(r->x, first, 1, n, buffer);
        float *y = grdi_target_f32(r->y, first, 1, buffer);
        for (int64_t i = 0; i < n; i++)
            y[i] = high[i] < dropped ? 0 : x[i] * scale;
        grdi_store_f32(r->y, first, 1, n, y);
    }
}

grd_status grdi_cpu_dropout(grd_device *device, const grdi_array *y, const grdi_array *x, double p,
                            grdi_draw at)
{
    if (y->dtype == GRD_I64 || y->dtype == GRD_BOOL)
        return GRD_ERROR_UNSUPPORTED;
    row r = { y, x, grdi_loops_of(device), at, p, dropout_tile };
    return draw(&r, 2);
}
