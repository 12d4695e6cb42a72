/* The optimizers' kernels: steps in place, on copies of the inputs. */
#include "tensor/front.h"
#include "tests/op_cases.h"

#include <math.h>
#include <string.h>

static grd_tensor *fresh(const grd_tensor *x)
{
    return grdi_copy(x);
}

static const grdi_sgd with_momentum = { .lr = 0.1, .momentum = 0.9, .weight_decay = 0.01 };
static const grdi_sgd with_nesterov = { .lr = 0.1, .momentum = 0.9, .nesterov = true };
static const grdi_sgd simple = { .lr = 0.1, .weight_decay = 0.01 };
static const grdi_adam numbers = {
    .shrink = 0.999, .beta1 = 0.9, .beta2 = 0.99, .step = 0.05, .root = 1.75, .eps = 1e-3
};

/* x after a step whose b and dx are given. */
static grd_tensor *sgd_of(const grd_tensor *const x[], const grdi_sgd *how)
{
    grd_tensor *y = fresh(x[0]), *b = how->momentum > 0 ? fresh(x[2]) : NULL;
    return grdi_sgd_step(y, b, fresh(x[1]), how) ? y : NULL;
}

static grd_tensor *run_momentum(const grd_tensor *const x[])
{
    return sgd_of(x, &with_momentum);
}

static grd_tensor *run_nesterov(const grd_tensor *const x[])
{
    return sgd_of(x, &with_nesterov);
}

static grd_tensor *run_simple(const grd_tensor *const x[])
{
    return sgd_of(x, &simple);
}

static grd_tensor *run_velocity(const grd_tensor *const x[])
{
    grd_tensor *b = fresh(x[2]);
    return grdi_sgd_step(fresh(x[0]), b, fresh(x[1]), &with_momentum) ? b : NULL;
}

static void same_shape(const plain x[], plain *y)
{
    y->rank = x[0].rank;
    memcpy(y->size, x[0].size, sizeof y->size);
}

static void momentum_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] =
            x[0].value[i] - 0.1 * (0.9 * x[2].value[i] + x[1].value[i] + 0.01 * x[0].value[i]);
}

static void velocity_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = 0.9 * x[2].value[i] + x[1].value[i] + 0.01 * x[0].value[i];
}

static void nesterov_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++) {
        const double b = 0.9 * x[2].value[i] + x[1].value[i];
        y->value[i] = x[0].value[i] - 0.1 * (x[1].value[i] + 0.9 * b);
    }
}

static void simple_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[i] - 0.1 * (x[1].value[i] + 0.01 * x[0].value[i]);
}

/* What a step leaves in x, m or v. */
static grd_tensor *adam_of(const grd_tensor *const x[], int which)
{
    grd_tensor *changed[] = { fresh(x[0]), fresh(x[2]), fresh(x[3]) };
    return grdi_adam_step(changed[0], changed[1], changed[2], fresh(x[1]), &numbers)
               ? changed[which]
               : NULL;
}

static grd_tensor *run_adam(const grd_tensor *const x[])
{
    return adam_of(x, 0);
}

static grd_tensor *run_first(const grd_tensor *const x[])
{
    return adam_of(x, 1);
}

static grd_tensor *run_second(const grd_tensor *const x[])
{
    return adam_of(x, 2);
}

static double first(const plain x[], long i)
{
    return 0.9 * x[2].value[i] + (1 - 0.9) * x[1].value[i];
}

static double second(const plain x[], long i)
{
    return 0.99 * x[3].value[i] + (1 - 0.99) * x[1].value[i] * x[1].value[i];
}

static void adam_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] =
            0.999 * x[0].value[i] - 0.05 * first(x, i) / (1.75 * sqrt(second(x, i)) + 1e-3);
}

static void first_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = first(x, i);
}

static void second_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = second(x, i);
}

/* Writes its own row and no other. */
static grd_tensor *run_square_sum(const grd_tensor *const x[])
{
    const grd_shape shape = { 2, { 3, 2 } };
    grd_tensor *sums = grdi_full("test", &shape, 7, GRD_F64, grd_tensor_device(x[0]));
    return grdi_square_sum(sums, 1, x[0], NULL) ? sums : NULL;
}

