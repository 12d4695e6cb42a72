/* Front ends without gradients: what the public functions of the same name compute. They check,
 * infer the shape, allocate and launch; NULL with an error latched. Families as in the files. */
#ifndef GRDI_FRONT_H
#define GRDI_FRONT_H

#include "tensor/tensor.h"

/* activation.c */
grd_tensor *grdi_erf(const grd_tensor *x);
grd_tensor *grdi_tanh(const grd_tensor *x);
grd_tensor *grdi_sigmoid(const grd_tensor *x);
grd_tensor *grdi_relu(const grd_tensor *x);
grd_tensor *grdi_gelu(const grd_tensor *x);
grd_tensor *grdi_gelu_tanh(const grd_tensor *x);
grd_tensor *grdi_silu(const grd_tensor *x);
/* dx from the result y, or from the input x. */
grd_tensor *grdi_tanh_backward(const grd_tensor *dy, const grd_tensor *y);
grd_tensor *grdi_sigmoid_backward(const grd_tensor *dy, const grd_tensor *y);
grd_tensor *grdi_relu_backward(const grd_tensor *dy, const grd_tensor *y);
grd_tensor *grdi_gelu_backward(const grd_tensor *dy, const grd_tensor *x);
grd_tensor *grdi_gelu_tanh_backward(const grd_tensor *dy, const grd_tensor *x);
grd_tensor *grdi_silu_backward(const grd_tensor *dy, const grd_tensor *x);

