#include "tensor/cuda/index.cuh"
#include "tensor/cuda/map.cuh"

/* Whether an index is one of `size`: those that are not were refused, and are left out. */
__device__ inline bool is_within(int64_t index, int64_t size)
{
    return (uint64_t)index < (uint64_t)size;
}

/* ---- Elements at indices: they move as what has their size ---- */

/* y [A, N, B] = x [A, index [N], B] of units. */
template <class U>
__device__ inline void select(int64_t all, const grdi_array &y, const grdi_array &x,
                              const grdi_array &index, int64_t inner)
{
    const int64_t n = y.dim[1].size, size = x.dim[1].size;
    for (int64_t i = thread_of_grid(); i < all; i += threads_of_grid()) {
        const split row = divided(i, inner), place = divided(row.quotient, n);
        const int64_t at = ((const int64_t *)index.data)[place.rest];
        const int64_t from = place.quotient * size + at;
        ((U *)y.data)[i] = is_within(at, size) ? ((const U *)x.data)[from * inner + row.rest] : U{};
    }
}

#define SELECT(dtype, type)                                                                        \
    GRDI_KERNEL(index_select_##dtype, int64_t n, grdi_array y, grdi_array x, grdi_array index)     \
    {                                                                                              \
        constexpr int N = 16 / sizeof(type);                                                       \
        const int64_t inner = y.dim[2].size;                                                       \
        if (inner % N == 0 && ((uintptr_t)y.data | (uintptr_t)x.data) % 16 == 0)                   \
            select<pack<type, N>>(n / N, y, x, index, inner / N);                                  \
        else                                                                                       \
            select<type>(n, y, x, index, inner);                                                   \
    }                                                                                              \
    GRDI_KERNEL(gather_##dtype, int64_t n, grdi_array y, grdi_array x, grdi_dim along,             \
                grdi_array index)                                                                  \
    {                                                                                              \
        for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid()) {                        \
            const int64_t at = ((const int64_t *)index.data)[offset_of(index, i)];                 \
            const int64_t from = offset_of(x, i) + at * along.stride;                              \
            ((type *)y.data)[offset_of(y, i)] =                                                    \
                is_within(at, along.size) ? ((const type *)x.data)[from] : (type)0;                \
        }                                                                                          \
    }
SELECT(f16, uint16_t)
SELECT(bf16, uint16_t)
SELECT(f32, uint32_t)
SELECT(f64, uint64_t)
SELECT(i64, uint64_t)
SELECT(bool, uint8_t)

/* ---- Sums ---- */

template <class T, class X> __device__ inline T plus(T sum, X x)
{
    return sum + (T)number(x);
}

/* Integers wrap around. */
__device__ inline int64_t plus(int64_t sum, int64_t x)
{
    return (int64_t)((uint64_t)sum + (uint64_t)x);
}

/* Where a thread's columns start, and what of a listed row is added there. */
template <class T, class X, int N> struct columns {
    T *y;
    const X *__restrict__ x;
    int64_t inner;

    /* Rows of one target often follow each other: their sum stays in registers. Several rows are
     * on their way at a time. */
    __device__ void add(const found *list, unsigned count) const
    {
        enum { AHEAD = 8 };
        pack<T, N> sum = {};
        int64_t at = -1;
#pragma unroll 1
        for (unsigned k = 0; k < count; k += AHEAD) {
            pack<X, N> next[AHEAD];
#pragma unroll
            for (unsigned a = 0; a < AHEAD; a++)
                if (k + a < count)
                    next[a] = *(const pack<X, N> *)(x + list[k + a].position * inner);
#pragma unroll
            for (unsigned a = 0; a < AHEAD; a++) {
                if (k + a >= count)
                    break;
                if (list[k + a].target != at) {
                    if (at >= 0)
                        *(pack<T, N> *)(y + at * inner) = sum;
                    at = list[k + a].target;
                    sum = *(const pack<T, N> *)(y + at * inner);
                }
#pragma unroll
                for (int v = 0; v < N; v++)
                    sum.at[v] = plus(sum.at[v], next[a].at[v]);
            }
        }
        if (at >= 0)
            *(pack<T, N> *)(y + at * inner) = sum;
    }
};

/* y [A, index [N], B] += x [A, N, B]: blocks have a class of targets and some of the columns A B,
 * of which a thread has N side by side. */
