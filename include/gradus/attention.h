/* Attention: masks, the four parts, the module, and models made of it. docs/attention.md says which
 * mask is which, and what each is called in PyTorch.
 *
 * B batch (of grd_sdpa any number of sizes), H heads, L queries, S keys (in self-attention both are
 * T, tokens), D head size, E embedding; Hq heads of the queries and Dv size of a value's head where
 * they differ. Options and arguments of zeros are the defaults, and NULL is the same where none is
 * required. */
#ifndef GRADUS_ATTENTION_H
#define GRADUS_ATTENTION_H

#include <gradus/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Masks: each says in its name what it means. All given apply together. ----
 *
 * Zeros: every query sees every key. A query whose row is left with no key gets output 0, weights 0
 * and no gradient. What stands in a pair that is left out reaches neither outputs nor gradients, be
 * it NaN; what stands in a visible one does. Checked before anything is computed; the error names
 * the mask, its shape, what was expected and what it was probably meant for. */

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
    /* Only keys from diagonal - left to diagonal + right, each 0 or more; unset: unlimited. */
    grd_maybe_int window_left, window_right;
    grd_align align; /* of causal and windows; must be stated if L != S */
    int64_t offset;  /* may be negative; only with GRD_ALIGN_OFFSET */
    /* Broadcastable to (B, H, L, S) whatever the layout of the inputs, any strides; unbatched
     * (H, L, S) or (1, H, L, S). */
    const grd_tensor *additive; /* the query's type, added to the scores; -inf leaves a key out;
                                 * gets a gradient */
    const grd_tensor *attend;   /* bool, true takes part (torch: SDPA's bool mask) */
    const grd_tensor *ignore;   /* bool, true is left out (torch: MultiheadAttention's) */
    /* Of each sample, the same for all heads and queries; without a batch (S) and [] do as well. */
    const grd_tensor *key_ignore;  /* bool (B, S), true is left out: torch's key_padding_mask */
    const grd_tensor *key_lengths; /* i64 (B), 0 to S: keys at or past it are left out */
} grd_mask;

/* What a mask leaves: bool of `scores`' shape (..., H, L, S), true where query i sees key j. -inf
 * in mask->additive hides too. NULL: no mask, all true. For looking at a mask, and for tests. */
GRD_NEW grd_tensor *grd_mask_visible(const grd_mask *mask, grd_shape scores);

/* Which weights are wanted: none, the mean over heads, or each head's. Asking changes neither
 * output nor gradients, and costs L x S in memory. */
typedef enum grd_weights { GRD_NO_WEIGHTS, GRD_AVERAGED, GRD_PER_HEAD } grd_weights;

/* What attention returns; without a batch the shapes lack B. On failure all are NULL; but for the
 * output they are NULL also where they were not asked for. */
typedef struct grd_attention {
    grd_tensor *output;
    /* Before dropout, so that rows sum to 1: (B, L, S') averaged, (B, H, L, S') per head, where S'
     * counts appended keys too. Differentiable, as all results are. */
    grd_tensor *weights;
    grd_tensor *dropped_weights; /* after dropout; averaged if `weights` is, else per head */
    grd_tensor *logsumexp; /* (B, H, L) of the scores; -inf where no key is seen; at least f32 */
} grd_attention;

/* ---- The four parts ---- */

/* 1. Projections: query (..., E), key (..., kdim), value (..., vdim) -> (..., E) each. Packed:
 * in_proj_weight (3E, E), rows of query, key, value, for inputs of one size; else q_proj_weight
 * (E, E), k_proj_weight (E, kdim), v_proj_weight (E, vdim). in_proj_bias (3E) or NULL. The same
 * tensor three times is projected by one product, of which the results are views. */
typedef struct grd_qkv {
    grd_tensor *query, *key, *value;
} grd_qkv;
typedef struct grd_in_projection {
    const grd_tensor *in_proj_weight, *q_proj_weight, *k_proj_weight, *v_proj_weight, *in_proj_bias;
} grd_in_projection;
GRD_API grd_qkv grd_project_qkv(const grd_tensor *query, const grd_tensor *key,
                                const grd_tensor *value, const grd_in_projection *parameters);
