#include "tensor/cpu/convert.h"
#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"
#include "tensor/rng.h"

#include <math.h>

/* One long row, made in tiles that start at whole blocks. */
typedef struct row {
    const grdi_array *y, *x; /* x: NULL if there is none */
    const grdi_loops *loops;
    grdi_draw at;
    double p;
    int64_t low;
    uint64_t range;
    void (*tile)(const struct row *row, int64_t first, int64_t n);
} row;

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
    words(r, first, n, GRDI_HIGH, high);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(high[i] >> 8) * 0x1p-24f;
}

static void uniform_f64(const row *r, int64_t first, int64_t n)
{
    uint32_t high[GRDI_TILE], low[GRDI_TILE];
    double *y = (double *)r->y->data + first;
    words(r, first, n, GRDI_HIGH, high);
    words(r, first, n, GRDI_LOW, low);
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)(((uint64_t)high[i] << 32 | low[i]) >> 11) * 0x1p-53;
}

static void integer_tile(const row *r, int64_t first, int64_t n)
{
    uint32_t high[GRDI_TILE], low[GRDI_TILE];
    int64_t *y = (int64_t *)r->y->data + first;
    words(r, first, n, GRDI_HIGH, high);
    words(r, first, n, GRDI_LOW, low);
    for (int64_t i = 0; i < n; i++) {
        const uint64_t above = grdi_scaled((uint64_t)high[i] << 32 | low[i], r->range);
        y[i] = (int64_t)((uint64_t)r->low + above); /* of numbers whose difference may overflow */
    }
}

grd_status grdi_cpu_random_integers(grd_device *device, const grdi_array *y, int64_t low,
                                    uint64_t range, grdi_draw at)
{
    row r = { .y = y, .loops = grdi_loops_of(device), .at = at };
    r.low = low;
    r.range = range;
    r.tile = integer_tile;
    return draw(&r, 5);
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
    uint32_t high[GRDI_TILE];
    words(r, first, n, GRDI_HIGH, high);
    r->loops->normal(n + n % 2, y, high);
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
    return draw_new(device, y, at, normal_f32, normal_f64, 5);
}

static void bernoulli_tile(const row *r, int64_t first, int64_t n)
{
    uint32_t high[GRDI_TILE];
    double buffer[GRDI_TILE], values[GRDI_TILE];
    words(r, first, n, GRDI_HIGH, high);
    const double *p = grdi_load_f64(r->x, first, 1, n, buffer);
    for (int64_t i = 0; i < n; i++)
        values[i] = (double)high[i] * 0x1p-32 < p[i];
    grdi_converters[r->y->dtype][GRD_F64](n, grdi_element(r->y, first), 1, values, 1);
}

grd_status grdi_cpu_bernoulli(grd_device *device, const grdi_array *y, const grdi_array *p,
                              grdi_draw at)
{
    row r = { .y = y, .x = p, .loops = grdi_loops_of(device), .at = at, .tile = bernoulli_tile };
    return draw(&r, 3);
}

/* sums[c] = the sum of row i's weights up to class c; returns the whole. */
static double add_up(const grdi_array *weights, int64_t i, double *sums)
{
    const int64_t classes = weights->dim[1].size;
    const double *w = grdi_load_f64(weights, i * classes, 1, classes, sums);
    double sum = 0;
    for (int64_t c = 0; c < classes; c++)
        sums[c] = sum += w[c];
    return sum;
}

/* The first class whose sum is above `value`; the last that has a weight if rounding left none. */
static int64_t find(const double *sums, int64_t classes, double value)
{
    int64_t first = 0, last = classes - 1;
    while (last > 0 && sums[last - 1] == sums[classes - 1])
        last--;
    while (first < last) {
        const int64_t middle = first + (last - first) / 2;
        if (sums[middle] > value)
            last = middle;
        else
            first = middle + 1;
    }
    return first;
}

grd_status grdi_cpu_multinomial(grd_device *device, const grdi_array *y, const grdi_array *weights,
                                grdi_draw at, int64_t *zero)
{
    (void)device;
    const int64_t samples = y->dim[1].size, classes = weights->dim[1].size;
    const size_t bytes = (size_t)classes * sizeof(double);
    *zero = -1;
    if (grdi_is_empty(y))
        return GRD_OK;
    double *sums = grdi_allocate(bytes);
    if (!sums)
        return GRD_ERROR_MEMORY;
    for (int64_t i = 0; i < y->dim[0].size && *zero < 0; i++) {
        const double sum = add_up(weights, i, sums);
        *zero = sum > 0 ? -1 : i;
        for (int64_t s = i * samples; s < (i + 1) * samples; s++) {
            const double uniform = (double)(grdi_random_bits(at, (uint64_t)s) >> 11) * 0x1p-53;
            ((int64_t *)y->data)[s] = find(sums, classes, uniform * sum);
        }
    }
    grdi_free(sums, bytes);
    return GRD_OK;
}

static void dropout_tile(const row *r, int64_t first, int64_t n)
{
    uint32_t high[GRDI_TILE];
    const uint32_t dropped = (uint32_t)(r->p * 0x1p32); /* below it */
    words(r, first, n, GRDI_HIGH, high);
    if (r->y->dtype == GRD_F64) {
        const double scale = 1 / (1 - r->p);
        const double *x = (const double *)r->x->data + first;
        double *y = (double *)r->y->data + first;
        for (int64_t i = 0; i < n; i++)
            y[i] = high[i] < dropped ? 0 : x[i] * scale;
    } else {
        float buffer[GRDI_TILE];
        const float *x = grdi_load_f32(r->x, first, 1, n, buffer);
        float *y = grdi_target_f32(r->y, first, 1, buffer);
        r->loops->dropout_f32(n, y, x, high, dropped, (float)(1 / (1 - r->p)));
        grdi_store_f32(r->y, first, 1, n, y);
    }
}

grd_status grdi_cpu_dropout(grd_device *device, const grdi_array *y, const grdi_array *x, double p,
                            grdi_draw at)
{
    if (y->dtype == GRD_I64 || y->dtype == GRD_BOOL)
        return GRD_ERROR_UNSUPPORTED;
    row r = { .y = y, .x = x, .loops = grdi_loops_of(device), .at = at, .tile = dropout_tile };
    r.p = p;
    return draw(&r, 2);
}
