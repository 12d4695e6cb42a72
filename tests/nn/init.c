#include "nn/module.h"

#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static grd_module *model_create(void)
{
    grd_module *model = grd_module_create("Model", 0, NULL);
    grd_module_add_parameter(model, "weight", grd_full(GRD_SHAPE(50, 30, 2), 7));
    grd_module_add_parameter(model, "bias", grd_full(GRD_SHAPE(50), 7));
    return model;
}

/* The mean and deviation of x, and the largest absolute value. */
typedef struct moments {
    double mean, deviation, most;
} moments;

static moments moments_of(const grd_tensor *x)
{
    const int64_t count = grd_tensor_count(x);
    double *values = malloc((size_t)count * sizeof *values), sum = 0, squares = 0;
    moments m = { 0 };
    cr_assert_eq(grd_read_f64(x, values, count), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < count; i++) {
        sum += values[i];
        squares += values[i] * values[i];
        m.most = fmax(m.most, fabs(values[i]));
    }
    m.mean = sum / (double)count;
    m.deviation = sqrt(squares / (double)count - m.mean * m.mean);
    free(values);
    return m;
}

static void expect_initial_values(grd_device *device, grd_dtype dtype)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(5);
    grd_module *model = model_create();
    grd_module_to(model, device, dtype);
    double deviation = 0.02;
    const grd_tensor *weight = grd_module_parameter(model, "weight");
    cr_assert_eq(grd_module_initialize(model, "w*t", grd_init_normal, rng, &deviation), GRD_OK,
                 "%s", grd_error_message());
    moments m = moments_of(weight);
    cr_assert_float_eq(m.mean, 0, 0.002);
    cr_assert_float_eq(m.deviation, 0.02, 0.001);
    cr_assert_gt(m.most, 0.045);
    m = moments_of(grd_module_parameter(model, "bias"));
    cr_assert(m.mean == 7 && m.deviation == 0, "it does not match");

    const double bound = sqrt(6. / (2 * (50 + 30)));
    cr_assert_eq(grd_module_initialize(model, "weight", grd_init_xavier_uniform, rng, NULL),
                 GRD_OK);
    m = moments_of(weight);
    cr_assert_float_eq(m.mean, 0, 0.01);
    cr_assert_float_eq(m.deviation, bound / sqrt(3), 0.01);
    cr_assert(m.most <= bound * 1.01 && m.most > 0.95 * bound, "%g", m.most);
    cr_assert(grd_tensor_requires_grad(weight) && grd_tensor_dtype(weight) == dtype);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(init, gives_initial_values)
{
    expect_initial_values(grd_cpu(), GRD_F32);
    expect_initial_values(grd_cpu(), GRD_BF16);
    expect_initial_values(fake_device(), GRD_F64);
}

static grd_status own(grd_named parameter, grd_rng *rng, void *user)
{
    *(int *)user += 1;
    cr_assert_null(rng);
    return grd_fill_(parameter.tensor, 3);
}

static grd_status refuse(grd_named parameter, grd_rng *rng, void *user)
{
    (void)parameter;
    (void)rng;
    (void)user;
    return GRD_ERROR_SHAPE;
}

Test(init, a_users_own_may_write)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *model = model_create();
    int calls = 0;
    cr_assert_eq(grd_module_initialize(model, "*", own, NULL, &calls), GRD_OK);
    cr_assert_eq(calls, 2);
    cr_assert_eq(moments_of(grd_module_parameter(model, "weight")).mean, 3);
    cr_assert_eq(grd_module_initialize(model, "*", refuse, NULL, NULL), GRD_ERROR_SHAPE);
    expect_error(GRD_ERROR_SHAPE, "module_initialize: the initializer refused weight");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(init, says_what_is_wrong)
{
    grd_scope *scope = grd_scope_begin();
    grd_rng *rng = grd_rng_create(5);
    grd_module *model = model_create();
    const grd_named bias = grd_module_parameter_at(model, 1), none = { 0 };
    double bad = -1, good = 1;
    cr_assert_eq(grd_module_initialize(model, "wieght", grd_init_normal, rng, &good),
                 GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_initialize: \"wieght\" matches no parameter of Model "
                                     "(did you mean \"weight\"?)");
    cr_assert_eq(grd_module_initialize(model, NULL, grd_init_normal, rng, &good),
                 GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "module_initialize: an argument is NULL");
    cr_assert_eq(grd_init_normal(bias, rng, &bad), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "init_normal: the deviation is -1");
    cr_assert_eq(grd_init_normal(bias, NULL, &good), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "init_normal: an argument is NULL");
    cr_assert_eq(grd_init_xavier_uniform(none, rng, NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "init_xavier_uniform: an argument is NULL");
    cr_assert_eq(grd_module_initialize(model, "*", grd_init_xavier_uniform, rng, NULL),
                 GRD_ERROR_SHAPE);
    expect_error(GRD_ERROR_SHAPE, "init_xavier_uniform: bias is [50]: it needs two dimensions or "
                                  "more");
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}
