#include "tensor/cuda/reduce.cuh"

/* Floating sums are in f64, whose arithmetic keeps up with memory; whole ones wrap around. */
template <class Number> struct sum_of {
    typedef double total;
    double factor;

    __device__ sum_of(const grdi_cuda_reduction &how, int64_t) : factor(how.factor)
    {
    }
    __device__ total start() const
    {
        return 0;
    }
    __device__ void add(total *sum, int64_t, Number x) const
    {
        *sum += (double)x;
    }
    __device__ total join(total a, total b) const
    {
        return a + b;
    }
    __device__ void store(const grdi_array &y, int64_t at, total sum) const
    {
        ::store(y, at, factor * sum);
    }
};

struct sum_of_whole {
    typedef uint64_t total;

    __device__ sum_of_whole(const grdi_cuda_reduction &, int64_t)
    {
    }
    __device__ total start() const
    {
        return 0;
    }
    __device__ void add(total *sum, int64_t, int64_t x) const
    {
        *sum += (uint64_t)x;
    }
    __device__ total join(total a, total b) const
    {
        return a + b;
    }
    __device__ void store(const grdi_array &y, int64_t at, total sum) const
    {
        ((int64_t *)y.data)[at] = (int64_t)sum;
    }
};

template <> struct sum_of<int64_t> : sum_of_whole {
    using sum_of_whole::sum_of_whole;
};
template <> struct sum_of<bool> : sum_of_whole {
    using sum_of_whole::sum_of_whole;
};

/* The squared distances from the mean. */
template <class Number> struct squares_of : sum_of<Number> {
    double mean;

    __device__ squares_of(const grdi_cuda_reduction &how, int64_t result)
        : sum_of<Number>(how, result), mean(how.means[result])
    {
    }
    __device__ void add(double *sum, int64_t, Number x) const
    {
        *sum += ((double)x - mean) * ((double)x - mean);
    }
};

#define KERNELS_OF(dtype, type, name, fold)                                                        \
    GRDI_KERNEL(name##_##dtype, grdi_array y, grdi_array x, grdi_cuda_reduction how)               \
    {                                                                                              \
        reduce_rows<type, fold<number_of<type>>>(y, x, how);                                       \
    }                                                                                              \
    GRDI_KERNEL(name##_columns_##dtype, grdi_array y, grdi_array x, grdi_cuda_reduction how)       \
    {                                                                                              \
        reduce_columns<type, fold<number_of<type>>>(y, x, how);                                    \
    }
KERNELS_OF_NUMBERS(KERNELS_OF, sum, sum_of)
KERNELS_OF(bool, bool, sum, sum_of)
KERNELS_OF_FLOATS(KERNELS_OF, squares, squares_of)
