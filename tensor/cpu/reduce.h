/* Reductions: many elements into one. */
#ifndef GRDI_CPU_REDUCE_H
#define GRDI_CPU_REDUCE_H

#include "tensor/backend.h"

/* What a reduction has so far: of floating elements in `real`, of i64 and bool in `whole`. */
typedef struct grdi_total {
    double real;
    int64_t whole;
    int64_t position; /* of the element chosen, for those that choose one; < 0: none yet */
} grdi_total;

/* Adds n contiguous values to the total. `position` is that of the first among all that are
 * reduced, row-major. */
typedef void grdi_fold(const void *context, grdi_total *total, int64_t n, const void *values,
                       int64_t position);

typedef struct grdi_reducer {
    grdi_fold *f32;  /* NULL: f32, f16 and bf16 are read as f64 */
    grdi_fold *f64;  /* also folds one total's `real` into another */
    grdi_fold *i64;  /* the same of `whole` */
    grdi_fold *join; /* folds totals; NULL: f64 or i64 does */
    const void *context;
    grdi_total start;
    double factor;  /* a floating result is this times `real` */
    bool positions; /* the result is `position` */
} grdi_reducer;

/* y [kept...] from x [kept..., reduced...], over its last `reduced` dimensions. What is read as i64
 * gives an i64 or bool y; what is read as floating, a floating one. */
grd_status grdi_reduce(const grdi_array *y, const grdi_array *x, int reduced,
                       const grdi_reducer *reducer);

/* The last `reduced` dimensions of x, at its start. */
grdi_array grdi_reduced_part(const grdi_array *x, int reduced);

/* The total over all of `part`, which begins `offset` elements from its start. */
grdi_total grdi_reduce_one(const grdi_array *part, int64_t offset, const grdi_reducer *reducer);

void grdi_store_total(const grdi_array *y, int64_t offset, const grdi_total *total,
                      const grdi_reducer *reducer);

#endif
