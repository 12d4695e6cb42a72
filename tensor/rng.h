/* Random streams. Philox's counter of 128 bits is the block's number (64 bits), a lane (32) and a
 * use (32). Element i of a draw has 64 random bits: word i % 4 of block start + i / 4 in lane 0,
 * the upper 32, and in lane 1, the lower. Most numbers need the upper alone. */
#ifndef GRDI_RNG_H
#define GRDI_RNG_H

#include "tensor/backend.h"
#include "tensor/object.h"

enum { GRDI_USE_DRAW, GRDI_USE_SPLIT };

/* All there is to save of a generator. */
typedef struct grdi_rng_state {
    uint64_t seed;    /* as given to the stream that this one was split from; never changes */
    uint64_t key;     /* of the stream */
    uint64_t counter; /* blocks used so far */
} grdi_rng_state;

struct grd_rng {
    grdi_object object;
    grdi_rng_state state;
};

/* Where the next draw starts, and going past a draw of so many elements, to be done when it
 * succeeded. */
static inline grdi_draw grdi_rng_next(const grd_rng *rng)
{
    return (grdi_draw){ rng->state.key, rng->state.counter };
}

static inline void grdi_rng_advance(grd_rng *rng, int64_t elements)
{
    rng->state.counter += ((uint64_t)elements + 3) / 4;
}

#endif
