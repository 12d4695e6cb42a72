/* The key/value cache from inside: for the attention module, and for what runs several of them. */
#ifndef GRDI_NN_CACHE_H
#define GRDI_NN_CACHE_H

#include "nn/attention.h"

/* Whether `tokens` more keys and values of `batch` rows of self may go into the cache in a call of
 * these args. False with an error latched. */
bool grdi_kv_check(const char *op, const grd_mha_args *args, const grd_module *self, int64_t batch,
                   int64_t tokens);

/* Puts the call's keys and values (..., H, T + appended, D) behind those that the cache has of
 * self, and gives the call all of them. They count once the call has advanced by T: till then, and
 * after a failure, the cache is as it was. */
bool grdi_kv_extend(grd_cache *cache, const grd_module *self, grdi_sdpa_call *call);
void grdi_kv_advance(grd_cache *cache, const grd_module *self, int64_t tokens);

/* How many keys the cache has of the attention modules in self; cache NULL: 0. */
int64_t grdi_kv_length_in(const grd_cache *cache, const grd_module *self);

/* Around a call that runs several modules: with an error latched at its end, they all go back to
 * where they were at the mark. The cache may be NULL. */
int64_t grdi_kv_mark(const grd_cache *cache);
void grdi_kv_settle(grd_cache *cache, int64_t mark);

#endif