/* 2. (..., T, E) -> (..., H, T, E / H), a view where x's strides allow it; num_heads divides E.
 * 4. Back again, before the output projection (grd_linear). */
GRD_NEW grd_tensor *grd_split_heads(const grd_tensor *x, int64_t num_heads);
GRD_NEW grd_tensor *grd_merge_heads(const grd_tensor *x);

/* 3. Scaled dot product attention:
 * softmax(scale query key^T, capped, + additive, over what masks leave) value. */
typedef struct grd_sdpa_options {
    grd_mask mask;
    grd_maybe_real scale; /* unset: 1 / sqrt(D) */
    double softcap;       /* scores become softcap tanh(scores / softcap); 0: none */
    double dropout;       /* of the weights, 0 <= p < 1; drops whenever > 0, and then needs rng */
    grd_rng *rng;
    grd_weights weights;
    bool dropped_weights, logsumexp; /* wanted too */
    /* GRD_ERROR_UNSUPPORTED, with the reason, instead of the kernel that keeps the weights;
     * strict_kernels says it for a scope (tensor.h). */
    bool strict;
    bool composed; /* the kernel that keeps the weights, also where another could run */
} grd_sdpa_options;
/* query (..., Hq, L, D), key (..., H, S, D), value (..., H, S, Dv), Hq a multiple of H: query heads
 * that follow each other share a head of the keys -> output (..., Hq, L, Dv), whose heads may lie
 * side by side in memory, as grd_merge_heads wants them. One floating type and device, any strides.
 * Differentiable again and again. Saves query, key, value, output and L numbers a head where the
 * weights are never in memory (see "Which kernel"), else the weights. */
GRD_API grd_attention grd_sdpa(const grd_tensor *query, const grd_tensor *key,
                               const grd_tensor *value, const grd_sdpa_options *options);

/* Sequences of any lengths end to end, without padding: query (total queries, Hq, D), key (total
 * keys, H, D), value (total keys, H, Dv) -> output (total queries, Hq, Dv). Sequence b has the rows
 * starts_q[b] to starts_q[b + 1] - 1 of the queries and starts_k[b] to starts_k[b + 1] - 1 of the
 * keys: i64 (B + 1) each, never falling, the first 0, the last the total (cu_seqlens of
 * FlashAttention). No query sees another sequence's keys. mask: causal, windows and align only,
 * each within its sequence; align is to be stated if a sequence has L != S. The output alone:
 * weights, dropped_weights and logsumexp are errors. */
GRD_API grd_attention grd_sdpa_packed(const grd_tensor *query, const grd_tensor *key,
                                      const grd_tensor *value, const grd_tensor *starts_q,
                                      const grd_tensor *starts_k, const grd_sdpa_options *options);

/* ---- Which kernel ----
 *
 * "flash" never holds L x S numbers: O(L + S) in memory, forward and backward. "cudnn" is NVIDIA's,
 * on a GPU in f16 and bf16 where it takes the call; its backward may use up to a sixteenth of the
 * GPU's memory while it runs. "composed" keeps the weights and does everything. The output comes
 * from the fastest kernel that can, which on the processor is flash in every floating type, unless
 * mask.additive needs a gradient over few pairs; there if strict. Weights that are asked for are
 * computed beside it. Differentiating a gradient again (create_graph) is composed on every path. */

/* Which kernel would run, and for each faster one why not; where it runs forward, but for gradients
 * another takes its place, that is told as "cudnn backward". chosen NULL if the call would fail,
 * with the error latched. Where strict forbids what would run, that is still the answer. Strings
 * are constants. */
typedef struct grd_kernel_choice {
    const char *chosen; /* "cudnn", "flash", "composed" */
    int64_t num_refused;
    struct {
        const char *kernel, *reason;
    } refused[8];
} grd_kernel_choice;
/* Of grd_sdpa with these arguments, in the modes of the scope; computes nothing. */
GRD_API grd_kernel_choice grd_sdpa_explain(const grd_tensor *query, const grd_tensor *key,
                                           const grd_tensor *value,
                                           const grd_sdpa_options *options);
