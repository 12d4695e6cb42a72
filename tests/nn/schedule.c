#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>

Test(schedule, is_the_formula)
{
    const grd_schedule cosine = { GRD_COSINE, 0.5, 0.1, 4, 20 };
    const grd_schedule linear = { GRD_LINEAR, 0.5, 0.1, 4, 20 };
    const grd_schedule constant = { .lr = 0.3, .warmup_steps = 2 };
    for (int64_t t = 0; t < 30; t++) {
        const double f = fmin(1, (double)(t - 4) / 16);
        const double warm = 0.5 * (double)(t + 1) / 4;
        const double curve = 0.1 + (0.5 - 0.1) * (1 + cos(3.14159265358979323846 * f)) / 2;
        cr_assert_float_eq(grd_schedule_at(&cosine, t), t < 4 ? warm : curve, 1e-15);
        cr_assert_float_eq(grd_schedule_at(&linear, t), t < 4 ? warm : 0.5 - 0.4 * f, 1e-15);
        cr_assert_eq(grd_schedule_at(&constant, t), t == 0 ? 0.15 : 0.3);
    }
    cr_assert_eq(grd_schedule_at(&cosine, 3), 0.5);
    cr_assert_eq(grd_schedule_at(&cosine, 4), 0.5);
    cr_assert_float_eq(grd_schedule_at(&cosine, 12), 0.3, 1e-15);
    cr_assert_eq(grd_schedule_at(&cosine, 20), 0.1);
    cr_assert_eq(grd_schedule_at(&cosine, INT64_MAX), 0.1);
    const grd_schedule warm_only = { GRD_COSINE, 1, 0.25, 4, 4 };
    cr_assert_eq(grd_schedule_at(&warm_only, 3), 1);
    cr_assert_eq(grd_schedule_at(&warm_only, 4), 0.25);
}

Test(schedule, refuses_nonsense)
{
    static const struct {
        grd_schedule schedule;
        const char *message;
    } cases[] = {
        { { (grd_decay_shape)7, 1, 0, 0, 9 }, "schedule_at: there is no shape 7" },
        { { GRD_COSINE, -1, 0, 0, 9 }, "schedule_at: lr is -1" },
        { { GRD_COSINE, NAN, 0, 0, 9 }, "schedule_at: lr is nan" },
        { { GRD_COSINE, INFINITY, 0, 0, 9 }, "schedule_at: lr is inf" },
        { { GRD_COSINE, 1, 2, 0, 9 }, "schedule_at: min_lr is 2, not from 0 to lr, 1" },
        { { GRD_COSINE, 1, -2, 0, 9 }, "schedule_at: min_lr is -2" },
        { { GRD_COSINE, 1, NAN, 0, 9 }, "schedule_at: min_lr is nan" },
        { { GRD_CONSTANT, 1, 0, -1, 9 }, "schedule_at: warmup_steps is -1" },
        { { GRD_LINEAR, 1, 0, 10, 9 }, "schedule_at: total_steps is 9, with 10 of warm-up" },
        { { GRD_COSINE, 1, 0, 0, 0 }, "schedule_at: total_steps is 0, with 0 of warm-up" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert(isnan(grd_schedule_at(&cases[i].schedule, 0)));
        expect_error(GRD_ERROR_ARGUMENT, cases[i].message);
    }
    const grd_schedule good = { .lr = 1 };
    cr_assert(isnan(grd_schedule_at(&good, -1)));
    expect_error(GRD_ERROR_ARGUMENT, "schedule_at: step is -1");
    cr_assert(isnan(grd_schedule_at(NULL, 0)));
    expect_error(GRD_ERROR_ARGUMENT, "schedule_at: an argument is NULL");
    grd_fail(GRD_ERROR_STATE, "test", "latched");
    cr_assert(isnan(grd_schedule_at(&good, 0)));
    expect_error(GRD_ERROR_STATE, "test: latched");
}
