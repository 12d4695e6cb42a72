/* What the kernels of attention are told: flash_attention.cuh is their half on the GPU. */
#ifndef GRDI_CUDA_FLASH_ATTENTION_H
#define GRDI_CUDA_FLASH_ATTENTION_H

#include "tensor/backend.h"

/* The rows of all heads: (B, H, T, size), each row contiguous. */
typedef struct grdi_cuda_rows {
    void *data;
    int64_t sample, head, row; /* strides */
    int size;
    bool packed; /* whether 16 bytes of what is computed with may be read or written at once */
} grdi_cuda_rows;

/* An element for each pair of a query and a key, (B, Hq, L, S); data NULL: none. */
typedef struct grdi_cuda_pairs {
    void *data;
    int64_t stride[4];
} grdi_cuda_pairs;

/* grdi_flash and its arrays. Sizes and places of rows fit an int with room to spare. */
typedef struct grdi_cuda_flash {
    grdi_cuda_rows query, key, value, output, doutput, dquery, dkey, dvalue;
    grdi_cuda_pairs keep, additive, dadditive;
    grd_dtype dtype;                    /* of all rows and of what is additive */
    int samples, heads, group, queries; /* heads of the query, `group` of them on one of the keys */
    int keys, appended;                 /* keys: without those that are appended */
    double scale, softcap;
    double kept; /* what is kept is multiplied by it; 0: there is no dropout */
    unsigned dropped;
    grdi_draw draw;
    int64_t left, right, offset; /* small enough to be added to */
    bool by_length;
    const int64_t *lengths; /* NULL: all keys */
    int64_t length;         /* their stride */
    double *logsumexp;
    int64_t sum[3];     /* its strides */
    const int *only_if; /* nothing is done where it is 0; NULL: it is done */
    void *sides;        /* of backward, [3, B, Hq, L] of the numbers that are computed with */
} grdi_cuda_flash;

#endif
