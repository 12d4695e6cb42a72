#include "tensor/cuda/convert.cuh"
#include "tensor/cuda/map.cuh"
#include "tensor/cuda/scan.cuh"

/* Keys are integers that are larger where an element comes before another: NaN is the largest, and
 * zeros of both signs are one. */
__device__ inline unsigned key_of(float x)
{
    const unsigned bits = bits_of(x == 0 ? 0.f : x);
    return x != x ? ~0u : bits >> 31 ? ~bits : bits | 1u << 31;
}

__device__ inline uint64_t key_of(double x)
{
    const double same = x == 0 ? 0. : x;
    uint64_t bits;
    memcpy(&bits, &same, sizeof bits);
    return x != x ? ~UINT64_C(0) : bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

__device__ inline uint64_t key_of(int64_t x)
{
    return (uint64_t)x ^ UINT64_C(1) << 63;
}

__device__ inline unsigned key_of(bool x)
{
    return x;
}

template <class T> using key = decltype(key_of(number(T())));

template <class T> struct row {
    const T *x;
    int64_t n, stride;

    __device__ key<T> operator[](int64_t i) const
    {
        return key_of(number(x[i * stride]));
    }
};

/* How many keys are at least each of three, in the whole row: `counts`, the same for all threads.
 */
template <class T>
__device__ inline void count_three(const row<T> &x, const key<T> least[3], int64_t counts[3])
{
    GRDI_SHARED(unsigned, of_warps, 3 * 32);
    unsigned own[3] = { 0, 0, 0 };
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < x.n; i += blockDim.x) {
        const key<T> here = x[i];
#pragma unroll
        for (int c = 0; c < 3; c++)
            own[c] += here >= least[c];
    }
#pragma unroll
    for (int c = 0; c < 3; c++) {
#pragma unroll
        for (int bits = 16; bits > 0; bits /= 2)
            own[c] += __shfl_xor_sync(~0u, own[c], bits);
        if (threadIdx.x % 32 == 0)
            of_warps[c * 32 + threadIdx.x / 32] = own[c];
    }
    __syncthreads();
#pragma unroll
    for (int c = 0; c < 3; c++) {
        counts[c] = 0;
        for (unsigned w = 0; w < blockDim.x / 32; w++)
            counts[c] += of_warps[c * 32 + w];
    }
    __syncthreads();
}

/* The k-th largest key, and how many are above it. */
template <class T> struct bound {
    key<T> at;
    int64_t above;
};

/* Two bits of it at a time, from the highest. */
template <class T> __device__ inline bound<T> kth_of(const row<T> &x, int64_t k)
{
    bound<T> found = { 0, 0 };
#pragma unroll 1
    for (int bit = 8 * (int)sizeof(key<T>) - 2; bit >= 0; bit -= 2) {
        key<T> least[3];
        int64_t counts[3];
#pragma unroll
        for (int c = 0; c < 3; c++)
            least[c] = found.at | (key<T>)(c + 1) << bit;
        count_three(x, least, counts);
        int digit = 0;
#pragma unroll
        for (int c = 2; c >= 0; c--)
            if (counts[c] >= k)
                digit++;
            else
                found.above = counts[c];
        found.at |= (key<T>)digit << bit;
    }
    return found;
}

/* Room for what is chosen of a row, in the row's order. */
template <class T> struct choice {
    key<T> *keys;
    int64_t *positions;
};

/* All that are above the bound, and the first of those at it. */
template <class T>
__device__ inline void choose(const row<T> &x, int64_t k, const bound<T> &last,
                              const choice<T> &chosen)
{
    GRDI_SHARED(uint64_t, of_warps, 32);
    const int64_t equals = k - last.above;
    int64_t above_before = 0, equal_before = 0;
#pragma unroll 1
    for (int64_t tile = 0; tile < x.n; tile += blockDim.x) {
        const int64_t i = tile + threadIdx.x;
        const key<T> here = i < x.n ? x[i] : key<T>(0);
        const bool above = i < x.n && here > last.at, equal = i < x.n && here == last.at;
        const sums<uint64_t> others = scan((uint64_t)above | (uint64_t)equal << 32, of_warps);
        const int64_t before = equal_before + (int64_t)(others.before >> 32);
        if (above || (equal && before < equals)) {
            const int64_t slot = above_before + (int64_t)(others.before & UINT32_MAX) +
                                 (before < equals ? before : equals);
            chosen.keys[slot] = here;
            chosen.positions[slot] = i;
        }
        above_before += (int64_t)(others.all & UINT32_MAX);
        equal_before += (int64_t)(others.all >> 32);
    }
}

/* How many of the chosen come before one of them. */
template <class T>
__device__ inline int64_t rank_of(int64_t own, int64_t k, const choice<T> &chosen)
{
    const key<T> here = chosen.keys[own];
    int64_t before = 0;
#pragma unroll 4
    for (int64_t i = 0; i < k; i++)
        before += chosen.keys[i] > here || (chosen.keys[i] == here && i < own);
    return before;
}

template <class T>
__device__ inline void sort_row(int64_t i, const grdi_array &values, const grdi_array &index,
                                const grdi_array &x, const choice<T> &chosen)
{
    const grdi_dim to = values.dim[values.rank - 1], along = x.dim[x.rank - 1];
    const int64_t to_index = index.dim[index.rank - 1].stride, k = to.size;
    const row<T> from = { (const T *)x.data + offset_of_row(x, i), along.size, along.stride };
    choose(from, k, kth_of(from, k), chosen);
    __syncthreads();
    for (int64_t c = threadIdx.x; c < k; c += blockDim.x) {
        const int64_t rank = rank_of(c, k, chosen), position = chosen.positions[c];
        ((T *)values.data)[offset_of_row(values, i) + rank * to.stride] =
            from.x[position * from.stride];
        ((int64_t *)index.data)[offset_of_row(index, i) + rank * to_index] = position;
    }
    __syncthreads();
}

/* Each block has room for one row's choice: positions, then keys. */
#define TOPK(dtype, type)                                                                          \
    GRDI_KERNEL(topk_##dtype, int64_t rows, grdi_array values, grdi_array index, grdi_array x,     \
                int64_t *room)                                                                     \
    {                                                                                              \
        const int64_t k = values.dim[values.rank - 1].size;                                        \
        int64_t *own = room + (int64_t)blockIdx.x * 2 * k;                                         \
        for (int64_t i = blockIdx.x; i < rows; i += gridDim.x)                                     \
            sort_row<type>(i, values, index, x, choice<type>{ (key<type> *)(own + k), own });      \
    }
TOPK(f16, f16)
TOPK(bf16, bf16)
TOPK(f32, float)
TOPK(f64, double)
TOPK(i64, int64_t)
TOPK(bool, bool)
