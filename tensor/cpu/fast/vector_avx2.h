/* The vector of AVX2 with FMA: included by vector.h. */
#ifndef GRDI_CPU_FAST_VECTOR_AVX2_H
#define GRDI_CPU_FAST_VECTOR_AVX2_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

enum { LANES = 8, REGISTERS = 16 };
typedef __m256 vec;

static inline vec all(float x)
{
    return _mm256_set1_ps(x);
}

static inline vec load(const float *from)
{
    return _mm256_loadu_ps(from);
}

static inline void store(float *to, vec x)
{
    _mm256_storeu_ps(to, x);
}

static inline __m256i first_lanes(int64_t n)
{
    const int count = n < LANES ? (int)n : LANES;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vec load_part(const float *from, int64_t n, vec rest)
{
    const __m256i mask = first_lanes(n);
    return _mm256_blendv_ps(rest, _mm256_maskload_ps(from, mask), _mm256_castsi256_ps(mask));
}

static inline void store_part(float *to, int64_t n, vec x)
{
    _mm256_maskstore_ps(to, first_lanes(n), x);
}

typedef __m256i lanes;

static inline lanes lanes_of(const bool *from)
{
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from));
    return _mm256_cmpgt_epi32(wide, _mm256_setzero_si256());
}

static inline vec choose(lanes where, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(where));
}

static inline vec mul_add(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

static inline vec min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

static inline vec magnitude(vec x)
{
    return _mm256_andnot_ps(all(-0.0f), x);
}

static inline vec where_negative(vec x, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, x);
}

static inline vec where_less(vec x, vec y, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ));
}

static inline bool all_within(vec x, float low, float high)
{
    const vec above = _mm256_cmp_ps(x, all(low), _CMP_GE_OQ);
    const vec below = _mm256_cmp_ps(x, all(high), _CMP_LE_OQ);
    return _mm256_movemask_ps(_mm256_and_ps(above, below)) == 0xff;
}

static inline vec with_sign(vec x, vec y)
{
    return _mm256_or_ps(magnitude(x), _mm256_and_ps(all(-0.0f), y));
}

static inline vec square_root(vec x)
{
    return _mm256_sqrt_ps(x);
}

static inline vec nearest(vec x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The same, but 0 where 2^n is no normal number, from -127 down. */
static inline vec scale(vec x, vec n)
{
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    const __m256i kept = _mm256_max_epi32(exponent, _mm256_setzero_si256());
    return x * _mm256_castsi256_ps(_mm256_slli_epi32(kept, 23));
}

/* x 2^n for the whole number n that is nearest to y, -127 <= y <= 0, by shifted(y): its last bits
 * are n's with the exponent's offset, of which -127 is 0. unshifted gives n. */
static inline vec shifted(vec y)
{
    return y + all(12582912.0f + 127);
}

static inline vec unshifted(vec n)
{
    return n - all(12582912.0f + 127);
}

static inline vec scale_shifted(vec x, vec n)
{
    return x * _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(n), 23));
}

/* In two steps, each by a normal number. */
static inline vec scale_far(vec x, vec n)
{
    const vec half = nearest(n * all(0.5f));
    return scale(scale(x, half), n - half);
}

static inline float sum_of(vec x)
{
    __m128 four = _mm256_castps256_ps128(x) + _mm256_extractf128_ps(x, 1);
    four += _mm_movehl_ps(four, four);
    return _mm_cvtss_f32(four + _mm_movehdup_ps(four));
}

typedef __m256d wide;

static inline wide wide_all(double x)
{
    return _mm256_set1_pd(x);
}

static inline wide wide_load(const double *from)
{
    return _mm256_loadu_pd(from);
}

static inline void wide_store(double *to, wide x)
{
    _mm256_storeu_pd(to, x);
}

static inline wide low_half(vec x)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}

static inline wide high_half(vec x)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}

static inline vec narrow(wide low, wide high)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low));
}

static inline wide wide_mul_add(wide a, wide b, wide c)
{
    return _mm256_fmadd_pd(a, b, c);
}

static inline double wide_sum_of(wide x)
{
    const __m128d two = _mm256_castpd256_pd128(x) + _mm256_extractf128_pd(x, 1);
    return _mm_cvtsd_f64(two + _mm_unpackhi_pd(two, two));
}

static inline float max_of(vec x)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ps(four, _mm_movehdup_ps(four)));
}

#endif
