/* Matrix products without tensor cores: for f64 and f32 where there is no cuBLASLt, and for what it
 * does not take. */
#include "tensor/cuda/matmul.h"
#include "tensor/cuda/teams.cuh"

/* A block computes TILE x TILE of y, STEP of the inner dimension at a time, and a thread EACH x
 * EACH of it, which lie SIDE apart so that a warp's reads of shared memory do not collide. */
enum { TILE = GRDI_CUDA_TILE, STEP = 16, EACH = 4, SIDE = TILE / EACH };
enum { ROW = TILE + 4 }; /* of a tile in shared memory: 16 bytes more than its elements */

struct matrix {
    int64_t rows, columns, row_stride, column_stride;
};

__device__ inline matrix matrix_of(const grdi_array &x)
{
    const grdi_dim rows = x.dim[x.rank - 2], columns = x.dim[x.rank - 1];
    return { rows.size, columns.size, rows.stride, columns.stride };
}

__device__ inline matrix transposed(const matrix &m)
{
    return { m.columns, m.rows, m.column_stride, m.row_stride };
}

/* What the thread loads of TILE rows and STEP columns from (i, k) on; 0 beyond the matrix. Threads
 * side by side read what lies side by side. */
template <class T, class N>
__device__ inline void load(N own[], const T *x, const matrix &m, int64_t i, int64_t k)
{
    const bool by_rows = m.column_stride == 1;
#pragma unroll
    for (int e = 0; e < TILE * STEP / GRDI_CUDA_MATMUL_THREADS; e++) {
        const int at = (int)threadIdx.x + e * GRDI_CUDA_MATMUL_THREADS;
        const int64_t row = i + (by_rows ? at / STEP : at % TILE);
        const int64_t column = k + (by_rows ? at % STEP : at / TILE);
        own[e] = row < m.rows && column < m.columns
                     ? number(x[row * m.row_stride + column * m.column_stride])
                     : N(0);
    }
}

template <class N> __device__ inline void keep(N *tile, const N own[], const matrix &m)
{
    const bool by_rows = m.column_stride == 1;
#pragma unroll
    for (int e = 0; e < TILE * STEP / GRDI_CUDA_MATMUL_THREADS; e++) {
        const int at = (int)threadIdx.x + e * GRDI_CUDA_MATMUL_THREADS;
        const int row = by_rows ? at / STEP : at % TILE, column = by_rows ? at % STEP : at / TILE;
        tile[column * ROW + row] = own[e];
    }
}

template <class N> __device__ inline void multiply(N sum[EACH][EACH], const N *a, const N *b)
{
    const int row = (int)threadIdx.x / SIDE, column = (int)threadIdx.x % SIDE;
#pragma unroll
    for (int k = 0; k < STEP; k++) {
        N left[EACH], right[EACH];
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            left[e] = a[k * ROW + row + e * SIDE];
            right[e] = b[k * ROW + column + e * SIDE];
        }
#pragma unroll
        for (int i = 0; i < EACH; i++)
#pragma unroll
            for (int j = 0; j < EACH; j++)
                sum[i][j] += left[i] * right[j];
    }
}

template <class T, class N>
__device__ inline void store_tile(T *y, const N sum[EACH][EACH], const T *bias, int64_t rows,
                                  int64_t columns, int64_t i, int64_t j)
{
    i += threadIdx.x / SIDE;
    j += threadIdx.x % SIDE;
#pragma unroll
    for (int e = 0; e < EACH; e++)
#pragma unroll
        for (int f = 0; f < EACH; f++) {
            const int64_t row = i + e * SIDE, column = j + f * SIDE;
            if (row < rows && column < columns)
                put(&y[row * columns + column], sum[e][f] + (bias ? number(bias[column]) : N(0)));
        }
}

/* The next step's elements are read from memory while this one's are multiplied. */
template <class T>
__device__ inline void product_tile(T *y, const T *a, const T *b, const T *bias, const matrix &of_a,
                                    const matrix &of_b, int64_t i, int64_t j)
{
    typedef number_of<T> N;
    GRDI_SHARED(N, left, STEP * ROW);
    GRDI_SHARED(N, right, STEP * ROW);
    enum { LOADED = TILE * STEP / GRDI_CUDA_MATMUL_THREADS };
    N next_left[LOADED], next_right[LOADED], sum[EACH][EACH] = {};
    load(next_left, a, of_a, i, 0);
    load(next_right, b, of_b, j, 0);
#pragma unroll 1
    for (int64_t k = 0; k < of_a.columns; k += STEP) {
        keep(left, next_left, of_a);
        keep(right, next_right, of_b);
        __syncthreads();
        load(next_left, a, of_a, i, k + STEP);
        load(next_right, b, of_b, j, k + STEP);
        multiply(sum, left, right);
        __syncthreads();
    }
    store_tile(y, sum, bias, of_a.rows, of_b.rows, i, j);
}

#define KERNEL_OF(dtype, type, ...)                                                                \
    GRDI_KERNEL(matmul_##dtype, int64_t tiles, grdi_array y, grdi_array a, grdi_array b,           \
                grdi_array bias)                                                                   \
    {                                                                                              \
        const matrix of_a = matrix_of(a), of_b = transposed(matrix_of(b));                         \
        const int64_t down = (of_a.rows + TILE - 1) / TILE, along = (of_b.rows + TILE - 1) / TILE; \
        const int batch = y.rank - 2;                                                              \
        _Pragma("unroll 1") for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x)       \
        {                                                                                          \
            const int64_t which = tile / (down * along), in = tile % (down * along);               \
            product_tile((type *)y.data + which * of_a.rows * of_b.rows,                           \
                         (const type *)a.data + offset_in(a, 0, batch, which),                     \
                         (const type *)b.data + offset_in(b, 0, batch, which),                     \
                         (const type *)bias.data, of_a, of_b, in / along * TILE,                   \
                         in % along * TILE);                                                       \
        }                                                                                          \
    }
KERNELS_OF_FLOATS(KERNEL_OF, )
