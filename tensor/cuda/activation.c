#include "tensor/cuda/map.h"

GRDI_CUDA_IMAGE(activation);

#define FORWARD(name)                                                                              \
    grd_status grdi_cuda_##name(grd_device *device, const grdi_array *y, const grdi_array *x)      \
    {                                                                                              \
        return grdi_cuda_map_1(device, &grdi_cuda_image_activation, #name, y, x);                  \
    }
FORWARD(erf)
FORWARD(tanh)
FORWARD(sigmoid)
FORWARD(relu)
FORWARD(gelu)
FORWARD(gelu_tanh)
FORWARD(silu)

#define BACKWARD(name)                                                                             \
    grd_status grdi_cuda_##name(grd_device *device, const grdi_array *dx, const grdi_array *dy,    \
                                const grdi_array *from)                                            \
    {                                                                                              \
        return grdi_cuda_map_2(device, &grdi_cuda_image_activation, #name, dx, dy, from);          \
    }
BACKWARD(tanh_backward)
BACKWARD(sigmoid_backward)
BACKWARD(relu_backward)
BACKWARD(gelu_backward)
BACKWARD(gelu_tanh_backward)
BACKWARD(silu_backward)
