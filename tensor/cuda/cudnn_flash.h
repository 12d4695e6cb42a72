/* The calls of flash attention that cuDNN takes: what flash_attention.c asks first. */
#ifndef GRDI_CUDA_CUDNN_FLASH_H
#define GRDI_CUDA_CUDNN_FLASH_H

#include "tensor/cuda/cudnn_plan.h"
#include "tensor/cuda/device.h"

/* As the kernels of those names (tensor/kernels.def), or GRD_ERROR_UNSUPPORTED, with nothing
 * latched or written, where cuDNN does not take the call. With GRADUS_CUDNN_FAST=1 backward gives
 * other bits in every run, and a NaN behind a hidden key may show. */
grd_status grdi_cuda_cudnn_attention(grd_device *device, const grdi_flash *how,
                                     const grdi_array *output, const grdi_array *logsumexp,
                                     const grdi_array *query, const grdi_array *key,
                                     const grdi_array *value);
grd_status grdi_cuda_cudnn_attention_backward(grd_device *device, const grdi_flash *how,
                                              const grdi_flash_gradient *gradient,
                                              const grdi_array *query, const grdi_array *key,
                                              const grdi_array *value);
grd_status grdi_cuda_cudnn_attention_additive(grd_device *device, const grdi_flash *how,
                                              const grdi_flash_gradient *gradient,
                                              const grdi_array *query, const grdi_array *key,
                                              const grdi_array *value);

/* The same as a device tells it (tensor/backend.h); its refusal makes the plan, which is kept. */
extern const grdi_attention_library grdi_cuda_cudnn;

/* ---- cudnn_choice.c ---- */

typedef struct grdi_cudnn_call {
    const grdi_flash *how;
    const grdi_array *query, *key, *value;
    const grdi_array *output;            /* NULL: not made yet; it will lie as the query does */
    const grdi_flash_gradient *gradient; /* NULL: forward */
    bool dadditive;                      /* it is that which is wanted of the gradient */
    int64_t version, capability;
    bool fast; /* other bits in every run will do */
} grdi_cudnn_call;

/* Why our rules keep a call from cuDNN; NULL: they do not, and `attention` is set. */
const char *grdi_cudnn_describe(const grdi_cudnn_call *call, grdi_cudnn_attention *attention);

/* Whether what is additive must be written anew for cuDNN, with what is not kept as -inf. */
bool grdi_cudnn_needs_mask(const grdi_flash *how);

/* The window of a call that has one: how many keys a query sees, up to its diagonal. */
int64_t grdi_cudnn_window(const grdi_flash *how);

#endif
