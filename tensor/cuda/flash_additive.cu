#include "tensor/cuda/flash_backward.cuh"

/* From `first` to last - 1 of a dimension. */
struct share {
    int first, last;
};

/* What block n of a dimension has: `step` of its elements or, where all share one, all; n becomes
 * the number of the block in the dimensions before. */
__device__ __forceinline__ share share_of(int64_t stride, int size, int step, int *n)
{
    if (stride == 0)
        return { 0, size };
    const int blocks = (size + step - 1) / step, first = *n % blocks * step;
    *n /= blocks;
    return { first, first + step < size ? first + step : size };
}

/* Which are of the type that is computed in. */
template <class T>
__device__ __forceinline__ void add_to(const grdi_cuda_flash &f, int64_t at, double sum)
{
    T *x = (T *)f.dadditive.data + at;
    *x = (T)((double)*x + sum);
}

/* The sum of `count` numbers of a tile, `step` apart. */
template <class T> __device__ __forceinline__ double sum_along(const T *x, int count, int step)
{
    double sum = 0;
#pragma unroll 4
    for (int i = 0; i < count; i++)
        sum += (double)x[i * step];
    return sum;
}

/* Adds a tile of sums, the first of which belongs to pair `at`, to their elements: those of a
 * column or a row, or all, as one number where they share it. */
template <class T>
__device__ __forceinline__ void add_tile(const grdi_cuda_flash &f, int64_t head, corner at,
                                         const T *tile, double *sums)
{
    constexpr int SIDE = tile_of<T>::SIDE, ROW = tile_of<T>::ROW;
    const int64_t row = f.dadditive.stride[2], column = f.dadditive.stride[3];
    const int n = (int)threadIdx.x, queries = f.queries - at.query, keys = f.keys - at.key;
    const int64_t to = head + at.query * row + at.key * column;
    if (row == 0) {
        if (n < SIDE)
            sums[n] = sum_along(tile + n, SIDE, ROW);
        if (column != 0 && n < SIDE && n < keys)
            add_to<T>(f, to + n * column, sums[n]);
        __syncthreads();
        if (column == 0 && n == 0)
            add_to<T>(f, to, sum_along(sums, SIDE, 1));
    } else if (column == 0) {
        if (n < SIDE && n < queries)
            add_to<T>(f, to + n * row, sum_along(tile + n * ROW, SIDE, 1));
    } else {
#pragma unroll 1
        for (int e = n; e < SIDE * SIDE; e += (int)blockDim.x)
            if (e / SIDE < queries && e % SIDE < keys)
                add_to<T>(f, to + e / SIDE * row + e % SIDE * column,
                          (double)tile[e / SIDE * ROW + e % SIDE]);
    }
}

/* A block has a tile of what is additive, and sums over all pairs that share its elements. */
template <class T, int R> __device__ __forceinline__ void add_pairs(const grdi_cuda_flash &f)
{
    constexpr int P = tile_of<T>::PACK, SIDE = tile_of<T>::SIDE;
    GRDI_SHARED_REST(double, memory);
    const tiles<T> to = tiles_of(f, (T *)memory);
    const int64_t *stride = f.dadditive.stride;
    int n = (int)blockIdx.x;
    const share keys = share_of(stride[3], f.keys, SIDE, &n);
    const share queries = share_of(stride[2], f.queries, SIDE, &n);
    const share heads = share_of(stride[1], f.heads, 1, &n);
    const share samples = share_of(stride[0], f.samples, 1, &n);
    T sum[R][P], weights[R][P], dscores[R][P];
#pragma unroll
    for (int e = 0; e < R * P; e++)
        sum[e / P][e % P] = 0;
#pragma unroll 1
    for (int b = samples.first; b < samples.last; b++)
#pragma unroll 1
        for (int h = heads.first; h < heads.last; h++) {
            const head_pairs pairs = part_of(pairs_of(f, b, h), 0);
            const int of_key = h / f.group;
#pragma unroll 1
            for (int query = queries.first; query < queries.last; query += SIDE) {
                const operand<T> q = { f.query, rows_from(f.query, b, h, query, f.queries),
                                       to.first, 1 };
                const operand<T> dy = { f.doutput, rows_from(f.doutput, b, h, query, f.queries),
                                        to.second, 1 };
                side<T> sides[R];
                bool held = false;
#pragma unroll
                for (int i = 0; i < R; i++)
                    sides[i] = side_of<T>(f, b, h, query + row_of<T, R>(i));
#pragma unroll 1
                for (int key = keys.first; key < keys.last; key += SIDE) {
                    const corner at = { query, key };
                    const operand<T> k = { f.key, rows_from(f.key, b, of_key, key, f.keys),
                                           to.walked, 1 };
                    const operand<T> v = { f.value, rows_from(f.value, b, of_key, key, f.keys),
                                           to.walked, 1 };
                    if (none_seen(pairs, at, SIDE))
                        continue;
                    multiply_all<T, R, false>(f, dscores, dy, held, v, to.pairs);
                    multiply_all<T, R, false>(f, weights, q, held, k, to.pairs);
                    weigh<T, R, false>(f, pairs, at, weights, dscores, 1, sides, to, false);
                    held = true;
#pragma unroll
                    for (int e = 0; e < R * P; e++)
                        sum[e / P][e % P] += dscores[e / P][e % P];
                }
            }
        }
    __syncthreads();
    show<T, R>(to.pairs, sum);
    __syncthreads();
    const int64_t head = samples.first * stride[0] + heads.first * stride[1];
    add_tile(f, head, corner{ queries.first, keys.first }, to.pairs, (double *)to.walked);
}

#define ADDITIVE(dtype, type, R)                                                                   \
    GRDI_KERNEL_OF(tile_of<type>::SIDE / (R)*16, flash_additive_##dtype, grdi_cuda_flash f)        \
    {                                                                                              \
        if (is_wanted(f))                                                                          \
            add_pairs<type, R>(f);                                                                 \
    }
ADDITIVE(f32, float, 4)
ADDITIVE(f64, double, 2)
