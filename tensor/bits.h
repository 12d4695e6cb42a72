/* Numbers as bits, for the host and for GPUs. */
#ifndef GRDI_BITS_H
#define GRDI_BITS_H

#include "tensor/host_and_device.h"

#include <stdint.h>
#include <string.h>

GRDI_HOST_AND_DEVICE static inline float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

GRDI_HOST_AND_DEVICE static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* x as f32 such that rounding it once more, to far fewer bits, rounds x once: cut off towards zero,
 * with the last bit set if that lost anything (Boldo and Melquiond, "round to odd"). */
GRDI_HOST_AND_DEVICE static inline float odd_f32(double x)
{
    const float near = (float)x;
    const double size = near < 0 ? -(double)near : (double)near, wanted = x < 0 ? -x : x;
    if (size == wanted || x != x)
        return near;
    return of_bits((bits_of(near) - (size > wanted)) | 1u);
}

/* The same for an integer that f64 may be too short for. */
GRDI_HOST_AND_DEVICE static inline double odd_f64(int64_t x)
{
    const uint64_t size = x < 0 ? -(uint64_t)x : (uint64_t)x;
    const uint64_t kept = size >> 53 ? (size >> 11 | ((size & 0x7ff) != 0)) << 11 : size;
    return x < 0 ? -(double)kept : (double)kept;
}

#endif
