/* A small training run: all that a checkpoint has to hold. */
#ifndef TESTS_NN_RUN_H
#define TESTS_NN_RUN_H

#include <gradus/gradus.h>

typedef struct run {
    grd_module *model;
    grd_optimizer *optimizer;
    grd_rng *rng;
    grd_data *data;
    int64_t step;
} run;

run run_create(uint64_t seed);
grd_checkpoint run_checkpoint(run *r); /* everything of it */
grd_status run_steps(run *r, int count);
bool run_equal(const run *a, const run *b); /* bit by bit */
bool same_bits(const grd_tensor *a, const grd_tensor *b);

#endif
