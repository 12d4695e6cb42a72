/* Attention by Gradus's own kernels, which take every call. */
#ifndef GRDI_CUDA_FLASH_OWN_H
#define GRDI_CUDA_FLASH_OWN_H

#include "tensor/backend.h"

/* As the kernels of those names (tensor/kernels.def). Where there is an only_if, on the GPU,
 * nothing is done if it is 0 when they run. */
grd_status grdi_cuda_own_attention(grd_device *device, const grdi_flash *how,
                                   const grdi_array *output, const grdi_array *logsumexp,
                                   const grdi_array *query, const grdi_array *key,
                                   const grdi_array *value, const int *only_if);
grd_status grdi_cuda_own_attention_backward(grd_device *device, const grdi_flash *how,
                                            const grdi_flash_gradient *gradient,
                                            const grdi_array *query, const grdi_array *key,
                                            const grdi_array *value, const int *only_if);
grd_status grdi_cuda_own_attention_additive(grd_device *device, const grdi_flash *how,
                                            const grdi_flash_gradient *gradient,
                                            const grdi_array *query, const grdi_array *key,
                                            const grdi_array *value, const int *only_if);

#endif
