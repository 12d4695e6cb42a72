/* Cross-entropies on a GPU beside the processor's. */
#include "tests/cuda/sides.h"

#include <criterion/criterion.h>
#include <gradus/error.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

TestSuite(cuda_cross_entropy, .fini = end_sides);

static const grd_dtype floats[] = { GRD_F64, GRD_F32, GRD_F16, GRD_BF16 };

typedef struct losses {
    sided *y, *dy, *dx, *stats, *logits, *targets;
} losses;

/* Some targets are ignored; `all`: one number is made of all rows. */
static losses make(grd_dtype dtype, int64_t rows, int64_t classes, bool all)
{
    const losses made = { .y = make_contiguous(dtype, !all, &rows),
                          .dy = make_contiguous(dtype, !all, &rows),
                          .dx = make_contiguous(dtype, 2, (int64_t[]){ rows, classes }),
                          .stats = make_contiguous(GRD_F64, 1, (int64_t[]){ rows + 1 }),
                          .logits = make_contiguous(dtype, 2, (int64_t[]){ rows, classes }),
                          .targets = make_contiguous(GRD_I64, 1, &rows) };
    int64_t *target = made.targets->on[CPU].data;
    for (int64_t i = 0; i < rows; i++)
        target[i] = i % 5 == 2 || classes == 0 ? -100 : i * 7 % classes;
    if (rows)
        set_sided(made.targets, 0, classes ? (double)(classes - 1) : -100);
    return made;
}

static void compare(grd_dtype dtype, int64_t rows, int64_t classes, bool all,
                    const grdi_weighing *how)
{
    const losses m = make(dtype, rows, classes, all);
    grdi_refusal refused = { .position = -1 };
    RUN_SIDES(cross_entropy, on(m.y), on(m.stats), on(m.logits), on(m.targets), how, &refused);
    cr_assert_eq(refused.position, -1);
    expect_sides_same(m.y, allowed_in(dtype), "cross_entropy");
    if (classes)
        expect_sides_same(m.stats, dtype == GRD_F64 ? 1e-13 : 3e-6, "stats");
    RUN_SIDES(cross_entropy_backward, on(m.dx), on(m.dy), on(m.stats), on(m.logits), on(m.targets),
              how);
    expect_sides_same(m.dx, allowed_in(dtype), "cross_entropy_backward");
    end_sides();
}

Test(cuda_cross_entropy, losses)
{
    static const int64_t sizes[][2] = { { 1, 1 },    { 13, 33 }, { 300, 5 }, { 4, 1100 },
                                        { 3, 1027 }, { 0, 4 },   { 3, 0 } };
    for (int d = 0; d < 4; d++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (int smooth = 0; smooth < 2; smooth++) {
                const grdi_weighing mean = { -100, smooth ? 0.1 : 0, true };
                const grdi_weighing sum = { -100, smooth ? 0.1 : 0, false };
                compare(floats[d], sizes[s][0], sizes[s][1], true, &mean);
                compare(floats[d], sizes[s][0], sizes[s][1], true, &sum);
                compare(floats[d], sizes[s][0], sizes[s][1], false, &sum);
            }
}

/* Here at once; there when the host next waits. */
Test(cuda_cross_entropy, the_first_wrong_target_is_found)
{
    static const double bad[] = { -1, 6, 1e15 };
    const grdi_weighing how = { -100, 0, true };
    for (int k = 0; k < 3; k++) {
        const losses m = make(GRD_F32, 700, 6, true);
        grdi_refusal refused[SIDES] = { { .position = -1 },
                                        { .op = "ce",
                                          .status = GRD_ERROR_ARGUMENT,
                                          .shape = { 1, { 700 } },
                                          .text = GRDI_AT " is " GRDI_VALUE,
                                          .position = -1 } };
        char expected[64];
        float y;
        set_sided(m.targets, 300 + 256, 7); /* of the same thread */
        set_sided(m.targets, 300, bad[k]);
        set_sided(m.targets, 301, 9);
        RUN_SIDES(cross_entropy, on(m.y), on(m.stats), on(m.logits), on(m.targets), &how,
                  &refused[which]);
        cr_assert_eq(refused[CPU].position, 300);
        cr_assert_eq(refused[CPU].integer, (int64_t)bad[k]);
        cr_assert_eq(refused[GPU].position, -1);
        grd_device *gpu = side(GPU);
        cr_assert_eq(gpu->download(gpu, &y, m.y->on[GPU].data, sizeof y), GRD_ERROR_ARGUMENT);
        snprintf(expected, sizeof expected, "[300] is %lld (found late", (long long)bad[k]);
        cr_assert(strstr(grd_last_error().message, expected), "%s", grd_last_error().message);
        cr_assert_eq(grd_error_take(), GRD_ERROR_ARGUMENT);
        cr_assert_eq(gpu->download(gpu, &y, m.y->on[GPU].data, sizeof y), GRD_OK);
        end_sides();
    }
}

Test(cuda_cross_entropy, nothing_counts)
{
    const grdi_weighing how = { 0, 0, true };
    const losses m = make(GRD_F32, 3, 1, true);
    grdi_refusal refused = { .position = -1 };
    set_sided(m.targets, 2, 0);
    RUN_SIDES(cross_entropy, on(m.y), on(m.stats), on(m.logits), on(m.targets), &how, &refused);
    expect_sides_same(m.y, 0, "cross_entropy");
}

/* Classes that are ruled out, and the target's. */
Test(cuda_cross_entropy, what_is_not_finite)
{
    const grdi_weighing how = { -100, 0, false };
    const losses m = make(GRD_F32, 6, 40, false);
    grdi_refusal refused = { .position = -1 };
    for (int64_t i = 0; i < 6; i++)
        set_sided(m.targets, i, 7);
    set_sided(m.logits, 3, -INFINITY);
    set_sided(m.logits, 40 + 7, -INFINITY);
    set_sided(m.logits, 80 + 9, INFINITY);
    set_sided(m.logits, 120 + 39, NAN);
    set_sided(m.logits, 160 + 7, 1e30);
    RUN_SIDES(cross_entropy, on(m.y), on(m.stats), on(m.logits), on(m.targets), &how, &refused);
    expect_sides_same(m.y, 3e-6, "cross_entropy");
    RUN_SIDES(cross_entropy_backward, on(m.dx), on(m.dy), on(m.stats), on(m.logits), on(m.targets),
              &how);
    expect_sides_same(m.dx, 3e-6, "cross_entropy_backward");
}
