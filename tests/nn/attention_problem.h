/* What the tests of attention share: a problem, and its solution by each kernel in each type. */
#ifndef TESTS_NN_ATTENTION_PROBLEM_H
#define TESTS_NN_ATTENTION_PROBLEM_H

#include <criterion/criterion.h>
#include <gradus/gradus.h>

/* A way to compute: the dtype of everything, and the kernel. */
typedef struct attention_path {
    const char *name;
    grd_dtype dtype;
    bool composed;
} attention_path;
extern const attention_path attention_paths[4];

/* Of the running test: its path, and a generator that starts the same on each. */
extern const attention_path *path;
extern grd_rng *rng;

/* Runs body in a scope of the path's dtype, which must end without an error. */
void on_path(const attention_path *on, void (*body)(void));

/* A test for each path, whose name says which. */
#define EACH_PATH(suite, name)                                                                     \
    static void suite##_##name(void);                                                              \
    Test(suite, name##_f32_flash)                                                                  \
    {                                                                                              \
        on_path(&attention_paths[0], suite##_##name);                                              \
    }                                                                                              \
    Test(suite, name##_f32_composed)                                                               \
    {                                                                                              \
        on_path(&attention_paths[1], suite##_##name);                                              \
    }                                                                                              \
    Test(suite, name##_f64_flash)                                                                  \
    {                                                                                              \
        on_path(&attention_paths[2], suite##_##name);                                              \
    }                                                                                              \
    Test(suite, name##_f64_composed)                                                               \
    {                                                                                              \
        on_path(&attention_paths[3], suite##_##name);                                              \
    }                                                                                              \
    static void suite##_##name(void)

/* Inputs, and a gradient to send back. */
typedef struct problem {
    grd_tensor *q, *k, *v, *dy;
} problem;

/* Query (B, heads, L, D), key (B, shared, S, D), value (B, shared, S, Dv). */
typedef struct problem_size {
    int64_t batch, heads, shared, queries, keys, size, value_size;
} problem_size;
problem problem_of(problem_size s);

/* Results, and gradients of the inputs. */
typedef struct solution {
    grd_attention a;
    const grd_tensor *dq, *dk, *dv;
} solution;

/* The options as the path has them: its kernel and no other. */
grd_sdpa_options of_path(const grd_sdpa_options *options);
/* NULL: no options. */
solution solve(const problem *p, const grd_sdpa_options *options);

bool same(const solution *a, const solution *b); /* output and gradients, bit for bit */
bool all_near(const solution *a, const solution *b);
/* Up to rounding in the path's dtype. */
bool near(const grd_tensor *a, const grd_tensor *b);

bool all_finite(const grd_tensor *x);
bool all_zero(const grd_tensor *x);

/* x (B, heads, T, n) with `value` written over row `at` of sample 0. */
grd_tensor *with_row(const grd_tensor *x, int64_t at, double value);

#endif
