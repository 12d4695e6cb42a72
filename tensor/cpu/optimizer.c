#include "tensor/cpu/loops.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/rows.h"

#include <assert.h>
#include <math.h>

/* ---- The sum of squares: summed in pieces, then over the pieces in order ---- */

enum { PIECES = 64, SMALLEST = 1 << 14 };

typedef struct squares {
    const grdi_array *x;
    const grdi_loops *loops;
    int64_t piece, pieces; /* elements of each; how many */
    double sum[PIECES];
    int64_t bad[PIECES]; /* not finite */
} squares;

static int64_t count_bad(const grdi_array *x, int64_t first, int64_t last)
{
    double buffer[GRDI_TILE];
    int64_t bad = 0;
    for (; first < last; first += GRDI_TILE) {
        const int64_t n = last - first < GRDI_TILE ? last - first : GRDI_TILE;
        const double *values = grdi_load_f64(x, first, 1, n, buffer);
        for (int64_t i = 0; i < n; i++)
            bad += !isfinite(values[i]);
    }
    return bad;
}

static double sum_piece(const grdi_array *x, int64_t first, int64_t last)
{
    double buffer[GRDI_TILE], sum = 0;
    for (; first < last; first += GRDI_TILE) {
        const int64_t n = last - first < GRDI_TILE ? last - first : GRDI_TILE;
        const double *values = grdi_load_f64(x, first, 1, n, buffer);
        for (int64_t i = 0; i < n; i++)
            sum += values[i] * values[i];
    }
    return sum;
}

/* The last piece first: a step that follows starts with what the caches hold then. */
static grd_status sum_pieces(void *context, int64_t first, int64_t last)
{
    squares *s = context;
    const grdi_array *x = s->x;
    for (int64_t done = first; done < last; done++) {
        const int64_t i = s->pieces - 1 - done, from = i * s->piece;
        const int64_t length = x->dim[0].size - from;
        const int64_t to = from + (length < s->piece ? length : s->piece);
        if (x->dtype == GRD_F32)
            s->sum[i] = s->loops->square_sum_f32(to - from, (const float *)x->data + from);
        else
            s->sum[i] = sum_piece(x, from, to);
        s->bad[i] = isfinite(s->sum[i]) ? 0 : count_bad(x, from, to);
    }
    return GRD_OK;
}

grd_status grdi_cpu_square_sum(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    const int64_t n = x->dim[0].size, piece = (n + PIECES - 1) / PIECES;
    assert(x->rank == 1 && y->dtype == GRD_F64 && y->dim[0].size == 2);
    squares s = { .x = x, .loops = grdi_loops_of(device) };
    s.piece = piece > SMALLEST ? piece : SMALLEST;
    s.pieces = (n + s.piece - 1) / s.piece;
    const grd_status status = grdi_parallel(s.pieces, 1, sum_pieces, &s);

    double *result = y->data;
    result[0] = result[1] = 0;
    for (int64_t i = 0; i < s.pieces; i++) {
        result[0] += s.sum[i];
        result[1] += (double)s.bad[i];
    }
    return status;
}

/* ---- Steps ---- */

typedef struct step {
    const grdi_array *x, *m, *v, *dx; /* sgd: m is b, v is unused */
    const void *numbers;
    const grdi_loops *loops;
} step;

static void sgd_f64(int64_t n, double *x, double *b, const double *dx, const grdi_sgd *s)
{
    for (int64_t i = 0; i < n; i++) {
        double d = dx[i] + s->weight_decay * x[i];
        if (b) {
            b[i] = s->momentum * b[i] + d;
            d = s->nesterov ? d + s->momentum * b[i] : b[i];
        }
        x[i] -= s->lr * d;
    }
}

static grd_status sgd(void *context, int64_t first, int64_t last)
{
    const step *s = context;
    const int64_t n = last - first;
    if (s->x->dtype == GRD_F32)
        s->loops->sgd_f32(n, (float *)s->x->data + first, s->m ? (float *)s->m->data + first : NULL,
                          (const float *)s->dx->data + first, s->numbers);
    else
        sgd_f64(n, (double *)s->x->data + first, s->m ? (double *)s->m->data + first : NULL,
                (const double *)s->dx->data + first, s->numbers);
    return GRD_OK;
}

static void adam_f64(int64_t n, double *x, double *m, double *v, const double *dx,
                     const grdi_adam *s)
{
    for (int64_t i = 0; i < n; i++) {
        m[i] = s->beta1 * m[i] + (1 - s->beta1) * dx[i];
        v[i] = s->beta2 * v[i] + (1 - s->beta2) * dx[i] * dx[i];
        x[i] = s->shrink * x[i] - s->step * m[i] / (s->root * sqrt(v[i]) + s->eps);
    }
}

static grd_status adam(void *context, int64_t first, int64_t last)
{
    const step *s = context;
    const int64_t n = last - first;
    if (s->x->dtype == GRD_F32)
        s->loops->adam_f32(n, (float *)s->x->data + first, (float *)s->m->data + first,
                           (float *)s->v->data + first, (const float *)s->dx->data + first,
                           s->numbers);
    else
        adam_f64(n, (double *)s->x->data + first, (double *)s->m->data + first,
                 (double *)s->v->data + first, (const double *)s->dx->data + first, s->numbers);
    return GRD_OK;
}

static grd_status run(grd_device *device, step *s, grdi_work *work, double ns)
{
    const grd_dtype dtype = s->x->dtype;
    assert(s->x->rank == 1 && s->dx->dtype == dtype && (!s->m || s->m->dtype == dtype));
    if (dtype != GRD_F32 && dtype != GRD_F64)
        return GRD_ERROR_UNSUPPORTED;
    s->loops = grdi_loops_of(device);
    return grdi_parallel(s->x->dim[0].size, grdi_grain(ns), work, s);
}

grd_status grdi_cpu_sgd(grd_device *device, const grdi_array *x, const grdi_array *b,
                        const grdi_array *dx, const grdi_sgd *numbers)
{
    step s = { .x = x, .m = b, .dx = dx, .numbers = numbers };
    return run(device, &s, sgd, 0.3);
}

grd_status grdi_cpu_adam(grd_device *device, const grdi_array *x, const grdi_array *m,
                         const grdi_array *v, const grdi_array *dx, const grdi_adam *numbers)
{
    step s = { .x = x, .m = m, .v = v, .dx = dx, .numbers = numbers };
    return run(device, &s, adam, 0.6);
}
