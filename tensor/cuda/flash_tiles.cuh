/* Tiles of rows in shared memory, and their products: what attention computes with. */
#ifndef GRDI_CUDA_FLASH_TILES_CUH
#define GRDI_CUDA_FLASH_TILES_CUH

#include "tensor/cuda/flash_attention.h"
#include "tensor/cuda/map.cuh"

/* ---- Tiles in shared memory: SIDE rows of SIDE numbers ---- */

template <class T> struct tile_of {
    static const int PACK = 16 / sizeof(T); /* numbers that an instruction moves */
    static const int SIDE = 16 * PACK;
    static const int ROW = SIDE + PACK; /* rows that lie side by side are in other banks */
    static const int ALL = SIDE * ROW;
};

/* Of a tile of pairs, a thread has R rows, in fours, and of each PACK columns side by side. */
template <class T, int R> __device__ __forceinline__ int row_of(int i)
{
    constexpr int FEW = R < 4 ? R : 4, THREADS = tile_of<T>::SIDE / R;
    return (int)threadIdx.x / 16 * FEW + i % FEW + i / FEW * FEW * THREADS;
}

template <class T> __device__ __forceinline__ int column_of()
{
    return (int)threadIdx.x % 16 * tile_of<T>::PACK;
}

/* Where in its tile row w of the side that is walked lies: of a thread's PACK columns each is in
 * another part, and those of 16 threads side by side. */
template <class T> __device__ __forceinline__ int place_of(int w)
{
    constexpr int P = tile_of<T>::PACK;
    return w % P * 16 + w / P;
}

template <class T> using pack_of = pack<T, tile_of<T>::PACK>;

template <class T> __device__ __forceinline__ pack_of<T> &pack_at(T *tile, int row, int column)
{
    return *(pack_of<T> *)(tile + row * tile_of<T>::ROW + column);
}

template <class T>
__device__ __forceinline__ const pack_of<T> &pack_at(const T *tile, int row, int column)
{
    return *(const pack_of<T> *)(tile + row * tile_of<T>::ROW + column);
}

/* ---- Rows in memory ---- */

/* The row `first` of a head, and how many follow it at most. */
struct some_rows {
    int64_t at;
    int count;
};

__device__ __forceinline__ some_rows rows_from(const grdi_cuda_rows &x, int b, int h, int first,
                                               int end)
{
    return { b * x.sample + h * x.head + first * x.row, end - first };
}

template <class E, int P>
__device__ __forceinline__ pack<E, P> read_pack(const E *from, int count, bool packed)
{
    pack<E, P> p = {};
    if (packed && count >= P)
        return *(const pack<E, P> *)from;
#pragma unroll
    for (int v = 0; v < P; v++)
        if (v < count)
            p.at[v] = from[v];
    return p;
}

template <class E, class T, bool WALKED>
__device__ __forceinline__ bool read_elements(T *tile, const grdi_cuda_rows &x, some_rows rows,
                                              int column)
{
    constexpr int P = tile_of<T>::PACK;
    const int left = x.size - column - column_of<T>();
    T zero = 0;
#pragma unroll 4
    for (int r = (int)threadIdx.x / 16; r < tile_of<T>::SIDE; r += (int)blockDim.x / 16) {
        const E *from = (const E *)x.data + rows.at + r * x.row + column + column_of<T>();
        const pack<E, P> p = read_pack<E, P>(from, r < rows.count ? left : 0, x.packed);
        pack_of<T> numbers;
#pragma unroll
        for (int v = 0; v < P; v++) {
            numbers.at[v] = number(p.at[v]);
            zero = fma(numbers.at[v], (T)0, zero);
        }
        pack_at(tile, WALKED ? place_of<T>(r) : r, column_of<T>()) = numbers;
    }
    return zero == 0;
}

/* tile = columns from `column` on, 0 beyond rows and columns; whether all that this thread read is
 * finite. */
template <bool WALKED>
__device__ __forceinline__ bool read_tile(const grdi_cuda_flash &, double *tile,
                                          const grdi_cuda_rows &x, some_rows rows, int column)
{
    return read_elements<double, double, WALKED>(tile, x, rows, column);
}

template <bool WALKED>
__device__ __forceinline__ bool read_tile(const grdi_cuda_flash &f, float *tile,
                                          const grdi_cuda_rows &x, some_rows rows, int column)
{
    if (f.dtype == GRD_F16)
        return read_elements<f16, float, WALKED>(tile, x, rows, column);
    if (f.dtype == GRD_BF16)
        return read_elements<bf16, float, WALKED>(tile, x, rows, column);
    return read_elements<float, float, WALKED>(tile, x, rows, column);
}

template <class E, class T>
__device__ __forceinline__ void write_elements(const grdi_cuda_rows &x, int64_t at, int column,
                                               const pack_of<T> &numbers)
{
    constexpr int P = tile_of<T>::PACK;
    E *to = (E *)x.data + at + column;
    pack<E, P> p;
#pragma unroll
    for (int v = 0; v < P; v++)
        put(&p.at[v], numbers.at[v]);
    if (x.packed && column + P <= x.size) {
        *(pack<E, P> *)to = p;
        return;
    }
#pragma unroll
    for (int v = 0; v < P; v++)
        if (column + v < x.size)
            to[v] = p.at[v];
}

