/* What attention through cuDNN wants done before and after it. */
#include "tensor/cuda/cudnn_flash.cuh"
#include "tensor/cuda/map.cuh"

/* lengths = the queries of each sample, then its keys; nothing is broken so far. Both may be NULL.
 */
GRDI_KERNEL(cudnn_begin_f32, grdi_cudnn_seen seen, int *lengths, int *broken)
{
    const int b = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (b == 0 && broken)
        *broken = 0;
    if (b >= seen.samples || !lengths)
        return;
    lengths[b] = seen.queries;
    lengths[seen.samples + b] = seen.lengths ? (int)seen.lengths[b * seen.length] : seen.keys;
}

/* sums = logsumexp as backward reads it: +inf makes all weights 0 of a query that sees no key. */
GRDI_KERNEL(cudnn_sums_f32, int64_t n, float *sums, grdi_array logsumexp)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
#pragma unroll 1
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const double x = ((const double *)logsumexp.data)[offset_of(logsumexp, i)];
        sums[i] = x == -INFINITY ? INFINITY : (float)x;
    }
}

/* y = additive, or 0, where keep holds, else -inf. */
template <class T>
__device__ inline void hide(int64_t n, const grdi_array &y, const grdi_array &keep,
                            const grdi_array &additive)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
#pragma unroll 1
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const bool kept = !keep.data || ((const bool *)keep.data)[offset_of(keep, i)];
        float x = 0;
        if (additive.data)
            x = number(((const T *)additive.data)[offset_of(additive, i)]);
        put((T *)y.data + offset_of(y, i), kept ? x : -INFINITY);
    }
}

/* Whether query i sees any key. Most look at one element of what is additive. */
template <class T>
__device__ inline bool sees(const grdi_cudnn_seen &seen, const grdi_array &additive, int64_t b,
                            int64_t h, int64_t i)
{
    const int64_t keys = seen.lengths ? seen.lengths[b * seen.length] : seen.keys;
    const int64_t diagonal = i + seen.offset + (seen.by_length ? keys : 0);
    const int64_t first = diagonal - seen.left > 0 ? diagonal - seen.left : 0;
    const int64_t end = diagonal + seen.right + 1 < keys ? diagonal + seen.right + 1 : keys;
    if (!additive.data)
        return first < end;
    const grdi_dim *dim = additive.dim;
    const T *row =
        (const T *)additive.data + b * dim[0].stride + h * dim[1].stride + i * dim[2].stride;
#pragma unroll 1
    for (int64_t j = first; j < end; j++)
        if (number(row[j * dim[3].stride]) != -INFINITY)
            return true;
    return false;
}

/* logsumexp = sums; and what a query that sees no key gives is ours to say, not cuDNN's. */
template <class T>
__device__ inline void finish(const grdi_cudnn_seen &seen, const grdi_array &additive,
                              const float *sums, const grdi_array &logsumexp,
                              const grdi_array &output)
{
    const int64_t n = (int64_t)seen.samples * seen.heads * seen.queries;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    const grdi_dim *dim = output.dim;
#pragma unroll 1
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < n; at += step) {
        const int64_t i = at % seen.queries, bh = at / seen.queries;
        const int64_t b = bh / seen.heads, h = bh % seen.heads;
        const bool any = sees<T>(seen, additive, b, h, i);
        T *row = (T *)output.data + b * dim[0].stride + h * dim[1].stride + i * dim[2].stride;
        ((double *)logsumexp.data)[offset_of(logsumexp, at)] = any ? (double)sums[at] : -INFINITY;
#pragma unroll 1
        for (int64_t d = any ? dim[3].size : 0; d < dim[3].size; d++)
            put(&row[d], 0.0f);
    }
}

/* *broken = 1 where one of n elements is NaN: x is their packs of 8, the last one perhaps beyond
 * them. */
template <class T> __device__ inline void watch(int64_t n, const grdi_array &x, int *broken)
{
    const int64_t step = threads_of_grid();
#pragma unroll 1
    for (int64_t i = thread_of_grid(); i < (n + 7) / 8; i += step) {
        const pack<T, 8> from = *(const pack<T, 8> *)((const T *)x.data + offset_of(x, i));
        bool found = false;
#pragma unroll
        for (int v = 0; v < 8; v++)
            found |= 8 * i + v < n && number(from.at[v]) != number(from.at[v]);
        if (found)
            *broken = 1;
    }
}

/* y += x unless that is broken; what shares an element of y is summed in x. */
template <class T>
__device__ inline void gather(int64_t n, const grdi_array &y, const grdi_array &x,
                              const int *broken)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    if (broken && *broken)
        return;
#pragma unroll 1
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        float *to = (float *)y.data + offset_of(y, i);
        *to += number(((const T *)x.data)[offset_of(x, i)]);
    }
}

#define CUDNN(dtype, type)                                                                         \
    GRDI_KERNEL(cudnn_hide_##dtype, int64_t n, grdi_array y, grdi_array keep, grdi_array additive) \
    {                                                                                              \
        hide<type>(n, y, keep, additive);                                                          \
    }                                                                                              \
    GRDI_KERNEL(cudnn_finish_##dtype, grdi_cudnn_seen seen, grdi_array additive, float *sums,      \
                grdi_array logsumexp, grdi_array output)                                           \
    {                                                                                              \
        finish<type>(seen, additive, sums, logsumexp, output);                                     \
    }                                                                                              \
    GRDI_KERNEL(cudnn_watch_##dtype, int64_t n, grdi_array x, int *broken)                         \
    {                                                                                              \
        watch<type>(n, x, broken);                                                                 \
    }                                                                                              \
    GRDI_KERNEL(cudnn_gather_##dtype, int64_t n, grdi_array y, grdi_array x, const int *broken)    \
    {                                                                                              \
        gather<type>(n, y, x, broken);                                                             \
    }
CUDNN(f16, f16)
CUDNN(bf16, bf16)
