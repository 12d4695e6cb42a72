/* The table of op cases: every test that holds for all ops runs over these rows, which stand in
 * tests/ops/, a file a family. */
#ifndef TESTS_OP_CASES_H
#define TESTS_OP_CASES_H

#include <gradus/gradus.h>

enum { MAX_INPUTS = 5, MAX_ELEMENTS = 512 };

/* The reference's own idea of a tensor: it shares no code with the library. */
typedef struct plain {
    int rank;
    long size[GRD_MAX_RANK];
    double value[MAX_ELEMENTS];
} plain;

/* What an input holds, at random. Values of APART differ from each other and from whole halves by
 * 0.01 at least, so that differences do not cross a kink. INDEX is i64 in 0..limit - 1, BOOL a
 * mask; only the others are differentiated. */
typedef enum input_kind { REAL, POSITIVE, APART, INDEX, BOOL } input_kind;

typedef struct op_case {
    const char *name;
    const char *kernel; /* of tensor/kernels.def */
    grd_tensor *(*run)(const grd_tensor *const x[]);
    void (*reference)(const plain x[], plain *y);
    int inputs;
    grd_shape shape[MAX_INPUTS];
    input_kind kind[MAX_INPUTS];
    long limit;         /* of INDEX inputs */
    bool no_derivative; /* gradients are not checked: there are none */
    double f32_error;   /* allowed in f32; 0: 2e-6 */
} op_case;

typedef struct bad_case {
    const char *message; /* without the call site */
    grd_tensor *(*run)(const grd_tensor *const x[]);
    grd_shape shape[2]; /* of the inputs, which hold ones of f32 */
} bad_case;

typedef struct op_family {
    const op_case *cases;
    int count;
    const bad_case *bad;
    int bad_count;
} op_family;

#define OP_FAMILY(cases, bad)                                                                      \
    {                                                                                              \
        cases, sizeof cases / sizeof cases[0], bad, sizeof bad / sizeof bad[0]                     \
    }

extern const op_family activation_family;
extern const op_family anomaly_family;
extern const op_family attention_family;
extern const op_family binary_family;
extern const op_family cat_family;
extern const op_family compare_family;
extern const op_family cross_entropy_family;
extern const op_family cumsum_family;
extern const op_family extreme_family;
extern const op_family flash_attention_family;
extern const op_family index_family;
extern const op_family make_family;
extern const op_family matmul_family;
extern const op_family norm_family;
extern const op_family optimizer_family;
extern const op_family random_family;
extern const op_family scalar_family;
extern const op_family softmax_family;
extern const op_family sum_family;
extern const op_family unary_family;
extern const op_family view_family;
extern const op_family where_family;

extern const op_family *const op_families[];
extern const int op_family_count;

/* clang-format off */
#define S0 { 0, { 0 } }
#define S1(a) { 1, { a } }
#define S2(a, b) { 2, { a, b } }
#define S3(a, b, c) { 3, { a, b, c } }
#define S4(a, b, c, d) { 4, { a, b, c, d } }
/* clang-format on */

/* For references. */
long count_of(const plain *x);
/* The element of x at y's position `flat`, x being aligned at the last dimension and stretched. */
double stretched(const plain *x, const plain *y, long flat);
/* Gives y the shape that a and b broadcast to. */
void stretch(const plain *a, const plain *b, plain *y);

#endif
