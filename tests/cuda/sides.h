/* The same arrays on the processor and on a GPU, to see that a kernel gives there what it gives
 * here: for sizes and strides that no op comes to by itself. */
#ifndef TESTS_CUDA_SIDES_H
#define TESTS_CUDA_SIDES_H

#include "tensor/backend.h"

enum { CPU, GPU, SIDES };

typedef struct sided {
    grdi_array on[SIDES];
    int64_t extent, skip; /* elements in memory; those before the first */
    struct sided *next;
} sided;

/* The devices; the test is skipped where there is no GPU. */
grd_device *side(int which);

/* An array of this shape and these strides whose first element is the `skip`th in memory, filled
 * with numbers of -1..1, or with integers or truths. */
sided *make_sided(grd_dtype dtype, int rank, const grdi_dim dim[], int64_t skip);
sided *make_contiguous(grd_dtype dtype, int rank, const int64_t size[]);

/* Sets an element, by its offset from the first, on both sides; or here alone, for the next
 * set_sided to send. */
void set_sided(sided *x, int64_t offset, double value);
void set_here(sided *x, int64_t offset, double value);

/* Fails unless both sides hold the same, all memory between the elements included, but for a
 * difference of `allowed` of 1 or of what is larger. */
void expect_same(const sided *y, double allowed, const char *what);

/* Frees what the test made: its .fini. */
void end_sides(void);

/* Runs a kernel on both sides, with on(x) for x's array:
 * RUN_SIDES(sum, on(y), on(x), 1, 0.5); an array that is NULL is none. */
#define RUN_SIDES(kernel, ...)                                                                     \
    for (int which = 0; which < SIDES; which++)                                                    \
    cr_assert_eq(side(which)->kernels->kernel(side(which), __VA_ARGS__), GRD_OK, "%s: %s",         \
                 #kernel, grd_error_message())
#define on(x) ((x) ? &(x)->on[which] : NULL)

/* What a sum of numbers of this dtype may differ by. */
double allowed_in(grd_dtype dtype);

#endif