template <class T, class X, int N>
__device__ inline void add_rows(const grdi_array &y, const grdi_array &x, const grdi_array &index,
                                unsigned classes)
{
    const int64_t n = x.dim[1].size, size = y.dim[1].size, inner = y.dim[2].size;
    const int64_t unit = (int64_t)(blockIdx.x / classes) * blockDim.x + threadIdx.x;
    const split place = divided(unit * N, inner);
    const bool is_any = place.quotient < y.dim[0].size;
    const columns<T, X, N> own = {
        (T *)y.data + place.quotient * size * inner + place.rest,
        (const X *)x.data + place.quotient * n * inner + place.rest,
        inner,
    };
    take_class(
        n, classes, blockIdx.x % classes,
        [&](int64_t i) -> int64_t {
            const int64_t at = ((const int64_t *)index.data)[i];
            return is_within(at, size) ? at : -1;
        },
        [&](const found *list, unsigned count) {
            if (is_any)
                own.add(list, count);
        });
}

#define INDEX_ADD(dtype, type, from, from_type)                                                    \
    GRDI_KERNEL(index_add_##from##_##dtype, grdi_array y, grdi_array x, grdi_array index,          \
                unsigned classes)                                                                  \
    {                                                                                              \
        add_rows<type, from_type, 1>(y, x, index, classes);                                        \
    }                                                                                              \
    GRDI_KERNEL(index_add_wide_##from##_##dtype, grdi_array y, grdi_array x, grdi_array index,     \
                unsigned classes)                                                                  \
    {                                                                                              \
        add_rows<type, from_type, 16 / sizeof(type)>(y, x, index, classes);                        \
    }
INDEX_ADD(f32, float, f32, float)
INDEX_ADD(f32, float, f16, f16)
INDEX_ADD(f32, float, bf16, bf16)
INDEX_ADD(f64, double, f64, double)
INDEX_ADD(i64, int64_t, i64, int64_t)

/* One sequence of sums. */
template <class T, class X> struct sequence {
    T *y;
    const X *__restrict__ x;
    const int64_t *__restrict__ index;

    __device__ sequence(const grdi_cuda_scatter &s, int64_t i)
        : y((T *)s.y.data + offset_of(s.y, i)), x((const X *)s.x.data + offset_of(s.x, i)),
          index((const int64_t *)s.index.data + offset_of(s.index, i))
    {
    }
};

/* Each thread has sequences to itself; what it adds, and where, is read ahead. */
template <class T, class X> __device__ inline void scatter_each(const grdi_cuda_scatter &s)
{
    enum { AHEAD = 4 };
    for (int64_t i = thread_of_grid(); i < s.sequences; i += threads_of_grid()) {
        const sequence<T, X> own(s, i);
#pragma unroll 1
        for (int64_t p = 0; p < s.count; p += AHEAD) {
            int64_t target[AHEAD];
            X next[AHEAD];
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                if (p + a < s.count) {
                    target[a] = own.index[(p + a) * s.index_stride];
                    next[a] = own.x[(p + a) * s.x_stride];
                }
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                if (p + a < s.count && is_within(target[a], s.along.size)) {
                    T *to = own.y + target[a] * s.along.stride;
                    *to = plus(*to, next[a]);
                }
        }
    }
}

/* Each block has a class of the targets of a sequence, and each of its threads a part of them. */
template <class T, class X>
__device__ inline void scatter_classes(const grdi_cuda_scatter &s, unsigned classes)
{
    const sequence<T, X> own(s, blockIdx.x / classes);
    take_class(
        s.count, classes, blockIdx.x % classes,
        [&](int64_t p) -> int64_t {
            const int64_t at = own.index[p * s.index_stride];
            return is_within(at, s.along.size) ? at : -1;
        },
        [&](const found *list, unsigned count) {
#pragma unroll 1
            for (unsigned k = 0; k < count; k++)
                if (part_of(list[k].target, blockDim.x) == threadIdx.x) {
                    T *to = own.y + list[k].target * s.along.stride;
                    *to = plus(*to, own.x[list[k].position * s.x_stride]);
                }
        });
}

#define SCATTER_ADD(dtype, type, from, from_type)                                                  \
    GRDI_KERNEL(scatter_each_##from##_##dtype, grdi_cuda_scatter s)                                \
    {                                                                                              \
        scatter_each<type, from_type>(s);                                                          \
    }                                                                                              \
    GRDI_KERNEL(scatter_classes_##from##_##dtype, grdi_cuda_scatter s, unsigned classes)           \
    {                                                                                              \
        scatter_classes<type, from_type>(s, classes);                                              \
    }
SCATTER_ADD(f32, float, f32, float)
SCATTER_ADD(f32, float, f16, f16)
SCATTER_ADD(f32, float, bf16, bf16)
SCATTER_ADD(f64, double, f64, double)
SCATTER_ADD(i64, int64_t, i64, int64_t)
