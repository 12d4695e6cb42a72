#include "tensor/cuda/teams.cuh"

/* The largest of a row and the sum of exp(x - max): what every softmax starts from. */
template <class N> struct row_sums {
    N max, sum;
};

template <class X> __device__ inline number_of<X> max_of(const team &t, int64_t n, row<const X> x)
{
    typedef number_of<X> N;
    N max = -(N)INFINITY;
    each(
        t, n, [&](int64_t, N value) { max = value > max ? value : max; }, x);
    return joined_max(t, max);
}

template <class X>
__device__ inline row_sums<number_of<X>> sums_of(const team &t, int64_t n, row<const X> x)
{
    typedef number_of<X> N;
    const N max = max_of(t, n, x);
    N sum = 0;
    each(
        t, n, [&](int64_t, N value) { sum += exp(value - max); }, x);
    return { max, joined_sum(t, sum) };
}

/* A row at a time: body, which knows t, n, and row number i. */
#define ROWS(array, body)                                                                          \
    {                                                                                              \
        const team t(threads);                                                                     \
        const int64_t n = array.dim[array.rank - 1].size;                                          \
        _Pragma("unroll 1") for (int64_t i = t.first; i < rows; i += t.step) body                  \
    }

template <class T>
__device__ inline void softmax_row(const team &t, int64_t n, row<T> y, row<const T> x)
{
    typedef number_of<T> N;
    const row_sums<N> of = sums_of(t, n, x);
    const N part = 1 / of.sum;
    map_row(
        t, n, [=](int64_t, N value) { return exp(value - of.max) * part; }, y, x);
}

template <class T>
__device__ inline void log_softmax_row(const team &t, int64_t n, row<T> y, row<const T> x)
{
    typedef number_of<T> N;
    const row_sums<N> of = sums_of(t, n, x);
    const N rest = log(of.sum);
    map_row(
        t, n, [=](int64_t, N value) { return value - of.max - rest; }, y, x);
}

template <class T>
__device__ inline void softmax_backward_row(const team &t, int64_t n, row<T> dx, row<const T> y,
                                            row<const T> dy)
{
    typedef number_of<T> N;
    N sum = 0;
    each(
        t, n, [&](int64_t, N a, N b) { sum += a * b; }, y, dy);
    sum = joined_sum(t, sum);
    map_row(
        t, n, [=](int64_t, N a, N b) { return a * (b - sum); }, dx, y, dy);
}

template <class T>
__device__ inline void log_softmax_backward_row(const team &t, int64_t n, row<T> dx, row<const T> y,
                                                row<const T> dy)
{
    typedef number_of<T> N;
    N sum = 0;
    each(
        t, n, [&](int64_t, N a) { sum += a; }, dy);
    sum = joined_sum(t, sum);
    map_row(
        t, n, [=](int64_t, N a, N b) { return b - exp(a) * sum; }, dx, y, dy);
}

/* Where the largest is infinite, it alone decides; but NaN stays NaN. */
template <class T>
__device__ inline number_of<T> logsumexp_of(const team &t, int64_t n, row<const T> x)
{
    typedef number_of<T> N;
    const N max = max_of(t, n, x);
    const bool infinite = max - max != 0;
    N sum = 0;
    each(
        t, n,
        [&](int64_t, N value) {
            sum += infinite ? (value != value ? value : 0) : exp(value - max);
        },
        x);
    sum = joined_sum(t, sum);
    return infinite ? max + sum : max + log(sum);
}

#define KERNELS_OF(dtype, type, ...)                                                               \
    GRDI_KERNEL(softmax_##dtype, int64_t rows, int threads, grdi_array y, grdi_array x)            \
    ROWS(x, { softmax_row(t, n, row_of<type>(y, i), row_of<const type>(x, i)); })                  \
    GRDI_KERNEL(log_softmax_##dtype, int64_t rows, int threads, grdi_array y, grdi_array x)        \
    ROWS(x, { log_softmax_row(t, n, row_of<type>(y, i), row_of<const type>(x, i)); })              \
    GRDI_KERNEL(softmax_backward_##dtype, int64_t rows, int threads, grdi_array dx, grdi_array y,  \
                grdi_array dy)                                                                     \
    ROWS(y, {                                                                                      \
        softmax_backward_row(t, n, row_of<type>(dx, i), row_of<const type>(y, i),                  \
                             row_of<const type>(dy, i));                                           \
    })                                                                                             \
    GRDI_KERNEL(log_softmax_backward_##dtype, int64_t rows, int threads, grdi_array dx,            \
                grdi_array y, grdi_array dy)                                                       \
    ROWS(y, {                                                                                      \
        log_softmax_backward_row(t, n, row_of<type>(dx, i), row_of<const type>(y, i),              \
                                 row_of<const type>(dy, i));                                       \
    })                                                                                             \
    GRDI_KERNEL(logsumexp_##dtype, int64_t rows, int threads, grdi_array y, grdi_array x)          \
    ROWS(x, {                                                                                      \
        const number_of<type> sum = logsumexp_of(t, n, row_of<const type>(x, i));                  \
        if (t.rank == 0)                                                                           \
            put((type *)y.data + offset_in(y, 0, y.rank, i), sum);                                 \
    })
KERNELS_OF_FLOATS(KERNELS_OF, )
