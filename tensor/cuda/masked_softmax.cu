#include "tensor/cuda/teams.cuh"

/* A score, and whether the key is shown: of x and of what of additive and keep there is. */
template <class N> struct entry {
    N score;
    bool shown;
};

template <class N> struct scorer {
    N scale;

    __device__ entry<N> operator()(N x) const
    {
        return { scale * x, true };
    }
    __device__ entry<N> operator()(N x, N additive) const
    {
        return { scale * x + additive, true };
    }
    __device__ entry<N> operator()(N x, bool keep) const
    {
        return { keep ? scale * x : -(N)INFINITY, keep };
    }
    __device__ entry<N> operator()(N x, N additive, bool keep) const
    {
        return { keep ? scale * x + additive : -(N)INFINITY, keep };
    }
};

/* rows...: x, and additive and keep where they are. NaN is the largest, so that it spreads to all
 * that is shown, and hidden elements are 0 nevertheless. */
template <class T, class... Row>
__device__ inline number_of<T> softmax_row(const team &t, int64_t n, const scorer<number_of<T>> &of,
                                           row<T> y, Row... rows)
{
    typedef number_of<T> N;
    N max = -(N)INFINITY, sum = 0;
    each(
        t, n,
        [&](int64_t, auto... x) {
            const N score = of(x...).score;
            max = score > max || score != score ? score : max;
        },
        rows...);
    max = joined(t, max, [](N a, N b) { return a > b || a != a ? a : b; });
    const bool seen = max != -(N)INFINITY;
    each(
        t, n,
        [&](int64_t, auto... x) {
            const entry<N> e = of(x...);
            sum += seen && e.shown ? exp(e.score - max) : 0;
        },
        rows...);
    sum = joined_sum(t, sum);
    const N part = 1 / sum;
    map_row(
        t, n,
        [=](int64_t, auto... x) -> N {
            const entry<N> e = of(x...);
            return seen && e.shown ? exp(e.score - max) * part : 0;
        },
        y, rows...);
    return seen ? max + log(sum) : -(N)INFINITY;
}

template <class T>
__device__ inline void softmax_rows(int64_t rows, int threads, const grdi_array &y,
                                    const grdi_array &lse, const grdi_array &x,
                                    const grdi_array &additives, const grdi_array &keeps,
                                    double scale)
{
    typedef number_of<T> N;
    const team t(threads);
    const int64_t n = y.dim[y.rank - 1].size;
    const scorer<N> of = { (N)scale };
#pragma unroll 1
    for (int64_t i = t.first; i < rows; i += t.step) {
        const row<T> to = row_of<T>(y, i);
        const row<const T> from = row_of<const T>(x, i);
        N sum;
        if (additives.data && keeps.data)
            sum = softmax_row(t, n, of, to, from, row_of<const T>(additives, i),
                              row_of<const bool>(keeps, i));
        else if (additives.data)
            sum = softmax_row(t, n, of, to, from, row_of<const T>(additives, i));
        else if (keeps.data)
            sum = softmax_row(t, n, of, to, from, row_of<const bool>(keeps, i));
        else
            sum = softmax_row(t, n, of, to, from);
        if (lse.data && t.rank == 0)
            put((T *)lse.data + offset_in(lse, 0, lse.rank, i), sum);
    }
}

__device__ inline bool is_shown()
{
    return true;
}

__device__ inline bool is_shown(bool keep)
{
    return keep;
}

/* rows...: y, dy, and keep where it is. */
template <class T, class... Row>
__device__ inline void backward_row(const team &t, int64_t n, number_of<T> scale, row<T> dx,
                                    Row... rows)
{
    typedef number_of<T> N;
    N sum = 0;
    each(
        t, n, [&](int64_t, N y, N dy, auto... keep) { sum += is_shown(keep...) ? y * dy : 0; },
        rows...);
    sum = joined_sum(t, sum);
    map_row(
        t, n,
        [=](int64_t, N y, N dy, auto... keep) -> N {
            return is_shown(keep...) ? scale * y * (dy - sum) : 0;
        },
        dx, rows...);
}

template <class T>
__device__ inline void backward_rows(int64_t rows, int threads, const grdi_array &dx,
                                     const grdi_array &y, const grdi_array &dy,
                                     const grdi_array &keeps, double scale)
{
    typedef number_of<T> N;
    const team t(threads);
    const int64_t n = dx.dim[dx.rank - 1].size;
#pragma unroll 1
    for (int64_t i = t.first; i < rows; i += t.step) {
        const row<T> to = row_of<T>(dx, i);
        const row<const T> of_y = row_of<const T>(y, i), of_dy = row_of<const T>(dy, i);
        if (keeps.data)
            backward_row(t, n, (N)scale, to, of_y, of_dy, row_of<const bool>(keeps, i));
        else
            backward_row(t, n, (N)scale, to, of_y, of_dy);
    }
}

#define KERNELS_OF(dtype, type, ...)                                                               \
    GRDI_KERNEL(masked_softmax_##dtype, int64_t rows, int threads, grdi_array y, grdi_array lse,   \
                grdi_array x, grdi_array additive, grdi_array keep, double scale)                  \
    {                                                                                              \
        softmax_rows<type>(rows, threads, y, lse, x, additive, keep, scale);                       \
    }                                                                                              \
    GRDI_KERNEL(masked_softmax_backward_##dtype, int64_t rows, int threads, grdi_array dx,         \
                grdi_array y, grdi_array dy, grdi_array keep, double scale)                        \
    {                                                                                              \
        backward_rows<type>(rows, threads, dx, y, dy, keep, scale);                                \
    }
KERNELS_OF_FLOATS(KERNELS_OF, )
