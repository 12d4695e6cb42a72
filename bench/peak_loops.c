#include "bench/peak_loops.h"

#include <string.h>

#if defined(__AVX512F__)
enum { BYTES = 64, CHAINS = 16 };
#elif defined(__AVX2__)
enum { BYTES = 32, CHAINS = 12 };
#else
enum { BYTES = 16, CHAINS = 12 };
#endif
enum { READS = 8 };

/* Chains enough to hide the latency of an operation, few enough to stay in registers. They tend to
 * 1, so that no number is ever slow; what they start from is unknown to the compiler. */
#define FMA(name, type)                                                                            \
    typedef type name##_vec __attribute__((vector_size(BYTES)));                                   \
    enum { name##_LANES = BYTES / sizeof(type) };                                                  \
    static double name(long rounds)                                                                \
    {                                                                                              \
        name##_vec a[CHAINS], x = { 0 }, y = { 0 };                                                \
        double sum = 0;                                                                            \
        x += (type)0.999;                                                                          \
        y += (type)0.001;                                                                          \
        for (int i = 0; i < CHAINS; i++)                                                           \
            a[i] = x + (type)(rounds % 7 + i);                                                     \
        for (long r = 0; r < rounds; r++) {                                                        \
            _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++) a[i] = a[i] * x + y;         \
        }                                                                                          \
        for (int i = 0; i < CHAINS; i++)                                                           \
            for (int l = 0; l < name##_LANES; l++)                                                 \
                sum += (double)a[i][l];                                                            \
        return sum;                                                                                \
    }
FMA(fma_f32, float)
FMA(fma_f64, double)

static double read_all(const float *from, long n)
{
    fma_f32_vec sums[READS] = { { 0 } };
    double sum = 0;
    for (long i = 0; i + READS * fma_f32_LANES <= n; i += READS * fma_f32_LANES) {
#pragma GCC unroll 8
        for (int j = 0; j < READS; j++) {
            fma_f32_vec x;
            memcpy(&x, from + i + j * fma_f32_LANES, sizeof x);
            sums[j] += x;
        }
    }
    for (int j = 0; j < READS; j++)
        for (int l = 0; l < fma_f32_LANES; l++)
            sum += (double)sums[j][l];
    return sum;
}

static void triad(float *restrict to, const float *restrict x, const float *restrict y, long n)
{
    for (long i = 0; i < n; i++)
        to[i] = x[i] + 3 * y[i];
}

const peak_loops PEAK_SET = {
    .set = PEAK_NAME,
    .fma_f32 = fma_f32,
    .fma_f64 = fma_f64,
    .flops_f32 = 2L * CHAINS * fma_f32_LANES,
    .flops_f64 = 2L * CHAINS * fma_f64_LANES,
    .read = read_all,
    .triad = triad,
};
