#include "tensor/cpu/half.h"
#include "tensor/cpu/loops.h"

#include <immintrin.h>

/* By F16C, which has vectors of eight whatever the set. */
enum { EIGHT = 8 };

void GRDI_LOOP(f16_of_f32)(int64_t n, uint16_t *y, const float *x)
{
    int64_t i = 0;
    for (; i + EIGHT <= n; i += EIGHT)
        _mm_storeu_si128((__m128i *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        y[i] = f16_of_f32(x[i]);
}

/* Unlike from_f16 it makes signalling NaN quiet. */
void GRDI_LOOP(f32_of_f16)(int64_t n, float *y, const uint16_t *x)
{
    int64_t i = 0;
    for (; i + EIGHT <= n; i += EIGHT)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    for (; i < n; i++)
        y[i] = from_f16(x[i]);
}
