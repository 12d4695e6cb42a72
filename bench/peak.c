/* What the machine can do, to hold measured speeds against: multiplications with an addition in
 * registers, bandwidth of each level of memory, the clock.
 *
 *   peak [SET]   a table, of one thread and of as many as GRADUS_THREADS or the processors allow
 *   peak -       reads lines "NAME THREADS SAMPLES", as cases does, and answers with the samples
 *
 * The instruction set is the one that the library takes, so GRADUS_CPU caps it too. */
#include "bench/peak_loops.h"

#include <gradus/gradus.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_THREADS = 256, SAMPLES = 15, CLOCK_STEPS = 4000000, CHAIN = 16, ROUNDS = 200000 };

static const peak_loops *const sets[] = {
    &peak_baseline,
#ifdef __x86_64__
    &peak_avx2,
    &peak_avx512,
#endif
};

/* One thread's share of a sample. */
typedef struct job {
    const struct kind *kind;
    const peak_loops *loops;
    float *memory;
    long bytes, runs; /* of that memory; over it */
    pthread_barrier_t *start;
    double seconds, result;
} job;

typedef enum level { REGISTERS, L2, L3, DRAM } level;

typedef struct kind {
    const char *name, *unit;
    level level;
    bool each;                   /* a figure of one thread, not of all together */
    double (*run)(const job *j); /* the result keeps the compiler from leaving it out */
    double (*work)(const job *j);
} kind;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- What is done, and how much that is ---- */

static double run_fma_f32(const job *j)
{
    return j->loops->fma_f32(ROUNDS);
}

static double fma_f32_work(const job *j)
{
    return (double)(j->loops->flops_f32 * ROUNDS);
}

static double run_fma_f64(const job *j)
{
    return j->loops->fma_f64(ROUNDS);
}

static double fma_f64_work(const job *j)
{
    return (double)(j->loops->flops_f64 * ROUNDS);
}

static double run_read(const job *j)
{
    double sum = 0;
    for (long i = 0; i < j->runs; i++)
        sum += j->loops->read(j->memory, j->bytes / (long)sizeof(float));
    return sum;
}

static long triad_floats(const job *j)
{
    return j->bytes / 3 / (long)sizeof(float) / 64 * 64;
}

static double run_triad(const job *j)
{
    const long n = triad_floats(j);
    for (long i = 0; i < j->runs; i++)
        j->loops->triad(j->memory, j->memory + n, j->memory + 2 * n, n);
    return (double)j->memory[n - 1];
}

static double bytes_read(const job *j)
{
    return (double)j->bytes * (double)j->runs;
}

static double bytes_of_triad(const job *j)
{
    return 3.0 * sizeof(float) * (double)triad_floats(j) * (double)j->runs;
}

/* Additions that wait for each other: a cycle each on any processor of today. */
static double run_clock(const job *j)
{
    long sum = j->runs;
    for (long i = 0; i < CLOCK_STEPS / CHAIN; i++) {
#pragma GCC unroll 16
        for (int step = 0; step < CHAIN; step++) {
            sum += i;
            __asm__ volatile("" : "+r"(sum));
        }
    }
    return (double)sum;
}

static double clock_work(const job *j)
{
    (void)j;
    return CLOCK_STEPS;
}

