#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"
#include "tensor/object.h"

#include <math.h>
#include <string.h>

/* Layer norm and root-mean-square norm: the latter's mean is 0. */

static void norm_f64(int64_t n, double *y, const double *x, const double *weight,
                     const double *bias, bool centre, double eps, double stats[2])
{
    double mean = 0, var = 0;
    for (int64_t i = 0; centre && i < n; i++)
        mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / (double)n;
    const double factor = 1 / sqrt(var + eps);
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
    stats[0] = mean;
    stats[1] = factor;
}

static void norm_backward_f64(int64_t n, double *dx, double *dweight, double *dbias,
                              const double *dy, const double *x, const double *weight, bool centre,
                              const double stats[2])
{
    double sum = 0, product = 0;
    for (int64_t i = 0; i < n; i++) {
        const double normal = (x[i] - stats[0]) * stats[1], g = dy[i] * weight[i];
        sum += g;
        product += g * normal;
        dweight[i] += dy[i] * normal;
        dbias[i] += dy[i];
    }
    const double mean = centre ? sum / (double)n : 0, slope = product / (double)n;
    for (int64_t i = 0; i < n; i++)
        dx[i] = stats[1] * (dy[i] * weight[i] - mean - (x[i] - stats[0]) * stats[1] * slope);
}

/* What both directions work on. Of the arrays, forward has y, x and maybe stats; backward dx for y,
 * dy besides, and sums: for each piece of rows those of dweight and of dbias. */
typedef struct norm {
    const grdi_array *y, *x, *dy, *stats;
    const void *weight, *bias; /* n contiguous values, f64 if y is, else f32 */
    double *sums;              /* [pieces, 2, n] */
    double eps;
    int64_t n, grain;
    bool centre, even; /* all rows are even, of f32, and so: */
    int64_t step[4];   /* of y, x, dy and stats, from row to row */
    const grdi_loops *loops;
} norm;

static bool are_even(norm *in)
{
    return grdi_has_even_rows(in->y, GRD_F32, &in->step[0]) &&
           grdi_has_even_rows(in->x, GRD_F32, &in->step[1]) &&
           (!in->dy || grdi_has_even_rows(in->dy, GRD_F32, &in->step[2])) &&
           (!in->stats || grdi_has_even_rows(in->stats, GRD_F64, &in->step[3]));
}

/* A vector's values, or `value` n times for none. */
static const void *vector_or(const grdi_array *x, double value, grd_dtype dtype, int64_t n,
                             void *buffer)
{
    if (dtype == GRD_F64 && x)
        return grdi_load_f64(x, 0, x->dim[0].stride, n, buffer);
    if (x)
        return grdi_load_f32(x, 0, x->dim[0].stride, n, buffer);
    for (int64_t i = 0; i < n; i++)
        if (dtype == GRD_F64)
            ((double *)buffer)[i] = value;
        else
            ((float *)buffer)[i] = (float)value;
    return buffer;
}

static double *stats_at(const norm *in, const int64_t index[])
{
    return (double *)in->stats->data + grdi_offset(in->stats, grdi_outer_rank(in->x), index);
}

static void forward_row(const norm *in, const int64_t index[], void *buffer)
{
    const grdi_array *y = in->y, *x = in->x;
    const int outer = grdi_outer_rank(x);
    const int64_t n = in->n, to = grdi_offset(y, outer, index), sy = grdi_row_stride(y);
    const int64_t from = grdi_offset(x, outer, index), sx = grdi_row_stride(x);
    double unused[2], *stats = in->stats ? stats_at(in, index) : unused;
    if (y->dtype == GRD_F64) {
        double *result = grdi_target_f64(y, to, sy, buffer);
        norm_f64(n, result, grdi_load_f64(x, from, sx, n, (double *)buffer + n), in->weight,
                 in->bias, in->centre, in->eps, stats);
        grdi_store_f64(y, to, sy, n, result);
    } else {
        float *result = grdi_target_f32(y, to, sy, buffer);
        in->loops->norm_f32(n, result, grdi_load_f32(x, from, sx, n, (float *)buffer + n),
                            in->weight, in->bias, in->centre, in->eps, stats);
        grdi_store_f32(y, to, sy, n, result);
    }
}

static grd_status even_rows(const norm *in, int64_t first, int64_t last)
{
    float *y = (float *)in->y->data;
    const float *x = in->x->data;
    double unused[2], *stats = in->stats ? in->stats->data : unused;
    for (int64_t i = first; i < last; i++)
        in->loops->norm_f32(in->n, y + i * in->step[0], x + i * in->step[1], in->weight, in->bias,
                            in->centre, in->eps, stats + i * in->step[3]);
    return GRD_OK;
}

