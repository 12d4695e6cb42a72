/* Plots on a page: a picture, its meaning in words, and its numbers. */
#include "teach/document.h"
#include "view/page.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 460, HEIGHT = 300, LEFT = 74, RIGHT = 16, TOP = 14, BOTTOM = 46 };

typedef struct frame {
    FILE *out;
    const document *d;
    const plot *p;
    axis x, y;
} frame;

static double across(double place)
{
    return LEFT + place * (WIDTH - LEFT - RIGHT);
}

static double down(double place)
{
    return TOP + (1 - place) * (HEIGHT - TOP - BOTTOM);
}

static bool point(const frame *f, const curve *c, int64_t i, double *x, double *y)
{
    const figures *xs = figures_named(f->d, c->x), *ys = figures_named(f->d, c->y);
    double right, up;
    if (!xs || !ys || !on_axis(&f->x, xs->at[i], &right) || !on_axis(&f->y, ys->at[i], &up))
        return false;
    *x = across(right);
    *y = down(up);
    return true;
}

static int64_t points_of(const frame *f, const curve *c)
{
    const figures *xs = figures_named(f->d, c->x);
    return xs ? xs->columns : 0;
}

/* ---- Words ---- */

static void tell_curve(const frame *f, const curve *c)
{
    const figures *xs = figures_named(f->d, c->x), *ys = figures_named(f->d, c->y);
    int64_t least = -1, most = -1;
    char texts[4][32];
    for (int64_t i = 0; xs && ys && i < xs->columns; i++) {
        if (ys->at[i] > 0 && (least < 0 || ys->at[i] < ys->at[least]))
            least = i;
        if (most < 0 || ys->at[i] > ys->at[most])
            most = i;
    }
    if (least < 0)
        return;
    const double told[] = { ys->at[least], xs->at[least], ys->at[most], xs->at[most] };
    for (int i = 0; i < 4; i++)
        format_number(told[i], 2, texts[i]);
    fprintf(f->out, " %s: least %s at %s, most %s at %s.", c->label, texts[0], texts[1], texts[2],
            texts[3]);
}

static void tell(const frame *f)
{
    fprintf(f->out, "<title>%s against %s</title><desc>Both axes are logarithmic.", f->p->y_label,
            f->p->x_label);
    for (int i = 0; i < curves_of(f->p); i++)
        tell_curve(f, &f->p->curves[i]);
    fputs("</desc>\n", f->out);
}

/* ---- Axes ---- */

/* 10 to the power, without markup. */
static void write_power(FILE *out, int power)
{
    static const char *const digits[] = { "⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹" };
    char text[16];
    fputs(power == 0 ? "1" : "10", out);
    if (power == 0 || power == 1)
        return;
    snprintf(text, sizeof text, "%d", power);
    for (const char *c = text; *c; c++)
        fputs(*c == '-' ? "⁻" : digits[*c - '0'], out);
}

static void draw_axes(const frame *f)
{
    fputs("<g class=\"grid\">", f->out);
    for (int k = (int)f->x.low; k <= f->x.high; k += tick_step(&f->x, 7))
        fprintf(f->out, "<path d=\"M%.1f %dV%d\"/>",
                across((k - f->x.low) / (f->x.high - f->x.low)), TOP, HEIGHT - BOTTOM);
    for (int k = (int)f->y.low; k <= f->y.high; k += tick_step(&f->y, 6))
        fprintf(f->out, "<path d=\"M%d %.1fH%d\"/>", LEFT,
                down((k - f->y.low) / (f->y.high - f->y.low)), WIDTH - RIGHT);
    fputs("</g>\n<g class=\"ticks\" text-anchor=\"middle\">", f->out);
    for (int k = (int)f->x.low; k <= f->x.high; k += tick_step(&f->x, 7)) {
        fprintf(f->out, "<text x=\"%.1f\" y=\"%d\">",
                across((k - f->x.low) / (f->x.high - f->x.low)), HEIGHT - BOTTOM + 18);
        write_power(f->out, k);
        fputs("</text>", f->out);
    }
    fputs("</g>\n<g class=\"ticks\" text-anchor=\"end\">", f->out);
    for (int k = (int)f->y.low; k <= f->y.high; k += tick_step(&f->y, 6)) {
        fprintf(f->out, "<text x=\"%d\" y=\"%.1f\">", LEFT - 8,
                down((k - f->y.low) / (f->y.high - f->y.low)) + 4);
        write_power(f->out, k);
        fputs("</text>", f->out);
    }
    fprintf(f->out,
            "</g>\n<g class=\"axis\" text-anchor=\"middle\"><text x=\"%.1f\" y=\"%d\">%s</text>"
            "<text transform=\"translate(14 %.1f) rotate(-90)\">%s</text></g>\n",
            across(0.5), HEIGHT - 6, f->p->x_label, down(0.5), f->p->y_label);
}

