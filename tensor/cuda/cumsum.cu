#include "tensor/cuda/map.cuh"
#include "tensor/cuda/scan.cuh"

/* Sums of floating numbers are made in f64, so that a long row loses no digits on the way; those of
 * integers wrap around. */
template <class T> struct summed {
    typedef double type;
};
template <> struct summed<int64_t> {
    typedef uint64_t type;
};

template <class T> __device__ inline void put_sum(T *to, double sum)
{
    put(to, (number_of<T>)sum);
}

__device__ inline void put_sum(int64_t *to, uint64_t sum)
{
    *to = (int64_t)sum;
}

/* A row, and where its elements lie: `i` counts from where the sums start. */
template <class Y, class X> struct row {
    Y *y;
    const X *x;
    int64_t n, y_stride, x_stride;
    bool reverse;

    __device__ int64_t place(int64_t i) const
    {
        return reverse ? n - 1 - i : i;
    }
};

/* The whole block does a row, in tiles, of which a thread has a few elements side by side. */
template <class Y, class X> __device__ inline void sum_up(const row<Y, X> &r)
{
    enum { EACH = 4 };
    typedef typename summed<Y>::type T;
    GRDI_SHARED(T, of_warps, 32);
    T done = 0;
#pragma unroll 1
    for (int64_t tile = 0; tile < r.n; tile += EACH * (int64_t)blockDim.x) {
        const int64_t first = tile + EACH * (int64_t)threadIdx.x;
        T own[EACH], sum = 0;
#pragma unroll
        for (int v = 0; v < EACH; v++)
            own[v] = sum +=
                first + v < r.n ? (T)number(r.x[r.place(first + v) * r.x_stride]) : T(0);
        const sums<T> others = scan(sum, of_warps);
#pragma unroll
        for (int v = 0; v < EACH; v++)
            if (first + v < r.n)
                put_sum(r.y + r.place(first + v) * r.y_stride, done + others.before + own[v]);
        done += others.all;
    }
}

#define CUMSUM(dtype, type, from, from_type)                                                       \
    GRDI_KERNEL(cumsum_##from##_##dtype, int64_t rows, grdi_array y, grdi_array x, bool reverse)   \
    {                                                                                              \
        const grdi_dim to = y.dim[y.rank - 1], along = x.dim[x.rank - 1];                          \
        for (int64_t i = blockIdx.x; i < rows; i += gridDim.x)                                     \
            sum_up(row<type, from_type>{ (type *)y.data + offset_of_row(y, i),                     \
                                         (const from_type *)x.data + offset_of_row(x, i), to.size, \
                                         to.stride, along.stride, reverse });                      \
    }
CUMSUM(f16, f16, f16, f16)
CUMSUM(bf16, bf16, bf16, bf16)
CUMSUM(f32, float, f32, float)
CUMSUM(f64, double, f64, double)
CUMSUM(i64, int64_t, i64, int64_t)
CUMSUM(i64, int64_t, bool, bool)