/* Query rows that saw no key, counted in every sample and head, in this thread's calls of attention
 * since the scope began, inner scopes included. 0 for most models: a row without a key is usually a
 * mask gone wrong. -1: the scope is not open on this thread (GRD_ERROR_SCOPE). */
GRD_API int64_t grd_masked_rows(const grd_scope *scope);

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
    double dropout;               /* of the weights, 0 <= p < 1 */
    bool no_bias;                 /* neither in_proj_bias nor out_proj.bias */
    bool add_bias_kv, add_zero_attn;
} grd_mha_options;
/* Parameters, torch's names, shapes and initial values: in_proj_weight (3E, E), or q_proj_weight
 * (E, E), k_proj_weight (E, kdim) and v_proj_weight (E, vdim) where sizes differ; in_proj_bias
 * (3E); bias_k and bias_v (1, 1, E); out_proj.weight (E, E), out_proj.bias (E). */
GRD_NEW grd_module *grd_mha_create(grd_rng *rng, const grd_mha_options *options);

typedef struct grd_cache grd_cache;
typedef struct grd_mha_args {
    grd_mask mask;
    grd_weights weights;
    bool dropped_weights, logsumexp;
    bool strict, composed; /* as in grd_sdpa_options */
    grd_cache *cache;      /* see grd_cache_create; NULL: none */
    grd_maybe_real scale;  /* of the scores, and their softcap: as in grd_sdpa_options */
    double softcap;
} grd_mha_args;
/* query (B, L, E), key (B, S, kdim), value (B, S, vdim) -> output (B, L, E), in the module's
 * layout; give one tensor three times for self-attention. Masks and weights are of (B, H, L, S) in
 * every layout, without B if unbatched. Keys that add_bias_kv and add_zero_attn append are seen by
 * every query whatever masks say. Weights are dropped as grd_module_train and _eval say. args NULL:
 * no mask, output only. */
GRD_API grd_attention grd_mha_forward(grd_module *self, const grd_tensor *query,
                                      const grd_tensor *key, const grd_tensor *value,
                                      const grd_mha_args *args);
/* in_proj_weight <-> q, k, v_proj_weight, in place; kdim == vdim == embed_dim. New parameters: an
 * optimizer made before holds the old ones. Nothing happens where it is so already. */
GRD_API grd_status grd_mha_pack(grd_module *self);
GRD_API grd_status grd_mha_unpack(grd_module *self);

/* The choice of grd_mha_forward with these arguments. */
GRD_API grd_kernel_choice grd_mha_explain(grd_module *self, const grd_tensor *query,
                                          const grd_tensor *key, const grd_tensor *value,
                                          const grd_mha_args *args);

/* Keys and values that a model's attention modules have seen, so that generating a token costs one
 * token's work: for `batch` rows (1 without a batch) of at most max_length tokens each. The
 * scope's; holds on to model.
 *
 * A call with args->cache appends its L keys and values and attends to all S of them. It is
 * self-attention: query i has key i, at the same position (key and value may be other tensors than
 * the query, as kdim and vdim want, of its length). It is causal, said or not, with the
 * diagonal behind what was there: mask.align and mask.offset stay unset. So step by step gives what
 * the whole causal sequence gives, in pieces of any sizes.
 *
 * Masks are of this call, and not remembered: (B, H, L, S) with S the cached length after
 * appending, and so are key_lengths and key_ignore of all S. Prompts padded on the right are
 * possible with key_ignore at every step. What add_bias_kv and add_zero_attn append is not cached.
 *
 * Every attention module below model may use it, once in a pass, and all that do advance together:
 * with the same tokens, one after the other. A pass through one of the library's models that fails
 * leaves the length as it was; where a model of one's own stops between two modules, the error at
 * the next call says so, and grd_cache_truncate to the length before is the remedy. A module takes
 * its memory, all at once, when it first runs.
 *
 * Inference only: to record through a cache is an error (GRD_ERROR_GRAPH, see
 * grd_scope_begin_no_grad). GRD_ERROR_STATE past max_length. */
