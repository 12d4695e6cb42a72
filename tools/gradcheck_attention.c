/* What gradus gradcheck checks of attention as functions: every mask, option and result. */
#include "tools/gradcheck.h"

enum { B = 2, H = 2, L = 3, S = 4, D = 2, E = 3 };

/* Which result is differentiated; ALL: a number that depends on each of them. */
typedef enum wanted { OUTPUT, WEIGHTS, DROPPED, LOGSUMEXP, ALL } wanted;

/* Options, and the parts of the mask that are tensors. */
typedef struct attention_settings {
    grd_sdpa_options o;
    wanted wanted;
    /* blind: query 1 sees no key; blind_sample: nor does any query of sample 1, by its length. */
    bool additive, attend, ignore, key_ignore, key_lengths, blind, blind_sample;
} attention_settings;

static void set_masks(grd_mask *mask, const attention_settings *s, const grd_tensor *additive)
{
    static const bool attend[] = { 1, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1 };
    static const bool ignore[] = { 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0 };
    static const bool key_ignore[] = { 0, 1, 0, 0, 0, 0, 0, 1 };
    static const bool blind[] = { 0, 1, 0 };
    mask->additive = additive;
    if (s->attend)
        mask->attend = grd_from_bool(attend, L * S, GRD_SHAPE(L, S));
    if (s->ignore)
        mask->ignore = grd_from_bool(ignore, L * S, GRD_SHAPE(1, L, S));
    if (s->blind)
        mask->ignore = grd_from_bool(blind, L, GRD_SHAPE(L, 1));
    if (s->key_ignore)
        mask->key_ignore = grd_from_bool(key_ignore, B * S, GRD_SHAPE(B, S));
    if (s->key_lengths || s->blind_sample) {
        const int64_t lengths[] = { 4, s->blind_sample ? 0 : 3 };
        mask->key_lengths = grd_from_i64(lengths, B, GRD_SHAPE(B));
    }
}

/* One number from all results; -inf in the log-sum-exp of a row without a key is left out. */
static grd_tensor *mixed(const grd_attention *a)
{
    const grd_tensor *seen = grd_isfinite(a->logsumexp);
    const grd_tensor *lse = grd_where(seen, a->logsumexp, grd_zeros(GRD_SCALAR));
    const grd_tensor *parts = grd_add(grd_mul_scalar(grd_sum(grd_square(lse)), 0.3),
                                      grd_mul_scalar(grd_sum(grd_square(a->weights)), -0.7));
    return grd_add(grd_sum(grd_square(a->output)), parts);
}

static grd_tensor *sdpa(const grd_tensor *const *x, void *use)
{
    const attention_settings *s = ((const checked_use *)use)->c->settings;
    grd_sdpa_options options = s->o;
    set_masks(&options.mask, s, s->additive ? x[3] : NULL);
    if (options.dropout > 0)
        options.rng = grd_rng_create(9); /* the same each time: the same function each time */
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], &options);
    grd_tensor *const results[] = { a.output, a.weights, a.dropped_weights, a.logsumexp };
    return s->wanted == ALL ? mixed(&a) : results[s->wanted];
}

static grd_tensor *sdpa_self(const grd_tensor *const *x, void *use)
{
    return sdpa((const grd_tensor *[]){ x[0], x[0], x[0] }, use);
}

/* Two sequences end to end: of 3 and 2 queries, of 2 and 4 keys. */
static grd_tensor *sdpa_packed(const grd_tensor *const *x, void *use)
{
    const attention_settings *s = ((const checked_use *)use)->c->settings;
    const grd_tensor *starts_q = grd_from_i64((const int64_t[]){ 0, 3, 5 }, 3, GRD_SHAPE(3));
    const grd_tensor *starts_k = grd_from_i64((const int64_t[]){ 0, 2, 6 }, 3, GRD_SHAPE(3));
    return grd_sdpa_packed(x[0], x[1], x[2], starts_q, starts_k, &s->o).output;
}

/* ---- Projections and heads ---- */

static grd_tensor *joined(grd_qkv p)
{
    return grd_cat(GRD_LIST(p.query, p.key, p.value), 1);
}

static grd_tensor *project_packed(const grd_tensor *const *x, void *use)
{
    (void)use;
    const grd_in_projection in = { .in_proj_weight = x[3], .in_proj_bias = x[4] };
    return joined(grd_project_qkv(x[0], x[1], x[2], &in));
}

static grd_tensor *project_self(const grd_tensor *const *x, void *use)
{
    (void)use;
    const grd_in_projection in = { .in_proj_weight = x[1], .in_proj_bias = x[2] };
    return joined(grd_project_qkv(x[0], x[0], x[0], &in));
}

static grd_tensor *project_separate(const grd_tensor *const *x, void *use)
{
    (void)use;
    const grd_in_projection in = { .q_proj_weight = x[3],
                                   .k_proj_weight = x[4],
                                   .v_proj_weight = x[5] };
    return joined(grd_project_qkv(x[0], x[1], x[2], &in));
}

