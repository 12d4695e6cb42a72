/* What peak.c times, compiled once per instruction set. */
#ifndef BENCH_PEAK_LOOPS_H
#define BENCH_PEAK_LOOPS_H

typedef struct peak_loops {
    const char *set;
    /* Multiplies and adds `rounds` times in registers; each round is so many operations. */
    double (*fma_f32)(long rounds), (*fma_f64)(long rounds);
    long flops_f32, flops_f64;
    double (*read)(const float *from, long n);
    void (*triad)(float *to, const float *x, const float *y, long n); /* to = x + 3 y */
} peak_loops;

extern const peak_loops peak_baseline, peak_avx2, peak_avx512;

#endif
