/* cuBLASLt, found when it is first asked for: the library is built without its header, whose values
 * a test compares with these where there is one (tests/cuda/cublas_header.c). */
#ifndef GRDI_CUDA_CUBLAS_H
#define GRDI_CUDA_CUBLAS_H

#include "tensor/cuda/driver.h"

typedef struct grdi_cublas_handle grdi_cublas_handle;
typedef struct grdi_cublas_product grdi_cublas_product;
typedef struct grdi_cublas_layout grdi_cublas_layout;
typedef struct grdi_cublas_preference grdi_cublas_preference;

typedef struct grdi_cublas_algorithm {
    uint64_t data[8];
} grdi_cublas_algorithm;

typedef struct grdi_cublas_choice {
    grdi_cublas_algorithm algorithm;
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
} grdi_cublas_choice;

/* What of its numbers is used. */
enum {
    GRDI_CUBLAS_EXECUTION_FAILED = 13, /* statuses: the GPU failed, */
    GRDI_CUBLAS_INTERNAL_ERROR = 14,
    GRDI_CUBLAS_NOT_SUPPORTED = 15, /* or has no such product */

    GRDI_CUBLAS_TRANSPOSED = 1,

    GRDI_CUBLAS_IN_F32 = 68, /* what products are computed in */
    GRDI_CUBLAS_IN_TF32 = 77,
    GRDI_CUBLAS_IN_F64 = 70,

    GRDI_CUBLAS_F32 = 0, /* types of elements */
    GRDI_CUBLAS_F64 = 1,
    GRDI_CUBLAS_F16 = 2,
    GRDI_CUBLAS_BF16 = 14,

    GRDI_CUBLAS_TRANSPOSE_A = 3, /* attributes of a product, */
    GRDI_CUBLAS_TRANSPOSE_B = 4,
    GRDI_CUBLAS_EPILOGUE = 7,
    GRDI_CUBLAS_BIAS_POINTER = 8,
    GRDI_CUBLAS_BATCH = 5, /* of a layout, */
    GRDI_CUBLAS_BATCH_STRIDE = 6,
    GRDI_CUBLAS_MOST_WORKSPACE = 1, /* and of a preference */
    GRDI_CUBLAS_REDUCTIONS = 3,
    GRDI_CUBLAS_ALIGNMENT_A = 5,
    GRDI_CUBLAS_ALIGNMENT_B = 6,
    GRDI_CUBLAS_ALIGNMENT_C = 7,
    GRDI_CUBLAS_ALIGNMENT_D = 8,

    GRDI_CUBLAS_ADD_BIAS = 4,        /* an epilogue */
    GRDI_CUBLAS_REDUCE_COMPUTED = 2, /* parts are added up as they were computed, in their order */
};

typedef struct grdi_cublas {
#define CUBLAS(name, parameters) int(*name) parameters;
#include "tensor/cuda/cublas.def"
#undef CUBLAS
} grdi_cublas;

/* The library, or NULL: there is none. It is searched for once in a process, in the file that
 * GRADUS_CUBLAS names or else as libcublasLt.so.13 or .12. Where GRADUS_CUDA_DRIVER names a driver,
 * only what is named is taken. */
const grdi_cublas *grdi_cuda_cublas(void);

#endif
