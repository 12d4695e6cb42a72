/* A case of attention: what its file states, ready to be computed. */
#ifndef GRADUS_TOOLS_ATTENTION_CASE_H
#define GRADUS_TOOLS_ATTENTION_CASE_H

#include "tools/case.h"

typedef struct attention_case {
    const grdi_archive *file;
    int module;      /* SDPA_CASE or MHA_CASE, which are the attributes it may have too */
    options o;       /* its attributes */
    grd_dtype dtype; /* to compute with */
    bool backward;   /* there is a grad_output: gradients are wanted */
    grd_module *mha;
    grd_tensor *query, *key, *value; /* key and value are the query for self-attention */
    grd_mask mask;
    const grd_tensor *grad_output;
} attention_case;

/* Reads the file. dtype is what to compute with, "float32", "float64", "float16" or "bfloat16";
 * NULL: float64 if the query is that, else float32.
 * What it makes belongs to a scope of its own, which ends with the one around it. False after a
 * message, or with an error latched; attention_case_free is due in any case. */
bool attention_case_read(attention_case *c, const char *path, const char *dtype);
void attention_case_free(attention_case *c);
const char *attention_case_dtype(const attention_case *c); /* its name */
/* complain_of_library, with the file's name before what does not know it. */
int complain_of_case(const char *path);

/* What --kernel says: auto, composed, fused. */
typedef struct kernel_wish {
    bool composed, strict;
} kernel_wish;
grd_attention attention_case_compute(const attention_case *c, kernel_wish wish);
grd_kernel_choice attention_case_explain(const attention_case *c, kernel_wish wish);

/* The sizes of the scores, (B, H, L, S) or (H, L, S). */
grd_shape attention_case_scores(const attention_case *c);

grd_align align_named(const char *name); /* NULL: unstated */

#endif
