#include "tensor/cuda/reduce.cuh"

template <class N> struct pair {
    N first, second;
};

template <class N> __device__ inline pair<N> joined_pair(const team &t, pair<N> own)
{
    return joined(t, own, [](pair<N> a, pair<N> b) -> pair<N> {
        return { a.first + b.first, a.second + b.second };
    });
}

/* The mean is taken off in two steps, as by the processor: `shift` is near it, and the rest is
 * small enough for what is rounded away not to matter. */
template <class N> struct normal {
    N shift, rest, factor;

    __device__ N operator()(N x) const
    {
        return (x - shift - rest) * factor;
    }
};

template <class T>
__device__ inline normal<number_of<T>> normal_of(const team &t, int64_t n, row<const T> x,
                                                 bool centre, double eps)
{
    typedef number_of<T> N;
    N shift = 0;
    if (centre) {
        each(
            t, n, [&](int64_t, N value) { shift += value; }, x);
        shift = joined_sum(t, shift) / (N)n;
    }
    pair<N> own = { 0, 0 };
    each(
        t, n,
        [&](int64_t, N value) {
            own.first += value - shift;
            own.second += (value - shift) * (value - shift);
        },
        x);
    own = joined_pair(t, own);
    const N rest = centre ? own.first / (N)n : 0, var = own.second / (N)n - rest * rest;
    return { shift, rest, 1 / sqrt((var < 0 ? 0 : var) + (N)eps) };
}

template <class T> __device__ inline row<const T> vector_of(const grdi_array &x)
{
    return { (const T *)x.data, x.data ? x.dim[0].stride : 0 };
}

template <class T>
__device__ inline void norm_rows(int64_t rows, int threads, const grdi_array &y,
                                 const grdi_array &stats, const grdi_array &x,
                                 const grdi_array &weights, const grdi_array &biases, bool centre,
                                 double eps)
{
    typedef number_of<T> N;
    const team t(threads);
    const int last = x.rank - 1;
    const int64_t n = x.dim[last].size;
    const row<const T> weight = vector_of<T>(weights), bias = vector_of<T>(biases);
#pragma unroll 1
    for (int64_t i = t.first; i < rows; i += t.step) {
        const row<const T> from = row_of<const T>(x, i);
        const row<T> to = row_of<T>(y, i);
        const normal<N> of = normal_of(t, n, from, centre, eps);
        if (weight.at && bias.at)
            map_row(
                t, n, [=](int64_t, N a, N w, N b) { return of(a) * w + b; }, to, from, weight,
                bias);
        else if (weight.at)
            map_row(
                t, n, [=](int64_t, N a, N w) { return of(a) * w; }, to, from, weight);
        else if (bias.at)
            map_row(
                t, n, [=](int64_t, N a, N b) { return of(a) + b; }, to, from, bias);
        else
            map_row(
                t, n, [=](int64_t, N a) { return of(a); }, to, from);
        if (stats.data && t.rank == 0) {
            double *own = (double *)stats.data + offset_in(stats, 0, last, i);
            own[0] = (double)of.shift + (double)of.rest;
            own[1] = (double)of.factor;
        }
    }
}

template <class N> __device__ inline normal<N> normal_at(const grdi_array &stats, int64_t i)
{
    const double *own = (const double *)stats.data + offset_in(stats, 0, stats.rank - 1, i);
    const N shift = (N)own[0];
    return { shift, (N)(own[0] - (double)shift), (N)own[1] };
}

/* dx = factor (g - mean(g) - z mean(g z)), g = dy weight; rows... are those of x, dy and maybe the
 * weight. */
template <class T, class... Row>
__device__ inline void backward_row(const team &t, int64_t n, const normal<number_of<T>> &of,
                                    bool centre, row<T> dx, Row... rows)
{
    typedef number_of<T> N;
    pair<N> own = { 0, 0 };
    each(
        t, n,
        [&](int64_t, N x, N dy, auto... weight) {
            const N g = (dy * ... * weight);
            own.first += g;
            own.second += g * of(x);
        },
        rows...);
    own = joined_pair(t, own);
    const N mean = centre ? own.first / (N)n : 0, slope = own.second / (N)n;
    map_row(
        t, n,
        [=](int64_t, N x, N dy, auto... weight) {
            return of.factor * ((dy * ... * weight) - mean - of(x) * slope);
        },
        dx, rows...);
}

