#include "tensor/cuda/flash_attention.cuh"

/* Of a thread's rows: the largest score so far, and its part of the sum of exponentials. */
template <class T, int R> struct running {
    T most[R], sum[R];
};

/* What has no weight is not touched, be it seen. */
template <class T, int R>
__device__ __forceinline__ void hide_zeros(T (&weights)[R][tile_of<T>::PACK])
{
    constexpr int P = tile_of<T>::PACK;
#pragma unroll
    for (int e = 0; e < R * P; e++)
        if (weights[e / P][e % P] == 0)
            weights[e / P][e % P] = hidden<T>();
}

/* The larger, unless it is a NaN, of what 16 threads have. */
template <class T> __device__ __forceinline__ T largest_of_row(T x)
{
#pragma unroll
    for (int bits = 8; bits > 0; bits /= 2)
        x = fmax(x, __shfl_xor_sync(~0u, x, bits));
    return x;
}

template <class T> __device__ __forceinline__ T sum_of_row(T x)
{
#pragma unroll
    for (int bits = 8; bits > 0; bits /= 2)
        x += __shfl_xor_sync(~0u, x, bits);
    return x;
}

/* Scores become exponentials; what was mixed before is brought to their scale. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void exponentials(T (&scores)[R][tile_of<T>::PACK], running<T, R> &state,
                                             T (&mixed)[N][R][tile_of<T>::PACK])
{
    constexpr int P = tile_of<T>::PACK;
    T factors[R];
#pragma unroll
    for (int i = 0; i < R; i++) {
        T most = scores[i][0], sum = 0;
#pragma unroll
        for (int j = 1; j < P; j++)
            most = fmax(most, scores[i][j]);
        most = fmax(state.most[i], largest_of_row(most));
        const T base = most == -INFINITY ? 0 : most;
#pragma unroll
        for (int j = 0; j < P; j++) {
            scores[i][j] = exp2(scores[i][j] - base);
            sum += scores[i][j];
        }
        factors[i] = exp2(state.most[i] - base);
        state.sum[i] = fma(state.sum[i], factors[i], sum);
        state.most[i] = most;
    }
    scale_rows<T, R, N, TENSOR>(mixed, factors);
}

template <class T, int R>
__device__ __forceinline__ void drop(const grdi_cuda_flash &f, const head_pairs &p, corner at,
                                     T (&weights)[R][tile_of<T>::PACK])
{
    constexpr int P = tile_of<T>::PACK;
    if (f.kept == 0)
        return;
    const unsigned kept = kept_bits<T, R, false>(f, p, at);
    const T multiplier = multiplier_of<T>(f);
#pragma unroll
    for (int e = 0; e < R * P; e++)
        weights[e / P][e % P] = kept >> e & 1 ? weights[e / P][e % P] * multiplier : 0;
}

/* Divides by the sums, and writes them. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void finish(const grdi_cuda_flash &f, double *sums, int count,
                                       running<T, R> &state, T (&mixed)[N][R][tile_of<T>::PACK])
{
    T factors[R];
#pragma unroll
    for (int i = 0; i < R; i++) {
        const T sum = sum_of_row(state.sum[i]);
        const int r = row_of<T, R>(i);
        if (sums && r < count && threadIdx.x % 16 == 0)
            sums[r * f.sum[2]] =
                sum == 0 ? -INFINITY : LN_2 * (double)state.most[i] + log((double)sum);
        factors[i] = sum == 0 ? 0 : 1 / sum;
    }
    scale_rows<T, R, N, TENSOR>(mixed, factors);
}

/* A block has a tile's queries of a head, and N SIDE columns of the values; the last queries, which
 * see the most keys if they see only earlier ones, come first. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void attend(const grdi_cuda_flash &f)
{
    constexpr int P = tile_of<T>::PACK, SIDE = tile_of<T>::SIDE, ALL = tile_of<T>::ALL;
    GRDI_SHARED_REST(double, memory);
    T *weights = (T *)memory, *walked = weights + ALL, *own = walked + ALL;
    const int all_heads = f.samples * f.heads, tiles = (f.queries + SIDE - 1) / SIDE;
    const int n = (int)(blockIdx.x / all_heads), h = (int)(blockIdx.x % all_heads) % f.heads;
    const int b = (int)(blockIdx.x % all_heads) / f.heads;
    const int query = (tiles - 1 - n % tiles) * SIDE, column = n / tiles * N * SIDE;
    const head_pairs all_pairs = pairs_of(f, b, h);
    const operand<T> queries = { f.query, rows_from(f.query, b, h, query, f.queries), own, 2 };
    T mixed[N][R][P], scores[R][P];
    running<T, R> state;
    bool held = false;
#pragma unroll
    for (int i = 0; i < R; i++) {
        state.most[i] = -INFINITY;
        state.sum[i] = 0;
    }
#pragma unroll
    for (int e = 0; e < N * R * P; e++)
        mixed[e / P / R][e / P % R][e % P] = 0;
#pragma unroll 1
    for (int part = 0; part < 2; part++) {
        const head_pairs pairs = part_of(all_pairs, part);
        const stretch keys = keys_of(pairs, query, SIDE, SIDE, part);
#pragma unroll 1
        for (int key = keys.first; key < keys.last; key += SIDE, held = true) {
            const corner at = { query, key };
            const int of_key = h / f.group;
            const operand<T> k = { f.key, rows_from(f.key, b, of_key, key, keys.last), walked, 1 };
            const operand<T> v = { f.value, rows_from(f.value, b, of_key, key, keys.last), walked,
                                   1 };
            multiply_all<T, R, TENSOR>(f, scores, queries, held, k, weights);
            const unsigned seen = seen_bits<T, R, false>(pairs, at);
            score<T, R, false>(f, pairs, at, seen, scores, weights, nullptr);
            exponentials<T, R, N, TENSOR>(scores, state, mixed);
            drop<T, R>(f, pairs, at, scores);
            hide_zeros<T, R>(scores);
            show<T, R>(weights, scores);
            mix_all<T, R, N, TENSOR>(f, mixed, weights, v, column, false, false);
        }
    }
    double *sums = f.logsumexp + b * f.sum[0] + h * f.sum[1] + query * f.sum[2];
    finish<T, R, N, TENSOR>(f, column == 0 ? sums : nullptr, queries.rows.count, state, mixed);
    write_all<T, R, N, TENSOR>(f, f.output, rows_from(f.output, b, h, query, f.queries), column,
                               weights, mixed);
}

/* flash_attention_N, of what is computed in; and tf32_attention_N. */
#define ATTEND(name, type, R, N, TENSOR)                                                           \
    GRDI_KERNEL_OF(tile_of<type>::SIDE / (R)*16, name, grdi_cuda_flash f)                          \
    {                                                                                              \
        if (is_wanted(f))                                                                          \
            attend<type, R, N, TENSOR>(f);                                                         \
    }
ATTEND(flash_attention_1_f32, float, 8, 1, false)
ATTEND(flash_attention_2_f32, float, 8, 2, false)
ATTEND(flash_attention_4_f32, float, 4, 4, false)
ATTEND(flash_attention_1_f64, double, 4, 1, false)
ATTEND(flash_attention_2_f64, double, 4, 2, false)
ATTEND(flash_attention_4_f64, double, 4, 4, false)
ATTEND(tf32_attention_1_f32, float, 8, 1, true)
ATTEND(tf32_attention_2_f32, float, 8, 2, true)
ATTEND(tf32_attention_4_f32, float, 4, 4, true)
