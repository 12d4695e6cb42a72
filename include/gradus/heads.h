/* Heads of attention: watching and changing them while a model runs, what their weights look like,
 * and what the loss says about them.
 *
 * Attention shows what a query found relevant, and not what caused the output: different weights
 * can give the same output (Jain and Wallace 2019, Brunner et al. 2020). So a pattern is told
 * beside what weights without one would score, and beside what it costs to take the head away.
 *
 * B batch, H heads, L queries, S keys, D size of a head; without a batch the shapes lack B. */
#ifndef GRADUS_HEADS_H
#define GRADUS_HEADS_H

#include <gradus/attention.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Watching ---- */

/* One call of a MultiheadAttention, shown between its heads and its output projection. Borrowed for
 * the call of the hook; grd_keep holds a tensor longer. */
typedef struct grd_heads {
    grd_module *module;
    /* (B, H, L, D), (B, H, S, D) and the same, in every layout; S counts cached and appended keys.
     * In self-attention they are views made for the hook: what it returns may depend on them. */
    grd_tensor *query, *key, *value;
    grd_tensor *output; /* (B, H, L, D); grd_on_gradient and grd_retain_grad may watch it */
    const struct grdi_sdpa_call *call; /* the library's */
} grd_heads;

/* Returns what takes the place of heads->output, of its shape, dtype and device, or NULL to leave
 * it. It runs in the modes of the call, recorded where that is, and may run other modules, whose
 * heads are not shown. */
typedef grd_tensor *(*grd_heads_hook)(const grd_heads *heads, void *user);
/* Shows every grd_mha_forward on this thread within the scope, those of the library's models too,
 * also when grd_recompute runs it again. One a scope: another takes its place, NULL ends it; those
 * of scopes around see what it left. Weights that the call was asked for stay as computed. While
 * nobody watches nothing is computed for it, and a hook that returns NULL changes no bit. */
GRD_API grd_status grd_on_heads(grd_scope *scope, grd_heads_hook hook, void *user);

/* For a hook. The weights before dropout (B, H, L, S), computed anew and differentiable; and which
 * keys each query sees, bool of that shape. */
GRD_NEW grd_tensor *grd_heads_weights(const grd_heads *heads);
GRD_NEW grd_tensor *grd_heads_visible(const grd_heads *heads);

/* ---- What weights look like ----
 *
 * Everything is computed in f64 from the weights A as they are. n_i is the number of keys that
 * query i sees, U the weights that are uniform over them: U_ij = 1 / n_i where visible, else 0. */

/* Which keys j a pattern P means for query i, which stands at p = i + offset; x is the keys' tokens
 * and y_i the query's. Only visible keys count. */
typedef enum grd_pattern {
    GRD_PATTERN_PREVIOUS,      /* j = p - 1 */
    GRD_PATTERN_DIAGONAL,      /* j = p */
    GRD_PATTERN_FIRST,         /* j = 0 */
    GRD_PATTERN_ANTI_DIAGONAL, /* j = S - 1 - p */
    GRD_PATTERN_DUPLICATE,     /* x_j = y_i, j < p: the same token before */
    GRD_PATTERN_INDUCTION,     /* x_(j - 1) = y_i, j <= p: what came after the same token before */
    GRD_PATTERN_OWN            /* what the options give */
} grd_pattern;
enum { GRD_NUM_PATTERNS = 7 };
GRD_API const char *grd_pattern_name(grd_pattern pattern); /* "anti-diagonal"; none such: NULL */

/* Over the queries that count and that have a visible key in P; NAN where there is none. Compare
 * lifts, not scores: attention that solves a task is often soft, and what is much differs with the
 * number of keys. */
typedef struct grd_pattern_score {
    double score;    /* sum(A P) / sum(A), 0 to 1 */
    double uniform;  /* sum(U P) / sum(U) */
    double lift;     /* score / uniform */
    int64_t queries; /* how many were summed, in all samples */
} grd_pattern_score;

/* Of one head, over all samples. */
typedef struct grd_head_scores {
    double row_error; /* the largest |sum_j A_ij - 1|, for a query that sees no key |sum_j A_ij| */
    double
        masked_weight; /* the largest |A_ij| where query i does not see key j; 0: none is hidden */
    /* The mean of -sum_j A_ij ln A_ij / ln n_i over queries that count and see several keys: 0
     * looks at one key, 1 at all alike. NAN: there is no such query. */
    double entropy;
    grd_pattern_score patterns[GRD_NUM_PATTERNS];
} grd_head_scores;

/* What weights alone do not say; NULL: none of it. All may lack B, and then hold for every sample.
 */