__device__ __forceinline__ void write_pack(const grdi_cuda_flash &, const grdi_cuda_rows &x,
                                           int64_t at, int column, const pack_of<double> &numbers)
{
    write_elements<double, double>(x, at, column, numbers);
}

__device__ __forceinline__ void write_pack(const grdi_cuda_flash &f, const grdi_cuda_rows &x,
                                           int64_t at, int column, const pack_of<float> &numbers)
{
    if (f.dtype == GRD_F16)
        write_elements<f16, float>(x, at, column, numbers);
    else if (f.dtype == GRD_BF16)
        write_elements<bf16, float>(x, at, column, numbers);
    else
        write_elements<float, float>(x, at, column, numbers);
}

/* Element `at` of what has the rows' dtype, in f32 unless that is f64. */
__device__ __forceinline__ void read_element(const grdi_cuda_flash &, const void *x, int64_t at,
                                             double *value)
{
    *value = ((const double *)x)[at];
}

__device__ __forceinline__ void read_element(const grdi_cuda_flash &f, const void *x, int64_t at,
                                             float *value)
{
    if (f.dtype == GRD_F16)
        *value = number(((const f16 *)x)[at]);
    else if (f.dtype == GRD_BF16)
        *value = number(((const bf16 *)x)[at]);
    else
        *value = ((const float *)x)[at];
}

/* ---- Products of tiles ---- */

/* sum [r, w] += down [r] . across [w], over the first `depth` numbers of each. */
template <class T, int R>
__device__ __forceinline__ void multiply(T (&sum)[R][tile_of<T>::PACK], const T *down,
                                         const T *across, int depth)
{
    constexpr int P = tile_of<T>::PACK;
#pragma unroll 1
    for (int d = 0; d < depth; d += P) {
        pack_of<T> w[P];
#pragma unroll
        for (int j = 0; j < P; j++)
            w[j] = pack_at(across, j * 16 + (int)threadIdx.x % 16, d);
#pragma unroll
        for (int i = 0; i < R; i++) {
            const pack_of<T> a = pack_at(down, row_of<T, R>(i), d);
#pragma unroll
            for (int j = 0; j < P; j++)
#pragma unroll
                for (int v = 0; v < P; v++)
                    sum[i][j] = fma(a.at[v], w[j].at[v], sum[i][j]);
        }
    }
}

/* mixed [r] += sum over w < count of weights [r, w] across [w]; count is rounded up to a pack's. */
template <class T, int R>
__device__ __forceinline__ void mix(T (&mixed)[R][tile_of<T>::PACK], const T *weights,
                                    const T *across, int count)
{
    constexpr int P = tile_of<T>::PACK;
#pragma unroll 1
    for (int w = 0; w < count; w += P) {
        pack_of<T> x[P];
#pragma unroll
        for (int v = 0; v < P; v++)
            x[v] = pack_at(across, place_of<T>(w + v), column_of<T>());
#pragma unroll
        for (int i = 0; i < R; i++) {
            const pack_of<T> weight = pack_at(weights, row_of<T, R>(i), w);
#pragma unroll
            for (int v = 0; v < P; v++)
#pragma unroll
                for (int d = 0; d < P; d++)
                    mixed[i][d] = fma(weight.at[v], x[v].at[d], mixed[i][d]);
        }
    }
}

/* A weight that differs from a 0 that was computed: -0. */
template <class T> __device__ __forceinline__ T hidden()
{
    return -(T)0;
}

template <class T> __device__ __forceinline__ bool is_hidden(T x)
{
    return x == 0 && 1 / x < 0;
}

/* The same where not all of `across` is finite: what is hidden is not touched. */
template <class T, int R>
__device__ __forceinline__ void mix_carefully(T (&mixed)[R][tile_of<T>::PACK], const T *weights,
                                              const T *across, int count)
{
    constexpr int P = tile_of<T>::PACK;
#pragma unroll 1
    for (int w = 0; w < count; w++) {
        const pack_of<T> x = pack_at(across, place_of<T>(w), column_of<T>());
#pragma unroll
        for (int i = 0; i < R; i++) {
            const T weight = weights[row_of<T, R>(i) * tile_of<T>::ROW + w];
#pragma unroll
            for (int d = 0; d < P; d++)
                if (!is_hidden(weight))
                    mixed[i][d] = fma(weight, x.at[d], mixed[i][d]);
        }
    }
}

/* This thread's part of a tile of pairs, which the 16 threads of its rows may read after a
 * __syncwarp. */
template <class T, int R>
__device__ __forceinline__ void show(T *tile, const T (&pairs)[R][tile_of<T>::PACK])
{
#pragma unroll
    for (int i = 0; i < R; i++) {
        pack_of<T> p;
#pragma unroll
        for (int j = 0; j < tile_of<T>::PACK; j++)
            p.at[j] = pairs[i][j];
        pack_at(tile, row_of<T, R>(i), column_of<T>()) = p;
    }
}

template <class T, int R>
__device__ __forceinline__ void look(const T *tile, T (&pairs)[R][tile_of<T>::PACK])
{
#pragma unroll
    for (int i = 0; i < R; i++) {
        const pack_of<T> p = pack_at(tile, row_of<T, R>(i), column_of<T>());
#pragma unroll
        for (int j = 0; j < tile_of<T>::PACK; j++)
            pairs[i][j] = p.at[j];
    }
}

#endif
