#include "tensor/cuda/map.h"

GRDI_CUDA_IMAGE(unary);

#define KERNEL_OF(name)                                                                            \
    grd_status grdi_cuda_##name(grd_device *device, const grdi_array *y, const grdi_array *x)      \
    {                                                                                              \
        return grdi_cuda_map_1(device, &grdi_cuda_image_unary, #name, y, x);                       \
    }
KERNEL_OF(abs)
KERNEL_OF(sign)
KERNEL_OF(square)
KERNEL_OF(exp)
KERNEL_OF(log)
KERNEL_OF(sqrt)
KERNEL_OF(rsqrt)
KERNEL_OF(sin)
KERNEL_OF(cos)
