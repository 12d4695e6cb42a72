/* What the files of attention share. */
#ifndef GRDI_NN_ATTENTION_H
#define GRDI_NN_ATTENTION_H

#include "autograd/attention.h"
#include "nn/module.h"
#include <gradus/attention.h>

/* What a typed mask comes to, checked against scores (..., H, L, S). */
typedef struct grdi_visible {
    grd_shape scores; /* S without the appended keys */
    grdi_mask_parts parts;
    grdi_mask band;
} grdi_visible;

/* Checks `mask` against the scores, of that type and device. The last `appended` keys beyond S are
 * seen whatever it says. False with an error latched. */
bool grdi_see(const char *op, const grd_mask *mask, const grd_shape *scores, int64_t appended,
              grd_dtype dtype, grd_device *device, grdi_visible *visible);

/* Whether a query may be left without a key. */
bool grdi_may_hide_rows(const grdi_visible *visible);

/* The mask as bool, broadcasting to the scores with the appended keys; NULL, without an error, if
 * every query sees every key. */
grd_tensor *grdi_keep_of(const grdi_visible *visible, grd_device *device);
/* The same of the parts that say it pair by pair: neither band nor lengths. */
grd_tensor *grdi_keep_of_pairs(const grdi_visible *visible, grd_device *device);

/* One call of scaled dot product attention, checked. */
typedef struct grdi_sdpa_call {
    const char *op;
    const grd_sdpa_options *options;
    const grd_tensor *query, *key, *value;
    const grd_tensor *packed; /* NULL, or (B, T, 3 E) that these three are unrecorded views of */
    int64_t appended;         /* keys at the end that the mask does not know and every query sees */
    grd_kernel_choice *choice; /* NULL; else all that is wanted, and nothing is computed */
    grdi_visible visible;
    double scale;
    grdi_draw draw; /* where the numbers of dropout start, on every path */
} grdi_sdpa_call;

/* grd_sdpa of a call whose tensors, options (NULL: none) and op are set. */
grd_attention grdi_sdpa(grdi_sdpa_call *call);

/* The same of heads in a common projection, call's `packed`, whose gradient is then one tensor
 * too. */
grd_attention grdi_sdpa_projected(grdi_sdpa_call *call, int64_t num_heads);

/* Makes the call's query, key and value recorded parts of its packed projection. False with an
 * error latched. */
bool grdi_sdpa_unpack(grdi_sdpa_call *call, int64_t num_heads);
/* Fills in what the call's mask comes to for its query and key. False with an error latched. */
bool grdi_sdpa_see(grdi_sdpa_call *call);

/* What a call of attention made, after the hooks on heads have seen its output. */
grd_attention grdi_show_heads(const grd_module *self, grdi_sdpa_call *call, grd_attention made);

/* All results that are asked for, in ops that keep the weights: any options, types and masks.
 * logsumexp is there whether asked for or not where a query may be left without a key. */
grd_attention grdi_sdpa_composed(const grdi_sdpa_call *call);

/* The output alone, and an unrecorded log-sum-exp, by the kernel that keeps no weights.
 * grdi_sdpa_unfused says why it is not used, NULL if it is. */
const char *grdi_sdpa_unfused(const grdi_sdpa_call *call);
grd_tensor *grdi_sdpa_fused(const grdi_sdpa_call *call, grd_tensor **logsumexp);

/* Sets the choice of a call that the kernel without weights computes: its name, or that of the
 * library which computes for it, and what the library refuses. */
void grdi_sdpa_name_fused(const grdi_sdpa_call *call, grd_kernel_choice *choice);

/* Why the fused kernel does not run in this call, NULL if it does. Latched as an error where that
 * is not allowed. */
const char *grdi_sdpa_refusal(const grdi_sdpa_call *call);

/* Whether the options, or the scope, allow no kernel that keeps the weights. */
bool grdi_sdpa_strict(const grd_sdpa_options *options);

/* That the three are floating, of one type and on one device. False with an error latched. */
bool grdi_sdpa_check_types(const char *op, const grd_tensor *query, const grd_tensor *key,
                           const grd_tensor *value);

/* The options that do not depend on shapes. False with an error latched. */
bool grdi_sdpa_check_options(const char *op, const grd_sdpa_options *options);

/* The factor on the scores. */
double grdi_sdpa_scale(const grd_sdpa_options *options, int64_t head_size);

/* Counts the rows of a log-sum-exp that saw no key, for grd_masked_rows. */
void grdi_count_masked_rows(const grd_tensor *logsumexp);

/* Ends the scope that results were made in, and hands them to the one around it. */
grd_attention grdi_hand_out(grd_scope *scope, grd_attention results);
/* The same of any tensors, NULL among them; false with an error latched, and none handed out. */
bool grdi_hand_over(grd_scope *scope, grd_tensor *const results[], int count);

/* Checks what several modules are made with. False with an error latched. */
bool grdi_check_heads(const char *op, int64_t embed_dim, int64_t num_heads);
bool grdi_check_dropout(const char *op, double dropout);
bool grdi_check_layer(const char *op, const grd_encoder_layer_options *options);

/* A norm as a layer of these options has. */
grd_module *grdi_norm_create(const grd_encoder_layer_options *options);

/* A list of layers, each with initial values of its own. */
typedef grd_module *(*grdi_layer_create)(grd_rng *rng, const grd_encoder_layer_options *options);
grd_module *grdi_layers_create(grd_rng *rng, const grd_encoder_layer_options *options,
                               int64_t count, grdi_layer_create create);
/* What `count` encoder layers, one after the other, make of x; each one's results go to `results`,
 * if it is not NULL. */
grd_tensor *grdi_layers_forward(const grd_module *layers, int64_t count, const grd_tensor *x,
                                const grd_mha_args *args, grd_attention *results);
/* Room for `count` results of `size` bytes, zeroed, the innermost scope's. */
void *grdi_results_create(const char *op, int64_t count, size_t size);

/* The options that a module was made with, kdim and vdim filled in; NULL with an error latched if
 * it is no MultiheadAttention. */
const grd_mha_options *grdi_mha_options(const char *op, const grd_module *self);
/* Whether it is one, without an error. */
bool grdi_is_mha(const grd_module *self);

/* x, dropped if self drops now: NULL only with an error latched. */
grd_tensor *grdi_drop(const grd_module *self, grd_tensor *x, double p);

#endif