GRD_NEW grd_cache *grd_cache_create(grd_module *model, int64_t batch, int64_t max_length);
/* What all modules have that have run; 0 for NULL. */
GRD_API int64_t grd_cache_length(const grd_cache *cache);
/* Forgets what lies past length, which is 0 (start over) to the cached one. */
GRD_API grd_status grd_cache_truncate(grd_cache *cache, int64_t length);

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
/* torch.nn.TransformerEncoderLayer, batch first: self_attn, linear1, linear2, norm1, norm2. Dropout
 * of the weights, within the feed-forward and after each part. */
GRD_NEW grd_module *grd_encoder_layer_create(grd_rng *rng,
                                             const grd_encoder_layer_options *options);
/* (B, T, E) -> output (B, T, E), and what args ask for of its attention. grd_forward(layer, x) does
 * without args. A padded position gets an output as any other does (torch's fast path: 0). */
GRD_API grd_attention grd_encoder_layer_forward(grd_module *self, const grd_tensor *x,
                                                const grd_mha_args *args);

/* torch.nn.TransformerEncoder: layers.N.*, and norm where final_norm is set. Every layer draws its
 * own initial values (torch: copies of one). */
typedef struct grd_encoder_options {
    grd_encoder_layer_options layer; /* of each */
    int64_t num_layers;              /* required */
    /* torch's norm=LayerNorm(embed_dim), with the layers' norm_eps and bias. Layers that are
     * norm_first want it; others end with a norm of their own. */
    bool final_norm;
} grd_encoder_options;
GRD_NEW grd_module *grd_encoder_create(grd_rng *rng, const grd_encoder_options *options);

/* What a stack of encoder layers returns; zeros on failure. */
typedef struct grd_encoder_output {
    grd_tensor *output; /* (B, T, E) */
    int64_t num_layers;
    const grd_attention *layers; /* each layer's output, and what was asked for; the scope's */
} grd_encoder_output;
/* x (B, T, E); args go to every layer. grd_forward(encoder, x) does without. */
GRD_API grd_encoder_output grd_encoder_forward(grd_module *self, const grd_tensor *x,
                                               const grd_mha_args *args);

/* torch.nn.TransformerDecoderLayer, batch first: self_attn, multihead_attn (over the memory),
 * linear1, linear2, norm1, norm2, norm3. Options and dropout as an encoder layer's. */
GRD_NEW grd_module *grd_decoder_layer_create(grd_rng *rng,
                                             const grd_encoder_layer_options *options);
typedef struct grd_decoder_args {
    /* Of x to itself, (B, H, T, T): torch's tgt_mask, tgt_key_padding_mask, tgt_is_causal. */
    grd_mha_args self;
    /* Of x to the memory, (B, H, T, S): memory_mask, memory_key_padding_mask, memory_is_causal, for
     * which mask.align is to be stated if T != S. A cache here is an error. */
    grd_mha_args cross;
} grd_decoder_args;
/* Zeros on failure. */
typedef struct grd_decoder_attention {
    grd_tensor *output;        /* (B, T, E) */
    grd_attention self, cross; /* what was asked for; their outputs are NULL */
} grd_decoder_attention;
/* x (B, T, E), memory (B, S, E): what an encoder made of S other tokens, for each sample its own.
 * args NULL: no masks; a decoder that generates sets self.mask.causal. An error in one of the two
 * attentions names it. */
GRD_API grd_decoder_attention grd_decoder_layer_forward(grd_module *self, const grd_tensor *x,
                                                        const grd_tensor *memory,
                                                        const grd_decoder_args *args);

/* torch.nn.TransformerDecoder: layers.N.*, and norm where final_norm is set. */
GRD_NEW grd_module *grd_decoder_create(grd_rng *rng, const grd_encoder_options *options);
/* Zeros on failure. */
typedef struct grd_decoder_output {
    grd_tensor *output; /* (B, T, E) */
    int64_t num_layers;
    const grd_decoder_attention *layers; /* each layer's results; the scope's */
} grd_decoder_output;
/* args, and the memory, go to every layer. */
GRD_API grd_decoder_output grd_decoder_forward(grd_module *self, const grd_tensor *x,
                                               const grd_tensor *memory,
                                               const grd_decoder_args *args);

