#include "tensor/cuda/flash_backward.cuh"

/* The numbers of each query, by one thread. */
template <class T> __device__ __forceinline__ void prepare(const grdi_cuda_flash &f)
{
    const int64_t rows = (int64_t)f.samples * f.heads * f.queries;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    T *sums = (T *)f.sides, *rests = sums + rows, *deltas = rests + rows;
#pragma unroll 1
    for (int64_t n = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; n < rows; n += step) {
        const int i = (int)(n % f.queries), h = (int)(n / f.queries % f.heads);
        const int b = (int)(n / f.queries / f.heads);
        const double logsumexp = f.logsumexp[b * f.sum[0] + h * f.sum[1] + i * f.sum[2]];
        const bool blind = logsumexp == -INFINITY;
        const double sum = blind ? INFINITY : logsumexp / LN_2;
        sums[n] = (T)sum;
        rests[n] = blind ? 0 : (T)(sum - (double)(T)sum);
        deltas[n] = blind ? 0
                          : dot_of_rows<T>(f, rows_from(f.output, b, h, i, 0).at,
                                           rows_from(f.doutput, b, h, i, 0).at);
    }
}

/* The gradient of a tile's queries, N SIDE columns of it. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void add_keys(const grdi_cuda_flash &f)
{
    constexpr int P = tile_of<T>::PACK, SIDE = tile_of<T>::SIDE;
    GRDI_SHARED_REST(double, memory);
    const tiles<T> to = tiles_of(f, (T *)memory);
    const int all_heads = f.samples * f.heads, all_tiles = (f.queries + SIDE - 1) / SIDE;
    const int n = (int)(blockIdx.x / all_heads), h = (int)(blockIdx.x % all_heads) % f.heads;
    const int b = (int)(blockIdx.x % all_heads) / f.heads, of_key = h / f.group;
    const int query = (all_tiles - 1 - n % all_tiles) * SIDE, column = n / all_tiles * N * SIDE;
    const head_pairs all_pairs = pairs_of(f, b, h);
    const operand<T> q = { f.query, rows_from(f.query, b, h, query, f.queries), to.first, 1 };
    const operand<T> dy = { f.doutput, rows_from(f.doutput, b, h, query, f.queries), to.second, 1 };
    T dquery[N][R][P], weights[R][P], dscores[R][P];
    side<T> sides[R];
    bool held = false;
#pragma unroll
    for (int i = 0; i < R; i++)
        sides[i] = side_of<T>(f, b, h, query + row_of<T, R>(i));
#pragma unroll
    for (int e = 0; e < N * R * P; e++)
        dquery[e / P / R][e / P % R][e % P] = 0;
#pragma unroll 1
    for (int part = 0; part < 2; part++) {
        const head_pairs pairs = part_of(all_pairs, part);
        const stretch keys = keys_of(pairs, query, SIDE, SIDE, part);
#pragma unroll 1
        for (int key = keys.first; key < keys.last; key += SIDE, held = true) {
            const corner at = { query, key };
            const operand<T> k = { f.key, rows_from(f.key, b, of_key, key, keys.last), to.walked,
                                   1 };
            const operand<T> v = { f.value, rows_from(f.value, b, of_key, key, keys.last),
                                   to.walked, 1 };
            multiply_all<T, R, TENSOR>(f, dscores, dy, held, v, to.pairs);
            const bool finite = multiply_all<T, R, TENSOR>(f, weights, q, held, k, to.pairs);
            weigh<T, R, false>(f, pairs, at, weights, dscores, (T)f.scale, sides, to, true);
            show<T, R>(to.pairs, dscores);
            mix_all<T, R, N, TENSOR>(f, dquery, to.pairs, k, column, q.fits(), finite);
        }
    }
    write_all<T, R, N, TENSOR>(f, f.dquery, rows_from(f.dquery, b, h, query, f.queries), column,
                               to.pairs, dquery);
}

/* Each of what is computed in; flash_queries_N and tf32_queries_N. */
#define SIDES(dtype, type)                                                                         \
    GRDI_KERNEL(flash_sides_##dtype, grdi_cuda_flash f)                                            \
    {                                                                                              \
        if (is_wanted(f))                                                                          \
            prepare<type>(f);                                                                      \
    }
SIDES(f32, float)
SIDES(f64, double)

#define QUERIES(name, type, R, N, TENSOR)                                                          \
    GRDI_KERNEL_OF(tile_of<type>::SIDE / (R)*16, name, grdi_cuda_flash f)                          \
    {                                                                                              \
        if (is_wanted(f))                                                                          \
            add_keys<type, R, N, TENSOR>(f);                                                       \
    }
QUERIES(flash_queries_1_f32, float, 4, 1, false)
QUERIES(flash_queries_2_f32, float, 4, 2, false)
QUERIES(flash_queries_4_f32, float, 4, 4, false)
QUERIES(flash_queries_1_f64, double, 2, 1, false)
QUERIES(flash_queries_2_f64, double, 2, 2, false)
QUERIES(flash_queries_4_f64, double, 2, 4, false)
QUERIES(tf32_queries_1_f32, float, 4, 1, true)
QUERIES(tf32_queries_2_f32, float, 4, 2, true)
QUERIES(tf32_queries_4_f32, float, 4, 4, true)
