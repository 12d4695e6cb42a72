/* Fewer points than rows, and the figures of a run. */
#include "tests/nn/expect.h"
#include "view/run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = GRDI_RUN_LAYERS + 2 };

/* A run of so many rows of noise, with a layer of noise beside; ended by release. */
static grdi_run noise(int64_t rows, unsigned seed)
{
    grdi_run run = { .rows = rows, .room = rows, .width = WIDTH, .layers = 2 };
    run.values = malloc((size_t)(rows * WIDTH) * sizeof *run.values);
    srand(seed);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < WIDTH; j++)
            run.values[i * WIDTH + j] = j == GRDI_RUN_STEP     ? (double)(3 * i + 1)
                                        : j == GRDI_RUN_TOKENS ? (double)(8 * i + 8)
                                                               : (double)rand() / RAND_MAX;
    return run;
}

static double *cell(const grdi_run *run, int64_t row, int64_t column)
{
    return &run->values[row * run->width + column];
}

Test(run_reduce, what_fits_is_left_as_it_is)
{
    grd_scope *scope = grd_scope_begin();
    grdi_run run = noise(1000, 1);
    const grdi_run_points p = grdi_run_reduce(&run, false, 1000 * (WIDTH + 1));
    cr_assert_eq(p.count, 1000);
    cr_assert_eq(p.stride, 1);
    for (int64_t c = 0; c < WIDTH; c++)
        for (int64_t i = 0; i < 1000; i++)
            cr_assert_eq(p.values[c * 1000 + i], *cell(&run, i, c));
    for (int64_t i = 0; i < 1000; i++)
        cr_assert_eq(p.values[WIDTH * 1000 + i], *cell(&run, i, GRDI_RUN_LOSS), "its own mean");
    free(run.values);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* Each group's two points against its rows: the extremes, in their order. */
static void expect_group(const grdi_run *run, const grdi_run_points *p, int64_t group, int64_t c)
{
    const int64_t first = group * p->stride;
    const int64_t end = first + p->stride < run->rows ? first + p->stride : run->rows;
    const double *two = p->values + c * p->count + 2 * group;
    double low = INFINITY, high = -INFINITY;
    int64_t at_low = 0, at_high = 0;
    for (int64_t i = first; i < end; i++) {
        at_low = *cell(run, i, c) < low ? i : at_low;
        at_high = *cell(run, i, c) > high ? i : at_high;
        low = fmin(low, *cell(run, i, c));
        high = fmax(high, *cell(run, i, c));
    }
    cr_assert_eq(two[0], at_low < at_high ? low : high, "group %d, column %d", (int)group, (int)c);
    cr_assert_eq(two[1], at_low < at_high ? high : low);
}

Test(run_reduce, no_extreme_is_lost)
{
    static const int64_t sizes[] = { 101, 1000, 9999, 10000, 10001 };
    grd_scope *scope = grd_scope_begin();
    for (int s = 0; s < 5; s++) {
        grdi_run run = noise(sizes[s], 7);
        const grdi_run_points p = grdi_run_reduce(&run, false, 100 * (WIDTH + 1));
        cr_assert_gt(p.stride, 1);
        cr_assert(p.count <= 100 && p.count >= 2 && p.count % 2 == 0, "%d", (int)p.count);
        cr_assert_eq(p.count / 2, (sizes[s] + p.stride - 1) / p.stride);
        for (int64_t g = 0; g < p.count / 2; g++)
            for (int64_t c = 0; c < WIDTH; c++)
                expect_group(&run, &p, g, c);
        free(run.values);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* One row in a hundred thousand, wherever it is. */
Test(run_reduce, a_spike_stays)
{
    grd_scope *scope = grd_scope_begin();
    grdi_run run = noise(100000, 3);
    static const int64_t spikes[] = { 0, 1, 31415, 77777, 99998, 99999 };
    for (int s = 0; s < 6; s++) {
        double *loss = cell(&run, spikes[s], GRDI_RUN_LOSS),
               *layer = cell(&run, spikes[s], WIDTH - 1);
        const double kept[] = { *loss, *layer };
        *loss = 1e6;
        *layer = -1e6;
        const grdi_run_points p = grdi_run_reduce(&run, false, 1 << 18);
        const int64_t at = spikes[s] / p.stride * 2;
        const double *losses = p.values + GRDI_RUN_LOSS * p.count;
        const double *layers = p.values + (WIDTH - 1) * p.count;
        cr_assert(losses[at] == 1e6 || losses[at + 1] == 1e6, "at %d", (int)spikes[s]);
        cr_assert(layers[at] == -1e6 || layers[at + 1] == -1e6, "at %d", (int)spikes[s]);
        *loss = kept[0];
        *layer = kept[1];
    }
    free(run.values);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(run_reduce, what_is_not_there_hides_nothing)
{
    grd_scope *scope = grd_scope_begin();
    grdi_run run = noise(1000, 5);
    for (int64_t i = 0; i < 1000; i++)
        if (i % 7 != 3)
            *cell(&run, i, GRDI_RUN_LOSS) = NAN;
    for (int64_t i = 500; i < 700; i++)
        *cell(&run, i, GRDI_RUN_LR) = NAN;
    const grdi_run_points p = grdi_run_reduce(&run, false, 200 * (WIDTH + 1));
    const double *losses = p.values + GRDI_RUN_LOSS * p.count;
    const double *rates = p.values + GRDI_RUN_LR * p.count;
    for (int64_t i = 0; i < p.count; i++)
        cr_assert(!isnan(losses[i]), "a group of %d has one", (int)p.stride);
    cr_assert(isnan(rates[600 / p.stride * 2]) && !isnan(rates[0]));
    free(run.values);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(run_reduce, validations_stay_by_themselves)
{
    grd_scope *scope = grd_scope_begin();
    grdi_run run = noise(1000, 9);
    for (int64_t i = 0; i < 1000; i++)
        if (i % 100 != 99)
            *cell(&run, i, GRDI_RUN_VAL_LOSS) = NAN;
    const grdi_run_points p = grdi_run_reduce(&run, true, 1 << 18);
    cr_assert_eq(p.count, 10);
    for (int64_t i = 0; i < 10; i++)
        cr_assert_eq(p.values[GRDI_RUN_VAL_LOSS * 10 + i],
                     *cell(&run, 100 * i + 99, GRDI_RUN_VAL_LOSS));
    run.rows = 0;
    const grdi_run_points none = grdi_run_reduce(&run, false, 1 << 18);
    cr_assert(none.values && none.count == 0);
    free(run.values);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(run_reduce, means_are_of_their_group)
{
    grd_scope *scope = grd_scope_begin();
    grdi_run run = noise(300, 11);
    const grdi_run_points p = grdi_run_reduce(&run, false, 60 * (WIDTH + 1));
    double sum = 0;
    for (int64_t i = 0; i < p.stride; i++)
        sum += *cell(&run, i, GRDI_RUN_LOSS);
    cr_assert_float_eq(p.values[WIDTH * p.count], sum / (double)p.stride, 1e-12);
    cr_assert_eq(p.values[WIDTH * p.count + 1], p.values[WIDTH * p.count]);
    free(run.values);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Figures ---- */

Test(run_figures, say_what_the_rows_hold)
{
    grdi_run run = noise(100, 13);
    double sum = 0, weight = 0, seconds = 0;
    for (int64_t i = 0; i < 100; i++) {
        *cell(&run, i, GRDI_RUN_SPEED) = 4 + (double)(i % 3);
        *cell(&run, i, GRDI_RUN_VAL_LOSS) = i % 10 == 9 ? 10 - 0.1 * (double)i : NAN;
        *cell(&run, i, GRDI_RUN_LOSS) = i == 50 ? NAN : (double)i;
        sum += i == 50 ? 0 : pow(0.95, (double)(i < 50 ? 98 - i : 99 - i)) * (double)i;
        weight += i == 50 ? 0 : pow(0.95, (double)(i < 50 ? 98 - i : 99 - i));
        seconds += 8 / (4 + (double)(i % 3));
    }
    *cell(&run, 39, GRDI_RUN_VAL_LOSS) = 0.01;
    *cell(&run, 49, GRDI_RUN_VAL_LOSS) = 0.01;
    const grdi_run_figures f = grdi_run_figure(&run);
    cr_assert_eq(f.step, 298);
    cr_assert_eq(f.loss, 99);
    cr_assert_float_eq(f.smoothed, sum / weight, 1e-9);
    cr_assert_eq(f.best, 0.01);
    cr_assert_eq(f.best_step, 3 * 39 + 1, "the first of those that are as low");
    cr_assert_float_eq(f.val_loss, 0.1, 1e-12);
    cr_assert_eq(f.val_step, 298);
    cr_assert_eq(f.tokens, 800);
    cr_assert_float_eq(f.seconds, seconds, 1e-9);
    cr_assert_eq(f.not_finite, 1);
    double lately = 0;
    for (int64_t i = 50; i < 100; i++)
        lately += 8 / (4 + (double)(i % 3));
    cr_assert_float_eq(f.speed, 400 / lately, 1e-9);
    cr_assert_float_eq(f.step_seconds, lately / 50, 1e-12);
    free(run.values);
}

Test(run_figures, of_nothing_are_not_known)
{
    const grdi_run run = { 0 };
    const grdi_run_figures f = grdi_run_figure(&run);
    cr_assert(isnan(f.step) && isnan(f.loss) && isnan(f.smoothed) && isnan(f.best));
    cr_assert(isnan(f.speed) && isnan(f.step_seconds) && isnan(f.val_step));
    cr_assert_eq(f.tokens, 0);
}
