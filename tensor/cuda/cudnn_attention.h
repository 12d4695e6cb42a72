/* Attention through cuDNN, in f16 and bf16: as graphs of matrix products, elementwise operations
 * and reductions, which its engines know for attention and run as one kernel. */
#ifndef GRDI_CUDA_CUDNN_ATTENTION_H
#define GRDI_CUDA_CUDNN_ATTENTION_H

#include "tensor/backend.h"
#include "tensor/cuda/cudnn_graph.h"

/* The tensors of its graphs that lie in memory, by their ids. The first are rows of heads, in the
 * order of their strides below; then numbers for each query, numbers for each sample, one each, and
 * those that the host passes. */
enum {
    GRDI_CUDNN_QUERY = 1,
    GRDI_CUDNN_KEY,
    GRDI_CUDNN_VALUE,
    GRDI_CUDNN_OUTPUT,
    GRDI_CUDNN_DQUERY,
    GRDI_CUDNN_DKEY,
    GRDI_CUDNN_DVALUE,
    GRDI_CUDNN_DOUTPUT, /* lies as the output does */
    GRDI_CUDNN_LOGSUMEXP,
    GRDI_CUDNN_OVERLAP, /* doutput . output of each query, which backward makes */
    GRDI_CUDNN_SUMMED,  /* dquery in f32, where it is summed in any order */
    GRDI_CUDNN_ADDITIVE,
    GRDI_CUDNN_DADDITIVE, /* contiguous, of the sizes of what is additive */
    GRDI_CUDNN_QUERY_LENGTHS,
    GRDI_CUDNN_KEY_LENGTHS,
    GRDI_CUDNN_SCALE,   /* f32 */
    GRDI_CUDNN_HIDDEN,  /* f32: the score of a hidden key, the least that there is */
    GRDI_CUDNN_KEPT,    /* f32, 1: the share of weights that dropout would keep */
    GRDI_CUDNN_QUERIES, /* i32: how many there are */
    GRDI_CUDNN_KEYS,    /* i32 */
    GRDI_CUDNN_WINDOW,  /* i32: how many keys a query sees up to its diagonal */
    GRDI_CUDNN_IDS,
};

enum { GRDI_CUDNN_ROWS = GRDI_CUDNN_DVALUE };

/* Which keys a query i sees: all, those to i, or those to i + S - L. */
enum { GRDI_CUDNN_ALL, GRDI_CUDNN_TOP_LEFT, GRDI_CUDNN_BOTTOM_RIGHT };

/* All that a plan depends on. Members are of 8 bytes each, so that its bytes can be compared. */
typedef struct grdi_cudnn_attention {
    int64_t version, capability; /* of cuDNN; 90: sm_90 */
    int64_t dtype;               /* GRDI_CUDNN_F16 or _BF16 */
    int64_t batch, heads, key_heads, queries, keys, size, value_size;
    int64_t stride[GRDI_CUDNN_ROWS][3]; /* of samples, heads and rows, by id - 1 */
    grdi_cudnn_shape additive;          /* size[0] 0: there is none */
    int64_t backward;                   /* else forward */
    int64_t dadditive;                  /* backward gives it too */
    int64_t deterministic;              /* backward gives the same bits in every run */
    int64_t padded;                     /* keys at or past lengths (B) are hidden */
    int64_t causal, windowed;
} grdi_cudnn_attention;

/* Adds the operations of attention, forward or backward. */
void grdi_cudnn_add_attention(grdi_cudnn_graph *graph, const grdi_cudnn_attention *attention);

/* ---- Shared by forward and backward ---- */

/* A graph that is being made, and of its tensors those that several operations read. */
typedef struct grdi_cudnn_parts {
    grdi_cudnn_graph *graph;
    const grdi_cudnn_attention *a;
    grdi_cudnn_shape pairs, queries; /* (B, Hq, L, S) and (B, Hq, L, 1) */
    grdi_cudnn_descriptor *scale, *hidden, *kept;
    grdi_cudnn_descriptor *query_lengths, *key_lengths; /* NULL: it is not padded */
} grdi_cudnn_parts;

grdi_cudnn_shape grdi_cudnn_rows(const grdi_cudnn_attention *a, int64_t id);

/* The rows of heads that `id` names. */
grdi_cudnn_descriptor *grdi_cudnn_rows_tensor(const grdi_cudnn_parts *p, int64_t id);
grdi_cudnn_descriptor *grdi_cudnn_transposed_rows(const grdi_cudnn_parts *p, int64_t id);

/* f32 numbers for each pair or query, between operations: mode(x, b). */
grdi_cudnn_descriptor *grdi_cudnn_pairs(const grdi_cudnn_parts *p, int mode,
                                        grdi_cudnn_descriptor *x, grdi_cudnn_descriptor *b);
grdi_cudnn_descriptor *grdi_cudnn_queries(const grdi_cudnn_parts *p, int mode,
                                          grdi_cudnn_descriptor *x, grdi_cudnn_descriptor *b);

/* query key^T, scaled, plus what is additive, hidden past the lengths. */
grdi_cudnn_descriptor *grdi_cudnn_scores(const grdi_cudnn_parts *p, grdi_cudnn_descriptor *query,
                                         grdi_cudnn_descriptor *key_transposed);

/* The same numbers, hidden where a query does not see a key for its place. */
grdi_cudnn_descriptor *grdi_cudnn_within_band(const grdi_cudnn_parts *p, grdi_cudnn_descriptor *x);

void grdi_cudnn_add_forward(const grdi_cudnn_parts *p);
void grdi_cudnn_add_backward(const grdi_cudnn_parts *p);

#endif
