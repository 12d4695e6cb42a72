/* A transformer's attention on tokens, for the page and for pictures. */
#ifndef GRDI_VIEW_ATTENTION_MODEL_H
#define GRDI_VIEW_ATTENTION_MODEL_H

#include "view/attention.h"

#include <gradus/heads.h>

/* What is looked at. */
typedef struct grdi_model_view {
    grd_module *model;
    const grd_tensor *tokens;  /* i64 (B, T): heads are scored on all samples */
    const grd_tensor *targets; /* i64 (B, T), -100 where nothing is asked; NULL: no loss */
    int64_t shown;             /* how many of the samples the page shows */
    const char *const *texts;  /* of their tokens, shown * T */
    grd_module *baseline;      /* made as model is, or model itself; NULL: uniform weights */
    const grd_tensor *baseline_tokens; /* i64 (B, T), what baseline is run on; NULL: tokens */
    bool baseline_mean;                /* its weights are the mean over all samples */
} grdi_model_view;

/* What there is to see: the innermost scope's. */
typedef struct grdi_model_attention {
    int64_t num_layers, num_heads;
    grd_attention *layers;             /* of the samples shown */
    grd_attention_view_layer *details; /* with queries, keys, values, baseline and checks */
    grd_attention_report *checks;
    char (*names)[64];        /* "blocks.0.self_attn" */
    grd_head_scores **scores; /* of each layer its heads', over all samples */
    grd_head_effects effects; /* of all heads, layer by layer; zeros without targets */
    grd_mask mask;
} grdi_model_attention;

/* Runs the model without dropout, on the path that keeps weights, and its checks; leaves it, and
 * everything else of the program, as it was. In a scope of its own that records nothing. False with
 * an error latched. */
bool grdi_model_look(const char *op, const grdi_model_view *view, grdi_model_attention *seen);

/* The scores for the page; NULL: no memory. */
json_t *grdi_model_scores(const grdi_model_attention *seen);

/* The text of each token of tokens (B, T), as grd_token_text has it; NULL with an error latched. */
const char *const *grdi_view_texts(const char *op, const grd_tokenizer *tokenizer,
                                   const grd_tensor *tokens);

/* What a causal model is asked for in tokens (1, T): of each the next one, of the last nothing.
 * NULL for others, or latched. */
grd_tensor *grdi_view_next(const grd_module *model, const grd_tensor *tokens);

#endif
