/* The vector of AVX-512: included by vector.h. */
#ifndef GRDI_CPU_FAST_VECTOR_AVX512_H
#define GRDI_CPU_FAST_VECTOR_AVX512_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

enum { LANES = 16, REGISTERS = 32 };
typedef __m512 vec;

static inline vec all(float x)
{
    return _mm512_set1_ps(x);
}

static inline vec load(const float *from)
{
    return _mm512_loadu_ps(from);
}

static inline void store(float *to, vec x)
{
    _mm512_storeu_ps(to, x);
}

/* The first n < LANES elements; the others are `rest`, or are not written. */
static inline vec load_part(const float *from, int64_t n, vec rest)
{
    return _mm512_mask_loadu_ps(rest, (__mmask16)((1u << n) - 1), from);
}

static inline void store_part(float *to, int64_t n, vec x)
{
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << n) - 1), x);
}

typedef __mmask16 lanes;

static inline lanes first_lanes(int64_t n) /* all, if n is LANES or more */
{
    return (lanes)(n < LANES ? (1u << n) - 1 : 0xffff);
}

static inline lanes lanes_of(const bool *from) /* LANES of them */
{
    const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
    return _mm512_test_epi32_mask(wide, wide);
}

static inline vec choose(lanes where, vec a, vec b) /* a where, else b */
{
    return _mm512_mask_mov_ps(b, where, a);
}

static inline vec mul_add(vec a, vec b, vec c) /* a b + c */
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vec max(vec a, vec b) /* b where either is NaN */
{
    return _mm512_max_ps(a, b);
}

static inline vec min(vec a, vec b) /* b where either is NaN */
{
    return _mm512_min_ps(a, b);
}

static inline vec magnitude(vec x) /* |x| */
{
    return _mm512_abs_ps(x);
}

/* a where x is negative, or -0, else b; a where x < y, else b; |x| with the sign of y. */
static inline vec where_negative(vec x, vec a, vec b)
{
    const __mmask16 signs = _mm512_cmplt_epi32_mask(_mm512_castps_si512(x), _mm512_setzero_si512());
    return _mm512_mask_blend_ps(signs, b, a);
}

static inline vec where_less(vec x, vec y, vec a, vec b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a);
}

static inline bool all_within(vec x, float low, float high) /* false if one is NaN */
{
    return (_mm512_cmp_ps_mask(x, all(low), _CMP_GE_OQ) &
            _mm512_cmp_ps_mask(x, all(high), _CMP_LE_OQ)) == 0xffff;
}

static inline vec with_sign(vec x, vec y)
{
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(sign, _mm512_castps_si512(y), _mm512_castps_si512(x), 0xca));
}

static inline vec square_root(vec x)
{
    return _mm512_sqrt_ps(x);
}

static inline vec nearest(vec x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vec scale(vec x, vec n) /* x 2^n for a whole n from -150 to 127 */
{
    return _mm512_scalef_ps(x, n);
}

/* x 2^n for the whole number n that is nearest to y, -127 <= y <= 0, by shifted(y). */
static inline vec shifted(vec y)
{
    return nearest(y);
}

static inline vec unshifted(vec n)
{
    return n;
}

static inline vec scale_shifted(vec x, vec n) /* 0 for -127, as in all sets */
{
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(n, all(-127), _CMP_NEQ_UQ), x, n);
}

static inline vec scale_far(vec x, vec n) /* the same up to 150, rounded once */
{
    return _mm512_scalef_ps(x, n);
}

static inline float sum_of(vec x)
{
    return _mm512_reduce_add_ps(x);
}

static inline float max_of(vec x)
{
    return _mm512_reduce_max_ps(x);
}

/* LANES / 2 doubles: half of a vector of floats, for sums that need to be exact. */
typedef __m512d wide;

static inline wide wide_all(double x)
{
    return _mm512_set1_pd(x);
}

static inline wide wide_load(const double *from)
{
    return _mm512_loadu_pd(from);
}

static inline void wide_store(double *to, wide x)
{
    _mm512_storeu_pd(to, x);
}

static inline wide low_half(vec x)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

static inline wide high_half(vec x)
{
    const __m512d bits = _mm512_castps_pd(x);
    return _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(bits, 1)));
}

static inline vec narrow(wide low, wide high) /* both halves, rounded */
{
    const __m512d bits = _mm512_castps_pd(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)));
    return _mm512_castpd_ps(_mm512_insertf64x4(bits, _mm256_castps_pd(_mm512_cvtpd_ps(high)), 1));
}

static inline wide wide_mul_add(wide a, wide b, wide c)
{
    return _mm512_fmadd_pd(a, b, c);
}

static inline double wide_sum_of(wide x)
{
    return _mm512_reduce_add_pd(x);
}

#endif
