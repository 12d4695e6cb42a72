#include "tensor/cuda/map.cuh"
#include "tensor/cuda/refusal.cuh"
#include "tensor/cuda/scan.cuh"

/* ---- The sum of squares: of each block, then over the blocks in order ---- */

/* A block's two sums. */
template <class T>
__device__ inline void sum_squares(int64_t n, const grdi_array &x, double *partial)
{
    constexpr int N = sizeof(T) == 8 ? 2 : 4;
    GRDI_SHARED(double, sums_of_warps, 32);
    GRDI_SHARED(int64_t, counts_of_warps, 32);
    double sum = 0;
    int64_t bad = 0, done = 0;
    const auto take = [&](T element) {
        const double value = (double)number(element);
        sum += value * value;
        bad += !(fabs(value) < INFINITY);
    };
    if (is_whole(x)) {
        done = n / N * N;
#pragma unroll 2
        for (int64_t i = thread_of_grid(); i < n / N; i += threads_of_grid()) {
            const pack<T, N> here = ((const pack<T, N> *)x.data)[i];
#pragma unroll
            for (int v = 0; v < N; v++)
                take(here.at[v]);
        }
    }
    for (int64_t i = done + thread_of_grid(); i < n; i += threads_of_grid())
        take(((const T *)x.data)[i]);
    const double all = scan(sum, sums_of_warps).all;
    const int64_t all_bad = scan(bad, counts_of_warps).all;
    if (threadIdx.x == 0) {
        partial[2 * blockIdx.x] = all;
        partial[2 * blockIdx.x + 1] = (double)all_bad;
    }
}

