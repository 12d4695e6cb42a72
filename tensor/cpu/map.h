/* What all elementwise kernels share: arrays of the same sizes are taken apart into tiles of
 * contiguous elements of the dtypes that the kernel computes in. */
#ifndef GRDI_CPU_MAP_H
#define GRDI_CPU_MAP_H

#include "tensor/backend.h"

/* Computes n elements: at[0] is the result, at[1], ... the inputs. at[0] may be one of those. */
typedef void grdi_tile(const void *context, int64_t n, void *const at[]);

typedef struct grdi_map {
    grdi_tile *tile;
    const void *context; /* for it */
    double ns;           /* what an element costs, about */
    int count;
    struct {
        const grdi_array *array;
        grd_dtype as; /* what it is loaded as, or stored from: f32, f64, i64 or bool */
    } of[4];          /* the result, then the inputs */
} grdi_map;

grd_status grdi_run_map(const grdi_map *map);

/* y = f(x), y[i] = f(a[i], b[i]); NULL for what the kernel does not compute in. */
typedef struct grdi_unary {
    void (*f32)(int64_t n, float *y, const float *x);
    double (*f64)(double x);
    int64_t (*i64)(int64_t x);
    double ns; /* what an element costs, about */
} grdi_unary;

typedef struct grdi_binary {
    void (*f32)(int64_t n, float *y, const float *a, const float *b);
    void (*f64)(int64_t n, double *y, const double *a, const double *b);
    void (*i64)(int64_t n, int64_t *y, const int64_t *a, const int64_t *b);
    double ns;
} grdi_binary;

grd_status grdi_run_unary(const grdi_array *y, const grdi_array *x, const grdi_unary *f);
grd_status grdi_run_binary(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                           const grdi_binary *f);

#endif
