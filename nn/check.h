/* The five checks of attention from inside. */
#ifndef GRDI_NN_CHECK_H
#define GRDI_NN_CHECK_H

#include "nn/attention.h"

/* What all checks know of the function that is checked. */
typedef struct grdi_probe {
    grd_module *module;
    grd_mha_options claims; /* kdim and vdim filled in */
    grd_attention_function f;
    void *user;
    grd_rng *rng;
    grd_dtype dtype;
    double tolerance; /* what rounding may change, relative to the largest number */
    int64_t appended; /* keys that add_bias_kv and add_zero_attn append */
} grdi_probe;

/* Inputs of one call, batch first whatever the layout is: (B, T, size). */
typedef struct grdi_sizes {
    int64_t batch, queries, keys; /* unbatched: batch is 1 */
} grdi_sizes;
typedef struct grdi_inputs {
    grdi_sizes sizes;
    const grd_tensor *x[3]; /* query, key, value; one tensor three times for self-attention */
} grdi_inputs;

grdi_inputs grdi_probe_inputs(grdi_probe *p, grdi_sizes sizes, bool self);
/* Whether one tensor can be query, key and value. */
bool grdi_probe_allows_self(const grdi_probe *p);
/* f of the inputs in the layout; args may be NULL. False with an error latched if f failed or gave
 * something of the wrong shape. */
bool grdi_probe_call(const grdi_probe *p, const grdi_inputs *inputs, const grd_mha_args *args,
                     grd_attention *result);
/* The same of x (B, T, E) in the layout, and back. */
grd_tensor *grdi_probe_to_layout(const grdi_probe *p, const grd_tensor *x);
grd_tensor *grdi_probe_from_layout(const grdi_probe *p, const grd_tensor *x);
/* Weights with the batch that they lack if unbatched. */
grd_tensor *grdi_probe_batched(const grdi_probe *p, const grd_tensor *x);

/* The largest magnitude in f64, NaN if there is one, and where it stands. */
double grdi_largest(const grd_tensor *x, grd_dims *where);

/* What a failure means to whoever sees it, in constants. */
typedef struct grdi_diagnosis {
    const char *symptom, *cause;
} grdi_diagnosis;
/* The check fails, unless it did already; the first failure is the one that is told. Returns
 * false. */
bool grdi_flaw(grd_attention_check *check, const grdi_diagnosis *diagnosis, double measured,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A kind of mask with inputs to try it on, and what it must leave: bool (B, H or 1, L, S). */
typedef struct grdi_masking {
    const char *name;
    grd_mask mask;
    grdi_sizes sizes;
    const grd_tensor *visible;
    bool self; /* may be tried on self-attention */
} grdi_masking;
enum { GRDI_MASKINGS = 11 }; /* the first is no mask */
grdi_masking grdi_masking_at(grdi_probe *p, int i);

/* The five. Each has what it measured in check->measured; failures of f may stay latched. */
typedef void grdi_checker(grdi_probe *p, grd_attention_check *check);
grdi_checker grdi_check_dimensions, grdi_check_rows, grdi_check_masks, grdi_check_gradients,
    grdi_check_kernel;

/* Attention once more, in f64 and in ops that no attention of the library uses: the truth about
 * gradients. */
typedef struct grdi_reference_parameter {
    const char *name;
    grd_tensor *tensor; /* of the module; NULL: it has none */
    grd_tensor *leaf;   /* the same in f64 */
} grdi_reference_parameter;
enum { GRDI_PARAMETERS = 9 };
typedef struct grdi_reference {
    grdi_reference_parameter parameters[GRDI_PARAMETERS];
} grdi_reference;
/* False with a failed check, or an error latched, if the module lacks what the claims promise. */
bool grdi_reference_open(grdi_reference *r, const grdi_probe *p, grd_attention_check *check);
grd_tensor *grdi_reference_output(const grdi_reference *r, const grdi_probe *p,
                                  const grdi_inputs *inputs, double *largest_score);

#endif
