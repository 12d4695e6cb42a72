/* Fewer points than rows, without losing a spike. */
#include "view/run.h"

#include <math.h>

/* The rows that count, in order. */
static int64_t *chosen(const grdi_run *run, bool validated, int64_t *count)
{
    int64_t *rows = grdi_scratch("view_run", (size_t)run->rows, sizeof *rows);
    *count = 0;
    for (int64_t i = 0; rows && i < run->rows; i++)
        if (!validated || !isnan(grdi_run_value(run, i, GRDI_RUN_VAL_LOSS)))
            rows[(*count)++] = i;
    return rows;
}

/* The least and the largest of a column over rows[0..n), in the order in which they came; one that
 * is not finite only if all are. */
static void extremes(const grdi_run *run, const int64_t *rows, int64_t n, int64_t column,
                     double two[2])
{
    int64_t least = 0, largest = 0;
    for (int64_t i = 1; i < n; i++) {
        const double x = grdi_run_value(run, rows[i], column);
        const double low = grdi_run_value(run, rows[least], column);
        const double high = grdi_run_value(run, rows[largest], column);
        least = x < low || isnan(low) ? i : least;
        largest = x > high || isnan(high) ? i : largest;
    }
    two[0] = grdi_run_value(run, rows[least < largest ? least : largest], column);
    two[1] = grdi_run_value(run, rows[least < largest ? largest : least], column);
}

static double mean(const grdi_run *run, const int64_t *rows, int64_t n)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < n; i++) {
        const double loss = grdi_run_value(run, rows[i], GRDI_RUN_LOSS);
        sum += isnan(loss) ? 0 : loss;
        count += !isnan(loss);
    }
    return count > 0 ? sum / count : NAN;
}

/* Where each column of a group of rows goes: one point, or two. */
static void reduce_group(const grdi_run *run, const int64_t *rows, int64_t n, grdi_run_points *p,
                         int64_t at)
{
    const int64_t points = p->stride > 1 ? 2 : 1;
    for (int64_t c = 0; c < p->columns; c++) {
        double two[2];
        if (c == GRDI_RUN_STEP || c == GRDI_RUN_TOKENS) {
            two[0] = grdi_run_value(run, rows[0], c);
            two[1] = grdi_run_value(run, rows[n - 1], c);
        } else {
            extremes(run, rows, n, c, two);
        }
        for (int64_t i = 0; i < points; i++)
            p->values[c * p->count + at + i] = two[i];
    }
    for (int64_t i = 0; i < points; i++)
        p->values[p->columns * p->count + at + i] = mean(run, rows, n);
}

grdi_run_points grdi_run_reduce(const grdi_run *run, bool validated, int64_t most)
{
    int64_t count = 0;
    const int64_t *rows = chosen(run, validated, &count);
    grdi_run_points p = { .columns = GRDI_RUN_LAYERS + run->layers, .count = count, .stride = 1 };
    const int64_t fit = most / (p.columns + 1);
    if (count > fit) {
        p.stride = 2 * count / (fit > 2 ? fit : 2) + 1;
        p.count = 2 * ((count + p.stride - 1) / p.stride);
    }
    if (rows)
        p.values = grdi_scratch("view_run", (size_t)(p.count * (p.columns + 1)), sizeof *p.values);
    const int64_t points = p.stride > 1 ? 2 : 1;
    for (int64_t i = 0, at = 0; p.values && i < count; i += p.stride, at += points)
        reduce_group(run, rows + i, count - i < p.stride ? count - i : p.stride, &p, at);
    return p;
}
