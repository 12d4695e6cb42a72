#include "tensor/cuda/map.cuh"

/* Zeros the hidden pairs of y, for whatever is not finite to have no part in them. */
#define CLEAR(dtype, type, ...)                                                                    \
    GRDI_KERNEL(clear_hidden_##dtype, int64_t n, grdi_array y, grdi_array keep)                    \
    {                                                                                              \
        const int64_t step = (int64_t)gridDim.x * blockDim.x;                                      \
        _Pragma("unroll 1") for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;       \
                                 i < n; i += step)                                                 \
        {                                                                                          \
            if (!((const bool *)keep.data)[offset_of(keep, i)])                                    \
                put((type *)y.data + offset_of(y, i), number_of<type>(0));                         \
        }                                                                                          \
    }
KERNELS_OF_FLOATS(CLEAR, )

/* to = x where it is finite, else 0, and then *found is not 0. */
#define FINITE(dtype, type, ...)                                                                   \
    GRDI_KERNEL(finite_part_##dtype, int64_t n, grdi_array to, grdi_array x, int64_t *found)       \
    {                                                                                              \
        const int64_t step = (int64_t)gridDim.x * blockDim.x;                                      \
        _Pragma("unroll 1") for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;       \
                                 i < n; i += step)                                                 \
        {                                                                                          \
            const number_of<type> value = number(((const type *)x.data)[offset_of(x, i)]);         \
            const bool finite = value - value == 0;                                                \
            put((type *)to.data + offset_of(to, i), finite ? value : 0);                           \
            if (!finite)                                                                           \
                *found = 1;                                                                        \
        }                                                                                          \
    }
KERNELS_OF_FLOATS(FINITE, )

/* What the elements of b that are not finite add to y, pair by pair, if any was found: a thread an
 * element of y. */
template <class T>
__device__ inline void add_not_finite(int64_t n, const grdi_array &y, const grdi_array &a,
                                      const grdi_array &b, const grdi_array &keep)
{
    typedef number_of<T> N;
    const int row = y.rank - 2, column = y.rank - 1;
    const int64_t columns = y.dim[column].size, rows = y.dim[row].size;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
#pragma unroll 1
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const int64_t j = i % columns, m = i / columns % rows, batch = i / columns / rows;
        const T *left = (const T *)a.data + m * a.dim[row].stride;
        const T *right = (const T *)b.data + j * b.dim[column].stride;
        const bool *shown = (const bool *)keep.data + m * keep.dim[row].stride;
        int64_t rest = batch;
#pragma unroll 1
        for (int d = row - 1; d >= 0; d--) {
            const int64_t at = rest % y.dim[d].size;
            left += at * a.dim[d].stride;
            right += at * b.dim[d].stride;
            shown += at * keep.dim[d].stride;
            rest /= y.dim[d].size;
        }
        T *to = (T *)y.data + offset_of(y, i);
        N sum = number(*to);
#pragma unroll 1
        for (int64_t k = 0; k < a.dim[column].size; k++) {
            const N value = number(right[k * b.dim[row].stride]);
            if (value - value != 0 && shown[k * keep.dim[column].stride])
                sum += number(left[k * a.dim[column].stride]) * value;
        }
        put(to, sum);
    }
}

#define ADD(dtype, type, ...)                                                                      \
    GRDI_KERNEL(add_not_finite_##dtype, int64_t n, grdi_array y, grdi_array a, grdi_array b,       \
                grdi_array keep, const int64_t *found)                                             \
    {                                                                                              \
        if (*found)                                                                                \
            add_not_finite<type>(n, y, a, b, keep);                                                \
    }
KERNELS_OF_FLOATS(ADD, )
