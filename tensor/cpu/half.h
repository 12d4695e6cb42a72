/* f16 and bf16 from f32 and back, in operations on bits that compilers turn into vectors. */
#ifndef GRDI_CPU_HALF_H
#define GRDI_CPU_HALF_H

#include "tensor/bits.h"

#include <stdbool.h>

static inline float from_bf16(uint16_t half)
{
    return of_bits((uint32_t)half << 16);
}

/* first ? a : b, without the branch that keeps a loop from becoming vectors. */
static inline uint32_t choose_bits(bool first, uint32_t a, uint32_t b)
{
    return b ^ ((a ^ b) & -(uint32_t)first);
}

/* The bits with f32's exponent are 2^112 times too small, subnormal or not; of inf and NaN all bits
 * of the exponent are set. */
static inline float from_f16(uint16_t half)
{
    const uint32_t sign = (half & 0x8000u) << 16, magnitude = (half & 0x7fffu) << 13;
    const uint32_t special = choose_bits(magnitude >= 0x7c00u << 13, 0x7f800000u, 0);
    return of_bits(sign | bits_of(of_bits(magnitude) * 0x1p112f) | special);
}

static inline uint16_t bf16_of_f32(float x)
{
    const uint32_t bits = bits_of(x), rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return (uint16_t)choose_bits(is_nan, bits >> 16 | 0x40u, rounded);
}

/* The last place of 0.5 is f16's smallest number: added to it, a subnormal is rounded. */
static inline uint16_t f16_of_f32(float x)
{
    const uint32_t sign = bits_of(x) >> 16 & 0x8000u, size = bits_of(x) & 0x7fffffffu;
    const uint32_t small = bits_of(of_bits(size) + 0.5f) - bits_of(0.5f);
    const uint32_t normal = (size + 0xfffu + (size >> 13 & 1u) - (112u << 23)) >> 13;
    const uint32_t nan = 0x7e00u | (size >> 13 & 0x3ffu);
    const uint32_t finite = choose_bits(size < bits_of(0x1p-14f), small, normal);
    const uint32_t number = choose_bits(size < bits_of(0x1p16f), finite, 0x7c00u);
    return (uint16_t)(sign | choose_bits(size > 0x7f800000u, nan, number));
}

#endif