typedef enum grd_direction { GRD_DIRECTION_UNSTATED, GRD_CAUSAL, GRD_BIDIRECTIONAL } grd_direction;
typedef struct grd_transformer_options {
    int64_t vocab_size, context, embed_dim, num_heads, num_layers; /* required */
    grd_direction direction;                                       /* required */
    int64_t ff_dim;                                                /* as above */
    double dropout, norm_eps;
    grd_activation activation;
    bool norm_first, no_bias, tied;
} grd_transformer_options;
/* Names: token_embedding, position_embedding, blocks.N.*, norm, head (none if tied). Matrices start
 * normal with deviation 0.02, those that end a residual branch with 0.02 / sqrt(2 num_layers);
 * biases 0. dropout also of the embeddings' sum. */
GRD_NEW grd_module *grd_transformer_create(grd_rng *rng, const grd_transformer_options *options);
/* The options as JSON, as checkpoints hold them; for programs in other languages. Members are named
 * as above, enums in lower case: {"vocab_size": 64, ..., "direction": "causal", "activation":
 * "gelu_tanh", "tied": true}. One that is not known is an error with the nearest name. */
GRD_NEW grd_module *grd_transformer_create_json(grd_rng *rng, const char *json);

typedef struct grd_transformer_output {
    grd_tensor *logits; /* (B, T, V) */
    int64_t num_layers;
    const grd_attention *layers; /* of each layer, as asked for; the scope's */
} grd_transformer_output;
/* tokens i64 (B, T), each below vocab_size, T at most context. args may be NULL; its mask is added
 * to the model's direction. With args->cache positions count on from the cached length, context is
 * for both, and the model must be causal. grd_forward(model, tokens) gives the logits alone. */
GRD_API grd_transformer_output grd_transformer_forward(grd_module *model, const grd_tensor *tokens,
                                                       const grd_mha_args *args);

typedef struct grd_generate_options {
    double temperature;                          /* 0: the likeliest token */
    int64_t top_k;                               /* 0: all */
    bool (*on_token)(int64_t token, void *user); /* false stops */
    void *user;
} grd_generate_options;
/* Continues prompt i64 (T), T >= 1, by up to count tokens; rng may be NULL at temperature 0. The
 * model sees the last `context` tokens. Returns the new tokens, i64; the one at which on_token
 * stopped is the last. Records nothing. Up to the context a causal model that does not drop runs
 * on new tokens alone, by a cache of its own; past it positions shift, and every step runs on all
 * of them. */
GRD_NEW grd_tensor *grd_generate(grd_module *model, const grd_tensor *prompt, int64_t count,
                                 grd_rng *rng, const grd_generate_options *options);

/* ---- The five checks, on any function of query, key, value that claims to be attention ----
 *
 * 1. dimensions:       output and weights have the shapes that the layout and options promise, and
 *                      samples, queries and the order of keys do not reach where they must not
 * 2. rows sum to 1:    of the weights before dropout; of a row that sees no key, to 0
 * 3. masked is zero:   hidden keys have weight 0, and changing them, be it to NaN, changes no bit
 * 4. gradients flow:   to every projection and every head's slice of each, as attention's
 * definition in f64 has them; no two projections or heads hold the same numbers
 * 5. fast kernel:      the kernel that keeps no weights is chosen, or strict fails with a reason;
 *                      asking for weights changes neither the output nor its kernel */

typedef grd_attention (*grd_attention_function)(const grd_tensor *query, const grd_tensor *key,
                                                const grd_tensor *value, const grd_mha_args *args,
                                                void *user);
typedef struct grd_attention_check {
    const char *name, *expected, *symptom, *cause; /* constants; symptom and cause if it failed */
    bool passed;
    double measured; /* NAN where there is nothing to measure */
    char text[256];  /* what was found, in words */
} grd_attention_check;
typedef struct grd_attention_report {
    bool passed; /* all five */
    grd_attention_check checks[5];
} grd_attention_report;
/* Calls f with inputs and masks of its own making, in eval mode, and leaves module as it was,
 * gradients included. module holds the parameters whose gradients must flow, under torch's names;
 * claims is what f says it is. An answer, not an error: where f itself fails, the check that called
 * it did not pass and says so, and nothing stays latched. */
