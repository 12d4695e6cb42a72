/* The same op on the CPU and on an emulated GPU: for tests that are skipped where the environment
 * names no driver (tests/cuda/meson.build). */
#ifndef TESTS_CUDA_TWINS_H
#define TESTS_CUDA_TWINS_H

#include "tests/cuda/emulated.h"

#include <gradus/gradus.h>

/* How both see an input. */
typedef enum pattern {
    PLAIN,
    TRANSPOSED,
    UNALIGNED, /* from its second row on */
    STRETCHED, /* its first column, repeated */
    PATTERNS
} pattern;

typedef grd_tensor *twin_op(const grd_tensor *const x[], const void *user);

typedef struct twins {
    const char *what;
    twin_op *op;
    const void *user;
    double allowed; /* of the result's precision; 0: bits are the same but a NaN's */
} twins;

/* The largest relative error of one rounding. */
double precision_of(grd_dtype dtype);

/* Numbers of a normal distribution, and now and then NaN, infinities and zeros of both signs. */
grd_tensor *wild(grd_rng *rng, grd_shape shape, grd_dtype dtype);

/* The op of these inputs, which lie on the CPU, gives the same on both. */
void expect_twins(const twins *t, grd_list x);
/* So it does whichever way the inputs are seen, all of them the same way. */
void expect_twins_seen(const twins *t, grd_list x);

/* One result against another, wherever they lie. */
void expect_twin(const twins *t, const grd_tensor *cpu, const grd_tensor *gpu);

#endif
