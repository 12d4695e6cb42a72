/* Golden files: calculations as case files state them, a group each, with what comes out of them
 * under `truth`. The scripts in tests/golden/ make them. */
#ifndef TESTS_NN_GOLDEN_H
#define TESTS_NN_GOLDEN_H

#include "nn/archive.h"
#include <gradus/gradus.h>

/* One calculation, in one precision. */
typedef struct golden {
    const grdi_archive *archive;
    char name[32]; /* "case007", or a group in it: "case007/cross" */
    grd_dtype dtype;
} golden;

/* Opens a file of tests/golden/ in the innermost scope. */
const grdi_archive *golden_open(const char *file);
/* Goes to the number-th calculation; false past the last. */
bool golden_at(golden *g, int number);

/* An attribute of the calculation, or what it is when absent. */
int64_t golden_integer(const golden *g, const char *name, int64_t absent);
bool golden_has(const golden *g, const char *name);
double golden_real(const golden *g, const char *name, double absent);
const char *golden_text(const golden *g, const char *name, const char *absent);

/* A dataset, floating ones of the calculation's dtype; NULL when absent. */
grd_tensor *golden_tensor(const golden *g, const char *name);
/* The same as a leaf that collects a gradient. */
grd_tensor *golden_leaf(const golden *g, const char *name);
/* Fills every parameter of the module from parameters/; all must be there. */
void golden_load(const golden *g, grd_module *module);

/* x is truth/`name` within 1e-10 in f64, 1e-5 in f32, relative to 1 + max |truth|. */
void golden_expect(const golden *g, const char *name, const grd_tensor *x);
/* The same of the gradients of all parameters. */
void golden_expect_parameters(const golden *g, const grd_module *module);

/* The mask that the calculation states, additive as a leaf. */
grd_mask golden_mask(const golden *g);
grd_activation golden_activation(const golden *g); /* as it names it */

#endif
