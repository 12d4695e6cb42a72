#include "tensor/cuda/convert.cuh"
#include "tensor/cuda/map.cuh"
#include "tensor/cuda/philox.cuh"

/* A thread makes the four elements of a block of random words, of which the last may be fewer. */
template <class Make> __device__ inline void each_four(int64_t n, Make make)
{
#pragma unroll 1
    for (int64_t b = thread_of_grid(); 4 * b < n; b += threads_of_grid())
        make(b, n - 4 * b < 4 ? (int)(n - 4 * b) : 4);
}

/* How four elements lie: in one or two pieces that one instruction moves. */
template <class T> struct four {
    static constexpr int N = sizeof(T) == 8 ? 2 : 4;
    pack<T, N> part[4 / N];

    __device__ T &operator[](int v)
    {
        return part[v / N].at[v % N];
    }
};

template <class T> __device__ inline void store_four(T *y, int64_t b, int count, four<T> values)
{
    if (count == 4 && (uintptr_t)y % 16 == 0) {
#pragma unroll
        for (int p = 0; p < 4 / four<T>::N; p++)
            ((pack<T, four<T>::N> *)(y + 4 * b))[p] = values.part[p];
        return;
    }
#pragma unroll
    for (int v = 0; v < 4; v++)
        if (v < count)
            y[4 * b + v] = values[v];
}

template <class T> __device__ inline four<T> load_four(const T *x, int64_t b, int count)
{
    four<T> values = {};
    if (count == 4 && (uintptr_t)x % 16 == 0) {
#pragma unroll
        for (int p = 0; p < 4 / four<T>::N; p++)
            values.part[p] = ((const pack<T, four<T>::N> *)(x + 4 * b))[p];
        return values;
    }
#pragma unroll
    for (int v = 0; v < 4; v++)
        if (v < count)
            values[v] = x[4 * b + v];
    return values;
}

GRDI_KERNEL(uniform_f32, int64_t n, grdi_array y, grdi_draw at)
{
    each_four(n, [&](int64_t b, int count) {
        const four_words high = random_words(at, b, GRDI_HIGH);
        four<float> values;
#pragma unroll
        for (int v = 0; v < 4; v++)
            values[v] = (float)(high.at[v] >> 8) * 0x1p-24f;
        store_four((float *)y.data, b, count, values);
    });
}

GRDI_KERNEL(uniform_f64, int64_t n, grdi_array y, grdi_draw at)
{
    each_four(n, [&](int64_t b, int count) {
        const four_words high = random_words(at, b, GRDI_HIGH);
        const four_words low = random_words(at, b, GRDI_LOW);
        four<double> values;
#pragma unroll
        for (int v = 0; v < 4; v++)
            values[v] = (double)(((uint64_t)high.at[v] << 32 | low.at[v]) >> 11) * 0x1p-53;
        store_four((double *)y.data, b, count, values);
    });
}

/* Elements 2 k and 2 k + 1 are the two numbers of a Box-Muller pair. In f64, so that f32's are
 * f64's rounded. */
#define NORMAL(dtype, type)                                                                        \
    GRDI_KERNEL(normal_##dtype, int64_t n, grdi_array y, grdi_draw at)                             \
    {                                                                                              \
        each_four(n, [&](int64_t b, int count) {                                                   \
            const four_words high = random_words(at, b, GRDI_HIGH);                                \
            four<type> values;                                                                     \
            _Pragma("unroll") for (int v = 0; v < 4; v += 2)                                       \
            {                                                                                      \
                const double radius = sqrt(-2 * log(((double)high.at[v] + 1) * 0x1p-32));          \
                double sine, cosine;                                                               \
                sincospi((double)high.at[v + 1] * 0x1p-31, &sine, &cosine);                        \
                values[v] = (type)(radius * cosine);                                               \
                values[v + 1] = (type)(radius * sine);                                             \
            }                                                                                      \
            store_four((type *)y.data, b, count, values);                                          \
        });                                                                                        \
    }
NORMAL(f32, float)
NORMAL(f64, double)

/* Numbers whose difference may overflow. */
GRDI_KERNEL(random_integers_i64, int64_t n, grdi_array y, int64_t low, uint64_t range, grdi_draw at)
{
    each_four(n, [&](int64_t b, int count) {
        const four_words above = random_words(at, b, GRDI_HIGH);
        const four_words below = random_words(at, b, GRDI_LOW);
        four<int64_t> values;
#pragma unroll
        for (int v = 0; v < 4; v++) {
            const uint64_t bits = (uint64_t)above.at[v] << 32 | below.at[v];
            values[v] = (int64_t)((uint64_t)low + __umul64hi(bits, range));
        }
        store_four((int64_t *)y.data, b, count, values);
    });
}

#define BERNOULLI(dtype, type, ...)                                                                \
    GRDI_KERNEL(bernoulli_##dtype, int64_t n, grdi_array y, grdi_array p, grdi_draw at)            \
    {                                                                                              \
        each_four(n, [&](int64_t b, int count) {                                                   \
            const four_words high = random_words(at, b, GRDI_HIGH);                                \
            four<type> values = load_four((const type *)p.data, b, count);                         \
            _Pragma("unroll") for (int v = 0; v < 4; v++)                                          \
            {                                                                                      \
                const bool drawn = (double)high.at[v] * 0x1p-32 < (double)number(values[v]);       \
                put(&values[v], (number_of<type>)(drawn ? 1 : 0));                                 \
            }                                                                                      \
            store_four((type *)y.data, b, count, values);                                          \
        });                                                                                        \
    }
KERNELS_OF_FLOATS(BERNOULLI, )

/* Words below `dropped` drop their element. */
#define DROPOUT(dtype, type, ...)                                                                  \
    GRDI_KERNEL(dropout_##dtype, int64_t n, grdi_array y, grdi_array x, uint32_t dropped,          \
                double scale, grdi_draw at)                                                        \
    {                                                                                              \
        const number_of<type> factor = (number_of<type>)scale;                                     \
        each_four(n, [&](int64_t b, int count) {                                                   \
            const four_words high = random_words(at, b, GRDI_HIGH);                                \
            four<type> values = load_four((const type *)x.data, b, count);                         \
            _Pragma("unroll") for (int v = 0; v < 4; v++)                                          \
            {                                                                                      \
                const number_of<type> scaled = number(values[v]) * factor;                         \
                put(&values[v], high.at[v] < dropped ? (number_of<type>)0 : scaled);               \
            }                                                                                      \
            store_four((type *)y.data, b, count, values);                                          \
        });                                                                                        \
    }
KERNELS_OF_FLOATS(DROPOUT, )
