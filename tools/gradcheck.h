/* gradus gradcheck: tables of what is checked, and how one of their rows is run. */
#ifndef GRADUS_TOOLS_GRADCHECK_H
#define GRADUS_TOOLS_GRADCHECK_H

#include <gradus/gradus.h>

/* What an input holds. Values of APART differ from each other, and from multiples of a half, by
 * 0.01 at least, so that differences do not cross a kink. Indices and truths are not floating, so
 * they are not differentiated. */
typedef enum filling {
    FILL_NONE, /* ends a case's inputs */
    FILL_NORMAL,
    FILL_POSITIVE,
    FILL_APART,
    FILL_INDEX, /* 0 to limit - 1 */
    FILL_TRUTH
} filling;

typedef struct checked_input {
    filling fill;
    int64_t limit;
    grd_shape shape;
} checked_input;

#define INPUT(fill, limit, ...)                                                                    \
    {                                                                                              \
        fill, limit,                                                                               \
        {                                                                                          \
            GRD_COUNT_OF(int64_t, __VA_ARGS__),                                                    \
            {                                                                                      \
                __VA_ARGS__                                                                        \
            }                                                                                      \
        }                                                                                          \
    }
#define NORMAL(...) INPUT(FILL_NORMAL, 0, __VA_ARGS__)
#define POSITIVE(...) INPUT(FILL_POSITIVE, 0, __VA_ARGS__)
#define APART(...) INPUT(FILL_APART, 0, __VA_ARGS__)
#define INDEX(limit, ...) INPUT(FILL_INDEX, limit, __VA_ARGS__)
#define TRUTH(...) INPUT(FILL_TRUTH, 0, __VA_ARGS__)
#define SCALAR                                                                                     \
    {                                                                                              \
        FILL_NORMAL, 0,                                                                            \
        {                                                                                          \
            0,                                                                                     \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

enum { MAX_CHECKED_INPUTS = 6 };

/* One function with one set of inputs. Cases of one name follow each other and are one row. f gets
 * a checked_use. */
typedef struct checked_case {
    const char *name, *what; /* "MultiheadAttention/packed", "causal" */
    grd_function f;
    checked_input inputs[MAX_CHECKED_INPUTS];
    const void *settings;                                    /* f's and make's own */
    grd_module *(*make)(grd_rng *rng, const void *settings); /* whose parameters are checked too */
} checked_case;

typedef struct checked_use {
    const checked_case *c;
    grd_module *module; /* NULL: none */
} checked_use;

/* module in eval mode with parameters at random: weights of 1 and biases of 0 hide what they do. */
grd_module *disturbed(grd_rng *rng, grd_module *module);

typedef struct checked_table {
    const char *title; /* "op" */
    const checked_case *cases;
    int count;
} checked_table;

/* Every differentiable op; attention as a function; every module. */
extern const checked_table checked_ops, checked_attention, checked_modules, checked_stacks;
extern const checked_table *const checked_tables[];
extern const int num_checked_tables;

/* The cases of one name. */
typedef struct checked_row {
    const checked_table *table;
    const checked_case *cases;
    int count;
    char family[64]; /* the name before its slash */
} checked_row;

/* The row that begins with case `at` of the table. */
checked_row checked_row_at(const checked_table *table, int at);
/* Whether a name or pattern means the row: all of its name, or what stands before its slash. */
bool checked_row_matches(const checked_row *row, const char *pattern);

/* |analytic - numeric| <= atol + rtol |numeric|: the library's own. */
#define CHECK_EPS 1e-6
#define CHECK_ATOL 1e-5
#define CHECK_RTOL 1e-3
#define CHECK_WALKS 1e-9

typedef struct check_settings {
    bool fast;
    uint64_t seed;
} check_settings;

/* The worst derivative of one of the two checks over a row's cases. */
typedef struct worst_derivative {
    const checked_case *c; /* where; NULL: nothing was compared */
    bool transposed;       /* inputs of two dimensions and more lay so in memory */
    char variable[80];     /* "input 0", "in_proj_weight" */
    double error;          /* |analytic - numeric| / what is tolerated; above 1 it fails */
    grd_gradcheck_report report;
} worst_derivative;

typedef struct row_result {
    bool passed;
    int cases, failed; /* each on inputs as they are and, if any has two dimensions, transposed */
    int64_t compared;  /* derivatives of both checks */
    worst_derivative first, second; /* gradcheck's, gradgradcheck's */
    /* The largest relative difference between gradients that were recorded and that were not; above
     * CHECK_WALKS it fails. */
    double walks;
    const checked_case *walks_case;
} row_result;

/* That of one case; inputs become leaves. NaN, with the error latched, where f or a walk fails. */
double compare_walks(const checked_use *use, grd_list inputs);

/* Runs both checks over the row's cases, until `stop` (may be NULL) says so. What fails is an
 * answer: nothing stays latched. */
row_result check_row(const checked_row *row, const check_settings *settings, bool (*stop)(void));

#endif