/* ---- Curves: told apart by colour and by the shape of their points ---- */

static const char *const marks[] = { "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
                                     "m-3.5 -3.5h7v7h-7z", "m0 -5l5 5l-5 5l-5 -5z",
                                     "m0 -5l4.6 8h-9.2z" };

static void draw_curve(const frame *f, int i)
{
    const curve *c = &f->p->curves[i];
    double x, y;
    const char *letter = "M";
    fprintf(f->out, "<g class=\"curve hue-%d\"><path class=\"line\" d=\"", i);
    for (int64_t k = 0; k < points_of(f, c); k++)
        if (point(f, c, k, &x, &y)) {
            fprintf(f->out, "%s%.1f %.1f", letter, x, y);
            letter = "L";
        }
    fputs("\"/><path class=\"marks\" d=\"", f->out);
    for (int64_t k = 0; k < points_of(f, c); k++)
        if (point(f, c, k, &x, &y))
            fprintf(f->out, "M%.1f %.1f%s", x, y, marks[i]);
    fputs("\"/></g>\n", f->out);
}

static void write_legend(const frame *f)
{
    fputs("<ul class=\"legend\">", f->out);
    for (int i = 0; i < curves_of(f->p); i++)
        fprintf(f->out,
                "<li><svg width=\"14\" height=\"14\" aria-hidden=\"true\"><g class=\"curve "
                "hue-%d\"><path class=\"marks\" d=\"M7 7%s\"/></g></svg> %s</li>",
                i, marks[i], f->p->curves[i].label);
    fputs("</ul>\n", f->out);
}

static void write_numbers(const frame *f)
{
    char text[32];
    fprintf(f->out,
            "<details class=\"numbers\"><summary>The numbers</summary><table class=\"figures\">"
            "<thead><tr><th scope=\"col\">curve</th><th scope=\"col\">%s</th><th "
            "scope=\"col\">%s</th></tr></thead><tbody>",
            f->p->x_label, f->p->y_label);
    for (int i = 0; i < curves_of(f->p); i++) {
        const curve *c = &f->p->curves[i];
        const figures *of[] = { figures_named(f->d, c->x), figures_named(f->d, c->y) };
        for (int64_t k = 0; of[0] && of[1] && k < of[0]->columns; k++) {
            fprintf(f->out, "<tr><th scope=\"row\">%s</th>", c->label);
            for (int j = 0; j < 2; j++) {
                format_number(of[j]->at[k], 3, text);
                fputs("<td>", f->out);
                write_number(f->out, text);
                fputs("</td>", f->out);
            }
            fputs("</tr>\n", f->out);
        }
    }
    fputs("</tbody></table></details>\n", f->out);
}

void write_plot(FILE *out, const document *d, const plot *p)
{
    frame f = { .out = out, .d = d, .p = p };
    measure_plot(d, p, &f.x, &f.y);
    fprintf(out, "<svg class=\"plot\" role=\"img\" viewBox=\"0 0 %d %d\">\n", WIDTH, HEIGHT);
    tell(&f);
    draw_axes(&f);
    for (int i = 0; i < curves_of(p); i++)
        draw_curve(&f, i);
    fputs("</svg>\n", out);
    write_legend(&f);
    write_numbers(&f);
}
