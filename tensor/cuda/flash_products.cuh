/* Products of whole rows, tile by tile, and what comes of them. TENSOR: by tensor cores
 * (flash_tensor.cuh), of f32 alone; what is mixed is then in a warp's other order. */
#ifndef GRDI_CUDA_FLASH_PRODUCTS_CUH
#define GRDI_CUDA_FLASH_PRODUCTS_CUH

#include "tensor/cuda/flash_tensor.cuh"

/* The rows of one side, and where a tile of them lies. `room`: that many tiles. */
template <class T> struct operand {
    const grdi_cuda_rows &x;
    some_rows rows;
    T *tile;
    int room;

    __device__ __forceinline__ bool fits() const
    {
        return x.size <= room * tile_of<T>::SIDE;
    }
};

/* sum = down across^T, all columns of both. `held`: down's tiles are there already. Whether all of
 * the last columns of `across` is finite: if it fits, it stays. `pairs`: a tile to pass sums by. */
template <class T, int R, bool TENSOR>
__device__ __forceinline__ bool multiply_all(const grdi_cuda_flash &f,
                                             T (&sum)[R][tile_of<T>::PACK], const operand<T> &down,
                                             bool held, const operand<T> &across, T *pairs)
{
    constexpr int P = tile_of<T>::PACK, SIDE = tile_of<T>::SIDE;
    bool finite;
    int column = 0;
#pragma unroll
    for (int e = 0; e < R * P; e++)
        sum[e / P][e % P] = 0;
#pragma unroll 1
    do {
        T *tile = down.tile + (down.fits() ? column / SIDE * tile_of<T>::ALL : 0);
        const int depth = down.x.size - column < SIDE ? down.x.size - column : SIDE;
        __syncthreads();
        if (!held || !down.fits())
            read_tile<false>(f, tile, down.x, down.rows, column);
        finite = read_tile<!TENSOR>(f, across.tile, across.x, across.rows, column);
        finite = !__syncthreads_or(!finite);
        if constexpr (TENSOR)
            multiply_by_tensor<R>(sum, tile, across.tile, depth);
        else
            multiply<T, R>(sum, tile, across.tile, depth);
        column += SIDE;
    } while (column < down.x.size);
    if constexpr (TENSOR) {
        show_parts<R>(pairs, sum);
        look<T, R>(pairs, sum);
    }
    return finite;
}

template <class T, int R, bool TENSOR>
__device__ __forceinline__ void mix_tile(T (&mixed)[R][tile_of<T>::PACK], const T *weights,
                                         const T *across, int count, bool finite)
{
    if constexpr (TENSOR) {
        if (finite)
            mix_by_tensor<R>(mixed, weights, across, count);
        else
            mix_parts_carefully<R>(mixed, weights, across, count);
    } else {
        if (finite)
            mix<T, R>(mixed, weights, across, count);
        else
            mix_carefully<T, R>(mixed, weights, across, count);
    }
}

/* mixed [n] += weights across, its n-th SIDE columns from `column` on. `held`: its tile is there,
 * and all or not all of it is finite. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void
mix_all(const grdi_cuda_flash &f, T (&mixed)[N][R][tile_of<T>::PACK], const T *weights,
        const operand<T> &across, int column, bool held, bool finite)
{
    constexpr int SIDE = tile_of<T>::SIDE;
    const int count = across.rows.count < SIDE ? across.rows.count : SIDE;
    __syncwarp();
#pragma unroll 1
    for (int n = 0; n < N && column + n * SIDE < across.x.size; n++) {
        if (!held) {
            __syncthreads();
            finite = read_tile<!TENSOR>(f, across.tile, across.x, across.rows, column + n * SIDE);
            finite = !__syncthreads_or(!finite);
        }
#pragma unroll
        for (int m = 0; m < N; m++) /* registers have no index */
            if (m == n)
                mix_tile<T, R, TENSOR>(mixed[m], weights, across.tile, count, finite);
    }
}

/* mixed [n, r] *= factors [r], 0 where that is 0, for the rows r of this thread. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void scale_rows(T (&mixed)[N][R][tile_of<T>::PACK],
                                           const T (&factors)[R])
{
    constexpr int P = tile_of<T>::PACK;
    if constexpr (TENSOR) {
        T of[R / 4][2];
        factors_of_parts<R>(of, factors);
#pragma unroll
        for (int e = 0; e < N * R * P; e++) {
            const T factor = of[e / P % R / 4][e % 2];
            T &number = mixed[e / P / R][e / P % R][e % P];
            number = factor == 0 ? 0 : number * factor;
        }
    } else {
#pragma unroll
        for (int e = 0; e < N * R * P; e++) {
            T &number = mixed[e / P / R][e / P % R][e % P];
            number = factors[e / P % R] == 0 ? 0 : number * factors[e / P % R];
        }
    }
}

/* Writes what was mixed; `tile` is only a way to it that needs no code for each register. */
template <class T, int R, int N, bool TENSOR>
__device__ __forceinline__ void write_all(const grdi_cuda_flash &f, const grdi_cuda_rows &x,
                                          some_rows rows, int column, T *tile,
                                          const T (&mixed)[N][R][tile_of<T>::PACK])
{
    __syncwarp();
#pragma unroll 1
    for (int n = 0; n < N; n++) {
        const int first = column + n * tile_of<T>::SIDE + column_of<T>();
#pragma unroll
        for (int m = 0; m < N; m++)
            if (m == n) {
                if constexpr (TENSOR)
                    show_parts<R>(tile, mixed[m]);
                else
                    show<T, R>(tile, mixed[m]);
            }
#pragma unroll 1
        for (int i = 0; i < R && first < x.size; i++) {
            const int r = row_of<T, R>(i);
            if (r < rows.count)
                write_pack(f, x, rows.at + r * x.row, first, pack_at(tile, r, column_of<T>()));
        }
    }
}

#endif
