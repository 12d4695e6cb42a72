/* What bench/compare.py measures, on demand: reads lines "NAME THREADS SAMPLES" and answers each
 * with the samples' microseconds on one line. The names are those of the README in bench/. */
#include "bench/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const bench_kind *const families[] = {
    bench_attention_kinds,
    bench_step_kinds,
    bench_small_kinds,
};

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static bool starts_with(const char *name, const char *kind)
{
    const size_t length = strlen(kind);
    return strncmp(name, kind, length) == 0 && (!name[length] || name[length] == '.');
}

/* The first that fits, so that a longer name stands before its beginning. */
static const bench_kind *find_kind(const char *name)
{
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        for (const bench_kind *kind = families[f]; kind->name; kind++)
            if (starts_with(name, kind->name))
                return kind;
    return NULL;
}

static bool prepare(bench *b, const char *name)
{
    const bench_kind *kind = find_kind(name);
    *b = (bench){ .inner = 1 };
    if (!kind)
        return false;
    snprintf(b->name, sizeof b->name, "%s", name);
    const char *sizes = name + strlen(kind->name);
    for (int s = 0; s < BENCH_SIZES && *sizes == '.'; s++)
        b->size[s] = strtoll(sizes + 1, (char **)&sizes, 10);
    b->sample = kind->sample;
    kind->prepare(b);
    return true;
}

/* What the benches hold is the scope's: only the latest one is kept, since some are large. */
static grd_status turn_to(bench *b, grd_scope **scope, const char *name)
{
    const grd_status ended = *scope ? grd_scope_end(*scope) : GRD_OK;
    grd_memory_trim();
    *scope = grd_scope_begin();
    if (!prepare(b, name)) {
        fprintf(stderr, "no case is called %s\n", name);
        exit(EXIT_FAILURE);
    }
    return ended;
}

static void answer(bench *b, int threads, int samples)
{
    grd_device_set_threads(grd_cpu(), threads);
    for (int i = 0; i < samples; i++)
        printf("%.3f%c", b->sample(b), i + 1 < samples ? ' ' : '\n');
    fflush(stdout);
}

int main(void)
{
    bench b = { 0 };
    grd_scope *scope = NULL;
    grd_status status = GRD_OK;
    char name[64];
    int threads, samples;
    const grd_cpu_info cpu = grd_cpu_describe();
    printf("%s; %s\n", cpu.instruction_set, cpu.blas_core);
    fflush(stdout);
    while (status == GRD_OK && scanf("%63s %d %d", name, &threads, &samples) == 3) {
        if (strcmp(name, b.name) != 0)
            status = turn_to(&b, &scope, name);
        answer(&b, threads, samples);
        if (status == GRD_OK)
            status = grd_scope_end(NULL); /* has it failed? */
    }
    if (status == GRD_OK && grd_scope_end(scope) == GRD_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s\n", grd_error_message());
    return EXIT_FAILURE;
}
