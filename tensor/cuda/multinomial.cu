#include "tensor/cuda/first.cuh"
#include "tensor/cuda/philox.cuh"
#include "tensor/cuda/scan.cuh"

/* up_to[c] = the sum of the row's weights up to class c; the whole block does it. */
template <class T> __device__ inline void add_up(int64_t classes, const T *weights, double *up_to)
{
    enum { EACH = 4 };
    GRDI_SHARED(double, of_warps, 32);
    double done = 0;
    for (int64_t tile = 0; tile < classes; tile += EACH * (int64_t)blockDim.x) {
        const int64_t first = tile + EACH * (int64_t)threadIdx.x;
        double own[EACH], sum = 0;
#pragma unroll
        for (int v = 0; v < EACH; v++)
            own[v] = sum += first + v < classes ? (double)number(weights[first + v]) : 0;
        const sums<double> others = scan(sum, of_warps);
#pragma unroll
        for (int v = 0; v < EACH; v++)
            if (first + v < classes)
                up_to[first + v] = done + others.before + own[v];
        done += others.all;
    }
}

/* The first class whose sum is above `value`, or, where rounding left none or the sums of two
 * threads an ulp apart, the last before it that has a weight. */
template <class T>
__device__ inline int64_t chosen(int64_t classes, const T *weights, const double *up_to,
                                 double value)
{
    int64_t first = 0, last = classes - 1;
    while (first < last) {
        const int64_t middle = first + (last - first) / 2;
        if (up_to[middle] > value)
            last = middle;
        else
            first = middle + 1;
    }
    while (first > 0 && number(weights[first]) == 0)
        first--;
    return first;
}

/* A block has room for the sums of one row. */
template <class T>
__device__ inline void draw_row(int64_t row, const grdi_array &y, const grdi_array &x,
                                double *up_to, grdi_draw at, int64_t *zero)
{
    const int64_t samples = y.dim[1].size, classes = x.dim[1].size;
    const T *weights = (const T *)x.data + row * classes;
    add_up(classes, weights, up_to);
    __syncthreads();
    const double sum = up_to[classes - 1];
    if (!(sum > 0) && threadIdx.x == 0)
        note_first(zero, row);
    for (int64_t s = row * samples + threadIdx.x; s < (row + 1) * samples; s += blockDim.x) {
        const double uniform = (double)(random_bits(at, s) >> 11) * 0x1p-53;
        ((int64_t *)y.data)[s] = chosen(classes, weights, up_to, uniform * sum);
    }
    __syncthreads();
}

#define MULTINOMIAL(dtype, type, ...)                                                              \
    GRDI_KERNEL(multinomial_##dtype, grdi_array y, grdi_array weights, double *room, grdi_draw at, \
                int64_t *zero)                                                                     \
    {                                                                                              \
        double *up_to = room + (int64_t)blockIdx.x * weights.dim[1].size;                          \
        for (int64_t row = blockIdx.x; row < y.dim[0].size; row += gridDim.x)                      \
            draw_row<type>(row, y, weights, up_to, at, zero);                                      \
    }
KERNELS_OF_FLOATS(MULTINOMIAL, )
