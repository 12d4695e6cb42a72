#include "tensor/philox.h"
#include "tensor/cpu/loops.h"

void GRDI_LOOP(philox)(int64_t blocks, uint32_t *words, uint64_t key, uint64_t counter,
                       uint32_t lane)
{
    for (int64_t b = 0; b < blocks; b++) {
        const uint64_t number = counter + (uint64_t)b;
        uint32_t block[4] = { (uint32_t)number, (uint32_t)(number >> 32), lane, 0 };
        grdi_philox(block, key);
        for (int i = 0; i < 4; i++)
            words[4 * b + i] = block[i];
    }
}
