/* Attention: masks, the four parts, the module, and models made of it.
 * B batch, H heads, L queries, S keys, D head size, E embedding. */
#ifndef GRADUS_ATTENTION_H
#define GRADUS_ATTENTION_H

#include <gradus/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Masks: each says in its name what it means. All given apply together. ---- */

/* Where query i's diagonal lies among the keys. */
typedef enum grd_align {
    GRD_ALIGN_UNSTATED,     /* top left if L == S; an error otherwise */
    GRD_ALIGN_TOP_LEFT,     /* key i (PyTorch) */
    GRD_ALIGN_BOTTOM_RIGHT, /* key i + S - L (FlashAttention) */
    GRD_ALIGN_KEY_LENGTHS,  /* key i + key_lengths[b] - L */
    GRD_ALIGN_OFFSET        /* key i + offset */
} grd_align;

typedef struct grd_mask {
    bool causal; /* no key right of the diagonal */
    /* Only keys from diagonal - left to diagonal + right; unset: unlimited. */
    grd_maybe_int window_left, window_right;
    grd_align align;
    int64_t offset; /* may be negative; only with GRD_ALIGN_OFFSET */
    /* Broadcastable to (B, H, L, S) whatever the layout of the inputs; unbatched (H, L, S). */
    const grd_tensor *additive;    /* floating, added to the scores, gets a gradient */
    const grd_tensor *attend;      /* bool, true takes part (torch: SDPA's bool mask) */
    const grd_tensor *ignore;      /* bool, true is left out (torch: MultiheadAttention's) */
    const grd_tensor *key_ignore;  /* bool (B, S): torch's key_padding_mask */
    const grd_tensor *key_lengths; /* i64 (B): keys at or past it are left out */
} grd_mask;

/* Which weights are wanted. Asking changes neither output nor gradients. A row that sees no key
 * is 0. */
typedef enum grd_weights { GRD_NO_WEIGHTS, GRD_AVERAGED, GRD_PER_HEAD } grd_weights;

/* What attention returns. On failure output is NULL; the others are NULL also where they were not
 * asked for. */
typedef struct grd_attention {
    grd_tensor *output;
    grd_tensor *weights;         /* before dropout: (B, L, S') averaged or (B, H, L, S') */
    grd_tensor *dropped_weights; /* after dropout */
    grd_tensor *logsumexp;       /* (B, H, L) */
} grd_attention;

/* ---- The four parts ---- */

/* 1. Projections. packed: in_proj_weight (3E, E); else q, k, v_proj_weight. bias (3E) or NULL. */
typedef struct grd_qkv {
    grd_tensor *query, *key, *value;
} grd_qkv;
typedef struct grd_in_projection {
    const grd_tensor *in_proj_weight, *q_proj_weight, *k_proj_weight, *v_proj_weight, *in_proj_bias;
} grd_in_projection;
GRD_API grd_qkv grd_project_qkv(const grd_tensor *query, const grd_tensor *key,
                                const grd_tensor *value, const grd_in_projection *parameters);
/* 2. (B, T, E) -> (B, H, T, E / H); 4. back again, before the output projection (grd_linear). */
GRD_NEW grd_tensor *grd_split_heads(const grd_tensor *x, int64_t num_heads);
GRD_NEW grd_tensor *grd_merge_heads(const grd_tensor *x);

/* 3. Scaled dot product attention. */
typedef struct grd_sdpa_options {
    grd_mask mask;
    grd_maybe_real scale; /* unset: 1 / sqrt(D) */
    double softcap;       /* 0: none */
    double dropout;       /* applied whenever > 0, then rng is needed */
    grd_rng *rng;
    grd_weights weights;
    bool dropped_weights, logsumexp; /* wanted too */
} grd_sdpa_options;
/* query (..., Hq, L, D), key (..., H, S, D), value (..., H, S, Dv), Hq a multiple of H -> output
 * (..., Hq, L, Dv). */
GRD_API grd_attention grd_sdpa(const grd_tensor *query, const grd_tensor *key,
                               const grd_tensor *value, const grd_sdpa_options *options);

/* ---- The module (torch.nn.MultiheadAttention) ---- */

typedef enum grd_layout {
    GRD_LAYOUT_UNSTATED,
    GRD_BATCH_FIRST,
    GRD_SEQUENCE_FIRST,
    GRD_UNBATCHED
} grd_layout;

typedef struct grd_mha_options {
    int64_t embed_dim, num_heads; /* required; num_heads divides embed_dim */
    grd_layout layout;            /* required */
    int64_t kdim, vdim;           /* 0: embed_dim */
    double dropout;
    bool no_bias, add_bias_kv, add_zero_attn;
} grd_mha_options;
GRD_NEW grd_module *grd_mha_create(grd_rng *rng, const grd_mha_options *options);

