/* Operations: each borrows tensors of any strides and makes a new one (a view where it says so),
 * owned by the innermost scope.
 *
 * Shared rules. Names are PyTorch's. All inputs have one dtype and one device. Two operands
 * broadcast as PyTorch's: aligned at the last dimension, a size of 1 stretches. A dimension may be
 * negative and then counts from the end. Every op can be differentiated, again and again, unless it
 * says "no derivative"; "saves" lists what a graph keeps alive for backward, and only for the
 * inputs that require grad. _ at the end changes the first argument in place and returns a
 * status. */
#ifndef GRADUS_OPS_H
#define GRADUS_OPS_H

#include <gradus/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Element by element ----
 * f16 and bf16 are computed in f32 and rounded once. i64 is exact and wraps around; it has add,
 * sub, mul, neg, abs, square, maximum, minimum, clamp, comparisons and choices, and a number beside
 * it must be whole. What needs a fraction (div, exp, ...) wants a floating dtype: cast first. */
/* y = a + b, a - b, a b, a / b, a^b. add and sub save nothing; mul saves the other input, div b and
 * y, pow a and b. */
GRD_NEW grd_tensor *grd_add(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_sub(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_mul(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_div(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_pow(const grd_tensor *a, const grd_tensor *b);
/* NaN where either is. A tie shares the gradient, as torch. Save a and b. */
GRD_NEW grd_tensor *grd_maximum(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_minimum(const grd_tensor *a, const grd_tensor *b);
/* The same with a number, which is rounded to the type that x is computed in. div_scalar divides,
 * instead of multiplying by the reciprocal. Only pow_scalar saves: x. */
GRD_NEW grd_tensor *grd_add_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_sub_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_mul_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_div_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_pow_scalar(const grd_tensor *x, double b);
/* min(max(x, low), high); -INFINITY, INFINITY: no bound. NaN stays. Saves x. */
GRD_NEW grd_tensor *grd_clamp(const grd_tensor *x, double low, double high);
/* exp, sqrt, rsqrt (1 / sqrt), tanh, sigmoid and relu save y, the others x. */
GRD_NEW grd_tensor *grd_neg(const grd_tensor *x);
GRD_NEW grd_tensor *grd_abs(const grd_tensor *x); /* gradient 0 in 0 */
GRD_NEW grd_tensor *grd_square(const grd_tensor *x);
GRD_NEW grd_tensor *grd_exp(const grd_tensor *x);
GRD_NEW grd_tensor *grd_log(const grd_tensor *x);
GRD_NEW grd_tensor *grd_sqrt(const grd_tensor *x);
GRD_NEW grd_tensor *grd_rsqrt(const grd_tensor *x);
GRD_NEW grd_tensor *grd_sin(const grd_tensor *x);
GRD_NEW grd_tensor *grd_cos(const grd_tensor *x);
GRD_NEW grd_tensor *grd_erf(const grd_tensor *x); /* 2 / sqrt(pi) integral of e^(-t^2), 0 to x */
GRD_NEW grd_tensor *grd_tanh(const grd_tensor *x);
GRD_NEW grd_tensor *grd_sigmoid(const grd_tensor *x);   /* 1 / (1 + e^-x) */
GRD_NEW grd_tensor *grd_relu(const grd_tensor *x);      /* gradient 0 in 0 */
GRD_NEW grd_tensor *grd_gelu(const grd_tensor *x);      /* x Phi(x), by erf */
GRD_NEW grd_tensor *grd_gelu_tanh(const grd_tensor *x); /* the tanh approximation */
GRD_NEW grd_tensor *grd_silu(const grd_tensor *x);      /* x sigmoid(x) */

/* ---- Comparisons and choices ----
 * Comparisons take any dtype and give bool, without a derivative and unrecorded; with NaN all but
 * ne are false. A number is rounded to x's dtype. */
GRD_NEW grd_tensor *grd_eq(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_ne(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_lt(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_le(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_gt(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_ge(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_eq_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_ne_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_lt_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_le_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_gt_scalar(const grd_tensor *x, double b);
GRD_NEW grd_tensor *grd_ge_scalar(const grd_tensor *x, double b);
/* Of bool. */
GRD_NEW grd_tensor *grd_logical_and(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_logical_or(const grd_tensor *a, const grd_tensor *b);
GRD_NEW grd_tensor *grd_logical_not(const grd_tensor *x);
GRD_NEW grd_tensor *grd_isfinite(const grd_tensor *x); /* true for all of i64 and bool */
/* a where condition (bool), else b; all three broadcast. Saves condition. */
GRD_NEW grd_tensor *grd_where(const grd_tensor *condition, const grd_tensor *a,
                              const grd_tensor *b);
/* value where mask (bool), else x; both broadcast. Saves mask. */
GRD_NEW grd_tensor *grd_masked_fill(const grd_tensor *x, const grd_tensor *mask, double value);

/* ---- Reductions: over all elements to [], or over dims ----
 * dims that are reduced have size 1 (GRD_KEEP_DIMS) or are dropped; {0}: all of them. */
typedef enum grd_keepdim { GRD_DROP_DIMS, GRD_KEEP_DIMS } grd_keepdim;
typedef struct grd_values_indices {
    grd_tensor *values, *indices; /* indices: i64 */
} grd_values_indices;
/* Sums and means. Accumulate in f64; i64 and bool sum to i64 (wrapping around) and have no mean. Of
 * nothing: 0, and NaN. Save nothing. */
GRD_NEW grd_tensor *grd_sum(const grd_tensor *x);
GRD_NEW grd_tensor *grd_sum_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep);
GRD_NEW grd_tensor *grd_mean(const grd_tensor *x);
GRD_NEW grd_tensor *grd_mean_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep);
/* The largest and the smallest; NaN if there is one. Ties share the gradient evenly (torch: amax).
 * Of nothing: an error that names the dimension. Save x and the result. */
GRD_NEW grd_tensor *grd_max(const grd_tensor *x);
GRD_NEW grd_tensor *grd_min(const grd_tensor *x);
GRD_NEW grd_tensor *grd_max_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep);
GRD_NEW grd_tensor *grd_min_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep);
/* The sum of squared distances from the mean / (count - correction), in two passes. torch:
 * correction 1; layer_norm: 0. NaN where that is 0 / 0. Saves x. */
GRD_NEW grd_tensor *grd_var_dims(const grd_tensor *x, grd_dims dims, int64_t correction,
                                 grd_keepdim keep);
/* Whether all, or any, elements are not 0: bool, no derivative. Of nothing: true, and false. */
GRD_NEW grd_tensor *grd_all_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep);
GRD_NEW grd_tensor *grd_any_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep);
/* Where the largest is: i64, the first of equals, NaN the largest; no derivative. Over several dims
 * (none: all) the position among the elements reduced, row-major. Of nothing: an error. */
GRD_NEW grd_tensor *grd_argmax(const grd_tensor *x, int64_t dim);
GRD_NEW grd_tensor *grd_argmax_dims(const grd_tensor *x, grd_dims dims, grd_keepdim keep);
/* The sums up to each element; bool counts in i64. Saves nothing. */
GRD_NEW grd_tensor *grd_cumsum(const grd_tensor *x, int64_t dim);
/* log(sum(exp(x))) without overflow: -inf for a row of -inf or of nothing. Saves x. */
GRD_NEW grd_tensor *grd_logsumexp(const grd_tensor *x, int64_t dim, grd_keepdim keep);
/* y = exp(x - max) / sum(exp(x - max)) along dim. x [any], y the same shape. A row of -inf only
 * gives NaN, as in PyTorch. Saves y. */
GRD_NEW grd_tensor *grd_softmax(const grd_tensor *x, int64_t dim);
/* The logarithm of the same, exact where softmax rounds to 0. Saves y. */
GRD_NEW grd_tensor *grd_log_softmax(const grd_tensor *x, int64_t dim);
/* The k largest along dim, largest first, equal ones in their order, NaN the largest. The values
 * can be differentiated, the indices not. Saves the indices. */
GRD_API grd_values_indices grd_topk(const grd_tensor *x, int64_t k, int64_t dim);

/* ---- Products ---- */
/* a (..., M, K), b (..., K, N) -> (..., M, N); leading dimensions broadcast. A vector counts as one
 * row (a) or one column (b), whose dimension the result lacks: (K) (K) -> []. Transposed views cost
 * no copy. Floating; f16 and bf16 are multiplied in f32. Saves the other input. */
GRD_NEW grd_tensor *grd_matmul(const grd_tensor *a, const grd_tensor *b);
/* y = x weight^T + bias: x (..., in), weight (out, in), bias (out) or NULL -> (..., out). Saves x
 * and weight, each for the other's gradient. */
GRD_NEW grd_tensor *grd_linear(const grd_tensor *x, const grd_tensor *weight,
                               const grd_tensor *bias);

/* ---- Views: new tensors on x's memory; a write through one is seen through all ---- */
GRD_NEW grd_tensor *grd_transpose(const grd_tensor *x, int64_t dim0, int64_t dim1);
/* x broadcast to shape. */
GRD_NEW grd_tensor *grd_expand(const grd_tensor *x, grd_shape shape);
/* The same elements in row-major order under another shape, of which one size may be -1: what the
 * others leave. GRD_ERROR_SHAPE where the strides would need a copy, as grd_reshape makes. */
GRD_NEW grd_tensor *grd_view(const grd_tensor *x, grd_shape shape);
/* Dimension d of the result is x's dimension order[d]; each stands there once. */
GRD_NEW grd_tensor *grd_permute(const grd_tensor *x, grd_dims order);
/* x[start:stop:step] along dim, as Python: negative positions count from the end, what lies outside
 * is cut off, so that an empty result is no error. step > 0; stop GRD_END: to the end. */
GRD_NEW grd_tensor *grd_slice(const grd_tensor *x, int64_t dim, int64_t start, int64_t stop,
                              int64_t step);
#define GRD_END INT64_MAX
/* x[index] along dim, the dimension gone; a negative index counts from the end. */
GRD_NEW grd_tensor *grd_select(const grd_tensor *x, int64_t dim, int64_t index);
/* Without dimension dim, if its size is 1; else as it is. */
GRD_NEW grd_tensor *grd_squeeze(const grd_tensor *x, int64_t dim);
/* With a new dimension of size 1 at dim, -rank - 1 to rank. */
GRD_NEW grd_tensor *grd_unsqueeze(const grd_tensor *x, int64_t dim);
/* Fills out with count equal parts (chunk) or parts of the given sizes, which add up to x's
 * (split); with NULLs on failure. */
GRD_API grd_status grd_chunk(const grd_tensor *x, int64_t count, int64_t dim, grd_tensor **out);
GRD_API grd_status grd_split(const grd_tensor *x, const int64_t *sizes, int64_t count, int64_t dim,
                             grd_tensor **out);

/* ---- Rearranging: copies ---- */
/* As grd_view, which it is where x's strides allow it; else a copy. */
GRD_NEW grd_tensor *grd_reshape(const grd_tensor *x, grd_shape shape);
/* The same values in another dtype, rounded to nearest. Saves nothing. */
GRD_NEW grd_tensor *grd_cast(const grd_tensor *x, grd_dtype dtype);
/* x with row-major strides: x's memory if it has them, else a copy. clone always copies. */
GRD_NEW grd_tensor *grd_contiguous(const grd_tensor *x);
GRD_NEW grd_tensor *grd_clone(const grd_tensor *x);
/* x on a device: x's memory if that is its own, else a copy. */
GRD_NEW grd_tensor *grd_to_device(const grd_tensor *x, grd_device *device);
/* At least one part. cat: one after the other along dim, the other sizes equal. stack: along a new
 * dimension dim, all sizes equal. */
GRD_NEW grd_tensor *grd_cat(grd_list parts, int64_t dim);
GRD_NEW grd_tensor *grd_stack(grd_list parts, int64_t dim);
/* Element i comes to i + shift, round the end. */
GRD_NEW grd_tensor *grd_roll(const grd_tensor *x, int64_t shift, int64_t dim);
/* x (..., M, N) on and below (above) a diagonal, 0 elsewhere; diagonal 1 is right of the main one.
 */
GRD_NEW grd_tensor *grd_tril(const grd_tensor *x, int64_t diagonal);
GRD_NEW grd_tensor *grd_triu(const grd_tensor *x, int64_t diagonal);

/* ---- Indices: i64 ----
 * None is negative, and every one is checked before anything is written: the error names the first
 * wrong one's position and value, and what is allowed. A graph saves them. Equal indices are summed
 * in their order, whatever the number of threads; f16 and bf16 are summed in f32. */
/* index [N]: x with dimension dim of size N, at i what x has at index[i]. */
GRD_NEW grd_tensor *grd_index_select(const grd_tensor *x, int64_t dim, const grd_tensor *index);
/* y[i][j] = x[i][index[i][j]] for dim 1, and so on. index has x's rank and, but for dim, no larger
 * sizes; y has index's shape. */
GRD_NEW grd_tensor *grd_gather(const grd_tensor *x, int64_t dim, const grd_tensor *index);
/* y = x, and y[i][index[i][j]] += source[i][j] for dim 1, and so on. index as for gather; source is
 * no smaller than index, whose shape says what of it is added. */
GRD_NEW grd_tensor *grd_scatter_add(const grd_tensor *x, int64_t dim, const grd_tensor *index,
                                    const grd_tensor *source);
/* index (...), weight (V, E) -> (..., E) */
GRD_NEW grd_tensor *grd_embedding(const grd_tensor *index, const grd_tensor *weight);
/* index (...) -> i64 (..., classes): 1 at the index, else 0 */
GRD_NEW grd_tensor *grd_one_hot(const grd_tensor *index, int64_t classes);

/* ---- Layers as functions ---- */
/* y = (x - mean) / sqrt(var + eps) weight + bias over the last dimension, E; weight, bias (E) or
 * NULL. The variance is taken in two passes about the mean. Saves x, weight and two numbers a row.
 */
GRD_NEW grd_tensor *grd_layer_norm(const grd_tensor *x, const grd_tensor *weight,
                                   const grd_tensor *bias, double eps);
/* The same with mean 0 and no bias: y = x / sqrt(mean(x^2) + eps) weight. */
GRD_NEW grd_tensor *grd_rms_norm(const grd_tensor *x, const grd_tensor *weight, double eps);
/* Each element is 0 with probability p, in [0, 1), else x / (1 - p). Always drops; the module
 * follows train/eval. p = 0 draws nothing and gives x's values in x's memory. Saves nothing:
 * backward draws the same numbers again. */
GRD_NEW grd_tensor *grd_dropout(const grd_tensor *x, double p, grd_rng *rng);

/* ---- In place ----
 * y broadcasts to x's shape and has x's dtype; copy_ converts. x and y may share memory: what is
 * read is what was there before. GRD_ERROR_STATE: x or y requires grad, and no no-grad scope is
 * open. GRD_ERROR_ARGUMENT: x is an expanded view, whose elements overlap. What a graph saved of x
 * before, its walk will refuse. */
GRD_API grd_status grd_fill_(grd_tensor *x, double value);
GRD_API grd_status grd_add_(grd_tensor *x, const grd_tensor *y);
GRD_API grd_status grd_add_scaled_(grd_tensor *x, const grd_tensor *y,
                                   double factor); /* x += factor y */
GRD_API grd_status grd_mul_(grd_tensor *x, const grd_tensor *y);
GRD_API grd_status grd_mul_scalar_(grd_tensor *x, double factor);
GRD_API grd_status grd_copy_(grd_tensor *x, const grd_tensor *from);

GRD_API grd_values_indices grd_at_values_indices(grd_values_indices result, const char *file,
                                                 int line);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_add(...) grd_at(grd_add(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mul(...) grd_at(grd_mul(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sub(...) grd_at(grd_sub(__VA_ARGS__), __FILE__, __LINE__)
#define grd_div(...) grd_at(grd_div(__VA_ARGS__), __FILE__, __LINE__)
#define grd_pow(...) grd_at(grd_pow(__VA_ARGS__), __FILE__, __LINE__)
#define grd_maximum(...) grd_at(grd_maximum(__VA_ARGS__), __FILE__, __LINE__)
#define grd_minimum(...) grd_at(grd_minimum(__VA_ARGS__), __FILE__, __LINE__)
#define grd_add_scalar(...) grd_at(grd_add_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sub_scalar(...) grd_at(grd_sub_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mul_scalar(...) grd_at(grd_mul_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_div_scalar(...) grd_at(grd_div_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_pow_scalar(...) grd_at(grd_pow_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_neg(...) grd_at(grd_neg(__VA_ARGS__), __FILE__, __LINE__)
#define grd_abs(...) grd_at(grd_abs(__VA_ARGS__), __FILE__, __LINE__)
#define grd_square(...) grd_at(grd_square(__VA_ARGS__), __FILE__, __LINE__)
#define grd_exp(...) grd_at(grd_exp(__VA_ARGS__), __FILE__, __LINE__)
#define grd_log(...) grd_at(grd_log(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sqrt(...) grd_at(grd_sqrt(__VA_ARGS__), __FILE__, __LINE__)
#define grd_rsqrt(...) grd_at(grd_rsqrt(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sin(...) grd_at(grd_sin(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cos(...) grd_at(grd_cos(__VA_ARGS__), __FILE__, __LINE__)
#define grd_erf(...) grd_at(grd_erf(__VA_ARGS__), __FILE__, __LINE__)
#define grd_tanh(...) grd_at(grd_tanh(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sigmoid(...) grd_at(grd_sigmoid(__VA_ARGS__), __FILE__, __LINE__)
#define grd_relu(...) grd_at(grd_relu(__VA_ARGS__), __FILE__, __LINE__)
#define grd_gelu(...) grd_at(grd_gelu(__VA_ARGS__), __FILE__, __LINE__)
#define grd_gelu_tanh(...) grd_at(grd_gelu_tanh(__VA_ARGS__), __FILE__, __LINE__)
#define grd_silu(...) grd_at(grd_silu(__VA_ARGS__), __FILE__, __LINE__)
#define grd_clamp(...) grd_at(grd_clamp(__VA_ARGS__), __FILE__, __LINE__)
#define grd_eq(...) grd_at(grd_eq(__VA_ARGS__), __FILE__, __LINE__)
#define grd_ne(...) grd_at(grd_ne(__VA_ARGS__), __FILE__, __LINE__)
#define grd_lt(...) grd_at(grd_lt(__VA_ARGS__), __FILE__, __LINE__)
#define grd_le(...) grd_at(grd_le(__VA_ARGS__), __FILE__, __LINE__)
#define grd_gt(...) grd_at(grd_gt(__VA_ARGS__), __FILE__, __LINE__)
#define grd_ge(...) grd_at(grd_ge(__VA_ARGS__), __FILE__, __LINE__)
#define grd_eq_scalar(...) grd_at(grd_eq_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_ne_scalar(...) grd_at(grd_ne_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_le_scalar(...) grd_at(grd_le_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_gt_scalar(...) grd_at(grd_gt_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_lt_scalar(...) grd_at(grd_lt_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_ge_scalar(...) grd_at(grd_ge_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define grd_logical_and(...) grd_at(grd_logical_and(__VA_ARGS__), __FILE__, __LINE__)
#define grd_logical_or(...) grd_at(grd_logical_or(__VA_ARGS__), __FILE__, __LINE__)
#define grd_logical_not(...) grd_at(grd_logical_not(__VA_ARGS__), __FILE__, __LINE__)
#define grd_isfinite(...) grd_at(grd_isfinite(__VA_ARGS__), __FILE__, __LINE__)
#define grd_where(...) grd_at(grd_where(__VA_ARGS__), __FILE__, __LINE__)
#define grd_masked_fill(...) grd_at(grd_masked_fill(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sum(...) grd_at(grd_sum(__VA_ARGS__), __FILE__, __LINE__)
#define grd_sum_dims(...) grd_at(grd_sum_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mean(...) grd_at(grd_mean(__VA_ARGS__), __FILE__, __LINE__)
#define grd_max(...) grd_at(grd_max(__VA_ARGS__), __FILE__, __LINE__)
#define grd_min(...) grd_at(grd_min(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mean_dims(...) grd_at(grd_mean_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_max_dims(...) grd_at(grd_max_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_min_dims(...) grd_at(grd_min_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_var_dims(...) grd_at(grd_var_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_all_dims(...) grd_at(grd_all_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_any_dims(...) grd_at(grd_any_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_argmax(...) grd_at(grd_argmax(__VA_ARGS__), __FILE__, __LINE__)
#define grd_argmax_dims(...) grd_at(grd_argmax_dims(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cumsum(...) grd_at(grd_cumsum(__VA_ARGS__), __FILE__, __LINE__)
#define grd_logsumexp(...) grd_at(grd_logsumexp(__VA_ARGS__), __FILE__, __LINE__)
#define grd_softmax(...) grd_at(grd_softmax(__VA_ARGS__), __FILE__, __LINE__)
#define grd_log_softmax(...) grd_at(grd_log_softmax(__VA_ARGS__), __FILE__, __LINE__)
#define grd_topk(...) grd_at_values_indices(grd_topk(__VA_ARGS__), __FILE__, __LINE__)
#define grd_matmul(...) grd_at(grd_matmul(__VA_ARGS__), __FILE__, __LINE__)
#define grd_linear(...) grd_at(grd_linear(__VA_ARGS__), __FILE__, __LINE__)
#define grd_transpose(...) grd_at(grd_transpose(__VA_ARGS__), __FILE__, __LINE__)
#define grd_expand(...) grd_at(grd_expand(__VA_ARGS__), __FILE__, __LINE__)
#define grd_view(...) grd_at(grd_view(__VA_ARGS__), __FILE__, __LINE__)
#define grd_permute(...) grd_at(grd_permute(__VA_ARGS__), __FILE__, __LINE__)
#define grd_slice(...) grd_at(grd_slice(__VA_ARGS__), __FILE__, __LINE__)
#define grd_select(...) grd_at(grd_select(__VA_ARGS__), __FILE__, __LINE__)
#define grd_squeeze(...) grd_at(grd_squeeze(__VA_ARGS__), __FILE__, __LINE__)
#define grd_unsqueeze(...) grd_at(grd_unsqueeze(__VA_ARGS__), __FILE__, __LINE__)
#define grd_chunk(...) grd_at_status(grd_chunk(__VA_ARGS__), __FILE__, __LINE__)
#define grd_split(...) grd_at_status(grd_split(__VA_ARGS__), __FILE__, __LINE__)
#define grd_reshape(...) grd_at(grd_reshape(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cast(...) grd_at(grd_cast(__VA_ARGS__), __FILE__, __LINE__)
#define grd_contiguous(...) grd_at(grd_contiguous(__VA_ARGS__), __FILE__, __LINE__)
#define grd_clone(...) grd_at(grd_clone(__VA_ARGS__), __FILE__, __LINE__)
#define grd_to_device(...) grd_at(grd_to_device(__VA_ARGS__), __FILE__, __LINE__)
#define grd_cat(...) grd_at(grd_cat(__VA_ARGS__), __FILE__, __LINE__)
#define grd_stack(...) grd_at(grd_stack(__VA_ARGS__), __FILE__, __LINE__)
#define grd_roll(...) grd_at(grd_roll(__VA_ARGS__), __FILE__, __LINE__)
#define grd_tril(...) grd_at(grd_tril(__VA_ARGS__), __FILE__, __LINE__)
#define grd_triu(...) grd_at(grd_triu(__VA_ARGS__), __FILE__, __LINE__)
#define grd_index_select(...) grd_at(grd_index_select(__VA_ARGS__), __FILE__, __LINE__)
#define grd_gather(...) grd_at(grd_gather(__VA_ARGS__), __FILE__, __LINE__)
#define grd_scatter_add(...) grd_at(grd_scatter_add(__VA_ARGS__), __FILE__, __LINE__)
#define grd_embedding(...) grd_at(grd_embedding(__VA_ARGS__), __FILE__, __LINE__)
#define grd_one_hot(...) grd_at(grd_one_hot(__VA_ARGS__), __FILE__, __LINE__)
#define grd_layer_norm(...) grd_at(grd_layer_norm(__VA_ARGS__), __FILE__, __LINE__)
#define grd_rms_norm(...) grd_at(grd_rms_norm(__VA_ARGS__), __FILE__, __LINE__)
#define grd_dropout(...) grd_at(grd_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define grd_fill_(...) grd_at_status(grd_fill_(__VA_ARGS__), __FILE__, __LINE__)
#define grd_add_(...) grd_at_status(grd_add_(__VA_ARGS__), __FILE__, __LINE__)
#define grd_add_scaled_(...) grd_at_status(grd_add_scaled_(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mul_(...) grd_at_status(grd_mul_(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mul_scalar_(...) grd_at_status(grd_mul_scalar_(__VA_ARGS__), __FILE__, __LINE__)
#define grd_copy_(...) grd_at_status(grd_copy_(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