static grd_status forward_rows(void *context, int64_t first, int64_t last)
{
    const norm *in = context;
    if (in->even)
        return even_rows(in, first, last);
    const int outer = grdi_outer_rank(in->x);
    const size_t bytes = 2 * (size_t)in->n * sizeof(double);
    void *buffer = grdi_allocate(bytes);
    if (!buffer)
        return GRD_ERROR_MEMORY;

    int64_t index[GRD_MAX_RANK];
    grdi_seek(in->x, outer, first, index);
    for (int64_t i = first; i < last; i++) {
        forward_row(in, index, buffer);
        grdi_next(in->x, outer, index);
    }
    grdi_free(buffer, bytes);
    return GRD_OK;
}

static grd_status forward(grd_device *device, norm *in, const grdi_array *weight,
                          const grdi_array *bias)
{
    if (grdi_computed_in(in->x->dtype) == GRD_I64)
        return GRD_ERROR_UNSUPPORTED;
    if (grdi_is_empty(in->x))
        return GRD_OK;
    in->n = grdi_row_length(in->x);
    in->even = are_even(in);
    in->loops = grdi_loops_of(device);
    const size_t bytes = 2 * (size_t)in->n * sizeof(double);
    double *vectors = grdi_allocate(bytes);
    if (!vectors)
        return GRD_ERROR_MEMORY;
    in->weight = vector_or(weight, 1, in->y->dtype, in->n, vectors);
    in->bias = vector_or(bias, 0, in->y->dtype, in->n, vectors + in->n);
    const grd_status status = grdi_parallel(grdi_positions(in->x, grdi_outer_rank(in->x)),
                                            grdi_grain(0.3 * (double)in->n), forward_rows, in);
    grdi_free(vectors, bytes);
    return status;
}

grd_status grdi_cpu_layer_norm(grd_device *device, const grdi_array *y, const grdi_array *stats,
                               const grdi_array *x, const grdi_array *weight,
                               const grdi_array *bias, double eps)
{
    norm in = { .y = y, .x = x, .stats = stats, .eps = eps, .centre = true };
    return forward(device, &in, weight, bias);
}

grd_status grdi_cpu_rms_norm(grd_device *device, const grdi_array *y, const grdi_array *stats,
                             const grdi_array *x, const grdi_array *weight, double eps)
{
    norm in = { .y = y, .x = x, .stats = stats, .eps = eps };
    return forward(device, &in, weight, NULL);
}

/* Rows whose f32 sums are added up before they are added to those in f64. */
enum { BLOCK = 64 };

static void backward_row_f64(const norm *in, const int64_t index[], double *buffer, double *sums)
{
    const int outer = grdi_outer_rank(in->x);
    const int64_t n = in->n, to = grdi_offset(in->y, outer, index), s = grdi_row_stride(in->y);
    double *dx = grdi_target_f64(in->y, to, s, buffer);
    const double *x = grdi_load_f64(in->x, grdi_offset(in->x, outer, index), grdi_row_stride(in->x),
                                    n, buffer + n);
    const double *dy = grdi_load_f64(in->dy, grdi_offset(in->dy, outer, index),
                                     grdi_row_stride(in->dy), n, buffer + 2 * n);
    norm_backward_f64(n, dx, sums, sums + n, dy, x, in->weight, in->centre, stats_at(in, index));
    grdi_store_f64(in->y, to, s, n, dx);
}

static void backward_row_f32(const norm *in, const int64_t index[], float *buffer, float *sums)
{
    const int outer = grdi_outer_rank(in->x);
    const int64_t n = in->n, to = grdi_offset(in->y, outer, index), s = grdi_row_stride(in->y);
    float *dx = grdi_target_f32(in->y, to, s, buffer);
    const float *x = grdi_load_f32(in->x, grdi_offset(in->x, outer, index), grdi_row_stride(in->x),
                                   n, buffer + n);
    const float *dy = grdi_load_f32(in->dy, grdi_offset(in->dy, outer, index),
                                    grdi_row_stride(in->dy), n, buffer + 2 * n);
    in->loops->norm_backward_f32(n, dx, sums, sums + n, dy, x, in->weight, in->centre,
                                 stats_at(in, index));
    grdi_store_f32(in->y, to, s, n, dx);
}

static void backward_even_row(const norm *in, int64_t i, float *sums)
{
    in->loops->norm_backward_f32(in->n, (float *)in->y->data + i * in->step[0], sums, sums + in->n,
                                 (const float *)in->dy->data + i * in->step[2],
                                 (const float *)in->x->data + i * in->step[1], in->weight,
                                 in->centre, (const double *)in->stats->data + i * in->step[3]);
}

