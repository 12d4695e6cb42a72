/* Attention: cuDNN's where it takes the call, which it does in f16 and bf16, else our own kernels'.
 * They read each other's results, so forward may be one's and backward the other's. */
#include "tensor/cuda/cudnn_flash.h"
#include "tensor/cuda/flash_own.h"

grd_status grdi_cuda_flash_attention(grd_device *device, const grdi_flash *how,
                                     const grdi_array *output, const grdi_array *logsumexp,
                                     const grdi_array *query, const grdi_array *key,
                                     const grdi_array *value)
{
    const grd_status status =
        grdi_cuda_cudnn_attention(device, how, output, logsumexp, query, key, value);
    if (status != GRD_ERROR_UNSUPPORTED)
        return status;
    return grdi_cuda_own_attention(device, how, output, logsumexp, query, key, value, NULL);
}

grd_status grdi_cuda_flash_attention_backward(grd_device *device, const grdi_flash *how,
                                              const grdi_flash_gradient *gradient,
                                              const grdi_array *query, const grdi_array *key,
                                              const grdi_array *value)
{
    const grd_status status =
        grdi_cuda_cudnn_attention_backward(device, how, gradient, query, key, value);
    if (status != GRD_ERROR_UNSUPPORTED)
        return status;
    return grdi_cuda_own_attention_backward(device, how, gradient, query, key, value, NULL);
}

grd_status grdi_cuda_flash_attention_additive(grd_device *device, const grdi_flash *how,
                                              const grdi_flash_gradient *gradient,
                                              const grdi_array *query, const grdi_array *key,
                                              const grdi_array *value)
{
    const grd_status status =
        grdi_cuda_cudnn_attention_additive(device, how, gradient, query, key, value);
    if (status != GRD_ERROR_UNSUPPORTED)
        return status;
    return grdi_cuda_own_attention_additive(device, how, gradient, query, key, value, NULL);
}