typedef struct grd_score_options {
    const grd_tensor *visible; /* bool, broadcastable to the weights; NULL: every key is seen */
    const grd_tensor *queries; /* bool (B, L), which count; NULL: all */
    const grd_tensor *query_tokens; /* i64 (B, L); without tokens: no duplicate, no induction */
    const grd_tensor *key_tokens;   /* i64 (B, S); NULL: query_tokens, if L == S */
    const grd_tensor *pattern;      /* bool, broadcastable to the weights: GRD_PATTERN_OWN */
    int64_t offset;                 /* query i stands at key i + offset: S - L with a cache */
} grd_score_options;
/* weights (B, H, L, S), or (H, L, S), floating -> scores[H], whose count num_heads must be. */
GRD_API GRD_MUST_USE grd_status grd_score_heads(const grd_tensor *weights,
                                                const grd_score_options *options,
                                                grd_head_scores *scores, int64_t num_heads);

/* ---- What the loss says of heads ---- */

/* The loss of a model, one number, as what user holds has it: a mean over samples. Computes the
 * same every time. NULL after grd_fail. */
typedef grd_tensor *(*grd_loss_function)(grd_module *model, void *user);

/* Of one head. The first three are changes of the loss when something takes the place of the head's
 * output z: small or negative, and the model does without it. Read zero and mean together: what
 * zero costs and mean does not was a constant. */
typedef struct grd_head_effect {
    const char *module; /* path of its MultiheadAttention below the model; "": the model itself */
    int64_t head;
    double zero;    /* z is 0 */
    double mean;    /* z is its mean over all samples and queries of the call */
    double uniform; /* z is that of weights that are uniform over the keys that are seen */
    /* The sum over samples of |sum over queries of z . dL/dz|, which for a mean over samples is
     * E|z . dL/dz| (Michel et al. 2019). NAN: no gradient came there, as where the loss function
     * records nothing. */
    double importance;
} grd_head_effect;
typedef struct grd_head_effects {
    double loss; /* with all heads */
    int64_t num_heads;
    const grd_head_effect *heads; /* module by module in the order added; the scope's */
} grd_head_effects;
/* Of every MultiheadAttention below model that was made by grd_mha_create. Calls loss two times and
 * three times a head, in eval mode, recorded once, and leaves the model as it was, gradients
 * included. Zeros on failure. */
GRD_API GRD_MUST_USE grd_head_effects grd_ablate_heads(grd_module *model, grd_loss_function loss,
                                                       void *user);

/* ---- What is said of single pairs ---- */

/* Edge attribution: A dL/dA for the weights A (B, H, L, S) of mha, a MultiheadAttention below
 * model, all else as it is; 0 where a key is hidden. steps > 1 integrates: A times the mean of
 * dL/dA over as many scales of A, all heads together, from 0 to 1. Then all pairs add up to what
 * the heads change of the loss, from outputs of 0 to what they are (Hao et al. 2021).
 *
 * Calls loss steps times (0: once) in eval mode, recorded, and leaves the model as it was,
 * gradients included. mha runs once a call, not within grd_recompute (GRD_ERROR_STATE). */
GRD_NEW grd_tensor *grd_attribute_edges(grd_module *model, grd_module *mha, grd_loss_function loss,
                                        void *user, int64_t steps);

/* Attention rollout: how much of each token would be in each output if attention and residual
 * branches, half and half, only mixed tokens: R = (A + I) / 2 R', A the mean over heads and R' the
 * rollout of the layers below (Abnar and Zuidema 2020). Weights (B, H, T, T) of each layer, the
 * first first -> (B, T, T), whose rows sum to 1 where those of the weights do. */
GRD_NEW grd_tensor *grd_attention_rollout(grd_list weights);

GRD_API GRD_MUST_USE grd_head_effects grd_at_head_effects(grd_head_effects result, const char *file,
                                                          int line);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_on_heads(...) grd_at_status(grd_on_heads(__VA_ARGS__), __FILE__, __LINE__)
#define grd_heads_weights(...) grd_at(grd_heads_weights(__VA_ARGS__), __FILE__, __LINE__)
#define grd_heads_visible(...) grd_at(grd_heads_visible(__VA_ARGS__), __FILE__, __LINE__)
#define grd_score_heads(...) grd_at_answer(grd_score_heads(__VA_ARGS__), __FILE__, __LINE__)
#define grd_attribute_edges(...) grd_at(grd_attribute_edges(__VA_ARGS__), __FILE__, __LINE__)
#define grd_attention_rollout(...) grd_at(grd_attention_rollout(__VA_ARGS__), __FILE__, __LINE__)
#define grd_ablate_heads(...) grd_at_head_effects(grd_ablate_heads(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
