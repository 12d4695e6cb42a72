/* What attention is made of beside public ops, recorded and differentiable again and again. `keep`
 * is bool and broadcasts to the pairs of queries and keys; it says which pairs there are. What
 * stands in a hidden pair reaches neither values nor gradients, be it NaN. */
#ifndef GRDI_ATTENTION_H
#define GRDI_ATTENTION_H

#include "autograd/node.h"

/* q (..., L, D), k (..., S, D) -> q k^T (..., L, S) of the kept pairs; the others are unspecified
 * and must get a gradient of 0. keep NULL: all pairs. Saves q and k. */
grd_tensor *grdi_scores(const grd_tensor *q, const grd_tensor *k, const grd_tensor *keep);

/* w (..., L, S), 0 where hidden, v (..., S, D) -> w v (..., L, D). Saves w and v. */
grd_tensor *grdi_mix(const grd_tensor *w, const grd_tensor *v, const grd_tensor *keep);

/* softmax(scale x + additive) along the last dimension, over what is kept; elsewhere, and in rows
 * that keep nothing, 0. additive broadcasts to x. Saves the result. lse, unless NULL, gets the
 * log-sum-exp (..., L), -inf where nothing is kept. */
grd_tensor *grdi_weights(const grd_tensor *x, const grd_tensor *additive, const grd_tensor *keep,
                         double scale, grd_tensor **lse);

/* additive (..., S) with zeros for `appended` keys behind its `keys`, of which 1 stands for all;
 * itself if there are none, or if it is NULL. */
const grd_tensor *grdi_append_zeros(const grd_tensor *additive, int64_t keys, int64_t appended);

/* grd_dropout with numbers from there on, which no generator counts; 0 < p < 1. */
grd_tensor *grdi_dropout_at(const grd_tensor *x, double p, grdi_draw at);

/* Attention in one kernel that keeps no weights: (B, Hq, L, Dv). Differentiable again and again, in
 * ops that do keep them. Saves query, key, value, the result and what masks it. *logsumexp (B, Hq,
 * L) is that of the scores, unrecorded. */
grd_tensor *grdi_attend(const grdi_flash_call *call, grd_tensor **logsumexp);

/* The same for query, key and value in one projection, packed (B, T, 3 E), whose gradient is then
 * one tensor too; call's are grdi_packed_heads of it. Saves packed instead of the three. */
grd_tensor *grdi_attend_projected(const grd_tensor *packed, const grdi_flash_call *call,
                                  grd_tensor **logsumexp);

/* The gradients of a call's query, key, value and additive by those ops: dx[i] where wants[i]. */
void grdi_attend_backward(const grdi_flash_call *call, grd_tensor *dy, const bool wants[4],
                          grd_tensor *dx[4]);

/* ---- Sequences that lie end to end ---- */

/* Where they start, read from i64 (B + 1) tensors; of the pool, ended by _close. False with an
 * error latched. */
bool grdi_sequences_open(grdi_sequences *sequences, const char *op, const grd_tensor *starts_q,
                         const grd_tensor *starts_k);
void grdi_sequences_close(grdi_sequences *sequences);

/* Rows first..last - 1 of x (T, H, D) as a batch of one (1, H, n, D), and such parts end to end
 * again; recorded. */
grd_tensor *grdi_sequence_part(const grd_tensor *x, int64_t first, int64_t last);
grd_tensor *grdi_sequences_join(const grd_list *parts);

/* The kernel that keeps no weights over every sequence: see tensor/front.h. Saves query, key,
 * value, starts, the result and *logsumexp. */
grd_tensor *grdi_attend_sequences(const grdi_flash_call *call, const grd_tensor *starts_q,
                                  const grd_tensor *starts_k, grd_tensor **logsumexp);

#endif
