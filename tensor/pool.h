/* The way of most allocations, inlined: a block that this thread freed before, of the same class of
 * sizes. pool.c has all others. */
#ifndef GRDI_POOL_H
#define GRDI_POOL_H

#include <stdbool.h>
#include <stddef.h>

enum {
    GRDI_ALIGNMENT = 64,
    GRDI_CLASSES = 160,       /* four sizes an octave, up to 2^46 bytes */
    GRDI_CACHED_CLASSES = 40, /* those below 64 KB, of which a thread keeps some for itself */
};

typedef struct grdi_block {
    struct grdi_block *next;
} grdi_block;

typedef struct grdi_blocks {
    grdi_block *first;
    int count, most; /* most: beyond it a thread gives some to the others */
} grdi_blocks;

typedef struct grdi_cache {
    grdi_blocks lists[GRDI_CACHED_CLASSES];
} grdi_cache;

/* The class of this many bytes, which is a constant where that is. */
static inline unsigned grdi_size_class(size_t bytes)
{
    const size_t padded = (bytes + GRDI_ALIGNMENT - 1) / GRDI_ALIGNMENT * GRDI_ALIGNMENT;
    if (padded <= GRDI_ALIGNMENT)
        return 0;
    const unsigned octave = 63u - (unsigned)__builtin_clzll(padded - 1);
    const unsigned quarter = (unsigned)((padded - 1) >> (octave - 2)) & 3u;
    return 1 + (octave - 6) * 4 + quarter;
}

/* pool.c: whether the allocator wants every block back at once; and what to do where the thread has
 * no such block, or no room for one more. */
extern bool grdi_uncached;
void *grdi_allocate_elsewhere(size_t bytes);
void grdi_free_elsewhere(void *block, size_t bytes);

static inline void *grdi_take(grdi_cache *cache, size_t bytes)
{
    const unsigned class = grdi_size_class(bytes);
    if (!cache || class >= GRDI_CACHED_CLASSES || !cache->lists[class].first)
        return grdi_allocate_elsewhere(bytes);
    grdi_blocks *list = &cache->lists[class];
    grdi_block *taken = list->first;
    list->first = taken->next;
    list->count--;
    return taken;
}

static inline void grdi_put(grdi_cache *cache, void *freed, size_t bytes)
{
    const unsigned class = grdi_size_class(bytes);
    if (!cache || grdi_uncached || class >= GRDI_CACHED_CLASSES ||
        cache->lists[class].count >= cache->lists[class].most) {
        grdi_free_elsewhere(freed, bytes);
        return;
    }
    grdi_blocks *list = &cache->lists[class];
    grdi_block *block = freed;
    block->next = list->first;
    list->first = block;
    list->count++;
}

#endif
