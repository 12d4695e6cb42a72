/* What the front ends of reductions share. */
#ifndef GRDI_REDUCE_H
#define GRDI_REDUCE_H

#include "tensor/front.h"

/* A reduction made ready: its result, and the arrays as kernels take them. */
typedef struct grdi_reduction {
    grd_tensor *y;
    grdi_array to, from; /* [kept...], [kept..., reduced...] */
    int reduced;         /* dimensions of `from` that go */
    int64_t count;       /* of the elements that make one result */
} grdi_reduction;

/* Checks x and dims and makes y, of `dtype`; false with an error latched. */
bool grdi_reduction_begin(const char *op, const grd_tensor *x, const grd_dims *dims,
                          grd_keepdim keep, grd_dtype dtype, grdi_reduction *r);

/* A reduction that has no result over nothing: false, with the empty dimension named. */
bool grdi_reduction_has_elements(const char *op, const grd_tensor *x, const grd_dims *dims);

#endif