static void square_sum_reference(const plain x[], plain *y)
{
    y->rank = 2;
    y->size[0] = 3;
    y->size[1] = 2;
    for (int i = 0; i < 6; i++)
        y->value[i] = 7;
    y->value[2] = y->value[3] = 0;
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[2] += x[0].value[i] * x[0].value[i];
}

/* x [N, 2] as squares and their counts. */
static grd_tensor *run_clip_factor(const grd_tensor *const x[])
{
    const grd_tensor *sums = grd_cast(x[0], GRD_F64);
    return sums ? grdi_clip_factor("test", sums, 1.25) : NULL;
}

static void clip_factor_reference(const plain x[], plain *y)
{
    double sum = 0, bad = 0;
    for (long i = 0; i < count_of(&x[0]); i += 2) {
        sum += x[0].value[i];
        bad += x[0].value[i + 1];
    }
    y->rank = 1;
    y->size[0] = 3;
    y->value[0] = sqrt(sum);
    y->value[1] = fmin(1, 1.25 / (sqrt(sum) + 1e-6));
    y->value[2] = bad;
}

static grd_tensor *run_scale_by(const grd_tensor *const x[])
{
    grd_tensor *y = grd_clone(x[0]);
    const grd_tensor *factor =
        grdi_full("test", &(grd_shape){ 0 }, 0.75, GRD_F64, grd_tensor_device(x[0]));
    return y && factor && grdi_scale_by(y, factor) ? y : NULL;
}

static void scale_by_reference(const plain x[], plain *y)
{
    same_shape(x, y);
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = 0.75 * x[0].value[i];
}

/* clang-format off */
#define SAME(...) { __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__ }
#define STEP(name, kernel, run, reference, inputs, ...) \
    { name, kernel, run, reference, inputs, SAME(__VA_ARGS__), { REAL, REAL, REAL, POSITIVE }, .no_derivative = true }
static const op_case cases[] = {
    STEP("sgd with momentum",       "sgd",  run_momentum, momentum_reference, 3, S2(5, 9)),
    STEP("sgd, what it keeps",      "sgd",  run_velocity, velocity_reference, 3, S3(2, 3, 7)),
    STEP("sgd with nesterov",       "sgd",  run_nesterov, nesterov_reference, 3, S1(37)),
    STEP("sgd without momentum",    "sgd",  run_simple,   simple_reference,   2, S2(3, 11)),
    STEP("sgd on nothing",          "sgd",  run_momentum, momentum_reference, 3, S2(0, 4)),
    STEP("adam",                    "adam", run_adam,     adam_reference,     4, S2(5, 9)),
    STEP("adam on a scalar",        "adam", run_adam,     adam_reference,     4, S0),
    STEP("adam, its first moment",  "adam", run_first,    first_reference,    4, S1(33)),
    STEP("adam, its second moment", "adam", run_second,   second_reference,   4, S2(2, 8)),
    STEP("adam on nothing",         "adam", run_adam,     adam_reference,     4, S1(0)),
    { "square_sum", "square_sum", run_square_sum, square_sum_reference, 1, { S2(7, 11) }, { REAL }, .no_derivative = true, .f32_error = 1e-5 },
    { "clip_factor", "clip_factor", run_clip_factor, clip_factor_reference, 1, { S2(130, 2) }, { POSITIVE }, .no_derivative = true },
    { "clip_factor of less", "clip_factor", run_clip_factor, clip_factor_reference, 1, { S2(1, 2) }, { POSITIVE }, .no_derivative = true },
    { "scale_by", "scale_by", run_scale_by, scale_by_reference, 1, { S3(3, 5, 7) }, { REAL }, .no_derivative = true },
    { "square_sum of nothing", "square_sum", run_square_sum, square_sum_reference, 1, { S1(0) }, { REAL }, .no_derivative = true },
};
/* clang-format on */

/* Their front ends are the library's own: what users can get wrong is in tests/nn/optimizer.c. */
const op_family optimizer_family = { cases, sizeof cases / sizeof cases[0], NULL, 0 };
