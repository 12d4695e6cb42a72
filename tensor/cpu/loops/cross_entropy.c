#include "tensor/cpu/loops.h"

#include <math.h>

void GRDI_LOOP(cross_entropy_backward_f32)(int64_t n, float *dx, const float *x, double lse,
                                           float scale, float spread)
{
    const float shift = (float)lse, rest = (float)(lse - (double)shift);
    for (int64_t i = 0; i < n; i++)
        dx[i] = scale * (expf(x[i] - shift - rest) - spread);
}
