/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a random
 * block is a function of a key and a counter, so any part of a stream is made by itself. */
#ifndef GRDI_PHILOX_H
#define GRDI_PHILOX_H

#include "tensor/host_and_device.h"

#include <stdint.h>

enum { GRDI_HIGH, GRDI_LOW };           /* lanes (tensor/rng.h) */
enum { GRDI_USE_DRAW, GRDI_USE_SPLIT }; /* uses */

/* Turns the counter in `block` into four random words. */
GRDI_HOST_AND_DEVICE static inline void grdi_philox(uint32_t block[4], uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = UINT64_C(0xD2511F53) * block[0], p2 = UINT64_C(0xCD9E8D57) * block[2];
        block[0] = (uint32_t)(p2 >> 32) ^ block[1] ^ k0;
        block[1] = (uint32_t)p2;
        block[2] = (uint32_t)(p0 >> 32) ^ block[3] ^ k1;
        block[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

#endif
