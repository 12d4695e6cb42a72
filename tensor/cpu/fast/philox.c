#include "tensor/philox.h"
#include "tensor/cpu/loops.h"

#include <immintrin.h>

/* Words in the lower halves of 64-bit lanes, as the product of two wants them; what is in the upper
 * halves does not matter. Blocks stand in the lanes such that the lower and upper lanes of pairs,
 * put together, are in order. */
#ifdef __AVX512F__

enum { LANES = 8, GROUPS = 4 };
typedef __m512i wide;

static inline wide all(uint64_t x)
{
    return _mm512_set1_epi64((long long)x);
}

static inline wide numbers(uint64_t first)
{
    return _mm512_add_epi64(all(first), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
}

static inline wide mul(wide a, wide b)
{
    return _mm512_mul_epu32(a, b);
}

static inline wide upper(wide x)
{
    return _mm512_srli_epi64(x, 32);
}

static inline wide xor3(wide a, wide b, wide c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/* Words i of all blocks, to be stored block by block. */
static inline void store(uint32_t *to, const wide x[4])
{
    const __mmask16 odd = 0xaaaa;
    const wide first = _mm512_mask_blend_epi32(odd, x[0], _mm512_slli_epi64(x[1], 32));
    const wide last = _mm512_mask_blend_epi32(odd, x[2], _mm512_slli_epi64(x[3], 32));
    _mm512_storeu_si512(to, _mm512_unpacklo_epi64(first, last));
    _mm512_storeu_si512(to + 16, _mm512_unpackhi_epi64(first, last));
}

#else

enum { LANES = 4, GROUPS = 2 };
typedef __m256i wide;

static inline wide all(uint64_t x)
{
    return _mm256_set1_epi64x((long long)x);
}

static inline wide numbers(uint64_t first)
{
    return _mm256_add_epi64(all(first), _mm256_setr_epi64x(0, 2, 1, 3));
}

static inline wide mul(wide a, wide b)
{
    return _mm256_mul_epu32(a, b);
}

static inline wide upper(wide x)
{
    return _mm256_srli_epi64(x, 32);
}

static inline wide xor3(wide a, wide b, wide c)
{
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}

static inline void store(uint32_t *to, const wide x[4])
{
    const wide first = _mm256_blend_epi32(x[0], _mm256_slli_epi64(x[1], 32), 0xaa);
    const wide last = _mm256_blend_epi32(x[2], _mm256_slli_epi64(x[3], 32), 0xaa);
    _mm256_storeu_si256((wide *)to, _mm256_unpacklo_epi64(first, last));
    _mm256_storeu_si256((wide *)(to + 8), _mm256_unpackhi_epi64(first, last));
}

#endif

/* One round of grdi_philox. */
static inline void round_of(wide x[4], uint32_t k0, uint32_t k1)
{
    const wide p0 = mul(x[0], all(0xD2511F53)), p2 = mul(x[2], all(0xCD9E8D57));
    x[0] = xor3(upper(p2), x[1], all(k0));
    x[1] = p2;
    x[2] = xor3(upper(p0), x[3], all(k1));
    x[3] = p0;
}

/* Several groups, since one alone would wait for its products. */
static void many(uint32_t *words, uint64_t key, uint64_t counter, uint32_t lane)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    wide x[GROUPS][4];
    for (int g = 0; g < GROUPS; g++) {
        x[g][0] = numbers(counter + (uint64_t)(g * LANES));
        x[g][1] = upper(x[g][0]);
        x[g][2] = all(lane);
        x[g][3] = all(0);
    }
    for (int round = 0; round < 10; round++) {
        for (int g = 0; g < GROUPS; g++)
            round_of(x[g], k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int g = 0; g < GROUPS; g++)
        store(words + 4 * g * LANES, x[g]);
}

void GRDI_LOOP(philox)(int64_t blocks, uint32_t *words, uint64_t key, uint64_t counter,
                       uint32_t lane)
{
    int64_t b = 0;
    for (; b + GROUPS * LANES <= blocks; b += GROUPS * LANES)
        many(words + 4 * b, key, counter + (uint64_t)b, lane);
    for (; b < blocks; b++) {
        const uint64_t number = counter + (uint64_t)b;
        uint32_t block[4] = { (uint32_t)number, (uint32_t)(number >> 32), lane, 0 };
        grdi_philox(block, key);
        for (int i = 0; i < 4; i++)
            words[4 * b + i] = block[i];
    }
}
