#include "tensor/cpu/loops.h"

/* Sixteen sums side by side, for the compiler to keep in vectors. Gradients are read from memory,
 * which is asked for them ahead. */
double GRDI_LOOP(square_sum_f32)(int64_t n, const float *x)
{
    enum { SUMS = 16, AHEAD = 512 };
    double sums[SUMS] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + SUMS <= n; i += SUMS) {
        __builtin_prefetch(x + i + AHEAD);
        for (int s = 0; s < SUMS; s++)
            sums[s] += (double)x[i + s] * (double)x[i + s];
    }
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (int s = 0; s < SUMS; s++)
        sum += sums[s];
    return sum;
}