template <class T>
__device__ inline void
backward_rows(int64_t rows, int threads, const grdi_array &dx, const grdi_array &dy,
              const grdi_array &x, const grdi_array &stats, const grdi_array &weights, bool centre)
{
    typedef number_of<T> N;
    const team t(threads);
    const int64_t n = x.dim[x.rank - 1].size;
    const row<const T> weight = vector_of<T>(weights);
#pragma unroll 1
    for (int64_t i = t.first; i < rows; i += t.step) {
        const row<const T> from = row_of<const T>(x, i), of_dy = row_of<const T>(dy, i);
        const row<T> to = row_of<T>(dx, i);
        const normal<N> of = normal_at<N>(stats, i);
        if (weight.at)
            backward_row(t, n, of, centre, to, from, of_dy, weight);
        else
            backward_row(t, n, of, centre, to, from, of_dy);
    }
}

/* sums [parts, 2, n], f64: of dy z and of dy over a part of the rows. A block a part of BAND
 * columns. */
template <class T>
__device__ inline void sum_columns(int64_t rows, int64_t part, double *sums, const grdi_array &dy,
                                   const grdi_array &x, const grdi_array &stats)
{
    typedef number_of<T> N;
    GRDI_SHARED(pair<double>, of_rank, BAND * RANKS);
    const int lane = (int)threadIdx.x % BAND, rank = (int)threadIdx.x / BAND;
    const int64_t n = x.dim[x.rank - 1].size, bands = (n + BAND - 1) / BAND;
    const int64_t items = (rows + part - 1) / part * bands;
#pragma unroll 1
    for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
        const int64_t p = item / bands, column = item % bands * BAND + lane;
        const int64_t end = (p + 1) * part < rows ? (p + 1) * part : rows;
        pair<double> own = { 0, 0 };
        if (column < n) {
#pragma unroll 2
            for (int64_t i = p * part + rank; i < end; i += RANKS) {
                const row<const T> of_x = row_of<const T>(x, i), of_dy = row_of<const T>(dy, i);
                const N g = number(of_dy.at[column * of_dy.stride]);
                const N z = normal_at<N>(stats, i)(number(of_x.at[column * of_x.stride]));
                own.first += (double)(g * z);
                own.second += (double)g;
            }
        }
        of_rank[threadIdx.x] = own;
        __syncthreads();
        if (rank == 0 && column < n) {
#pragma unroll
            for (int r = 1; r < RANKS; r++) {
                own.first += of_rank[r * BAND + lane].first;
                own.second += of_rank[r * BAND + lane].second;
            }
            sums[2 * p * n + column] = own.first;
            sums[(2 * p + 1) * n + column] = own.second;
        }
        __syncthreads();
    }
}

#define KERNELS_OF(dtype, type, ...)                                                               \
    GRDI_KERNEL(norm_##dtype, int64_t rows, int threads, grdi_array y, grdi_array stats,           \
                grdi_array x, grdi_array weight, grdi_array bias, int centre, double eps)          \
    {                                                                                              \
        norm_rows<type>(rows, threads, y, stats, x, weight, bias, centre, eps);                    \
    }                                                                                              \
    GRDI_KERNEL(norm_backward_##dtype, int64_t rows, int threads, grdi_array dx, grdi_array dy,    \
                grdi_array x, grdi_array stats, grdi_array weight, int centre)                     \
    {                                                                                              \
        backward_rows<type>(rows, threads, dx, dy, x, stats, weight, centre);                      \
    }                                                                                              \
    GRDI_KERNEL(norm_sums_##dtype, int64_t rows, int64_t part, double *sums, grdi_array dy,        \
                grdi_array x, grdi_array stats)                                                    \
    {                                                                                              \
        sum_columns<type>(rows, part, sums, dy, x, stats);                                         \
    }
KERNELS_OF_FLOATS(KERNELS_OF, )
