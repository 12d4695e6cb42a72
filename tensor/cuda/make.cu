#include "tensor/cuda/map.cuh"

GRDI_KERNEL(arange_i64, int64_t n, grdi_array y, int64_t start, int64_t step)
{
    for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid())
        ((int64_t *)y.data)[i] = (int64_t)((uint64_t)start + (uint64_t)i * (uint64_t)step);
}

/* From the nearer end, so that both are exact. */
__device__ inline double between(double first, double last, int64_t n, int64_t i)
{
    if (n == 1)
        return first;
    const double step = (last - first) / (double)(n - 1);
    return i < (n + 1) / 2 ? first + step * (double)i : last - step * (double)(n - 1 - i);
}

#define LINSPACE(dtype, type)                                                                      \
    GRDI_KERNEL(linspace_##dtype, int64_t n, grdi_array y, double first, double last)              \
    {                                                                                              \
        for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid())                          \
            ((type *)y.data)[i] = (type)between(first, last, n, i);                                \
    }
LINSPACE(f32, float)
LINSPACE(f64, double)

/* Bytes of zeros are zeros of all dtypes, so elements move as what has their size. */
#define BAND(dtype, type)                                                                          \
    GRDI_KERNEL(band_##dtype, int64_t n, grdi_array y, grdi_array x, int64_t low, int64_t high)    \
    {                                                                                              \
        const int64_t rows = y.dim[y.rank - 2].size, columns = y.dim[y.rank - 1].size;             \
        for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid()) {                        \
            const split place = divided(i, columns);                                               \
            const int64_t over = place.rest - divided(place.quotient, rows).rest;                  \
            const bool within = low <= over && over <= high;                                       \
            ((type *)y.data)[i] = within ? ((const type *)x.data)[offset_of(x, i)] : (type)0;      \
        }                                                                                          \
    }
BAND(f16, uint16_t)
BAND(bf16, uint16_t)
BAND(f32, uint32_t)
BAND(f64, uint64_t)
BAND(i64, uint64_t)
BAND(bool, uint8_t)
