#include "tensor/cpu/loops.h"

#include <string.h>

/* By masks: with a branch compilers do not vectorise it. */
void GRDI_LOOP(dropout_f32)(int64_t n, float *y, const float *x, const uint32_t *words,
                            uint32_t dropped, float scale)
{
    GRDI_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        const float scaled = x[i] * scale;
        uint32_t bits;
        memcpy(&bits, &scaled, sizeof bits);
        bits &= words[i] < dropped ? 0 : UINT32_MAX;
        memcpy(&y[i], &bits, sizeof bits);
    }
}