static grd_tensor *split_heads(const grd_tensor *const *x, void *use)
{
    (void)use;
    return grd_split_heads(x[0], 2);
}

static grd_tensor *merge_heads(const grd_tensor *const *x, void *use)
{
    (void)use;
    return grd_merge_heads(x[0]);
}

/* ---- The table ---- */

#define SETTINGS(...)                                                                              \
    &(const attention_settings)                                                                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define QUERIES(heads) NORMAL(B, heads, L, D), NORMAL(B, H, S, D), NORMAL(B, H, S, E)
#define QKV QUERIES(H)
#define PACKED NORMAL(5, H, D), NORMAL(6, H, D), NORMAL(6, H, E)
#define TOP_LEFT .causal = true, .align = GRD_ALIGN_TOP_LEFT

/* clang-format off */
static const checked_case cases[] = {
    { "sdpa/plain", "", sdpa, { QKV }, SETTINGS(.wanted = OUTPUT), NULL },
    { "sdpa/plain", "no batch", sdpa, { NORMAL(H, L, D), NORMAL(H, S, D), NORMAL(H, S, E) }, SETTINGS(.wanted = OUTPUT), NULL },
    { "sdpa/plain", "one tensor thrice", sdpa_self, { NORMAL(2, 3, 2) }, SETTINGS(.wanted = OUTPUT), NULL },
    { "sdpa/scale", "0.7", sdpa, { QKV }, SETTINGS(.o = { .scale = GRD_SET(0.7) }), NULL },
    { "sdpa/scale", "negative", sdpa, { QKV }, SETTINGS(.o = { .scale = GRD_SET(-0.7) }), NULL },
    { "sdpa/softcap", "", sdpa, { QKV }, SETTINGS(.o = { .softcap = 1.5 }), NULL },
    { "sdpa/softcap", "causal", sdpa, { QKV }, SETTINGS(.o = { .softcap = 1.5, .mask = { TOP_LEFT } }), NULL },
    { "sdpa/softcap", "additive", sdpa, { QKV, NORMAL(H, 1, S) }, SETTINGS(.o = { .softcap = 2 }, .additive = true, .attend = true), NULL },
    { "sdpa/groups", "4 heads over 2", sdpa, { QUERIES(4) }, SETTINGS(.wanted = OUTPUT), NULL },
    { "sdpa/groups", "all masks", sdpa, { QUERIES(4), NORMAL(4, 1, S) },
      SETTINGS(.o = { .mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = 1 } }, .additive = true, .attend = true,
               .key_ignore = true, .key_lengths = true), NULL },
    { "sdpa/causal", "top left", sdpa, { QKV }, SETTINGS(.o = { .mask = { TOP_LEFT } }), NULL },
    { "sdpa/causal", "bottom right", sdpa, { QKV }, SETTINGS(.o = { .mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT } }), NULL },
    { "sdpa/causal", "by key lengths", sdpa, { QKV },
      SETTINGS(.o = { .mask = { .causal = true, .align = GRD_ALIGN_KEY_LENGTHS } }, .key_lengths = true), NULL },
    { "sdpa/causal", "offset -1: a row without a key", sdpa, { QKV },
      SETTINGS(.o = { .mask = { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = -1 } }), NULL },
    { "sdpa/window", "1 to the left", sdpa, { QKV },
      SETTINGS(.o = { .mask = { .window_left = GRD_SET(1), .align = GRD_ALIGN_TOP_LEFT } }), NULL },
    { "sdpa/window", "1 to the left, 0 to the right", sdpa, { QKV },
      SETTINGS(.o = { .mask = { .window_left = GRD_SET(1), .window_right = GRD_SET(0), .align = GRD_ALIGN_BOTTOM_RIGHT } }), NULL },
    { "sdpa/additive", "whole", sdpa, { QKV, NORMAL(B, H, L, S) }, SETTINGS(.additive = true), NULL },
    { "sdpa/additive", "stretched", sdpa, { QKV, NORMAL(L, 1) }, SETTINGS(.additive = true), NULL },
    { "sdpa/additive", "of each head, causal", sdpa, { QKV, NORMAL(H, 1, S) }, SETTINGS(.o = { .mask = { TOP_LEFT } }, .additive = true), NULL },
    { "sdpa/attend", "", sdpa, { QKV }, SETTINGS(.attend = true), NULL },
    { "sdpa/ignore", "", sdpa, { QKV }, SETTINGS(.ignore = true), NULL },
    { "sdpa/key_ignore", "", sdpa, { QKV }, SETTINGS(.key_ignore = true), NULL },
    { "sdpa/key_lengths", "", sdpa, { QKV }, SETTINGS(.key_lengths = true), NULL },
    { "sdpa/no_key", "a row without a key", sdpa, { QKV, NORMAL(H, 1, S) }, SETTINGS(.blind = true, .additive = true), NULL },
    { "sdpa/no_key", "softcap", sdpa, { QKV }, SETTINGS(.o = { .softcap = 1 }, .blind = true), NULL },
    { "sdpa/no_key", "a sample", sdpa, { QKV }, SETTINGS(.blind_sample = true), NULL },
    { "sdpa/no_key", "all results", sdpa, { QKV },
      SETTINGS(.o = { .weights = GRD_PER_HEAD, .logsumexp = true }, .wanted = ALL, .blind = true), NULL },
    { "sdpa/weights", "per head", sdpa, { QKV, NORMAL(H, 1, S) },
      SETTINGS(.o = { .weights = GRD_PER_HEAD }, .wanted = WEIGHTS, .additive = true, .attend = true), NULL },
    { "sdpa/weights", "averaged, groups", sdpa, { QUERIES(4) }, SETTINGS(.o = { .weights = GRD_AVERAGED }, .wanted = WEIGHTS), NULL },
    { "sdpa/weights", "all results", sdpa, { QKV, NORMAL(H, 1, S) },
      SETTINGS(.o = { .weights = GRD_PER_HEAD, .logsumexp = true }, .wanted = ALL, .additive = true, .attend = true), NULL },
    { "sdpa/logsumexp", "", sdpa, { QKV, NORMAL(H, 1, S) }, SETTINGS(.o = { .logsumexp = true }, .wanted = LOGSUMEXP, .additive = true), NULL },
    { "sdpa/logsumexp", "softcap, groups", sdpa, { QUERIES(4) },
      SETTINGS(.o = { .logsumexp = true, .softcap = 2 }, .wanted = LOGSUMEXP, .key_ignore = true), NULL },
    { "sdpa/dropout", "", sdpa, { QKV }, SETTINGS(.o = { .dropout = 0.4 }), NULL },
    { "sdpa/dropout", "weights after it", sdpa, { QKV },
      SETTINGS(.o = { .dropout = 0.4, .dropped_weights = true }, .wanted = DROPPED, .attend = true), NULL },
    /* strict: the kernel that keeps no weights, which f64 has only on request. */
    { "sdpa/flash", "", sdpa, { QKV }, SETTINGS(.o = { .strict = true }), NULL },
    { "sdpa/flash", "causal, groups", sdpa, { QUERIES(4) }, SETTINGS(.o = { .strict = true, .mask = { TOP_LEFT } }), NULL },
    { "sdpa/flash", "window, padding", sdpa, { QKV },
      SETTINGS(.o = { .strict = true, .mask = { .window_left = GRD_SET(1), .align = GRD_ALIGN_TOP_LEFT } }, .key_lengths = true), NULL },
    { "sdpa/flash", "attend, a row without a key", sdpa, { QKV }, SETTINGS(.o = { .strict = true }, .attend = true, .blind = true), NULL },
    { "sdpa/flash", "softcap, causal", sdpa, { QKV }, SETTINGS(.o = { .strict = true, .softcap = 1.5, .mask = { TOP_LEFT } }), NULL },
    { "sdpa/flash", "dropout", sdpa, { QKV }, SETTINGS(.o = { .strict = true, .dropout = 0.4 }), NULL },
    { "sdpa/flash", "dropout, softcap, groups, masks", sdpa, { QUERIES(4) },
      SETTINGS(.o = { .strict = true, .dropout = 0.3, .softcap = 2, .scale = GRD_SET(-0.7) }, .attend = true, .key_lengths = true), NULL },
    { "sdpa/composed", "causal", sdpa, { QKV }, SETTINGS(.o = { .composed = true, .mask = { TOP_LEFT } }), NULL },
    { "sdpa_packed/plain", "", sdpa_packed, { PACKED }, SETTINGS(.wanted = OUTPUT), NULL },
    { "sdpa_packed/causal", "bottom right", sdpa_packed, { PACKED },
      SETTINGS(.o = { .mask = { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT } }), NULL },
    { "sdpa_packed/flash", "causal", sdpa_packed, { PACKED }, SETTINGS(.o = { .strict = true, .mask = { TOP_LEFT } }), NULL },
    { "project_qkv/packed", "", project_packed, { NORMAL(2, 4), NORMAL(2, 4), NORMAL(2, 4), NORMAL(12, 4), NORMAL(12) }, NULL, NULL },
    { "project_qkv/packed", "one tensor thrice", project_self, { NORMAL(2, 4), NORMAL(12, 4), NORMAL(12) }, NULL, NULL },
    { "project_qkv/separate", "", project_separate, { NORMAL(2, 4), NORMAL(2, 3), NORMAL(2, 2), NORMAL(4, 4), NORMAL(4, 3), NORMAL(4, 2) }, NULL, NULL },
    { "split_heads", "", split_heads, { NORMAL(2, 3, 4) }, NULL, NULL },
    { "merge_heads", "", merge_heads, { NORMAL(2, 2, 3, 2) }, NULL, NULL },
};
/* clang-format on */

const checked_table checked_attention = { "attention", cases, sizeof cases / sizeof cases[0] };
