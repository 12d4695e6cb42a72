#include "tests/op_cases.h"

#include <math.h>

/* The input gives the length alone. */
static void arange_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < y->size[0]; i++)
        y->value[i] = (double)(5 - 3 * i);
}

static grd_tensor *run_arange(const grd_tensor *const x[])
{
    const int64_t n = grd_tensor_count(x[0]);
    return grd_arange(5, 5 - 3 * n + 2, -3); /* the last step may be cut short */
}

static grd_tensor *run_wrong_way(const grd_tensor *const x[])
{
    const int64_t n = grd_tensor_count(x[0]);
    return grd_arange(n, 0, 1);
}

static void linspace_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < y->size[0]; i++)
        y->value[i] = y->size[0] > 1 ? -2 + 5 * (double)i / (double)(y->size[0] - 1) : -2;
}

static grd_tensor *run_linspace(const grd_tensor *const x[])
{
    return grd_linspace(-2, 3, grd_tensor_count(x[0]));
}

static void eye_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = i / y->size[1] == i % y->size[1];
}

static grd_tensor *run_eye(const grd_tensor *const x[])
{
    return grd_eye(grd_tensor_size(x[0], 0));
}

static void lower_reference(const plain x[], plain *y)
{
    *y = x[0];
    const long columns = y->size[y->rank - 1], rows = y->size[y->rank - 2];
    for (long i = 0; i < count_of(y); i++)
        if (i % columns - i / columns % rows > 1)
            y->value[i] = 0;
}

static grd_tensor *run_tril(const grd_tensor *const x[])
{
    return grd_tril(x[0], 1);
}

static void upper_reference(const plain x[], plain *y)
{
    *y = x[0];
    const long columns = y->size[y->rank - 1], rows = y->size[y->rank - 2];
    for (long i = 0; i < count_of(y); i++)
        if (i % columns - i / columns % rows < -1)
            y->value[i] = 0;
}

static grd_tensor *run_triu(const grd_tensor *const x[])
{
    return grd_triu(x[0], -1);
}

static void same_reference(const plain x[], plain *y)
{
    *y = x[0];
}

static void zero_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = 0;
}

static grd_tensor *run_all_of_triu(const grd_tensor *const x[])
{
    return grd_tril(grd_triu(x[0], INT64_MIN), INT64_MAX);
}

static grd_tensor *run_none_of_triu(const grd_tensor *const x[])
{
    return grd_triu(x[0], INT64_MAX);
}

static grd_tensor *run_none_of_tril(const grd_tensor *const x[])
{
    return grd_tril(x[0], INT64_MIN);
}

static grd_tensor *run_no_step(const grd_tensor *const x[])
{
    (void)x;
    return grd_arange(0, 5, 0);
}

static grd_tensor *run_huge_range(const grd_tensor *const x[])
{
    (void)x;
    return grd_arange(INT64_MIN, INT64_MAX, 1);
}

static grd_tensor *run_negative_linspace(const grd_tensor *const x[])
{
    (void)x;
    return grd_linspace(0, 1, -1);
}

static grd_tensor *run_negative_eye(const grd_tensor *const x[])
{
    (void)x;
    return grd_eye(-2);
}

/* clang-format off */
static const op_case cases[] = {
    { "arange", "arange", run_arange, arange_reference, 1, { S1(7) }, .no_derivative = true },
    { "arange of one", "arange", run_arange, arange_reference, 1, { S1(1) }, .no_derivative = true },
    { "arange of nothing", "arange", run_wrong_way, arange_reference, 1, { S1(0) }, .no_derivative = true },
    { "linspace", "linspace", run_linspace, linspace_reference, 1, { S1(8) }, .no_derivative = true },
    { "linspace of one", "linspace", run_linspace, linspace_reference, 1, { S1(1) }, .no_derivative = true },
    { "linspace of nothing", "linspace", run_linspace, linspace_reference, 1, { S1(0) }, .no_derivative = true },
    { "eye", "fill", run_eye, eye_reference, 1, { S2(5, 5) }, .no_derivative = true },
    { "eye of nothing", "fill", run_eye, eye_reference, 1, { S2(0, 0) }, .no_derivative = true },
    { "tril", "band", run_tril, lower_reference, 1, { S3(2, 4, 5) } },
    { "tril, tall", "band", run_tril, lower_reference, 1, { S2(6, 3) } },
    { "triu", "band", run_triu, upper_reference, 1, { S3(2, 4, 5) } },
    { "triu, tall", "band", run_triu, upper_reference, 1, { S2(6, 3) } },
    { "triu of all", "band", run_all_of_triu, same_reference, 1, { S2(3, 4) } },
    { "triu of none", "band", run_none_of_triu, zero_reference, 1, { S2(3, 4) } },
    { "tril of none", "band", run_none_of_tril, zero_reference, 1, { S2(3, 4) } },
    { "tril of nothing", "band", run_tril, lower_reference, 1, { S2(0, 4) } },
};

static const bad_case bad[] = {
    { "arange: step is 0", run_no_step, { S0 } },
    { "arange: -9223372036854775808 to 9223372036854775807 by 1 are too many numbers", run_huge_range, { S0 } },
    { "linspace: a size is negative: [-1]", run_negative_linspace, { S0 } },
    { "eye: a size is negative: [-2, -2]", run_negative_eye, { S0 } },
    { "tril: [3] has fewer than two dimensions", run_tril, { S1(3) } },
    { "triu: [] has fewer than two dimensions", run_triu, { S0 } },
};
/* clang-format on */

const op_family make_family = OP_FAMILY(cases, bad);
