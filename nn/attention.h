/* What the files of attention share. */
#ifndef GRDI_NN_ATTENTION_H
#define GRDI_NN_ATTENTION_H

#include "autograd/attention.h"
#include "nn/module.h"
#include <gradus/attention.h>

/* What a typed mask comes to: both broadcast to the scores, whose keys are followed by those
 * appended. */
typedef struct grdi_visible {
    const grd_tensor *keep;     /* bool; NULL: every query sees every key */
    const grd_tensor *additive; /* NULL: none */
} grdi_visible;

/* Checks `mask` against the scores (..., H, L, S) of `query`, and computes it. The last `appended`
 * keys beyond S are seen whatever it says. False with an error latched. */
bool grdi_see(const char *op, const grd_mask *mask, const grd_shape *scores, int64_t appended,
              const grd_tensor *query, grdi_visible *visible);

/* grd_sdpa, whose last `appended` keys the mask does not know and every query sees. */
grd_attention grdi_sdpa(const char *op, const grd_tensor *query, const grd_tensor *key,
                        const grd_tensor *value, const grd_sdpa_options *options, int64_t appended);

/* Ends the scope that results were made in, and hands them to the one around it. */
grd_attention grdi_hand_out(grd_scope *scope, grd_attention results);

/* Checks what several modules are made with. False with an error latched. */
bool grdi_check_heads(const char *op, int64_t embed_dim, int64_t num_heads);
bool grdi_check_dropout(const char *op, double dropout);

/* x, dropped if self drops now: NULL only with an error latched. */
grd_tensor *grdi_drop(const grd_module *self, grd_tensor *x, double p);

#endif
