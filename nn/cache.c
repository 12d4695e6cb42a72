#include "nn/cache.h"

#include <string.h>

/* What is kept of one attention module. */
typedef struct entry {
    struct entry *next;
    const grd_module *module; /* below the cache's model, and so alive */
    grd_tensor *key, *value;  /* (..., H, max_length + appended, D), held */
    int64_t length;           /* of which this many count */
    int64_t before, turn;     /* its length before its last turn, and which turn of all that was */
} entry;

struct grd_cache {
    grdi_object object;
    grd_module *model; /* held */
    int64_t batch, max_length, turns;
    entry *entries; /* made when a module first runs: which ones do is the caller's business */
};

enum { MOST_APPENDED = 2 }; /* add_bias_kv, add_zero_attn */

static const int64_t most_tokens = (int64_t)1 << 40; /* so that sums of lengths do not overflow */

/* ---- Making one ---- */

static void cache_destroy(void *object)
{
    grd_cache *cache = object;
    for (entry *e = cache->entries, *next; e; e = next) {
        next = e->next;
        grdi_release(e->key);
        grdi_release(e->value);
        grdi_free(e, sizeof *e);
    }
    grdi_release(cache->model);
    grdi_free(cache, sizeof *cache);
}

static const grdi_type cache_type = { "cache", cache_destroy };

grd_cache *grd_cache_create(grd_module *model, int64_t batch, int64_t max_length)
{
    const char *op = "cache_create";
    if (!model)
        return grdi_fail_null(op);
    if (!grdi_may_make(op))
        return NULL;
    if (batch < 1 || max_length < 1 || max_length > most_tokens)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "batch is %lld and max_length %lld: both are positive, and max_length is "
                         "at most %lld",
                         (long long)batch, (long long)max_length, (long long)most_tokens);
    grd_cache *cache = grdi_allocate(sizeof *cache);
    if (!cache)
        return grdi_fail_memory(op, sizeof *cache);
    memset(cache, 0, sizeof *cache);
    grdi_object_init(&cache->object, &cache_type);
    cache->model = grdi_retain(model);
    cache->batch = batch;
    cache->max_length = max_length;
    grdi_scope_own(&cache->object);
    return cache;
}

/* ---- Lengths ---- */

static entry *entry_of(const grd_cache *cache, const grd_module *module)
{
    entry *e = cache->entries;
    while (e && e->module != module)
        e = e->next;
    return e;
}

static int64_t length_of(const grd_cache *cache, const grd_module *module)
{
    const entry *e = entry_of(cache, module);
    return e ? e->length : 0;
}

/* Of the modules that have run, the one with the least, or the most; NULL if none has. */
static const entry *shortest(const grd_cache *cache)
{
    const entry *found = NULL;
    for (const entry *e = cache->entries; e; e = e->next)
        if (e->length && (!found || e->length < found->length))
            found = e;
    return found;
}

static const entry *longest(const grd_cache *cache)
{
    const entry *found = NULL;
    for (const entry *e = cache->entries; e; e = e->next)
        if (e->length && (!found || e->length > found->length))
            found = e;
    return found;
}

int64_t grd_cache_length(const grd_cache *cache)
{
    const entry *e = cache ? shortest(cache) : NULL;
    return e ? e->length : 0;
}

int64_t grdi_kv_length_in(const grd_cache *cache, const grd_module *self)
{
    for (const entry *e = cache ? cache->entries : NULL; e; e = e->next)
        if (e->length && grdi_module_is_below(e->module, self))
            return e->length;
    return 0;
}

grd_status grd_cache_truncate(grd_cache *cache, int64_t length)
{
    const char *op = "cache_truncate";
    if (!cache)
        grdi_fail_null(op);
    else if (length < 0 || length > grd_cache_length(cache))
        grdi_fail(GRD_ERROR_ARGUMENT, op, "length is %lld, expected 0 to the cached %lld",
                  (long long)length, (long long)grd_cache_length(cache));
    if (!grdi_latched())
        for (entry *e = cache->entries; e; e = e->next)
            e->length = e->length < length ? e->length : length;
    return grdi_self.latched;
}

int64_t grdi_kv_mark(const grd_cache *cache)
{
    return cache ? cache->turns : 0;
}

void grdi_kv_settle(grd_cache *cache, int64_t mark)
{
    for (entry *e = cache && grdi_latched() ? cache->entries : NULL; e; e = e->next)
        if (e->turn > mark) {
            e->length = e->before;
            e->turn = 0;
        }
}

void grdi_kv_advance(grd_cache *cache, const grd_module *self, int64_t tokens)
{
    entry *e = entry_of(cache, self);
    e->before = e->length;
    e->length += tokens;
    e->turn = ++cache->turns;
}

/* ---- Checking ---- */

/* Every module takes part in a pass once, with the same tokens: the first one begins it where all
 * stand, the others follow it. */
static bool check_turn(const char *op, const grd_cache *cache, const grd_module *self,
                       int64_t tokens)
{
    const int64_t length = length_of(cache, self);
    const entry *first = longest(cache), *last = shortest(cache);
    if (!first || (first->length == length && last->length == length) ||
        (length < first->length && length + tokens == first->length))
        return true;
    const entry *other = length < first->length ? first : last;
    return grdi_fail(GRD_ERROR_STATE, op,
                     "%s: has %lld tokens in the cache and gets %lld, while %s has %lld: a pass "
                     "takes the same tokens through every module (after one that ended early: "
                     "grd_cache_truncate to the length before it)",
                     grdi_module_text(self).chars, (long long)length, (long long)tokens,
                     grdi_module_text(other->module).chars, (long long)other->length);
}