static void add_and_clear(int64_t n, double *sums, float *part)
{
    for (int64_t i = 0; i < n; i++)
        sums[i] += (double)part[i];
    memset(part, 0, (size_t)n * sizeof *part);
}

/* buffer: 3 n values for rows, then 2 n for sums in f32. */
static void backward_piece(const norm *in, int64_t first, int64_t last, double *buffer)
{
    const int outer = grdi_outer_rank(in->x);
    double *sums = in->sums + first / in->grain * 2 * in->n;
    float *part = (float *)(buffer + 3 * in->n);
    int64_t index[GRD_MAX_RANK];
    memset(sums, 0, 2 * (size_t)in->n * sizeof *sums);
    memset(part, 0, 2 * (size_t)in->n * sizeof *part);
    grdi_seek(in->x, outer, first, index);
    for (int64_t i = first; i < last; i++) {
        if (in->y->dtype == GRD_F64)
            backward_row_f64(in, index, buffer, sums);
        else if (in->even)
            backward_even_row(in, i, part);
        else
            backward_row_f32(in, index, (float *)buffer, part);
        if (in->y->dtype != GRD_F64 && ((i - first) % BLOCK == BLOCK - 1 || i == last - 1))
            add_and_clear(2 * in->n, sums, part);
        grdi_next(in->x, outer, index);
    }
}

static grd_status backward_rows(void *context, int64_t first, int64_t last)
{
    const norm *in = context;
    const size_t bytes = 4 * (size_t)in->n * sizeof(double);
    double *buffer = grdi_allocate(bytes);
    if (!buffer)
        return GRD_ERROR_MEMORY;
    backward_piece(in, first, last, buffer);
    grdi_free(buffer, bytes);
    return GRD_OK;
}

/* The sums of all pieces, in their order. */
static void store_sums(const norm *in, int64_t pieces, const grdi_array *y, double *sums)
{
    for (int64_t p = 1; y && p < pieces; p++)
        for (int64_t i = 0; i < in->n; i++)
            sums[i] += sums[p * 2 * in->n + i];
    for (int64_t i = 0; y && i < in->n; i++) {
        const float narrow = (float)sums[i];
        if (y->dtype == GRD_F64)
            grdi_store_f64(y, i * y->dim[0].stride, 1, 1, &sums[i]);
        else
            grdi_store_f32(y, i * y->dim[0].stride, 1, 1, &narrow);
    }
}

static grd_status backward(grd_device *device, norm *in, const grdi_array *weight,
                           const grdi_array *dweight, const grdi_array *dbias)
{
    enum { MOST = 64 }; /* pieces: their sums take memory and time */
    in->n = grdi_row_length(in->x);
    in->even = are_even(in);
    in->loops = grdi_loops_of(device);
    const int64_t rows = grdi_is_empty(in->x) ? 0 : grdi_positions(in->x, grdi_outer_rank(in->x));
    in->grain = grdi_grain(0.5 * (double)(in->n + 1));
    if (in->grain * MOST < rows)
        in->grain = (rows + MOST - 1) / MOST;
    in->grain = grdi_even_grain(rows, in->grain);
    const int64_t pieces = (rows + in->grain - 1) / in->grain;

    const size_t bytes = (size_t)(in->n * (2 * (pieces + !pieces) + 1)) * sizeof(double);
    if (!bytes)
        return GRD_OK;
    double *memory = grdi_allocate(bytes);
    if (!memory)
        return GRD_ERROR_MEMORY;
    in->weight = vector_or(weight, 1, in->y->dtype, in->n, memory);
    in->sums = memory + in->n;
    memset(in->sums, 0, 2 * (size_t)in->n * sizeof(double));
    const grd_status status = grdi_parallel(rows, in->grain, backward_rows, in);
    if (status == GRD_OK) {
        store_sums(in, pieces, dweight, in->sums);
        store_sums(in, pieces, dbias, in->sums + in->n);
    }
    grdi_free(memory, bytes);
    return status;
}

grd_status grdi_cpu_layer_norm_backward(grd_device *device, const grdi_array *dx,
                                        const grdi_array *dweight, const grdi_array *dbias,
                                        const grdi_array *dy, const grdi_array *x,
                                        const grdi_array *stats, const grdi_array *weight)
{
    norm in = { .y = dx, .x = x, .dy = dy, .stats = stats, .centre = true };
    return backward(device, &in, weight, dweight, dbias);
}

grd_status grdi_cpu_rms_norm_backward(grd_device *device, const grdi_array *dx,
                                      const grdi_array *dweight, const grdi_array *dy,
                                      const grdi_array *x, const grdi_array *stats,
                                      const grdi_array *weight)
{
    norm in = { .y = dx, .x = x, .dy = dy, .stats = stats };
    return backward(device, &in, weight, dweight, NULL);
}
