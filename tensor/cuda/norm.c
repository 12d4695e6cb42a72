#include "tensor/cuda/teams.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(norm);

static int64_t row_length(const grdi_array *x)
{
    return x->dim[x->rank - 1].size;
}

static grd_status forward(grd_device *device, const grdi_array *y, const grdi_array *stats,
                          const grdi_array *x, const grdi_array *weight, const grdi_array *bias,
                          int centre, double eps)
{
    int64_t rows = grdi_count(x) ? grdi_cuda_rows(x) : 0;
    int team = grdi_cuda_team(row_length(x));
    grdi_array optional[] = { grdi_cuda_array_or_none(stats), grdi_cuda_array_or_none(weight),
                              grdi_cuda_array_or_none(bias) };
    return grdi_cuda_launch(device, &grdi_cuda_image_norm, "norm", y->dtype,
                            grdi_cuda_size_for_rows(device, rows, team),
                            (void *[]){ &rows, &team, (void *)y, &optional[0], (void *)x,
                                        &optional[1], &optional[2], &centre, &eps });
}

grd_status grdi_cuda_layer_norm(grd_device *device, const grdi_array *y, const grdi_array *stats,
                                const grdi_array *x, const grdi_array *weight,
                                const grdi_array *bias, double eps)
{
    return forward(device, y, stats, x, weight, bias, true, eps);
}

grd_status grdi_cuda_rms_norm(grd_device *device, const grdi_array *y, const grdi_array *stats,
                              const grdi_array *x, const grdi_array *weight, double eps)
{
    return forward(device, y, stats, x, weight, NULL, false, eps);
}

/* The gradients of the vectors: sums over parts of the rows, and over these. How many parts there
 * are depends on sizes alone. */
typedef struct vectors {
    const grdi_array *dweight, *dbias, *dy, *x, *stats;
    int64_t rows, n, part, parts;
} vectors;

static grd_status add_up(grd_device *device, const vectors *v, double *sums, const grdi_array *to)
{
    const grdi_array parts = {
        .data = sums, .dtype = GRD_F64, .rank = 2, .dim = { { v->n, 1 }, { v->parts, 2 * v->n } }
    };
    return to ? grdi_cuda_sum(device, to, &parts, 1, 1) : GRD_OK;
}

static grd_status sum_vectors(grd_device *device, vectors *v, double *sums)
{
    enum { BAND = 32 }; /* as in reduce.cuh */
    grd_status status = GRD_OK;
    if (v->parts)
        status = grdi_cuda_launch(
            device, &grdi_cuda_image_norm, "norm_sums", v->x->dtype,
            (grdi_cuda_size){ grdi_cuda_blocks_for(device, (v->n + BAND - 1) / BAND * v->parts),
                              GRDI_CUDA_THREADS, 0 },
            (void *[]){ &v->rows, &v->part, &sums, (void *)v->dy, (void *)v->x, (void *)v->stats });
    if (status == GRD_OK)
        status = add_up(device, v, sums, v->dweight);
    return status == GRD_OK ? add_up(device, v, sums + v->n, v->dbias) : status;
}

static grd_status backward_of_vectors(grd_device *device, vectors *v)
{
    enum { LEAST = 64, MOST = 64 }; /* rows of a part; parts */
    if ((!v->dweight && !v->dbias) || v->n == 0)
        return GRD_OK;
    v->part = (v->rows + MOST - 1) / MOST;
    v->part = v->part < LEAST ? LEAST : v->part;
    v->parts = (v->rows + v->part - 1) / v->part;
    const size_t bytes = (size_t)(2 * v->n * (v->parts + !v->parts)) * sizeof(double);
    double *sums = grdi_cuda_allocate(device, bytes);
    if (!sums)
        return GRD_ERROR_MEMORY;
    const grd_status status = sum_vectors(device, v, sums);
    grdi_cuda_free(device, sums, bytes);
    return status;
}

static grd_status backward(grd_device *device, const grdi_array *dx, const vectors *v,
                           const grdi_array *weight, int centre)
{
    vectors sums = *v;
    int team = grdi_cuda_team(row_length(v->x));
    grdi_array optional = grdi_cuda_array_or_none(weight);
    sums.n = row_length(v->x);
    sums.rows = grdi_count(v->x) ? grdi_cuda_rows(v->x) : 0;
    /* before dx is written, which may lie where dy does */
    const grd_status status = backward_of_vectors(device, &sums);
    if (status != GRD_OK)
        return status;
    return grdi_cuda_launch(device, &grdi_cuda_image_norm, "norm_backward", dx->dtype,
                            grdi_cuda_size_for_rows(device, sums.rows, team),
                            (void *[]){ &sums.rows, &team, (void *)dx, (void *)v->dy, (void *)v->x,
                                        (void *)v->stats, &optional, &centre });
}

grd_status grdi_cuda_layer_norm_backward(grd_device *device, const grdi_array *dx,
                                         const grdi_array *dweight, const grdi_array *dbias,
                                         const grdi_array *dy, const grdi_array *x,
                                         const grdi_array *stats, const grdi_array *weight)
{
    return backward(device, dx, &(vectors){ dweight, dbias, dy, x, stats, .n = 0 }, weight, true);
}

grd_status grdi_cuda_rms_norm_backward(grd_device *device, const grdi_array *dx,
                                       const grdi_array *dweight, const grdi_array *dy,
                                       const grdi_array *x, const grdi_array *stats,
                                       const grdi_array *weight)
{
    return backward(device, dx, &(vectors){ dweight, NULL, dy, x, stats, .n = 0 }, weight, false);
}
