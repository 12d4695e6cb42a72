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

static void log_softmax_last_reference(const plain x[], plain *y)
{
    softmax_last_reference(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = log(y->value[i]);
}

static void log_softmax_first_reference(const plain x[], plain *y)
{
    softmax_first_reference(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = log(y->value[i]);
}

/* Along the middle of three dimensions. */
static void logsumexp_reference(const plain x[], plain *y)
{
    const long *size = x[0].size;
    *y = (plain){ .rank = 2, .size = { size[0], size[2] } };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[i / (size[1] * size[2]) * size[2] + i % size[2]] += exp(x[0].value[i]);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = log(y->value[i]);
}

static void logsumexp_kept_reference(const plain x[], plain *y)
{
    logsumexp_reference(x, y);
    y->rank = 3;
    y->size[2] = y->size[1];
    y->size[1] = 1;
}

static grd_tensor *run_log_softmax_last(const grd_tensor *const x[])
{
    return grd_log_softmax(x[0], -1);
}

static grd_tensor *run_log_softmax_first(const grd_tensor *const x[])
{
    return grd_log_softmax(x[0], 0);
}

static grd_tensor *run_logsumexp(const grd_tensor *const x[])
{
    return grd_logsumexp(x[0], 1, GRD_DROP_DIMS);
}

static grd_tensor *run_logsumexp_kept(const grd_tensor *const x[])
{
    return grd_logsumexp(x[0], -2, GRD_KEEP_DIMS);
}

static grd_tensor *run_far_log_softmax(const grd_tensor *const x[])
{
    return grd_log_softmax(x[0], -3);
}

static grd_tensor *run_integer_softmax(const grd_tensor *const x[])
{
    return grd_softmax(grd_cast(x[0], GRD_I64), 0);
}

static grd_tensor *run_integer_logsumexp(const grd_tensor *const x[])
{
    return grd_logsumexp(grd_cast(x[0], GRD_BOOL), 0, GRD_DROP_DIMS);
}

/* Of what x lets through: x's gradient by the fused kernels, since nothing is recorded. */
static grd_tensor *gradient_of(grd_tensor *run(const grd_tensor *, int64_t),
                               const grd_tensor *const x[])
{
    grd_tensor *leaf = grd_require_grad(grd_detach(x[0])), *dx = NULL;
    const grd_tensor *y = run(leaf, -1), *dy = grd_detach(x[1]);
    if (grd_grad(GRD_LIST(y), GRD_LIST(leaf), &(grd_grad_options){ .gradients = GRD_LIST(dy) },
                 &dx) != GRD_OK)
        return NULL;
    return dx;
}

static grd_tensor *softmax_of(const grd_tensor *x, int64_t dim)
{
    return grd_softmax(x, dim);
}

static grd_tensor *log_softmax_of(const grd_tensor *x, int64_t dim)
{
    return grd_log_softmax(x, dim);
}

static grd_tensor *run_softmax_backward(const grd_tensor *const x[])
{
    return gradient_of(softmax_of, x);
}

static grd_tensor *run_log_softmax_backward(const grd_tensor *const x[])
{
    return gradient_of(log_softmax_of, x);
}

static void softmax_backward_reference(const plain x[], plain *dx)
{
    softmax_last_reference(x, dx);
    const long n = dx->size[dx->rank - 1];
    for (long i = 0; i < count_of(dx); i += n) {
        double sum = 0;
        for (long j = i; j < i + n; j++)
            sum += dx->value[j] * x[1].value[j];
        for (long j = i; j < i + n; j++)
            dx->value[j] *= x[1].value[j] - sum;
    }
}

static void log_softmax_backward_reference(const plain x[], plain *dx)
{
    softmax_last_reference(x, dx);
    const long n = dx->size[dx->rank - 1];
    for (long i = 0; i < count_of(dx); i += n) {
        double sum = 0;
        for (long j = i; j < i + n; j++)
            sum += x[1].value[j];
        for (long j = i; j < i + n; j++)
            dx->value[j] = x[1].value[j] - dx->value[j] * sum;
    }
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
    { "log_softmax", "log_softmax", run_log_softmax_last, log_softmax_last_reference, 1,
      { S3(2, 3, 4) } },
    { "log_softmax, strided", "log_softmax", run_log_softmax_first, log_softmax_first_reference, 1,
      { S3(4, 2, 3) } },
    { "log_softmax, long", "log_softmax", run_log_softmax_last, log_softmax_last_reference, 1,
      { S2(2, 37) } },
    { "logsumexp", "logsumexp", run_logsumexp, logsumexp_reference, 1, { S3(2, 5, 3) } },
    { "logsumexp, dim kept", "logsumexp", run_logsumexp_kept, logsumexp_kept_reference, 1,
      { S3(2, 19, 3) } },
    { "softmax, backward", "softmax_backward", run_softmax_backward, softmax_backward_reference, 2,
      { S3(2, 3, 21), S3(2, 3, 21) }, .no_derivative = true },
    { "log_softmax, backward", "log_softmax_backward", run_log_softmax_backward,
      log_softmax_backward_reference, 2, { S3(2, 3, 21), S3(2, 3, 21) }, .no_derivative = true },
    { "softmax, empty", "softmax", run_softmax_last, softmax_last_reference, 1, { S2(3, 0) } },
};

static const bad_case bad[] = {
    { "softmax: i64 is not supported on cpu", run_integer_softmax, { S2(2, 3) } },
    { "logsumexp: bool is not supported on cpu", run_integer_logsumexp, { S2(2, 3) } },
    { "softmax: dimension 2 does not exist in [2, 3]", run_far_softmax, { S2(2, 3) } },
    { "log_softmax: dimension -3 does not exist in [2, 3]", run_far_log_softmax, { S2(2, 3) } },
};
/* clang-format on */

const op_family softmax_family = OP_FAMILY(cases, bad);
