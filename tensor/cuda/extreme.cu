#include "tensor/cuda/reduce.cuh"

/* A value and where it is, row-major among those that are reduced; -1: there is none yet. */
template <class N> struct placed {
    N value;
    int64_t position;
};

/* NaN is larger and smaller than all others, and the first of equals is taken. */
template <class N, bool LARGEST> struct extreme_of {
    typedef placed<N> total;
    bool positions;

    __device__ extreme_of(const grdi_cuda_reduction &how, int64_t) : positions(how.positions)
    {
    }
    __device__ total start() const
    {
        return { N(0), -1 };
    }
    __device__ static bool beats(N a, N b)
    {
        return (LARGEST ? a > b : a < b) || (a != a && b == b);
    }
    __device__ void add(total *best, int64_t position, N x) const
    {
        if (best->position < 0 || beats(x, best->value))
            *best = { x, position };
    }
    __device__ total join(total a, total b) const
    {
        if (a.position < 0 || b.position < 0)
            return a.position < 0 ? b : a;
        if (beats(a.value, b.value) || beats(b.value, a.value))
            return beats(a.value, b.value) ? a : b;
        return a.position < b.position ? a : b;
    }
    __device__ void store(const grdi_array &y, int64_t at, total best) const
    {
        if (positions)
            ((int64_t *)y.data)[at] = best.position;
        else
            ::store(y, at, best.value);
    }
};

/* Parts of each result, which are positions in x. */
template <class X, class Fold>
__device__ inline void join_parts(const grdi_array &y, const grdi_array &x,
                                  const grdi_array &partial, const grdi_cuda_reduction &how)
{
    const int kept = x.rank - how.reduced;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
#pragma unroll 1
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < how.results; i += step) {
        const int64_t *position = (const int64_t *)partial.data + i * how.parts;
        const X *at = (const X *)x.data + offset_in(x, 0, kept, i);
        const Fold fold(how, i);
        typename Fold::total best = fold.start();
#pragma unroll 1
        for (int64_t p = 0; p < how.parts; p++)
            fold.add(&best, position[p], number(at[offset_in(x, kept, x.rank, position[p])]));
        fold.store(y, offset_in(y, 0, y.rank, i), best);
    }
}

#define KERNELS_OF(dtype, type, name, largest)                                                     \
    GRDI_KERNEL(name##_##dtype, grdi_array y, grdi_array x, grdi_cuda_reduction how)               \
    {                                                                                              \
        reduce_rows<type, extreme_of<number_of<type>, largest>>(y, x, how);                        \
    }                                                                                              \
    GRDI_KERNEL(name##_columns_##dtype, grdi_array y, grdi_array x, grdi_cuda_reduction how)       \
    {                                                                                              \
        reduce_columns<type, extreme_of<number_of<type>, largest>>(y, x, how);                     \
    }                                                                                              \
    GRDI_KERNEL(name##_joined_##dtype, grdi_array y, grdi_array x, grdi_array partial,             \
                grdi_cuda_reduction how)                                                           \
    {                                                                                              \
        join_parts<type, extreme_of<number_of<type>, largest>>(y, x, partial, how);                \
    }
KERNELS_OF_NUMBERS(KERNELS_OF, max, true)
KERNELS_OF(bool, bool, max, true)
KERNELS_OF_NUMBERS(KERNELS_OF, min, false)
KERNELS_OF(bool, bool, min, false)
