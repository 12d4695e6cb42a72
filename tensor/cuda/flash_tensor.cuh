/* Products of tiles of f32 by tensor cores, which take their factors as TF32: 10 bits of fraction,
 * and sums in f32.
 *
 * A warp has the same rows of a tile as in flash_tiles.cuh, but its threads have other parts of
 * them. The R packs that a thread has are R / 4 eights of rows by four sixteens of columns: of
 * each, rows 2 t and 2 t + 1, and columns g and g + 8, where its lane is 4 g + t. Tensor cores
 * multiply sixteens of columns by eights of rows, 8 numbers deep at a time. */
#ifndef GRDI_CUDA_FLASH_TENSOR_CUH
#define GRDI_CUDA_FLASH_TENSOR_CUH

#include "tensor/cuda/flash_tiles.cuh"

#ifdef __CUDACC__
__device__ __forceinline__ unsigned tf32_of(float x)
{
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
}

/* sum += a b^T by a warp, a [16, 8] and b [8, 8]. A lane has of a rows g and g + 8 of column t,
 * then of t + 4; of b columns t and t + 4 of row g; and of the sum rows g and g + 8, two columns
 * each. */
__device__ __forceinline__ void add_products(float (&sum)[4], const unsigned (&a)[4],
                                             const unsigned (&b)[2])
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

const int TENSOR_ROW = tile_of<float>::ROW;

__device__ __forceinline__ int lane_group()
{
    return (int)threadIdx.x % 32 / 4;
}

__device__ __forceinline__ int lane_in_group()
{
    return (int)threadIdx.x % 4;
}

/* The first row of a warp's q-th eight. */
template <int R> __device__ __forceinline__ int eight_of(int q)
{
    return (int)threadIdx.x / 32 * 8 + q * (4 * tile_of<float>::SIDE / R);
}

/* Where number c of a thread's part i lies in the tile. */
template <int R> __device__ __forceinline__ int part_row(int i, int c)
{
    return eight_of<R>(i / 4) + lane_in_group() * 2 + c % 2;
}

__device__ __forceinline__ int part_column(int i, int c)
{
    return i % 4 * 16 + c / 2 * 8 + lane_group();
}

/* Two numbers of a warp's rows, [r, w] and [r, w + 4] of r = g. */
template <int R>
__device__ __forceinline__ void rows_of_tensor(unsigned (&b)[2], const float *tile, int q, int w)
{
    const float *from = tile + (eight_of<R>(q) + lane_group()) * TENSOR_ROW + w + lane_in_group();
    b[0] = tf32_of(from[0]);
    b[1] = tf32_of(from[4]);
}

/* Four numbers of a sixteen of columns, whose strides are `column`, at a depth of t and t + 4. */
__device__ __forceinline__ void columns_of_tensor(unsigned (&a)[4], const float *tile, int m,
                                                  int column, int depth)
{
    const float *from = tile + (m * 16 + lane_group()) * column + lane_in_group() * depth;
    a[0] = tf32_of(from[0]);
    a[1] = tf32_of(from[8 * column]);
    a[2] = tf32_of(from[4 * depth]);
    a[3] = tf32_of(from[8 * column + 4 * depth]);
}

/* sum [r, w] += rows [r, :count] . tile [w, :count] for what strides of 1 and of a row make of
 * `tile`, and the sum's parts; count is rounded up to eights, where there are zeros. */
template <int R>
__device__ __forceinline__ void add_by_tensor(float (&sum)[R][4], const float *rows,
                                              const float *tile, int column, int depth, int count)
{
#pragma unroll 1
    for (int w = 0; w < count; w += 8) {
        unsigned b[R / 4][2];
#pragma unroll
        for (int q = 0; q < R / 4; q++)
            rows_of_tensor<R>(b[q], rows, q, w);
#pragma unroll
        for (int m = 0; m < 4; m++) {
            unsigned a[4];
            columns_of_tensor(a, tile + w * depth, m, column, depth);
#pragma unroll
            for (int q = 0; q < R / 4; q++)
                add_products(sum[q * 4 + m], a, b[q]);
        }
    }
}

/* ---- What flash_tiles.cuh has for other processors ---- */

template <int R>
__device__ __forceinline__ void multiply_by_tensor(float (&sum)[R][4], const float *down,
                                                   const float *across, int depth)
{
    add_by_tensor<R>(sum, down, across, TENSOR_ROW, 1, depth);
}

template <int R>
__device__ __forceinline__ void mix_by_tensor(float (&mixed)[R][4], const float *weights,
                                              const float *across, int count)
{
    add_by_tensor<R>(mixed, weights, across, 1, TENSOR_ROW, count);
}

/* Where not all of `across` is finite. */
template <int R>
__device__ __forceinline__ void mix_parts_carefully(float (&mixed)[R][4], const float *weights,
                                                    const float *across, int count)
{
#pragma unroll 1
    for (int w = 0; w < count; w++)
#pragma unroll
        for (int e = 0; e < R * 4; e++) {
            const float weight = weights[part_row<R>(e / 4, e % 4) * TENSOR_ROW + w];
            if (!is_hidden(weight))
                mixed[e / 4][e % 4] =
                    fma(weight, across[w * TENSOR_ROW + part_column(e / 4, e % 4)],
                        mixed[e / 4][e % 4]);
        }
}

/* The warp's rows of a tile become what the parts of its threads are; the warp may read them. */
template <int R> __device__ __forceinline__ void show_parts(float *tile, const float (&parts)[R][4])
{
    __syncwarp();
#pragma unroll
    for (int e = 0; e < R * 4; e++)
        tile[part_row<R>(e / 4, e % 4) * TENSOR_ROW + part_column(e / 4, e % 4)] =
            parts[e / 4][e % 4];
    __syncwarp();
}

/* The factors of a thread's rows (row_of) become those of its parts' rows: of the q-th eight, the
 * first and the second. */
template <int R>
__device__ __forceinline__ void factors_of_parts(float (&of)[R / 4][2], const float (&factors)[R])
{
    const int t = lane_in_group(), from = t / 2 * 16;
#pragma unroll
    for (int q = 0; q < R / 4; q++) {
        float four[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            four[i] = __shfl_sync(~0u, factors[q * 4 + i], from);
        of[q][0] = t % 2 ? four[2] : four[0];
        of[q][1] = t % 2 ? four[3] : four[1];
    }
}

#endif