GRD_API GRD_MUST_USE grd_attention_report grd_check_attention(grd_module *module,
                                                              const grd_mha_options *claims,
                                                              grd_attention_function f, void *user);
/* The same for a module of grd_mha_create. */
GRD_API GRD_MUST_USE grd_attention_report grd_check_mha(grd_module *mha);

GRD_API grd_qkv grd_at_qkv(grd_qkv result, const char *file, int line);
GRD_API grd_attention grd_at_attention(grd_attention result, const char *file, int line);
GRD_API grd_kernel_choice grd_at_kernel_choice(grd_kernel_choice result, const char *file,
                                               int line);
GRD_API grd_encoder_output grd_at_encoder_output(grd_encoder_output result, const char *file,
                                                 int line);
GRD_API grd_decoder_attention grd_at_decoder_attention(grd_decoder_attention result,
                                                       const char *file, int line);
GRD_API grd_decoder_output grd_at_decoder_output(grd_decoder_output result, const char *file,
                                                 int line);
GRD_API GRD_MUST_USE grd_attention_report grd_at_attention_report(grd_attention_report result,
                                                                  const char *file, int line);
GRD_API grd_transformer_output grd_at_transformer_output(grd_transformer_output result,
                                                         const char *file, int line);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_project_qkv(...) grd_at_qkv(grd_project_qkv(__VA_ARGS__), __FILE__, __LINE__)
#define grd_split_heads(...) grd_at(grd_split_heads(__VA_ARGS__), __FILE__, __LINE__)
#define grd_merge_heads(...) grd_at(grd_merge_heads(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mask_visible(...) grd_at(grd_mask_visible(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sdpa(...) grd_at_attention(grd_sdpa(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sdpa_packed(...) grd_at_attention(grd_sdpa_packed(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sdpa_explain(...)                                                                      \
    grd_at_kernel_choice(grd_sdpa_explain(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mha_create(...) GRD_AT(grd_module, grd_mha_create(__VA_ARGS__))
#define grd_mha_forward(...) grd_at_attention(grd_mha_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mha_pack(...) grd_at_status(grd_mha_pack(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mha_unpack(...) grd_at_status(grd_mha_unpack(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mha_explain(...) grd_at_kernel_choice(grd_mha_explain(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cache_create(...) GRD_AT(grd_cache, grd_cache_create(__VA_ARGS__))
#define grd_cache_truncate(...) grd_at_status(grd_cache_truncate(__VA_ARGS__), __FILE__, __LINE__)
#define grd_encoder_layer_create(...) GRD_AT(grd_module, grd_encoder_layer_create(__VA_ARGS__))
#define grd_encoder_layer_forward(...)                                                             \
    grd_at_attention(grd_encoder_layer_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_encoder_create(...) GRD_AT(grd_module, grd_encoder_create(__VA_ARGS__))
#define grd_encoder_forward(...)                                                                   \
    grd_at_encoder_output(grd_encoder_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_decoder_layer_create(...) GRD_AT(grd_module, grd_decoder_layer_create(__VA_ARGS__))
#define grd_decoder_layer_forward(...)                                                             \
    grd_at_decoder_attention(grd_decoder_layer_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_decoder_create(...) GRD_AT(grd_module, grd_decoder_create(__VA_ARGS__))
#define grd_decoder_forward(...)                                                                   \
    grd_at_decoder_output(grd_decoder_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_transformer_create(...) GRD_AT(grd_module, grd_transformer_create(__VA_ARGS__))
#define grd_transformer_create_json(...)                                                           \
    GRD_AT(grd_module, grd_transformer_create_json(__VA_ARGS__))
#define grd_transformer_forward(...)                                                               \
    grd_at_transformer_output(grd_transformer_forward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_generate(...) grd_at(grd_generate(__VA_ARGS__), __FILE__, __LINE__)
#define grd_check_attention(...)                                                                   \
    grd_at_attention_report(grd_check_attention(__VA_ARGS__), __FILE__, __LINE__)
#define grd_check_mha(...) grd_at_attention_report(grd_check_mha(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
