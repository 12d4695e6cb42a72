#include "tensor/cuda/reduce.cuh"
#include "tensor/cuda/refusal.cuh"

/* The targets, by one block: how many rows count, and the first that is no class. */
struct checked {
    int64_t counted, wrong;
};

GRDI_KERNEL(cross_entropy_check_i64, grdi_refusal *letter, grdi_refusal refused, grdi_array stats,
            grdi_array targets, int64_t classes, int64_t ignore_index)
{
    const team t((int)blockDim.x);
    const int64_t rows = targets.dim[0].size, *target = (const int64_t *)targets.data;
    checked own = { 0, INT64_MAX };
#pragma unroll 1
    for (int64_t i = t.rank; i < rows; i += t.size) {
        const bool counts = target[i] != ignore_index;
        own.counted += counts;
        if (counts && (target[i] < 0 || target[i] >= classes) && i < own.wrong)
            own.wrong = i;
    }
    own = joined(t, own, [](checked a, checked b) -> checked {
        return { a.counted + b.counted, a.wrong < b.wrong ? a.wrong : b.wrong };
    });
    if (t.rank == 0) {
        ((double *)stats.data)[rows] = (double)own.counted;
        if (own.wrong < rows) {
            set_value(&refused, target[own.wrong]);
            leave_word(letter, refused, own.wrong);
        }
    }
}

/* What a row's loss is made of, as the processor's: the largest, and sums less it. */
template <class T>
__device__ inline double loss_of(const team &t, int64_t n, row<const T> x, int64_t target,
                                 double smoothing, double *lse)
{
    typedef number_of<T> N;
    N max = -(N)INFINITY, exps = 0;
    double all = 0;
    each(
        t, n, [&](int64_t, N value) { max = value > max ? value : max; }, x);
    max = joined_max(t, max);
    each(
        t, n, [&](int64_t, N value) { exps += exp(value - max); }, x);
    const double rest = log((double)joined_sum(t, exps));
    *lse = (double)max + rest;
    if (target < 0 || target >= n)
        return 0; /* it does not count, or the whole is an error */
    const double loss = rest - (1 - smoothing) * ((double)number(x.at[target]) - (double)max);
    if (smoothing == 0)
        return loss; /* what is not the target may be -inf */
    each(
        t, n, [&](int64_t, N value) { all += (double)value; }, x);
    return loss - smoothing * (joined_sum(t, all) / (double)n - (double)max);
}

/* loss: of each row, f64 or y itself. */
template <class T>
__device__ inline void losses(const grdi_array &loss, const grdi_array &stats,
                              const grdi_array &logits, const grdi_array &targets,
                              const grdi_weighing &how, int threads)
{
    const team t(threads);
    const int64_t rows = targets.dim[0].size;
#pragma unroll 1
    for (int64_t i = t.first; i < rows; i += t.step) {
        const int64_t target = ((const int64_t *)targets.data)[i];
        double lse;
        const double own = loss_of(t, logits.dim[1].size, row_of<const T>(logits, i),
                                   target == how.ignore_index ? -1 : target, how.smoothing, &lse);
        if (t.rank == 0) {
            ((double *)stats.data)[i] = lse;
            store(loss, i, own);
        }
    }
}

/* One number of all rows' losses, by one block. */
GRDI_KERNEL(cross_entropy_total_f64, grdi_array y, grdi_array loss, grdi_array stats,
            grdi_weighing how)
{
    const team t((int)blockDim.x);
    const int64_t rows = loss.dim[0].size;
    double sum = 0;
    each(
        t, rows, [&](int64_t, double value) { sum += value; }, row_of<const double>(loss, 0));
    sum = joined_sum(t, sum);
    const double counted = ((const double *)stats.data)[rows];
    if (t.rank == 0)
        store(y, 0, how.mean && counted > 0 ? sum / counted : sum);
}

template <class T>
__device__ inline void gradients(const grdi_array &dx, const grdi_array &dy,
                                 const grdi_array &stats, const grdi_array &logits,
                                 const grdi_array &targets, const grdi_weighing &how, int threads)
{
    typedef number_of<T> N;
    const team t(threads);
    const int64_t rows = targets.dim[0].size, n = logits.dim[1].size;
    const double *lse = (const double *)stats.data, spread = how.smoothing / (double)n;
    const double part = how.mean && lse[rows] > 0 ? 1 / lse[rows] : 1;
#pragma unroll 1
    for (int64_t i = t.first; i < rows; i += t.step) {
        const int64_t target = ((const int64_t *)targets.data)[i];
        const bool counts = target != how.ignore_index;
        const N scale = (N)(part * (double)number(((const T *)dy.data)[dy.rank ? i : 0]));
        const N own = scale * (N)(1 - how.smoothing);
        const N shift = (N)lse[i], rest = (N)(lse[i] - (double)shift);
        map_row(
            t, n,
            [=](int64_t j, N x) -> N {
                const N g = scale * (exp(x - shift - rest) - (N)spread);
                return !counts ? 0 : j == target ? g - own : g;
            },
            row_of<T>(dx, i), row_of<const T>(logits, i));
    }
}

#define KERNELS_OF(dtype, type, ...)                                                               \
    GRDI_KERNEL(cross_entropy_##dtype, grdi_array loss, grdi_array stats, grdi_array logits,       \
                grdi_array targets, grdi_weighing how, int threads)                                \
    {                                                                                              \
        losses<type>(loss, stats, logits, targets, how, threads);                                  \
    }                                                                                              \
    GRDI_KERNEL(cross_entropy_backward_##dtype, grdi_array dx, grdi_array dy, grdi_array stats,    \
                grdi_array logits, grdi_array targets, grdi_weighing how, int threads)             \
    {                                                                                              \
        gradients<type>(dx, dy, stats, logits, targets, how, threads);                             \
    }
KERNELS_OF_FLOATS(KERNELS_OF, )
