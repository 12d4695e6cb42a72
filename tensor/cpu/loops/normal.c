#include "tensor/cpu/loops.h"

#include <math.h>

void GRDI_LOOP(normal)(int64_t n, double *y, const uint32_t *words)
{
    const double turn = 6.283185307179586476925;
    for (int64_t i = 0; i < n; i += 2) {
        const double radius = sqrt(-2 * log(((double)words[i] + 1) * 0x1p-32));
        const double angle = turn * 0x1p-32 * (double)words[i + 1];
        y[i] = radius * cos(angle);
        y[i + 1] = radius * sin(angle);
    }
}
