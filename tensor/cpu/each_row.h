/* Kernels that compute a whole row (the last dimension) at a time. */
#ifndef GRDI_CPU_EACH_ROW_H
#define GRDI_CPU_EACH_ROW_H

#include "tensor/backend.h"

/* What to do with a row: y from a, or y from a and b; of the same length, contiguous; y may be a or
 * b. Those of one operand are set, or those of two, for the types that the kernel has. */
typedef struct grdi_row_loops {
    void (*one_f32)(int64_t n, float *y, const float *a);
    void (*one_f64)(int64_t n, double *y, const double *a);
    void (*one_i64)(int64_t n, int64_t *y, const int64_t *a);
    void (*two_f32)(int64_t n, float *y, const float *a, const float *b);
    void (*two_f64)(int64_t n, double *y, const double *a, const double *b);
    double ns; /* what an element costs, for the threads */
} grdi_row_loops;

/* y's rows from those of a and b (NULL for loops of one operand), of the same sizes, rank >= 1. All
 * are loaded as what y is computed in. */
grd_status grdi_each_row(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                         const grdi_row_loops *loops);

#endif
