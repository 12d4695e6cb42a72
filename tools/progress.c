#define _POSIX_C_SOURCE 200809L
#include "tools/progress.h"
#include "tools/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_begin(progress *p, int64_t first, int64_t total, int64_t every)
{
    const int64_t twentieth = (total - first) / 20;
    *p = (progress){
        .first = first,
        .total = total,
        .every = every > 0       ? every
                 : twentieth > 0 ? twentieth
                                 : 1,
        .start = seconds_now(),
        .rewrites = is_terminal(stderr),
        .coloured = wants_colour(stderr),
    };
}

static void clear_line(progress *p)
{
    if (p->open)
        fputs("\r\x1b[K", stderr);
    p->open = false;
}

static void print_bar(const progress *p, int64_t step)
{
    enum { WIDTH = 20 };
    const int done =
        (int)(WIDTH * (step - p->first) / (p->total > p->first ? p->total - p->first : 1));
    fputs(p->coloured ? "\x1b[32m" : "[", stderr);
    for (int i = 0; i < WIDTH; i++)
        fputs(i < done ? (p->coloured ? "\u2588" : "#") : (p->coloured ? "\u2591" : "."), stderr);
    fputs(p->coloured ? "\x1b[0m " : "] ", stderr);
}

static void print_duration(double seconds)
{
    const int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        fprintf(stderr, "%" PRId64 ":", s / 3600);
    fprintf(stderr, s >= 3600 ? "%02d:%02d" : "%d:%02d", (int)(s / 60 % 60), (int)(s % 60));
}

static void print_report(const progress *p, const step_report *r)
{
    const double left =
        (seconds_now() - p->start) / (double)(r->step - p->first) * (double)(p->total - r->step);
    fprintf(stderr,
            "step %" PRId64 "/%" PRId64 "  loss %.4f  lr %.2e  norm %.3f  %.0f tokens/s  ETA ",
            r->step, p->total, p->loss / p->weight, r->lr, r->grad_norm, p->tokens / p->busy);
    print_duration(left);
}

bool progress_shows(const progress *p, int64_t step)
{
    if (step == p->total)
        return true;
    return p->rewrites ? seconds_now() - p->shown >= 0.1
                       : step == p->first + 1 || step % p->every == 0;
}

void progress_step(progress *p, const step_report *r)
{
    const double keep = 0.95;
    p->loss = keep * p->loss + r->loss;
    p->weight = keep * p->weight + 1;
    p->tokens = keep * p->tokens + r->tokens;
    p->busy = keep * p->busy + r->seconds;

    if (!progress_shows(p, r->step))
        return;
    p->shown = seconds_now();
    clear_line(p);
    if (p->rewrites)
        print_bar(p, r->step);
    print_report(p, r);
    p->open = p->rewrites;
    if (!p->rewrites)
        fputc('\n', stderr);
    fflush(stderr);
}

void progress_say(progress *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    clear_line(p);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void progress_end(progress *p)
{
    if (p->open)
        fputc('\n', stderr);
    p->open = false;
}
