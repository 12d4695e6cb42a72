#include "tensor/cuda/teams.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(cross_entropy);

static const grdi_cuda_size one_block = { 1, GRDI_CUDA_THREADS, 0 };

/* Each row's loss to y, or, for one of all rows, to `loss` and their total to y. */
static grd_status launch(grd_device *device, const grdi_array *y, const grdi_array *loss,
                         const grdi_array *stats, const grdi_array *logits,
                         const grdi_array *targets, const grdi_weighing *how)
{
    const grdi_array *each = y->rank ? y : loss;
    int team = grdi_cuda_team(logits->dim[1].size);
    const grd_status status =
        grdi_cuda_launch(device, &grdi_cuda_image_cross_entropy, "cross_entropy", logits->dtype,
                         grdi_cuda_size_for_rows(device, targets->dim[0].size, team),
                         (void *[]){ (void *)each, (void *)stats, (void *)logits, (void *)targets,
                                     (void *)how, &team });
    if (status != GRD_OK || y->rank)
        return status;
    return grdi_cuda_launch(device, &grdi_cuda_image_cross_entropy, "cross_entropy_total", GRD_F64,
                            one_block,
                            (void *[]){ (void *)y, (void *)loss, (void *)stats, (void *)how });
}

/* The losses are safe from targets that are wrong. */
static grd_status run(grd_device *device, const grdi_array *y, const grdi_array *loss,
                      const grdi_array *stats, const grdi_array *logits, const grdi_array *targets,
                      const grdi_weighing *how, grdi_refusal *refused)
{
    grdi_refusal *letter = grdi_cuda_of(device)->letter;
    int64_t classes = logits->dim[1].size, ignore_index = how->ignore_index;
    const grd_status status = grdi_cuda_launch(
        device, &grdi_cuda_image_cross_entropy, "cross_entropy_check", GRD_I64, one_block,
        (void *[]){ &letter, refused, (void *)stats, (void *)targets, &classes, &ignore_index });
    return status == GRD_OK ? launch(device, y, loss, stats, logits, targets, how) : status;
}

grd_status grdi_cuda_cross_entropy(grd_device *device, const grdi_array *y, const grdi_array *stats,
                                   const grdi_array *logits, const grdi_array *targets,
                                   const grdi_weighing *how, grdi_refusal *refused)
{
    const int64_t rows = targets->dim[0].size;
    const size_t bytes = (size_t)(rows + 1) * sizeof(double);
    double *memory = grdi_cuda_allocate(device, bytes);
    if (!memory)
        return GRD_ERROR_MEMORY;
    const grdi_array loss = { .data = memory, .dtype = GRD_F64, .rank = 1, .dim = { { rows, 1 } } };
    const grd_status status = run(device, y, &loss, stats, logits, targets, how, refused);
    grdi_cuda_free(device, memory, bytes);
    return status;
}

grd_status grdi_cuda_cross_entropy_backward(grd_device *device, const grdi_array *dx,
                                            const grdi_array *dy, const grdi_array *stats,
                                            const grdi_array *logits, const grdi_array *targets,
                                            const grdi_weighing *how)
{
    int team = grdi_cuda_team(logits->dim[1].size);
    return grdi_cuda_launch(device, &grdi_cuda_image_cross_entropy, "cross_entropy_backward",
                            dx->dtype, grdi_cuda_size_for_rows(device, targets->dim[0].size, team),
                            (void *[]){ (void *)dx, (void *)dy, (void *)stats, (void *)logits,
                                        (void *)targets, (void *)how, &team });
}
