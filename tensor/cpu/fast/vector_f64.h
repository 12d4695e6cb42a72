/* The vector of doubles of each set, with what attention needs: included by vector.h, whose
 * comments hold. */
#ifndef GRDI_CPU_FAST_VECTOR_F64_H
#define GRDI_CPU_FAST_VECTOR_F64_H

#ifdef __AVX2__
#include <immintrin.h>
#endif
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef double real;

#if defined(__AVX512F__)

enum { LANES = 8, REGISTERS = 32 };
typedef __m512d vec;
typedef __mmask8 lanes;

static inline vec all(double x)
{
    return _mm512_set1_pd(x);
}

static inline vec load(const double *from)
{
    return _mm512_loadu_pd(from);
}

static inline void store(double *to, vec x)
{
    _mm512_storeu_pd(to, x);
}

static inline lanes first_lanes(int64_t n)
{
    return (lanes)(n < LANES ? (1u << n) - 1 : 0xff);
}

static inline vec choose(lanes where, vec a, vec b)
{
    return _mm512_mask_mov_pd(b, where, a);
}

static inline vec load_part(const double *from, int64_t n, vec rest)
{
    return _mm512_mask_loadu_pd(rest, first_lanes(n), from);
}

static inline void store_part(double *to, int64_t n, vec x)
{
    _mm512_mask_storeu_pd(to, first_lanes(n), x);
}

static inline vec mul_add(vec a, vec b, vec c)
{
    return _mm512_fmadd_pd(a, b, c);
}

static inline vec max(vec a, vec b)
{
    return _mm512_max_pd(a, b);
}

static inline vec min(vec a, vec b)
{
    return _mm512_min_pd(a, b);
}

static inline vec shifted_bits(vec n)
{
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(n), 52));
}

#elif defined(__AVX2__)

enum { LANES = 4, REGISTERS = 16 };
typedef __m256d vec;
typedef __m256i lanes;

static inline vec all(double x)
{
    return _mm256_set1_pd(x);
}

static inline vec load(const double *from)
{
    return _mm256_loadu_pd(from);
}

static inline void store(double *to, vec x)
{
    _mm256_storeu_pd(to, x);
}

static inline lanes first_lanes(int64_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

static inline vec choose(lanes where, vec a, vec b)
{
    return _mm256_blendv_pd(b, a, _mm256_castsi256_pd(where));
}

static inline vec load_part(const double *from, int64_t n, vec rest)
{
    return choose(first_lanes(n), _mm256_maskload_pd(from, first_lanes(n)), rest);
}

static inline void store_part(double *to, int64_t n, vec x)
{
    _mm256_maskstore_pd(to, first_lanes(n), x);
}

static inline vec mul_add(vec a, vec b, vec c)
{
    return _mm256_fmadd_pd(a, b, c);
}

static inline vec max(vec a, vec b)
{
    return _mm256_max_pd(a, b);
}

static inline vec min(vec a, vec b)
{
    return _mm256_min_pd(a, b);
}

static inline vec shifted_bits(vec n)
{
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(n), 52));
}

#else

enum { LANES = 2, REGISTERS = 16 };
typedef double vec __attribute__((vector_size(16)));
typedef int64_t lanes __attribute__((vector_size(16)));

static inline vec all(double x)
{
    return (vec){ x, x };
}

static inline vec load(const double *from)
{
    vec x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline void store(double *to, vec x)
{
    memcpy(to, &x, sizeof x);
}

static inline lanes first_lanes(int64_t n)
{
    return (lanes){ 0, 1 } < (lanes){ n, n };
}

static inline vec choose(lanes where, vec a, vec b)
{
    return (vec)((where & (lanes)a) | (~where & (lanes)b));
}

static inline vec load_part(const double *from, int64_t n, vec rest)
{
    memcpy(&rest, from, (size_t)n * sizeof(double));
    return rest;
}

static inline void store_part(double *to, int64_t n, vec x)
{
    memcpy(to, &x, (size_t)n * sizeof(double));
}

static inline vec mul_add(vec a, vec b, vec c)
{
    return a * b + c;
}

static inline vec max(vec a, vec b)
{
    return choose(a > b, a, b);
}

static inline vec min(vec a, vec b)
{
    return choose(a < b, a, b);
}

static inline vec shifted_bits(vec n)
{
    return (vec)((lanes)n << 52);
}

#endif

#ifdef __AVX2__
static inline void transpose_four(double *to, int64_t to_row, const double *from, int64_t from_row)
{
    const __m256d x0 = _mm256_loadu_pd(from), x1 = _mm256_loadu_pd(from + from_row),
                  x2 = _mm256_loadu_pd(from + 2 * from_row),
                  x3 = _mm256_loadu_pd(from + 3 * from_row);
    const __m256d even = _mm256_unpacklo_pd(x0, x1), odd = _mm256_unpackhi_pd(x0, x1);
    const __m256d even2 = _mm256_unpacklo_pd(x2, x3), odd2 = _mm256_unpackhi_pd(x2, x3);
    _mm256_storeu_pd(to, _mm256_permute2f128_pd(even, even2, 0x20));
    _mm256_storeu_pd(to + to_row, _mm256_permute2f128_pd(odd, odd2, 0x20));
    _mm256_storeu_pd(to + 2 * to_row, _mm256_permute2f128_pd(even, even2, 0x31));
    _mm256_storeu_pd(to + 3 * to_row, _mm256_permute2f128_pd(odd, odd2, 0x31));
}
#else
static inline void transpose_four(double *to, int64_t to_row, const double *from, int64_t from_row)
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            to[j * to_row + i] = from[i * from_row + j];
}
#endif

/* e^x for x <= 0, within one unit in the last place; 0 below 2^-1022, and for -inf; NaN itself. The
 * series ends where it no longer counts on |r| <= ln(2) / 2. Adding `far` leaves no room for a
 * fraction, and the whole number, with the exponent's offset, in the last bits. */
static inline vec exp_negative(vec x)
{
    static const double terms[] = { 1.0 / 479001600,
                                    1.0 / 39916800,
                                    1.0 / 3628800,
                                    1.0 / 362880,
                                    1.0 / 40320,
                                    1.0 / 5040,
                                    1.0 / 720,
                                    1.0 / 120,
                                    1.0 / 24,
                                    1.0 / 6,
                                    0.5,
                                    1,
                                    1 };
    const vec far = all(6755399441055744.0 + 1023);
    x = max(all(-709.09), x);
    const vec shifted = mul_add(x, all(1.4426950408889634), far), n = shifted - far;
    const vec r = mul_add(n, all(-1.9082149292705877e-10), mul_add(n, all(-0.6931471803691238), x));
    vec p = all(1.0 / 6227020800);
#pragma GCC unroll 13
    for (int i = 0; i < 13; i++)
        p = mul_add(p, r, all(terms[i]));
    return p * shifted_bits(shifted);
}

#endif