static bool check_room(const char *op, const grd_cache *cache, const grd_module *self,
                       int64_t tokens)
{
    const int64_t length = length_of(cache, self);
    if (tokens <= cache->max_length - length)
        return true;
    return grdi_fail(GRD_ERROR_STATE, op,
                     "%s: the cache has %lld tokens and gets %lld, but max_length is %lld (see "
                     "grd_cache_truncate, or make it longer)",
                     grdi_module_text(self).chars, (long long)length, (long long)tokens,
                     (long long)cache->max_length);
}

static bool check_align(const char *op, const grd_mha_args *args)
{
    return (args->mask.align == GRD_ALIGN_UNSTATED && !args->mask.offset) ||
           grdi_fail(GRD_ERROR_ARGUMENT, op,
                     "mask.align and mask.offset stay unset with a cache, which puts the diagonal "
                     "behind what it has");
}

bool grdi_kv_check(const char *op, const grd_mha_args *args, const grd_module *self, int64_t batch,
                   int64_t tokens)
{
    const grd_cache *cache = args->cache;
    if (!grdi_module_is_below(self, cache->model))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "%s: the cache was made for %s, of which this is no part",
                         grdi_module_text(self).chars, grdi_module_text(cache->model).chars);
    if (batch != cache->batch)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "%s: the query has %lld rows, and the cache was made for %lld",
                         grdi_module_text(self).chars, (long long)batch, (long long)cache->batch);
    return check_align(op, args) && check_turn(op, cache, self, tokens) &&
           check_room(op, cache, self, tokens);
}

static bool check_unrecorded(const grdi_sdpa_call *c, const grd_module *self)
{
    const grd_tensor *const x[] = { c->query, c->key, c->value };
    for (int i = 0; i < 3; i++)
        if (grd_tensor_requires_grad(x[i]))
            return grdi_fail(GRD_ERROR_GRAPH, c->op,
                             "%s: a cache is for inference, and gradients do not go back through "
                             "it (use it between grd_scope_begin_no_grad and grd_scope_end)",
                             grdi_module_text(self).chars);
    return true;
}

/* What has come before is of the type and on the device of what comes. */
static bool check_kind(const char *op, const grd_module *self, const grd_tensor *held,
                       const grd_tensor *x)
{
    const char *remedy = "the model was moved in between: grd_cache_truncate(cache, 0) starts over";
    if (held->array.dtype != x->array.dtype)
        return grdi_fail(GRD_ERROR_DTYPE, op, "%s: keys are %s, those in the cache %s (%s)",
                         grdi_module_text(self).chars, grdi_dtype_name(x->array.dtype),
                         grdi_dtype_name(held->array.dtype), remedy);
    if (grdi_device(held) != grdi_device(x))
        return grdi_fail(GRD_ERROR_DEVICE, op, "%s: keys are on %s, those in the cache on %s (%s)",
                         grdi_module_text(self).chars, grdi_device(x)->name,
                         grdi_device(held)->name, remedy);
    return true;
}

/* ---- Extending ---- */

/* Room for max_length of x's (..., H, T, D), on its device; the caller's reference. */
static grd_tensor *room_for(const char *op, const grd_cache *cache, const grd_tensor *x)
{
    grd_shape shape = grd_tensor_shape(x);
    shape.size[shape.rank - 2] = cache->max_length + MOST_APPENDED;
    return grdi_retain(grdi_tensor_create(op, &shape, x->array.dtype, grdi_device(x)));
}

/* The module's entry, with memory that fits the call's; NULL with an error latched. */
static entry *entry_for(grd_cache *cache, const grd_module *self, const grdi_sdpa_call *c)
{
    entry *e = entry_of(cache, self);
    if (e && e->length)
        return check_kind(c->op, self, e->key, c->key) ? e : NULL;
    if (!e) {
        e = grdi_allocate(sizeof *e);
        if (!e)
            return grdi_fail_memory(c->op, sizeof *e);
        *e = (entry){ .next = cache->entries, .module = self };
        cache->entries = e;
    }
    const bool fits = e->key && e->value && e->key->array.dtype == c->key->array.dtype &&
                      grdi_device(e->key) == grdi_device(c->key);
    if (fits)
        return e;
    grdi_release(e->key);
    grdi_release(e->value);
    e->key = room_for(c->op, cache, c->key);
    e->value = room_for(c->op, cache, c->value);
    return grdi_latched() ? NULL : e;
}

/* x behind the first `length` of `held`; all of them. */
static const grd_tensor *put(grd_tensor *held, int64_t length, const grd_tensor *x)
{
    const int64_t end = length + grd_tensor_size(x, -2);
    grd_tensor *place = grd_slice(held, -2, length, end, 1);
    if (!place || grd_copy_(place, x) != GRD_OK)
        return NULL;
    return grd_slice(held, -2, 0, end, 1);
}

bool grdi_kv_extend(grd_cache *cache, const grd_module *self, grdi_sdpa_call *c)
{
    if (grdi_latched() || !check_unrecorded(c, self))
        return false;
    const entry *e = entry_for(cache, self, c);
    if (!e)
        return false;
    c->key = put(e->key, e->length, c->key);
    c->value = put(e->value, e->length, c->value);
    return !grdi_latched();
}
