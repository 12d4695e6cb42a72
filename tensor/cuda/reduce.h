/* Reductions: reduce.cuh is their other half. */
#ifndef GRDI_CUDA_REDUCE_H
#define GRDI_CUDA_REDUCE_H

#include "tensor/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

struct grdi_cuda_image;

/* What a launch does of a reduction. */
typedef struct grdi_cuda_reduction {
    int reduced;         /* the last dimensions of x */
    int team;            /* threads that share a part of a row */
    int64_t results;     /* rows, or results in columns */
    int64_t length;      /* elements of each */
    int64_t parts, part; /* of a result; elements of one */
    double factor;
    bool positions;      /* not values are wanted but where they are */
    const double *means; /* of each result; NULL: none are needed */
} grdi_cuda_reduction;

/* A reduction's kernels, each of the dtype of what is reduced: a team a row, or a thread a column.
 */
typedef struct grdi_cuda_reducer {
    const struct grdi_cuda_image *image;
    const char *rows, *columns;
    const char *joined; /* makes results of their parts, which are `partial` */
    grd_dtype partial;
    bool by_value; /* the parts are values by themselves, not positions in x */
    double factor;
    bool positions;
    const double *means;
} grdi_cuda_reducer;

/* y [kept...] of x [kept..., reduced...]. */
grd_status grdi_cuda_reduce(grd_device *device, const grdi_cuda_reducer *reducer,
                            const grdi_array *y, const grdi_array *x, int reduced);

#ifdef __cplusplus
}
#endif

#endif
