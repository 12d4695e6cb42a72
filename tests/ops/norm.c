#include "tests/op_cases.h"

#include <math.h>

/* Row by row: z = (x - mean) / sqrt(var + eps), y = z weight + bias. */
static const double eps = 1e-3;

static double factor_of(const double x[], long n, double mean)
{
    double var = 0;
    for (long i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean);
    return 1 / sqrt(var / (double)n + eps);
}

static void normalise(const plain *x, bool centre, plain *y)
{
    const long n = x->size[x->rank - 1];
    *y = *x;
    for (long row = 0; row < count_of(x); row += n) {
        double mean = 0;
        for (long i = 0; centre && i < n; i++)
            mean += x->value[row + i] / (double)n;
        const double factor = factor_of(x->value + row, n, mean);
        for (long i = 0; i < n; i++)
            y->value[row + i] = (x->value[row + i] - mean) * factor;
    }
}

static void layer_norm_plain_reference(const plain x[], plain *y)
{
    normalise(&x[0], true, y);
}

static void rms_norm_plain_reference(const plain x[], plain *y)
{
    normalise(&x[0], false, y);
}

static void layer_norm_reference(const plain x[], plain *y)
{
    normalise(&x[0], true, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = y->value[i] * x[1].value[i % x[1].size[0]] + x[2].value[i % x[2].size[0]];
}

static void layer_norm_weight_reference(const plain x[], plain *y)
{
    normalise(&x[0], true, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] *= x[1].value[i % x[1].size[0]];
}

static void rms_norm_reference(const plain x[], plain *y)
{
    normalise(&x[0], false, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] *= x[1].value[i % x[1].size[0]];
}

static grd_tensor *run_layer_norm(const grd_tensor *const x[])
{
    return grd_layer_norm(x[0], x[1], x[2], eps);
}

static grd_tensor *run_layer_norm_weight(const grd_tensor *const x[])
{
    return grd_layer_norm(x[0], x[1], NULL, eps);
}

static grd_tensor *run_layer_norm_bias(const grd_tensor *const x[])
{
    return grd_layer_norm(x[0], NULL, x[1], eps);
}

static void layer_norm_bias_reference(const plain x[], plain *y)
{
    normalise(&x[0], true, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] += x[1].value[i % x[1].size[0]];
}

static grd_tensor *run_layer_norm_plain(const grd_tensor *const x[])
{
    return grd_layer_norm(x[0], NULL, NULL, eps);
}

static grd_tensor *run_rms_norm(const grd_tensor *const x[])
{
    return grd_rms_norm(x[0], x[1], eps);
}

static grd_tensor *run_rms_norm_plain(const grd_tensor *const x[])
{
    return grd_rms_norm(x[0], NULL, eps);
}

static grd_tensor *run_norm_of_nothing(const grd_tensor *const x[])
{
    (void)x;
    return grd_layer_norm(NULL, NULL, NULL, eps);
}

static grd_tensor *run_integer_norm(const grd_tensor *const x[])
{
    return grd_layer_norm(grd_cast(x[0], GRD_I64), NULL, NULL, eps);
}

/* The gradient that norm gives to input `which`, by the fused kernels, for dy = x[count]. */
static grd_tensor *gradient_of(grd_tensor *norm(const grd_tensor *const x[]),
                               const grd_tensor *const x[], int count, int which)
{
    const grd_tensor *leaf[3];
    for (int i = 0; i < count; i++)
        leaf[i] = grd_require_grad(grd_detach(x[i]));
    const grd_tensor *y = norm(leaf), *dy = grd_detach(x[count]);
    grd_tensor *dx[3] = { NULL };
    if (grd_grad(GRD_LIST(y), (grd_list){ count, leaf },
                 &(grd_grad_options){ .gradients = GRD_LIST(dy) }, dx) != GRD_OK)
        return NULL;
    return dx[which];
}

static grd_tensor *run_layer_norm_dx(const grd_tensor *const x[])
{
    return gradient_of(run_layer_norm, x, 3, 0);
}

static grd_tensor *run_layer_norm_dweight(const grd_tensor *const x[])
{
    return gradient_of(run_layer_norm, x, 3, 1);
}

static grd_tensor *run_layer_norm_dbias(const grd_tensor *const x[])
{
    return gradient_of(run_layer_norm, x, 3, 2);
}

static grd_tensor *run_rms_norm_dx(const grd_tensor *const x[])
{
    return gradient_of(run_rms_norm, x, 2, 0);
}

static grd_tensor *run_rms_norm_dweight(const grd_tensor *const x[])
{
    return gradient_of(run_rms_norm, x, 2, 1);
}

/* From the definition: dx_i = sum over j of g_j dz_j / dx_i. */
static void norm_dx(const plain *x, const plain *weight, const plain *dy, bool centre, plain *dx)
{
    static plain z;
    const long n = x->size[x->rank - 1];
    normalise(x, centre, &z);
    *dx = *x;
    for (long i = 0; i < count_of(x); i++) {
        const long row = i - i % n;
        double mean = 0;
        for (long j = row; centre && j < row + n; j++)
            mean += x->value[j] / (double)n;
        const double factor = factor_of(x->value + row, n, mean);
        dx->value[i] = 0;
        for (long j = row; j < row + n; j++) {
            const double jump = (i == j) - (centre ? 1 / (double)n : 0);
            const double slope = factor * (jump - z.value[i] * z.value[j] / (double)n);
            dx->value[i] += dy->value[j] * weight->value[j % n] * slope;
        }
    }
}

static void layer_norm_dx_reference(const plain x[], plain *dx)
{
    norm_dx(&x[0], &x[1], &x[3], true, dx);
}

static void rms_norm_dx_reference(const plain x[], plain *dx)
{
    norm_dx(&x[0], &x[1], &x[2], false, dx);
}

/* The sum over rows of dy times `factor` of the same sizes, or of dy alone. */
static void sum_rows(const plain *dy, const plain *factor, plain *sum)
{
    const long n = dy->size[dy->rank - 1];
    *sum = (plain){ .rank = 1, .size = { n } };
    for (long i = 0; i < count_of(dy); i++)
        sum->value[i % n] += dy->value[i] * (factor ? factor->value[i] : 1);
}

static void layer_norm_dweight_reference(const plain x[], plain *dweight)
{
    static plain z;
    normalise(&x[0], true, &z);
    sum_rows(&x[3], &z, dweight);
}

static void layer_norm_dbias_reference(const plain x[], plain *dbias)
{
    sum_rows(&x[3], NULL, dbias);
}

static void rms_norm_dweight_reference(const plain x[], plain *dweight)
{
    static plain z;
    normalise(&x[0], false, &z);
    sum_rows(&x[2], &z, dweight);
}

/* clang-format off */
#define ROWS S3(2, 3, 21)
static const op_case cases[] = {
    { "layer_norm", "layer_norm", run_layer_norm, layer_norm_reference, 3,
      { S3(2, 3, 5), S1(5), S1(5) } },
    { "layer_norm, long", "layer_norm", run_layer_norm, layer_norm_reference, 3,
      { S2(3, 37), S1(37), S1(37) }, .f32_error = 4e-6 },
    { "layer_norm, one row", "layer_norm", run_layer_norm, layer_norm_reference, 3,
      { S1(4), S1(4), S1(4) } },
    { "layer_norm, no rows", "layer_norm", run_layer_norm, layer_norm_reference, 3,
      { S2(0, 4), S1(4), S1(4) } },
    { "layer_norm, empty rows", "layer_norm", run_layer_norm, layer_norm_reference, 3,
      { S2(3, 0), S1(0), S1(0) } },
    { "layer_norm, no bias", "layer_norm", run_layer_norm_weight, layer_norm_weight_reference, 2,
      { S2(3, 5), S1(5) } },
    { "layer_norm, no weight", "layer_norm", run_layer_norm_bias, layer_norm_bias_reference, 2,
      { S2(3, 5), S1(5) } },
    { "layer_norm, alone", "layer_norm", run_layer_norm_plain, layer_norm_plain_reference, 1,
      { S2(3, 5) } },
    { "rms_norm", "rms_norm", run_rms_norm, rms_norm_reference, 2, { S3(2, 3, 5), S1(5) } },
    { "rms_norm, alone", "rms_norm", run_rms_norm_plain, rms_norm_plain_reference, 1,
      { S2(3, 5) } },
    { "layer_norm, dx", "layer_norm_backward", run_layer_norm_dx, layer_norm_dx_reference, 4,
      { ROWS, S1(21), S1(21), ROWS }, .no_derivative = true, .f32_error = 4e-6 },
    { "layer_norm, dweight", "layer_norm_backward", run_layer_norm_dweight,
      layer_norm_dweight_reference, 4, { ROWS, S1(21), S1(21), ROWS }, .no_derivative = true,
      .f32_error = 4e-6 },
    { "layer_norm, dbias", "layer_norm_backward", run_layer_norm_dbias,
      layer_norm_dbias_reference, 4, { ROWS, S1(21), S1(21), ROWS }, .no_derivative = true },
    { "rms_norm, dx", "rms_norm_backward", run_rms_norm_dx, rms_norm_dx_reference, 3,
      { ROWS, S1(21), ROWS }, .no_derivative = true, .f32_error = 4e-6 },
    { "rms_norm, dweight", "rms_norm_backward", run_rms_norm_dweight, rms_norm_dweight_reference,
      3, { ROWS, S1(21), ROWS }, .no_derivative = true, .f32_error = 4e-6 },
};

static const bad_case bad[] = {
    { "layer_norm: i64 is not supported on cpu", run_integer_norm, { S2(2, 3) } },
    { "layer_norm: weight is [5] for x [3, 5], not [4]", run_layer_norm_weight,
      { S2(3, 5), S1(4) } },
    { "layer_norm: bias is [5] for x [3, 5], not [1, 5]", run_layer_norm_bias,
      { S2(3, 5), S2(1, 5) } },
    { "layer_norm: x is a scalar: there is no last dimension", run_layer_norm_plain, { S0 } },
    { "layer_norm: an argument is NULL", run_norm_of_nothing, { S0 } },
    { "rms_norm: weight is [5] for x [3, 5], not [4]", run_rms_norm, { S2(3, 5), S1(4) } },
};
/* clang-format on */

const op_family norm_family = OP_FAMILY(cases, bad);
