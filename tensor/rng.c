#include "tensor/rng.h"

static void rng_destroy(void *object)
{
    grdi_free(object, sizeof(grd_rng));
}

static const grdi_type rng_type = { "generator", rng_destroy };

static grd_rng *rng_of(const char *op, const grdi_rng_state *state)
{
    if (!grdi_may_make(op))
        return NULL;
    grd_rng *rng = grdi_allocate(sizeof *rng);
    if (!rng)
        return grdi_fail_memory(op, sizeof *rng);
    grdi_object_init(&rng->object, &rng_type);
    rng->state = *state;
    grdi_scope_own(&rng->object);
    return rng;
}

grd_rng *grd_rng_create(uint64_t seed)
{
    return rng_of("rng_create", &(grdi_rng_state){ .seed = seed, .key = seed });
}

/* FNV-1a. */
static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

grd_rng *grd_rng_split(const grd_rng *rng, const char *name)
{
    if (!rng || !name)
        return grdi_fail_null("rng_split");
    const uint64_t number = hash(name);
    uint32_t block[4] = { (uint32_t)number, (uint32_t)(number >> 32), 0, GRDI_USE_SPLIT };
    grdi_philox(block, rng->state.key);
    return rng_of("rng_split", &(grdi_rng_state){
                                   .seed = rng->state.seed,
                                   .key = (uint64_t)block[1] << 32 | block[0],
                               });
}
