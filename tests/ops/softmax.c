#include "tests/op_cases.h"

#include <math.h>

static void softmax_along(const plain *x, plain *y, int dim)
{
    long after = 1;
    for (int d = dim + 1; d < x->rank; d++)
        after *= x->size[d];
    *y = *x;
    for (long i = 0; i < count_of(x); i++) {
        const long first = i / (after * x->size[dim]) * (after * x->size[dim]) + i % after;
        double sum = 0;
        for (long j = 0; j < x->size[dim]; j++)
            sum += exp(x->value[first + j * after] - x->value[i]);
        y->value[i] = 1 / sum;
    }
}

static void softmax_last_reference(const plain x[], plain *y)
{
    softmax_along(&x[0], y, x[0].rank - 1);
}

static void softmax_first_reference(const plain x[], plain *y)
{
    softmax_along(&x[0], y, 0);
}

static grd_tensor *run_softmax_last(const grd_tensor *const x[])
{
    return grd_softmax(x[0], -1);
}

static grd_tensor *run_softmax_first(const grd_tensor *const x[])
{
    return grd_softmax(x[0], 0);
}

static grd_tensor *run_far_softmax(const grd_tensor *const x[])
{
    return grd_softmax(x[0], 2);
}

/* clang-format off */
static const op_case cases[] = {
    { "softmax", "softmax", run_softmax_last, softmax_last_reference, 1, { S3(2, 3, 4) } },
    { "softmax, strided", "softmax", run_softmax_first, softmax_first_reference, 1,
      { S3(4, 2, 3) } },
    { "softmax, empty", "softmax", run_softmax_last, softmax_last_reference, 1, { S2(3, 0) } },
};

static const bad_case bad[] = {
    { "softmax: dimension 2 does not exist in [2, 3]", run_far_softmax, { S2(2, 3) } },
};
/* clang-format on */

const op_family softmax_family = OP_FAMILY(cases, bad);
