/* cuDNN, found when it is first asked for: what of its C backend API is used, in words of our own,
 * so that neither its headers nor its libraries need be there. A machine without it is normal. */
#ifndef GRDI_CUDA_CUDNN_H
#define GRDI_CUDA_CUDNN_H

#include "tensor/cuda/driver.h"

typedef struct grdi_cudnn_handle grdi_cudnn_handle;
typedef struct grdi_cudnn_descriptor grdi_cudnn_descriptor;

/* Its numbers. */
enum {
#define CUDNN_NUMBER(name, its, value) GRDI_CUDNN_##name = value,
#include "tensor/cuda/cudnn_numbers.def"
#undef CUDNN_NUMBER
};

/* The oldest that was seen to take the graphs of attention: 9.19. */
enum { GRDI_CUDNN_OLDEST = 91900 };

typedef struct grdi_cudnn {
#define CUDNN(result, name, parameters) result(*name) parameters;
#include "tensor/cuda/cudnn.def"
#undef CUDNN
    int64_t version; /* 91900: 9.19.0 */
} grdi_cudnn;

/* cuDNN, or NULL and why there is none, as a sentence's part. It is searched for once in a process,
 * in the file that GRADUS_CUDNN names or else as libcudnn.so.9, or libcudnn_graph.so.9 alone.
 * GRADUS_CUDNN=0, or none named beside a driver that is (GRADUS_CUDA_DRIVER): it is not used. */
const grdi_cudnn *grdi_cudnn_find(const char **why);

#endif