static const kind kinds[] = {
    { "fma.f32", "GFLOP/s", REGISTERS, false, run_fma_f32, fma_f32_work },
    { "fma.f64", "GFLOP/s", REGISTERS, false, run_fma_f64, fma_f64_work },
    { "read.l2", "GB/s", L2, false, run_read, bytes_read },
    { "triad.l2", "GB/s", L2, false, run_triad, bytes_of_triad },
    { "read.l3", "GB/s", L3, false, run_read, bytes_read },
    { "triad.l3", "GB/s", L3, false, run_triad, bytes_of_triad },
    { "read.dram", "GB/s", DRAM, false, run_read, bytes_read },
    { "triad.dram", "GB/s", DRAM, false, run_triad, bytes_of_triad },
    { "clock", "GHz", REGISTERS, true, run_clock, clock_work },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- Memory: one block, of which every level takes what fits it ---- */

static struct {
    long l2, l3; /* bytes; L2 of one core */
    float *block;
} memory;

/* As Linux says, since in a virtual machine sysconf may tell the host's. */
static long cache_size(int level, long otherwise)
{
    char path[64];
    long kilobytes = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%ldK", &kilobytes) != 1)
        kilobytes = 0;
    if (file)
        fclose(file);
    return kilobytes > 0 ? kilobytes * 1024 : otherwise;
}

static void find_caches(void)
{
    memory.l2 = cache_size(2, 256 * 1024);
    memory.l3 = cache_size(3, 8 * 1024 * 1024);
}

/* Of each thread: less than there is, since others want some, and of L3 perhaps other machines. */
static long bytes_at(level where, int threads)
{
    const long bytes[] = { [REGISTERS] = 0,
                           [L2] = memory.l2 / 2,
                           [L3] = memory.l3 / 8 / threads,
                           [DRAM] = 4 * memory.l3 / threads };
    return bytes[where] / 4096 * 4096;
}

static float *memory_block(void)
{
    const size_t bytes = 4 * (size_t)memory.l3 + MOST_THREADS * (size_t)memory.l2;
    if (!memory.block && (memory.block = aligned_alloc(4096, bytes / 4096 * 4096)))
        memset(memory.block, 0, bytes / 4096 * 4096); /* pages come with the first write */
    if (!memory.block) {
        fprintf(stderr, "out of memory\n");
        exit(EXIT_FAILURE);
    }
    return memory.block;
}

/* ---- A sample ---- */

static void *run_job(void *user)
{
    job *j = user;
    pthread_barrier_wait(j->start);
    const double start = now();
    j->result = j->kind->run(j);
    j->seconds = now() - start;
    return NULL;
}

static job job_of(const kind *k, const peak_loops *loops, int thread, int threads)
{
    job j = { .kind = k, .loops = loops, .bytes = bytes_at(k->level, threads), .runs = 1 };
    if (j.bytes) {
        j.memory = memory_block() + thread * (j.bytes / (long)sizeof(float));
        j.runs = 1 + 40000000 / j.bytes;
    }
    return j;
}

/* In units of 10^9 a second, until the slowest thread is done. */
static double sample(const kind *k, const peak_loops *loops, int threads)
{
    job jobs[MOST_THREADS];
    pthread_t ids[MOST_THREADS];
    pthread_barrier_t start;
    double work = 0, seconds = 0;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        jobs[i] = job_of(k, loops, i, threads);
        jobs[i].start = &start;
        if (i && pthread_create(&ids[i], NULL, run_job, &jobs[i]) != 0) {
            fprintf(stderr, "no %d threads can be had\n", threads);
            exit(EXIT_FAILURE);
        }
    }
    run_job(&jobs[0]);
    for (int i = 0; i < threads; i++) {
        if (i)
            pthread_join(ids[i], NULL);
        work += k->work(&jobs[i]);
        seconds = jobs[i].seconds > seconds ? jobs[i].seconds : seconds;
    }
    pthread_barrier_destroy(&start);
    return work / seconds * 1e-9 / (k->each ? threads : 1);
}

/* ---- The table, and the companion of compare.py ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_kind(const kind *k, const peak_loops *loops, int threads)
{
    double samples[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        samples[i] = sample(k, loops, threads);
    qsort(samples, SAMPLES, sizeof samples[0], compare);
    printf("%-12s %-10s %7d %10.1f %10.1f %s\n", k->name, loops->set, threads, samples[SAMPLES / 2],
           samples[SAMPLES - 1], k->unit);
}

static void print_table(const peak_loops *loops, int most)
{
    printf("%-12s %-10s %7s %10s %10s\n", "name", "set", "threads", "median", "best");
    for (int i = 0; i < KINDS; i++) {
        print_kind(&kinds[i], loops, 1);
        if (most > 1)
            print_kind(&kinds[i], loops, most);
    }
}

static const kind *find_kind(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    fprintf(stderr, "no peak is called %s\n", name);
    exit(EXIT_FAILURE);
}

static void answer(const peak_loops *loops)
{
    char name[64];
    int threads, samples;
    printf("%s %ld %ld\n", loops->set, memory.l2, memory.l3);
    fflush(stdout);
    while (scanf("%63s %d %d", name, &threads, &samples) == 3) {
        threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
        for (int i = 0; i < samples; i++)
            printf("%.3f%c", sample(find_kind(name), loops, threads), i + 1 < samples ? ' ' : '\n');
        fflush(stdout);
    }
}

static const peak_loops *find_set(const char *name)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (strcmp(sets[i]->set, name) == 0)
            return sets[i];
    fprintf(stderr, "no instruction set is called %s\n", name);
    exit(EXIT_FAILURE);
}

int main(int count, char **arguments)
{
    const grd_cpu_info cpu = grd_cpu_describe();
    const char *wanted = count > 1 ? arguments[1] : cpu.instruction_set;
    const bool companion = strcmp(wanted, "-") == 0;
    const peak_loops *loops = find_set(companion ? cpu.instruction_set : wanted);
    find_caches();
    if (companion)
        answer(loops);
    else
        print_table(loops, cpu.threads < MOST_THREADS ? cpu.threads : MOST_THREADS);
    return EXIT_SUCCESS;
}
