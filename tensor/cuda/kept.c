/* Products in which what is not finite is met only by the pairs that may meet it. Whether there is
 * any is known on the GPU alone, and the host does not wait for it. */
#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(kept);

grd_status grdi_cuda_kept_products(grd_device *device, const grdi_array *y, const grdi_array *a,
                                   const grdi_array *b, const grdi_array *keep)
{
    const grd_status status = grdi_cuda_matmul(device, y, a, b, NULL);
    int64_t n = grdi_count(y);
    return status != GRD_OK
               ? status
               : grdi_cuda_launch(device, &grdi_cuda_image_kept, "clear_hidden", y->dtype,
                                  grdi_cuda_size_for(device, n, GRDI_CUDA_EACH),
                                  (void *[]){ &n, (void *)y, (void *)keep });
}

/* b's distinct elements: `from` in b's memory, `to` side by side in another's, which `whole`
 * describes with b's sizes. Gives how many they are. */
static int64_t lay_out(const grdi_array *b, grdi_array *from, grdi_array *to, grdi_array *whole)
{
    int64_t stride = 1;
    *from = *to = *whole = *b;
    for (int d = b->rank - 1; d >= 0; d--) {
        const bool repeated = b->dim[d].stride == 0;
        from->dim[d].size = to->dim[d].size = repeated ? 1 : b->dim[d].size;
        whole->dim[d].stride = to->dim[d].stride = repeated ? 0 : stride;
        stride *= from->dim[d].size;
    }
    return stride;
}

/* y is the product with b's finite part, so that it has the same bits whatever is hidden, and then
 * the rest is added pair by pair. */
static grd_status sums(grd_device *device, const grdi_array *y, const grdi_array *a,
                       const grdi_array *b, const grdi_array *keep, void *memory)
{
    grdi_array from, to, finite;
    int64_t count = lay_out(b, &from, &to, &finite), n = grdi_count(y);
    int64_t *found = memory;
    const grdi_array flag = { .data = found, .dtype = GRD_I64 };
    to.data = finite.data = found + 2;
    grd_status status = grdi_cuda_fill(device, &flag, 0);
    if (status == GRD_OK)
        status = grdi_cuda_launch(device, &grdi_cuda_image_kept, "finite_part", b->dtype,
                                  grdi_cuda_size_for(device, count, GRDI_CUDA_EACH),
                                  (void *[]){ &count, &to, &from, &found });
    if (status == GRD_OK)
        status = grdi_cuda_matmul(device, y, a, &finite, NULL);
    if (status != GRD_OK)
        return status;
    return grdi_cuda_launch(
        device, &grdi_cuda_image_kept, "add_not_finite", y->dtype, grdi_cuda_size_for(device, n, 1),
        (void *[]){ &n, (void *)y, (void *)a, (void *)b, (void *)keep, &found });
}

grd_status grdi_cuda_kept_sums(grd_device *device, const grdi_array *y, const grdi_array *a,
                               const grdi_array *b, const grdi_array *keep)
{
    grdi_array from, to, whole;
    if (grdi_count(y) == 0 || grdi_count(b) == 0)
        return grdi_cuda_matmul(device, y, a, b, NULL);
    const size_t bytes = (size_t)lay_out(b, &from, &to, &whole) * grdi_dtype_size(b->dtype) + 16;
    void *memory = grdi_cuda_allocate(device, bytes);
    if (!memory)
        return GRD_ERROR_MEMORY;
    const grd_status status = sums(device, y, a, b, keep, memory);
    grdi_cuda_free(device, memory, bytes);
    return status;
}