typedef struct grd_mha_args {
    grd_mask mask;
    grd_weights weights;
    bool dropped_weights, logsumexp;
} grd_mha_args;
GRD_API grd_attention grd_mha_forward(grd_module *self, const grd_tensor *query,
                                      const grd_tensor *key, const grd_tensor *value,
                                      const grd_mha_args *args);
/* in_proj_weight <-> q, k, v_proj_weight, in place; kdim == vdim == embed_dim. */
GRD_API grd_status grd_mha_pack(grd_module *self);
GRD_API grd_status grd_mha_unpack(grd_module *self);

/* ---- Models ---- */

typedef enum grd_activation {
    GRD_RELU,
    GRD_GELU,
    GRD_GELU_TANH,
    GRD_SILU
} grd_activation; /* torch's default first */
typedef struct grd_encoder_layer_options {
    int64_t embed_dim, num_heads; /* required */
    int64_t ff_dim;               /* 0: 4 embed_dim (torch: 2048) */
    double dropout;               /* 0: none (torch: 0.1) */
    grd_activation activation;
    double norm_eps; /* 0: 1e-5 */
    bool norm_first, no_bias;
} grd_encoder_layer_options;
/* (B, T, E) -> (B, T, E) */
GRD_NEW grd_module *grd_encoder_layer_create(grd_rng *rng,
                                             const grd_encoder_layer_options *options);
GRD_API grd_attention grd_encoder_layer_forward(grd_module *self, const grd_tensor *x,
                                                const grd_mha_args *args);

typedef enum grd_direction { GRD_DIRECTION_UNSTATED, GRD_CAUSAL, GRD_BIDIRECTIONAL } grd_direction;
typedef struct grd_transformer_options {
    int64_t vocab_size, context, embed_dim, num_heads, num_layers; /* required */
    grd_direction direction;                                       /* required */
    int64_t ff_dim;                                                /* as above */
    double dropout, norm_eps;
    grd_activation activation;
    bool norm_first, no_bias, tied;
} grd_transformer_options;
/* Names: token_embedding, position_embedding, blocks.N.*, norm, head. */
GRD_NEW grd_module *grd_transformer_create(grd_rng *rng, const grd_transformer_options *options);
/* The options as JSON, as checkpoints hold them; for programs in other languages. */
GRD_NEW grd_module *grd_transformer_create_json(grd_rng *rng, const char *json);

typedef struct grd_transformer_output {
    grd_tensor *logits; /* (B, T, V) */
    int64_t num_layers;
    const grd_attention *layers; /* of each layer, as asked for; the scope's */
} grd_transformer_output;
/* tokens i64 (B, T). args may be NULL; its mask is added to the model's direction.
 * grd_forward(model, tokens) gives the logits alone. */
GRD_API grd_transformer_output grd_transformer_forward(grd_module *model, const grd_tensor *tokens,
                                                       const grd_mha_args *args);

typedef struct grd_generate_options {
    double temperature;                          /* 0: the likeliest token */
    int64_t top_k;                               /* 0: all */
    bool (*on_token)(int64_t token, void *user); /* false stops */
    void *user;
} grd_generate_options;
/* Continues prompt i64 (T) by up to count tokens; rng may be NULL at temperature 0.
 * Returns the new tokens, i64. */
GRD_NEW grd_tensor *grd_generate(grd_module *model, const grd_tensor *prompt, int64_t count,
                                 grd_rng *rng, const grd_generate_options *options);

GRD_API grd_qkv grd_at_qkv(grd_qkv result, const char *file, int line);
GRD_API grd_attention grd_at_attention(grd_attention result, const char *file, int line);
GRD_API grd_transformer_output grd_at_transformer_output(grd_transformer_output result,
                                                         const char *file, int line);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_project_qkv(...) grd_at_qkv(grd_project_qkv(__VA_ARGS__), __FILE__, __LINE__)
#define grd_split_heads(...) grd_at(grd_split_heads(__VA_ARGS__), __FILE__, __LINE__)
#define grd_merge_heads(...) grd_at(grd_merge_heads(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sdpa(...) grd_at_attention(grd_sdpa(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mha_create(...) GRD_AT(grd_module, grd_mha_create(__VA_ARGS__))
#define grd_mha_forward(...) grd_at_attention(grd_mha_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mha_pack(...) grd_at_status(grd_mha_pack(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mha_unpack(...) grd_at_status(grd_mha_unpack(__VA_ARGS__), __FILE__, __LINE__)
#define grd_encoder_layer_create(...) GRD_AT(grd_module, grd_encoder_layer_create(__VA_ARGS__))
#define grd_encoder_layer_forward(...)                                                             \
    grd_at_attention(grd_encoder_layer_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_transformer_create(...) GRD_AT(grd_module, grd_transformer_create(__VA_ARGS__))
#define grd_transformer_create_json(...)                                                           \
    GRD_AT(grd_module, grd_transformer_create_json(__VA_ARGS__))
#define grd_transformer_forward(...)                                                               \
    grd_at_transformer_output(grd_transformer_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_generate(...) grd_at(grd_generate(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
