/* What the gradients of attention share. */
#ifndef GRDI_CUDA_FLASH_BACKWARD_CUH
#define GRDI_CUDA_FLASH_BACKWARD_CUH

#include "tensor/cuda/flash_attention.cuh"

/* Shared memory: one tile of each side of both products, one of pairs, and the slopes of the cap,
 * where there is one. */
template <class T> struct tiles {
    T *first, *second, *walked, *pairs, *slopes;
};

template <class T> __device__ __forceinline__ tiles<T> tiles_of(const grdi_cuda_flash &f, T *shared)
{
    constexpr int ALL = tile_of<T>::ALL;
    return { shared, shared + ALL, shared + 2 * ALL, shared + 3 * ALL,
             f.softcap > 0 ? shared + 4 * ALL : nullptr };
}

/* What belongs to a query: its log-sum-exp in units of log2 and what is missing to it beyond T,
 * infinity if it sees nothing, and doutput . output. */
template <class T> struct side {
    T sum, rest, delta;
};

template <class T>
__device__ __forceinline__ side<T> side_of(const grdi_cuda_flash &f, int b, int h, int i)
{
    const int64_t rows = (int64_t)f.samples * f.heads * f.queries;
    const T *sums = (const T *)f.sides + (int64_t)(b * f.heads + h) * f.queries + i;
    if (i >= f.queries)
        return { (T)INFINITY, 0, 0 };
    return { sums[0], sums[rows], sums[2 * rows] };
}

/* In the order of multiply. */
template <class T>
__device__ __forceinline__ T dot_of_rows(const grdi_cuda_flash &f, int64_t output, int64_t doutput)
{
    T sum = 0, a, b;
#pragma unroll 4
    for (int d = 0; d < f.output.size; d++) {
        read_element(f, f.output.data, output + d, &a);
        read_element(f, f.doutput.data, doutput + d, &b);
        sum = fma(a, b, sum);
    }
    return sum;
}

/* What a row of pairs got from the cap. */
template <class T, int R> __device__ __forceinline__ pack_of<T> slopes_of(const T *slopes, int i)
{
    pack_of<T> ones;
    if (slopes)
        return pack_at(slopes, row_of<T, R>(i), column_of<T>());
#pragma unroll
    for (int j = 0; j < tile_of<T>::PACK; j++)
        ones.at[j] = 1;
    return ones;
}

/* Products of queries and keys become weights, dropped as they were; those of doutput and values
 * become `scale` times the gradients of scores; `before_cap`: of those that are still to be capped.
 * No weight is above 1, whatever rounding left of a log-sum-exp of large scores. */
template <class T, int R, bool KEYS_DOWN>
__device__ __forceinline__ void
weigh(const grdi_cuda_flash &f, const head_pairs &p, corner at, T (&weights)[R][tile_of<T>::PACK],
      T (&dscores)[R][tile_of<T>::PACK], T scale,
      const side<T> (&sides)[KEYS_DOWN ? tile_of<T>::PACK : R], const tiles<T> &to, bool before_cap)
{
    constexpr int P = tile_of<T>::PACK;
    const unsigned seen = seen_bits<T, R, KEYS_DOWN>(p, at);
    const unsigned kept = kept_bits<T, R, KEYS_DOWN>(f, p, at);
    const T multiplier = multiplier_of<T>(f);
    score<T, R, KEYS_DOWN>(f, p, at, seen, weights, to.pairs, to.slopes);
#pragma unroll
    for (int i = 0; i < R; i++) {
        const pack_of<T> slopes = slopes_of<T, R>(before_cap ? to.slopes : nullptr, i);
#pragma unroll
        for (int j = 0; j < P; j++) {
            const int e = i * P + j;
            const side<T> &of = sides[KEYS_DOWN ? j : i];
            const bool real = (seen >> e & 1) && of.sum != INFINITY;
            const T power = weights[i][j] - of.sum - of.rest;
            const T weight = exp2(power > 0 ? 0 : power), factor = kept >> e & 1 ? multiplier : 0;
            const T dweight = factor == 0 ? 0 : factor * dscores[i][j];
            const T dscore = scale * weight * (dweight - of.delta) * slopes.at[j];
            dscores[i][j] = real ? dscore + 0 : hidden<T>();
            weights[i][j] = real ? weight * factor : hidden<T>();
        }
    }
}

#endif
