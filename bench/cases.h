/* A case of the benchmark: what cases.c finds by its name, a file per family. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <gradus/gradus.h>

enum { BENCH_SIZES = 6 };

/* Has a state, made once and kept, and a sample that is timed and told in microseconds. */
typedef struct bench {
    char name[64];
    int64_t size[BENCH_SIZES]; /* the numbers in the name */
    double (*sample)(struct bench *b);
    int64_t inner; /* runs in a sample, at least 1 */
    grd_module *model;
    grd_optimizer *optimizer;
    grd_tensor *q, *k, *v, *dy; /* or inputs and targets */
    struct op_case *op;
} bench;

/* Those whose name starts so: what follows are sizes. `prepare` gets them in b->size. */
typedef struct bench_kind {
    const char *name;
    void (*prepare)(bench *b);
    double (*sample)(bench *b);
} bench_kind;

double bench_now(void); /* microseconds */

/* Each ends with a kind without a name. */
extern const bench_kind bench_attention_kinds[], bench_step_kinds[], bench_small_kinds[];

#endif
