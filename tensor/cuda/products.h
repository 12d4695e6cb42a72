/* Matrix products by cuBLASLt. */
#ifndef GRDI_CUDA_PRODUCTS_H
#define GRDI_CUDA_PRODUCTS_H

#include "tensor/cuda/device.h"

/* y = a b + bias as the kernel matmul; *done says whether cuBLASLt has it: where there is no
 * library or it has no algorithm, nothing was done. The algorithm of a shape is chosen once, so
 * that a product has the same bits each time. */
grd_status grdi_cuda_product(grd_device *device, const grdi_array *y, const grdi_array *a,
                             const grdi_array *b, const grdi_array *bias, bool *done);

/* grd_device_allow_tf32. */
void grdi_cuda_allow_tf32(grd_device *device, bool allow);

#endif