#define SQUARE_SUM(dtype, type, ...)                                                               \
    GRDI_KERNEL(square_sum_##dtype, int64_t n, grdi_array x, double *partial)                      \
    {                                                                                              \
        sum_squares<type>(n, x, partial);                                                          \
    }
KERNELS_OF_FLOATS(SQUARE_SUM, )

/* One block. No letter: nothing is refused. */
GRDI_KERNEL(square_sum_joined_f64, grdi_refusal *letter, grdi_refusal refused, double *y,
            const double *partial, int64_t blocks)
{
    GRDI_SHARED(double, of_warps, 32);
    double sum = 0, bad = 0;
    for (int64_t i = threadIdx.x; i < blocks; i += blockDim.x) {
        sum += partial[2 * i];
        bad += partial[2 * i + 1];
    }
    sum = scan(sum, of_warps).all;
    bad = scan(bad, of_warps).all;
    if (threadIdx.x == 0) {
        y[0] = sum;
        y[1] = bad;
        if (letter && bad > 0)
            leave_word(letter, refused, 0);
    }
}

/* One block, which reads many rows at a time; one thread adds them, in the order and so with the
 * bits of the processor. */
GRDI_KERNEL(clip_factor_f64, grdi_refusal *letter, grdi_refusal refused, double *y,
            const double *sums, int64_t rows, double most)
{
    constexpr int64_t TILE = 256;
    GRDI_SHARED(double, read, 2 * TILE);
    double sum = 0, bad = 0;
    for (int64_t first = 0; first < rows; first += TILE) {
        const int64_t here = rows - first < TILE ? rows - first : TILE;
        for (int64_t i = threadIdx.x; i < 2 * here; i += blockDim.x)
            read[i] = sums[2 * first + i];
        __syncthreads();
        for (int64_t i = 0; threadIdx.x == 0 && i < here; i++) {
            sum += read[2 * i];
            bad += read[2 * i + 1];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        const double norm = sqrt(sum), factor = most / (norm + 1e-6);
        if (norm == INFINITY && bad == 0)
            leave_word(letter, refused, 0);
        y[0] = norm;
        y[1] = norm < INFINITY && factor < 1 ? factor : 1;
        y[2] = bad;
    }
}

/* ---- Steps ---- */

/* Changes n elements of several arrays in place: f sees one of each; the last is not changed. */
template <class T, int COUNT, class F>
__device__ inline void change(int64_t n, T *const (&at)[COUNT], F f)
{
    constexpr int N = 16 / sizeof(T);
    bool whole = true;
    for (int c = 0; c < COUNT; c++)
        whole = whole && (uintptr_t)at[c] % 16 == 0;
    const int64_t packs = whole ? n / N : 0;
#pragma unroll 1
    for (int64_t i = thread_of_grid(); i < packs; i += threads_of_grid()) {
        pack<T, N> here[COUNT];
#pragma unroll
        for (int c = 0; c < COUNT; c++)
            here[c] = ((const pack<T, N> *)at[c])[i];
#pragma unroll
        for (int v = 0; v < N; v++) {
            T element[COUNT];
#pragma unroll
            for (int c = 0; c < COUNT; c++)
                element[c] = here[c].at[v];
            f(element);
#pragma unroll
            for (int c = 0; c < COUNT - 1; c++)
                here[c].at[v] = element[c];
        }
#pragma unroll
        for (int c = 0; c < COUNT - 1; c++)
            ((pack<T, N> *)at[c])[i] = here[c];
    }
#pragma unroll 1
    for (int64_t i = packs * N + thread_of_grid(); i < n; i += threads_of_grid()) {
        T element[COUNT];
#pragma unroll
        for (int c = 0; c < COUNT; c++)
            element[c] = at[c][i];
        f(element);
#pragma unroll
        for (int c = 0; c < COUNT - 1; c++)
            at[c][i] = element[c];
    }
}

#define STEPS(dtype, T)                                                                            \
    GRDI_KERNEL(sgd_##dtype, int64_t n, T *x, T *dx, grdi_sgd s)                                   \
    {                                                                                              \
        if (s.bad && *s.bad > 0)                                                                   \
            return;                                                                                \
        const T lr = (T)s.lr, decay = (T)s.weight_decay;                                           \
        T *const at[] = { x, dx };                                                                 \
        change(n, at, [&](T(&e)[2]) { e[0] -= lr * (e[1] + decay * e[0]); });                      \
    }                                                                                              \
    GRDI_KERNEL(sgd_with_momentum_##dtype, int64_t n, T *x, T *b, T *dx, grdi_sgd s)               \
    {                                                                                              \
        if (s.bad && *s.bad > 0)                                                                   \
            return;                                                                                \
        const T lr = (T)s.lr, decay = (T)s.weight_decay, momentum = (T)s.momentum;                 \
        T *const at[] = { x, b, dx };                                                              \
        change(n, at, [&](T(&e)[3]) {                                                              \
            const T d = e[2] + decay * e[0];                                                       \
            e[1] = momentum * e[1] + d;                                                            \
            e[0] -= lr * (s.nesterov ? d + momentum * e[1] : e[1]);                                \
        });                                                                                        \
    }                                                                                              \
    GRDI_KERNEL(adam_##dtype, int64_t n, T *x, T *m, T *v, T *dx, grdi_adam s)                     \
    {                                                                                              \
        if (s.bad && *s.bad > 0)                                                                   \
            return;                                                                                \
        const T beta1 = (T)s.beta1, rest1 = (T)(1 - s.beta1);                                      \
        const T beta2 = (T)s.beta2, rest2 = (T)(1 - s.beta2);                                      \
        const T shrink = (T)s.shrink, step = (T)s.step, root = (T)s.root, eps = (T)s.eps;          \
        T *const at[] = { x, m, v, dx };                                                           \
        change(n, at, [&](T(&e)[4]) {                                                              \
            e[1] = beta1 * e[1] + rest1 * e[3];                                                    \
            e[2] = beta2 * e[2] + rest2 * e[3] * e[3];                                             \
            e[0] = shrink * e[0] - step * e[1] / (root * sqrt(e[2]) + eps);                        \
        });                                                                                        \
    }
STEPS(f32, float)
STEPS(f64, double)
