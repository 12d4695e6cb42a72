/* Threads that work on one row together, and rows as they lie in memory. A short row has a warp, a
 * long one a block: the launch says which. */
#ifndef GRDI_CUDA_TEAMS_CUH
#define GRDI_CUDA_TEAMS_CUH

#include "tensor/cuda/map.cuh"

/* The same as offset_of for dimensions from..end - 1 alone. */
__device__ inline int64_t offset_in(const grdi_array &x, int from, int end, int64_t i)
{
    int64_t offset = 0;
    if (i == 0)
        return 0;
#pragma unroll 1
    for (int d = end - 1; d > from; d--) {
        const int64_t size = x.dim[d].size;
        const int64_t quotient = i <= UINT32_MAX && size <= UINT32_MAX
                                     ? (int64_t)((unsigned)i / (unsigned)size)
                                     : i / size;
        offset += (i - quotient * size) * x.dim[d].stride;
        i = quotient;
    }
    return offset + i * x.dim[from].stride;
}

/* A team: all threads of a warp, or all of a block, whose number is a power of two. */
struct team {
    int size, rank;      /* threads, and which of them this one is */
    int64_t first, step; /* the rows that this team does */

    __device__ explicit team(int threads)
        : size(threads), rank((int)threadIdx.x % threads),
          first((int64_t)blockIdx.x * (blockDim.x / threads) + threadIdx.x / threads),
          step((int64_t)gridDim.x * (blockDim.x / threads))
    {
    }
};

/* What the thread has whose lane differs in these bits; T is whole words. */
template <class T> __device__ inline T from_lane_beside(T value, int bits)
{
    int word[sizeof(T) / 4];
    memcpy(word, &value, sizeof value);
#pragma unroll
    for (int w = 0; w < (int)(sizeof(T) / 4); w++)
        word[w] = __shfl_xor_sync(~0u, word[w], bits);
    memcpy(&value, word, sizeof value);
    return value;
}

/* All values of a team joined by f, which takes them in any order: the same for all its threads,
 * and bit for bit whenever it is computed. */
template <class T, class F> __device__ inline T joined(const team &t, T value, F f)
{
    GRDI_SHARED(T, of_warp, 32);
#pragma unroll
    for (int bits = 16; bits > 0; bits /= 2)
        value = f(value, from_lane_beside(value, bits));
    if (t.size <= 32)
        return value;
    const int warps = t.size / 32;
    if (t.rank % 32 == 0)
        of_warp[t.rank / 32] = value;
    __syncthreads();
    value = of_warp[t.rank % warps];
    __syncthreads(); /* before the next call's */
#pragma unroll 1
    for (int bits = warps / 2; bits > 0; bits /= 2)
        value = f(value, from_lane_beside(value, bits));
    return value;
}

template <class T> __device__ inline T joined_sum(const team &t, T value)
{
    return joined(t, value, [](T a, T b) { return a + b; });
}

/* NaN is left out, as by the processor's. */
template <class T> __device__ inline T joined_max(const team &t, T value)
{
    return joined(t, value, [](T a, T b) { return a > b ? a : b; });
}

template <class T> struct row {
    T *at;
    int64_t stride;
};

/* Row i of an array along its last dimension. */
template <class T> __device__ inline row<T> row_of(const grdi_array &x, int64_t i)
{
    const int last = x.rank - 1;
    return { (T *)x.data + offset_in(x, 0, last, i), x.dim[last].stride };
}

/* How many elements of T lie before the next N that one instruction moves. */
template <int N, class T> __device__ inline int64_t before_pack(const row<T> &x)
{
    const uintptr_t past = (uintptr_t)x.at / sizeof(T) % N;
    return past ? N - (int64_t)past : 0;
}

/* Where packs start in all of these rows of n elements; n: they never do. */
template <int N, class T, class... Rest>
__device__ inline int64_t first_pack(int64_t n, const row<T> &x, const row<Rest> &...rest)
{
    const int64_t first = before_pack<N>(x);
    const bool alike =
        x.stride == 1 && ((rest.stride == 1 && before_pack<N>(rest) == first) && ...);
    return alike && first < n ? first : n;
}

template <int N, class T> __device__ inline pack<T, N> pack_at(const row<T> &x, int64_t i)
{
    return *(const pack<T, N> *)(x.at + i);
}

template <class... T> struct pack_size {
    static const int of = largest<T...>::size == 1 ? 8 : 16 / largest<T...>::size;
};

/* f(i, values...) for all n elements, those of a thread in their order. */
template <class F, class... X>
__device__ inline void each(const team &t, int64_t n, F f, const row<X> &...x)
{
    constexpr int N = pack_size<X...>::of;
    const int64_t first = first_pack<N>(n, x...), packs = (n - first) / N;
#pragma unroll 1
    for (int64_t i = t.rank; i < first; i += t.size)
        f(i, number(x.at[i * x.stride])...);
#pragma unroll 1
    for (int64_t p = t.rank; p < packs; p += t.size) {
        const int64_t i = first + p * N;
        [&](const pack<X, N> &...from) {
#pragma unroll
            for (int v = 0; v < N; v++)
                f(i + v, number(from.at[v])...);
        }(pack_at<N>(x, i)...);
    }
#pragma unroll 1
    for (int64_t i = first + packs * N + t.rank; i < n; i += t.size)
        f(i, number(x.at[i * x.stride])...);
}

/* y[i] = f(i, values...). A thread reads its elements before it writes them: y may be one of x. */
template <class Y, class F, class... X>
__device__ inline void map_row(const team &t, int64_t n, F f, const row<Y> &y, const row<X> &...x)
{
    constexpr int N = pack_size<Y, X...>::of;
    const int64_t first = first_pack<N>(n, y, x...), packs = (n - first) / N;
#pragma unroll 1
    for (int64_t p = t.rank; p < packs; p += t.size) {
        const int64_t i = first + p * N;
        [&](const pack<X, N> &...from) {
            pack<Y, N> to;
#pragma unroll
            for (int v = 0; v < N; v++)
                put(&to.at[v], f(i + v, number(from.at[v])...));
            *(pack<Y, N> *)(y.at + i) = to;
        }(pack_at<N>(x, i)...);
    }
#pragma unroll 1
    for (int64_t k = t.rank; k < n - packs * N; k += t.size) {
        const int64_t i = k < first ? k : k + packs * N;
        put(&y.at[i * y.stride], f(i, number(x.at[i * x.stride])...));
    }
}

#endif
