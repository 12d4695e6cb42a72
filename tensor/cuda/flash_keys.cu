#include "tensor/cuda/flash_backward.cuh"

/* The gradients of a tile's keys and values, N SIDE columns of each: sums over all queries of all
 * heads that share them. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void add_queries(const grdi_cuda_flash &f)
{
    constexpr int P = tile_of<T>::PACK, SIDE = tile_of<T>::SIDE;
    GRDI_SHARED_REST(double, memory);
    const tiles<T> to = tiles_of(f, (T *)memory);
    const int all_heads = f.samples * f.heads / f.group, heads = f.heads / f.group;
    const int count = f.keys + f.appended, all_tiles = (count + SIDE - 1) / SIDE;
    const int n = (int)(blockIdx.x / all_heads), of_key = (int)(blockIdx.x % all_heads) % heads;
    const int b = (int)(blockIdx.x % all_heads) / heads;
    const int key = n % all_tiles * SIDE, column = n / all_tiles * N * SIDE;
    const operand<T> k = { f.key, rows_from(f.key, b, of_key, key, count), to.first, 1 };
    const operand<T> v = { f.value, rows_from(f.value, b, of_key, key, count), to.second, 1 };
    T dkey[N][R][P], dvalue[N][R][P], weights[R][P], dscores[R][P];
    bool held = false;
#pragma unroll
    for (int e = 0; e < N * R * P; e++)
        dkey[e / P / R][e / P % R][e % P] = dvalue[e / P / R][e / P % R][e % P] = 0;
#pragma unroll 1
    for (int h = of_key * f.group; h < (of_key + 1) * f.group; h++) {
        const head_pairs pairs = pairs_of(f, b, h);
        const stretch queries = queries_of(pairs, key, SIDE);
#pragma unroll 1
        for (int query = queries.first; query < queries.last; query += SIDE, held = true) {
            const corner at = { query, key };
            const operand<T> q = { f.query, rows_from(f.query, b, h, query, f.queries), to.walked,
                                   1 };
            const operand<T> dy = { f.doutput, rows_from(f.doutput, b, h, query, f.queries),
                                    to.walked, 1 };
            side<T> sides[P];
#pragma unroll
            for (int j = 0; j < P; j++)
                sides[j] = side_of<T>(f, b, h, query + column_of<T>() + j);
            multiply_all<T, R, TENSOR>(f, weights, k, held, q, to.pairs);
            const bool finite = multiply_all<T, R, TENSOR>(f, dscores, v, held, dy, to.pairs);
            weigh<T, R, true>(f, pairs, at, weights, dscores, (T)f.scale, sides, to, true);
            show<T, R>(to.pairs, weights);
            mix_all<T, R, N, TENSOR>(f, dvalue, to.pairs, dy, column, v.fits(), finite);
            __syncwarp();
            show<T, R>(to.pairs, dscores);
            mix_all<T, R, N, TENSOR>(f, dkey, to.pairs, q, column, false, false);
        }
    }
    write_all<T, R, N, TENSOR>(f, f.dkey, rows_from(f.dkey, b, of_key, key, count), column,
                               to.pairs, dkey);
    write_all<T, R, N, TENSOR>(f, f.dvalue, rows_from(f.dvalue, b, of_key, key, count), column,
                               to.pairs, dvalue);
}

/* flash_keys_N, of what is computed in; and tf32_keys_N. */
#define KEYS(name, type, R, N, TENSOR)                                                             \
    GRDI_KERNEL_OF(tile_of<type>::SIDE / (R)*16, name, grdi_cuda_flash f)                          \
    {                                                                                              \
        if (is_wanted(f))                                                                          \
            add_queries<type, R, N, TENSOR>(f);                                                    \
    }
KEYS(flash_keys_1_f32, float, 4, 1, false)
KEYS(flash_keys_2_f32, float, 4, 2, false)
KEYS(flash_keys_4_f32, float, 4, 4, false)
KEYS(flash_keys_1_f64, double, 2, 1, false)
KEYS(flash_keys_2_f64, double, 2, 2, false)
KEYS(flash_keys_4_f64, double, 2, 4, false)
KEYS(tf32_keys_1_f32, float, 4, 1, true)
KEYS(tf32_keys_2_f32, float, 4, 2, true)
KEYS(tf32_keys_4_f32, float, 4, 4, true)