/* binary.c */
grd_tensor *grdi_add(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_sub(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_mul(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_div(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_pow(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_maximum(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_minimum(const grd_tensor *a, const grd_tensor *b);

/* compare.c */
grd_tensor *grdi_eq(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_ne(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_lt(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_le(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_gt(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_ge(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_eq_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_ne_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_lt_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_le_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_gt_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_ge_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_logical_and(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_logical_or(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_logical_not(const grd_tensor *x);
grd_tensor *grdi_isfinite(const grd_tensor *x);

/* cross_entropy.c: logits (..., C), targets (...). y has the targets' shape if `each`, else none.
 * stats, unless it is NULL, receives what backward needs. */
grd_tensor *grdi_cross_entropy(const grd_tensor *logits, const grd_tensor *targets, bool each,
                               const grdi_weighing *how, grd_tensor **stats);
grd_tensor *grdi_cross_entropy_backward(const grd_tensor *dy, const grd_tensor *logits,
                                        const grd_tensor *targets, const grd_tensor *stats,
                                        const grdi_weighing *how);

/* cumsum.c: up to each element, or from it on */
grd_tensor *grdi_cumsum(const grd_tensor *x, int64_t dim, bool reverse);

/* extreme.c */
grd_tensor *grdi_max(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep);
grd_tensor *grdi_min(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep);
grd_tensor *grdi_argmax(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep);
grd_tensor *grdi_all(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep);
grd_tensor *grdi_any(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep);

/* band.c */
grd_tensor *grdi_tril(const grd_tensor *x, int64_t diagonal);
grd_tensor *grdi_triu(const grd_tensor *x, int64_t diagonal);

/* cat.c; may_: whether the parts can be joined, and along what */
bool grdi_may_cat(const grd_list *parts, int64_t dim, int *along);
grd_tensor *grdi_cat(const grd_list *parts, int64_t dim);
bool grdi_may_stack(const grd_list *parts, int64_t dim, int *along);
grd_tensor *grdi_stack(const grd_list *parts, int64_t dim);
grd_tensor *grdi_roll(const grd_tensor *x, int64_t shift, int64_t dim);

/* index.c */
/* Whether low <= x <= high everywhere; else the first element that is not is named:
 * "index [1, 3] is 7, not in [0, 5)". */
bool grdi_check_range(const char *op, const char *name, const grd_tensor *x, double low,
                      double high, const char *allowed);
/* Whether index is i64 and in 0..size - 1. */
bool grdi_check_index(const char *op, const grd_tensor *index, int64_t size);
grd_tensor *grdi_index_select(const grd_tensor *x, int64_t dim, const grd_tensor *index);
grd_tensor *grdi_embedding(const grd_tensor *index, const grd_tensor *weight);
/* Zeros of `shape`, with x's rows along dim, in the order of the indices, added at those. The
 * indices were checked. */
grd_tensor *grdi_index_add(const grd_tensor *x, const grd_shape *shape, int dim,
                           const grd_tensor *index);
/* Adds to y, which is contiguous and of a dtype that is summed in: f32, f64 or i64. */
bool grdi_index_add_to(grd_tensor *y, const grd_tensor *x, int dim, const grd_tensor *index);
grd_tensor *grdi_gather(const grd_tensor *x, int64_t dim, const grd_tensor *index);
grd_tensor *grdi_scatter_add(const grd_tensor *x, int64_t dim, const grd_tensor *index,
                             const grd_tensor *source);
grd_tensor *grdi_one_hot(const grd_tensor *index, int64_t classes);

/* attention_mask.c: the parts as tensors that broadcast to scores; NULL where absent. mask gives
 * the rest. The result broadcasts to scores too, with size 1 wherever nothing varies. */
typedef struct grdi_mask_parts {
    const grd_tensor *attend, *ignore, *key_ignore, *additive, *lengths;
} grdi_mask_parts;
grd_tensor *grdi_attention_mask(const grdi_mask_parts *parts, const grdi_mask *mask,
                                const grd_shape *scores, grd_device *device);

/* flash_attention.c: see kernels.def. Ranks are 4; keep and additive broadcast to (B, Hq, L, S) and
 * may be NULL, as lengths may. The result lies in memory as (B, L, Hq, Dv), gradients alike. */
typedef struct grdi_flash_call {
    const grd_tensor *query, *key, *value, *lengths, *keep, *additive;
    double scale, softcap, dropout;
    grdi_draw draw;
    int64_t left, right, offset;
    bool by_length;
    int64_t appended; /* of the keys; keep and additive do not know them */
} grdi_flash_call;
/* x, or a copy of it, with contiguous rows: those of the last dimension. */
const grd_tensor *grdi_with_rows(const grd_tensor *x);
grd_tensor *grdi_flash_attention(const grdi_flash_call *call, grd_tensor **logsumexp);
/* Gradients go where dx[i] is, and to new memory where it is NULL. */
bool grdi_flash_attention_backward(const grdi_flash_call *call, const grd_tensor *output,
                                   const grd_tensor *logsumexp, const grd_tensor *doutput,
                                   grd_tensor *dx[3]);
/* The gradient of call's additive, in its shape. */
grd_tensor *grdi_flash_attention_additive(const grdi_flash_call *call, const grd_tensor *output,
                                          const grd_tensor *logsumexp, const grd_tensor *doutput);
/* The same of sequences that lie end to end: query (Tq, Hq, D), key (Tk, H, D), value (Tk, H, Dv)
 * -> (Tq, Hq, Dv), logsumexp (Hq, Tq). Sequence b has rows starts_q[b] to starts_q[b + 1] - 1 of
 * the queries, and of the keys alike. A call has no lengths, keep,
 * additive nor appended keys; with by_length, offset counts from bottom right; each sequence draws
 * behind the one before. */
typedef struct grdi_sequences {
    const int64_t *starts_q, *starts_k; /* count + 1 each */
    int64_t count;
} grdi_sequences;
grd_tensor *grdi_flash_sequences(const grdi_flash_call *call, const grdi_sequences *sequences,
                                 grd_tensor **logsumexp);
bool grdi_flash_sequences_backward(const grdi_flash_call *call, const grdi_sequences *sequences,
                                   const grd_tensor *output, const grd_tensor *logsumexp,
                                   const grd_tensor *doutput, grd_tensor *dx[3]);
/* Why the library that the device has for attention does not compute this pass of a call, in words
 * that stay; NULL: it does. */
const char *grdi_flash_refusal(const grdi_flash_call *call, grdi_attention_pass pass);

/* Heads of query (0), key (1) or value (2) in their common projection (B, T, 3 E), on its memory:
 * (B, H, T, E / H). */
grd_tensor *grdi_packed_heads(const grd_tensor *packed, int which, int64_t heads);

/* kept.c: see kernels.def. keep broadcasts to (..., M, N), in kept_sums to (..., M, K). */
grd_tensor *grdi_kept_products(const grd_tensor *a, const grd_tensor *b, const grd_tensor *keep);
grd_tensor *grdi_kept_sums(const grd_tensor *a, const grd_tensor *b, const grd_tensor *keep);

/* masked_softmax.c: additive and keep broadcast to x and may be NULL; so may lse, which gets the
 * log-sum-exp. */
grd_tensor *grdi_masked_softmax(const grd_tensor *x, const grd_tensor *additive,
                                const grd_tensor *keep, double scale, grd_tensor **lse);
grd_tensor *grdi_masked_softmax_backward(const grd_tensor *y, const grd_tensor *dy,
                                         const grd_tensor *keep, double scale);

/* matmul.c: what a product's front end does. A vector becomes a matrix of one row, or column; x is
 * copied if neither its rows nor its columns are dense, and false means that this failed. */
bool grdi_dense_matrix(const grd_tensor *x, bool as_column, grdi_array *matrix);
/* Sizes of the product's matrices: the leading ones of a and b, broadcast, then M and N; false if
 * they do not broadcast. */
bool grdi_product_shape(const grdi_array *a, const grdi_array *b, grd_shape *shape);
/* x's matrices, repeated over the batch of `shape`. */
grdi_array grdi_over_batch(const grdi_array *x, grd_shape shape);

/* matmul.c */
grd_tensor *grdi_matmul(const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_linear(const grd_tensor *x, const grd_tensor *weight, const grd_tensor *bias);

/* read.c: all elements as they are, row by row, to and from host memory. What is uploaded to is
 * contiguous and new. */
bool grdi_download(const char *op, const grd_tensor *x, void *out);
bool grdi_upload(const char *op, grd_tensor *x, const void *values);
/* The element at `index` as a view of rank 0. */
grd_tensor *grdi_pick(const char *op, const grd_tensor *x, const grd_dims *index);

/* random.c; for dropout x is not NULL, and 0 < p < 1 */
grd_tensor *grdi_bernoulli(grd_rng *rng, const grd_tensor *p);
grd_tensor *grdi_dropout(const grd_tensor *x, double p, grdi_draw at);

/* scalar.c */
grd_tensor *grdi_add_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_sub_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_mul_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_div_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_pow_scalar(const grd_tensor *x, double b);
grd_tensor *grdi_neg(const grd_tensor *x);
grd_tensor *grdi_clamp(const grd_tensor *x, double low, double high);

/* norm.c: stats, unless it is NULL, receives what backward needs. dx holds the gradients of x,
 * weight and bias; wanted[0] is taken for true. */
grd_tensor *grdi_layer_norm(const grd_tensor *x, const grd_tensor *weight, const grd_tensor *bias,
                            double eps, grd_tensor **stats);
grd_tensor *grdi_rms_norm(const grd_tensor *x, const grd_tensor *weight, double eps,
                          grd_tensor **stats);
bool grdi_layer_norm_backward(const grd_tensor *dy, const grd_tensor *x, const grd_tensor *stats,
                              const grd_tensor *weight, const bool wanted[3], grd_tensor *dx[3]);
bool grdi_rms_norm_backward(const grd_tensor *dy, const grd_tensor *x, const grd_tensor *stats,
                            const grd_tensor *weight, const bool wanted[2], grd_tensor *dx[2]);

/* optimizer.c: in place, for optimizers; they count the change. x and what is kept for it, and its
 * gradient dx, are contiguous and of one shape, device and dtype, f32 or f64: anything else is an
 * error. False: it is latched. b may be NULL. */
bool grdi_sgd_step(grd_tensor *x, grd_tensor *b, const grd_tensor *dx, const grdi_sgd *numbers);
bool grdi_adam_step(grd_tensor *x, grd_tensor *m, grd_tensor *v, const grd_tensor *dx,
                    const grdi_adam *numbers);
/* Row `row` of sums f64 [rows, 2] = the sum of x's squares, and how many of x are not finite. */
bool grdi_square_sum(grd_tensor *sums, int64_t row, const grd_tensor *x);

/* softmax.c */
grd_tensor *grdi_softmax(const grd_tensor *x, int64_t dim);
grd_tensor *grdi_log_softmax(const grd_tensor *x, int64_t dim);
grd_tensor *grdi_logsumexp(const grd_tensor *x, int64_t dim, grd_keepdim keep);
/* dx from the results y; dim as it was given to the op. */
grd_tensor *grdi_softmax_backward(const grd_tensor *y, const grd_tensor *dy, int64_t dim);
grd_tensor *grdi_log_softmax_backward(const grd_tensor *y, const grd_tensor *dy, int64_t dim);

/* sum.c */
grd_tensor *grdi_sum(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep);
grd_tensor *grdi_mean(const grd_tensor *x, const grd_dims *dims, grd_keepdim keep);
grd_tensor *grdi_var(const grd_tensor *x, const grd_dims *dims, int64_t correction,
                     grd_keepdim keep);

/* topk.c */
grd_values_indices grdi_topk(const grd_tensor *x, int64_t k, int64_t dim);

/* unary.c */
grd_tensor *grdi_abs(const grd_tensor *x);
grd_tensor *grdi_sign(const grd_tensor *x); /* -1, 0 or 1 */
grd_tensor *grdi_square(const grd_tensor *x);
grd_tensor *grdi_exp(const grd_tensor *x);
grd_tensor *grdi_log(const grd_tensor *x);
grd_tensor *grdi_sqrt(const grd_tensor *x);
grd_tensor *grdi_rsqrt(const grd_tensor *x);
grd_tensor *grdi_sin(const grd_tensor *x);
grd_tensor *grdi_cos(const grd_tensor *x);

/* view.c */
grd_tensor *grdi_view(const grd_tensor *x, const grd_shape *shape);
grd_tensor *grdi_reshape(const grd_tensor *x, const grd_shape *shape);
grd_tensor *grdi_transpose(const grd_tensor *x, int64_t dim0, int64_t dim1);
grd_tensor *grdi_permute(const grd_tensor *x, const grd_dims *order);
grd_tensor *grdi_expand(const grd_tensor *x, const grd_shape *shape);
grd_tensor *grdi_squeeze(const grd_tensor *x, int64_t dim);
grd_tensor *grdi_unsqueeze(const grd_tensor *x, int64_t dim);

/* Elements start, start + step, ... of dimension dim, `size` of them, all within it. */
typedef struct grdi_range {
    int dim;
    int64_t start, step, size;
} grdi_range;
bool grdi_resolve_range(const char *op, const grd_tensor *x, int64_t dim, int64_t start,
                        int64_t stop, int64_t step, grdi_range *range);
bool grdi_resolve_index(const char *op, const grd_tensor *x, int64_t dim, int64_t index,
                        grdi_range *range);
grdi_array grdi_array_slice(const grdi_array *x, const grdi_range *range);
grd_tensor *grdi_slice(const grd_tensor *x, const grdi_range *range);
grd_tensor *grdi_select(const grd_tensor *x, const grdi_range *range); /* of size 1, then gone */

/* copy.c */
grd_tensor *grdi_cast(const grd_tensor *x, grd_dtype dtype);
grd_tensor *grdi_copy(const grd_tensor *x); /* contiguous, on memory of its own */
/* A copy with the strides of `layout`, an array of x's shape; contiguous where that repeats
 * elements. */
grd_tensor *grdi_copy_laid_out(const grd_tensor *x, const grdi_array *layout);
grd_tensor *grdi_clone(const grd_tensor *x);
grd_tensor *grdi_contiguous(const grd_tensor *x);
grd_tensor *grdi_to_device(const grd_tensor *x, grd_device *device);
grd_tensor *grdi_place(const grd_tensor *x, const grd_shape *shape,
                       const grdi_range *range); /* zeros, with x at the range */
/* Copies x into y, which is on x's device and has its sizes. */
bool grdi_copy_to(const char *op, const grdi_array *y, const grd_tensor *x);

/* where.c */
grd_tensor *grdi_where(const grd_tensor *condition, const grd_tensor *a, const grd_tensor *b);
grd_tensor *grdi_masked_fill(const grd_tensor *x, const grd_tensor *mask, double value);

/* anomaly.c: where x's first NaN is, row-major; i64 [], -1: there is none. */
grd_tensor *grdi_first_nan(const char *op, const grd_tensor *x);
/* Whether the scope wants values checked; and doing it: false, with an error, for a NaN in x. */
static inline bool grdi_checks_values(void)
{
    return grdi_self.scope && grdi_self.scope->modes.anomaly;
}
bool grdi_check_values(const char *op, const char *what, const grd_tensor *x);

#endif
