#include "tensor/cuda/map.h"

GRDI_CUDA_IMAGE(binary);

#define KERNEL_OF(name)                                                                            \
    grd_status grdi_cuda_##name(grd_device *device, const grdi_array *y, const grdi_array *a,      \
                                const grdi_array *b)                                               \
    {                                                                                              \
        return grdi_cuda_map_2(device, &grdi_cuda_image_binary, #name, y, a, b);                   \
    }
KERNEL_OF(add)
KERNEL_OF(sub)
KERNEL_OF(mul)
KERNEL_OF(div)
KERNEL_OF(pow)
KERNEL_OF(maximum)
KERNEL_OF(minimum)
