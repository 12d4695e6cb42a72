/* Reductions to one result of each row, or of each column. A fold says what they make of elements:
 *
 *     total start(), void add(total *, int64_t position, number), total join(total, total),
 *     void store(y, at, total)
 *
 * where join takes totals in any order. Which elements a thread adds up, and how totals are joined,
 * depends on sizes alone, so that a reduction gives the same bits whenever it runs. */
#ifndef GRDI_CUDA_REDUCE_CUH
#define GRDI_CUDA_REDUCE_CUH

#include "tensor/cuda/convert.cuh"
#include "tensor/cuda/reduce.h"
#include "tensor/cuda/teams.cuh"

/* y[at] = value, whatever y holds. */
template <class T> __device__ inline void store(const grdi_array &y, int64_t at, T value)
{
    switch (y.dtype) {
    case GRD_F16:
        ((f16 *)y.data)[at] = converted<f16>(value);
        break;
    case GRD_BF16:
        ((bf16 *)y.data)[at] = converted<bf16>(value);
        break;
    case GRD_F32:
        ((float *)y.data)[at] = converted<float>(value);
        break;
    case GRD_F64:
        ((double *)y.data)[at] = converted<double>(value);
        break;
    case GRD_I64:
        ((int64_t *)y.data)[at] = converted<int64_t>(value);
        break;
    default:
        ((bool *)y.data)[at] = converted<bool>(value);
    }
}

__device__ inline int64_t elements_in_part(const grdi_cuda_reduction &how, int64_t from)
{
    return how.length - from < how.part ? how.length - from : how.part;
}

/* A team a part of a row. y has a result of each part. */
template <class X, class Fold>
__device__ inline void reduce_rows(const grdi_array &y, const grdi_array &x,
                                   const grdi_cuda_reduction &how)
{
    typedef typename Fold::total total;
    const int kept = x.rank - how.reduced;
    const team t(how.team);
#pragma unroll 1
    for (int64_t item = t.first; item < how.results * how.parts; item += t.step) {
        const int64_t result = item / how.parts, from = item % how.parts * how.part;
        const int64_t n = elements_in_part(how, from);
        const X *at = (const X *)x.data + offset_in(x, 0, kept, result);
        const Fold fold(how, result);
        total own = fold.start();
        if (how.reduced == 1) {
            const int64_t stride = x.dim[kept].stride;
            each(
                t, n, [&](int64_t i, number_of<X> value) { fold.add(&own, from + i, value); },
                row<const X>{ at + from * stride, stride });
        } else {
#pragma unroll 1
            for (int64_t i = from + t.rank; i < from + n; i += t.size)
                fold.add(&own, i, number(at[offset_in(x, kept, x.rank, i)]));
        }
        own = joined(t, own, [&](total a, total b) { return fold.join(a, b); });
        if (t.rank == 0)
            fold.store(y, offset_in(y, 0, y.rank, item), own);
    }
}

enum { BAND = 32, RANKS = 8 }; /* columns of a block; threads that share one */

/* A block a part of BAND columns, the last of x's kept dimensions, whose stride is 1. */
template <class X, class Fold>
__device__ inline void reduce_columns(const grdi_array &y, const grdi_array &x,
                                      const grdi_cuda_reduction &how)
{
    typedef typename Fold::total total;
    GRDI_SHARED(total, of_rank, BAND * RANKS);
    const int kept = x.rank - how.reduced;
    const int lane = (int)threadIdx.x % BAND, rank = (int)threadIdx.x / BAND;
    const int64_t columns = x.dim[kept - 1].size, bands = (columns + BAND - 1) / BAND;
    const int64_t items = how.results / columns * bands * how.parts;
#pragma unroll 1
    for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
        const int64_t part = item / bands % how.parts, outer = item / bands / how.parts;
        const int64_t column = item % bands * BAND + lane, result = outer * columns + column;
        const int64_t from = part * how.part, end = from + elements_in_part(how, from);
        const Fold fold(how, column < columns ? result : 0);
        const X *at = (const X *)x.data + offset_in(x, 0, kept - 1, outer) + column;
        total own = fold.start();
        if (column < columns) {
#pragma unroll 4
            for (int64_t i = from + rank; i < end; i += RANKS)
                fold.add(&own, i, number(at[offset_in(x, kept, x.rank, i)]));
        }
        of_rank[threadIdx.x] = own;
        __syncthreads();
        if (rank == 0 && column < columns) {
#pragma unroll
            for (int r = 1; r < RANKS; r++)
                own = fold.join(own, of_rank[r * BAND + lane]);
            fold.store(y, offset_in(y, 0, y.rank, result * how.parts + part), own);
        }
        __syncthreads();
    }
}

#endif
