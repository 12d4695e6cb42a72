#include "autograd/trace.h"

#include <string.h>

/* ---- Arrays that grow ---- */

void *grdi_list_add(grdi_list *list, size_t item)
{
    if (list->count == list->capacity) {
        const int64_t capacity = list->capacity ? 2 * list->capacity : 16;
        void *grown = grdi_allocate((size_t)capacity * item);
        if (!grown)
            return grdi_fail_memory("trace", (size_t)capacity * item);
        if (list->count)
            memcpy(grown, list->at, (size_t)list->count * item);
        grdi_free(list->at, (size_t)list->capacity * item);
        list->at = grown;
        list->capacity = capacity;
    }
    return memset((char *)list->at + (size_t)list->count++ * item, 0, item);
}

void grdi_list_free(grdi_list *list, size_t item)
{
    grdi_free(list->at, (size_t)list->capacity * item);
    *list = (grdi_list){ 0 };
}

/* ---- Places ---- */

/* Where the key stands, or the free place where it would. */
static struct grdi_place *place_of(const grdi_places *places, const void *key)
{
    const uint64_t mask = (uint64_t)places->capacity - 1;
    uint64_t at = ((uintptr_t)key >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    while (places->at[at & mask].key && places->at[at & mask].key != key)
        at++;
    return &places->at[at & mask];
}

int64_t grdi_places_find(const grdi_places *places, const void *key)
{
    const struct grdi_place *place = places->capacity ? place_of(places, key) : NULL;
    return place && place->key ? place->index : -1;
}

/* To be at most half full. */
static bool widen(grdi_places *places)
{
    grdi_places wider = { .count = places->count };
    wider.capacity = places->capacity ? 2 * places->capacity : 32;
    const size_t bytes = (size_t)wider.capacity * sizeof *wider.at;
    wider.at = grdi_allocate(bytes);
    if (!wider.at)
        return grdi_fail_memory("trace", bytes);
    memset(wider.at, 0, bytes);
    for (int64_t i = 0; i < places->capacity; i++)
        if (places->at[i].key)
            *place_of(&wider, places->at[i].key) = places->at[i];
    grdi_places_free(places);
    *places = wider;
    return true;
}

bool grdi_places_add(grdi_places *places, const void *key, int64_t index)
{
    if (2 * places->count >= places->capacity && !widen(places))
        return false;
    *place_of(places, key) = (struct grdi_place){ key, index };
    places->count++;
    return true;
}

void grdi_places_free(grdi_places *places)
{
    grdi_free(places->at, (size_t)places->capacity * sizeof *places->at);
    *places = (grdi_places){ 0 };
}
