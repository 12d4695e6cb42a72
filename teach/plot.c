/* Plots: what both of their forms share, and the one of characters. */
#include "teach/document.h"

#include <math.h>
#include <string.h>

int curves_of(const plot *p)
{
    int count = 0;
    while (count < (int)(sizeof p->curves / sizeof p->curves[0]) && p->curves[count].label)
        count++;
    return count;
}

static void stretch(axis *a, const figures *f)
{
    for (int64_t i = 0; f && i < f->columns; i++)
        if (f->at[i] > 0 && isfinite(f->at[i])) {
            a->low = fmin(a->low, log10(f->at[i]));
            a->high = fmax(a->high, log10(f->at[i]));
        }
}

void measure_plot(const document *d, const plot *p, axis *x, axis *y)
{
    *x = *y = (axis){ INFINITY, -INFINITY };
    for (int i = 0; i < curves_of(p); i++) {
        stretch(x, figures_named(d, p->curves[i].x));
        stretch(y, figures_named(d, p->curves[i].y));
    }
    for (int i = 0; i < 2; i++) {
        axis *a = i ? y : x;
        a->low = floor(a->low + 1e-9);
        a->high = ceil(a->high - 1e-9);
    }
}

int tick_step(const axis *a, int most)
{
    return (int)ceil((a->high - a->low) / most);
}

bool on_axis(const axis *a, double x, double *place)
{
    *place = (log10(x) - a->low) / (a->high - a->low);
    return x > 0 && isfinite(x);
}

enum { ACROSS = 61, DOWN = 17 };

static void mark_curve(const document *d, const plot *p, int i, const axis *x, const axis *y,
                       char cells[DOWN][ACROSS])
{
    const figures *xs = figures_named(d, p->curves[i].x), *ys = figures_named(d, p->curves[i].y);
    double right, up;
    for (int64_t k = 0; xs && ys && k < xs->columns; k++)
        if (on_axis(x, xs->at[k], &right) && on_axis(y, ys->at[k], &up))
            cells[(int)lround((1 - up) * (DOWN - 1))][(int)lround(right * (ACROSS - 1))] =
                "ox+*"[i];
}

static void format_power(int power, char buffer[32])
{
    format_number(pow(10, power), 1, buffer);
}

/* The power of ten that a row stands for, if it has a number: every few of them do. */
static bool label_of_row(const axis *y, int row, char buffer[32])
{
    const int step = tick_step(y, 5);
    for (int k = (int)y->low; k <= y->high; k += step)
        if (lround((y->high - k) / (y->high - y->low) * (DOWN - 1)) == row) {
            format_power(k, buffer);
            return true;
        }
    return false;
}

/* Numbers below the frame, each ending under its place. */
static void print_ticks_across(FILE *out, const axis *x)
{
    int column = 0;
    char text[32];
    for (int k = (int)x->low; k <= x->high; k += tick_step(x, 6)) {
        const int place = 13 + (int)lround((k - x->low) / (x->high - x->low) * (ACROSS - 1));
        format_power(k, text);
        fprintf(out, "%*s", place + 1 - column, text);
        column = place + 1;
    }
    fputc('\n', out);
}

void print_plot(FILE *out, const document *d, const plot *p)
{
    char cells[DOWN][ACROSS];
    axis x, y;
    measure_plot(d, p, &x, &y);
    memset(cells, ' ', sizeof cells);
    for (int i = 0; i < curves_of(p); i++)
        mark_curve(d, p, i, &x, &y, cells);
    fprintf(out, "    %s\n", p->y_label);
    for (int row = 0; row < DOWN; row++) {
        char label[32] = "";
        label_of_row(&y, row, label);
        int end = ACROSS;
        while (end > 0 && cells[row][end - 1] == ' ')
            end--;
        fprintf(out, "%11s |%.*s\n", label, end, cells[row]);
    }
    fprintf(out, "%12s+", "");
    for (int i = 0; i < ACROSS; i++)
        fputc('-', out);
    fputc('\n', out);
    print_ticks_across(out, &x);
    fprintf(out, "%*s\n", 13 + ACROSS, p->x_label);
    for (int i = 0; i < curves_of(p); i++)
        fprintf(out, "      %c  %s\n", "ox+*"[i], p -> curves[i].label);
}
