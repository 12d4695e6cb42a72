#include "tests/op_cases.h"

static void sum_reference(const plain x[], plain *y)
{
    *y = (plain){ 0 };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[0] += x[0].value[i];
}

/* Over dimensions 0 and 2 of three. */
static void sum_outer_reference(const plain x[], plain *y)
{
    const long *size = x[0].size;
    *y = (plain){ .rank = 1, .size = { size[1] } };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[i / size[2] % size[1]] += x[0].value[i];
}

/* What x's sum becomes in a mean, where the sum is y. */
static void divide(const plain x[], plain *y)
{
    const double each = (double)count_of(&x[0]) / (double)count_of(y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] /= each;
}

static void mean_reference(const plain x[], plain *y)
{
    sum_reference(x, y);
    divide(x, y);
}

static void mean_outer_reference(const plain x[], plain *y)
{
    sum_outer_reference(x, y);
    divide(x, y);
}

static void mean_kept_reference(const plain x[], plain *y)
{
    mean_outer_reference(x, y);
    *y = (plain){ .rank = 3,
                  .size = { 1, y->size[0], 1 },
                  .value = { y->value[0], y->value[1], y->value[2] } };
}

/* Over dimension 0 of two, or over the first two of three. */
static void sum_columns_reference(const plain x[], plain *y)
{
    const long n = x[0].size[x[0].rank - 1];
    *y = (plain){ .rank = 1, .size = { n } };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[i % n] += x[0].value[i];
}

/* Over the middle dimension of three. */
static void sum_middle_reference(const plain x[], plain *y)
{
    const long *size = x[0].size;
    *y = (plain){ .rank = 2, .size = { size[0], size[2] } };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[i / size[2] / size[1] * size[2] + i % size[2]] += x[0].value[i];
}

/* Over dimensions 0 and 2, divided by one less than their elements. */
static void var_reference(const plain x[], plain *y)
{
    static plain mean;
    mean_outer_reference(x, &mean);
    const long *size = x[0].size;
    *y = (plain){ .rank = 1, .size = { size[1] } };
    for (long i = 0; i < count_of(&x[0]); i++) {
        const long j = i / size[2] % size[1];
        const double away = x[0].value[i] - mean.value[j];
        y->value[j] += away * away / (double)(size[0] * size[2] - 1);
    }
}

static grd_tensor *run_sum_columns(const grd_tensor *const x[])
{
    return grd_sum_dims(x[0], GRD_DIMS(0), GRD_DROP_DIMS);
}

static grd_tensor *run_sum_leading(const grd_tensor *const x[])
{
    return grd_sum_dims(x[0], GRD_DIMS(0, 1), GRD_DROP_DIMS);
}

static grd_tensor *run_sum_middle(const grd_tensor *const x[])
{
    return grd_sum_dims(x[0], GRD_DIMS(1), GRD_DROP_DIMS);
}

static grd_tensor *run_var(const grd_tensor *const x[])
{
    return grd_var_dims(x[0], GRD_DIMS(0, -1), 1, GRD_DROP_DIMS);
}

static grd_tensor *run_var_of_integers(const grd_tensor *const x[])
{
    return grd_var_dims(grd_cast(x[0], GRD_I64), GRD_DIMS(0), 1, GRD_DROP_DIMS);
}

static grd_tensor *run_mean(const grd_tensor *const x[])
{
    return grd_mean(x[0]);
}

static grd_tensor *run_mean_outer(const grd_tensor *const x[])
{
    return grd_mean_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

static grd_tensor *run_mean_kept(const grd_tensor *const x[])
{
    return grd_mean_dims(x[0], GRD_DIMS(0, -1), GRD_KEEP_DIMS);
}

static grd_tensor *run_mean_of_integers(const grd_tensor *const x[])
{
    return grd_mean(grd_cast(x[0], GRD_I64));
}

static grd_tensor *run_sum(const grd_tensor *const x[])
{
    return grd_sum(x[0]);
}

static grd_tensor *run_sum_outer(const grd_tensor *const x[])
{
    return grd_sum_dims(x[0], GRD_DIMS(0, -1), GRD_DROP_DIMS);
}

static grd_tensor *run_sum_twice(const grd_tensor *const x[])
{
    return grd_sum_dims(x[0], GRD_DIMS(1, -1), GRD_DROP_DIMS);
}

/* clang-format off */
static const op_case cases[] = {
    { "sum", "sum", run_sum, sum_reference, 1, { S2(3, 4) } },
    { "sum, dims 0 and 2", "sum", run_sum_outer, sum_outer_reference, 1, { S3(2, 3, 4) } },
    { "sum, empty", "sum", run_sum, sum_reference, 1, { S2(0, 4) } },
    { "sum of columns", "sum", run_sum_columns, sum_columns_reference, 1, { S2(7, 45) },
      .f32_error = 4e-6 },
    { "sum of columns, leading dims", "sum", run_sum_leading, sum_columns_reference, 1,
      { S3(3, 2, 5) } },
    { "sum of columns, middle dim", "sum", run_sum_middle, sum_middle_reference, 1,
      { S3(3, 4, 5) } },
    { "sum of integers", "sum", run_sum_outer, sum_outer_reference, 1, { S3(2, 3, 4) }, { INDEX },
      .limit = 1000, .no_derivative = true },
    { "sum of truths", "sum", run_sum_columns, sum_columns_reference, 1, { S2(6, 5) }, { BOOL },
      .no_derivative = true },
    { "var", "var", run_var, var_reference, 1, { S3(2, 3, 4) } },
    { "mean", "sum", run_mean, mean_reference, 1, { S2(3, 4) } },
    { "mean, dims 0 and 2", "sum", run_mean_outer, mean_outer_reference, 1, { S3(2, 3, 4) } },
    { "mean, dims kept", "sum", run_mean_kept, mean_kept_reference, 1, { S3(2, 3, 4) } },
};

static const bad_case bad[] = {
    { "sum: dimension -1 is given twice", run_sum_twice, { S2(2, 3) } },
    { "var: i64 has no var (grd_cast it to f32 or f64)", run_var_of_integers, { S2(2, 3) } },
    { "mean: i64 has no mean (grd_cast it to f32 or f64)", run_mean_of_integers, { S2(2, 3) } },
};
/* clang-format on */

const op_family sum_family = OP_FAMILY(cases, bad);
