/* Random streams. Philox's counter of 128 bits is the block's number (64 bits), a lane (32) and a
 * use (32). Element i of a draw has 64 random bits: word i % 4 of block start + i / 4 in lane 0,
 * the upper 32, and in lane 1, the lower. Most numbers need the upper alone. */
#ifndef GRDI_RNG_H
#define GRDI_RNG_H

#include "tensor/backend.h"
#include "tensor/object.h"
#include "tensor/philox.h"

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

/* The generators that something draws from, and where they stood before: to compute it again with
 * the same numbers. Between begin and end, on this thread; begin may be nested. */
enum { GRDI_MAX_DRAWS = 8 };
typedef struct grdi_draws {
    struct grdi_draws *outer;
    int count;
    struct {
        grd_rng *rng; /* held */
        uint64_t counter;
    } drawn[GRDI_MAX_DRAWS];
    bool overflow; /* more than there is room for */
} grdi_draws;

void grdi_draws_begin(grdi_draws *draws);
void grdi_draws_end(grdi_draws *draws);
void grdi_draws_release(grdi_draws *draws);
/* Sets the generators to where they stood, and notes where they stand now; and back to that. */
void grdi_draws_rewind(const grdi_draws *draws, uint64_t now[GRDI_MAX_DRAWS]);
void grdi_draws_restore(const grdi_draws *draws, const uint64_t now[GRDI_MAX_DRAWS]);
void grdi_note_draw(grd_rng *rng);

/* Where the next draw starts, and going past a draw of so many elements, to be done when it
 * succeeded. */
static inline grdi_draw grdi_rng_next(const grd_rng *rng)
{
    return (grdi_draw){ rng->state.key, rng->state.counter };
}

/* The 64 random bits of element i. For single numbers: kernels make blocks. */
static inline uint64_t grdi_random_bits(grdi_draw at, uint64_t i)
{
    const uint64_t number = at.counter + i / 4;
    uint32_t high[4] = { (uint32_t)number, (uint32_t)(number >> 32), GRDI_HIGH, GRDI_USE_DRAW };
    uint32_t low[4] = { (uint32_t)number, (uint32_t)(number >> 32), GRDI_LOW, GRDI_USE_DRAW };
    grdi_philox(high, at.key);
    grdi_philox(low, at.key);
    return (uint64_t)high[i % 4] << 32 | low[i % 4];
}

/* 64 random bits as a number in [0, range), by the upper half of their product: none is likelier
 * than another by more than range / 2^64 of its probability. */
static inline uint64_t grdi_scaled(uint64_t bits, uint64_t range)
{
    __extension__ typedef unsigned __int128 product;
    return (uint64_t)((product)bits * range >> 64);
}

static inline grdi_draw grdi_draw_past(grdi_draw draw, int64_t elements)
{
    draw.counter += ((uint64_t)elements + 3) / 4;
    return draw;
}

static inline void grdi_rng_advance(grd_rng *rng, int64_t elements)
{
    if (grdi_self.draws)
        grdi_note_draw(rng);
    rng->state.counter = grdi_draw_past(grdi_rng_next(rng), elements).counter;
}

#endif
