#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(optimizer);

/* The sums of each block, and their sum. */
static grd_status sum(grd_device *device, const grdi_array *y, const grdi_array *x, double *partial,
                      grdi_cuda_size size, grdi_refusal *refused)
{
    int64_t n = grdi_count(x), blocks = size.blocks;
    grdi_refusal none = { 0 }, *letter = refused ? grdi_cuda_of(device)->letter : NULL;
    const grd_status status =
        grdi_cuda_launch(device, &grdi_cuda_image_optimizer, "square_sum", x->dtype, size,
                         (void *[]){ &n, (void *)x, &partial });
    if (status != GRD_OK)
        return status;
    return grdi_cuda_launch(
        device, &grdi_cuda_image_optimizer, "square_sum_joined", GRD_F64,
        (grdi_cuda_size){ 1, 512, 0 },
        (void *[]){ &letter, refused ? refused : &none, (void *)&y->data, &partial, &blocks });
}

grd_status grdi_cuda_square_sum(grd_device *device, const grdi_array *y, const grdi_array *x,
                                grdi_refusal *refused)
{
    const grdi_cuda_size size = grdi_cuda_size_for(device, grdi_count(x), 8);
    const size_t bytes = (size_t)(size.blocks + 1) * 2 * sizeof(double);
    double *partial = grdi_cuda_allocate(device, bytes);
    if (!partial)
        return GRD_ERROR_MEMORY;
    const grd_status status = sum(device, y, x, partial, size, refused);
    grdi_cuda_free(device, partial, bytes);
    return status;
}

grd_status grdi_cuda_clip_factor(grd_device *device, const grdi_array *y, const grdi_array *sums,
                                 double most, grdi_refusal *refused)
{
    grdi_refusal *letter = grdi_cuda_of(device)->letter;
    int64_t rows = sums->dim[0].size;
    return grdi_cuda_launch(
        device, &grdi_cuda_image_optimizer, "clip_factor", GRD_F64,
        (grdi_cuda_size){ 1, GRDI_CUDA_THREADS, 0 },
        (void *[]){ &letter, refused, (void *)&y->data, (void *)&sums->data, &rows, &most });
}

static grd_status step(grd_device *device, const char *kernel, const grdi_array *x,
                       void *arguments[])
{
    return grdi_cuda_map(device, &grdi_cuda_image_optimizer, kernel, x->dtype, grdi_count(x),
                         arguments);
}

grd_status grdi_cuda_sgd(grd_device *device, const grdi_array *x, const grdi_array *b,
                         const grdi_array *dx, const grdi_sgd *numbers)
{
    if (!b)
        return step(device, "sgd", x,
                    (void *[]){ NULL, (void *)&x->data, (void *)&dx->data, (void *)numbers });
    return step(
        device, "sgd_with_momentum", x,
        (void *[]){ NULL, (void *)&x->data, (void *)&b->data, (void *)&dx->data, (void *)numbers });
}

grd_status grdi_cuda_adam(grd_device *device, const grdi_array *x, const grdi_array *m,
                          const grdi_array *v, const grdi_array *dx, const grdi_adam *numbers)
{
    return step(device, "adam", x,
                (void *[]){ NULL, (void *)&x->data, (void *)&m->data, (void *)&v->data,
                            (void *)&dx->data, (void *)numbers });
}
