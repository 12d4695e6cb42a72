#include "tensor/rng.h"

void grdi_draws_begin(grdi_draws *draws)
{
    *draws = (grdi_draws){ .outer = grdi_self.draws };
    grdi_self.draws = draws;
}

void grdi_draws_end(grdi_draws *draws)
{
    grdi_self.draws = draws->outer;
    draws->outer = NULL;
}

void grdi_draws_release(grdi_draws *draws)
{
    for (int i = 0; i < draws->count; i++)
        grdi_release(draws->drawn[i].rng);
    draws->count = 0;
}

void grdi_draws_rewind(const grdi_draws *draws, uint64_t now[GRDI_MAX_DRAWS])
{
    for (int i = 0; i < draws->count; i++) {
        now[i] = draws->drawn[i].rng->state.counter;
        draws->drawn[i].rng->state.counter = draws->drawn[i].counter;
    }
}

void grdi_draws_restore(const grdi_draws *draws, const uint64_t now[GRDI_MAX_DRAWS])
{
    for (int i = 0; i < draws->count; i++)
        draws->drawn[i].rng->state.counter = now[i];
}

static void note(grdi_draws *draws, grd_rng *rng)
{
    for (int i = 0; i < draws->count; i++)
        if (draws->drawn[i].rng == rng)
            return;
    draws->overflow = draws->count == GRDI_MAX_DRAWS;
    if (draws->overflow)
        return;
    draws->drawn[draws->count].rng = grdi_retain(rng);
    draws->drawn[draws->count++].counter = rng->state.counter;
}

void grdi_note_draw(grd_rng *rng)
{
    for (grdi_draws *draws = grdi_self.draws; draws; draws = draws->outer)
        note(draws, rng);
}
